"""WitMotion Bluetooth 5 sensors (WT901BLE67 and 68, WT901BLECL5.0, BWT901BLE5.0, WT9011DCL-BT50).

They send frames of 20 bytes, ``55 61`` and nine int16, as soon as somebody listens: no clock, no counter, no checksum.
Ticks therefore count samples. A notification holds any number of frames, and a frame may lie across two.

Sources: vendor's data sheet v23-0420 and Bluetooth protocol; the measurements of RGu0/WT901 (MIT).

Left open by them, and how it is read here:

- The field can only be polled, and its unit is contradictory (milligauss raw; raw / 120; a factor by register 0x72):
  it comes as a `Status` in raw counts, never as rows.
- Rate code 0x0A is 200 Hz in the data sheet, 125 Hz in a general table, and gave 99 Hz when measured: it is not used.
- Register 0x96 turns the same frames into displacements: such a sensor is refused, and nothing here sets it.
- The battery ladder is that of the vendor's software; the protocol text has another, up to 25 % apart.
- X is forward or to the left, by model: only a calibration on the body tells.
- A newer text has frames of 28 bytes with a time; nobody has seen one. The eight bytes would be skipped as garbage.
"""

import struct
from collections.abc import Generator, Mapping

import numpy as np

from imuposture._blocks import ImuBlock, Role, Stream
from imuposture._errors import AcquisitionError, ConfigError, DecodeError
from imuposture.acquisition.drivers import _asked as asked
from imuposture.acquisition.drivers._angles import from_euler
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Settings
from imuposture.acquisition.drivers.messages import Message, Reply, Status
from imuposture.acquisition.drivers.procedures import (
    Answer,
    Await,
    Procedure,
    Step,
    Subscribe,
    Unsubscribe,
    Wait,
    Write,
)

__all__ = ["DRIVER", "Decoder", "WitMotion", "register_read", "register_write"]

NOTIFY = "0000ffe4-0000-1000-8000-00805f9a34fb"  # 9a34fb: not the base of the Bluetooth SIG
WRITE = "0000ffe9-0000-1000-8000-00805f9a34fb"

RATE_CODES: Mapping[float, int] = {10.0: 6, 20.0: 7, 50.0: 8, 100.0: 9, 200.0: 0x0B}
SAVE, CALIBRATION, RATE, MOUNTING, ALGORITHM, READ, KEY = 0x00, 0x01, 0x03, 0x23, 0x24, 0x27, 0x69
MAGNETIC, TEMPERATURE, QUATERNION, BATTERY, OUTPUT = 0x3A, 0x40, 0x51, 0x64, 0x96
CALIBRATIONS = {"end": 0, "acceleration": 1, "heading": 4, "field": 7, "angle_reference": 8}
UNLOCKED = 0xB588
BETWEEN_WRITES_S, AFTER_SAVE_S, ANSWER_S = 0.1, 0.5, 1.0

ACC_MPS2 = 16 / 32768 * 9.80665
GYR_RADPS = 2000 / 32768 * (np.pi / 180)
ANGLE_RAD = np.pi / 32768

FRAME = 20
_SAMPLE = b"\x55\x61"
_HEADS = (_SAMPLE, b"\x55\x71")  # a sample; an answer: u16 of the first register, then eight int16
_VOLTS_100 = (396, 393, 387, 382, 379, 377, 373, 370, 368, 350, 340, 1)
_PERCENT = (100, 90, 75, 60, 50, 40, 30, 20, 15, 10, 5, 0)


def register_write(register: int, value: int) -> bytes:
    """Return the command that sets a register.

    Raises
    ------
    ConfigError
        If it would turn the stream into displacements, which look like accelerations and are none.
    """
    if register == OUTPUT and value:
        raise ConfigError("register 0x96 must stay 0: other values turn the stream into displacements")
    return struct.pack("<BBBH", 0xFF, 0xAA, register, value)


def register_read(register: int) -> bytes:
    """Return the command that asks for a register and the seven that follow it."""
    return register_write(READ, register)


class Decoder:
    """Frames of one connection -> messages; rows count from 0."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._rest = b""
        self._skipped = 0
        self._count = 0
        self._displaced = False  # register 0x96 says that frames hold displacements

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take a notification; frames may lie across several.

        What belongs to no frame is skipped, and told by ``Status("resync")`` before the next whole frame.

        Raises
        ------
        DecodeError
            If the payload is empty, nothing in it can belong to a frame, or the sensor said that its frames hold
            displacements.
        """
        if channel != 0 or not payload:
            raise DecodeError(f"a WitMotion sensor sends frames on channel 0, got {len(payload)} bytes of {channel}")
        stream, at = self._rest + payload, 0
        messages: list[Message] = []
        samples: list[bytes] = []
        while True:
            begin, end = _next_frame(stream, at)
            self._skipped += begin - at
            if not end:
                break
            at = end
            if not self._skipped and stream.startswith(_SAMPLE, begin):
                samples.append(stream[begin:end])
                continue
            messages += self._rows(samples)
            samples = self._after_a_break(stream[begin:end], messages)
        self._rest = stream[begin:]
        messages += self._rows(samples)
        if not messages and self._displaced:
            raise DecodeError("the sensor streams displacements: register 0x96 is not 0")
        if not messages and not self._rest:
            raise DecodeError(f"{len(payload)} bytes without the start of a frame, 55 61 or 55 71")
        return messages

    def _after_a_break(self, frame: bytes, messages: list[Message]) -> list[bytes]:
        """Tell what was skipped, and what an answer says; return the frame if it is a sample."""
        if self._skipped:
            messages.append(Status("resync", {"bytes": self._skipped}))
            self._skipped = 0
        if frame.startswith(_SAMPLE):
            return [frame]
        first, *values = struct.unpack_from("<H8h", frame, 2)
        if first == OUTPUT:
            self._displaced = values[0] != 0
        messages += _answer(first, values)
        return []

    def _rows(self, samples: list[bytes]) -> list[Message]:
        if not samples or self._displaced:
            return []
        raw = np.frombuffer(b"".join(samples), "<i2").reshape(-1, FRAME // 2)[:, 1:].astype(np.float64)
        ticks = np.arange(self._count, self._count + len(raw), dtype=np.float64)
        self._count += len(raw)
        quat = np.array([from_euler(*angles) for angles in (raw[:, 6:] * ANGLE_RAD).tolist()])
        return [ImuBlock(self._role, ticks, raw[:, :3] * ACC_MPS2, raw[:, 3:6] * GYR_RADPS, quat=quat)]


class WitMotion:
    """WitMotion Bluetooth 5 sensors.

    Options: ``axes`` (6, or 9 for a heading by the magnetometer); ``mounting`` (``horizontal``, or ``vertical`` with
    the sensor's y axis up; without it, what the sensor holds stays); ``save`` writes the settings to flash, otherwise
    they last until the sensor is switched off.
    """

    name = "witmotion"
    title = "WitMotion sensor"
    verified: str | None = None
    channels: tuple[Channel, ...] = (Channel(NOTIFY),)
    min_mtu = 23  # frames may be cut
    rates_hz: tuple[float, ...] = tuple(RATE_CODES)
    default_rate_hz = 100.0

    def matches(self, advertisement: Advertisement) -> bool:
        """Tell by the name; vibration sensors (WTVB) send another layout under the same header."""
        name = advertisement.name or ""
        return name.startswith("WT") and not name.startswith("WTVB")

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples: a count instead of a clock, ranges of 16 g and 2000 deg/s.

        Raises
        ------
        ConfigError
            If the sensor cannot do what is asked; the field, for one, is not in its stream.
        """
        rate = self._checked(settings)
        return Stream(
            settings.role,
            rate,
            tick_s=1 / rate,
            acc_full_scale=32768 * ACC_MPS2,
            gyr_full_scale=32768 * GYR_RADPS,
            sensor=self.name,
            clock="count",
        )

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection."""
        self._checked(settings)
        return Decoder(settings.role)

    def start(self, settings: Settings) -> Procedure:
        """Set rate and algorithm, listen, and refuse a stream of displacements.

        Raises
        ------
        ConfigError
            If the settings ask for what the sensor cannot do.
        """
        rate = self._checked(settings)
        values = {RATE: RATE_CODES[rate], ALGORITHM: 1 if asked.whole(settings, "axes", 6, 9, 6) == 6 else 0}
        if "mounting" in settings.options:
            values[MOUNTING] = int(asked.choice(settings, "mounting", ("horizontal", "vertical"), "") == "vertical")
        return _start(values, asked.switch(settings, "save"))

    def stop(self, settings: Settings) -> Procedure:
        """Stop listening, which is what stops the stream."""
        self._checked(settings)
        yield Unsubscribe(0)

    def identify(self) -> Procedure | None:
        """Return None: nothing on these sensors can be made to blink."""
        return None

    def battery(self) -> Procedure:
        """Return the steps that ask for the battery; the stream runs meanwhile."""
        yield Subscribe(0)
        yield from _read(BATTERY)
        yield Unsubscribe(0)

    def poll(self, register: int) -> Procedure:
        """Ask for a register; the answer comes as ``Reply("register_..")``, and as a `Status` where it is known."""
        yield from _read(register)

    def calibrate(self, step: str) -> Procedure:
        """Start or end one of the sensor's own calibrations.

        Parameters
        ----------
        step : str
            ``acceleration`` (lie still), ``field`` (turn about all axes, then ``end``), ``heading`` (takes now as 0;
            needs ``axes`` 6), ``angle_reference``.

        Raises
        ------
        ConfigError
            If there is no such step.
        """
        if step not in CALIBRATIONS:
            raise ConfigError(f"no calibration {step!r}; there are: {', '.join(CALIBRATIONS)}")
        return _set(CALIBRATION, CALIBRATIONS[step])

    def _checked(self, settings: Settings) -> float:
        asked.one_imu(self, settings, ("axes", "mounting", "save"))
        if settings.magnetometer:
            raise ConfigError("a WitMotion sensor does not stream the magnetic field: leave the magnetometer out")
        if asked.whole(settings, "axes", 6, 9, 6) not in {6, 9}:
            raise ConfigError(f"option axes must be 6 or 9, got {settings.options['axes']!r}")
        return asked.rate_of(self, settings)


DRIVER = WitMotion()


def _next_frame(stream: bytes, at: int) -> tuple[int, int]:
    """Return where the next frame begins and ends; end 0: more bytes must tell, from where it begins."""
    while (at := stream.find(0x55, at)) >= 0:
        if len(stream) < at + 2 or (stream.startswith(_HEADS, at) and len(stream) < at + FRAME):
            return at, 0
        if stream.startswith(_HEADS, at):
            inner = _head_inside(stream, at)
            if not inner or stream.startswith(_HEADS, at + FRAME):
                return at, at + FRAME
            if len(stream) < inner + FRAME + 2:
                return at, 0
            # Cut off, and the next frame follows early; unless that one leads nowhere either.
            if not stream.startswith(_HEADS, inner + FRAME):
                return at, at + FRAME
        at += 1
    return len(stream), 0


def _head_inside(stream: bytes, at: int) -> int:
    """Return where in a frame another seems to begin: chance, or this one was cut off. 0: nowhere."""
    inside = [stream.find(head, at + 2, at + FRAME) for head in _HEADS]
    return min((place for place in inside if place >= 0), default=0)


def _answer(first: int, values: list[int]) -> list[Message]:
    messages: list[Message] = [Reply(f"register_{first:02x}", {"first": first, "values": tuple(values)})]
    if first == BATTERY and values[0] > 0:  # 0 while the sensor writes its flash
        percent = next(full for least, full in zip(_VOLTS_100, _PERCENT, strict=True) if values[0] >= least)
        messages.append(Status("battery", {"percent": float(percent), "volts": values[0] / 100}))
    elif first == TEMPERATURE:
        messages.append(Status("temperature", {"celsius": values[0] / 100}))
    elif first == MAGNETIC:
        messages.append(Status("magnetic_field", {"raw": tuple(values[:3]), "calibrated": False}))
    elif first == QUATERNION:
        messages.append(Status("orientation", {"quat": tuple(value / 32768 for value in values[:4])}))
    return messages


def _start(values: Mapping[int, int], save: bool) -> Procedure:
    # Before anybody listens, so that no sample comes at another rate: a count could not tell.
    for register, value in values.items():
        yield from _set(register, value)
    if save:
        yield from _set(SAVE, 0)
        yield Wait(AFTER_SAVE_S)
    yield Subscribe(0)
    if (yield from _read(OUTPUT)):
        raise AcquisitionError(
            "the sensor streams displacements, register 0x96 is not 0: set it to acceleration output"
        )
    code = yield from _read(RATE)
    if code and code != values[RATE]:
        raise AcquisitionError(f"the sensor kept rate code {code:#04x}, not {values[RATE]:#04x}; switch it off and on")
    yield from _read(BATTERY)


def _set(register: int, value: int) -> Procedure:
    yield Write(WRITE, register_write(KEY, UNLOCKED))
    yield Wait(BETWEEN_WRITES_S)
    yield Write(WRITE, register_write(register, value))
    yield Wait(BETWEEN_WRITES_S)


def _read(register: int) -> Generator[Step, Answer, int]:
    """Ask for a register and return its value, or 0 if no answer came; one at a time, since two at once hang."""
    yield Write(WRITE, register_read(register))
    try:
        reply = yield Await(f"register_{register:02x}", ANSWER_S)
    except TimeoutError:
        return 0
    values = reply.values["values"] if isinstance(reply, Reply) else ()
    return int(values[0]) if isinstance(values, tuple) and values else 0
