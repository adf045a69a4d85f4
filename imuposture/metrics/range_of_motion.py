"""Range of motion: finished movements in, how far each plane goes to each side out."""

from collections.abc import Iterator
from math import sqrt

from imuposture._blocks import PLANES, Figure, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_REPETITION, SIDED_PLANES, MetricContext
from imuposture.metrics._sides import SIDES, Half, Halves, difference_sd, missing_side, skin_sum, with_skin
from imuposture.metrics._statistics import Uncertain, difference
from imuposture.metrics.segmentation import Observed

__all__ = ["RangeOfMotion", "range_difference", "range_sum"]


class RangeOfMotion:
    """Mean extreme of all repetitions a plane and side, largest held end of range, right - left and right + left.

    Placement is part of the definition ids, since ranges of different placements cannot be compared.
    """

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._halves = Halves()

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished movements."""
        self._halves.take(seen.movements)
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the ranges of the session."""
        self._halves.take(seen.movements)
        return MetricBlock(summary=tuple(self._summary()))

    def _summary(self) -> Iterator[Figure]:
        for plane in PLANES:
            for side in SIDES[plane]:
                yield self._range(plane, side)
                half = self._halves[plane, side]
                definition = self._definition("range_of_motion.held/1")
                reason = NO_REPETITION if half.held is None else None
                yield Figure("range_held", half.held, "deg", definition, plane, side, n=len(half), reason=reason)
        for plane in SIDED_PLANES:
            right, left = self._halves[plane, "right"], self._halves[plane, "left"]
            n = len(right) + len(left)
            pairs = (("range_difference", range_difference), ("range_sum", range_sum))
            for name, combine in pairs:
                definition = self._definition(f"range_of_motion.{name.removeprefix('range_')}/1")
                if not (len(right) and len(left)):
                    yield Figure(name, None, "deg", definition, plane, n=n, reason=missing_side(right, left))
                    continue
                found = combine(right, left, self._context, plane)
                low, high = found.interval()
                yield Figure(name, found.value, "deg", definition, plane, low=low, high=high, n=n)

    def _range(self, plane: Plane, side: Side) -> Figure:
        half = self._halves[plane, side]
        definition = self._definition("range_of_motion.mean_extreme/1")
        if not len(half):
            return Figure("range_of_motion", None, "deg", definition, plane, side, n=0, reason=NO_REPETITION)
        neutral, shared = self._context.neutral_sd(plane), angle_sd(half, self._context)
        df = self._context.shared_df(plane)
        found = half.extreme.with_shared(sqrt(neutral * neutral + shared * shared), df)
        low, high = found.interval()
        return Figure("range_of_motion", found.value, "deg", definition, plane, side, low=low, high=high, n=len(half))

    def _definition(self, name: str) -> str:
        return f"{name}@{self._context.placement}"


def angle_sd(half: Half, context: MetricContext) -> float:
    """Return the error all extremes of a side share: mounting, heading and soft tissue are one draw, not one a row."""
    return with_skin(half.sd.mean, half.extreme.mean, context)


def range_difference(right: Half, left: Half, context: MetricContext, plane: Plane) -> Uncertain:
    """Return right - left of the mean extremes; the neutral stance and the heading enter twice.

    (R - n) - (n - L): an error of the neutral stance, or of the heading, adds to one side what it takes from the other.
    Skin gives to both, or takes.
    """
    sides = (right.sd.mean, right.extreme.mean), (left.sd.mean, left.extreme.mean)
    shared = difference_sd(*sides, context.neutral_sd(plane), context)
    return difference(right.extreme, left.extreme, shared, shared_df=context.shared_df(plane))


def range_sum(right: Half, left: Half, context: MetricContext, plane: Plane) -> Uncertain:
    """Return right + left of the mean extremes: free of the neutral stance and of a constant heading error."""
    del plane
    return difference(right.extreme, left.extreme, skin_sum(right.extreme.mean, left.extreme.mean, context), sign=1.0)
