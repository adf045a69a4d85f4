"""Accelerations and angular rates that come apart -> rows that hold both.

With a clock of the device: the two nearest within a largest skew. Without: in the order of arrival, where the first
characteristic of the profile opens a row and the others complete it. A half whose other half did not come becomes a
row with NaN, never an invented value. What neither holds acc nor gyr (mag, quat) goes with the next row.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Protocol

from imuposture._blocks import FloatArray
from imuposture.acquisition.drivers.declarative.taking import Taken

__all__ = ["ByArrival", "ByTime", "Joiner", "Row"]

PATIENCE = 64  # samples that wait for their other half


@dataclass(slots=True)
class Row:
    """A row in the making: its tick, and the vectors that came."""

    tick: float | None = None
    vectors: dict[str, FloatArray] = field(default_factory=dict)


class Joiner(Protocol):
    """Samples of several packets -> rows."""

    def push(self, taken: Taken) -> list[Row]:
        """Take the samples of a packet; return the rows that are finished."""
        ...


def rows_of(taken: Taken) -> list[Row]:
    """Return the samples of a packet as rows."""
    ticks: Sequence[float | None] = [None] * taken.count if taken.ticks is None else taken.ticks.tolist()
    return [Row(tick, {name: rows[at] for name, rows in taken.vectors.items()}) for at, tick in enumerate(ticks)]


class _Companions:
    """The latest of what goes with the next row, at most one period of the sensor old."""

    def __init__(self) -> None:
        self._latest: dict[str, FloatArray] = {}

    def keep(self, row: Row) -> None:
        self._latest |= row.vectors

    def added_to(self, row: Row) -> Row:
        row.vectors = self._latest | row.vectors
        self._latest = {}
        return row


class ByArrival:
    """Joins in the order of arrival.

    Parameters
    ----------
    sources : sequence of str
        Places of the packets that hold acc or gyr, in the order in which the sensor sends them.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = tuple(sources)
        self._companions = _Companions()
        self._open: list[Row] = []
        self._has: set[str] = set()

    def push(self, taken: Taken) -> list[Row]:
        """Take the samples of a packet; return the rows that are finished."""
        source, rows = taken.packet.place, rows_of(taken)
        if source not in self._sources:
            for row in rows:
                self._companions.keep(row)
            return []
        done = []
        if source == self._sources[0] or source in self._has:
            done += self._closed()
        for row, other in zip_longest(self._open, rows):  # packets of several samples: the first with the first
            if row is None:
                self._open.append(other)
            elif other is not None:
                row.vectors |= other.vectors
        self._has.add(source)
        if self._has == set(self._sources):
            done += self._closed()
        return done

    def _closed(self) -> list[Row]:
        rows, self._open, self._has = self._open, [], set()
        return [self._companions.added_to(row) for row in rows]


class ByTime:
    """Joins the two nearest by the device's clock.

    Parameters
    ----------
    sources : sequence of str
        Places of the packets that hold acc or gyr; the first one's clock is the row's, where it is there.
    period : float
        Ticks from one sample to the next.
    skew : float
        Largest distance in ticks; less than half a period, so that no sample has two partners.
    wrap : float or None
        The clock restarts at 0 when it reaches this.
    """

    def __init__(self, sources: Sequence[str], period: float, skew: float, wrap: float | None) -> None:
        self._waiting: Mapping[str, deque[Row]] = {source: deque() for source in sources}
        self._last: dict[str, Row] = {}
        self._skew, self._wrap, self._jump = skew, wrap, PATIENCE * period
        self._companions = _Companions()

    def push(self, taken: Taken) -> list[Row]:
        """Take the samples of a packet; return the rows that are finished."""
        source, rows = taken.packet.place, rows_of(taken)
        if source not in self._waiting:
            for row in rows:
                self._companions.keep(row)
            return []
        done = []
        for row in rows:
            before = self._last.get(source)
            if before is not None and not 0 < self._later(row, before) <= self._jump:
                done += self._strangers(row)  # the clock stood, went back or jumped
            self._last[source] = row
            self._waiting[source].append(row)
            done += self._finished()
        return done

    def _finished(self) -> list[Row]:
        """Return the rows, oldest first, whose parts are all there or can no longer come."""
        done = []
        while (joined := self._next(every=False)) is not None:
            done.append(self._companions.added_to(joined))
        return done

    def _strangers(self, row: Row) -> list[Row]:
        """Return what waits and cannot belong before or beside this row."""
        done = []
        while any(
            not -self._jump <= self._later(other, row) <= self._skew
            for queue in self._waiting.values()
            for other in queue
        ):
            joined = self._next(every=True)
            done += [self._companions.added_to(joined)] if joined is not None else []
        return done

    def _next(self, every: bool) -> Row | None:
        heads = {source: queue[0] for source, queue in self._waiting.items() if queue}
        if not heads:
            return None
        oldest = next(iter(heads.values()))
        for head in heads.values():
            if self._later(head, oldest) < 0:
                oldest = head
        late = len(heads) < len(self._waiting)
        if late and not every and max(map(len, self._waiting.values())) <= PATIENCE:
            return None
        near = [source for source, head in heads.items() if abs(self._later(head, oldest)) <= self._skew]
        parts = [self._waiting[source].popleft() for source in near]
        joined = Row(parts[0].tick)
        for part in parts:
            joined.vectors |= part.vectors
        return joined

    def _later(self, one: Row, other: Row) -> float:
        """Return how much later one is, in ticks, over the wrap too."""
        apart = (one.tick or 0.0) - (other.tick or 0.0)
        if self._wrap is None:
            return apart
        apart %= self._wrap
        return apart - self._wrap if apart > self._wrap / 2 else apart
