"""Checksums that small firmware uses, over all bytes before them."""

import zlib
from collections.abc import Callable, Mapping
from functools import reduce
from operator import xor

__all__ = ["CHECKSUMS", "checksum_of", "split"]

# Name -> bytes that it takes, and how it is reckoned.
CHECKSUMS: Mapping[str, tuple[int, Callable[[bytes], int]]] = {
    "sum8": (1, lambda data: sum(data) & 0xFF),
    "sum8_negated": (1, lambda data: -sum(data) & 0xFF),  # so that all bytes with it add up to 0
    "xor8": (1, lambda data: reduce(xor, data, 0)),
    "crc32le": (4, zlib.crc32),
}


def checksum_of(name: str, data: bytes) -> bytes:
    """Return the checksum of data, as it is sent after them."""
    width, reckon = CHECKSUMS[name]
    return reckon(data).to_bytes(width, "little")


def split(name: str | None, data: bytes) -> tuple[bytes, bool]:
    """Return data without the checksum at their end, and whether it was right; without a name, all and True."""
    if name is None:
        return data, True
    width = CHECKSUMS[name][0]
    body = data[:-width]
    return body, len(data) > width and checksum_of(name, body) == data[-width:]
