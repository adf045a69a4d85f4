"""The samples a session stores itself: one table in which both sensors' rows take turns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyarrow import compute

from imuposture._blocks import ROLES, Role
from imuposture._errors import RecordingError
from imuposture.acquisition.readers.arrays import Columns, array_of
from imuposture.acquisition.readers.assemble import assembled
from imuposture.acquisition.readers.parquet_table import batches, is_number, opened_parquet
from imuposture.acquisition.readers.probe import OpenFile, Sensor, open_file
from imuposture.acquisition.readers.recording import Recording
from imuposture.acquisition.readers.session import told_of
from imuposture.acquisition.readers.settings import Settings, windows_of
from imuposture.acquisition.readers.table import SECONDS, FileRows, Layout, SensorColumns, Triple, Units
from imuposture.acquisition.readers.text import safe_text

__all__ = ["RoleTable", "from_samples"]

_COUNTS = ("sent", "lost")
_OWN = ("sensor_qw", "sensor_qx", "sensor_qy", "sensor_qz")  # orientation as the sensor reckons it


def from_samples(path: Path, manifest_path: Path, manifest: Mapping[str, Any]) -> Recording:
    """Open the stored samples, one pass over the file a sensor.

    Raises
    ------
    RecordingError
        If the file is damaged, lacks a column, or holds no sensor's rows.
    ConfigError
        If the manifest's calibration windows make no sense.
    """
    settings = _settings(manifest_path, manifest)
    opened = [_opened(path, role, told_of(manifest, role), settings) for role in _roles(path)]
    if not opened:
        raise RecordingError(f"{safe_text(path)}: holds no samples of an upper or lower sensor")
    streams = [file.streams for file in opened]
    notes = _counted(manifest)
    return assembled(opened, streams, settings, format_name="session samples", notes=notes, paths=(path,))


def _counted(manifest: Mapping[str, Any]) -> list[str]:
    """Tell rows from samples: the table holds what both sensors' samples became on their common grid."""
    alignment = manifest.get("alignment")
    sensors = alignment.get("sensors") if isinstance(alignment, dict) else None
    told = [
        f"{role} {counts['sent']} ({counts['lost']} lost)"
        for role, counts in (sensors.items() if isinstance(sensors, dict) else ())
        if role in ROLES and isinstance(counts, dict) and all(isinstance(counts.get(one), int) for one in _COUNTS)
    ]
    if not told:
        return []
    return [f"rows are those of the grid that both sensors share; samples that the sensors took: {', '.join(told)}"]


def _settings(path: Path, manifest: Mapping[str, Any]) -> Settings:
    placement, start = manifest.get("placement"), manifest.get("start")
    calibration = manifest.get("calibration")
    windows = calibration.get("windows") if isinstance(calibration, dict) else None
    try:
        begun = datetime.fromisoformat(start) if isinstance(start, str) else None
    except ValueError:
        raise RecordingError(f"{safe_text(path)}: start {safe_text(start, 60)} is no date and time") from None
    return Settings(
        path=path,
        placement=placement if isinstance(placement, str) else None,
        start=begun,
        windows=windows_of(path, windows) if isinstance(windows, dict) else {},
    )


def _opened(path: Path, role: Role, told: Mapping[str, Any], settings: Settings) -> OpenFile:
    with opened_parquet(path) as file:
        names = file.schema_arrow.names
    mag = _triple("mag", "ut")
    columns = SensorColumns(
        role,
        _triple("acc", "mps2"),
        _triple("gyr", "radps"),
        mag if set(mag) <= set(names) and _any(path, role, mag[0]) else None,
        "flags" if "flags" in names else None,
        _OWN if set(_OWN) <= set(names) and _any(path, role, _OWN[0]) else None,
    )
    layout = Layout("time_s", SECONDS, (columns,))
    missing = [name for name in (*layout.columns(), "role") if name not in names]
    if missing:
        raise RecordingError(f"{safe_text(path)}: column {missing[0]} is missing; the session is not whole")
    scales = (_number(told.get("acc_full_scale")), _number(told.get("gyr_full_scale")))
    sensor = Sensor(str(told.get("sensor", "session")), *scales)
    rate = _number(told.get("rate_hz"))
    table = RoleTable(path, layout.columns(), role)
    return open_file(FileRows(table, layout), settings, sensor, units=Units(), rate_hz=rate)


def _triple(quantity: str, unit: str) -> Triple:
    return f"{quantity}_x_{unit}", f"{quantity}_y_{unit}", f"{quantity}_z_{unit}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < 1e9 else None


def _any(path: Path, role: Role, column: str) -> bool:
    """Tell whether a sensor has a number in a column; the table has all columns, whatever was measured."""
    for batch in batches(path, [column, "role"]):
        values = batch.filter(compute.equal(batch.column("role"), role)).column(column)
        if not is_number(values.type):
            return True  # reading it refuses it in words
        if compute.any(compute.is_finite(values)).as_py():
            return True
    return False


def _roles(path: Path) -> list[Role]:
    """Find which sensors have rows."""
    found: set[str] = set()
    for batch in batches(path, ["role"]):
        found.update(value for value in compute.unique(batch.column("role")).to_pylist() if value)
        if found >= set(ROLES):
            break
    return [role for role in ROLES if role in found]


@dataclass(slots=True)
class RoleTable:
    """The rows of one sensor in a table that holds both."""

    path: Path
    columns: Sequence[str]
    role: Role
    rows: int | None = None

    def chunks(self) -> Iterator[Columns]:
        """Yield the columns of this sensor's rows."""
        for batch in batches(self.path, [*self.columns, "role"]):
            mine = batch.filter(compute.equal(batch.column("role"), self.role))
            if mine.num_rows:
                yield {name: array_of(mine.column(name)) for name in self.columns}

    def where(self, row: int) -> str:
        """Name the place of a row (from 0) for a message."""
        return f"row {row + 1} of the {self.role} sensor"
