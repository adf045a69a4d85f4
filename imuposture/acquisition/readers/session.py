"""A session folder as input: its stored samples, or the source files its manifest names, unchanged since."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard

from pyarrow import compute

from imuposture._blocks import ROLES, FloatArray, Role
from imuposture._errors import ConfigError, RecordingError
from imuposture.acquisition.readers import registry
from imuposture.acquisition.readers.assemble import assembled
from imuposture.acquisition.readers.files import read_head, read_small
from imuposture.acquisition.readers.parquet_table import batches, numbers, opened_parquet
from imuposture.acquisition.readers.probe import OpenFile, Sensor, open_file
from imuposture.acquisition.readers.recording import Recording, SourceFile
from imuposture.acquisition.readers.settings import Settings, read_settings, windows_of
from imuposture.acquisition.readers.table import SECONDS, FileRows, Layout, SensorColumns, Triple, Units
from imuposture.acquisition.readers.text import safe_text

__all__ = ["SessionReader"]

MANIFEST, SAMPLES = "session.json", "samples.parquet"
Manifest = dict[str, Any]


class SessionReader:
    """Reads a session folder."""

    name = "session"

    def sniff(self, path: Path, _head: bytes) -> bool:
        """Take a folder with a manifest."""
        return (path / MANIFEST).is_file()

    def open(self, files: Sequence[SourceFile], _settings: Settings) -> Recording:
        """Open the samples of a session or, where it keeps none, the files it was made from."""
        folder = files[0].path
        if files[0].role is not None:
            raise RecordingError(f"{safe_text(folder)}: a session, not one sensor's file; give it as the input itself")
        manifest = _manifest(folder / MANIFEST)
        if (folder / SAMPLES).is_file():
            return _from_samples(folder, manifest)
        return _from_source(folder, manifest)


def _manifest(path: Path) -> Manifest:
    try:
        manifest = json.loads(read_small(path), parse_constant=_refuse_constant, object_pairs_hook=_unique)
        if not isinstance(manifest, dict):
            raise ValueError("not a JSON object")
    except ConfigError as error:
        raise RecordingError(str(error)) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else safe_text(error)
        raise RecordingError(f"{safe_text(path)}: damaged manifest: {reason}; process the recording again") from None
    return manifest


def _unique(pairs: list[tuple[str, Any]]) -> Manifest:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _from_source(folder: Path, manifest: Manifest) -> Recording:
    """Open the files a session was made from, if they are still the same bytes."""
    told = manifest.get("input")
    paths, hashes = (told.get("paths"), told.get("sha256")) if isinstance(told, dict) else (None, None)
    if not _texts(paths) or not _texts(hashes) or not 0 < len(paths) == len(hashes):
        raise RecordingError(
            f"{safe_text(folder / MANIFEST)}: names no input with paths and sha256, and there is no {SAMPLES}; "
            "process the recording itself again"
        )
    files = [_found(folder, path) for path in paths]
    for path, digest in zip(files, hashes, strict=True):
        _refuse_changed(folder, path, digest)
    data = [path for path in files if path.suffix.lower() != ".toml"]
    settings = next((read_settings(path) for path in files if path not in data), Settings())
    roles: Sequence[Role | None] = ROLES if len(data) == 2 else [_only_role(manifest)]
    if len(data) != len(roles):
        raise RecordingError(f"{safe_text(folder / MANIFEST)}: names {len(data)} input files; one or two can be opened")
    sources = [SourceFile(path, role, read_head(path)) for path, role in zip(data, roles, strict=True)]
    return registry.open_files(sources, settings)


def _texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _found(folder: Path, path: str) -> Path:
    """Resolve a path of the manifest: beside the session, or as it was given."""
    beside = folder / path
    return beside if beside.exists() else Path(path)


def _refuse_changed(folder: Path, path: Path, digest: str) -> None:
    read_head(path)  # says what is wrong when there is no such file
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest.lower():
        raise RecordingError(
            f"{safe_text(path)}: changed since the session {safe_text(folder)} was made from it (SHA-256 "
            f"{found[:12]}..., the manifest has {safe_text(digest[:12])}...); process the changed file itself"
        )


def _only_role(manifest: Manifest) -> Role | None:
    """Name the role of a session of one sensor."""
    roles = [role for role in ROLES if _sensor(manifest, role)]
    return roles[0] if len(roles) == 1 else None


def _sensor(manifest: Manifest, role: Role) -> Mapping[str, Any]:
    """Return what the manifest says about a sensor, in either form: a list with roles, or a table by role."""
    sensors = manifest.get("sensors")
    if isinstance(sensors, dict):
        sensors = [{"role": name, **told} for name, told in sensors.items() if isinstance(told, dict)]
    told = sensors if isinstance(sensors, list) else []
    return next((one for one in told if isinstance(one, dict) and one.get("role") == role), {})


def _from_samples(folder: Path, manifest: Manifest) -> Recording:
    """Open the stored samples, one pass over the file a sensor."""
    path = folder / SAMPLES
    settings = _settings(folder / MANIFEST, manifest)
    opened = [_opened(path, role, _sensor(manifest, role), settings) for role in _roles(path)]
    if not opened:
        raise RecordingError(f"{safe_text(path)}: holds no samples of an upper or lower sensor")
    return assembled(opened, [file.streams for file in opened], settings, format_name="session samples", paths=(path,))


def _settings(path: Path, manifest: Manifest) -> Settings:
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
        mag if set(mag) <= set(names) else None,
        "flags" if "flags" in names else None,
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

    def chunks(self) -> Iterator[dict[str, FloatArray]]:
        """Yield the columns of this sensor's rows."""
        for batch in batches(self.path, [*self.columns, "role"]):
            mine = batch.filter(compute.equal(batch.column("role"), self.role))
            if mine.num_rows:
                yield {name: numbers(mine.column(name)) for name in self.columns}

    def where(self, row: int) -> str:
        """Name the place of a row (from 0) for a message."""
        return f"row {row + 1} of the {self.role} sensor"
