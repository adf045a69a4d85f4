"""Rows sorted into classes, and how long each stay in a class lasts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray
from imuposture._ext import stays as _ext

__all__ = ["Classifier", "CodeArray", "Holds", "Stays"]

CodeArray = NDArray[np.int8]
FOUND = 64
STEPS = 1.5  # rows; what comes later than this after the row before it came after a pause


class Classifier:
    """Rows of an angle -> the level of each: by how many cuts it is beyond; -1 where nothing is known.

    Parameters
    ----------
    cuts : sequence of float, degrees, rising
        A value at a cut belongs to the side of zero, so that the mirrored person falls into the mirrored classes.
    levels : sequence of int, optional
        Of values beyond no cut, one, ...; that number itself when None.
    absolute : bool
        Only the size of the angle counts.
    margin : float, degrees
        A class is left only this far beyond a cut. Small: noise at a cut counts; large: classes overlap.
    """

    def __init__(
        self,
        cuts: Sequence[float],
        levels: Sequence[int] | None = None,
        *,
        absolute: bool = False,
        margin: float = 0.0,
    ) -> None:
        self._cuts = np.array(cuts, dtype=np.float64)
        self._above = np.where(self._cuts > 0.0, self._cuts, np.nextafter(self._cuts, -np.inf))
        self._levels = np.array(range(len(cuts) + 1) if levels is None else levels, dtype=np.int8)
        self._absolute, self._margin = absolute, margin
        self._state = np.full(1, -1, dtype=np.int8)

    def push(self, x: FloatArray, keep: FlagArray) -> CodeArray:
        """Return the level of each row."""
        codes = np.empty(len(x), dtype=np.int8)
        x = np.ascontiguousarray(x)
        known = self._cuts, self._above, self._levels
        _ext.classify(x, keep, *known, self._absolute, self._margin, self._state, codes)
        return codes


class Stays:
    """How much time was spent in each class, in stays of which length.

    Parameters
    ----------
    classes : int
    rate_hz : float
    edges_s : sequence of float, s
        Lengths at which stays are told apart: shorter than the first, ..., at least as long as the last.
    """

    def __init__(self, classes: int, rate_hz: float, edges_s: Sequence[float] = ()) -> None:
        self._edges = np.ceil(np.array(edges_s, dtype=np.float64) * rate_hz - 1e-9)
        self._rows = np.zeros((classes, len(edges_s) + 1), dtype=np.int64)
        self._counts = np.zeros((classes, 3), dtype=np.int64)
        self._state = np.array([-1.0, 0.0, -np.inf])
        self._step = STEPS / rate_hz
        self._rate = rate_hz

    def push(self, time: FloatArray, codes: CodeArray) -> None:
        """Take the next rows."""
        _ext.stays(np.ascontiguousarray(time), codes, self._step, self._edges, self._state, self._rows, self._counts)

    def end(self) -> None:
        """End the stay that is open."""
        self.push(self._state[2:].copy(), np.full(1, -1, dtype=np.int8))

    @property
    def n(self) -> int:
        """Rows in any class; of ended stays."""
        return int(self._rows.sum())

    @property
    def table(self) -> NDArray[np.int64]:
        """Rows by class and length of the stay."""
        return self._rows

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows by class."""
        total: NDArray[np.int64] = self._rows.sum(axis=1)
        return total

    @property
    def entries(self) -> int:
        """How often a class was entered straight from another one."""
        return int(self._counts[:, 1].sum())

    def longest_min(self, code: int) -> float:
        """Return the longest stay in a class, min."""
        return int(self._counts[code, 2]) / (60.0 * self._rate)


class Holds:
    """Stretches of at least ``shortest_s`` in which an angle stays within ``tolerance_deg`` of its middle."""

    def __init__(self, rate_hz: float, tolerance_deg: float, shortest_s: float) -> None:
        self._tolerance, self._shortest, self._step = tolerance_deg, shortest_s, STEPS / rate_hz
        self._state = np.zeros(7)
        self._found = np.zeros((FOUND, 4))
        self._done = np.zeros(2, dtype=np.intp)

    def push(self, time: FloatArray, x: FloatArray, other: FloatArray | None = None) -> list[list[float]]:
        """Take rows; return start, end, mean of ``x`` and mean of ``other`` of the stretches that ended."""
        found: list[list[float]] = []
        time, x, at = np.ascontiguousarray(time), np.ascontiguousarray(x), 0
        beside = x if other is None else np.ascontiguousarray(other)
        while at < len(time):
            _ext.holds(
                time[at:],
                x[at:],
                beside[at:],
                self._tolerance,
                self._shortest,
                self._step,
                self._state,
                self._found,
                self._done,
            )
            at += int(self._done[0])
            found += self._found[: self._done[1]].tolist()
        return found

    def finish(self) -> list[list[float]]:
        """End the stretch that is open."""
        return self.push(self._state[3:4].copy(), np.full(1, np.nan))
