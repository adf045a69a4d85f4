"""Quality: finished movements in, how repetitions were done out: size a side, tempo, smoothness, range used, rhythm."""

from collections.abc import Iterator
from functools import lru_cache
from math import sqrt

import numpy as np

from imuposture._blocks import PLANES, Event, Figure, FloatArray, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_ANGLES, NO_REPETITION, SIDED_PLANES, MetricContext
from imuposture.metrics._sides import SIDES, analysed
from imuposture.metrics._statistics import median, median_interval
from imuposture.metrics.segmentation import Observed

__all__ = ["RepetitionQuality", "bootstrap_difference"]

FEWEST = 6  # repetitions below which a median has no interval
FEWEST_A_SIDE = 3  # below which magnitudes of both sides are not compared
DRAWS = 1000  # pairs of samples drawn anew
MOST_DRAWN = 200  # repetitions to a side from which on the interval comes from order statistics
# Figure: what it is called, the detail of the event, unit, definition.
MEDIANS = (
    ("repetition_out", "out_s", "s", "quality.tempo/1"),
    ("repetition_hold", "hold_s", "s", "quality.tempo/1"),
    ("repetition_back", "back_s", "s", "quality.tempo/1"),
    ("smoothness_out", "sparc_out", "1", "quality.sparc/1"),
    ("smoothness_back", "sparc_back", "1", "quality.sparc/1"),
    ("jerk_out", "ldlj_out", "1", "quality.ldlj/1"),
    ("jerk_back", "ldlj_back", "1", "quality.ldlj/1"),
    ("out_of_plane", "out_of_plane", "1", "quality.out_of_plane/1"),
    ("range_used", "range_used", "%", "quality.range_used/1"),
)


class RepetitionQuality:
    """Medians over the repetitions of a plane and side, and magnitudes of both sides against each other."""

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._values: dict[tuple[Plane, Side, str], list[float]] = {}
        self._sizes: dict[tuple[Plane, Side], list[float]] = {(p, s): [] for p in PLANES for s in SIDES[p]}
        self._analysed = False

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished movements."""
        self._analysed = self._analysed or analysed(seen.posture)
        for event in seen.movements:
            if event.kind == "repetition" and event.plane and event.side and event.amplitude_deg is not None:
                self._take(event, event.plane, event.side, event.amplitude_deg)
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the figures of the session."""
        self.push(seen)
        return MetricBlock(summary=(*self._medians(), *map(self._difference, SIDED_PLANES)))

    def _take(self, event: Event, plane: Plane, side: Side, size: float) -> None:
        self._sizes[plane, side].append(size)
        for _, name, _, _ in MEDIANS[:-1]:
            if name in event.details:
                self._values.setdefault((plane, side, name), []).append(event.details[name])
        whole = self._context.own_range_deg.get(f"{plane}.{side}")
        if whole is not None:
            share = 100.0 * abs(event.details["peak_deg"]) / whole
            self._values.setdefault((plane, side, "range_used"), []).append(share)

    def _medians(self) -> Iterator[Figure]:
        for plane, side in self._sizes:
            for metric, name, unit, plain in MEDIANS:
                values = self._values.get((plane, side, name), [])
                own = f"@own_neutral,{self._context.placement}"
                definition = plain + own if name == "range_used" else plain
                if not values:
                    why = self._missing(plane, side, name)
                    yield Figure(metric, None, unit, definition, plane, side, n=0, reason=why)
                    continue
                low, high = median_interval(values) or (None, None)
                value, n = median(values), len(values)
                yield Figure(metric, value, unit, definition, plane, side, low=low, high=high, n=n)

    def _missing(self, plane: Plane, side: Side, name: str) -> str:
        if not self._analysed:
            return NO_ANGLES
        if not self._sizes[plane, side]:
            return NO_REPETITION
        if name == "range_used":
            return "the person's own range is not known: give own_range_deg, from a range-of-motion test"
        if name.startswith("ldlj"):
            return "noise makes up more than a tenth of the jerk"
        return "the repetitions are too short, or rows are missing in them"

    def _difference(self, plane: Plane) -> Figure:
        right, left = (self._sizes[plane, side] for side in SIDES[plane])
        metric, definition, n = "size_median_difference", "quality.size_difference/1", len(right) + len(left)
        if min(len(right), len(left)) < FEWEST_A_SIDE:
            why = f"fewer than {FEWEST_A_SIDE} repetitions to a side" if self._analysed else NO_ANGLES
            return Figure(metric, None, "deg", definition, plane, n=n, reason=why)
        low, high = bootstrap_difference(right, left)
        return Figure(metric, median(right) - median(left), "deg", definition, plane, low=low, high=high, n=n)


def bootstrap_difference(right: list[float], left: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two medians, by drawing both sides anew (Efron 1979).

    The same draws every time; and each pair of draws is used both ways round, so that swapped sides give the negated
    interval exactly. From 200 repetitions to a side on, the medians' own intervals are combined instead.
    """
    if max(len(right), len(left)) > MOST_DRAWN:
        spread = [median_interval(side) or (min(side), max(side)) for side in (right, left)]
        half = sqrt(sum(((high - low) / 2.0) ** 2 for low, high in spread))
        middle = median(right) - median(left)
        return middle - half, middle + half
    one, other = _draws()
    found = np.concatenate([_medians(right, one) - _medians(left, other), _medians(right, other) - _medians(left, one)])
    found.sort()
    rank = round(0.025 * len(found))
    # Few repetitions vary less among themselves than the truth does: widened as Student's t is wider than the normal.
    middle, wider = median(right) - median(left), sqrt(_widening(len(right)) * _widening(len(left)))
    low, high = float(found[rank]), float(found[-1 - rank])
    return middle + wider * (low - middle), middle + wider * (high - middle)


def _widening(n: int) -> float:
    return sqrt(n / (n - 1.0))


@lru_cache(maxsize=1)
def _draws() -> tuple[FloatArray, FloatArray]:
    """Return two sets of numbers from 0 to 1, the same on every machine (RandomState is frozen)."""
    source = np.random.RandomState(1979)
    return source.random_sample((DRAWS, MOST_DRAWN)), source.random_sample((DRAWS, MOST_DRAWN))


def _medians(values: list[float], draws: FloatArray) -> FloatArray:
    n = len(values)
    drawn = np.array(values)[(draws[:, :n] * n).astype(np.int64)]
    drawn.partition(((n - 1) // 2, n // 2), axis=1)
    medians: FloatArray = 0.5 * (drawn[:, (n - 1) // 2] + drawn[:, n // 2])
    return medians
