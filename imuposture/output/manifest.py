"""What is known about a session <-> session.json: strict JSON, same bytes for the same session.

No time of writing, no user and no machine: a session processed twice is the same folder twice. Keys that are always
there are listed in ``ORDER``; whoever processes adds what it knows.
"""

import dataclasses
import enum
import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from imuposture._errors import SessionError
from imuposture.output.parquet import sync
from imuposture.output.schema import SCHEMA_VERSION

__all__ = [
    "BEGINNING",
    "CLOSED",
    "INTENDED_USE",
    "MANIFEST",
    "MANIFEST_PART",
    "RECORDING",
    "completed",
    "decode",
    "encode",
    "load",
    "put",
    "same_work",
    "sha256",
]

MANIFEST, MANIFEST_PART = "session.json", ".session.json.partial"
# State of a session that was recorded; a processed one has none.
BEGINNING, RECORDING, CLOSED = "beginning", "recording", "closed"
INTENDED_USE = "research, education and training; not a medical device"
ORDER = (
    "schema_version",
    "state",
    "software",
    "intended_use",
    "input",
    "start",
    "time_zone",
    "duration_s",
    "placement",
    "sensors",
    "alignment",
    "calibration",
    "heading",
    "config",
    "config_hash",
    "notes",
    "tables",
)
_MOST = 16 << 20  # bytes; a manifest has some 10 kB, and a parser is not fed gigabytes

Manifest = dict[str, Any]


def completed(manifest: Mapping[str, Any]) -> Manifest:
    """Return the manifest with what every session states, as plain JSON values in their fixed order.

    Raises
    ------
    SessionError
        If a value has no form in JSON.
    """
    whole = {
        "software": {"name": "imuposture", "version": _version()},
        "notes": [],
        **manifest,
        "schema_version": SCHEMA_VERSION,
        "intended_use": INTENDED_USE,
    }
    keys = [key for key in ORDER if key in whole] + sorted(whole.keys() - set(ORDER))
    return {key: _plain(whole[key], key) for key in keys}


def encode(manifest: Manifest) -> bytes:
    """Return the bytes of session.json."""
    return (json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode(content: bytes) -> Manifest:
    """Read session.json back.

    Raises
    ------
    ValueError
        If it is not one JSON object, holds a number JSON does not know, or a key twice.
    """
    try:
        manifest = json.loads(content, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(manifest, dict):
        raise ValueError("it is not a JSON object")
    return manifest


def load(folder: Path) -> Manifest:
    """Read the manifest of a session folder.

    Raises
    ------
    SessionError
        If the folder is no session, its manifest is damaged, or a newer imuposture wrote it.
    """
    path = folder / "session.json"
    try:
        if path.stat().st_size > _MOST:
            raise ValueError(f"more than {_MOST >> 20} MB")
        manifest = decode(path.read_bytes())
        version = manifest.get("schema_version")
        if not isinstance(version, int):
            raise ValueError(f"schema_version must be a whole number, got {version!r}")
    except OSError as error:
        raise SessionError(f"{folder} is not a session folder: session.json: {error.strerror}") from error
    except ValueError as error:
        raise SessionError(f"{path} is damaged: {error}; copy the session again, or process it again") from error
    if version > SCHEMA_VERSION:
        raise SessionError(
            f"{folder} has schema version {version}, this imuposture knows {SCHEMA_VERSION}: upgrade imuposture"
        )
    return manifest


def put(folder: Path, manifest: Manifest) -> None:
    """Write session.json, or replace it: it is the old one or the new one, whole, at any moment.

    Raises
    ------
    SessionError
        If what is on the disk is not what was written.
    OSError
        If it cannot be written; the old one is still there then.
    """
    content, part = encode(manifest), folder / MANIFEST_PART
    part.write_bytes(content)
    sync(part)
    if part.read_bytes() != content:
        raise SessionError(f"{part} does not hold what was written; is the disk full or failing?")
    os.replace(part, folder / MANIFEST)
    sync(folder)


def same_work(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two manifests answer the same question: same input bytes, same calibration source, same config."""
    key = _work(one)
    return key == _work(other) and None not in key[:2]


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _work(manifest: Mapping[str, Any]) -> tuple[Any, ...]:
    source = manifest.get("input")
    hashes, calibration = (
        (source.get("sha256"), source.get("calibration_sha256")) if isinstance(source, Mapping) else (None, None)
    )
    version = manifest.get("schema_version", SCHEMA_VERSION)
    return _plain(hashes, "input"), manifest.get("config_hash"), calibration, version


def _plain(value: Any, where: str) -> Any:
    """Return ``value`` as JSON knows it; a number that is not finite is an unknown one, null."""
    value = _simpler(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise SessionError(f"the manifest cannot hold {where}: {type(value).__name__} has no form in JSON")


def _simpler(value: Any) -> Any:
    """Return the plain value behind an enum, a date, a path, a dataclass, or a NumPy array or scalar."""
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return value.as_posix()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value.tolist() if hasattr(value, "tolist") else value


def _unique(pairs: list[tuple[str, Any]]) -> Manifest:
    keys = dict(pairs)
    if len(keys) != len(pairs):
        raise ValueError("a key stands twice")
    return keys


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _version() -> str:
    # the package is loaded already, as this module is in it; importing it from below would turn the listing round
    return str(getattr(sys.modules.get("imuposture"), "__version__", "unknown"))
