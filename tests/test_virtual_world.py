"""Virtual sensors under the unmodified bleak: found, connected, streamed, true to the spine, alike in every run."""

import asyncio
import subprocess
import sys
import time

import numpy as np
import pytest
import simulated_time
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError
from virtual_sensors import DOT_CONTROL, DOT_MEASURE, connect, listen, stream

from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.simulation import SensorModel
from imuposture.acquisition.virtual import Fate, Faults, Incident, SensorSetup, VirtualWorld, open_world
from imuposture.acquisition.virtual.serve import serve_tcp

GRAVITY = 9.80665


def quat_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    w, v = a[:, :1], a[:, 1:]
    s, u = b[:, :1], b[:, 1:]
    return np.concatenate([w * s - np.sum(v * u, axis=1, keepdims=True), w * u + s * v + np.cross(v, u)], axis=1)


def test_both_sensors_are_found():
    async def work():
        setups = {"upper": SensorSetup(faults=Faults(rssi_dbm=-71)), "lower": SensorSetup("witmotion")}
        async with VirtualWorld("still", **setups) as world:
            return await BleakScanner.discover(1.0, return_adv=True, **world.transport.scanner_kwargs)

    found = {device.name: advertisement for device, advertisement in simulated_time.run(work()).values()}
    assert set(found) == {"Movella DOT", "WT901BLE67"}
    assert found["Movella DOT"].manufacturer_data.keys() == {2182}
    assert found["Movella DOT"].rssi == -71
    assert found["WT901BLE67"].service_uuids == ["0000ffe5-0000-1000-8000-00805f9a34fb"]


def test_a_service_filter_filters():
    async def work():
        async with VirtualWorld("still", lower=SensorSetup("witmotion")) as world:
            wanted = ["0000ffe5-0000-1000-8000-00805f9a34fb"]
            return await BleakScanner.discover(1.0, service_uuids=wanted, **world.transport.scanner_kwargs)

    assert [device.name for device in simulated_time.run(work())] == ["WT901BLE67"]


def test_two_sensors_connected_at_once_stream_side_by_side():
    async def work():
        async with VirtualWorld("still", lower=SensorSetup("witmotion")) as world:
            both = stream(world, 10.0), stream(world, 10.0, role="lower", kind="witmotion")
            return await asyncio.gather(*both)

    upper, lower = simulated_time.run(work())
    assert abs(len(upper.payloads) - 600) <= 1
    assert abs(len(lower.payloads) - 100) <= 1


def test_nothing_is_lost_on_a_perfect_link():
    async def work():
        async with VirtualWorld("demo", seed=3) as world:
            return await stream(world, 20.01), world.sensors["upper"].ledger

    listener, ledger = simulated_time.run(work())
    assert len(listener.payloads) == len(ledger) == ledger.count(Fate.DELIVERED)
    assert set(np.diff(listener.ticks)) <= {16666, 16667}


def test_a_fast_clock_is_fast():
    async def work():
        async with VirtualWorld("still", upper=SensorSetup(faults=Faults(clock_ppm=80.0))) as world:
            return await stream(world, 60.0)

    listener = simulated_time.run(work())
    shown_s, passed_s = 1e-6 * (listener.ticks[-1] - listener.ticks[0]), listener.times[-1] - listener.times[0]
    assert shown_s / passed_s - 1.0 == pytest.approx(80e-6, abs=1e-7)


def test_orientations_on_the_air_are_those_of_the_spine():
    perfect = SensorModel.ideal()

    async def work():
        setups = {role: SensorSetup(model=perfect) for role in ("upper", "lower")}
        async with VirtualWorld("demo", seed=5, lead_in_s=1.0, **setups) as world:
            listener = await stream(world, 40.0)
            return listener, world.simulation.upper.mounting, world.truth(listener.times)

    listener, mounting, truth = simulated_time.run(work())
    floats = np.array([np.frombuffer(p[4:44], dtype="<f4") for p in listener.payloads], dtype=np.float64)
    expected = quat_product(truth.upper_q, np.tile(mounting, (len(floats), 1)))
    alike = np.abs(np.sum(expected * floats[:, :4], axis=1))
    assert np.degrees(2.0 * np.arccos(np.minimum(alike, 1.0))).max() < 0.1
    still = np.linalg.norm(floats[:, 7:], axis=1) < 2.0
    assert np.median(np.linalg.norm(floats[still, 4:7], axis=1)) == pytest.approx(GRAVITY, abs=0.01)


def test_truth_can_be_counted_from_the_stance():
    async def work():
        async with VirtualWorld("demo", seed=2) as world:
            times = world.start_s + np.arange(1.0, 5.0, 0.02)
            return world.truth(times), world.truth(times, from_stance=True), world.simulation.relative_to_stance()

    plain, counted, reference = simulated_time.run(work())
    assert np.abs(counted.flexion_deg).max() < 1.0 < np.abs(plain.lateral_bend_deg).max()
    assert counted.flexion_deg.mean() == pytest.approx(reference.flexion_deg[100:500].mean(), abs=0.02)


def both_streams(seed: int) -> list[tuple[list[float], list[bytes]]]:
    faults = Faults(clock_ppm=-40.0, loss=0.02, interval_s=0.03, retransmit=0.1, latency_s=0.002, garbage=0.01)
    timeline = [Incident(4.0, "lose_link", seconds=0.3), Incident(2.0, "stall", seconds=0.5)]

    async def work():
        upper = SensorSetup(faults=faults, timeline=timeline)
        async with VirtualWorld("demo", seed=seed, upper=upper, lower=SensorSetup("witmotion", rate_hz=100.0)) as world:
            two = stream(world, 6.0), stream(world, 6.0, role="lower", kind="witmotion")
            return [(one.times, one.payloads) for one in await asyncio.gather(*two)]

    return simulated_time.run(work())


def test_the_same_seed_gives_the_same_bits_at_the_same_times():
    first = both_streams(7)
    assert first == both_streams(7)
    assert first != both_streams(8)


def test_a_minute_of_two_sensors_takes_seconds():
    async def work():
        async with VirtualWorld("demo", seed=1) as world:
            await asyncio.gather(*(stream(world, 60.01, role=role) for role in world.sensors))
            return [sensor.ledger.count(Fate.DELIVERED) for sensor in world.sensors.values()]

    began = time.process_time()
    delivered = simulated_time.run(work())
    assert min(delivered) >= 3600
    assert time.process_time() - began < 30.0  # about 2 s; generous, since machines and their loads differ


def test_a_dot_is_told_what_to_do():
    async def work():
        async with VirtualWorld("still") as world:
            listener = await connect(world, "upper")
            control = bytearray(32)
            control[0], control[1], control[24] = 0x11, 1, 20  # identify, 20 Hz
            await listener.client.write_gatt_char(DOT_CONTROL, control, response=True)
            await listen(listener)
            control[0], control[24] = 0x10, 60  # refused while measuring
            await listener.client.write_gatt_char(DOT_CONTROL, control, response=True)
            await asyncio.sleep(5.0)
            await listener.client.write_gatt_char(DOT_MEASURE, bytes((1, 0, 26)), response=True)
            count = len(listener.payloads)
            await asyncio.sleep(1.0)
            return world.sensors["upper"].firmware.blinked, count, len(listener.payloads)

    blinked, count, later = simulated_time.run(work())
    assert (blinked, count) == (1, later)
    assert abs(count - 100) <= 1


def test_what_is_not_there_cannot_be_had():
    async def work():
        async with VirtualWorld("still") as world:
            world.sensors["lower"].power_off()
            kwargs = world.transport.scanner_kwargs
            assert await BleakScanner.find_device_by_address(world.address("lower"), 1.0, **kwargs) is None
            listener = await connect(world, "upper")
            with pytest.raises(BleakError):
                await listener.client.read_gatt_char("00002aff-0000-1000-8000-00805f9b34fb")

    simulated_time.run(work())


def test_a_connect_that_times_out_does_no_harm():
    async def work():
        async with VirtualWorld("still") as world:
            device = await BleakScanner.find_device_by_address(world.address("upper"), **world.transport.scanner_kwargs)
            world.sensors["upper"].power_off()
            with pytest.raises(TimeoutError):
                await BleakClient(device, timeout=2.0, **world.transport.client_kwargs).connect()
            await world.sensors["upper"].power_on()
            return await stream(world, 1.0)

    assert len(simulated_time.run(work()).payloads) >= 59


def test_a_world_must_be_entered():
    with pytest.raises(AcquisitionError, match="async with"):
        _ = VirtualWorld("still").transport


def test_a_world_needs_what_it_names():
    with pytest.raises(ConfigError, match="no virtual sensor speaks 'morse'"):
        VirtualWorld("still", upper=SensorSetup("morse"))
    with pytest.raises(ConfigError, match="one of them another"):
        VirtualWorld("still", upper=SensorSetup(address="D4:22:CD:00:00:02"))
    with pytest.raises(AcquisitionError, match="no virtual script called 'dance'"):
        open_world("dance")
    with pytest.raises(AcquisitionError, match="cannot be read"):
        open_world("nowhere.toml")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:PORT only"):
        open_world("tcp:192.168.0.7:7300")


SCRIPT = """
seed = 4
actions = [{ do = "stand", seconds = 3, neutral = true }, { do = "bend", degrees = 50, reps = 2 }]
[upper]
rate_hz = 20
chip = "ideal"
faults = { clock_ppm = 50 }
timeline = [{ at_s = 1.5, kind = "drop_link" }]
[lower]
format = "movesense"
address = "0C:8C:DC:00:00:09"
"""


def test_a_file_says_everything(tmp_path):
    path = tmp_path / "script.toml"
    path.write_text(SCRIPT)

    async def work():
        async with open_world(str(path)) as world:
            upper = await stream(world, 3.0)
            lower = await stream(world, 3.0, role="lower", kind="movesense")
            return upper, lower, world

    upper, lower, world = simulated_time.run(work())
    assert 20 <= len(upper.payloads) <= 30
    assert len(upper.gone_s) == 1
    assert upper.gone_s[0] == pytest.approx(1.5, abs=0.01)
    assert len(lower.payloads) > 35
    assert world.simulation.duration_s < 20.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scrpt = 'demo'", "has no scrpt"),
        ("[upper]\nfaults = { lost = 0.1 }", "no fault called lost"),
        ("[upper]\nfaults = { loss = 2 }", "must lie between 0 and 1"),
        ("[upper]\ntimeline = [{ at_s = 1, kind = 'explode' }]", "no incident called 'explode'"),
        ("[upper]\nchip = 'gold'", "none of movella_dot"),
        ("actions = [{ do = 'fly' }]", "do = 'fly' is none of"),
        ("actions = [{ do = 'bend', deg = 3 }]", "unexpected keyword"),
        ("script = ", "not TOML"),
    ],
)
def test_a_file_with_a_fault_is_refused(tmp_path, text, message):
    path = tmp_path / "script.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        open_world(str(path))


def test_in_real_time_too():
    async def work():
        async with open_world("demo") as world:
            listener = await stream(world, 0.5)
            return listener, world.start_s

    listener, start_s = asyncio.run(work())
    assert len(listener.payloads) >= 25  # more on a machine under load
    assert start_s < listener.times[0] < time.monotonic()


def test_a_world_over_loopback():
    async def work():
        async with VirtualWorld("still", central=False) as served, serve_tcp(served) as port:
            for _ in range(2):  # the second time after a host that left
                async with open_world(f"tcp:127.0.0.1:{port}") as world:
                    listener = await stream(world, 0.3)
        return listener

    assert len(asyncio.run(work()).payloads) >= 10


def test_without_bumble_the_remedy_is_named():
    statement = "import sys; sys.modules['bumble'] = None\nimport imuposture.acquisition.virtual"
    run = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=False)
    assert "AcquisitionError" in run.stderr
    assert "pip install imuposture[virtual]" in run.stderr
