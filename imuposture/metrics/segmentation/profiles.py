"""Profiles: the rows of movements that may still be open are kept, and what happened in them is told with the movement.

One place for all metrics: each finished repetition gets its phases, its smoothness and, of forward bends, how spine and
pelvis shared them. Rows are kept for the longest time that a movement may take to be reported.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from math import inf, isfinite

import numpy as np

from imuposture._blocks import PLANES, Event, FloatArray, PostureBlock
from imuposture.metrics._rows import GAP
from imuposture.metrics.segmentation.coordination import shared
from imuposture.metrics.segmentation.movements import LONGEST_DELAY_S
from imuposture.metrics.segmentation.smoothness import FEWEST_ROWS, LONGEST_ROWS, Description

__all__ = ["Profiles"]

PROFILE_HZ = 50.0  # rows a second of a speed profile. Small: cuts the spectrum; large: noise of the sensors
AROUND_S = 0.6  # s before and after a movement, where it is so slow that it is still near its level
GRACE_S = 1e-6  # s; times are sums
MOST_MISSING = 0.2  # share of the rows of a movement
WAYS = ("out", "back")
TOLD = ("out_s", "hold_s", "back_s", *(f"{what}_{way}" for way in WAYS for what in ("sparc", "ldlj", "slowings")))

Block = tuple[FloatArray, tuple[FloatArray, ...]]


class Profiles:
    """Rows of the last 75 s, and what they say about movements that end.

    Parameters
    ----------
    rate_hz : float
    """

    def __init__(self, rate_hz: float) -> None:
        self._held: deque[Block] = deque()
        self._waiting: deque[Event] = deque()
        self._last_s = 0.0
        self._every = max(1, round(rate_hz / PROFILE_HZ))
        self._rate_hz = rate_hz / self._every
        self._description = Description(self._rate_hz)

    def push(self, posture: PostureBlock, movements: tuple[Event, ...]) -> tuple[Event, ...]:
        """Take rows, and the movements that became certain with them; give those with what their rows say."""
        self._waiting.extend(movements)
        if len(posture):
            self._hold(posture)
            self._last_s = float(posture.time_s[-1])
        return tuple(self._complete(self._last_s - AROUND_S - 1.5 / self._rate_hz))

    def finish(self, movements: tuple[Event, ...]) -> tuple[Event, ...]:
        """Take the last movements; give those that waited too."""
        self._waiting.extend(movements)
        return tuple(self._complete(inf))

    def _complete(self, until_s: float) -> Iterator[Event]:
        """Yield movements, in their order, of which all rows are known."""
        while self._waiting and (self._waiting[0].kind != "repetition" or self._waiting[0].end_s <= until_s):
            event = self._waiting.popleft()
            yield self._told(event) if event.kind == "repetition" else event

    def _hold(self, posture: PostureBlock) -> None:
        """Keep the rows, and forget those that no movement reported from now on can reach."""
        columns = [getattr(posture, f"{plane}_deg") for plane in PLANES]
        columns += [posture.lower_forward_deg, posture.trunk_inclination_deg]
        gap = (posture.quality & GAP) != 0
        if gap.any():
            columns = [np.where(gap, np.nan, column) for column in columns]
        oldest = float(posture.time_s[0]) - LONGEST_DELAY_S - 1.0
        while self._held and self._held[0][0][-1] < oldest:
            self._held.popleft()
        self._held.append((posture.time_s, tuple(columns)))

    def _told(self, event: Event) -> Event:
        if event.plane is None:
            return event
        plane = PLANES.index(event.plane)
        bend = (event.plane, event.side) == ("flexion", "forward")
        first, last = round(AROUND_S * self._rate_hz), round((event.end_s - event.start_s + AROUND_S) * self._rate_hz)
        begin_s = event.start_s - first / self._rate_hz
        rows = self._rows(begin_s, event.end_s + AROUND_S, (plane, 3, 4) if bend else (plane, 4))
        if rows is None:
            return event
        sign = 1.0 if event.side in ("forward", "right") else -1.0
        last = min(last, len(rows[0]) - 1)
        found = self._description.of(sign * (rows[0] - event.details["level_deg"]), first, last)
        details = {name: found[name] for name in TOLD if name in found}
        if bend and found:
            begin, end = int(found["out_begin"]), int(found["out_end"])
            if end - begin >= FEWEST_ROWS:
                details |= shared(rows[0][begin:end], rows[1][begin:end])
        lean = float(rows[-1][first])
        if isfinite(lean):
            details["lean_deg"] = lean
        return replace(event, details=event.details | details)

    def _rows(self, start_s: float, end_s: float, wanted: tuple[int, ...]) -> list[FloatArray] | None:
        """Return the wanted columns of a movement, evenly in time; None where too much is missing."""
        count = int((end_s - start_s) * self._rate_hz) + 1
        if not FEWEST_ROWS <= count <= LONGEST_ROWS:
            return None
        parts = []
        for time, columns in self._held:
            if time[-1] >= start_s - GRACE_S and time[0] <= end_s + GRACE_S:
                begin, end = time.searchsorted((start_s - GRACE_S, end_s + GRACE_S)).tolist()
                parts.append([time[begin:end], *(columns[k][begin:end] for k in wanted)])
        if not parts:
            return None
        rows = parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]
        known = np.isfinite(rows[1])
        there = int(np.count_nonzero(known))
        if there < (1.0 - MOST_MISSING) * count * self._every:
            return None
        if there == len(known) and len(known) == round((end_s - start_s) * self._rate_hz * self._every) + 1:
            return [np.ascontiguousarray(column[:: self._every]) for column in rows[1:]]
        even = start_s + np.arange(count) / self._rate_hz
        return [np.interp(even, rows[0][known], column[known]) for column in rows[1:]]
