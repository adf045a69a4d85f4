"""A sensor family for tests: a counter in every payload, and answers to what is written."""

import struct
from dataclasses import dataclass, field

import numpy as np

from imuposture._blocks import ImuBlock, Role, Stream
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import (
    Advertisement,
    Await,
    Channel,
    Message,
    Procedure,
    Reconnect,
    Reply,
    Settings,
    Status,
    Subscribe,
    Wait,
    Write,
)

DATA = "0000aaa1-0000-1000-8000-00805f9b34fb"
CONTROL = "0000aaa2-0000-1000-8000-00805f9b34fb"
SAMPLE = struct.Struct("<cI6f")
START, STOP = b"\x01", b"\x00"
UPRIGHT = (0.0, 9.81, 0.0, 0.0, 0.0, 0.0)


def sample(count: int, values: tuple[float, ...] = UPRIGHT) -> bytes:
    return SAMPLE.pack(b"s", count, *values)


class FakeDecoder:
    def __init__(self, role: Role) -> None:
        self.role: Role = role

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        if payload[:1] == b"r":
            return [Reply("started", {"bytes": len(payload)})]
        if payload[:1] == b"b" and len(payload) == 2:
            return [Reply("battery"), Status("battery", {"percent": float(payload[1])})]
        if len(payload) != SAMPLE.size or payload[:1] != b"s":
            raise DecodeError(f"{len(payload)} bytes")
        _, count, *values = SAMPLE.unpack(payload)
        rows = np.array(values, np.float64).reshape(1, 6)
        return [ImuBlock(self.role, np.array([float(count)]), rows[:, :3].copy(), rows[:, 3:].copy())]


@dataclass
class FakeDriver:
    name: str = "fake"
    title: str = "A sensor that tests made"
    verified: str | None = None
    channels: tuple[Channel, ...] = (Channel(DATA),)
    min_mtu: int = 32
    rates_hz: tuple[float, ...] = (60.0,)
    default_rate_hz: float = 60.0
    awaits: bool = False
    reconnects: bool = False
    subscribes: int = 1  # channels
    told: tuple[Write, ...] = ()  # written before the start
    stops_after_s: dict[Role, float] = field(default_factory=dict)
    started: list[Role] = field(default_factory=list)

    def matches(self, advertisement: Advertisement) -> bool:
        return (advertisement.name or "").startswith("IMU")

    def stream(self, settings: Settings) -> Stream:
        rate = settings.rate_hz or self.default_rate_hz
        return Stream(settings.role, rate, tick_s=1.0 / rate, wrap_ticks=2.0**32, sensor=self.name, clock="device")

    def decoder(self, settings: Settings) -> FakeDecoder:
        return FakeDecoder(settings.role)

    def start(self, settings: Settings) -> Procedure:
        for channel in range(self.subscribes):
            yield Subscribe(channel)
        if self.reconnects:
            yield Write(CONTROL, b"\x77")
            yield Reconnect(1.0)
            yield Subscribe(0)
        yield from self.told
        yield Write(CONTROL, START)
        if self.awaits:
            yield Await("started", timeout_s=1.0)
        self.started.append(settings.role)

    def stop(self, settings: Settings) -> Procedure:
        yield Wait(self.stops_after_s.get(settings.role, 0.0))
        yield Write(CONTROL, STOP)

    def identify(self) -> Procedure | None:
        def blink() -> Procedure:
            yield Write(CONTROL, b"\x05")

        return blink()

    def battery(self) -> Procedure | None:
        def ask() -> Procedure:
            yield Subscribe(0)
            yield Write(CONTROL, b"\x06")
            yield Await("battery", timeout_s=1.0)

        return ask()


@dataclass
class PollingDriver(FakeDriver):
    """Asks for the battery every two seconds, and for what is never answered every three."""

    def polls(self, settings: Settings) -> tuple[tuple[float, Procedure], ...]:
        def ask(order: bytes, answer: str) -> Procedure:
            yield Write(CONTROL, order)
            yield Await(answer, timeout_s=0.5)

        return (2.0, ask(b"\x06", "battery")), (3.0, ask(b"\x07", "nothing"))
