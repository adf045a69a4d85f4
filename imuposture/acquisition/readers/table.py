"""What a reader says about its format: which columns hold what, in which units, on which clock."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Role
from imuposture._errors import RecordingError
from imuposture.acquisition.readers.arrays import Columns
from imuposture.acquisition.readers.settings import ACC_UNITS, GYR_UNITS
from imuposture.acquisition.readers.text import safe_text

__all__ = ["MICROSECONDS", "SECONDS", "Clock", "FileRows", "Layout", "SensorColumns", "Table", "Units"]

MAX_ROWS = 200_000_000  # 23 days at 100 Hz; a file with more is a decompression bomb or an error
MAX_GAP_S = 86_400.0  # alignment keeps gaps as rows, so one absurd time stamp must not become billions of them
# Full scales of motion sensors end at 32 g and 4000 deg/s; ten times the usual 16 g and 2000 deg/s is no reading.
MAX_ACC = 10 * 16 * ACC_UNITS["g"]
MAX_GYR = 10 * 2000 * GYR_UNITS["deg/s"]

Triple = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class SensorColumns:
    """The columns of one sensor, x y z each, of the `Quality` bits known at the source, of its own orientation."""

    role: Role
    acc: Triple
    gyr: Triple
    mag: Triple | None = None
    flags: str | None = None
    quat: tuple[str, str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """How the time column counts (see `imuposture._blocks.Stream`); ``increasing`` refuses repeats and steps back."""

    tick_s: float
    wrap_ticks: float | None
    increasing: bool


SECONDS = Clock(1.0, None, increasing=True)
MICROSECONDS = Clock(1e-6, 2.0**32, increasing=False)


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a file, by their names in the settings."""

    acc: str = "m/s2"
    gyr: str = "rad/s"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns of a file hold what."""

    time: str
    clock: Clock
    sensors: tuple[SensorColumns, ...]

    def columns(self) -> list[str]:
        """List the columns to read, the time first."""
        triples = [triple for one in self.sensors for triple in (one.acc, one.gyr, one.mag) if triple]
        flags = [one.flags for one in self.sensors if one.flags]
        quats = [name for one in self.sensors for name in one.quat or ()]
        return [self.time, *(name for triple in triples for name in triple), *flags, *quats]


class Table(Protocol):
    """Chosen columns of numbers, streamed from a file."""

    path: Path
    rows: int | None  # where the file tells it without being read

    def chunks(self) -> Iterator[Columns]:
        """Yield the columns, about 65 000 rows at a time, NaN where missing."""
        ...

    def where(self, row: int) -> str:
        """Name the place of a row for a message."""
        ...


class FileRows:
    """The rows of one file as blocks, one a sensor, that share the very same array of ticks.

    Time is checked as the rows stream; values are in the units of the file until `converted` has seen them.
    """

    def __init__(self, table: Table, layout: Layout) -> None:
        self.table, self.layout = table, layout

    def raw(self) -> Iterator[tuple[ImuBlock, ...]]:
        """Yield the rows in the units of the file.

        Raises
        ------
        RecordingError
            If a time is missing, infinite, or does not follow the one before.
        """
        row, last = 0, math.nan
        for columns in self.table.chunks():
            ticks = columns[self.layout.time].astype(np.float64)  # also a copy: a view of Arrow memory is read-only
            self._check_time(ticks, row, last)
            yield tuple(_block(sensor, ticks, columns) for sensor in self.layout.sensors)
            row, last = row + len(ticks), float(ticks[-1])
            if row > MAX_ROWS:
                raise RecordingError(f"{safe_text(self.table.path)}: more than {MAX_ROWS} rows; split the recording")

    def converted(self, chunks: Iterator[tuple[ImuBlock, ...]], units: Units) -> Iterator[tuple[ImuBlock, ...]]:
        """Bring the rows of `raw` to SI units.

        Raises
        ------
        RecordingError
            If a value is infinite or beyond ten times any full scale.
        """
        acc, gyr, row = ACC_UNITS[units.acc], GYR_UNITS[units.gyr], 0
        for blocks in chunks:
            for block, sensor in zip(blocks, self.layout.sensors, strict=True):
                _scale(block.acc, acc)
                _scale(block.gyr, gyr)
                self._check_range(block.acc, sensor.acc, MAX_ACC, acc, row)
                self._check_range(block.gyr, sensor.gyr, MAX_GYR, gyr, row)
                if block.mag is not None and sensor.mag is not None:
                    self._check_range(block.mag, sensor.mag, 1e9, 1.0, row)
            yield blocks
            row += len(blocks[0].ticks)

    def _check_time(self, ticks: FloatArray, row: int, last: float) -> None:
        clock = self.layout.clock
        steps = np.diff(ticks, prepend=ticks[0] if math.isnan(last) else last)
        if clock.increasing:
            good = (steps > 0) & (steps <= MAX_GAP_S)
            good[0] |= math.isnan(last) and math.isfinite(ticks[0])
        else:
            good = (ticks >= 0) & (ticks < (clock.wrap_ticks or math.inf))
        if not good.all():
            bad = int(np.argmin(good))
            before = last if bad == 0 else float(ticks[bad - 1])
            raise self._fault(row + bad, self.layout.time, self._time_problem(float(ticks[bad]), before))

    def _time_problem(self, value: float, before: float) -> str:
        if not math.isfinite(value):
            return "the time is missing or infinite; every row needs one. Delete the row"
        if not self.layout.clock.increasing:
            return f"{value:.15g} is outside the counter's range 0 to 2^32 - 1; export the file again"
        if value - before > MAX_GAP_S:
            return (
                f"the time jumps from {before:.15g} to {value:.15g} s, more than a day; correct the time, "
                "split the file there, or give the times in seconds"
            )
        return (
            f"the time {value:.15g} s does not come after {before:.15g} s; sort the rows, remove repeated ones, "
            "or split the file where a recording was appended"
        )

    def _check_range(self, values: FloatArray, names: Triple, limit: float, unit: float, row: int) -> None:
        # NaN, a missing sample, makes max and min NaN and the comparisons false: then look closer.
        if values.max() <= limit and values.min() >= -limit:
            return
        beyond = np.argwhere(np.abs(values) > limit)
        if not len(beyond):
            return
        bad, axis = beyond[0].tolist()
        problem = (
            f"{values[bad, axis] / unit:g} is beyond {limit / unit:g}, ten times what a motion sensor can measure; "
            "correct it, or leave the cell empty for a missing sample"
        )
        raise self._fault(row + bad, names[axis], problem)

    def _fault(self, row: int, column: str, problem: str) -> RecordingError:
        place = self.table.where(row)
        return RecordingError(f"{safe_text(self.table.path)}, {place}, column {safe_text(column, 60)}: {problem}")


def _block(sensor: SensorColumns, ticks: FloatArray, columns: Columns) -> ImuBlock:
    mag = None if sensor.mag is None else _gathered(sensor.mag, columns)
    flags = None if sensor.flags is None else np.nan_to_num(columns[sensor.flags]).astype(np.uint8)
    quat = None if sensor.quat is None else _gathered(sensor.quat, columns)
    acc, gyr = _gathered(sensor.acc, columns), _gathered(sensor.gyr, columns)
    return ImuBlock(sensor.role, ticks, acc, gyr, mag, flags, quat)


def _gathered(names: Sequence[str], columns: Columns) -> FloatArray:
    rows = np.empty((len(columns[names[0]]), len(names)))
    for axis, name in enumerate(names):
        rows[:, axis] = columns[name]
    return rows


def _scale(values: FloatArray, factor: float) -> None:
    if factor != 1.0:
        values *= factor
