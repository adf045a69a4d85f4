"""The control point of Polar's measurement service (PMD): commands, and the answers that come as indications.

*Reading* the control point gives a map of what the sensor can measure, never the answer to a command.
"""

import struct
from collections.abc import Mapping

from imuposture.acquisition.drivers._wire import refusal
from imuposture.acquisition.drivers.messages import Reply
from imuposture.acquisition.drivers.polar_frames import ACC, GYR, MAG, SDK_MODE

__all__ = ["ERRORS", "MEASUREMENTS", "answer", "features", "get_settings", "parse_settings", "start", "stop"]

GET_SETTINGS, START, STOP = 1, 2, 3
OPERATIONS = {GET_SETTINGS: "settings", START: "start", STOP: "stop"}
MEASUREMENTS = {
    0: "ecg",
    1: "ppg",
    ACC: "acc",
    3: "ppi",
    GYR: "gyr",
    MAG: "mag",
    SDK_MODE: "sdk_mode",
    12: "temperature",
}
# Settings: number -> name and how a value is written.
SETTINGS = {
    0: ("rate", "H"),
    1: ("resolution", "H"),
    2: ("range", "H"),
    3: ("range_milli", "I"),
    4: ("channels", "B"),
    5: ("factor", "f"),
}
NUMBERS = {name: (number, kind) for number, (name, kind) in SETTINGS.items()}
ERRORS = {
    0: "success",
    1: "no such operation",
    2: "no such measurement",
    3: "not supported",
    4: "wrong length",
    5: "wrong parameter",
    6: "already in that state",
    7: "wrong resolution",
    8: "wrong rate",
    9: "wrong range",
    10: "the MTU of the link is too small",
    11: "wrong number of channels",
    12: "not possible in its state",
    13: "not while it is in the charger",
}


def get_settings(measurement: int) -> bytes:
    """Return the command that asks which settings a measurement has."""
    return bytes([GET_SETTINGS, measurement])


def start(measurement: int, settings: Mapping[str, int] | None = None) -> bytes:
    """Return the command that starts a measurement; settings go in the order given."""
    command = bytes([START, measurement])
    for name, value in (settings or {}).items():
        number, kind = NUMBERS[name]
        command += struct.pack(f"<BB{kind}", number, 1, value)
    return command


def stop(measurement: int) -> bytes:
    """Return the command that stops a measurement."""
    return bytes([STOP, measurement])


def parse_settings(data: bytes) -> dict[str, list[float]]:
    """Read settings, [number][how many][values] each.

    Raises
    ------
    DecodeError
        If one is not known, comes twice, has no value, or does not fit.
    """
    found: dict[str, list[float]] = {}
    place = 0
    while place < len(data):
        name, kind = SETTINGS.get(data[place], ("", "B"))
        count = data[place + 1] if place + 1 < len(data) else 0
        end = place + 2 + count * struct.calcsize(f"<{kind}")
        if not name or name in found or not count or end > len(data):
            raise refusal(data, f"at byte {place} of the settings is none that is known and whole")
        found[name] = list(struct.unpack(f"<{count}{kind}", data[place + 2 : end]))
        place = end
    return found


def features(payload: bytes) -> dict[str, bool]:
    """Read what reading the control point gives: which measurements the sensor has; none if it is no such map."""
    bits = int.from_bytes(payload[1:], "little") if payload[:1] == b"\x0f" else 0
    return {name: bool(bits >> number & 1) for number, name in MEASUREMENTS.items()}


def answer(payload: bytes) -> Reply:
    """Read what the control point says: ``features``, or ``settings``, ``start`` and ``stop`` of a measurement.

    Raises
    ------
    DecodeError
        If it is neither, or is only the beginning of an answer; how those go on is not documented.
    """
    if len(payload) >= 2 and payload[0] == 0x0F:
        return Reply("features", dict(features(payload)))
    known = len(payload) >= 4 and payload[0] == 0xF0 and payload[1] in OPERATIONS and payload[2] in MEASUREMENTS
    if not known or (len(payload) == 4 and not payload[3]) or any(payload[4:5]):
        raise refusal(payload, "an answer is f0, operation, measurement, error, 0 for all of it, settings")
    error = payload[3]
    values: dict[str, object] = {"error": error, "text": ERRORS.get(error, f"error {error}")}
    values |= {} if error else parse_settings(payload[5:])
    return Reply(f"{OPERATIONS[payload[1]]}.{MEASUREMENTS[payload[2]]}", values)
