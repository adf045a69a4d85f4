"""Range-of-motion test: repetitions that were held at their end in, ranges of both sides and published ones out."""

from collections.abc import Iterator
from math import inf, sqrt

from imuposture._blocks import PLANES, Event, Figure, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_ANGLES, SIDED_PLANES, MetricContext
from imuposture.metrics._norms import published_ranges
from imuposture.metrics._sides import SIDES, analysed, difference_sd, skin_sum, with_skin
from imuposture.metrics._statistics import Sample, Uncertain, difference
from imuposture.metrics.segmentation import Observed

__all__ = ["RangeTest"]

HOLD_S = 1.0  # s at the end that make a repetition a trial; the protocol asks for 2
FEWEST, MOST = 3, 5  # trials to a side


class RangeTest:
    """Mean held end of range a plane and side, over the same number of trials on both sides.

    A trial is a repetition that was held for a second and more at its end, as the guided protocol asks for
    (`imuposture.protocols.guided_range_of_motion`). Not the best trial: the best of n grows with n.
    """

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._trials: dict[tuple[Plane, Side], list[tuple[float, float]]] = {
            (p, s): [] for p in PLANES for s in SIDES[p]
        }
        self._analysed = False

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished movements."""
        self._analysed = self._analysed or analysed(seen.posture)
        for event in seen.movements:
            if event.kind == "repetition" and event.plane and event.side and _is_trial(event):
                trials = self._trials[event.plane, event.side]
                if len(trials) < MOST:
                    sign = 1.0 if event.side in ("forward", "right") else -1.0
                    trials.append((sign * event.details["held_deg"], event.details.get("sd_deg", 0.0)))
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the figures of the test."""
        self.push(seen)
        return MetricBlock(summary=tuple(self._summary()))

    def _summary(self) -> Iterator[Figure]:
        for plane in PLANES:
            for side in SIDES[plane]:
                found, n, why = self._range(plane, side)
                definition = self._definition("range_test.mean_held/1")
                yield _told(Figure("tested_range", None, "deg", definition, plane, side, n=n), found, why)
                yield from self._compared(found, plane, side, n, why)
        for plane in SIDED_PLANES:
            for name, sign in (("difference", -1.0), ("sum", 1.0)):
                found, n, why = self._both(plane, sign)
                definition = self._definition(f"range_test.{name}/1")
                yield _told(Figure(f"tested_range_{name}", None, "deg", definition, plane, n=n), found, why)

    def _used(self, plane: Plane, side: Side) -> list[tuple[float, float]]:
        """Return the first trials of a side, as many as the other side of the plane has."""
        trials = self._trials[plane, side]
        if plane in SIDED_PLANES:
            trials = trials[: min(len(self._trials[plane, other]) for other in SIDES[plane])]
        return trials

    def _range(self, plane: Plane, side: Side) -> tuple[Uncertain | None, int, str | None]:
        used = self._used(plane, side)
        if len(used) < FEWEST:
            return None, len(used), self._too_few(plane)
        found, neutral = _sample(used), self._context.neutral_sd(plane)
        shared = with_skin(_shared(used), found.mean, self._context)
        df = self._context.shared_df(plane)
        return found.with_shared(sqrt(neutral * neutral + shared * shared), df), len(used), None

    def _both(self, plane: Plane, sign: float) -> tuple[Uncertain | None, int, str | None]:
        right, left = (self._used(plane, side) for side in SIDES[plane])
        if len(right) < FEWEST:
            return None, len(right) + len(left), self._too_few(plane)
        one, other = _sample(right), _sample(left)
        if sign > 0.0:
            error = skin_sum(one.mean, other.mean, self._context)
        else:
            sides = (_shared(right), one.mean), (_shared(left), other.mean)
            error = difference_sd(*sides, self._context.neutral_sd(plane), self._context)
        df = inf if sign > 0.0 else self._context.shared_df(plane)  # a sum is free of the heading
        return difference(one, other, error, sign, df), len(right) + len(left), None

    def _too_few(self, plane: Plane) -> str:
        if not self._analysed:
            return NO_ANGLES
        each = " to each side" if plane in SIDED_PLANES else ""
        return f"fewer than {FEWEST} repetitions{each} that were held for {HOLD_S:g} s at their end"

    def _compared(self, found: Uncertain | None, plane: Plane, side: Side, n: int, why: str | None) -> Iterator[Figure]:
        for published in published_ranges(self._context.placement, plane, side, self._context.age_years):
            definition = self._definition("range_test.published/1", published.source)
            value = 100.0 * found.value / published.value if found and published.value else None
            reason = None if value is not None else why or published.reason
            yield Figure("share_of_published_range", value, "%", definition, plane, side, n=n, reason=reason)

    def _definition(self, name: str, *more: str) -> str:
        return f"{name}@{','.join(('own_neutral', self._context.placement, *more))}"


def _is_trial(event: Event) -> bool:
    return event.details.get("hold_s", 0.0) >= HOLD_S and "held_deg" in event.details


def _shared(used: list[tuple[float, float]]) -> float:
    """Return the error that the rows know of, one draw for all trials of a side."""
    spread = Sample()
    for _, sd in used:
        spread.add(sd)
    return spread.mean


def _sample(trials: list[tuple[float, float]]) -> Sample:
    sample = Sample()
    for held, _ in trials:
        sample.add(held)
    return sample


def _told(figure: Figure, found: Uncertain | None, why: str | None) -> Figure:
    """Give a figure its value and interval, or the reason why there is none."""
    if found is None:
        return figure._replace(reason=why)
    low, high = found.interval()
    return figure._replace(value=found.value, low=low, high=high)
