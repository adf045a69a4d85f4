"""An entry <-> a row of the journal that proves itself: its number, its fields, and a CRC-32 over all of them."""

import enum
import struct
import zlib
from typing import NamedTuple

from imuposture._blocks import Entry, EntryKind, Role
from imuposture._errors import SessionError

__all__ = ["KINDS", "MOST_PAYLOAD", "SIDES", "Mark", "Row", "crc_of_mark", "entry_of", "is_whole", "row_of"]

KINDS: tuple[EntryKind, ...] = ("notification", "read", "link", "command")  # a kind is stored as its place here
SIDES: tuple[Role | None, ...] = (None, "upper", "lower")  # likewise a role
_KIND = {kind: code for code, kind in enumerate(KINDS)}
_ROLE = {role: code for code, role in enumerate(SIDES)}
MOST_PAYLOAD = 65_536  # bytes; a notification has at most 514, a command some hundreds
_FIELDS = struct.Struct("<qqBBIH")
_MARK = struct.Struct("<qq")


class Row(NamedTuple):
    """A row of the table ``entries``, column by column."""

    number: int
    arrival_ns: int
    kind: int
    role: int
    generation: int
    channel: int
    payload: bytes
    crc32: int


def row_of(number: int, entry: Entry) -> Row:
    """Return the row that keeps an entry.

    Raises
    ------
    SessionError
        If the entry is not one: an unknown kind or role, a number out of range, or too long a payload.
    """
    arrival_ns, kind, role, generation, channel, payload = entry
    try:
        codes = _KIND[kind], _ROLE[role]
        fields = _FIELDS.pack(number, arrival_ns, *codes, generation, channel)
    except (KeyError, struct.error) as error:
        raise SessionError(f"the journal cannot keep {entry!r:.200}: {error}") from None
    if len(payload) > MOST_PAYLOAD:
        raise SessionError(f"the journal keeps payloads of at most {MOST_PAYLOAD} bytes, got {len(payload)} ({kind})")
    payload = bytes(payload)
    return Row(number, arrival_ns, *codes, generation, channel, payload, zlib.crc32(payload, zlib.crc32(fields)))


def is_whole(row: Row) -> bool:
    """Tell whether a row is one that was written: its CRC-32 fits, and its kind and role are known."""
    try:
        fields = _FIELDS.pack(*row[:6])
    except struct.error:
        return False
    if row.crc32 != zlib.crc32(row.payload, zlib.crc32(fields)):
        return False
    return row.number >= 0 and row.kind < len(KINDS) and row.role < len(SIDES) and len(row.payload) <= MOST_PAYLOAD


def entry_of(row: Row) -> Entry:
    """Return the entry that a whole row keeps."""
    _, arrival_ns, kind, role, generation, channel, payload, _ = row
    return Entry(arrival_ns, KINDS[kind], SIDES[role], generation, channel, payload)


class Mark(enum.IntEnum):
    """What a row of the table ``marks`` says about its ``count``."""

    ACKNOWLEDGED = 0  # as many entries are on the disk
    BEGUN = 1  # from now on there is a write-ahead log
    CLOSED = 2  # the log was merged into the file, and is gone


def crc_of_mark(mark: int, count: int) -> int:
    """Return the CRC-32 that stands beside a mark and its count."""
    return zlib.crc32(_MARK.pack(mark, count))
