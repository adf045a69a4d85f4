"""The layout recommended for one's own firmware: counter, ticks, and a batch of whole numbers from the chip."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from imuposture.acquisition.virtual.wire.firmware import (
    Characteristic,
    Firmware,
    Notification,
    Packet,
    Samples,
    Service,
)

__all__ = ["OwnFirmware"]

SERVICE, STREAM, CONTROL = (f"1b5a000{digit}-3c5f-4d1e-9a54-7a3f1f0c52e1" for digit in "123")
BATTERY_SERVICE, BATTERY = (f"0000{short}-0000-1000-8000-00805f9b34fb" for short in ("180f", "2a19"))
START = struct.Struct("<BHBH")  # 01, rate in Hz, full scales in g and deg/s
HEAD = struct.Struct("<IIB")  # number and microseconds of the first sample, how many samples
RANGES_G, RANGES_DPS = (2, 4, 8, 16), (250, 500, 1000, 2000)
PACKETS_HZ = 25.0
GRAVITY = 9.80665


@dataclass
class OwnFirmware(Firmware):
    """A board of one's own: goes on streaming when the link breaks, so that the counter tells what was lost."""

    driver: ClassVar[str] = "own_firmware_template"
    rates_hz: ClassVar[tuple[float, ...]] = (25, 50, 100, 200)
    name: ClassVar[str] = "Own IMU"
    advertised_services: ClassVar[tuple[str, ...]] = (SERVICE,)
    quits_without_link: ClassVar[bool] = False
    services: ClassVar[tuple[Service, ...]] = (
        Service(
            SERVICE,
            (Characteristic(STREAM, ("notify",)), Characteristic(CONTROL, ("write", "write-without-response"))),
        ),
        Service(BATTERY_SERVICE, (Characteristic(BATTERY, ("read", "notify")),)),
    )

    rate_hz: float = 100.0
    acc_range_g: int = 8
    gyr_range_dps: int = 1000

    @property
    def stream_uuid(self) -> str:
        """The one with the batches."""
        return STREAM

    @property
    def packet_rows(self) -> int:
        """Samples a batch: 25 batches a second."""
        return max(1, round(self.rate_hz / PACKETS_HZ))

    def boot(self) -> None:
        """Start idle."""
        self.streaming = False
        self.subscribed.clear()

    def read(self, uuid: str, clock_s: float) -> bytes:
        """Return the battery level."""
        del clock_s
        return bytes((round(self.battery_percent),)) if uuid == BATTERY else b""

    def write(self, uuid: str, data: bytes, clock_s: float) -> Sequence[Notification]:
        """Take ``01`` with rate and full scales, or ``00``; anything else is ignored."""
        del uuid, clock_s
        if data == b"\0":
            self.streaming = False
        elif len(data) == START.size and data[0] == 1:
            _, rate, acc, gyr = START.unpack(data)
            if rate in self.rates_hz and acc in RANGES_G and gyr in RANGES_DPS:
                self.rate_hz, self.acc_range_g, self.gyr_range_dps = float(rate), acc, gyr
                self.streaming = True
        return ()

    def encode(self, samples: Samples, room: int) -> Iterator[Packet]:
        """Pack batches: head, then acc and gyr of each sample as the chip's whole numbers."""
        del room  # what does not fit is cut by the radio
        acc = samples.acc / (self.acc_range_g * GRAVITY)
        gyr = np.degrees(samples.gyr) / self.gyr_range_dps
        counts = np.round(np.concatenate([acc, gyr], axis=1) * 32768.0)
        chip = np.clip(counts, -32768, 32767).astype("<i2")
        ticks = np.round(samples.clock_s * 1e6).astype(np.int64) % 2**32
        rows = self.packet_rows
        for first in range(0, len(samples), rows):
            number = (self.counter_start + samples.number + first) % 2**32
            data = HEAD.pack(number, ticks[first], rows) + chip[first : first + rows].tobytes()
            yield Packet((Notification(STREAM, data),), ((first, first + rows),))
