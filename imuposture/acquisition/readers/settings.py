"""The TOML beside a recording: rate, units, placement, calibration windows, or the names of two files."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeGuard

from imuposture._errors import ConfigError
from imuposture.acquisition.readers.files import read_small
from imuposture.acquisition.readers.text import safe_text

__all__ = ["ACC_UNITS", "GYR_UNITS", "WINDOW_NAMES", "Settings", "read_settings", "settings_beside", "windows_of"]

ACC_UNITS = {"m/s2": 1.0, "g": 9.80665}
GYR_UNITS = {"rad/s": 1.0, "deg/s": math.pi / 180.0}
WINDOW_NAMES = ("neutral", "flexion", "lateral", "rotation")
_KEYS = ("rate_hz", "units", "placement", "start", "calibration", "recording")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the wearer or examiner says about a recording; None where nothing was said.

    ``magnetometer`` comes from the caller: False leaves the columns of the magnetometers unread.
    """

    path: Path | None = None
    rate_hz: float | None = None
    acc_unit: str | None = None
    gyr_unit: str | None = None
    placement: str | None = None
    start: datetime | None = None
    windows: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    magnetometer: bool = True


def settings_beside(path: Path) -> Settings:
    """Read the TOML of the same stem, if there is one.

    Raises
    ------
    ConfigError
        If it is there and says something that does not exist or makes no sense.
    """
    beside = path.with_suffix(".toml")
    if not beside.exists():
        return Settings()
    settings = read_settings(beside)
    if settings.files:
        raise ConfigError(
            f"{safe_text(beside)}: [recording] names files of its own; give this TOML itself as the input"
        )
    return settings


def read_settings(path: Path) -> Settings:
    """Read a TOML file of settings; paths in it are relative to its folder.

    Raises
    ------
    ConfigError
        If it is not TOML, too long, or has an unknown key or a value of the wrong kind; names the key.
    """
    table = _parsed(path)
    _refuse_unknown(path, "", table, _KEYS)
    units = _table(path, "units", table, ("acc", "gyr"))
    windows = _table(path, "calibration", table, WINDOW_NAMES)
    files = _table(path, "recording", table, ("upper", "lower"))
    return Settings(
        path=path,
        rate_hz=_rate(path, table.get("rate_hz")),
        acc_unit=_choice(path, "units.acc", units.get("acc"), ACC_UNITS),
        gyr_unit=_choice(path, "units.gyr", units.get("gyr"), GYR_UNITS),
        placement=_text(path, "placement", table.get("placement")),
        start=_start(path, table.get("start")),
        windows=windows_of(path, windows),
        files={role: path.parent / str(_text(path, f"recording.{role}", name)) for role, name in files.items()},
    )


def windows_of(path: Path, table: Mapping[str, object]) -> dict[str, list[tuple[float, float]]]:
    """Read calibration windows by name; ``path`` is named in messages.

    Raises
    ------
    ConfigError
        If a name is unknown, or a window is no pair of numbers in order.
    """
    _refuse_unknown(path, "calibration.", table, WINDOW_NAMES)
    return {name: _windows(path, name, value) for name, value in table.items()}


def _parsed(path: Path) -> dict[str, object]:
    data = read_small(path)
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{safe_text(path)}: not UTF-8 text; save the TOML as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else safe_text(error)
        raise ConfigError(f"{safe_text(path)}: not valid TOML: {reason}") from None


def _refuse_unknown(path: Path, prefix: str, table: Mapping[str, object], known: tuple[str, ...]) -> None:
    unknown = [safe_text(prefix + key, 60) for key in table if key not in known]
    if unknown:
        names = ", ".join(prefix + key for key in known)
        raise ConfigError(f"{safe_text(path)}: unknown key {', '.join(unknown[:5])}; known are {names}")


def _table(path: Path, key: str, table: Mapping[str, object], known: tuple[str, ...]) -> dict[str, object]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{safe_text(path)}: {key} must be a table with {', '.join(known)}, got {_kind(value)}")
    _refuse_unknown(path, f"{key}.", value, known)
    return value


def _rate(path: Path, value: object) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not 1 <= float(value) <= 2000:
        raise ConfigError(f"{safe_text(path)}: rate_hz must be a number from 1 to 2000, got {_kind(value)}")
    return float(value)


def _choice(path: Path, key: str, value: object, known: Mapping[str, float]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in known:
        choices = " or ".join(f'"{unit}"' for unit in known)
        raise ConfigError(f"{safe_text(path)}: {key} must be {choices}, got {_kind(value)}")
    return value


def _text(path: Path, key: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 1000 or not value.isprintable():
        raise ConfigError(f"{safe_text(path)}: {key} must be a short text of printable characters, got {_kind(value)}")
    return value


def _start(path: Path, value: object) -> datetime | None:
    if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
        return value
    raise ConfigError(
        f"{safe_text(path)}: start must be a date and time with its zone, like 2026-05-01T09:30:00+02:00, "
        f"got {_kind(value)}"
    )


def _windows(path: Path, name: str, value: object) -> list[tuple[float, float]]:
    """Accept one window ``[start, end]`` or a list of them."""
    several = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    return [_window(path, name, window) for window in several]


def _window(path: Path, name: str, value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise ConfigError(
            f"{safe_text(path)}: calibration.{name} must be [start, end] in seconds, or a list of such windows, "
            f"got {_kind(value)}"
        )
    start, end = float(value[0]), float(value[1])
    if not start < end:
        raise ConfigError(
            f"{safe_text(path)}: calibration.{name} = [{start:g}, {end:g}] is empty; its end must come after its start"
        )
    return start, end


def _is_number(value: object) -> TypeGuard[float]:
    """Tell a number of sane size; TOML also has nan, inf, whole numbers beyond any float, and booleans."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _kind(value: object) -> str:
    return f"{type(value).__name__} {safe_text(repr(value), 60)}"
