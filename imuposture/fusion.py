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
from math import ceil, pi, radians, sqrt
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imuposture._blocks import FloatArray, OrientationBlock, Quality, SensorRows
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import fusion as _ext

__all__ = ["Fusion", "NorthBlock", "Parameters", "fuse", "isa_level", "orientation"]

RATE_LIMITS = (1.0, 20_000.0)  # Hz; slower, rest and settling times lose their meaning; faster, a unit is wrong
LEVELS = ("baseline", "avx2", "avx512")
BIAS_GROWTH = radians(0.1)  # rad/s, by definition of `bias_forgetting_time`


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
            if not 0 < value < 1e9:
                raise ConfigError(f"fusion parameter {name} must be a positive number below 1e9, got {value!r}")

    @classmethod
    def named(cls, name: str) -> "Parameters":
        """Return the set ``"default"``, ours, or ``"vqf"``, that of the vqf package.

        Raises
        ------
        ConfigError
            If there is no set of that name.
        """
        if name not in NAMED:
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


def _sine(x: float) -> float:
    """Sum the power series of the sine; the same bits on every machine, which libm does not promise."""
    term, total = x, x
    for n in range(3, 29, 2):
        term *= -x * x / (n * (n - 1))
        total += term
    return total


def _decay(x: float) -> float:
    """Compute exp(-x) for x > 0: the power series at x / 1024, squared ten times."""
    term, total = 1.0, 1.0
    for n in range(1, 12):
        term *= -min(x, 700.0) / 1024 / n
        total += term
    for _ in range(10):
        total *= total
    return total


def _low_pass(tau: float, period: float) -> dict[str, float]:
    """Design the second-order Butterworth low-pass whose step response settles with ``tau``, both in s.

    The cutoff is sqrt(2) / (2 pi tau), by the bilinear transform; below ``period / 2`` samples pass unchanged (VQF).
    """
    settle = float(max(1, ceil(tau / period) - 2))
    while settle * period < tau:
        settle += 1
    if tau < period / 2:
        return {"b0": 1.0, "a1": 2.0, "a2": 1.0, "settle": settle}
    half = period / (sqrt(2.0) * tau)
    tangent = _sine(half) / _sine(pi / 2 - half)
    scale = tangent * tangent + sqrt(2.0) * tangent + 1.0
    return {
        "b0": tangent * tangent / scale,
        "a1": 2.0 * (tangent * tangent - 1.0) / scale,
        "a2": (1.0 - sqrt(2.0) * tangent + tangent * tangent) / scale,
        "settle": settle,
    }


@lru_cache(maxsize=64)
def _tuning(rate: float, p: Parameters) -> _ext.Tuning:
    """Turn the parameters into the numbers the kernels read."""
    period = 1.0 / rate
    growth = BIAS_GROWTH**2 * period / p.bias_forgetting_time

    def weight(sigma: float) -> float:
        """W for which the converged variance is sigma^2 while it grows by ``growth`` a row."""
        return sigma**4 / growth + sigma**2

    return _ext.Tuning(
        {
            "period": period,
            "rate": rate,
            "half_period": period / 2,
            "quarter_period_squared": period * period / 4,
            "acc_low_pass": _low_pass(p.acc_tau, period),
            "rest_low_pass": _low_pass(p.rest_tau, period),
            "field_low_pass": _low_pass(p.field_tau, period),
            "rest_gyr_squared": p.rest_gyr * p.rest_gyr,
            "rest_acc_squared": p.rest_acc * p.rest_acc,
            "rest_min_time": p.rest_min_time,
            "bias_limit": p.bias_limit,
            "bias_variance_start": p.bias_sigma_start**2,
            "bias_variance_growth": growth,
            "weight_motion": weight(p.bias_sigma_motion),
            "weight_vertical": weight(p.bias_sigma_motion) / p.bias_vertical_weight,
            "weight_rest": weight(p.bias_sigma_rest),
            "heading_gain": 1.0 - _decay(period / p.mag_tau),
            "heading_tau": p.mag_tau,
            "field_gain": 1.0 - _decay(period / p.field_reference_tau),
            "field_norm_tolerance": p.field_norm_tolerance,
            "field_dip_tolerance": p.field_dip_tolerance,
            "field_undisturbed_time": p.field_undisturbed_time,
            "field_new_time": p.field_new_time,
            "field_first_time": p.field_first_time,
            "field_reject_time": p.field_reject_time,
            "field_min_rate_squared": p.field_min_rate * p.field_min_rate,
            "field_reject_factor": p.field_reject_factor,
        }
    )


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
    if not isinstance(rate, int | float | np.number) or not low <= rate <= high:
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
        self.parameters = Parameters.named(parameters) if isinstance(parameters, str) else parameters
        self.magnetometer = magnetometer
        self._tuning = _tuning(self.rate_hz, self.parameters)
        self._state = np.zeros(_ext.STATE_DOUBLES)
        _ext.begin(self._tuning, self._state)

    def push(self, rows: SensorRows) -> OrientationBlock:
        """Filter the next rows; how they are cut into blocks changes nothing.

        Rows with `Quality.GAP` give NaN and no rest. After them the averages start anew, so that the inclination comes
        from the accelerometer at once; bias, its uncertainty and the heading carry on.

        Parameters
        ----------
        rows : SensorRows
            Next rows of the stream. Zeros in ``acc``, zeros or NaN in ``mag`` are no measurement.

        Returns
        -------
        OrientationBlock
            As many rows; a `NorthBlock` with a magnetometer.

        Raises
        ------
        SignalError
            If a shape is wrong, the magnetometer is missing, or a row that is no gap holds NaN or nonsense; the
            filter has not moved then.
        """
        return fuse((self,), (rows,))[0]


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
        As `Fusion.push` does, or if the two sequences do not belong together.
    """
    if len(filters) != len(rows) or len(set(map(id, filters))) != len(filters):
        raise SignalError(f"one block of rows for each filter, got {len(filters)} filters and {len(rows)} blocks")
    blocks, batches = [], {}
    for stage, block in zip(filters, rows, strict=True):
        result, stream = _prepare(stage, block)
        blocks.append(result)
        batches.setdefault((stage._tuning, stage.magnetometer), []).append(stream)
    for (tuning, _), streams in batches.items():
        for first in range(0, len(streams), _ext.MAX_LANES):
            _advance(tuning, streams[first : first + _ext.MAX_LANES])
    return blocks


def _prepare(stage: Fusion, rows: SensorRows) -> tuple[OrientationBlock, tuple[Any, ...]]:
    """Check the rows, make room for their results; return these and what the kernel has to know."""
    gyr = np.ascontiguousarray(rows.gyr, dtype=np.float64)
    acc = np.ascontiguousarray(rows.acc, dtype=np.float64)
    flags = np.ascontiguousarray(rows.flags, dtype=np.uint8)
    count = len(gyr)
    if gyr.shape != (count, 3) or acc.shape != (count, 3) or flags.shape != (count,):
        raise SignalError(
            f"gyr and acc must be (n, 3) and flags (n,) for the same n, got {gyr.shape}, {acc.shape} and {flags.shape}"
        )
    quat, bias, rest = np.empty((count, 4)), np.empty((count, 3)), np.empty(count, dtype=np.uint8)
    if not stage.magnetometer:
        block = OrientationBlock(quat, bias, rest.view(np.bool_), np.zeros(count, dtype=np.bool_))
        return block, (stage._state, gyr, acc, None, flags, quat, bias, rest, None, None, None)
    if rows.mag is None:
        raise SignalError("the filter was made with magnetometer=True, but the rows hold no mag; make it without")
    mag = np.ascontiguousarray(rows.mag, dtype=np.float64)
    if mag.shape != (count, 3):
        raise SignalError(f"mag must be (n, 3) with the {count} rows of gyr, got {mag.shape}")
    disturbed, inertial, delta = np.empty(count, dtype=np.uint8), np.empty((count, 4)), np.empty(count)
    north = NorthBlock(quat, bias, rest.view(np.bool_), disturbed.view(np.bool_), inertial, delta)
    return north, (stage._state, gyr, acc, mag, flags, quat, bias, rest, disturbed, inertial, delta)


def _advance(tuning: _ext.Tuning, streams: list[tuple[Any, ...]]) -> None:
    """Run the kernels; name the row if a value is none that a sensor gives."""
    flawed = _ext.advance(tuning, _LEVEL, streams)
    if flawed >= 0:
        _, gyr, acc, mag, flags, *_ = streams[flawed]
        values = np.column_stack([gyr, acc] if mag is None else [gyr, acc, np.nan_to_num(mag, nan=0.0, posinf=np.inf)])
        wrong = ~(np.abs(values) <= _ext.LIMIT).all(axis=1) & (flags & Quality.GAP == 0)
        row = int(np.argmax(wrong))
        raise SignalError(
            f"row {row} of the block holds {values[row].tolist()} (gyr, acc, mag); finite values below {_ext.LIMIT:g} "
            "are expected in rad/s, m/s2 and uT; mark rows without a measurement as Quality.GAP"
        )


@overload
def orientation(
    gyr: NDArray[Any], acc: ArrayLike, mag: ArrayLike | None = None, *, rate: float, parameters: str | Parameters = ...
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
    if isinstance(gyr, list | tuple) and all(np.ndim(one) == 2 for one in gyr):
        return _orientations(gyr, acc, mag, rate, parameters)
    return _orientations([gyr], [acc], None if mag is None else [mag], rate, parameters)[0]


def _orientations(gyr: Any, acc: Any, mag: Any, rate: float, parameters: str | Parameters) -> list[FloatArray]:
    """Keep the lanes full: the longest first, and where one ends the next one starts."""
    if len(acc) != len(gyr) or (mag is not None and len(mag) != len(gyr)):
        raise SignalError(f"lists of recordings must be equally long, got {len(gyr)} of gyr and {len(acc)} of acc")
    mags = [None] * len(gyr) if mag is None else mag
    stages = [Fusion(rate, parameters, magnetometer=mag is not None) for _ in gyr]
    rows = [_recording(*arrays) for arrays in zip(gyr, acc, mags, strict=True)]
    results, waiting, active = [], [], []
    for stage, one in zip(stages, rows, strict=True):
        block, stream = _prepare(stage, one)
        results.append(block.quat)
        waiting.append(stream)
    waiting.sort(key=lambda stream: len(stream[1]))
    while waiting or active:
        while waiting and len(active) < _ext.lanes_of(_LEVEL):
            active.append(waiting.pop())
        count = min(len(stream[1]) for stream in active)
        _advance(stages[0]._tuning, [_part(stream, slice(count)) for stream in active])
        active = [_part(stream, slice(count, None)) for stream in active if len(stream[1]) > count]
    return results


def _part(stream: tuple[Any, ...], rows: slice) -> tuple[Any, ...]:
    """Cut rows out of a stream; its state stays whole."""
    state, *arrays = stream
    return (state, *(None if array is None else array[rows] for array in arrays))


def _recording(gyr: ArrayLike, acc: ArrayLike, mag: ArrayLike | None) -> SensorRows:
    """Check a recording; it has no gaps."""
    arrays = [_vectors(name, values) for name, values in (("gyr", gyr), ("acc", acc), ("mag", mag)) if values is not None]
    if len({len(array) for array in arrays}) > 1:
        lengths = ", ".join(str(len(array)) for array in arrays)
        raise SignalError(f"gyr, acc and mag must have the same number of rows, got {lengths}")
    flags = np.zeros(len(arrays[0]), dtype=np.uint8)
    return SensorRows(gyr=arrays[0], acc=arrays[1], mag=arrays[2] if mag is not None else None, flags=flags)


def _vectors(name: str, values: ArrayLike) -> FloatArray:
    """Return finite (n, 3) float64 rows, or say what is wrong with them."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iuf":
        raise SignalError(f"{name} must be (n, 3) real numbers, got shape {array.shape} of {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise SignalError(f"{name} must be finite, got {array[row].tolist()} in row {row}; cut out or interpolate gaps")
    return array
