"""WitMotion BLE 5 (WT901BLE and kin): frames of 20 bytes without clock, counter or checksum, and registers."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from imuposture.acquisition.virtual.wire.angles import euler_deg
from imuposture.acquisition.virtual.wire.firmware import (
    Characteristic,
    Firmware,
    Notification,
    Packet,
    Samples,
    Service,
)

__all__ = ["WitMotion"]

# The base ends in 9a34fb, not in 9b34fb as the Bluetooth SIG's does.
SERVICE, NOTIFY, WRITE = (f"0000ffe{digit}-0000-1000-8000-00805f9a34fb" for digit in "549")
RATE, ALGORITHM, READ, SAVE, UNLOCK = 0x03, 0x24, 0x27, 0x00, 0x69
BATTERY, TEMPERATURE, FIELD, QUATERNION, SERIAL, VERSION, FIELD_KIND = 0x64, 0x40, 0x3A, 0x51, 0x7F, 0x2E, 0x72
UNLOCKING = bytes((0xFF, 0xAA, UNLOCK, 0x88, 0xB5))
# 0x0A gives 100 Hz on the WT901BLE67 that was measured; only 0x0B gives 200.
RATES_HZ = {0x06: 10.0, 0x07: 20.0, 0x08: 50.0, 0x09: 100.0, 0x0A: 100.0, 0x0B: 200.0}
FACTORY = {RATE: 0x06, ALGORITHM: 0, 0x23: 0, 0x1F: 4}
FRAME, REGISTERS_IN_REPLY = 20, 8
ACC_COUNT = 16.0 * 9.80665 / 32768.0
GYR_COUNT = np.radians(2000.0) / 32768.0
SETTLING_S, SAVING_S = 0.095, 0.3  # a command within 100 ms of the unlocking is lost; while saving all reads are 0
LADDER = ((340, 5), (350, 10), (368, 15), (370, 20), (373, 30), (377, 40), (379, 50), (382, 60), (387, 75), (393, 90))


@dataclass
class WitMotion(Firmware):
    """A WT901BLE: streams as soon as somebody listens; settings need an unlocking, and last only if saved."""

    driver: ClassVar[str] = "witmotion"
    rates_hz: ClassVar[tuple[float, ...]] = (10, 20, 50, 100, 200)
    name: ClassVar[str] = "WT901BLE67"
    advertised_services: ClassVar[tuple[str, ...]] = (SERVICE,)
    magnetometer: ClassVar[bool] = True
    services: ClassVar[tuple[Service, ...]] = (
        Service(
            SERVICE,
            (Characteristic(NOTIFY, ("notify",)), Characteristic(WRITE, ("write", "write-without-response"))),
        ),
    )

    flash: dict[int, int] = field(default_factory=FACTORY.copy)
    registers: dict[int, int] = field(default_factory=dict)
    last: tuple[int, ...] = ()  # mag, angles and quaternion of the newest sample, as register values
    _unlocked_s: float | None = None
    _saving_until_s: float = 0.0

    def boot(self) -> None:
        """Start with what was saved; locked, silent until somebody listens."""
        self.registers = self.flash.copy()
        self.rate_hz = RATES_HZ[self.registers[RATE]]
        self.streaming, self._unlocked_s, self._saving_until_s = False, None, 0.0
        self.subscribed.clear()

    def preset(self, rate_hz: float) -> None:
        """Have a rate in flash."""
        super().preset(rate_hz)
        self.flash[RATE] = next(code for code, rate in RATES_HZ.items() if rate == rate_hz)

    @property
    def stream_uuid(self) -> str:
        """The only one that notifies; replies come there too."""
        return NOTIFY

    @property
    def packet_rows(self) -> int:
        """Frames a notification: 4 at 100 Hz, as recorded; about 25 notifications a second."""
        return max(1, round(self.rate_hz / 25.0))

    def subscribe(self, uuid: str, *, on: bool) -> Sequence[Notification]:
        """Stream while somebody listens."""
        self.streaming = on
        return super().subscribe(uuid, on=on)

    def write(self, uuid: str, data: bytes, clock_s: float) -> Sequence[Notification]:
        """Take ``FF AA register low high``; a read is answered, a write obeyed when unlocked."""
        del uuid  # there is only one to write to
        if len(data) != 5 or data[:2] != b"\xff\xaa":
            return ()
        register, value = data[2], int.from_bytes(data[3:], "little")
        if register == READ:
            return (Notification(NOTIFY, self._reply(value, clock_s)),)
        if data == UNLOCKING:
            self._unlocked_s = clock_s
        elif self._unlocked_s is not None and clock_s - self._unlocked_s >= SETTLING_S:
            self._set(register, value, clock_s)
        return ()

    def _set(self, register: int, value: int, clock_s: float) -> None:
        if register == SAVE:
            self.flash = FACTORY.copy() if value == 1 else self.registers.copy()
            self._saving_until_s, self._unlocked_s = clock_s + SAVING_S, None
            return
        if register == RATE and value not in RATES_HZ:
            return
        self.registers[register] = value
        self.rate_hz = RATES_HZ[self.registers[RATE]]

    def _reply(self, first: int, clock_s: float) -> bytes:
        busy = clock_s < self._saving_until_s
        values = [0 if busy else self._register(first + i) for i in range(REGISTERS_IN_REPLY)]
        return struct.pack("<BBH8H", 0x55, 0x71, first & 0xFFFF, *(value & 0xFFFF for value in values))

    def _register(self, register: int) -> int:
        if SERIAL <= register < SERIAL + 6:
            text = f"WT{self.identity.serial:010d}"[2 * (register - SERIAL) :][:2]
            return int.from_bytes(text.encode(), "little")
        for start, offset, count in ((FIELD, 0, 3), (0x3D, 3, 3), (QUATERNION, 6, 4)):
            if start <= register < start + count and self.last:
                return self.last[offset + register - start]
        volts = next((volts for volts, percent in LADDER if self.battery_percent < percent), 397)
        fixed = {BATTERY: volts, TEMPERATURE: 2650, VERSION: 0x2F67, FIELD_KIND: 3}
        return fixed.get(register, self.registers.get(register, 0))

    def encode(self, samples: Samples, room: int) -> Iterator[Packet]:
        """Pack frames; what does not fit into a notification goes on in the next."""
        angles = euler_deg(samples.quat)
        raw = np.concatenate([samples.acc / ACC_COUNT, samples.gyr / GYR_COUNT, angles / 180.0 * 32768.0], axis=1)
        counts = np.clip(np.round(raw), -32768, 32767).astype("<i2")
        frames = np.empty((len(samples), FRAME), dtype=np.uint8)
        frames[:, :2] = 0x55, 0x61
        frames[:, 2:] = counts.view(np.uint8)
        mag = np.zeros_like(samples.acc) if samples.mag is None else samples.mag / 0.013  # of field kind 3
        quat = np.clip(samples.quat * 32768.0, -32768, 32767)
        newest = np.round(np.concatenate([mag, angles / 180.0 * 32768.0, quat], axis=1)).astype(int)
        rows = self.packet_rows
        for start in range(0, len(samples), rows):
            self.last = tuple(newest[start + rows - 1].tolist())
            yield _cut(frames[start : start + rows].tobytes(), start, room)


def _cut(data: bytes, first: int, room: int) -> Packet:
    """Return a packet of frames cut into notifications of at most ``room`` bytes."""
    starts = range(0, len(data), room)
    touched = tuple((first + at // FRAME, first - (-min(at + room, len(data)) // FRAME)) for at in starts)
    return Packet(tuple(Notification(NOTIFY, data[at : at + room]) for at in starts), touched)
