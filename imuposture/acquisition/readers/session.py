"""A session folder as input: its stored samples, or the source files its manifest names, unchanged since."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from imuposture._blocks import ROLES, Role
from imuposture._errors import ConfigError, RecordingError
from imuposture.acquisition.readers import registry
from imuposture.acquisition.readers.files import read_head, read_small
from imuposture.acquisition.readers.recording import Recording, SourceFile
from imuposture.acquisition.readers.settings import Settings, read_settings
from imuposture.acquisition.readers.text import safe_text

__all__ = ["SessionReader", "told_of"]

MANIFEST, SAMPLES = "session.json", "samples.parquet"
Manifest = dict[str, Any]


class SessionReader:
    """Reads a session folder."""

    name = "session"

    def sniff(self, path: Path, _head: bytes) -> bool:
        """Take a folder with a manifest."""
        return (path / MANIFEST).is_file()

    def open(self, files: Sequence[SourceFile], _settings: Settings) -> Recording:
        """Open the samples of a session or, where it keeps none, the files it was made from.

        Raises
        ------
        RecordingError
            If it is damaged, or the files it was made from are gone or changed.
        """
        folder = files[0].path
        if files[0].role is not None:
            raise RecordingError(f"{safe_text(folder)}: a session, not one sensor's file; give it as the input itself")
        manifest = _manifest(folder / MANIFEST)
        if manifest.get("state") in {"beginning", "recording"}:
            raise RecordingError(
                f"{safe_text(folder)}: is being recorded, or its recorder died; in that case: "
                f"imuposture recover {safe_text(folder)}"
            )
        if (folder / SAMPLES).is_file():
            # Loads pyarrow.parquet, which no other session needs.
            from imuposture.acquisition.readers.session_samples import from_samples

            return from_samples(folder / SAMPLES, folder / MANIFEST, manifest)
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
    roles = [role for role in ROLES if told_of(manifest, role)]
    return roles[0] if len(roles) == 1 else None


def told_of(manifest: Mapping[str, Any], role: Role) -> Mapping[str, Any]:
    """Return what the manifest says about a sensor, in either form: a list with roles, or a table by role."""
    sensors = manifest.get("sensors")
    if isinstance(sensors, dict):
        sensors = [{"role": name, **told} for name, told in sensors.items() if isinstance(told, dict)]
    told = sensors if isinstance(sensors, list) else []
    return next((one for one in told if isinstance(one, dict) and one.get("role") == role), {})
