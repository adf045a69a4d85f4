"""Captures: what one sensor sent, as JSON lines. Proof that a driver works, and a test vector for ever after.

The first line says what the sensor is and what was asked of it; every other line is an entry, its arrival counted from
the first, its payload in hexadecimal. No address and no name of the sensor is in it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from imuposture._blocks import Entry, EntryKind
from imuposture._errors import RecordingError
from imuposture.acquisition.drivers import Settings
from imuposture.acquisition.readers.text import safe_text
from imuposture.pipeline import LiveSensor
from imuposture.pipeline.remembered import facts_of

__all__ = ["Capture", "read_capture", "write_capture"]

VERSION = 1
_LONGEST_LINE = 1 << 20
_MOST_ENTRIES = 1_000_000


@dataclass(frozen=True, slots=True)
class Capture:
    """What one sensor sent.

    Attributes
    ----------
    driver : str
        Name of the driver that took it.
    settings : Settings
        What was asked of the sensor.
    about : mapping
        What else is known: the sensor's title, rate and stream, and what whoever made the capture said of it.
    entries : tuple of Entry
    """

    driver: str
    settings: Settings
    about: dict[str, Any]
    entries: tuple[Entry, ...]


def write_capture(path: Path, sensor: LiveSensor, entries: Iterable[Entry], **about: Any) -> Path:
    """Write a capture; return where it is.

    Parameters
    ----------
    path : Path
    sensor : LiveSensor
    entries : iterable of Entry
    **about
        What else is known, in plain values: model, firmware, what was done with the sensor.

    Raises
    ------
    RecordingError
        If it cannot be written, or is there already.
    """
    try:
        with path.open("x", encoding="ascii") as file:
            file.write(_line({"capture": VERSION, **facts_of(sensor), "role": sensor.settings.role, **about}))
            first: int | None = None
            for entry in entries:
                first = entry.arrival_ns if first is None else first
                line = [entry.arrival_ns - first, entry.kind, entry.generation, entry.channel, entry.payload.hex()]
                file.write(_line(line))
    except FileExistsError as error:
        raise RecordingError(f"{safe_text(path)} is there already; choose another name") from error
    except OSError as error:
        raise RecordingError(f"cannot write {safe_text(path)}: {error.strerror}") from error
    return path


def read_capture(path: Path) -> Capture:
    """Read a capture.

    Raises
    ------
    RecordingError
        If it is none.
    """
    try:
        with path.open(encoding="ascii") as file:
            head = json.loads(file.readline(_LONGEST_LINE))
            if not isinstance(head, dict) or head.pop("capture", None) != VERSION:
                raise ValueError("it does not begin as a capture does")
            settings = Settings(head.pop("role"), **head.pop("settings"))
            entries = tuple(_entry(line, settings) for line in _lines(file))
            return Capture(str(head.pop("driver")), settings, head, entries)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RecordingError(f"{safe_text(path)} is no capture of a sensor: {safe_text(error)}") from error


def _lines(file: Any) -> Iterable[str]:
    for count, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), "")):
        if count >= _MOST_ENTRIES or not line.endswith("\n"):
            raise ValueError(f"line {count + 2} is cut off or too long, or there are too many")
        yield line


def _entry(line: str, settings: Settings) -> Entry:
    arrival_ns, kind, generation, channel, payload = json.loads(line)
    if kind not in get_args(EntryKind) or not all(isinstance(one, int) for one in (arrival_ns, generation, channel)):
        raise ValueError(f"no such entry: {line[:80]}")
    return Entry(arrival_ns, kind, settings.role, generation, channel, bytes.fromhex(payload))


def _line(value: Any) -> str:
    return json.dumps(value) + "\n"
