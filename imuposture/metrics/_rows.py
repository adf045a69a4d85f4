"""Rows in their time: the windows they fall into, what changed since earlier ones, which of them hold a posture."""

from bisect import bisect_right
from collections.abc import Iterator
from math import floor

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray, PostureBlock, Quality

__all__ = ["GAP", "HEADING_UNKNOWN", "Delay", "Seconds", "Windows", "usable"]

GRACE_S = 5e-7  # s; a row that should open a window may lie a rounding error before it


class Windows:
    """Cut blocks where a window of the session ends; windows are aligned to the first row."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.first_s: float | None = None

    def split(self, time: FloatArray) -> Iterator[tuple[int, slice]]:
        """Yield the number of a window and the rows of ``time``, which increases, in it."""
        if not len(time):
            return
        if self.first_s is None:
            self.first_s = float(time[0])
        begin = 0
        while begin < len(time):
            number = self.number(time[begin])
            last = self.number(time[-1]) == number
            end = len(time) if last else bisect_right(time, number, begin, key=self.number)
            yield number, slice(begin, end)
            begin = end

    def number(self, time_s: float) -> int:
        """Return the number of the window of a time."""
        return floor((time_s - self.start(0) + GRACE_S) / self._seconds)

    def index(self, time: FloatArray) -> NDArray[np.int64]:
        """Return the number of the window of each time."""
        return np.floor((time - self.start(0) + GRACE_S) / self._seconds).astype(np.int64)

    def start(self, number: int) -> float:
        """Return when a window begins, s."""
        return (self.first_s or 0.0) + number * self._seconds


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


class Seconds:
    """Rows and the seconds of the session they lie in."""

    def __init__(self) -> None:
        self._windows = Windows(1.0)
        self._latest = -1

    def push(self, time: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Return the number of each row's second, and which rows are the first of theirs."""
        if not len(time):
            return np.empty(0, np.int64), np.empty(0, np.intp)
        for _ in self._windows.split(time[:1]):
            pass
        number = self._windows.index(time)
        first = np.flatnonzero(number[1:] != number[:-1]) + 1
        if number[0] != self._latest:
            first = np.concatenate([[0], first])
        self._latest = int(number[-1])
        return number, first

    def number(self, time: FloatArray) -> NDArray[np.int64]:
        """Return the number of the second of each time."""
        return self._windows.index(time)

    def start(self, number: FloatArray) -> FloatArray:
        """Return when seconds begin, s."""
        return self._windows.start(0) + number


# Plain numbers: a row of flags becomes one of 64-bit integers where an `IntFlag` is asked for.
GAP, HEADING_UNKNOWN = int(Quality.GAP), int(Quality.HEADING_UNKNOWN)


def usable(posture: PostureBlock, *, heading: bool = False) -> FlagArray:
    """Return 1 for rows that hold a posture (and of which the heading is known), 0 for others."""
    keep: FlagArray = ((posture.quality & (GAP | HEADING_UNKNOWN if heading else GAP)) == 0).view(np.uint8)
    return keep
