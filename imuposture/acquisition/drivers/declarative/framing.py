"""Payloads of a characteristic -> packets: one a notification, frames of a byte stream, or lines of text.

Frames and lines are cut and packed by the radio at will; what comes of them does not depend on where. Bytes that
belong to no frame are dropped and counted. Each framer holds unfinished bytes only.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Protocol

from imuposture._errors import DecodeError
from imuposture.acquisition.drivers.declarative.checksums import CHECKSUMS, split
from imuposture.acquisition.drivers.declarative.fields import Field, Number
from imuposture.acquisition.drivers.declarative.packets import Packet, size_of
from imuposture.acquisition.drivers.declarative.tables import Table
from imuposture.acquisition.drivers.declarative.taking import PacketReader, Taken

__all__ = ["Framer", "Frames", "Framing", "Lines", "Notifications", "frame_length", "framer_of", "framing_of"]

LONGEST_LINE = 2048
Kind = Literal["notification", "fixed", "lines"]
_NUMBER = re.compile(r"[+-]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,3})?")
_WHOLE = re.compile(r"[+-]?\d{1,20}")


@dataclass(frozen=True, slots=True)
class Framing:
    """How packets stand in payloads.

    Attributes
    ----------
    kind : "notification", "fixed" or "lines"
    confirm : bool
        A frame counts only once the next one begins right behind it.
    json : bool
        Lines are JSON objects, not separated columns.
    separator : str
    prefix : str
        What each line begins with.
    longest : int
        Bytes of a line.
    nmea : bool
        Lines end in ``*`` and two hexadecimal digits, the xor of what stands before.
    """

    kind: Kind = "notification"
    confirm: bool = False
    json: bool = False
    separator: str = ","
    prefix: str = ""
    longest: int = 256
    nmea: bool = False


def framing_of(table: Table) -> Framing:
    """Read the framing of a stream: a word, or a table with its settings.

    Raises
    ------
    ConfigError
        If it does not exist.
    """
    kinds: tuple[Kind, ...] = ("notification", "fixed", "lines")
    if not isinstance(table.raw("framing"), dict):
        return Framing(table.choice("framing", kinds, "notification"))
    keys = ("kind", "confirm", "format", "separator", "prefix", "longest", "checksum")
    inner = table.of("framing", table.raw("framing"), keys)
    kind = inner.choice("kind", kinds)
    allowed = {"fixed": {"confirm"}, "lines": {"format", "separator", "prefix", "longest", "checksum"}}
    for key in keys[1:]:
        if key in inner and key not in allowed.get(kind, set()):
            raise inner.wrong(key, f"means nothing for {kind}; leave it out")
    return Framing(
        kind,
        inner.flag("confirm", False),
        inner.choice("format", ("csv", "json"), "csv") == "json",
        inner.choice("separator", (",", ";", "\t", " "), ","),
        inner.text("prefix", "", 20),
        inner.integer("longest", 8, LONGEST_LINE, 256),
        inner.choice("checksum", ("none", "nmea"), "none") == "nmea",
    )


@dataclass(slots=True)
class Found:
    """What a payload brought: packets, and the bytes that belonged to none."""

    packets: list[Taken] = field(default_factory=list)
    dropped: int = 0


class Framer(Protocol):
    """Payloads of one characteristic -> packets."""

    def push(self, payload: bytes) -> Found:
        """Take the next payload.

        Raises
        ------
        DecodeError
            If it is not what the profile allows; nothing of it was taken.
        """
        ...


def framer_of(framing: Framing, readers: Sequence[PacketReader]) -> Framer:
    """Return the framer of a characteristic."""
    if framing.kind == "notification":
        return Notifications(readers)
    return Frames(readers, framing.confirm) if framing.kind == "fixed" else Lines(readers, framing)


class Notifications:
    """One packet a notification, of exactly the length that its fields have."""

    def __init__(self, readers: Sequence[PacketReader]) -> None:
        self._readers = readers

    def push(self, payload: bytes) -> Found:
        """Take a notification.

        Raises
        ------
        DecodeError
            If no packet of the profile is like it.
        """
        reader = next((reader for reader in self._readers if reader.takes(payload)), None)
        if reader is None:
            raise DecodeError(f"{len(payload)} bytes that begin with {payload[:8].hex(' ')}: no packet of the profile")
        return Found([reader.read(payload)])


class Frames:
    """Frames of fixed lengths in a byte stream, found by their tags."""

    def __init__(self, readers: Sequence[PacketReader], confirm: bool) -> None:
        self._confirm = confirm
        self._readers = [(reader, frame_length(reader.packet)) for reader in readers]
        self._held = b""

    def push(self, payload: bytes) -> Found:
        """Take the next bytes of the stream; those that are no frame are counted."""
        data = self._held + payload
        found, at = Found(), 0
        while at < len(data):
            length = self._frame(data, at, found)
            if length is None:
                break
            if length == 0:
                found.dropped += 1
            at += length or 1
        self._held = data[at:]
        return found

    def _frame(self, data: bytes, at: int, found: Found) -> int | None:
        """Take the frame that begins here and return its length; 0 if none does, None if more bytes must tell."""
        for reader, length in self._readers:
            tag = reader.packet.tag
            if data[at : at + len(tag)] != tag[: len(data) - at]:
                continue
            end = at + length
            if end > len(data):
                return None
            confirmed = self._begins(data, end) if self._confirm else True
            if confirmed is None:
                return None
            if confirmed and split(reader.packet.checksum, data[at:end])[1]:
                return self._taken(reader, data[at:end], found)
        return 0

    def _begins(self, data: bytes, at: int) -> bool | None:
        """Tell whether a frame begins here; None if too few bytes are there."""
        rest = data[at : at + 16]
        if any(rest.startswith(reader.packet.tag) for reader, _ in self._readers):
            return True
        return None if any(reader.packet.tag.startswith(rest) for reader, _ in self._readers) else False

    @staticmethod
    def _taken(reader: PacketReader, frame: bytes, found: Found) -> int:
        try:
            found.packets.append(reader.read(frame))
        except DecodeError:
            found.dropped += len(frame)
        return len(frame)


def frame_length(packet: Packet) -> int:
    """Return the length of a frame in bytes; 0 if it is not always the same."""
    if packet.lengths:
        return packet.lengths[1] if packet.lengths[0] == packet.lengths[1] else 0
    if not isinstance(packet.repeat, int):
        return 0
    end = CHECKSUMS[packet.checksum][0] if packet.checksum else 0
    return size_of(packet.fields) + packet.repeat * size_of(packet.samples) + end


class Lines:
    """Lines of text, each one sample; the first one after connecting may be a part only, and is dropped."""

    def __init__(self, readers: Sequence[PacketReader], framing: Framing) -> None:
        self._framing = framing
        self._readers = readers
        self._held = b""
        self._started = bool(framing.prefix or framing.nmea)  # then a part cannot be taken for a line

    def push(self, payload: bytes) -> Found:
        """Take the next bytes of the text; lines that are none are counted with their bytes."""
        found = Found()
        *whole, self._held = (self._held + payload).split(b"\n")
        for line in whole:
            self._line(line, found)
        while len(self._held) > self._framing.longest:  # no line at all; begin anew behind the next line's end
            found.dropped += self._framing.longest
            self._held, self._started = self._held[self._framing.longest :], False
        return found

    def _line(self, line: bytes, found: Found) -> None:
        started, self._started = self._started, True
        text = line.strip(b"\r \t")
        if not started or len(line) > self._framing.longest:
            found.dropped += len(line) + 1
        elif text:
            try:
                found.packets.append(self._read(text))
            except DecodeError:
                found.dropped += len(line) + 1

    def _read(self, line: bytes) -> Taken:
        text = self._checked(line)
        if self._framing.json:
            values = _object(text)
            return self._readers[0].read_values(
                {one.name: _of_json(values, one) for one in self._readers[0].packet.fields if one.name}
            )
        columns = [column.strip() for column in text.split(self._framing.separator)]
        for reader in self._readers:
            if not reader.packet.word or columns[0] == reader.packet.word:
                return reader.read_values(_columns(columns[bool(reader.packet.word) :], reader.packet.fields))
        raise DecodeError("a line that begins with no tag of the profile")

    def _checked(self, line: bytes) -> str:
        """Return the text of a line without prefix and checksum."""
        if self._framing.nmea:
            body, star, digits = line.rpartition(b"*")
            line = body[1:] if body.startswith(b"$") else body
            if not star or f"{_xor(line):02X}" != digits.decode("ascii", "replace").upper():
                raise DecodeError("a line whose checksum is wrong or missing")
        try:
            text = line.decode("ascii")
        except UnicodeDecodeError:
            raise DecodeError("a line that is not ASCII") from None
        if not text.startswith(self._framing.prefix):
            raise DecodeError("a line without its prefix")
        return text[len(self._framing.prefix) :]


def _xor(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def _columns(columns: Sequence[str], fields: Sequence[Field]) -> dict[str, list[Number]]:
    if len(columns) != size_of(tuple(fields)):
        raise DecodeError(f"a line of {len(columns)} columns")
    values, at = {}, 0
    for one in fields:
        if one.name:
            values[one.name] = [_number(column) for column in columns[at : at + one.count]]
        at += one.count
    return values


def _number(text: str) -> Number:
    if not _NUMBER.fullmatch(text):
        raise DecodeError("a column that is no number")
    return int(text) if _WHOLE.fullmatch(text) else float(text)


def _object(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text, parse_constant=_refused, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise DecodeError("a line that is no JSON object") from None
    if not isinstance(found, dict):
        raise DecodeError("a line that is no JSON object")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(constant)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found


def _of_json(values: Mapping[str, object], one: Field) -> list[Number]:
    found = values.get(one.key or one.name or "")
    listed = found if isinstance(found, list) else [found]
    numbers = [value for value in listed if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(listed) != one.count or len(numbers) != one.count or any(abs(value) > 1e19 for value in numbers):
        raise DecodeError(f"{one.name}: {one.count} numbers are right")
    return numbers
