"""Rows of one quantity, counted for the whole session or for a window."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Figure, FlagArray, FloatArray
from imuposture._ext import tallies as _ext
from imuposture.metrics._context import MetricContext
from imuposture.metrics._rows import Windows

__all__ = ["BIN", "NO_SD", "Column", "Span", "Tally", "WindowTallies"]

Column = tuple[FloatArray, FloatArray, FlagArray]  # value, its standard deviation or NO_SD, keep
NO_SD: FloatArray = np.zeros(0)  # where nobody will ask for the mean of the standard deviations

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
    sums, percentiles : bool
        False: nobody will ask for mean and dose, or for percentiles.
    """

    def __init__(
        self,
        rate_hz: float,
        limits: Sequence[tuple[float, float]] = (),
        dead_band: float = 0.0,
        reach: float = REACH,
        *,
        sums: bool = True,
        percentiles: bool = True,
    ) -> None:
        self._minute = 60.0 * rate_hz
        self._limits = np.array([limit for limit, _ in limits], dtype=np.float64)
        self._signs = np.array([sign for _, sign in limits], dtype=np.float64)
        self._dead_band = dead_band
        self._sums = np.zeros(4 if sums else 0)
        self._running = np.zeros_like(self._sums)
        self._counts = np.zeros(4 + len(limits), dtype=np.int64)
        self._bins = np.zeros(2 * round(reach / BIN) + 1 if percentiles else 0, dtype=np.int64)
        self._filled = _nowhere(self._bins)

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
            self._running,
            self._counts,
            self._bins,
            self._filled,
        )

    def part(self) -> "Tally":
        """Return an empty tally for some of the rows; this one has them after `merge`.

        Sums of the parts, added up, would not be those of the rows in the last bit, and would depend on where the
        parts end. So a part also carries on the sums of the whole, row by row.
        """
        part = copy(self)
        part._sums, part._running = np.zeros_like(self._sums), self._sums.copy()
        part._counts, part._bins = np.zeros_like(self._counts), np.zeros_like(self._bins)
        part._filled = _nowhere(self._bins)
        return part

    def merge(self, part: "Tally") -> None:
        """Take over the rows of the latest part; parts follow one another."""
        self._sums[:] = part._running
        self._counts += part._counts
        first, last = part._filled.tolist()
        self._bins[first : last + 1] += part._bins[first : last + 1]
        self._filled[0] = min(self._filled[0], first)
        self._filled[1] = max(self._filled[1], last)

    def empty(self, part: "Tally") -> None:
        """Make a part that was merged a new one: room for another would cost more than the rows of a window."""
        part._sums[:] = 0.0
        part._running[:] = self._sums
        part._counts[:] = 0
        first, last = part._filled.tolist()
        part._bins[first : last + 1] = 0
        part._filled = _nowhere(self._bins)

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

    def beyond(self) -> list[tuple[float, float]]:
        """Return share in percent and minutes beyond each limit; ask only when there are rows."""
        n, minute = self.n, self._minute
        return [(100.0 * rows / n, rows / minute) for rows in self._counts[4:].tolist()]

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
        first_bin, last_bin = self._filled.tolist()
        inside, middle = self._bins[first_bin : last_bin + 1], len(self._bins) // 2 - first_bin
        places = [(self.n - 1) * share for share in shares]
        ranks = [int(place) for place in places]
        found = _ranked([*ranks, *(min(rank + 1, self.n - 1) for rank in ranks)], inside, middle)
        pairs = zip(places, ranks, found[: len(ranks)], found[len(ranks) :], strict=True)
        return [low + (place - rank) * (high - low) for place, rank, low, high in pairs]


def _nowhere(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return first and last bin that hold anything, when none does."""
    return np.array([len(bins), -1])


def _ranked(ranks: list[int], bins: NDArray[np.int64], middle: int) -> list[float]:
    """Return the values of ranks: the rows of a bin are taken as spread evenly over it."""
    below = bins.cumsum()
    places = below.searchsorted(ranks, side="right")
    inside = bins[places]
    before = below[places] - inside
    known = zip(ranks, places.tolist(), inside.tolist(), before.tolist(), strict=True)
    # Whole numbers above: mirrored data give -offset.
    return [(k - middle + (2 * (rank - first) + 1 - n) / (2.0 * n)) * BIN for rank, k, n, first in known]


@dataclass(slots=True)
class Span:
    """A window that ended, or the whole session: its tallies by name, and its rows, usable or not."""

    tallies: dict[str, Tally]
    rows: int = 0
    start_s: float | None = None
    end_s: float | None = None

    def figure(self) -> partial[Figure]:
        """Return what makes figures of this span."""
        return partial(Figure, start_s=self.start_s, end_s=self.end_s)


class WindowTallies:
    """Tallies of several quantities, for the session and for the window that is open.

    Parameters
    ----------
    context : MetricContext
    tallies : dict of Tally
        New ones by name.
    """

    def __init__(self, context: MetricContext, tallies: dict[str, Tally]) -> None:
        self._windows = Windows(context.window_s)
        self._row_s = 1.0 / context.rate_hz
        self._number = 0
        self._last_s = 0.0
        self.whole = Span(tallies)
        self._window: Span | None = None
        self._room = {name: tally.part() for name, tally in tallies.items()}

    def push(self, time: FloatArray, columns: dict[str, Column]) -> Iterator[Span]:
        """Take rows of every quantity and yield the windows that ended; a window is emptied before the next one."""
        for number, rows in self._windows.split(time):
            if number != self._number:
                yield from self.finish()
                self._number = number
            if self._window is None:
                self._window = Span(self._room)
            for name, (x, sd, keep) in columns.items():
                self._window.tallies[name].add(x[rows], sd[rows], keep[rows])
            self._window.rows += rows.stop - rows.start
            self._last_s = float(time[rows.stop - 1])

    def finish(self) -> Iterator[Span]:
        """Yield the window that is open, if any, to be looked at at once; from then on ``whole`` has its rows too."""
        window, self._window = self._window, None
        if window is None:
            return
        self.whole.rows += window.rows
        for name, tally in self.whole.tallies.items():
            tally.merge(window.tallies[name])
        window.start_s, end = self._windows.start(self._number), self._windows.start(self._number + 1)
        window.end_s = min(end, self._last_s + self._row_s)
        yield window
        for name, tally in self.whole.tallies.items():
            tally.empty(window.tallies[name])
