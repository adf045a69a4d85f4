"""Streams through the orientation filter, block after block: one alone, or several side by side as lanes."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray, OrientationBlock, Quality, SensorRows, noun
from imuposture._checks import flags_of, number
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import fusion as _ext
from imuposture.fusion.checks import refuse_nonsense, vectors
from imuposture.fusion.parameters import Parameters

__all__ = ["Fusion", "NorthBlock", "fuse", "isa_level"]

RATE_LIMITS = (1.0, 20_000.0)  # Hz; slower, rest and settling times lose their meaning; faster, a unit is wrong
LEVELS = ("baseline", "avx2", "avx512")  # instruction sets, in the order of ext/fusion.h

_empty, _BOOL = np.empty, np.dtype(np.bool_)  # the search for these names shows in blocks of ten rows

Stream = tuple[Any, ...]  # state, rows and results, as `_ext.advance` lists them


@noun(frozen=True, slots=True)
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


LEVEL = _level(os.environ.get("IMUPOSTURE_ISA"))


def isa_level() -> str:
    """Return the instruction set in use: ``"baseline"``, ``"avx2"`` or ``"avx512"``. It changes speed, never a bit.

    The environment variable ``IMUPOSTURE_ISA``, read at import, forces one.
    """
    return LEVELS[LEVEL]


def _checked_rate(rate: float) -> float:
    low, high = RATE_LIMITS
    if not low <= number(rate) <= high:
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
        self._never = _never(0)
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
        block, stream = self._begun(rows)
        if _ext.advance(self._tuning, LEVEL, [stream]) >= 0:
            _advance_tidied(self._tuning, [stream])
        return block

    def _begun(self, rows: SensorRows) -> tuple[OrientationBlock, Stream]:
        """Make room for the results, and put together what the kernels have to know."""
        try:
            count = len(rows.gyr)
        except TypeError:
            raise SignalError(f"gyr must be (n, 3) real numbers, got {type(rows.gyr).__name__}") from None
        quat, bias, rest = _empty((count, 4)), _empty((count, 3)), _empty(count, _BOOL)
        if not self.magnetometer:
            plain = (self._state, rows.gyr, rows.acc, None, rows.flags, quat, bias, rest, None, None, None)
            if len(self._never) != count:
                self._never = _never(count)
            return OrientationBlock(quat, bias, rest, self._never), plain
        if rows.mag is None:
            raise SignalError("the filter was made with magnetometer=True, but the rows hold no mag; make it without")
        north = (np.empty(count, np.bool_), np.empty((count, 4)), np.empty(count))
        stream = (self._state, rows.gyr, rows.acc, rows.mag, rows.flags, quat, bias, rest, *north)
        return NorthBlock(quat, bias, rest, *north), stream


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
    blocks, streams = [], []
    for stage, one in zip(filters, rows, strict=True):
        block, stream = stage._begun(one)
        blocks.append(block)
        streams.append(stream)
    tunings = [stage._tuning for stage in filters]
    if len({*tunings}) == 1 and len(tunings) <= _ext.MAX_LANES:  # as nearly always
        groups = [(tunings[0], streams)]
    else:
        groups = _alike(tunings, streams)
    for tuning, lanes in groups:
        if _ext.advance(tuning, LEVEL, lanes) >= 0:
            _advance_tidied(tuning, lanes)
    return blocks


def _alike(tunings: Sequence[_ext.Tuning], streams: list[Stream]) -> list[tuple[_ext.Tuning, list[Stream]]]:
    """Put streams of alike filters together, as many as can be lanes of one another."""
    alike: dict[_ext.Tuning, list[Stream]] = {}
    for tuning, stream in zip(tunings, streams, strict=True):
        alike.setdefault(tuning, []).append(stream)
    return [
        (tuning, same[first : first + _ext.MAX_LANES])
        for tuning, same in alike.items()
        for first in range(0, len(same), _ext.MAX_LANES)
    ]


def _advance_tidied(tuning: _ext.Tuning, streams: list[Stream]) -> None:
    """Run the kernels, which look at their input themselves, on what they turned down: it is worth a closer look."""
    _ext.advance(tuning, LEVEL, [_tidied(*stream) for stream in streams])


def _tidied(state: FloatArray, gyr: Any, acc: Any, mag: Any, flags: Any, *results: Any) -> Stream:
    """Bring rows into the form the kernels read, or say why that cannot be."""
    gyr, acc, mag = vectors(gyr, acc, mag)
    flags = flags_of("flags", flags, len(gyr))
    valid = flags & Quality.GAP == 0
    refuse_nonsense({"gyr": gyr, "acc": acc}, valid, "mark rows without a measurement as Quality.GAP")
    return (state, gyr, acc, mag, flags, *results)
