"""Ledger: finished movements in, what each side was given and what would even it out."""

from collections.abc import Iterator
from math import ceil

from imuposture._blocks import Event, Figure, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_ANGLES, SIDED_PLANES, MetricContext
from imuposture.metrics._sides import analysed
from imuposture.metrics._statistics import median
from imuposture.metrics.segmentation import Observed

__all__ = ["Ledger"]

LEAST_SHARE = 0.1  # of the dose of both sides: a smaller remainder asks for nothing
SIDES: tuple[Side, Side] = ("right", "left")


class Ledger:
    """Dose of the repetitions to each side, right - left, and how many repetitions of the other side would even it.

    The dose of a repetition is its size, from its own start: the ledger is free of the neutral stance. Sessions add
    up: the doses of several, side by side, are the ledger of a week.
    """

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        del context
        self._sizes: dict[tuple[Plane, Side], list[float]] = {(p, s): [] for p in SIDED_PLANES for s in SIDES}
        self._doses = dict.fromkeys(self._sizes, 0.0)
        self._analysed = False

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished movements."""
        self._analysed = self._analysed or analysed(seen.posture)
        for event in seen.movements:
            self._take(event)
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the ledger of the session."""
        for event in seen.movements:
            self._take(event)
        return MetricBlock(summary=tuple(figure for plane in SIDED_PLANES for figure in self._figures(plane)))

    def _take(self, event: Event) -> None:
        if event.kind != "repetition" or not event.plane or not event.side or event.amplitude_deg is None:
            return
        if (key := (event.plane, event.side)) in self._sizes:
            self._sizes[key].append(event.amplitude_deg)
            self._doses[key] += event.amplitude_deg

    def _figures(self, plane: Plane) -> Iterator[Figure]:
        why, n = None if self._analysed else NO_ANGLES, sum(len(self._sizes[plane, side]) for side in SIDES)
        for side in SIDES:
            dose = self._doses[plane, side] if self._analysed else None
            definition, own = "ledger.dose/1", len(self._sizes[plane, side])
            yield Figure("repetition_dose", dose, "deg", definition, plane, side, n=own, reason=why)
        more = self._doses[plane, "right"] - self._doses[plane, "left"] if self._analysed else None
        yield Figure("repetition_dose_difference", more, "deg", "ledger.difference/1", plane, n=n, reason=why)
        for side in SIDES:
            count = self._evening(plane, side) if self._analysed else None
            definition = "ledger.evening/1"
            yield Figure("evening_repetitions", count, "1", definition, plane, side, n=n, reason=why)

    def _evening(self, plane: Plane, side: Side) -> float:
        """Return how many more repetitions to ``side`` would even the doses; 0 for the side that has more."""
        other: Side = "left" if side == "right" else "right"
        mine, theirs = self._doses[plane, side], self._doses[plane, other]
        missing = theirs - mine
        if missing <= LEAST_SHARE * (mine + theirs):
            return 0.0
        # Of the size this side is used to; of the other's where it has none.
        size = median(self._sizes[plane, side] or self._sizes[plane, other])
        return float(ceil(missing / size - 0.5))
