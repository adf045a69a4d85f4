"""What a DOT says apart from samples: control, information, battery, reports, and messages with a checksum.

A message is MID, length of the data, data, and a byte that makes the sum of all 0 modulo 256. Two examples of the
vendor's text (a recording of 30 minutes) break this rule; the rule is kept, they are refused.
"""

import struct

from imuposture._errors import DecodeError
from imuposture.acquisition.drivers.messages import Message, Reply, Status

__all__ = ["CONTROL", "battery", "control", "info", "mac_bytes", "measurement", "message", "parse_message", "report"]

CONTROL = struct.Struct("<8B16sHB5x")  # the device control characteristic
CONTROL_FIELDS = ("visit", "identify", "power", "advertising_min", "advertising_s", "connected_min", "connected_s")
MESSAGE_LENGTH, MOST_DATA = 160, 157
RECORDING, SYNC, CONFIGURATION = 1, 2, 3  # MID
SYNC_RESULTS = {0: "synced", 5: "not enough samples", 7: "skew too large", 8: "start time wrong", 9: "not started"}
_REPORTS = {1: "power_off", 4: "power_saving"}
_INFO = struct.Struct("<6s3BH5BIQ6s")


def message(mid: int, data: bytes) -> bytes:
    """Return a message for the message service."""
    frame = bytes([mid, len(data)]) + data
    return frame + bytes([-sum(frame) & 0xFF])


def mac_bytes(address: str) -> bytes:
    """Return the bytes of a Bluetooth address as messages hold them, last first.

    Raises
    ------
    ValueError
        If it is none.
    """
    parts = bytes.fromhex(address.replace(":", "").replace("-", ""))
    if len(parts) != 6:
        raise ValueError(address)
    return parts[::-1]


def parse_message(payload: bytes) -> list[Message]:
    """Read a message of the sensor: acknowledgement or notification.

    Raises
    ------
    DecodeError
        If length or checksum are wrong. A message may be filled up with zeros to the 160 bytes of its characteristic.
    """
    if len(payload) < 3 or payload[1] > MOST_DATA:
        raise DecodeError(f"a message has 3 to {MESSAGE_LENGTH} bytes and says how many, got {payload[:4].hex()}...")
    length = payload[1] + 3
    padded = len(payload) == MESSAGE_LENGTH and not any(payload[length:])
    if (len(payload) != length and not padded) or sum(payload[:length]) & 0xFF:
        raise DecodeError(f"a message of {length} bytes with a right checksum was due, got {len(payload)} bytes")
    mid, data = payload[0], payload[2 : length - 1]
    if mid == SYNC and len(data) >= 2:
        return [_sync(data)]
    names = {RECORDING: "recording", SYNC: "sync", CONFIGURATION: "configuration"}
    if mid not in names:
        raise DecodeError(f"messages are of kind 1, 2 or 3, got {mid}")
    return [Reply(names[mid], {"data": data.hex()})]


def control(payload: bytes) -> list[Message]:
    """Read the device control characteristic.

    Raises
    ------
    DecodeError
        If it has not 32 bytes, or a tag of more than 16.
    """
    _of_length("device control", payload, CONTROL.size)
    *numbers, tag_length, tag, rate, profile = CONTROL.unpack(payload)
    if tag_length > len(tag):
        raise DecodeError(f"a tag has at most 16 letters, got {tag_length}")
    values = dict(zip(CONTROL_FIELDS, numbers, strict=True))
    told = {"tag": tag[:tag_length].decode("ascii", "replace"), "rate_hz": rate, "filter": profile}
    return [Reply("control", {**values, **told})]


def info(payload: bytes) -> list[Message]:
    """Read the device info characteristic.

    Raises
    ------
    DecodeError
        If it has not 34 bytes.
    """
    _of_length("device info", payload, _INFO.size)
    mac, *firmware, year, month, day, hour, minute, second, radio, serial, product = _INFO.unpack(payload)
    values = {
        "address": mac[::-1].hex(":").upper(),
        "firmware": ".".join(str(number) for number in firmware),
        "built": f"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}",
        "softdevice": radio,
        "serial": f"{serial:X}",
        "product": product.decode("ascii", "replace").rstrip("\0"),
    }
    return [Reply("info", values)]


def measurement(payload: bytes) -> list[Message]:
    """Read the measurement control characteristic.

    Raises
    ------
    DecodeError
        If it is not 1, 0 or 1, and a mode.
    """
    _of_length("measurement control", payload, 3)
    if payload[0] != 1 or payload[1] > 1:
        raise DecodeError(f"measurement control must be 01, 00 or 01 and a mode, got {payload.hex()}")
    return [Reply("measurement", {"running": bool(payload[1]), "mode": payload[2]})]


def heading(payload: bytes) -> list[Message]:
    """Read how the last reset of the heading went.

    Raises
    ------
    DecodeError
        If it is not one byte, 0 or 1.
    """
    _of_length("result of the heading reset", payload, 1)
    if payload[0] > 1:
        raise DecodeError(f"result of the heading reset must be 00 or 01, got {payload.hex()}")
    return [Reply("heading_reset", {"ok": bool(payload[0])})]


def battery(payload: bytes) -> list[Message]:
    """Read the battery characteristic.

    Raises
    ------
    DecodeError
        If it is not a percentage, and 0 or 1 for charging.
    """
    _of_length("battery", payload, 2)
    if payload[0] > 100 or payload[1] > 1:
        raise DecodeError(f"battery must be 0 to 100 % and 0 or 1, got {payload.hex()}")
    return [Status("battery", {"percent": float(payload[0]), "charging": bool(payload[1])})]


def report(payload: bytes) -> list[Message]:
    """Read a device report: power off, power saving, clicks of the button.

    Raises
    ------
    DecodeError
        If it has not 36 bytes or is of another kind.
    """
    _of_length("device report", payload, 36)
    kind = payload[0]
    if kind in _REPORTS:
        return [Status(_REPORTS[kind])]
    if 5 <= kind <= 7 and payload[1] == 4:
        return [Status("button", {"clicks": kind - 4, "ms": int.from_bytes(payload[2:6], "little")})]
    raise DecodeError(f"device reports are of kind 1, 4 or 5 to 7, got {payload[:2].hex()}")


def _sync(data: bytes) -> Reply:
    kind, result = data[0], data[1]
    if kind == 0x03:
        text = SYNC_RESULTS.get(result, f"result {result:#04x}")
        return Reply("sync_result", {"ok": result == 0, "result": result, "text": text})
    if kind == 0x50:
        return Reply("sync_stopped", {"ok": result == 0})
    if kind == 0x51:
        return Reply("sync_status", {"synced": result == 4, "status": result})
    return Reply("sync", {"data": data.hex()})


def _of_length(what: str, payload: bytes, length: int) -> None:
    if len(payload) != length:
        raise DecodeError(f"{what} has {length} bytes, got {len(payload)}")
