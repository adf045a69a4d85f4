"""Notifications -> packages with a checksum.

A package is ``02``, CRC-32 of the rest but the size (u32), size of the payload (u8), header (u16), payload. The first
byte of a notification is 255 minus the number of real-time packages that follow whole; then come bytes of a stream of
packages, cut anywhere.
"""

import enum
import struct
from typing import NamedTuple
from zlib import crc32

from imuposture._errors import DecodeError

__all__ = ["Header", "Package", "Unpacker", "is_status", "pack"]

START = 2
MOST_REAL_TIME = 3
_FRAME = struct.Struct("<BIBH")


class Header(enum.IntEnum):
    """What a package is; of samples, only the kinds (the last digit is the rate, 7 in real time)."""

    GET_DEVICE_INFO = 0x70
    DEVICE_INFO = 0x71
    SET_MODE = 0x120
    MODE = 0x122
    START_STREAMING = 0x150
    STREAMING_STARTED = 0x151
    STOP_STREAMING = 0x152
    STREAMING_STOPPED = 0x153
    STOP_AND_CLEAR = 0x158
    STOPPED_AND_CLEARED = 0x159
    START_REAL_TIME = 0x160
    REAL_TIME_MODE = 0x162
    STOP_REAL_TIME = 0x163
    REAL_TIME_STOPPED = 0x164
    SET_TIME = 0x170
    TIME = 0x171
    CLOCK_ROUND_TRIP = 0x172
    SET_LED = 0x183
    LED = 0x185
    GET_STATUS = 0x200
    STATUS = 0x201
    FULL_PACKED = 0x220
    FULL_6D_PACKED = 0x230
    FULL_FIXED = 0x240
    FULL_6D_FIXED = 0x250
    FULL_FLOAT = 0x260
    QUAT_PACKED = 0x270
    QUAT_FIXED = 0x280
    QUAT_FLOAT = 0x290
    SYNC_TRIGGER = 0x400
    ERROR = 0xFFFF


class Package(NamedTuple):
    """A header (`Header`, for samples plus the digit of the rate) and its payload, of the size that belongs to it."""

    header: int
    payload: bytes


# What a sensor may send, with the size of its payload.
SIZES: dict[int, int] = {
    Header.DEVICE_INFO: 47,
    Header.MODE: 30,
    Header.STREAMING_STARTED: 0,
    Header.STREAMING_STOPPED: 0,
    Header.STOPPED_AND_CLEARED: 0,
    Header.REAL_TIME_MODE: 2,
    Header.REAL_TIME_STOPPED: 0,
    Header.TIME: 8,
    Header.CLOCK_ROUND_TRIP: 32,
    Header.LED: 17,
    Header.STATUS: 19,
    Header.SYNC_TRIGGER: 9,
    Header.ERROR: 3,
    0x111: 0,  # asleep
    0x113: 0,  # deeply asleep
    0x125: 19,  # mode of short bursts
    0x142: 74,  # settings of a recording
    0x155: 0,  # recording started
    0x157: 0,  # recording stopped
    0x182: 6,  # settings of the LED
    0x187: 17,  # pulse of the sync output
    0x300: 207,  # burst
    0x301: 137,  # burst of the vertical
}
_STATUS = Header.STATUS.to_bytes(2, "little")
_OF_KIND = {
    Header.FULL_PACKED: (163, 6),
    Header.FULL_6D_PACKED: (115, 6),
    Header.FULL_FIXED: (37, 7),
    Header.FULL_6D_FIXED: (31, 6),
    Header.FULL_FLOAT: (72, 1),
    Header.QUAT_PACKED: (228, 6),
    Header.QUAT_FIXED: (19, 7),
    Header.QUAT_FLOAT: (31, 6),
}
SIZES |= {kind + digit: size for kind, (size, last) in _OF_KIND.items() for digit in range(1, last + 1)}


def pack(header: int, payload: bytes = b"") -> bytes:
    """Return a package as it goes over the air."""
    content = struct.pack("<H", header) + payload
    return struct.pack("<BIB", START, crc32(content), len(payload)) + content


def is_status(notification: bytes) -> bool:
    """Tell a notification that holds the status of every second, and nothing else."""
    head = 1 + _FRAME.size
    return len(notification) == head + SIZES[Header.STATUS] and notification[head - 2 : head] == _STATUS


class Unpacker:
    """Notifications of one connection -> packages."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipped = 0

    def push(self, notification: bytes) -> list[tuple[Package, int]]:
        """Take a notification: real-time packages, then those of the stream that are complete.

        Returns
        -------
        list of (Package, int)
            With the bytes that had to be skipped before each: left-overs, or a package that was damaged.

        Raises
        ------
        DecodeError
            If the real-time packages are damaged, or nothing else in it can belong to a package. The unfinished
            package is dropped then, since its rest is lost.
        """
        if not notification or notification[0] < 0xFF - MOST_REAL_TIME:
            raise self._lost(f"a notification must begin with fc to ff, got {notification[:1].hex() or 'nothing'}")
        at, found = 1, []
        for _ in range(0xFF - notification[0]):
            size = _size_at(notification, at)
            if size is None or size < 0:
                raise self._lost(f"a damaged real-time package at byte {at} of {len(notification)}")
            found.append((_package(notification, at, size), 0))
            at += size
        found += self._of_stream(notification[at:])
        if not found and not self._rest and at < len(notification):
            raise DecodeError(f"{len(notification) - at} bytes that belong to no package")
        return found

    def _lost(self, why: str) -> DecodeError:
        self._skipped += len(self._rest)
        self._rest = b""
        return DecodeError(why)

    def _of_stream(self, chunk: bytes) -> list[tuple[Package, int]]:
        stream, found = self._rest + chunk, []
        begin = 0
        while (at := stream.find(START, begin)) >= 0:
            self._skipped += at - begin
            begin = at
            size = _size_at(stream, at)
            if size is None:
                break
            if size < 0:
                begin, self._skipped = at + 1, self._skipped + 1
                continue
            found.append((_package(stream, at, size), self._skipped))
            begin, self._skipped = at + size, 0
        else:
            self._skipped += len(stream) - begin
            begin = len(stream)
        self._rest = stream[begin:]
        return found


def _package(data: bytes, at: int, size: int) -> Package:
    header: int = _FRAME.unpack_from(data, at)[3]
    return Package(header, data[at + _FRAME.size : at + size])


def _size_at(data: bytes, at: int) -> int | None:
    """Return the size of the whole package that begins here; None: more bytes must tell; negative: none begins here."""
    if len(data) < at + _FRAME.size:
        return None
    start, checksum, size, header = _FRAME.unpack_from(data, at)
    if start != START or SIZES.get(header) != size:
        return -1
    end = at + _FRAME.size + size
    if len(data) < end:
        return None
    return _FRAME.size + int(size) if crc32(data[at + 6 : end]) == checksum else -1
