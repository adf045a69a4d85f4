"""Drivers and virtual sensors, each written from the protocol alone, understand each other and the truth."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
import simulated_time
from bleak import BleakClient, BleakScanner

from imuposture._blocks import ImuBlock
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import (
    Advertisement,
    Await,
    Driver,
    Procedure,
    Read,
    Reconnect,
    Reply,
    Settings,
    Subscribe,
    Unsubscribe,
    Wait,
    Write,
)
from imuposture.acquisition.simulation import SensorModel
from imuposture.acquisition.virtual import Fate, Faults, SensorSetup, VirtualWorld

registry = pytest.importorskip("imuposture.acquisition.drivers.registry")


class Host:
    """Carries out a driver's steps on one connection and decodes what comes: the least that does it."""

    def __init__(
        self, driver: Driver, settings: Settings, connect: Callable[[], "asyncio.Future[BleakClient]"]
    ) -> None:
        self.driver, self._connect = driver, connect
        self.decoder = driver.decoder(settings)
        self.blocks: list[ImuBlock] = []
        self.said: list[str] = []
        self._replies: list[Reply] = []
        self._news = asyncio.Event()

    def take(self, payload: bytes, channel: int) -> None:
        for message in self.decoder.push(bytes(payload), channel):
            if isinstance(message, ImuBlock):
                self.blocks.append(message)
            else:
                self.said.append(message.what)
                if isinstance(message, Reply):
                    self._replies.append(message)
                    self._news.set()

    async def run(self, procedure: Procedure) -> None:
        self.client = await self._connect() if not hasattr(self, "client") else self.client
        answer: object = None
        while True:
            try:
                step = procedure.throw(answer) if isinstance(answer, TimeoutError) else procedure.send(answer)
            except StopIteration:
                return
            answer = await self._do(step)

    async def _do(self, step: object) -> object:
        match step:
            case Subscribe(channel):
                uuid = self.driver.channels[channel].uuid
                await self.client.start_notify(uuid, lambda _, data: self.take(data, channel))
            case Unsubscribe(channel):
                await self.client.stop_notify(self.driver.channels[channel].uuid)
            case Write(uuid, data, response):
                await self.client.write_gatt_char(uuid, data, response=response)
            case Read(channel):
                payload = bytes(await self.client.read_gatt_char(self.driver.channels[channel].uuid))
                self.take(payload, channel)
                return payload
            case Await(what, timeout_s):
                return await self._reply(what, timeout_s)
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Reconnect(after_s):
                await self.client.disconnect()
                await asyncio.sleep(after_s)
                self.client = await self._connect()
        return None

    async def _reply(self, what: str, timeout_s: float) -> Reply | TimeoutError:
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for reply in self._replies:
                        if reply.what == what:
                            self._replies.remove(reply)
                            return reply
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            return error


def host_of(world: VirtualWorld, driver: Driver, settings: Settings) -> Host:
    async def connect() -> BleakClient:
        address = world.address(settings.role)
        device = await BleakScanner.find_device_by_address(address, **world.transport.scanner_kwargs)
        client = BleakClient(device, **world.transport.client_kwargs)
        await client.connect()
        return client

    return Host(driver, settings, connect)


KINDS = [
    ("movella_dot", 60.0, 1e-4, 1e-5),
    ("movella_dot", 12.0, 1e-4, 1e-5),
    ("witmotion", 100.0, None, None),
    ("witmotion", 200.0, None, None),
    ("movesense", 52.0, 0.02, 0.004),  # stamps of a millisecond
    ("movesense", 104.0, 0.02, 0.004),
    ("own_firmware_template", 100.0, 0.0015, 0.0003),  # 16 bits of 8 g and 1000 deg/s
]


@pytest.mark.parametrize(("name", "rate_hz", "acc_error", "gyr_error"), KINDS)
def test_a_driver_understands_its_sensor(name, rate_hz, acc_error, gyr_error):
    driver, settings = registry.driver_named(name), Settings("upper", rate_hz=rate_hz)

    async def work():
        setup = SensorSetup(name, model=SensorModel.ideal())
        async with VirtualWorld("demo", seed=2, upper=setup) as world:
            host = host_of(world, driver, settings)
            await host.run(driver.start(settings))
            await asyncio.sleep(8.0)
            await host.run(driver.stop(settings))
            await asyncio.sleep(0.5)
            sensor = world.sensors["upper"]
            assert not sensor.firmware.streaming
            return host, sensor, world

    host, sensor, world = simulated_time.run(work())
    ticks, acc, gyr = (np.concatenate([getattr(b, part) for b in host.blocks]) for part in ("ticks", "acc", "gyr"))
    assert len(ticks) == sensor.ledger.count(Fate.DELIVERED) == pytest.approx(8.0 * rate_hz, abs=0.15 * rate_hz + 9)
    assert np.linalg.norm(acc, axis=1) == pytest.approx(9.81, abs=1.0)
    assert "battery" in host.said
    if acc_error:
        stream = driver.stream(settings)
        times = sensor.clock.host_times(ticks * stream.tick_s) - world.motion_s
        true = world.simulation.upper.read(times, stream=0, rate_hz=rate_hz)
        np.testing.assert_allclose(acc, true.acc, rtol=0, atol=acc_error)
        np.testing.assert_allclose(gyr, true.gyr, rtol=0, atol=gyr_error)


@pytest.mark.parametrize("name", ["movella_dot", "witmotion", "movesense", "own_firmware_template"])
def test_a_driver_recognises_its_sensor(name):
    async def work():
        async with VirtualWorld("still", upper=SensorSetup(name)) as world:
            found = await BleakScanner.discover(1.0, return_adv=True, **world.transport.scanner_kwargs)
            return found[world.address("upper")]

    device, heard = simulated_time.run(work())
    seen = Advertisement(device.address, heard.local_name, tuple(heard.service_uuids), heard.manufacturer_data)
    assert registry.driver_for(seen).name == name


@pytest.mark.parametrize("name", ["movella_dot", "witmotion", "movesense", "own_firmware_template"])
def test_damage_is_refused_and_the_rest_kept(name):
    driver, settings = registry.driver_named(name), Settings("upper")
    refused = []

    async def work():
        faults = Faults(truncate=0.05, garbage=0.05, duplicate=0.05)
        async with VirtualWorld("still", seed=4, upper=SensorSetup(name)) as world:
            host = host_of(world, driver, settings)
            await host.run(driver.start(settings))
            take = host.take

            def careful(payload: bytes, channel: int) -> None:
                try:
                    take(payload, channel)
                except DecodeError:
                    refused.append(bytes(payload))

            host.take = careful
            world.sensors["upper"].set_faults(faults)
            await asyncio.sleep(20.0)
            return sum(len(b.ticks) for b in host.blocks), world.sensors["upper"].ledger

    kept, ledger = simulated_time.run(work())
    assert len(refused) > 10
    assert kept >= 0.97 * ledger.count(Fate.DELIVERED)


def test_two_dots_share_a_clock_after_their_sync():
    driver = registry.driver_named("movella_dot")

    async def work():
        faults = {"upper": Faults(clock_ppm=50.0), "lower": Faults(clock_ppm=-70.0, clock_start_s=1000.0)}
        async with VirtualWorld("still", **{r: SensorSetup(faults=f) for r, f in faults.items()}) as world:
            hosts, starts = {}, []
            for role in ("upper", "lower"):
                settings = Settings(role, options={"sync": world.address("upper")})
                hosts[role] = host_of(world, driver, settings)
                starts.append(hosts[role].run(driver.start(settings)))
            await asyncio.gather(*starts)
            await asyncio.sleep(5.0)
            assert all(host.blocks for host in hosts.values())
            return [sensor.clock for sensor in world.sensors.values()]

    upper, lower = simulated_time.run(work())
    assert upper.reading(100.0) == pytest.approx(lower.reading(100.0), abs=1e-9)
