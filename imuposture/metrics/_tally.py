"""Rows of one quantity, counted for the whole session or for a window."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray, PostureBlock, Quality
from imuposture._ext import tallies as _ext
from imuposture.metrics._context import MetricContext

__all__ = ["BIN", "Column", "Delay", "Tally", "Window", "WindowTallies", "Windows", "usable"]

Column = tuple[FloatArray, FloatArray, FlagArray]

BIN = 0.05  # degrees (or degrees a second), width of a bin of the percentiles. Small: memory; large: coarse percentiles
REACH = 180.0  # degrees


class Tally:
    """Sums, counts and percentiles of one quantity in bounded memory.

    Parameters
    ----------
    rate_hz : float
    limits : sequence of (limit, sign)
        Time is counted beyond each limit, above for sign +1 and below for sign -1.
    dead_band : float
        Dose counts beyond plus and minus this much.
    reach : float
        Percentiles are exact to half a bin (0.025) within plus and minus this.
    """

    def __init__(
        self,
        rate_hz: float,
        limits: Sequence[tuple[float, float]] = (),
        dead_band: float = 0.0,
        reach: float = REACH,
    ) -> None:
        self._minute = 60.0 * rate_hz
        self._limits = np.array([limit for limit, _ in limits], dtype=np.float64)
        self._signs = np.array([sign for _, sign in limits], dtype=np.float64)
        self._dead_band = dead_band
        self._sums = np.zeros(4)
        self._counts = np.zeros(4 + len(limits), dtype=np.int64)
        self._bins = np.zeros(2 * round(reach / BIN) + 1, dtype=np.int64)

    def add(self, x: FloatArray, sd: FloatArray, keep: FlagArray) -> None:
        """Take rows; those that are NaN or not kept are passed over."""
        _ext.add(
            np.ascontiguousarray(x),
            np.ascontiguousarray(sd),
            keep,
            self._limits,
            self._signs,
            self._dead_band,
            BIN,
            self._sums,
            self._counts,
            self._bins,
        )

    @property
    def n(self) -> int:
        """Rows taken."""
        return int(self._counts[0])

    @property
    def minutes(self) -> float:
        """Time taken, min."""
        return self.n / self._minute

    @property
    def mean(self) -> float:
        """Mean of the rows; ask only when there are any."""
        return float(self._sums[0]) / self.n

    @property
    def mean_sd(self) -> float | None:
        """Mean of the rows' standard deviations: an error they share. None where it is not known of half of them."""
        known = int(self._counts[1])
        return float(self._sums[1]) / known if 2 * known >= self.n and known else None

    def beyond(self, k: int) -> tuple[float, float]:
        """Return share in percent and minutes beyond limit ``k``."""
        rows = int(self._counts[4 + k])
        return 100.0 * rows / self.n, rows / self._minute

    @property
    def minutes_right(self) -> float:
        """Time above the dead band (right, or forward), min."""
        return int(self._counts[2]) / self._minute

    @property
    def minutes_left(self) -> float:
        """Time below the dead band (left, or backward), min."""
        return int(self._counts[3]) / self._minute

    @property
    def dose_right(self) -> float:
        """Integral of what exceeds the dead band, deg min."""
        return float(self._sums[2]) / self._minute

    @property
    def dose_left(self) -> float:
        """The same on the other side."""
        return float(self._sums[3]) / self._minute

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Return percentiles by the linear definition (R type 7), each exact to half a bin."""
        below = np.cumsum(self._bins)
        values = []
        for share in shares:
            place = (self.n - 1) * share
            first = int(place)
            low = self._ranked(first, below)
            high = self._ranked(min(first + 1, self.n - 1), below)
            values.append(low + (place - first) * (high - low))
        return values

    def _ranked(self, rank: int, below: NDArray[np.int64]) -> float:
        """Return the value of a rank: the rows of a bin are taken as spread evenly over it."""
        k = int(np.searchsorted(below, rank, side="right"))
        inside = int(self._bins[k])
        before = int(below[k]) - inside
        offset = (2 * (rank - before) + 1 - inside) / (2.0 * inside)  # whole numbers above: mirrored data, -offset
        return (k - len(self._bins) // 2 + offset) * BIN


Window = tuple[float, float, dict[str, Tally]]


class Windows:
    """Cut blocks where a window of the session ends; windows are aligned to the first row."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.first_s: float | None = None

    def split(self, time: FloatArray) -> Iterator[tuple[int, slice]]:
        """Yield the number of a window and the rows of ``time`` in it."""
        if not len(time):
            return
        if self.first_s is None:
            self.first_s = float(time[0])
        index = self.index(time)
        edges = np.flatnonzero(np.diff(index)) + 1
        for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), len(time)], strict=True):
            yield int(index[begin]), slice(begin, end)

    def index(self, time: FloatArray) -> NDArray[np.int64]:
        """Return the number of the window of each time."""
        # Half a microsecond of grace: a row that should open a window may lie a rounding error before it.
        return np.floor((time - self.start(0) + 5e-7) / self._seconds).astype(np.int64)

    def start(self, number: int) -> float:
        """Return when a window begins, s."""
        return (self.first_s or 0.0) + number * self._seconds


class WindowTallies:
    """Tallies of several quantities, for the session and for the window that is open.

    Parameters
    ----------
    context : MetricContext
    make : callable without arguments, giving new tallies by name
    """

    def __init__(self, context: MetricContext, make: Callable[[], dict[str, Tally]]) -> None:
        self._make = make
        self._windows = Windows(context.window_s)
        self._row_s = 1.0 / context.rate_hz
        self._number = 0
        self._last_s = 0.0
        self.whole = make()
        self._window: dict[str, Tally] | None = None

    def push(self, time: FloatArray, columns: dict[str, Column]) -> Iterator[Window]:
        """Take rows of every quantity (value, standard deviation, keep) and yield the windows that ended."""
        for number, rows in self._windows.split(time):
            if number != self._number:
                yield from self.finish()
                self._number = number
            if self._window is None:
                self._window = self._make()
            for name, (x, sd, keep) in columns.items():
                self.whole[name].add(x[rows], sd[rows], keep[rows])
                self._window[name].add(x[rows], sd[rows], keep[rows])
            self._last_s = float(time[rows.stop - 1])

    def finish(self) -> Iterator[Window]:
        """Yield the window that is open, if any."""
        if self._window is not None:
            start, end = self._windows.start(self._number), self._windows.start(self._number + 1)
            yield start, min(end, self._last_s + self._row_s), self._window
        self._window = None


class Delay:
    """Difference of each row to the one ``rows`` before it; NaN where there is none."""

    def __init__(self, rows: int) -> None:
        self._held = np.full(rows, np.nan)

    def push(self, x: FloatArray) -> FloatArray:
        """Return x[n] - x[n - rows]."""
        line = np.concatenate([self._held, x])
        self._held = line[len(x) :]
        change: FloatArray = x - line[: len(x)]
        return change


def usable(posture: PostureBlock) -> FlagArray:
    """Return 1 for rows that hold a posture, 0 for those in a gap."""
    keep: FlagArray = ((posture.quality & Quality.GAP) == 0).astype(np.uint8)
    return keep
