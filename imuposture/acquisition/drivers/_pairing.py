"""Acceleration, angular rate and magnetic field that come apart, joined into rows.

Two ways: by time stamp where the sensor gives one, by order of arrival where it does not. A part without the others
becomes a row with NaN in what is missing; nothing is ever invented, and what is held back is bounded.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from imuposture._blocks import FlagArray, FloatArray, ImuBlock, Quality, Role

__all__ = ["ByOrder", "ByStamp", "Row", "block_of"]

WIDTHS = {"acc": 3, "gyr": 3, "mag": 3, "quat": 4}
NEAR = 0.75  # periods within which stamps belong together: beyond half of one, so that slow drift slips only rarely
MOST_HELD = 4096  # rows of one part; a sensor with a broken clock must not fill the memory


@dataclass(slots=True)
class Row:
    """One row in the making: its time in ticks, the parts that came, and what is known to be wrong with it."""

    tick: float
    parts: dict[str, FloatArray] = field(default_factory=dict)
    flag: int = 0


class ByOrder:
    """Joins parts that carry no time, by the turn in which they come.

    Within a row the parts keep their order, so a part that comes out of turn belongs to the next row, and what the row
    before it lacks was lost. Of three parts two orders are possible; the other is tried when two rows running are not
    whole. An order that starts elsewhere (the rates first) shifts the parts by one row against each other at most.

    Parameters
    ----------
    parts : sequence of str
        What makes a row, in the order expected.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._order = list(parts)
        self._open: dict[str, FloatArray] = {}
        self._broken = 0
        self._count = 0

    def push(self, part: str, values: FloatArray) -> list[Row]:
        """Take the samples of one payload, (n, 3) or (n, 4); return the rows that are whole, or will never be."""
        turn = self._order.index
        rows = self._close() if any(turn(part) <= turn(one) for one in self._open) else []
        self._open[part] = values
        return rows + (self._close() if len(self._open) == len(self._order) else [])

    def _close(self) -> list[Row]:
        samples = max(map(len, self._open.values()))
        told = [{part: values[n] for part, values in self._open.items() if n < len(values)} for n in range(samples)]
        rows = [Row(float(self._count + n), parts) for n, parts in enumerate(told)]
        self._count += samples
        self._broken = self._broken + 1 if len(self._open) < len(self._order) else 0
        if self._broken == 2:
            self._order[1:], self._broken = self._order[:0:-1], 0
        self._open = {}
        return rows


class ByStamp:
    """Joins parts by their times on one clock: what lies within three quarters of a period becomes one row.

    A row has the time of its earliest part. It waits until each part that is `expected` has gone past it, or until
    others are ``patience`` ahead; a part that comes even later makes rows that are marked as out of order.

    Parameters
    ----------
    parts : sequence of str
        What can come.
    period, patience : float, ticks
    wrap : float or None
        The clock restarts at 0 when it reaches this many ticks.
    """

    def __init__(self, parts: Sequence[str], period: float, patience: float, wrap: float | None = None) -> None:
        self._queues: dict[str, deque[tuple[float, FloatArray]]] = {part: deque() for part in parts}
        self._last: dict[str, float] = {}
        self._told = -np.inf
        self._near, self._patience, self._wrap = NEAR * period, patience, wrap
        self.expected: set[str] = set()

    def push(self, part: str, ticks: FloatArray, values: FloatArray) -> list[Row]:
        """Take samples of one part, (n,) and (n, 3), in order; return the rows that are complete, or will never be."""
        rows: list[Row] = []
        samples = list(zip(self._unwrapped(ticks).tolist(), values, strict=True))
        last = self._last.get(part, -np.inf)
        if samples[0][0] <= last and last - samples[0][0] <= self._patience:
            # The sensor repeats itself: shown as what it is, and kept out of the joining.
            return [self._row(tick, {part: value}, is_late=True) for tick, value in samples]
        if samples[0][0] <= last:
            rows += self._all_of_an_older_clock()
        self._queues[part].extend(samples)
        self._last[part] = samples[-1][0]
        while (first := self._first()) is not None and self._settled(first):
            rows.append(self._take(first))
        return rows

    def _first(self) -> float | None:
        return min((queue[0][0] for queue in self._queues.values() if queue), default=None)

    def _settled(self, first: float) -> bool:
        """Tell whether nothing more can come for the row at that time."""
        missing = [part for part in self.expected if not self._queues[part]]
        if all(self._last.get(part, -np.inf) >= first + self._near for part in missing):
            return True
        newest = max(queue[-1][0] for queue in self._queues.values() if queue)
        return newest - first > self._patience or max(map(len, self._queues.values())) > MOST_HELD

    def _take(self, first: float) -> Row:
        near = [queue for queue in self._queues.items() if queue[1] and queue[1][0][0] <= first + self._near]
        parts = {part: queue.popleft()[1] for part, queue in near}
        is_late, self._told = first <= self._told, max(first, self._told)
        return self._row(first, parts, is_late)

    def _row(self, tick: float, parts: dict[str, FloatArray], is_late: bool) -> Row:
        told = tick if self._wrap is None else tick % self._wrap
        return Row(told, parts, int(Quality.DUPLICATE_OR_REORDERED) if is_late else 0)

    def _unwrapped(self, ticks: FloatArray) -> FloatArray:
        """Return the ticks as if the clock went on where it wraps: each as near to the newest one as it can be."""
        if self._wrap is None or not self._last:
            return ticks
        return ticks + self._wrap * np.round((max(self._last.values()) - ticks) / self._wrap)

    def _all_of_an_older_clock(self) -> list[Row]:
        rows = []
        while (first := self._first()) is not None:
            rows.append(self._take(first))
        self._last.clear()
        self._told = -np.inf
        return rows


def block_of(role: Role, rows: Sequence[Row], optional: Iterable[str] = ()) -> ImuBlock:
    """Make a block of rows; what is missing is NaN, and ``mag`` and ``quat`` are None unless named as optional."""
    told = set(optional)
    flags: FlagArray = np.array([row.flag for row in rows], dtype=np.uint8)
    return ImuBlock(
        role=role,
        ticks=np.array([row.tick for row in rows], dtype=np.float64),
        acc=_column(rows, "acc"),
        gyr=_column(rows, "gyr"),
        mag=_column(rows, "mag") if "mag" in told else None,
        flags=flags if flags.any() else None,
        quat=_column(rows, "quat") if "quat" in told else None,
    )


def _column(rows: Sequence[Row], part: str) -> FloatArray:
    column = np.full((len(rows), WIDTHS[part]), np.nan)
    for place, row in enumerate(rows):
        if part in row.parts:
            column[place] = row.parts[part]
    return column
