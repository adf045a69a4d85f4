"""The first minutes of a file decide its rate and units, and whether it can be trusted at all."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Stream
from imuposture._errors import ConfigError, RecordingError
from imuposture.acquisition.readers.settings import Settings
from imuposture.acquisition.readers.table import Clock, FileRows, SensorColumns, Units
from imuposture.acquisition.readers.text import safe_text
from imuposture.acquisition.readers.timing import Elapsed, nominal_rate, tick_steps
from imuposture.acquisition.readers.verdicts import Verdicts

__all__ = ["OpenFile", "Sensor", "open_file"]

PROBE_ROWS = 30_000  # 5 minutes at 100 Hz; the verdict does not depend on how long the file is
SHORTEST_S = 2.0  # less holds no stance and no movement
RATES_HZ = (4.0, 2000.0)
RATE_TOLERANCE = 0.02
ABSURD = 1e9  # in any unit a sensor could use


@dataclass(frozen=True, slots=True)
class Sensor:
    """What the format knows about its sensors; full scales in m/s2 and rad/s."""

    name: str
    acc_full_scale: float | None = None
    gyr_full_scale: float | None = None


@dataclass(slots=True)
class OpenFile:
    """A file whose first minutes were judged; ``chunks`` reads it, parsing the first minutes once only."""

    path: Path
    rows: FileRows
    units: Units
    streams: tuple[Stream, ...]
    first_tick: float
    notes: list[str]
    _begun: Iterator[tuple[ImuBlock, ...]] | None = field(default=None, repr=False)

    def chunks(self) -> Iterator[tuple[ImuBlock, ...]]:
        """Yield the rows in SI units, one block a sensor and chunk."""
        raw, self._begun = self._begun or self.rows.raw(), None
        return self.rows.converted(raw, self.units)


def open_file(
    rows: FileRows, settings: Settings, sensor: Sensor, *, units: Units | None = None, rate_hz: float | None = None
) -> OpenFile:
    """Judge the first minutes of a file.

    Parameters
    ----------
    rows : FileRows
    settings : Settings
        A rate or unit given there wins, and is checked.
    sensor : Sensor
    units : Units, optional
        The units the format prescribes; without them m/s2 and rad/s are expected, and g is recognised.
    rate_hz : float, optional
        The rate the file itself names.

    Raises
    ------
    RecordingError
        If the file is too short, dead, or contradicts gravity.
    ConfigError
        If the settings contradict the file.
    """
    begun, blocks = _first_minutes(rows)
    path, ticks, clock = rows.table.path, blocks[0].ticks, rows.layout.clock
    rate, notes = _rate(rows, ticks, settings, rate_hz)
    lasted = Elapsed(clock.tick_s, clock.wrap_ticks).push(ticks) + 1 / rate
    if lasted < SHORTEST_S:
        raise RecordingError(
            f"{safe_text(path)}: {len(ticks)} rows, {lasted:.2f} s; at least {SHORTEST_S:g} s are needed. Record longer"
        )
    verdicts = Verdicts(path, rate, notes)
    expected = units or Units()
    acc = verdicts.acceleration_unit(blocks, settings.acc_unit or (units.acc if units else None))
    gyr = settings.gyr_unit or expected.gyr
    for block in blocks:
        verdicts.rotation(block, (ticks - ticks[0]) * clock.tick_s, gyr)
    streams = tuple(_stream(columns, rate, clock, float(ticks[0]), sensor) for columns in rows.layout.sensors)
    return OpenFile(path, rows, Units(acc, gyr), streams, float(ticks[0]), notes, begun)


def _stream(columns: SensorColumns, rate: float, clock: Clock, first: float, sensor: Sensor) -> Stream:
    return Stream(
        role=columns.role,
        rate_hz=rate,
        tick_s=clock.tick_s,
        wrap_ticks=clock.wrap_ticks,
        start_s=0.0 if clock.wrap_ticks else first,
        acc_full_scale=sensor.acc_full_scale,
        gyr_full_scale=sensor.gyr_full_scale,
        magnetometer=columns.mag is not None,
        sensor=sensor.name,
    )


def _first_minutes(rows: FileRows) -> tuple[Iterator[tuple[ImuBlock, ...]], tuple[ImuBlock, ...]]:
    """Read the first rows; return an iterator that still begins with them, and the rows in one block a sensor."""
    stream, taken, count = rows.raw(), list[tuple[ImuBlock, ...]](), 0
    for blocks in stream:
        taken.append(blocks)
        count += len(blocks[0].ticks)
        if count >= PROBE_ROWS:
            break
    if count == 1:
        raise RecordingError(f"{safe_text(rows.table.path)}: a single row; at least {SHORTEST_S:g} s are needed")
    if not taken:
        raise RecordingError(f"{safe_text(rows.table.path)}: a header but no rows; was anything recorded?")
    return chain(taken, stream), tuple(map(_joined, zip(*taken, strict=True)))


def _joined(blocks: tuple[ImuBlock, ...]) -> ImuBlock:
    """Copy the rows that are judged; an absurd value counts as missing here and is refused when its row is read."""

    def rows(name: str, limit: float) -> FloatArray:
        joined: FloatArray = np.concatenate([getattr(block, name) for block in blocks])[:PROBE_ROWS]
        return np.where(np.abs(joined) < limit, joined, np.nan)

    return ImuBlock(blocks[0].role, rows("ticks", math.inf), rows("acc", ABSURD), rows("gyr", ABSURD))


def _rate(rows: FileRows, ticks: FloatArray, settings: Settings, named: float | None) -> tuple[float, list[str]]:
    """Choose between the rate of the settings, the one the file names, and the one its times give."""
    path, clock = safe_text(rows.table.path), rows.layout.clock
    found, even = nominal_rate(tick_steps(ticks, clock.wrap_ticks) * clock.tick_s)
    if not RATES_HZ[0] <= found <= RATES_HZ[1]:
        raise RecordingError(
            f"{path}, column {rows.layout.time}: the times give {found:.3g} samples a second; {RATES_HZ[0]:g} to "
            f"{RATES_HZ[1]:g} are read. Are the times in the right unit?"
        )
    notes = [] if even else [f"the times come in bursts; the rate {found:.4g} Hz counts samples over the whole span"]
    if settings.rate_hz is not None:
        if abs(found / settings.rate_hz - 1) <= RATE_TOLERANCE:
            return settings.rate_hz, notes
        raise ConfigError(
            f"{safe_text(settings.path)}: rate_hz = {settings.rate_hz:g}, but the times of {path} give {found:.4g} Hz; "
            f"they may differ by {RATE_TOLERANCE:.0%}. Correct or leave out rate_hz"
        )
    if named is None:
        return found, notes
    if abs(found / named - 1) <= RATE_TOLERANCE:
        return named, notes
    return found, [*notes, f"the file names {named:g} Hz but its times give {found:.4g} Hz; the times were believed"]
