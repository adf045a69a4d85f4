"""Smoothing: the orientation of a sensor from what it measured before and after. For recordings; never for live.

Four passes over the whole recording (ext/smoothing.h): the causal filter forwards and backwards for the gyroscope's
bias, then strapdown and gravity's low-pass backwards, and the same low-pass forwards. That is the offline variant of
VQF (Laidig and Seel 2023) with two differences: the heading from the magnetometer is a smoothing spline with robust
weights, and the sensor's delay is taken out, up to a row of it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imuposture._blocks import FlagArray, FloatArray, OrientationBlock, Quality, SensorRows
from imuposture._errors import SignalError
from imuposture._ext import fusion as _causal
from imuposture._ext import smoothing as _ext
from imuposture.fusion import streams
from imuposture.fusion.checks import refuse_nonsense, vectors
from imuposture.fusion.parameters import Parameters
from imuposture.fusion.streams import Fusion, NorthBlock

__all__ = ["SmoothedFusion", "smooth_fuse", "smoothed_orientation"]

BIN_S = 0.25  # s; the field is averaged over it, which a walking person's turns allow, and so many are quickly solved
BINS_A_KNOT = 4  # the bias is a line from knot to knot; 2 s gave the same to 0.001 degrees on BROAD
# The heading follows changes of its drift that last longer than this many mag_tau: smaller follows disturbances, larger
# takes a changing bias for a straight drift. From half of the BROAD trials (benchmarks/smoothing.py says which).
CURVE_TAU = 5.0
SLOPE_TAU = 0.35  # mag_tau; holds the drift down where nothing is measured
JUMP_DEG = 8.0  # what the heading may turn in a gap, against 8 degrees of noise in a second of field
DOUBT = 0.6  # field_norm_tolerance; a field that is off by that much counts half


@overload
def smoothed_orientation(
    gyr: NDArray[Any] | Sequence[Sequence[float]],
    acc: ArrayLike,
    mag: ArrayLike | None = None,
    *,
    rate: float,
    parameters: str | Parameters = ...,
) -> FloatArray: ...


@overload
def smoothed_orientation(
    gyr: Sequence[NDArray[Any]],
    acc: Sequence[ArrayLike],
    mag: Sequence[ArrayLike] | None = None,
    *,
    rate: float,
    parameters: str | Parameters = ...,
) -> list[FloatArray]: ...


def smoothed_orientation(
    gyr: Any,
    acc: Any,
    mag: Any = None,
    *,
    rate: float,
    parameters: str | Parameters = "default",
) -> FloatArray | list[FloatArray]:
    """Compute the smoothed orientation of a sensor from a whole recording, or of many from a list of recordings.

    Acausal: every row uses the future, so it can never be had live. Inclination and heading err less than those of
    `orientation`, and do not lag.

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
    After the offline variant of VQF: Laidig and Seel, Information Fusion 91 (2023) 187-204. `SmoothedFusion` gives
    bias, rest and disturbance too.
    """
    one = not (isinstance(gyr, list | tuple) and all(getattr(part, "ndim", 0) == 2 for part in gyr))
    gyrs, accs, mags = ([gyr], [acc], None if mag is None else [mag]) if one else (gyr, acc, mag)
    if len(accs) != len(gyrs) or (mags is not None and len(mags) != len(gyrs)):
        raise SignalError(f"lists of recordings must be equally long, got {len(gyrs)} of gyr and {len(accs)} of acc")
    stages = [SmoothedFusion(rate, parameters, mags is not None) for _ in gyrs]
    for stage, *arrays in zip(stages, gyrs, accs, mags if mags is not None else [None] * len(gyrs), strict=True):
        stage._take(*vectors(*arrays))
    quats = [block.quat for block in _smoothed(stages)]
    return quats[0] if one else quats


class SmoothedFusion:
    """The smoother of one stream, with the verbs of `Fusion`: rows go in with `push`, all results come from `finish`.

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

    Notes
    -----
    It keeps all rows until `finish`: 49 bytes a row, and 57 more for the results; with a magnetometer 73 and 98. At its
    peak, eight hours of two sensors at 100 Hz took 0.75 GB, with magnetometers 1.1 GB.
    """

    def __init__(
        self,
        rate_hz: float,
        parameters: str | Parameters = "default",
        magnetometer: bool = False,
    ) -> None:
        causal = Fusion(rate_hz, parameters, magnetometer)  # it knows what rates and parameters there are
        self.rate_hz, self.parameters, self.magnetometer = causal.rate_hz, causal.parameters, magnetometer
        self._rows: list[SensorRows] = []

    def push(self, rows: SensorRows) -> OrientationBlock:
        """Keep the next rows.

        Parameters
        ----------
        rows : SensorRows
            Next rows of the stream. Three zeros in ``acc``, zeros or NaN in ``mag`` are no measurement.

        Returns
        -------
        OrientationBlock
            No rows; a `NorthBlock` with a magnetometer.

        Raises
        ------
        SignalError
            If a shape is wrong, the magnetometer is missing, or ``gyr`` or ``acc`` holds NaN or nonsense in a row that
            is no gap. The rows are not kept then.
        """
        if self.magnetometer and rows.mag is None:
            raise SignalError("the smoother was made with magnetometer=True, but the rows hold no mag; make it without")
        gyr, acc, mag = vectors(rows.gyr, rows.acc, rows.mag if self.magnetometer else None)
        flags = np.asarray(rows.flags)
        if flags.shape != (len(gyr),) or flags.dtype.kind not in "biu":
            raise SignalError(f"flags must be ({len(gyr)},) integers, one a row, got {flags.shape} of {flags.dtype}")
        flags = np.array(flags, dtype=np.uint8)
        if not (_causal.bounded(gyr) and _causal.bounded(acc)):
            remedy = "mark rows without a measurement as Quality.GAP"
            refuse_nonsense({"gyr": gyr, "acc": acc}, flags & Quality.GAP == 0, remedy)
        self._rows.append(SensorRows(acc.copy(), gyr.copy(), None if mag is None else mag.copy(), flags))
        return _room(0, self.magnetometer)

    def finish(self) -> OrientationBlock:
        """Return the orientation of all rows that were pushed, and forget them.

        Rows with `Quality.GAP` give NaN and no rest. Behind them the averages start anew; bias and heading carry on.

        Returns
        -------
        OrientationBlock
            As many rows as were pushed; a `NorthBlock` with a magnetometer.
        """
        return _smoothed([self])[0]

    def _take(self, gyr: FloatArray, acc: FloatArray, mag: FloatArray | None) -> None:
        """Keep a whole recording without gaps, as it stands in the caller's arrays."""
        arrays = {"gyr": gyr, "acc": acc} | ({} if mag is None else {"mag": mag})
        if not all(_causal.bounded(array) for array in arrays.values()):
            refuse_nonsense(arrays, np.ones(len(gyr), np.bool_), "cut out or interpolate gaps")
        self._rows.append(SensorRows(acc, gyr, mag, np.zeros(len(gyr), np.uint8)))

    def _joined(self) -> SensorRows:
        """Hand out all rows as one block, array by array, so that no more than one of them is there twice."""
        kept, self._rows = self._rows, []
        if len(kept) == 1:
            return kept[0]
        columns: list[list[Any]] = [
            [one.acc for one in kept],
            [one.gyr for one in kept],
            [],
            [one.flags for one in kept],
        ]
        if self.magnetometer:
            columns[2] = [one.mag for one in kept]
        kept.clear()
        none = (np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 3)), np.empty(0, np.uint8))
        joined = []
        for parts, empty in zip(columns, none, strict=True):
            joined.append(np.concatenate([empty, *parts]))
            parts.clear()
        acc, gyr, mag, flags = joined
        return SensorRows(acc, gyr, mag if self.magnetometer else None, flags)


def smooth_fuse(stages: Sequence[SmoothedFusion]) -> list[OrientationBlock]:
    """Finish several streams side by side: faster, and bit for bit what each gives alone.

    Parameters
    ----------
    stages : sequence of SmoothedFusion
        Different ones, each with its rows; lengths and gaps may differ.

    Returns
    -------
    list of OrientationBlock
        As `SmoothedFusion.finish` returns them.

    Raises
    ------
    SignalError
        If a stage is given twice.
    """
    if len(stages) != len(set(stages)):
        raise SignalError(f"each stream once, got {len(stages)} of which {len(set(stages))} are different")
    return _smoothed(stages)


def _smoothed(stages: Sequence[SmoothedFusion]) -> list[OrientationBlock]:
    """Smooth what can be lanes of one another together, the longest first, so that lanes end together."""
    blocks: dict[SmoothedFusion, OrientationBlock] = {}
    alike: dict[Any, list[SmoothedFusion]] = {}
    for stage in stages:
        alike.setdefault((stage.rate_hz, stage.parameters, stage.magnetometer), []).append(stage)
    width = min(max(_causal.lanes_of(streams.LEVEL) // 2, 1), _ext.MAX_STREAMS)  # two lanes each, one each way
    for group in alike.values():
        group.sort(key=lambda stage: -sum(len(rows.flags) for rows in stage._rows))
        for first in range(0, len(group), width):
            together = group[first : first + width]
            blocks.update(zip(together, _smoothed_together(together), strict=True))
    return [blocks[stage] for stage in stages]


def _smoothed_together(stages: list[SmoothedFusion]) -> list[OrientationBlock]:
    """Run the passes over a few streams that are alike."""
    tuning = _tuning(stages[0].rate_hz, stages[0].parameters)
    rows = [stage._joined() for stage in stages]
    blocks = [_room(len(one.flags), stage.magnetometer) for one, stage in zip(rows, stages, strict=True)]
    rests = [np.zeros((2, len(one.flags)), np.uint8) for one in rows]
    jobs = [_stream(tuning, *task) for task in zip(rows, blocks, rests, strict=True) if len(task[0].flags)]
    _ext.smooth(tuning.compiled, streams.LEVEL, jobs)
    for one, block, rest in zip(rows, blocks, rests, strict=True):
        np.copyto(block.rest, (rest[0] | rest[1, ::-1]).view(np.bool_))
        _blank(block, one.flags & Quality.GAP.value != 0)
    return blocks


class _Tuning:
    """What passes read, and the lengths that arrays are made of."""

    def __init__(self, rate_hz: float, parameters: Parameters) -> None:
        self.bin = max(round(BIN_S * rate_hz), 1)
        self.knot = BINS_A_KNOT * self.bin
        seconds, tau = self.bin / rate_hz, parameters.mag_tau
        prices = {
            "slope": (SLOPE_TAU * tau) ** 2 / seconds,
            "curve": (CURVE_TAU * tau) ** 4 / seconds**3,
            "jump": (8.0 / JUMP_DEG) ** 2,
            "reference": parameters.field_reference_tau**2 / seconds,
            "doubt": DOUBT * parameters.field_norm_tolerance,
        }
        lateness = min(parameters.sensor_delay * rate_hz, 1.0)  # rows; it is taken out between neighbouring rows
        settings = {"bin": self.bin, "knot": self.knot, "lateness": lateness} | prices
        self.compiled = _ext.Tuning(asdict(parameters), rate_hz, settings)


@lru_cache(maxsize=64)
def _tuning(rate_hz: float, parameters: Parameters) -> _Tuning:
    return _Tuning(rate_hz, parameters)


def _stream(tuning: _Tuning, rows: SensorRows, block: OrientationBlock, rest: FlagArray) -> _ext.Stream:
    """Put together what the passes have to know about a stream."""
    count = len(rows.flags)
    knots = -(-count // tuning.knot)
    room = (np.empty((2, knots + 1, 9)), np.empty((knots + 1, 3)), np.empty((2, tuning.knot, _ext.ROOM_DOUBLES)))
    start = (rows.gyr, rows.acc, rows.mag, rows.flags, block.quat, block.bias, rest, *room)
    if not isinstance(block, NorthBlock):
        return _ext.Stream(*start, None, None, None, None)
    bins = np.zeros((-(-count // tuning.bin), _ext.BIN_DOUBLES))
    return _ext.Stream(*start, block.disturbed.view(np.uint8), block.inertial, block.delta, bins)


def _room(count: int, magnetometer: bool) -> OrientationBlock:
    """Make room for the results."""
    quat, bias = np.empty((count, 4)), np.empty((count, 3))
    rest, disturbed = np.zeros((2, count), np.bool_)
    if not magnetometer:
        return OrientationBlock(quat, bias, rest, disturbed)
    return NorthBlock(quat, bias, rest, disturbed, np.empty((count, 4)), np.empty(count))


def _blank(block: OrientationBlock, gap: NDArray[np.bool_]) -> None:
    """Write rows of nothing into gaps."""
    if not gap.any():
        return
    block.quat[gap], block.bias[gap] = np.nan, np.nan
    block.disturbed[gap] = False
    if isinstance(block, NorthBlock):
        block.inertial[gap], block.delta[gap] = np.nan, np.nan
