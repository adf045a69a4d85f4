"""Notifications of the GATT SensorData Protocol -> rows, replies and what else the sensor measures.

A notification is [type][reference][payload]. Payloads of more than 150 bytes come in two parts, the first of exactly
150; no payload of an IMU has that length on its own, so it always means "wait for the second part".
"""

from collections.abc import Mapping

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Role
from imuposture.acquisition.drivers._pairing import ByStamp, block_of
from imuposture.acquisition.drivers._wire import DEGREE, reals, refusal
from imuposture.acquisition.drivers.messages import Message, Reply, Status

__all__ = ["PATH_PARTS", "REFERENCES", "MovesenseDecoder"]

RESULT, DATA, DATA_PART2 = 1, 2, 3
FIRST_PART, SECOND_PART_MOST = 150, 156  # bytes of payload; the firmware's buffer holds 158 with the header
WRAP_MS = 2.0**32
PATIENCE_MS = 500.0  # several packets, which come about 13 times a second

# What we call a stream or an answer -> the reference under which it is asked for.
REFERENCES = {
    "imu": 99,
    "hello": 100,
    "battery": 101,
    "acc": 102,
    "gyro": 103,
    "magn": 104,
    "temperature": 105,
    "heart_rate": 106,
    "ecg": 107,
}
# The quantities in the payload of a path, in the order in which their arrays come.
PATH_PARTS: Mapping[str, tuple[str, ...]] = {
    "Acc": ("acc",),
    "Gyro": ("gyr",),
    "Magn": ("mag",),
    "IMU6": ("acc", "gyr"),
    "IMU6m": ("acc", "mag"),
    "IMU9": ("acc", "gyr", "mag"),
}
UNITS = {"acc": 1.0, "gyr": DEGREE, "mag": 1.0}  # m/s2, deg/s and uT as sent


class MovesenseDecoder:
    """Notifications of one connection -> messages.

    Rows of a joined path go out as they come; those of ``/Meas/Acc``, ``/Meas/Gyro`` and ``/Meas/Magn`` are joined by
    their stamps.

    Parameters
    ----------
    role : "upper" or "lower"
    rate_hz : float
        Rate that was asked for.
    magnetometer : bool
        The blocks hold ``mag``.
    imu_path : str or None
        What the reference of ``imu`` brings, as in `PATH_PARTS`; None: IMU9 with a magnetometer, else IMU6.
    """

    def __init__(self, role: Role, rate_hz: float, magnetometer: bool = False, imu_path: str | None = None) -> None:
        self._role = role
        self._period_ms = 1000.0 / rate_hz
        self._optional = ("mag",) if magnetometer else ()
        self._streams = {
            "imu": PATH_PARTS[imu_path or ("IMU9" if magnetometer else "IMU6")],
            "acc": ("acc",),
            "gyro": ("gyr",),
            "magn": ("mag",),
        }
        self._joining = ByStamp(("acc", "gyr", "mag"), self._period_ms, PATIENCE_MS, WRAP_MS)
        self._joining.expected = {"acc", "gyr", *self._optional}
        self._names = {reference: name for name, reference in REFERENCES.items()}
        self._first_parts: dict[int, bytes] = {}

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take the next notification.

        Raises
        ------
        DecodeError
            If it is not one of the protocol; a first part that waits for it is dropped too.
        """
        if channel or len(payload) < 2 or payload[1] not in self._names:
            raise refusal(payload, "a Movesense notification is [type][reference][payload] of something asked for")
        kind, reference, body = payload[0], payload[1], payload[2:]
        if kind == RESULT:
            return self._result(self._names[reference], payload)
        waiting = self._first_parts.pop(reference, None)
        if kind == DATA and len(body) <= FIRST_PART:
            told = [_half_lost(self._names[reference])] if waiting is not None else []
            return [*told, *self._data(reference, body, payload)]
        if kind == DATA_PART2 and waiting is not None and 0 < len(body) <= SECOND_PART_MOST:
            return self._measured(self._names[reference], waiting + body, payload)
        raise refusal(payload, "a Movesense notification has type 1, 2 or, after a first part of 150 bytes, 3")

    def _data(self, reference: int, body: bytes, payload: bytes) -> list[Message]:
        if len(body) == FIRST_PART:
            self._first_parts[reference] = body
            return []
        return self._measured(self._names[reference], body, payload)

    def _result(self, name: str, payload: bytes) -> list[Message]:
        """Read an answer: a status as in HTTP and, of a value asked for, the value; HELLO has no status."""
        body = payload[2:]
        if name == "hello":
            return [Reply("hello", {"data": body.hex()})]
        if len(body) < 2:
            raise refusal(payload, "an answer of a Movesense sensor has a status of two bytes")
        status = int.from_bytes(body[:2], "little")
        reply = Reply(name, {"status": status, "ok": 200 <= status < 300, "data": body[2:].hex()})
        if name != "battery" or not reply.values["ok"]:
            return [reply]
        if len(body) != 3 or body[2] > 100:
            raise refusal(payload, "the energy level is one byte, in percent")
        return [reply, Status("battery", {"percent": float(body[2])})]

    def _measured(self, name: str, data: bytes, payload: bytes) -> list[Message]:
        if name in self._streams:
            return list(self._samples(self._streams[name], data, payload))
        if name in _OTHERS:
            return [_OTHERS[name](data, payload)]
        raise refusal(payload, f"{name} is a question, and brings no stream")

    def _samples(self, parts: tuple[str, ...], data: bytes, payload: bytes) -> list[ImuBlock]:
        """Read the stamp and the arrays, one a quantity, all of the same number of samples."""
        count, rest = divmod(len(data) - 4, 12 * len(parts))
        if rest or count < 1:
            raise refusal(payload, f"samples of {'+'.join(parts)} take 4 + {12 * len(parts)} n bytes")
        values = reals(data[4:], payload).reshape(len(parts), count, 3)
        ticks: FloatArray = int.from_bytes(data[:4], "little") + np.arange(count, dtype=np.float64) * self._period_ms
        ticks[ticks >= WRAP_MS] -= WRAP_MS
        columns = {part: values[place] * UNITS[part] for place, part in enumerate(parts)}
        if len(parts) > 1:
            return [self._block(ticks, columns)]
        rows = self._joining.push(parts[0], ticks, columns[parts[0]])
        return [block_of(self._role, rows, self._optional)] if rows else []

    def _block(self, ticks: FloatArray, columns: dict[str, FloatArray]) -> ImuBlock:
        missing = np.full((len(ticks), 3), np.nan)
        mag = columns.get("mag", missing) if "mag" in self._optional else None
        return ImuBlock(self._role, ticks, columns["acc"], columns.get("gyr", missing), mag)


def _half_lost(name: str) -> Status:
    return Status("error", {"text": f"the second part of a payload of {name} never came; the first was dropped"})


def _temperature(data: bytes, payload: bytes) -> Status:
    if len(data) != 8:
        raise refusal(payload, "a temperature is a float32 in kelvin and a stamp of four bytes")
    kelvin = float(reals(data[:4], payload)[0])
    return Status(
        "temperature", {"celsius": kelvin - 273.15, "kelvin": kelvin, "ticks": int.from_bytes(data[4:], "little")}
    )


def _heart_rate(data: bytes, payload: bytes) -> Status:
    if len(data) < 6 or len(data) % 2:
        raise refusal(payload, "a heart rate is a float32 in beats a minute and intervals of two bytes")
    intervals = [int(value) for value in np.frombuffer(data[4:], dtype="<u2")]
    return Status("heart_rate", {"bpm": float(reals(data[:4], payload)[0]), "intervals_ms": intervals})


def _ecg(data: bytes, payload: bytes) -> Status:
    if len(data) < 6 or len(data) % 2:
        raise refusal(payload, "an ECG is a stamp of four bytes and samples of two")
    millivolt = [int(value) / 1000 for value in np.frombuffer(data[4:], dtype="<i2")]
    return Status("ecg", {"ticks": int.from_bytes(data[:4], "little"), "millivolt": millivolt})


_OTHERS = {"temperature": _temperature, "heart_rate": _heart_rate, "ecg": _ecg}
