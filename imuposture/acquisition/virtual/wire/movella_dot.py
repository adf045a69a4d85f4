"""Movella (Xsens) DOT, as its BLE service specification XD0506P describes it."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from imuposture.acquisition.virtual.wire.angles import euler_deg
from imuposture.acquisition.virtual.wire.firmware import (
    Characteristic,
    Firmware,
    Notification,
    Packet,
    Samples,
    Service,
)

__all__ = ["MovellaDot"]


def _uuid(short: str) -> str:
    return f"1517{short}-4947-11e9-8646-d663bd873d93"


INFO, CONTROL, REPORT = _uuid("1001"), _uuid("1002"), _uuid("1004")
MEASURE, LONG, MEDIUM, SHORT = _uuid("2001"), _uuid("2002"), _uuid("2003"), _uuid("2004")
HEADING, HEADING_RESULT, BATTERY = _uuid("2006"), _uuid("2007"), _uuid("3001")
MESSAGE, MESSAGE_ACK, MESSAGE_NOTE = _uuid("7001"), _uuid("7002"), _uuid("7003")
SIZES = {LONG: 63, MEDIUM: 40, SHORT: 20}
# Payload mode -> characteristic and fields, in order on the wire; all f32 but mag (3 x i16) and status (u16, 2 x u8).
MODES: dict[int, tuple[str, tuple[str, ...]]] = {
    2: (MEDIUM, ("quat", "free", "status")),
    3: (MEDIUM, ("quat", "free")),
    4: (SHORT, ("euler",)),
    5: (SHORT, ("quat",)),
    6: (SHORT, ("free",)),
    7: (MEDIUM, ("euler", "free", "status")),
    16: (MEDIUM, ("euler", "free")),
    20: (MEDIUM, ("acc", "gyr", "mag")),
    21: (MEDIUM, ("acc", "gyr")),
    22: (MEDIUM, ("euler", "free", "gyr")),
    23: (MEDIUM, ("euler", "free", "mag")),
    24: (MEDIUM, ("quat", "gyr")),
    26: (LONG, ("quat", "acc", "gyr")),
}
GRAVITY = 9.80665
FIELD_UNIT_UT = 40.0  # 1 arbitrary unit of the magnetic field
IDENTIFY, POWER, POWER_SAVING, TAG, RATE, FILTER = (1 << bit for bit in range(6))  # visit mask of the control
SYNC, START_SYNC, STOP_SYNC, SYNC_STATUS, START_SYNC_RESULT = 2, 1, 2, 8, 3
TOO_FEW_SAMPLES, NOT_STARTED = 5, 9
SYNC_SECONDS = 13.9  # without a link; the specification tells the host to wait for 14


@dataclass
class MovellaDot(Firmware):
    """A DOT: measures on command, rate and mode kept in flash, may go on measuring when the link breaks."""

    driver: ClassVar[str] = "movella_dot"
    rates_hz: ClassVar[tuple[float, ...]] = (1, 4, 10, 12, 15, 20, 30, 60)
    name: ClassVar[str] = "Movella DOT"
    company: ClassVar[tuple[int, bytes] | None] = (2182, b"")
    quits_without_link: ClassVar[bool] = False
    magnetometer: ClassVar[bool] = True
    services: ClassVar[tuple[Service, ...]] = (
        Service(
            _uuid("1000"),
            (
                Characteristic(INFO, ("read",)),
                Characteristic(CONTROL, ("read", "write")),
                Characteristic(REPORT, ("notify",)),
            ),
        ),
        Service(
            _uuid("2000"),
            (
                Characteristic(MEASURE, ("read", "write")),
                Characteristic(LONG, ("notify",)),
                Characteristic(MEDIUM, ("notify",)),
                Characteristic(SHORT, ("notify",)),
                Characteristic(HEADING, ("read", "write")),
                Characteristic(HEADING_RESULT, ("read",)),
            ),
        ),
        Service(_uuid("3000"), (Characteristic(BATTERY, ("read", "notify")),)),
        Service(
            _uuid("7000"),
            (
                Characteristic(MESSAGE, ("write",)),
                Characteristic(MESSAGE_ACK, ("read",)),
                Characteristic(MESSAGE_NOTE, ("notify",)),
            ),
        ),
    )

    rate_hz: float = 60.0
    mode: int = 26
    filter: int = 0
    timeouts: bytes = bytes((10, 0, 30, 0))
    tag: bytes = b"Movella DOT"
    _sync_root: str | None = None
    _sync_from_s: float | None = None
    _ack: bytes = b""

    @property
    def stream_uuid(self) -> str:
        """Long, medium or short, by payload mode."""
        return MODES[self.mode][0]

    def boot(self) -> None:
        """Start idle; rate, filter, tag and payload mode are non-volatile."""
        self.streaming = False
        self.synced_to = self._sync_root = self._sync_from_s = None
        self.subscribed.clear()

    def read(self, uuid: str, clock_s: float) -> bytes:
        """Return device information, the control, the measuring state, the battery or how an order went."""
        if uuid == MESSAGE_ACK:
            return self._acknowledged(clock_s)
        if uuid == INFO:
            return self._info()
        if uuid == CONTROL:
            tag = bytes((len(self.tag),)) + self.tag.ljust(16, b"\0")
            rate = struct.pack("<HB", int(self.rate_hz), self.filter)
            return bytes(3) + self.timeouts + tag + rate + bytes(5)
        if uuid == MEASURE:
            return bytes((1, self.streaming, self.mode))
        if uuid == BATTERY:
            return bytes((round(self.battery_percent), 0))
        return bytes(2)

    def _info(self) -> bytes:
        address = bytes.fromhex(self.identity.address.replace(":", ""))[::-1]
        built = struct.pack("<HBBBBB", 2023, 4, 12, 9, 30, 0)
        return address + bytes((3, 0, 0)) + built + struct.pack("<IQ", 7, self.identity.serial) + b"XS-T02"

    def write(self, uuid: str, data: bytes, clock_s: float) -> Sequence[Notification]:
        """Take the control, a start or stop of the measurement, or a message."""
        del clock_s
        if uuid == CONTROL and len(data) == 32:
            self._control(data)
        elif uuid == MEASURE and len(data) == 3 and data[0] == 1 and data[2] in MODES:
            if not self.streaming:
                self.mode = data[2]
            self.streaming = data[1] == 1
        elif uuid == MESSAGE:
            return self._message(data)
        return ()

    def _control(self, data: bytes) -> None:
        visit = data[0]
        if visit & IDENTIFY and data[1]:
            self.blinked += 1
        if visit & POWER and data[2] & 1:
            self.wants_off = True
        if visit & POWER_SAVING:
            self.timeouts = data[3:7]
        if visit & TAG:
            self.tag = data[8 : 8 + min(data[7], 16)]
        if self.streaming or self.synced_to:  # then neither rate nor filter can change
            return
        rate = int.from_bytes(data[24:26], "little")
        if visit & RATE and rate in self.rates_hz:
            self.rate_hz = float(rate)
        if visit & FILTER:
            self.filter = data[26]

    def link_down(self, clock_s: float) -> None:
        """Begin to synchronise, if that was asked for: sensors find each other once nobody is connected."""
        super().link_down(clock_s)
        if self._sync_root and self._sync_from_s is None:
            self._sync_from_s = clock_s

    def _message(self, data: bytes) -> Sequence[Notification]:
        """Take orders about synchronisation; anything else, and a wrong checksum, is ignored."""
        if len(data) < 4 or sum(data) & 0xFF or data[0] != SYNC or data[1] != len(data) - 3:
            return ()
        order = data[2]
        if order == START_SYNC and len(data) == 10:
            self._sync_root = ":".join(f"{byte:02X}" for byte in reversed(data[3:9]))
            self._sync_from_s, self._ack = None, _framed(SYNC, bytes((START_SYNC_RESULT, NOT_STARTED)))
            return ()
        if order == SYNC_STATUS:
            return (Notification(MESSAGE_NOTE, _framed(SYNC, bytes((0x51, 4 if self.synced_to else 9)))),)
        if order == STOP_SYNC:
            self._sync_root = self.synced_to = self._sync_from_s = None
            return (Notification(MESSAGE_NOTE, _framed(SYNC, bytes((0x50, 0)))),)
        return ()

    def _acknowledged(self, clock_s: float) -> bytes:
        """Return how the last order went: a sync succeeds if it was left alone for long enough."""
        if self._sync_root and self._sync_from_s is not None:
            done = clock_s - self._sync_from_s >= SYNC_SECONDS
            self.synced_to = self._sync_root if done else None
            self._ack = _framed(SYNC, bytes((START_SYNC_RESULT, 0 if done else TOO_FEW_SAMPLES)))
            self._sync_root = self._sync_from_s = None
        return self._ack

    def encode(self, samples: Samples, room: int) -> Iterator[Packet]:
        """Pack one sample a notification, zero-padded to its characteristic's size."""
        del room  # what does not fit is cut by the radio
        uuid, fields = MODES[self.mode]
        rows = np.zeros((len(samples), SIZES[uuid]), dtype=np.uint8)
        ticks = np.round(samples.clock_s * 1e6).astype(np.int64) % 2**32
        columns = [_bytes_of(ticks.astype("<u4")[:, None]), *(_bytes_of(FIELDS[name](samples)) for name in fields)]
        packed = np.concatenate(columns, axis=1)
        rows[:, : packed.shape[1]] = packed
        whole, size = rows.tobytes(), SIZES[uuid]
        for row in range(len(samples)):
            data = whole[row * size : (row + 1) * size]
            yield Packet((Notification(uuid, data),), ((row, row + 1),))


def _framed(message: int, data: bytes) -> bytes:
    """Return a message: id, length, data, and the byte that makes the sum of all 0."""
    body = bytes((message, len(data))) + data
    return body + bytes((-sum(body) & 0xFF,))


def _bytes_of(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    flat: NDArray[np.uint8] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    return flat


def _free_acceleration(samples: Samples) -> NDArray[np.float64]:
    """Return acceleration (n, 3), m/s2, without gravity, in the earth frame."""
    w, v = samples.quat[:, :1], samples.quat[:, 1:]
    twice = 2.0 * np.cross(v, samples.acc)
    turned: NDArray[np.float64] = samples.acc + w * twice + np.cross(v, twice)
    turned[:, 2] -= GRAVITY
    return turned


def _field_strength(samples: Samples) -> NDArray[np.generic]:
    mag = np.zeros_like(samples.acc) if samples.mag is None else samples.mag
    return np.round(mag / FIELD_UNIT_UT * 4096.0).astype("<i2")


FIELDS: dict[str, Callable[[Samples], NDArray[np.generic]]] = {
    "quat": lambda samples: samples.quat.astype("<f4"),
    "acc": lambda samples: samples.acc.astype("<f4"),
    "gyr": lambda samples: np.degrees(samples.gyr).astype("<f4"),
    "euler": lambda samples: euler_deg(samples.quat).astype("<f4"),
    "free": lambda samples: _free_acceleration(samples).astype("<f4"),
    "mag": _field_strength,
    "status": lambda samples: np.zeros((len(samples), 4), dtype=np.uint8),  # nothing clipped
}
