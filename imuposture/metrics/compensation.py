"""Compensation: what changed against the person's own earlier sessions; whether the sensors still sit as they did."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Figure, MetricBlock, PostureBlock
from imuposture.metrics._context import NO_ROWS, MetricContext
from imuposture.metrics._norms import published_sem
from imuposture.metrics._rows import GAP
from imuposture.metrics._statistics import Sample, difference, median
from imuposture.metrics.changed import RANGES, change
from imuposture.metrics.segmentation import Observed

__all__ = ["Wear", "since_baseline"]

STILL_DEG = 2.0  # degrees from second to second. Small: sway ends stances; large: slow movements count
STANCE_S = 4  # s that a stance lasts at least
UPRIGHT_DEG = 25.0  # forward and backward; side inclinations of who sits are those of who stands
SIDEWAYS_DEG = 20.0
LOOKED = ("upper_side_deg", "lower_side_deg", "upper_forward_deg", "lower_forward_deg")
LIMITS = np.array([SIDEWAYS_DEG, SIDEWAYS_DEG, UPRIGHT_DEG, UPRIGHT_DEG])
STANCES = 5  # at the beginning and at the end, which are compared
SHIFT_DEG = 5.0  # degrees of drift that no return to a stance explains: people return within about 2


def since_baseline(context: MetricContext, summary: Sequence[Figure]) -> Iterator[Figure]:
    """Yield how figures of a session differ from the same ones of earlier sessions (``context.baseline``).

    ``low`` and ``high`` are the change less and plus the minimal detectable change: zero lies outside where it is
    exceeded. See `imuposture.metrics.changed`.
    """
    known = {".".join(str(part) for part in (f.metric, f.plane, f.side) if part): f for f in summary}
    published = published_sem(context.placement)
    for key, before in context.baseline.items():
        figure = known.get(key)
        if figure is None:
            unknown = "there is no such figure in this session"
            yield Figure(f"change_of_{key}", None, "1", "compensation.change/1@none", n=len(before), reason=unknown)
            continue
        sem, source = published if published and figure.metric in RANGES else (None, "")
        found = change(key, figure.value, list(before), sem=sem, source=source)
        low, high = (None, None)
        if found.change is not None and found.mdc is not None:
            low, high = found.change - found.mdc, found.change + found.mdc
        name, told = f"change_of_{figure.metric}", f"compensation.change/1@{found.source}"
        plane, side = figure.plane, figure.side
        yield Figure(name, found.change, figure.unit, told, plane, side, low, high, found.n, reason=found.reason)


class Wear:
    """Drift of each sensor's side inclination from the first still, upright stances to the last.

    A strap that slipped changes every angle from then on by the same amount, and looks like a habit. Forward and
    backward drift is not told: who sits down differs there more than a strap slips.
    """

    needs: frozenset[str] = frozenset()

    def __init__(self, context: MetricContext) -> None:
        del context
        self._rows = 0
        self._stance: list[list[float]] = []
        self._first: list[list[float]] = []
        self._last: list[list[float]] = []
        self._count = 0

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows."""
        if len(seen.posture):
            self._look(seen.posture, seen.starts)
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the drift of both sensors."""
        del seen
        self._end()
        return MetricBlock(summary=tuple(self._figure(k, role) for k, role in enumerate(("upper", "lower"))))

    def _look(self, posture: PostureBlock, first: NDArray[np.intp]) -> None:
        """Look at the first row of every second."""
        self._rows += len(posture)
        rows = np.stack([getattr(posture, name)[first] for name in LOOKED], axis=1)
        upright = (np.abs(rows) <= LIMITS).all(axis=1) & ((posture.quality[first] & GAP) == 0)
        for row, stands in zip(rows.tolist(), upright.tolist(), strict=True):
            if self._stance and not (stands and _still(row, self._stance[0])):
                self._end()
            if stands:
                self._stance.append(row)

    def _end(self) -> None:
        if len(self._stance) >= STANCE_S:
            middle = [median([row[k] for row in self._stance]) for k in (0, 1)]
            self._count += 1
            (self._first if len(self._first) < STANCES else self._last).append(middle)
            del self._last[:-STANCES]
        self._stance = []

    def _figure(self, k: int, role: str) -> Figure:
        name, definition = f"stance_drift_{role}", "compensation.stance_drift/1"
        if len(self._last) < STANCES:
            why = f"fewer than {2 * STANCES} still, upright stances" if self._rows else NO_ROWS
            return Figure(name, None, "deg", definition, n=self._count, reason=why)
        late, early = Sample(), Sample()
        for sample, stances in ((late, self._last), (early, self._first)):
            for stance in stances:
                sample.add(stance[k])
        found = difference(late, early, 0.0)
        low, high = found.interval()
        figure = Figure(name, found.value, "deg", definition, low=low, high=high, n=self._count)
        if low is None or high is None or not max(low, -high) > SHIFT_DEG:
            return figure
        return figure._replace(reason="the sensor has moved, or the person stands differently: calibrate again")


def _still(row: list[float], first: list[float]) -> bool:
    (a, b, c, d), (e, f, g, h) = row, first
    return abs(a - e) <= STILL_DEG and abs(b - f) <= STILL_DEG and abs(c - g) <= STILL_DEG and abs(d - h) <= STILL_DEG
