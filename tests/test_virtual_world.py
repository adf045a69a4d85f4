"""Virtual sensors under the unmodified bleak: found, connected, streamed, and everything that happens to a sample."""

import asyncio
import struct
from collections.abc import Callable

import numpy as np
import simulated_time
from bleak import BleakClient, BleakScanner

from imuposture.acquisition.virtual import Faults, SensorSetup, VirtualWorld
from imuposture.acquisition.virtual.counting import Fate

DOT = "1517{}-4947-11e9-8646-d663bd873d93".format
DOT_LONG, DOT_MEASURE = DOT("2002"), DOT("2001")
WIT_NOTIFY = "0000ffe4-0000-1000-8000-00805f9a34fb"

Arrivals = list[tuple[float, bytes]]


async def connect(world: VirtualWorld, role, gone: Callable[[BleakClient], None] | None = None) -> BleakClient:
    device = await BleakScanner.find_device_by_address(world.address(role), **world.transport.scanner_kwargs)
    assert device is not None
    client = BleakClient(device, gone, **world.transport.client_kwargs)
    await client.connect()
    return client


async def listen(world: VirtualWorld, role, client: BleakClient) -> Arrivals:
    """Start the stream of a DOT or WitMotion; return the list into which it runs."""
    arrivals: Arrivals = []
    loop = asyncio.get_running_loop()
    dot = world.setups[role].format == "movella_dot"
    await client.start_notify(
        DOT_LONG if dot else WIT_NOTIFY, lambda _, data: arrivals.append((loop.time(), bytes(data)))
    )
    if dot:
        await client.write_gatt_char(DOT_MEASURE, bytes((1, 1, 26)), response=True)
    return arrivals


async def stream(world: VirtualWorld, role, seconds: float) -> Arrivals:
    client = await connect(world, role)
    arrivals = await listen(world, role, client)
    await asyncio.sleep(seconds)
    await client.disconnect()
    return arrivals


def dot_ticks(arrivals: Arrivals) -> np.ndarray:
    return np.array([struct.unpack_from("<I", data)[0] for _, data in arrivals], dtype=np.int64)


def test_both_sensors_are_found_and_stream():
    async def work():
        async with VirtualWorld("still", lower=SensorSetup("witmotion")) as world:
            found = await BleakScanner.discover(1.0, return_adv=True, **world.transport.scanner_kwargs)
            names = {device.name for device, _ in found.values()}
            assert names == {"Movella DOT", "WT901BLE67"}
            upper, lower = await asyncio.gather(stream(world, "upper", 10.0), stream(world, "lower", 10.0))
        assert abs(len(upper) - 600) <= 1
        assert abs(len(lower) - 100) <= 1

    simulated_time.run(work())


def test_nothing_is_lost_on_a_perfect_link():
    async def work():
        async with VirtualWorld("demo", seed=3) as world:
            arrivals = await stream(world, "upper", 20.0)
            ledger = world.sensors["upper"].ledger
        ticks = dot_ticks(arrivals)
        assert len(ledger) >= len(ticks) == ledger.count(Fate.DELIVERED)
        assert set(np.diff(ticks)) <= {16666, 16667}

    simulated_time.run(work())


def test_a_fast_clock_is_fast():
    async def work():
        async with VirtualWorld("still", upper=SensorSetup(faults=Faults(clock_ppm=80.0))) as world:
            arrivals = await stream(world, "upper", 60.0)
        ticks, times = dot_ticks(arrivals), np.array([at for at, _ in arrivals])
        rate = 1e-6 * (ticks[-1] - ticks[0]) / (times[-1] - times[0])
        assert abs(rate - 1.0 - 80e-6) < 1e-7

    simulated_time.run(work())
