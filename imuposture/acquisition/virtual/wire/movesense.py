"""Movesense over its GATT SensorData Protocol: commands with a reference, planar arrays, payloads in two parts."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from imuposture.acquisition.virtual.wire.firmware import (
    Characteristic,
    Firmware,
    Notification,
    Packet,
    Samples,
    Service,
)

__all__ = ["Movesense"]

SERVICE, WRITE, NOTIFY = (
    "34802252-7185-4d5d-b431-630e7050e8f0",
    "34800001-7185-4d5d-b431-630e7050e8f0",
    "34800002-7185-4d5d-b431-630e7050e8f0",
)
BATTERY_SERVICE, BATTERY = (f"0000{short}-0000-1000-8000-00805f9b34fb" for short in ("180f", "2a19"))
HELLO, SUBSCRIBE, UNSUBSCRIBE, GET = 0, 1, 2, 4
RESULT, DATA, DATA_PART2 = 1, 2, 3
FIRST_PART = 150  # payload bytes of a first part
LONGEST = 306  # payload bytes that two parts can carry
MOST_SUBSCRIPTIONS = 4
PACKETS_HZ = 13
RESOURCES = {
    "Acc": ("acc",),
    "Gyro": ("gyr",),
    "Magn": ("mag",),
    "IMU6": ("acc", "gyr"),
    "IMU6m": ("acc", "mag"),
    "IMU9": ("acc", "gyr", "mag"),
}
OK, BAD_REQUEST, NOT_FOUND, TOO_LARGE, NO_MORE = 200, 400, 404, 413, 503


@dataclass
class Movesense(Firmware):
    """A Movesense: streams what is subscribed to by path, until unsubscribed or disconnected."""

    driver: ClassVar[str] = "movesense"
    rates_hz: ClassVar[tuple[float, ...]] = (13, 26, 52, 104, 208, 416, 833, 1666)
    name: ClassVar[str] = "Movesense"
    advertised_services: ClassVar[tuple[str, ...]] = ("0000fdf3-0000-1000-8000-00805f9b34fb",)
    magnetometer: ClassVar[bool] = True
    services: ClassVar[tuple[Service, ...]] = (
        Service(
            SERVICE,
            (Characteristic(WRITE, ("write", "write-without-response")), Characteristic(NOTIFY, ("notify",))),
        ),
        Service(BATTERY_SERVICE, (Characteristic(BATTERY, ("read", "notify")),)),
    )

    rate_hz: float = 52.0
    resources: dict[int, tuple[str, ...]] = field(default_factory=dict)  # by reference

    @property
    def advertised_name(self) -> str:
        """Kind and serial number of 12 digits."""
        return f"{self.name} {self.identity.serial % 10**12:012d}"

    @property
    def stream_uuid(self) -> str:
        """The only one that notifies; results come there too."""
        return NOTIFY

    @property
    def packet_rows(self) -> int:
        """Samples a packet: always 13 packets a second."""
        return round(self.rate_hz / PACKETS_HZ)

    def boot(self) -> None:
        """Start without subscriptions."""
        self.subscribed.clear()
        self._forget()

    def link_down(self, clock_s: float) -> None:
        """Forget all subscriptions."""
        super().link_down(clock_s)
        self._forget()

    def _forget(self) -> None:
        self.resources.clear()
        self.streaming = False

    def read(self, uuid: str, clock_s: float) -> bytes:
        """Return the battery level, the only thing that can be read."""
        del clock_s
        return bytes((round(self.battery_percent),)) if uuid == BATTERY else b""

    def write(self, uuid: str, data: bytes, clock_s: float) -> Sequence[Notification]:
        """Take a command: code, reference, data."""
        del uuid, clock_s
        if len(data) < 2 or data[1] == 0:
            return ()
        code, reference, rest = data[0], data[1], data[2:]
        if code == HELLO:
            return (Notification(NOTIFY, bytes((RESULT, reference)) + b"Hello"),)
        status, content = self._carry_out(code, reference, rest.decode("ascii", "replace"))
        return (Notification(NOTIFY, struct.pack("<BBH", RESULT, reference, status) + content),)

    def _carry_out(self, code: int, reference: int, path: str) -> tuple[int, bytes]:
        if code == SUBSCRIBE:
            return self._add(reference, path), b""
        if code == UNSUBSCRIBE:
            known = self.resources.pop(reference, None) is not None
            self.streaming = bool(self.resources)
            return (OK if known else NOT_FOUND), b""
        if code == GET and path == "/System/Energy/Level":
            return OK, bytes((round(self.battery_percent),))
        return NOT_FOUND, b""

    def _add(self, reference: int, path: str) -> int:
        """Add a subscription; return its status. Several share one rate here."""
        parts = path.strip("/").split("/")
        if len(parts) != 3 or parts[0] != "Meas" or parts[1] not in RESOURCES or not parts[2].isdecimal():
            return NOT_FOUND
        arrays, rate = RESOURCES[parts[1]], int(parts[2])
        if rate not in self.rates_hz or (self.resources and rate != self.rate_hz) or reference in self.resources:
            return BAD_REQUEST
        if len(self.resources) == MOST_SUBSCRIPTIONS:
            return NO_MORE
        if 4 + 12 * len(arrays) * round(rate / PACKETS_HZ) > LONGEST:
            return TOO_LARGE
        self.resources[reference] = arrays
        self.rate_hz, self.streaming = float(rate), True
        return OK

    def encode(self, samples: Samples, room: int) -> Iterator[Packet]:
        """Pack 1/13 s of every subscription: time of the first sample, then one array after the other."""
        del room  # what does not fit is cut by the radio
        rows = self.packet_rows
        resources = dict(self.resources)
        arrays = {name: _array(name, samples) for names in resources.values() for name in names}
        stamps = np.floor(samples.clock_s * 1e3).astype(np.int64) % 2**32
        for first in range(0, len(samples), rows):
            notifications: list[Notification] = []
            for reference, names in resources.items():
                content = struct.pack("<I", stamps[first])
                content += b"".join(arrays[name][first : first + rows].tobytes() for name in names)
                notifications += _parts(reference, content)
            yield Packet(tuple(notifications), ((first, first + rows),) * len(notifications))


def _array(name: str, samples: Samples) -> NDArray[np.float32]:
    if name == "gyr":
        return np.degrees(samples.gyr).astype("<f4")
    if name == "mag":
        return (np.zeros_like(samples.acc) if samples.mag is None else samples.mag).astype("<f4")
    return samples.acc.astype("<f4")


def _parts(reference: int, content: bytes) -> list[Notification]:
    parts = [Notification(NOTIFY, bytes((DATA, reference)) + content[:FIRST_PART])]
    if len(content) > FIRST_PART:
        parts.append(Notification(NOTIFY, bytes((DATA_PART2, reference)) + content[FIRST_PART:]))
    return parts
