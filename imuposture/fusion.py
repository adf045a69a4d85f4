"""Fusion: rows of one sensor in, its orientation against gravity (and north) out, block after block.

The filter is VQF (Laidig and Seel 2023). The gyroscope is integrated; the acceleration, averaged in the nearly inertial
frame that gives, says where up is; how fast that correction has to go, and what the gyroscope reads at rest, tell its
bias. A magnetometer only ever adds an angle about the vertical. Streams side by side are lanes of the same recursion:
every stream gives the same rows alone, beside others, in any cuts and on any processor, bit for bit.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import radians
from numbers import Real
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imuposture._blocks import FloatArray, OrientationBlock, Quality, SensorRows
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import fusion as _ext

__all__ = ["Fusion", "NorthBlock", "Parameters", "fuse", "isa_level", "orientation"]

RATE_LIMITS = (1.0, 20_000.0)  # Hz; slower, rest and settling times lose their meaning; faster, a unit is wrong
LEVELS = ("baseline", "avx2", "avx512")  # instruction sets, in the order of ext/fusion.h
CHUNK = 2048  # rows before the next look at a list of recordings; results nobody asked for stay in the cache
NO_FLAGS = np.zeros(CHUNK, np.uint8)

_Stream = tuple[Any, ...]  # state, rows and results, as `_ext.advance` lists them


@dataclass(frozen=True)
class Parameters:
    """Every tuning number of the filter.

    ``Parameters()`` is VQF 2.1.2 as published; the symbols are those of Laidig and Seel, Information Fusion 91 (2023)
    187-204, from where all defaults come.

    Attributes
    ----------
    acc_tau : float, s
        tau_acc, time constant of the acceleration's low-pass. Small trusts the accelerometer (movement leaks into
        the inclination), large the gyroscope (its bias does). Default 3.
    mag_tau : float, s
        tau_mag, time constant of the heading's correction. Small trusts the magnetometer, large the gyroscope.
        Default 9.
    bias_sigma_start : float, rad/s
        Standard deviation of the gyroscope bias before the first row. Small learns slowly at first, large believes
        the first movements. Default 0.5 deg/s.
    bias_forgetting_time : float, s
        Time in which the uncertainty of a bias nobody measures grows from 0 to 0.1 deg/s. Small follows a
        changing bias and its noise, large averages longer. Default 100.
    bias_limit : float, rad/s
        Largest bias a sensor can have: the estimate stays within, and no faster turn counts as rest. Small takes a
        bad sensor's bias for motion, large takes slow steady turns for bias. Default 2 deg/s.
    bias_sigma_motion : float, rad/s
        Standard deviation of the bias learnt in motion alone, once converged. Small learns fast and noisily, large
        slowly. Default 0.1 deg/s.
    bias_vertical_weight : float, 1
        Weight of the assumption that the bias about the vertical, which motion cannot show, is zero. Small keeps
        what rest taught, large forgets it. Default 1e-4.
    bias_sigma_rest : float, rad/s
        Standard deviation of the bias learnt at rest, once converged. Small learns fast, large slowly. Default
        0.03 deg/s.
    rest_min_time : float, s
        How long the sensor must lie still to be at rest. Small takes a pause in a slow turn for rest, large misses
        short rests. Default 1.5.
    rest_tau : float, s
        Time constant of the low-pass against which stillness is judged. Small lets slow motion pass as rest, large
        sees rest late. Default 0.5.
    rest_gyr : float, rad/s
        Deviation from that low-pass beyond which the gyroscope moves. Small finds no rest in a noisy sensor, large
        finds it in motion. Default 2 deg/s.
    rest_acc : float, m/s2
        The same for the accelerometer. Default 0.5.
    field_tau : float, s
        Time constant of the low-pass on norm and dip of the field. Small passes noise, large reacts late. Default
        0.05.
    field_reference_tau : float, s
        Time constant with which the reference follows an undisturbed field. Small follows a disturbance that grows
        slowly, large a wrong start for long. Default 20.
    field_norm_tolerance : float, 1
        Share of the reference's norm by which an undisturbed field may differ. Small rejects good fields, large
        accepts bad ones. Default 0.1.
    field_dip_tolerance : float, rad
        Difference in dip, likewise. Default 10 deg.
    field_new_time : float, s
        Time in motion after which another, constant field becomes the reference. Small believes the next magnet,
        large stays with an old room. Default 20.
    field_first_time : float, s
        The same for the first reference. Default 5.
    field_min_rate : float, rad/s
        Rate of turn from which time counts as motion here. Small believes fields seen from one side only, large
        never finds a reference in calm use. Default 20 deg/s.
    field_undisturbed_time : float, s
        How long a field must look right to be trusted again. Small trusts a disturbance that crosses the reference,
        large loses good rows. Default 0.5.
    field_reject_time : float, s
        How long a disturbed field is ignored altogether; afterwards it corrects slowly. Small follows
        disturbances, large drifts with the gyroscope. Default 60.
    field_reject_factor : float, 1
        By how much slower the correction is then, and how much faster undisturbed time earns back patience. Default 2.
    """

    acc_tau: float = 3.0
    mag_tau: float = 9.0
    bias_sigma_start: float = radians(0.5)
    bias_forgetting_time: float = 100.0
    bias_limit: float = radians(2.0)
    bias_sigma_motion: float = radians(0.1)
    bias_vertical_weight: float = 1e-4
    bias_sigma_rest: float = radians(0.03)
    rest_min_time: float = 1.5
    rest_tau: float = 0.5
    rest_gyr: float = radians(2.0)
    rest_acc: float = 0.5
    field_tau: float = 0.05
    field_reference_tau: float = 20.0
    field_norm_tolerance: float = 0.1
    field_dip_tolerance: float = radians(10.0)
    field_new_time: float = 20.0
    field_first_time: float = 5.0
    field_min_rate: float = radians(20.0)
    field_undisturbed_time: float = 0.5
    field_reject_time: float = 60.0
    field_reject_factor: float = 2.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int | float) or not 0 < value < 1e9:
                raise ConfigError(f"fusion parameter {name} must be a positive number below 1e9, got {value!r}")

    @classmethod
    def named(cls, name: str) -> "Parameters":
        """Return the set ``"default"``, ours, or ``"vqf"``, that of the vqf package.

        Raises
        ------
        ConfigError
            If there is no set of that name.
        """
        if name not in list(NAMED):
            raise ConfigError(f"there is no parameter set {name!r}; choose {' or '.join(map(repr, NAMED))}")
        return NAMED[name]


NAMED = {"default": Parameters(), "vqf": Parameters()}


@dataclass(frozen=True, slots=True)
class NorthBlock(OrientationBlock):
    """Orientation with a magnetometer: ``quat`` has x to the east and y to the north.

    Attributes
    ----------
    inertial : (n, 4) float64, w-first, segment -> earth without magnetometer (heading arbitrary); NaN in gaps
    delta : (n,) float64, rad, -pi to pi, turn about the vertical from ``inertial`` to ``quat``; NaN in gaps
    """

    inertial: FloatArray
    delta: FloatArray


@lru_cache(maxsize=64)
def _tuning(parameters: Parameters, rate: float, magnetometer: bool) -> _ext.Tuning:  # noqa: ARG001  # part of the key
    """Return the same object for filters that are alike: those can be lanes of one another."""
    return _ext.Tuning(asdict(parameters), rate)


def _level(forced: str | None) -> int:
    """Choose the instruction set: the one asked for by IMUPOSTURE_ISA, or the best there is."""
    available = [name for i, name in enumerate(LEVELS) if _ext.level_available(i)]
    if not forced:
        return LEVELS.index(available[-1])
    if forced not in available:
        raise ConfigError(
            f"IMUPOSTURE_ISA asks for {forced!r}, which this processor or build lacks; "
            f"choose {' or '.join(map(repr, available))}, or unset it"
        )
    return LEVELS.index(forced)


_LEVEL = _level(os.environ.get("IMUPOSTURE_ISA"))


def isa_level() -> str:
    """Return the instruction set in use: ``"baseline"``, ``"avx2"`` or ``"avx512"``. It changes speed, never a bit.

    The environment variable ``IMUPOSTURE_ISA``, read at import, forces one.
    """
    return LEVELS[_LEVEL]


def _checked_rate(rate: float) -> float:
    low, high = RATE_LIMITS
    if not isinstance(rate, Real) or not low <= rate <= high:
        raise SignalError(
            f"rate must lie between {low:g} and {high:g} Hz, got {rate!r}; give samples a second, not seconds a sample"
        )
    return float(rate)


class Fusion:
    """The orientation filter of one stream.

    Parameters
    ----------
    rate_hz : float
        Rate of the rows, 1 to 20 000 Hz.
    parameters : str or Parameters
        ``"default"``, ``"vqf"``, or a set of one's own.
    magnetometer : bool
        Use ``rows.mag`` for the heading; blocks are then `NorthBlock`.

    Raises
    ------
    SignalError
        If the rate is out of its limits.
    ConfigError
        If the parameters do not exist.
    """

    def __init__(self, rate_hz: float, parameters: str | Parameters = "default", magnetometer: bool = False) -> None:
        self.rate_hz = _checked_rate(rate_hz)
        self.parameters = parameters if isinstance(parameters, Parameters) else Parameters.named(parameters)
        self.magnetometer = magnetometer
        self._tuning = _tuning(self.parameters, self.rate_hz, magnetometer)
        self._state = np.zeros(_ext.STATE_DOUBLES)
        _ext.begin(self._tuning, self._state)

    def push(self, rows: SensorRows) -> OrientationBlock:
        """Filter the next rows; how they are cut into blocks changes nothing.

        Rows with `Quality.GAP` give NaN and no rest. After them the averages start anew, so that the inclination comes
        from the accelerometer at once; bias, its uncertainty and the heading carry on.

        Parameters
        ----------
        rows : SensorRows
            Next rows of the stream. Three zeros in ``acc``, zeros or NaN in ``mag`` are no measurement.

        Returns
        -------
        OrientationBlock
            As many rows; a `NorthBlock` with a magnetometer.

        Raises
        ------
        SignalError
            If a shape is wrong, the magnetometer is missing, or ``gyr`` or ``acc`` holds NaN or nonsense in a row that
            is no gap. The filter has not moved then.
        """
        block = self._room(rows)
        _advance(self._tuning, [self._stream(rows, block)])
        return block

    def _room(self, rows: SensorRows) -> OrientationBlock:
        """Make room for the results."""
        count = len(rows.gyr)
        quat, bias, rest = np.empty((count, 4)), np.empty((count, 3)), np.empty(count, np.bool_)
        if not self.magnetometer:
            return OrientationBlock(quat, bias, rest, _never(count))
        return NorthBlock(quat, bias, rest, np.empty(count, np.bool_), np.empty((count, 4)), np.empty(count))

    def _stream(self, rows: SensorRows, block: OrientationBlock) -> _Stream:
        """Put together what the kernels have to know."""
        start = (self._state, rows.gyr, rows.acc)
        if not isinstance(block, NorthBlock):
            return (*start, None, rows.flags, block.quat, block.bias, block.rest, None, None, None)
        if rows.mag is None:
            raise SignalError("the filter was made with magnetometer=True, but the rows hold no mag; make it without")
        results = (block.quat, block.bias, block.rest, block.disturbed, block.inertial, block.delta)
        return (*start, rows.mag, rows.flags, *results)


@lru_cache(maxsize=16)
def _never(count: int) -> NDArray[np.bool_]:
    """Return what every block without a magnetometer says about disturbances."""
    never = np.zeros(count, dtype=np.bool_)
    never.flags.writeable = False
    return never


def fuse(filters: Sequence[Fusion], rows: Sequence[SensorRows]) -> list[OrientationBlock]:
    """Push the next rows of several streams side by side: faster, and bit for bit what each gives alone.

    Parameters
    ----------
    filters : sequence of Fusion
        Different filters, each with its stream.
    rows : sequence of SensorRows
        As many; lengths and gaps may differ.

    Returns
    -------
    list of OrientationBlock
        As `Fusion.push` returns them.

    Raises
    ------
    SignalError
        As `Fusion.push` does, or if the two sequences do not belong together. Of alike filters, up to eight,
        none has moved then.
    """
    if not len(filters) == len(set(filters)) == len(rows):
        raise SignalError(f"one block of rows for each filter, got {len(filters)} filters and {len(rows)} blocks")
    blocks = list(map(Fusion._room, filters, rows))
    streams = list(map(Fusion._stream, filters, rows, blocks))
    tunings = {stage._tuning for stage in filters}
    for tuning in tunings:
        alike = streams
        if len(tunings) > 1:
            alike = [stream for stage, stream in zip(filters, streams, strict=True) if stage._tuning is tuning]
        for first in range(0, len(alike), _ext.MAX_LANES):
            _advance(tuning, alike[first : first + _ext.MAX_LANES])
    return blocks


def _advance(tuning: _ext.Tuning, streams: list[_Stream]) -> None:
    """Run the kernels. They look at their input themselves; only what they turn down is worth a closer look here."""
    if _ext.advance(tuning, _LEVEL, streams) >= 0:
        _ext.advance(tuning, _LEVEL, [_tidied(*stream) for stream in streams])


def _tidied(state: FloatArray, gyr: Any, acc: Any, mag: Any, flags: Any, *results: Any) -> _Stream:
    """Bring rows into the form the kernels read, or say why that cannot be."""
    gyr, acc, mag = _vectors(gyr, acc, mag)
    flags = np.ascontiguousarray(flags, dtype=np.uint8)
    if flags.shape != (len(gyr),):
        raise SignalError(f"flags must be ({len(gyr)},), one for each row of gyr, got {flags.shape}")
    valid = flags & Quality.GAP == 0
    _refuse_nonsense({"gyr": gyr, "acc": acc}, valid, "mark rows without a measurement as Quality.GAP")
    return (state, gyr, acc, mag, flags, *results)


def _vectors(gyr: ArrayLike, acc: ArrayLike, mag: ArrayLike | None) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return float64 rows, equally many, (n, 3) each."""
    arrays = {}
    for name, values in (("gyr", gyr), ("acc", acc), ("mag", gyr if mag is None else mag)):
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise SignalError(f"{name} must be (n, 3) real numbers, got rows of different lengths") from error
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iuf":
            raise SignalError(f"{name} must be (n, 3) real numbers, got shape {array.shape} of {array.dtype}")
        arrays[name] = np.ascontiguousarray(array, dtype=np.float64)
    counts = [len(array) for array in arrays.values()]
    if len(set(counts)) > 1:
        raise SignalError(f"gyr, acc and mag must have the same number of rows, got {', '.join(map(str, counts))}")
    return arrays["gyr"], arrays["acc"], None if mag is None else arrays["mag"]


def _refuse_nonsense(arrays: dict[str, FloatArray], valid: NDArray[np.bool_], remedy: str) -> None:
    """Name the first valid row that holds what no sensor gives, if there is one."""
    for name, array in arrays.items():
        wrong = valid & ~(np.abs(array) <= _ext.LIMIT).all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            values = f"{name} holds {array[row].tolist()} in row {row}"
            raise SignalError(f"{values}; values must be finite and within {_ext.LIMIT:g}: {remedy}")


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
    if len(acc) != len(gyr) or (magnetic and len(mag) != len(gyr)):
        raise SignalError(f"lists of recordings must be equally long, got {len(gyr)} of gyr and {len(acc)} of acc")
    mags = mag if magnetic else [None] * len(gyr)
    tasks = [_Task(Fusion(rate, parameters, magnetic), *arrays) for arrays in zip(gyr, acc, mags, strict=True)]
    scratch = [np.empty((CHUNK, 3)), *np.empty((2, CHUNK), np.bool_), np.empty((CHUNK, 4)), np.empty(CHUNK)]
    waiting = sorted((task for task in tasks if task.left), key=lambda task: task.left)
    active: list[_Task] = []
    while waiting or active:
        while waiting and len(active) < _ext.lanes_of(_LEVEL):
            active.append(waiting.pop())
        count = min(CHUNK, *(task.left for task in active))
        unused = [array[:count] for array in scratch]
        if _ext.advance(active[0].tuning, _LEVEL, [task.take(count, unused) for task in active]) >= 0:
            for task in active:
                task.refuse_nonsense()
        active = [task for task in active if task.left]
    return [task.quat for task in tasks]


class _Task:
    """A recording on its way through its filter; of the results only the orientations are kept."""

    def __init__(self, stage: Fusion, gyr: ArrayLike, acc: ArrayLike, mag: ArrayLike | None) -> None:
        self.state, self.tuning = stage._state, stage._tuning
        self.gyr, self.acc, self.mag = _vectors(gyr, acc, mag)
        self.left = len(self.gyr)
        self.quat = np.empty((self.left, 4))
        if self.mag is not None and not _ext.bounded(self.mag):
            self.refuse_nonsense()

    def take(self, count: int, unused: list[NDArray[Any]]) -> _Stream:
        """Put together what the kernels have to know about the next rows; ``unused`` takes all other results."""
        rows = slice(len(self.quat) - self.left, len(self.quat) - self.left + count)
        self.left -= count
        mag = None if self.mag is None else self.mag[rows]
        return (self.state, self.gyr[rows], self.acc[rows], mag, NO_FLAGS[:count], self.quat[rows], *unused)

    def refuse_nonsense(self) -> None:
        arrays = {"gyr": self.gyr, "acc": self.acc} | ({} if self.mag is None else {"mag": self.mag})
        _refuse_nonsense(arrays, np.ones(len(self.gyr), np.bool_), "cut out or interpolate gaps")
