"""Whole recordings to orientations: as many side by side as the processor has lanes."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imuposture._blocks import FloatArray
from imuposture._errors import SignalError
from imuposture._ext import fusion as _ext
from imuposture.fusion import streams
from imuposture.fusion.checks import refuse_nonsense, vectors
from imuposture.fusion.parameters import Parameters

__all__ = ["orientation"]

NAMES = ("gyr", "acc", "mag")
CHUNK = 2048  # rows before the next look at a list of recordings; results nobody asked for stay in the cache
NO_FLAGS = np.zeros(CHUNK, np.uint8)


@overload
def orientation(
    gyr: NDArray[Any] | Sequence[Sequence[float]],
    acc: ArrayLike,
    mag: ArrayLike | None = None,
    *,
    rate: float,
    parameters: str | Parameters = ...,
) -> FloatArray: ...


@overload
def orientation(
    gyr: Sequence[NDArray[Any]],
    acc: Sequence[ArrayLike],
    mag: Sequence[ArrayLike] | None = None,
    *,
    rate: float,
    parameters: str | Parameters = ...,
) -> list[FloatArray]: ...


def orientation(
    gyr: Any, acc: Any, mag: Any = None, *, rate: float, parameters: str | Parameters = "default"
) -> FloatArray | list[FloatArray]:
    """Compute the orientation of a sensor from a whole recording, or of many from a list of recordings.

    Many recordings run side by side, 2, 4 or 8 at a time as the processor allows, several times faster than one by
    one and with the same bits; their lengths may differ.

    Parameters
    ----------
    gyr : (n, 3) array_like, rad/s, sensor frame; or a list of arrays
        Angular rate.
    acc : (n, 3) array_like, m/s2, sensor frame; or a list of arrays
        Specific force, +g upwards at rest. Rows of zeros are no measurement.
    mag : (n, 3) array_like, any unit, sensor frame; or a list of arrays, optional
        Magnetic field. Rows of zeros are no measurement.
    rate : float
        Rate of the rows, 1 to 20 000 Hz.
    parameters : str or Parameters
        ``"default"``, ``"vqf"``, or a set of one's own.

    Returns
    -------
    (n, 4) float64 array, w first, or a list of them
        Sensor -> earth, z up; x east and y north with a magnetometer, an arbitrary heading without.

    Raises
    ------
    SignalError
        If a shape, type or value is wrong.
    ConfigError
        If the parameters do not exist.

    Notes
    -----
    VQF: Laidig and Seel, Information Fusion 91 (2023) 187-204. `Fusion` gives bias, rest and disturbance too.
    """
    if isinstance(gyr, list | tuple) and all(getattr(one, "ndim", 0) == 2 for one in gyr):
        return _orientations(gyr, acc, mag, rate, parameters)
    return _orientations([gyr], [acc], None if mag is None else [mag], rate, parameters)[0]


def _orientations(gyr: Any, acc: Any, mag: Any, rate: float, parameters: str | Parameters) -> list[FloatArray]:
    """Keep the lanes full: the longest recording first, and where one ends the next one starts."""
    magnetic = mag is not None
    many = [gyr, acc, mag] if magnetic else [gyr, acc]
    counts = [len(one) if isinstance(one, list | tuple) else None for one in many]
    if set(counts) != {len(gyr)}:
        given = ", ".join("none" if count is None else str(count) for count in counts)
        raise SignalError(f"lists of recordings must be equally long, got {given} of {', '.join(NAMES[: len(many)])}")
    mags = mag if magnetic else [None] * len(gyr)
    if magnetic and any(one is None for one in mag):
        raise SignalError("mag must be given for every recording of the list, or for none; got None among others")
    tasks = [_Task(streams.Fusion(rate, parameters, magnetic), *arrays) for arrays in zip(gyr, acc, mags, strict=True)]
    scratch = [np.empty((CHUNK, 3)), *np.empty((2, CHUNK), np.bool_), np.empty((CHUNK, 4)), np.empty(CHUNK)]
    waiting = sorted((task for task in tasks if task.left), key=lambda task: task.left)
    active: list[_Task] = []
    while waiting or active:
        while waiting and len(active) < _ext.lanes_of(streams.LEVEL):
            active.append(waiting.pop())
        count = min(CHUNK, *(task.left for task in active))
        unused = [array[:count] for array in scratch]
        if _ext.advance(streams.LEVEL, [task.take(count, unused) for task in active]) >= 0:
            for task in active:
                task.refuse_nonsense()
        active = [task for task in active if task.left]
    return [task.quat for task in tasks]


class _Task:
    """A recording on its way through its filter; of the results only the orientations are kept."""

    def __init__(self, stage: streams.Fusion, gyr: ArrayLike, acc: ArrayLike, mag: ArrayLike | None) -> None:
        self.memory = stage._memory
        self.gyr, self.acc, self.mag = vectors(gyr, acc, mag)
        self.left = len(self.gyr)
        self.quat = np.empty((self.left, 4))
        if self.mag is not None and not _ext.bounded(self.mag):
            self.refuse_nonsense()

    def take(self, count: int, unused: list[NDArray[Any]]) -> streams.Stream:
        """Put together what the kernels have to know about the next rows; ``unused`` takes all other results."""
        rows = slice(len(self.quat) - self.left, len(self.quat) - self.left + count)
        self.left -= count
        mag = None if self.mag is None else self.mag[rows]
        return (self.memory, self.gyr[rows], self.acc[rows], mag, NO_FLAGS[:count], self.quat[rows], *unused)

    def refuse_nonsense(self) -> None:
        arrays = {"gyr": self.gyr, "acc": self.acc} | ({} if self.mag is None else {"mag": self.mag})
        refuse_nonsense(arrays, np.ones(len(self.gyr), np.bool_), "cut out or interpolate gaps")
