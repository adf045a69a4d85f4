"""Range of motion: finished movements in, how far each plane goes to each side out."""

from collections.abc import Iterator
from math import sqrt

from imuposture._blocks import PLANES, Figure, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_REPETITION, SIDED_PLANES, MetricContext
from imuposture.metrics._sides import SIDES, Half, Halves, missing_side
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
        found = half.extreme.with_shared(sqrt(neutral * neutral + shared * shared))
        low, high = found.interval()
        return Figure("range_of_motion", found.value, "deg", definition, plane, side, low=low, high=high, n=len(half))

    def _definition(self, name: str) -> str:
        return f"{name}@{self._context.placement}"


def angle_sd(half: Half, context: MetricContext) -> float:
    """Return the error all extremes of a side share: mounting, soft tissue and heading are one draw, not one a row."""
    return max(half.sd.mean, context.soft_tissue_sd_deg)


def range_difference(right: Half, left: Half, context: MetricContext, plane: Plane) -> Uncertain:
    """Return right - left of the mean extremes; the neutral stance and the heading enter twice.

    (R - n) - (n - L): an error of the neutral stance, or of the heading, adds to one side what it takes from the other.
    """
    shared = angle_sd(right, context) + angle_sd(left, context)
    neutral = 2.0 * context.neutral_sd(plane)
    return difference(right.extreme, left.extreme, sqrt(neutral * neutral + shared * shared))


def range_sum(right: Half, left: Half, context: MetricContext, plane: Plane) -> Uncertain:
    """Return right + left of the mean extremes: free of the neutral stance and of a constant heading error."""
    del plane
    shared = sqrt(2.0) * context.soft_tissue_sd_deg
    return difference(right.extreme, left.extreme, shared, sign=1.0)
