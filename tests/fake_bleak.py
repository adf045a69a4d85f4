"""A radio for tests: sensors under the unmodified bleak API, in simulated time, that do whatever a test wants.

No wire formats and no GATT traffic here (the package's virtual sensors have those): only what links must survive.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError
from simulated_time import SimulatedTimeLoop

from imuposture.acquisition.ble import Clock, Transport
from imuposture.acquisition.ble.clock import simulated

SERVICE = "0000aaaa-0000-1000-8000-00805f9b34fb"
DATA = "0000aaa1-0000-1000-8000-00805f9b34fb"
CONTROL = "0000aaa2-0000-1000-8000-00805f9b34fb"
SECOND = "0000aaa3-0000-1000-8000-00805f9b34fb"
SHARED = "0000aaa4-0000-1000-8000-00805f9b34fb"


class BusyLoop(SimulatedTimeLoop):
    """Simulated time, in which the host may be busy."""

    def jump(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self._simulated.now_s += seconds


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run in simulated time; tasks that are left over fail the test."""
    with asyncio.Runner(loop_factory=BusyLoop) as runner:
        result = runner.run(work)
        left = [task for task in asyncio.all_tasks(runner.get_loop()) if not task.done()]
        assert not left, f"still running: {left}"
        return result


@dataclass
class FakeSensor:
    """A peripheral: on or off, near or far, and how it behaves."""

    address: str
    name: str | None = "IMU"
    company: dict[int, bytes] = field(default_factory=dict)
    rssi: int = -60
    on: bool = True
    connect_s: float = 0.1
    advertise_s: float = 0.1
    mtu: int = 247
    connect_error: Exception | None = None
    disconnect_s: float = 0.0
    acquire_works: bool = True
    notifies_twice: bool = False  # as BlueZ does after a reconnect with StartNotify
    wrote: list[tuple[str, bytes]] = field(default_factory=list)
    wrote_at: list[int] = field(default_factory=list)  # handles
    others: tuple[str, ...] = ()  # services that have a characteristic SHARED each
    on_write: Callable[["FakeSensor", str, bytes], None] | None = None
    values: dict[str, bytes] = field(default_factory=dict)
    client: "FakeClient | None" = None
    sent: int = 0
    used_start_notify: list[bool] = field(default_factory=list)
    connects: list[float] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def notify(self, payload: bytes, uuid: str = DATA) -> bool:
        """Send a notification; tells whether anybody took it."""
        client = self.client
        if client is None or uuid not in client.takers:
            return False
        for _ in range(2 if self.notifies_twice else 1):
            client.takers[uuid](bytearray(payload[: self.mtu - 3]))
        return True

    def drop(self) -> None:
        """Lose the link."""
        if self.client is not None:
            self.client.ended()

    def off(self) -> None:
        self.on = False
        self.drop()

    async def stream(self, rate_hz: float, payload: Callable[[int], bytes], uuid: str = DATA) -> None:
        """Send for ever; what nobody takes is lost."""
        while True:
            await asyncio.sleep(1.0 / rate_hz)
            if self.on and not self.silent:
                self.notify(payload(self.sent), uuid)
            self.sent += 1  # it measures on, and its clock runs, whoever listens

    silent: bool = False
    wakes: bool = False  # a new subscription ends the silence


class FakeAir:
    """What is around."""

    def __init__(self, *sensors: FakeSensor) -> None:
        self.sensors = list(sensors)
        self.connecting = 0
        self.scanning = 0
        self.most_connecting = 0
        self.scanned_while_connecting = False
        self.scan_error: Exception | None = None

    def transport(self) -> Transport:
        return Transport(
            "fake",
            {"backend": type("Scanner", (FakeScanner,), {"air": self})},
            {"backend": type("Client", (FakeClient,), {"air": self})},
        )

    def at(self, address: str) -> FakeSensor:
        return next(sensor for sensor in self.sensors if sensor.address == address)


class FakeScanner(BaseBleakScanner):
    air: FakeAir

    def __init__(self, callback: Any, uuids: Any, mode: Any, **_: Any) -> None:
        super().__init__(callback, uuids)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if self.air.scan_error is not None:
            raise self.air.scan_error
        self.seen_devices = {}
        self.air.scanning += 1
        self._tasks = [asyncio.ensure_future(self._hear(sensor)) for sensor in self.air.sensors]

    async def stop(self) -> None:
        self.air.scanning -= 1
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _hear(self, sensor: FakeSensor) -> None:
        while True:
            await asyncio.sleep(sensor.advertise_s)
            if sensor.on and sensor.client is None:
                data = AdvertisementData(sensor.name, sensor.company, {}, [SERVICE], None, sensor.rssi, ())
                device = self.create_or_update_device(sensor.address, sensor.address, sensor.name, {}, data)
                self.call_detection_callbacks(device, data)


class FakeClient(BaseBleakClient):
    air: FakeAir

    def __init__(self, device: Any, services: Any = None, **kwargs: Any) -> None:
        given = {key: kwargs[key] for key in ("disconnected_callback", "timeout") if key in kwargs}
        super().__init__(device, **given)
        self.sensor = self.air.at(self.address)
        self.takers: dict[str, Callable[[bytearray], None]] = {}
        self._connected = False

    @property
    def name(self) -> str:
        return self.sensor.name or ""

    @property
    def mtu_size(self) -> int:
        return self.sensor.mtu

    @property
    def is_connected(self) -> bool:
        return self._connected

    async def connect(self, pair: bool, **_: Any) -> None:
        self.sensor.connects.append(asyncio.get_running_loop().time())
        self.air.connecting += 1
        self.air.most_connecting = max(self.air.connecting, self.air.most_connecting)
        self.air.scanned_while_connecting |= self.air.scanning > 0
        try:
            await asyncio.sleep(self.sensor.connect_s if self.sensor.on else 1e6)
            if self.sensor.connect_error is not None:
                raise self.sensor.connect_error
        finally:
            self.air.connecting -= 1
        self._connected = True
        self.sensor.client = self
        self.services = services_of(self)

    async def disconnect(self) -> None:
        if self._connected:
            await asyncio.sleep(self.sensor.disconnect_s)
            self.ended()

    def ended(self) -> None:
        if self._connected:
            self._connected = False
            if self.sensor.client is self:
                self.sensor.client = None
            if self._disconnected_callback:
                self._disconnected_callback()

    async def pair(self, *_: Any, **__: Any) -> None:
        raise BleakError("this sensor cannot be paired with")

    async def unpair(self) -> None:
        raise BleakError("this sensor was never paired with")

    async def read_gatt_char(self, characteristic: Any, **_: Any) -> bytearray:
        self._need()
        await asyncio.sleep(0.01)
        return bytearray(self.sensor.values[characteristic.uuid])

    async def read_gatt_descriptor(self, descriptor: Any, **_: Any) -> bytearray:
        raise BleakError(f"this sensor has no descriptor {descriptor}")

    async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
        self._need()
        await asyncio.sleep(0.01)
        self.sensor.wrote.append((characteristic.uuid, bytes(data)))
        self.sensor.wrote_at.append(characteristic.handle)
        if self.sensor.on_write is not None:
            self.sensor.on_write(self.sensor, characteristic.uuid, bytes(data))

    async def write_gatt_descriptor(self, descriptor: Any, data: Any) -> None:
        raise BleakError(f"this sensor has no descriptor {descriptor}")

    async def start_notify(self, characteristic: Any, callback: Any, *, bluez: Any = None, **_: Any) -> None:
        self._need()
        await asyncio.sleep(0.01)
        self.sensor.used_start_notify.append(bluez["use_start_notify"])
        if not bluez["use_start_notify"] and not self.sensor.acquire_works:
            raise BleakError("AcquireNotify does not work here")
        self.takers[characteristic.uuid] = callback
        self.sensor.silent &= not self.sensor.wakes

    async def stop_notify(self, characteristic: Any) -> None:
        self._need()
        await asyncio.sleep(0.01)
        self.sensor.stopped.append(characteristic.uuid)
        self.takers.pop(characteristic.uuid, None)

    def _need(self) -> None:
        if not self._connected:
            raise BleakError("Not connected")


def services_of(client: FakeClient) -> BleakGATTServiceCollection:
    collection = BleakGATTServiceCollection()
    service = BleakGATTService(None, 1, SERVICE)
    collection.add_service(service)
    for handle, uuid in ((2, DATA), (5, CONTROL), (8, SECOND)):
        properties: list[Any] = ["read", "write", "notify"]
        collection.add_characteristic(
            BleakGATTCharacteristic(None, handle, uuid, properties, lambda: client.mtu_size - 3, service)
        )
    for number, uuid in enumerate(client.sensor.others):
        other = BleakGATTService(None, 100 + 10 * number, uuid)
        collection.add_service(other)
        handle = other.handle + 1
        collection.add_characteristic(
            BleakGATTCharacteristic(None, handle, SHARED, ["write"], lambda: client.mtu_size - 3, other)
        )
    return collection


def clock() -> Clock:
    """Return the clock of the running loop."""
    return simulated(asyncio.get_running_loop().time)
