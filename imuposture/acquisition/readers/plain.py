"""The plain recording: ``time_s, upper_acc_x ... lower_gyr_z`` as CSV or Parquet, for both sensors or one a file."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imuposture._blocks import ROLES, Role
from imuposture._errors import RecordingError
from imuposture.acquisition.readers.assemble import assembled
from imuposture.acquisition.readers.csv_table import CsvTable, parse_header
from imuposture.acquisition.readers.files import PARQUET_MAGIC
from imuposture.acquisition.readers.probe import OpenFile, Sensor, open_file
from imuposture.acquisition.readers.recording import Recording, SourceFile
from imuposture.acquisition.readers.settings import Settings
from imuposture.acquisition.readers.table import SECONDS, FileRows, Layout, SensorColumns, Table, Triple
from imuposture.acquisition.readers.text import safe_text

__all__ = ["PlainReader"]

TIME = "time_s"
MAX_APART_S = 3600.0  # two files' first times further apart than this are not one time line
SENSOR = Sensor("plain")


class PlainReader:
    """Reads the plain recording."""

    name = "plain"

    def sniff(self, _path: Path, head: bytes) -> bool:
        """Take Parquet, and text whose first line names any of the plain columns."""
        if head.startswith(PARQUET_MAGIC):
            return True
        first = head.split(b"\n", 1)[0].lower()
        return any(name in first for name in (b"time_s", b"upper_", b"lower_")) or b"acc_x" in first

    def open(self, files: Sequence[SourceFile], settings: Settings) -> Recording:
        """Open one file with both sensors (or one), or one file a sensor."""
        opened = [_opened(file, settings) for file in files]
        notes = _pair_notes(opened)
        form = "Parquet" if files[0].head.startswith(PARQUET_MAGIC) else "CSV"
        return assembled(opened, [file.streams for file in opened], settings, format_name=f"plain {form}", notes=notes)


def _opened(file: SourceFile, settings: Settings) -> OpenFile:
    table: Table
    if file.head.startswith(PARQUET_MAGIC):
        # Loading it takes as long as reading ten minutes of CSV.
        from imuposture.acquisition.readers.parquet_table import ParquetTable, column_names

        layout = _layout(file, column_names(file.path), "", settings)
        table = ParquetTable(file.path, layout.columns())
    else:
        header = parse_header(file.path, file.head)
        layout = _layout(file, header.names, f", line {header.line}", settings)
        table = CsvTable(file.path, header, layout.columns())
    return open_file(FileRows(table, layout), settings, SENSOR)


def _layout(file: SourceFile, names: Sequence[str], where: str, settings: Settings) -> Layout:
    """Find the plain columns among ``names``."""
    prefixes = _prefixes(file, names, where)
    if TIME not in names:
        raise _missing(file.path, where, TIME, names)
    sensors = [_sensor(file.path, where, role, prefix, names) for role, prefix in prefixes.items()]
    if not settings.magnetometer:
        sensors = [replace(sensor, mag=None) for sensor in sensors]
    return Layout(TIME, SECONDS, tuple(sensors))


def _prefixes(file: SourceFile, names: Sequence[str], where: str) -> dict[Role, str]:
    """Say how the columns of each sensor begin; a file of one sensor may leave the role out of its names."""
    there = [role for role in ROLES if any(name.startswith(f"{role}_") for name in names)]
    if file.role is None:
        if not there and any(name.startswith(("acc_", "gyr_")) for name in names):
            raise RecordingError(
                f"{safe_text(file.path)}{where}: one sensor's columns without a role; say which one it is with "
                "--upper FILE or --lower FILE"
            )
        return {role: f"{role}_" for role in there or ROLES}
    if len(there) == 2:
        raise RecordingError(
            f"{safe_text(file.path)}{where}: holds both sensors; give it as the input itself, not as {file.role}"
        )
    if there and there != [file.role]:
        raise RecordingError(
            f"{safe_text(file.path)}{where}: given as the {file.role} sensor, but its columns are named {there[0]}_..."
        )
    return {file.role: f"{file.role}_" if there else ""}


def _sensor(path: Path, where: str, role: Role, prefix: str, names: Sequence[str]) -> SensorColumns:
    acc, gyr, mag = (_triple(prefix, quantity) for quantity in ("acc", "gyr", "mag"))
    wanted = (*acc, *gyr, *(mag if any(name in names for name in mag) else ()))
    for name in wanted:
        if name not in names:
            raise _missing(path, where, name, names)
    return SensorColumns(role, acc, gyr, mag if mag[0] in names else None)


def _triple(prefix: str, quantity: str) -> Triple:
    return f"{prefix}{quantity}_x", f"{prefix}{quantity}_y", f"{prefix}{quantity}_z"


def _missing(path: Path, where: str, name: str, names: Sequence[str]) -> RecordingError:
    lowered = {other.lower(): other for other in names}
    close = difflib.get_close_matches(name, lowered, n=1, cutoff=0.75)
    other = lowered[close[0]] if close else ""
    # A wanted column of its own is no misspelling of its neighbour.
    remedy = "acc and gyr (and mag, where there is one) need x, y and z"
    if other and (other != close[0] or _foreign(other)):
        remedy = f"rename {safe_text(other, 60)}"
    return RecordingError(f"{safe_text(path)}{where}: column {name} is missing; {remedy}")


def _foreign(name: str) -> bool:
    known = {TIME, *(f"{p}{q}_{a}" for p in ("upper_", "lower_", "") for q in ("acc", "gyr", "mag") for a in "xyz")}
    return name not in known


def _pair_notes(opened: Sequence[OpenFile]) -> list[str]:
    if len(opened) < 2:
        return []
    first, second = (file.first_tick for file in opened)
    if abs(second - first) > MAX_APART_S:
        raise RecordingError(
            f"{safe_text(opened[0].path)} begins at {first:.10g} s and {safe_text(opened[1].path)} at {second:.10g} s; "
            f"the times of two files count on one clock, so they may begin at most {MAX_APART_S:g} s apart"
        )
    return [f"the times of both files are read as one clock (they begin at {first:.10g} s and {second:.10g} s)"]
