"""What a Capture2Go answers and tells, apart from motion."""

import struct

from imuposture.acquisition.drivers.capture2go.packages import Header, Package
from imuposture.acquisition.drivers.capture2go.samples import GYR_RADPS
from imuposture.acquisition.drivers.messages import Message, Reply, Status

__all__ = ["ORDERS", "said"]

BIAS_RADPS = GYR_RADPS / 1000  # full scale 2 deg/s
STATES = ("off", "idle", "streaming", "recording")

# Names of replies, by the header of the answer, and by that of the order (errors quote it).
ANSWERS = {
    Header.DEVICE_INFO: "device_info",
    Header.MODE: "mode",
    Header.STREAMING_STARTED: "start",
    Header.STREAMING_STOPPED: "stop",
    Header.STOPPED_AND_CLEARED: "stop_and_clear",
    Header.REAL_TIME_MODE: "start_real_time",
    Header.REAL_TIME_STOPPED: "stop_real_time",
    Header.TIME: "time",
    Header.CLOCK_ROUND_TRIP: "clock_round_trip",
    Header.LED: "led",
    Header.STATUS: "status",
}
ORDERS = {
    Header.GET_DEVICE_INFO: "device_info",
    Header.SET_MODE: "mode",
    Header.START_STREAMING: "start",
    Header.STOP_STREAMING: "stop",
    Header.STOP_AND_CLEAR: "stop_and_clear",
    Header.START_REAL_TIME: "start_real_time",
    Header.STOP_REAL_TIME: "stop_real_time",
    Header.SET_TIME: "time",
    Header.SET_LED: "led",
    Header.GET_STATUS: "status",
}
ERRORS = {
    0xF9: "no settings for a recording",
    0xFA: "calibration could not be written",
    0xFB: "not possible in this state (is it recording?)",
    0xFC: "it could not read the order",
    0xFD: "it does not know the order",
    0xFE: "its send buffer is full: the reception is too bad for this rate",
}
_INFO = ("serial", "hardware", "firmware_revision", "firmware", "firmware_date")
_NUMBERS = {
    Header.REAL_TIME_MODE: ("BB", ("real_time_mode", "limit_hz")),
    Header.TIME: ("q", ("ns",)),
    Header.CLOCK_ROUND_TRIP: ("4q", ("host_sent_ns", "sensor_received_ns", "sensor_sent_ns", "host_received_ns")),
    Header.LED: ("qq?", ("begin_ns", "end_ns", "relative")),
}


def said(package: Package) -> list[Message]:
    """Turn a package without motion into messages."""
    if package.header == Header.ERROR:
        return _error(package.payload)
    if package.header == Header.SYNC_TRIGGER:
        at_ns, value = struct.unpack("<qB", package.payload)
        return [Status("sync_trigger", {"ns": at_ns, "rising": bool(value)})]
    if package.header not in ANSWERS:
        return []
    header = Header(package.header)
    if header == Header.STATUS:
        return _status(package.payload)
    return [Reply(ANSWERS[header], _values(header, package.payload))]


def _values(header: Header, payload: bytes) -> dict[str, object]:
    if header == Header.DEVICE_INFO:
        version, *texts = struct.unpack("<H6s8s8s12s11s", payload)
        words = (text.split(b"\0")[0].decode("ascii", "replace").strip() for text in texts)
        return {"protocol_version": version, **dict(zip(_INFO, words, strict=True))}
    if header == Header.MODE:
        return {"ns": int.from_bytes(payload[:8], "little", signed=True), "mode": payload[8:].hex()}
    layout, names = _NUMBERS.get(header, ("", ()))
    return dict(zip(names, struct.unpack("<" + layout, payload), strict=True))


def _status(payload: bytes) -> list[Message]:
    at_ns, state, link, *bias, synchronized, battery, storage = struct.unpack("<qBB3hBBB", payload)
    values = {
        "ns": at_ns,
        "state": STATES[state] if state < len(STATES) else f"state {state}",
        "connection": link,
        "gyroscope_bias_radps": tuple(value * BIAS_RADPS for value in bias),  # already taken off the samples
        "synchronized": bool(synchronized),
        "free_storage_percent": storage,
    }
    power = Status("battery", {"percent": float(battery & 0x7F), "charging": battery >= 0x80})
    return [Reply("status", values), power]


def _error(payload: bytes) -> list[Message]:
    code, order = struct.unpack("<BH", payload)
    text = ERRORS.get(code, f"error {code:#04x}")
    messages: list[Message] = [Status("error", {"text": text, "code": code, "order": order})]
    if order in ORDERS:
        messages.append(Reply(ORDERS[Header(order)], {"error": text}))
    return messages
