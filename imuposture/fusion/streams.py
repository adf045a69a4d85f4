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

Stream = tuple[Any, ...]  # memory, rows and results, as `_ext.advance` lists them


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
        self._memory = _ext.Memory(_tuning(self.parameters, self.rate_hz, magnetometer))
        self._count, self._never = 0, _never(0)  # of the block before

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
        streams: list[Stream] = []
        block = self._begun(rows, streams)
        if _ext.advance(LEVEL, streams) >= 0:
            _advance_tidied(streams)
        return block

    def _begun(self, rows: SensorRows, streams: list[Stream]) -> OrientationBlock:
        """Make room for the results, and put together what the kernels have to know."""
        gyr = rows.gyr
        try:
            count = len(gyr)
        except TypeError:
            raise SignalError(f"gyr must be (n, 3) real numbers, got {type(gyr).__name__}") from None
        quat, bias, rest = _empty((count, 4)), _empty((count, 3)), _empty(count, _BOOL)
        if self.magnetometer:
            if rows.mag is None:
                raise SignalError("made with magnetometer=True, but the rows hold no mag; make the filter without")
            north = (_empty(count, _BOOL), _empty((count, 4)), _empty(count))
            streams.append((self._memory, gyr, rows.acc, rows.mag, rows.flags, quat, bias, rest, *north))
            return NorthBlock(quat, bias, rest, *north)
        streams.append((self._memory, gyr, rows.acc, None, rows.flags, quat, bias, rest))
        if self._count != count:
            self._count, self._never = count, _never(count)
        return OrientationBlock(quat, bias, rest, self._never)


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
    if len(filters) != len(rows):
        raise _unlike(filters, rows)
    blocks: list[OrientationBlock] = []
    streams: list[Stream] = []
    for stage, one in zip(filters, rows, strict=True):
        blocks.append(stage._begun(one, streams))
    if _ext.advance(LEVEL, streams) < 0:
        return blocks
    if len(filters) != len(set(filters)):
        raise _unlike(filters, rows)
    for lanes in _alike(streams):
        if _ext.advance(LEVEL, lanes) >= 0:
            _advance_tidied(lanes)
    return blocks


def _unlike(filters: Sequence[Fusion], rows: Sequence[SensorRows]) -> SignalError:
    return SignalError(f"one block of rows for each filter, got {len(filters)} filters and {len(rows)} blocks")


def _alike(streams: list[Stream]) -> list[list[Stream]]:
    """Put streams of alike filters together, as many as can be lanes of one another."""
    alike: dict[_ext.Tuning, list[Stream]] = {}
    for stream in streams:
        alike.setdefault(stream[0].tuning, []).append(stream)
    return [
        same[first : first + _ext.MAX_LANES] for same in alike.values() for first in range(0, len(same), _ext.MAX_LANES)
    ]


def _advance_tidied(streams: list[Stream]) -> None:
    """Run the kernels, which look at their input themselves, on what they turned down: it is worth a closer look."""
    _ext.advance(LEVEL, [_tidied(*stream) for stream in streams])


def _tidied(memory: _ext.Memory, gyr: Any, acc: Any, mag: Any, flags: Any, *results: Any) -> Stream:
    """Bring rows into the form the kernels read, or say why that cannot be."""
    gyr, acc, mag = vectors(gyr, acc, mag)
    flags = flags_of("flags", flags, len(gyr))
    valid = flags & Quality.GAP == 0
    refuse_nonsense({"gyr": gyr, "acc": acc}, valid, "mark rows without a measurement as Quality.GAP")
    return (memory, gyr, acc, mag, flags, *results)
