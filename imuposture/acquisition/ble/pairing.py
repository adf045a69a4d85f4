"""Pairing: which sensor is worn where, remembered from one recording to the next.

By advertised name where that tells sensors apart, and always with the address as this machine knows it: macOS has
its own address for every sensor, so a memory is good for one machine only. Kept in the user's configuration folder.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from imuposture._blocks import ROLES, Role
from imuposture._errors import ConfigError
from imuposture.acquisition.readers.text import safe_text

__all__ = ["Paired", "paired", "pairing_file", "remember"]

FILE = "paired.json"
_MOST = 64 << 10  # bytes


@dataclass(frozen=True, slots=True)
class Paired:
    """A sensor that is remembered.

    Attributes
    ----------
    address : str
        As this machine's Bluetooth calls it.
    name : str or None
        As it calls itself; shown, so that people know which one is meant.
    driver : str
        Name of the driver that took it.
    serial : str or None
        Its serial number, where the driver could read it.
    part : int
        Which IMU of a peripheral that carries several.
    """

    address: str
    name: str | None
    driver: str
    serial: str | None = None
    part: int = 0

    @property
    def uri(self) -> str:
        """What finds it again."""
        return f"ble:{self.address}" + (f"#{self.part}" if self.part else "")


def pairing_file() -> Path:
    """Return where pairings are kept: the user's folder for configurations, as each system has it."""
    if sys.platform == "win32":
        home = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Application Support"
    else:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "imuposture" / FILE


def paired(path: Path | None = None) -> dict[Role, Paired]:
    """Return the sensors that are remembered; none if none ever was.

    Raises
    ------
    ConfigError
        If the file is there and cannot be read.
    """
    path = path or pairing_file()
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
        if len(content) > _MOST:
            raise ValueError(f"more than {_MOST >> 10} kB")
        told = json.loads(content)
        if not isinstance(told, dict):
            raise ValueError("it is not a JSON object")
        return {role: Paired(**told[role]) for role in ROLES if role in told and _is_sound(told[role])}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{safe_text(path)} is damaged ({error}); remove it, and pair again") from error


def remember(sensors: Mapping[Role, Paired], path: Path | None = None) -> Path:
    """Remember sensors, beside those of other roles; return the file.

    Raises
    ------
    ConfigError
        If one sensor is to be worn in both places, or the file cannot be written.
    """
    path = path or pairing_file()
    whole = {**paired(path), **sensors}
    uris = [one.uri for one in whole.values()]
    if len(set(uris)) < len(uris):
        raise ConfigError(f"{safe_text(uris[0], 60)} cannot be upper and lower at once; pair the other role anew, too")
    content = json.dumps({role: asdict(whole[role]) for role in ROLES if role in whole}, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".new")
        scratch.write_text(content, encoding="utf-8")
        scratch.replace(path)  # whole or not at all
    except OSError as error:
        raise ConfigError(f"cannot write {safe_text(path)}: {error.strerror}") from error
    return path


def _is_sound(told: object) -> bool:
    if not isinstance(told, dict) or not all(isinstance(told.get(key), str) for key in ("address", "driver")):
        raise ValueError("a sensor needs an address and a driver")
    return isinstance(told.get("part", 0), int)
