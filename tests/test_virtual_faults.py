"""Every fault is seen by bleak's user as it was meant, and the ledger knows of every sample what became of it."""

import asyncio
import struct
import time
from collections import Counter

import numpy as np
import pytest
import simulated_time
from virtual_sensors import OWN_STREAM, Listener, connect, listen, stream

from imuposture._errors import ConfigError
from imuposture.acquisition.virtual import Fate, Faults, Incident, SensorSetup, VirtualWorld
from imuposture.acquisition.virtual.counting import Ledger
from imuposture.acquisition.virtual.samples import Clock
from imuposture.acquisition.virtual.sensor import VirtualSensor

PERIOD_US = 1e6 / 60.0


def played(
    seconds: float, *timeline: Incident, kind: str = "movella_dot", again: bool = False, **faults: object
) -> tuple[list[Listener], VirtualSensor]:
    """Stream from one sensor with faults; ``again`` connects anew when the link is gone, as often as it takes."""

    async def work():
        setup = SensorSetup(kind, faults=Faults(**faults), timeline=timeline)
        async with VirtualWorld("still", seed=1, upper=setup) as world:
            loop = asyncio.get_running_loop()
            ends_s, listeners = loop.time() + seconds, []
            while not listeners or (again and loop.time() < ends_s):
                listeners.append(await connect(world, "upper"))
                await listen(listeners[-1], kind)
                while loop.time() < ends_s and listeners[-1].client.is_connected:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(max(0.0, ends_s - loop.time()))
            await listeners[-1].client.disconnect()
            return listeners, world.sensors["upper"]

    return simulated_time.run(work())


def account(ledger: Ledger) -> dict[str, int]:
    """Return how many samples met which fate; all are accounted for."""
    counts = {fate.name: ledger.count(fate) for fate in Fate if ledger.count(fate)}
    assert sum(counts.values()) == len(ledger) == len(ledger.fates())
    assert Counter(Fate(b).name for b in ledger.fates()) == counts
    return counts


def gaps(ticks: np.ndarray) -> int:
    """Return how many samples are missing between those that came, by their time stamps."""
    return int(np.sum(np.round(np.diff(ticks) / PERIOD_US) - 1))


def test_skipped_samples_are_missing_and_counted():
    (listener,), sensor = played(30.005, loss=0.1, burst_loss=0.005, burst_length=20)
    counts = account(sensor.ledger)
    assert set(counts) == {"DELIVERED", "SKIPPED"}
    assert len(listener.payloads) == counts["DELIVERED"]
    fates = np.frombuffer(sensor.ledger.fates(), dtype=np.uint8)
    heard = np.flatnonzero(fates == Fate.DELIVERED)
    assert gaps(listener.ticks) == np.sum(fates[heard[0] : heard[-1]] == Fate.SKIPPED) > 200


def test_a_stall_ends_in_a_burst():
    (listener,), sensor = played(5.005, Incident(2.0, "stall", seconds=1.0), fifo_samples=1000)
    assert set(account(sensor.ledger)) == {"DELIVERED"}
    assert gaps(listener.ticks) == 0
    times = np.array(listener.times)
    silent = int(np.argmax(np.diff(times)))
    assert 1.0 <= np.diff(times)[silent] < 1.02
    assert np.sum(times == times[silent + 1]) >= 60


def test_a_host_that_is_busy_loses_nothing():
    async def work():
        async with VirtualWorld("still", upper=SensorSetup(faults=Faults(fifo_samples=4))) as world:
            busy = asyncio.get_running_loop().call_later
            listener = await stream(world, 1.5, meanwhile=lambda: busy(0.3, time.sleep, 0.7))
            return listener, world.sensors["upper"].ledger

    listener, ledger = asyncio.run(work())
    assert ledger.count(Fate.OVERFLOWED) == gaps(listener.ticks) == 0
    assert len(listener.payloads) > 80


def test_a_full_fifo_drops_the_oldest():
    (listener,), sensor = played(5.005, Incident(2.0, "stall", seconds=1.0), fifo_samples=32)
    counts = account(sensor.ledger)
    assert gaps(listener.ticks) == counts["OVERFLOWED"] == pytest.approx(28, abs=1)


@pytest.mark.parametrize("fault", ["truncate", "garbage"])
def test_damage_is_counted_as_spoilt(fault):
    (listener,), sensor = played(20.005, **{fault: 0.1})
    counts = account(sensor.ledger)
    assert counts["SPOILT"] > 80
    assert len(listener.payloads) == len(sensor.ledger)
    whole = [p for p in listener.payloads if len(p) == 63 and p[44:] == bytes(19)]
    assert len(whole) == counts["DELIVERED"]


def test_duplicates_come_twice():
    (listener,), sensor = played(20.005, duplicate=0.1)
    assert set(account(sensor.ledger)) == {"DELIVERED"}
    assert len(listener.payloads) - len(set(listener.payloads)) == sensor.ledger.copies > 80
    assert sensor.ledger.notifications == len(listener.payloads)


def test_reordered_payloads_all_come():
    (listener,), sensor = played(20.005, reorder=0.1)
    steps = np.diff(listener.ticks)
    assert np.sum(steps < 0) > 80
    assert len(set(listener.payloads)) == account(sensor.ledger)["DELIVERED"]


@pytest.mark.parametrize("kind", ["lose_link", "drop_link"])
def test_a_link_that_breaks_is_noticed_and_the_sensor_found_again(kind):
    listeners, sensor = played(8.005, Incident(3.0, kind), again=True)
    assert sensor.connections == len(listeners) == 2
    assert listeners[0].gone_s == [pytest.approx(3.0, abs=0.01)]
    assert listeners[1].times[0] - 3.0 < 0.5
    fates = np.frombuffer(sensor.ledger.fates(), dtype=np.uint8)
    heard = np.flatnonzero(fates == Fate.DELIVERED)
    assert sum(len(one.payloads) for one in listeners) == len(heard)
    missing = np.sum(fates[heard[0] : heard[-1]] == Fate.UNHEARD)
    assert gaps(np.concatenate([one.ticks for one in listeners])) == missing > 0


def test_supervision_timeout_takes_its_time():
    (listener,), _ = played(5.005, Incident(2.0, "lose_link", seconds=0.7))
    assert listener.gone_s == [pytest.approx(2.7, abs=0.01)]
    assert 1.95 < listener.times[-1] <= 2.0


def test_some_hosts_bring_everything_twice_after_a_reconnect():
    listeners, sensor = played(6.005, Incident(2.0, "lose_link"), again=True, doubled_after_reconnect=True)
    assert len(set(listeners[0].payloads)) == len(listeners[0].payloads)
    assert 2 * len(set(listeners[1].payloads)) == len(listeners[1].payloads)
    assert sensor.ledger.copies == len(listeners[1].payloads) // 2


def test_a_restart_begins_a_new_clock():
    listeners, sensor = played(8.005, Incident(4.0, "restart", seconds=1.0), again=True)
    assert listeners[0].ticks[-1] == pytest.approx(4e6, abs=2e4)
    assert listeners[1].ticks[0] < 1e6
    assert len(sensor.ledger.streams) == 2


def test_a_clock_wraps():
    (listener,), _ = played(6.005, clock_start_s=2**32 * 1e-6 - 3.0)
    steps = np.diff(listener.ticks)
    assert np.sum(steps < 0) == 1
    assert set(steps % 2**32) <= {16666, 16667}


def test_a_counter_wraps_and_tells_what_was_lost():
    (listener,), sensor = played(20.005, kind="own_firmware_template", counter_start=2**32 - 500, loss=0.2)
    assert OWN_STREAM in sensor.firmware.services[0].characteristics[0].uuid
    numbers = np.array([struct.unpack_from("<I", p)[0] for p in listener.payloads], dtype=np.int64)
    steps = np.diff(numbers) % 2**32
    assert numbers[0] >= 2**32 - 500 > numbers[-1]
    heard = np.flatnonzero(np.frombuffer(sensor.ledger.fates(), dtype=np.uint8) == Fate.DELIVERED)
    assert np.sum(steps - 4) == heard[-1] - heard[0] + 1 - len(heard) > 100


def test_a_small_mtu_cuts_silently():
    (listener,), sensor = played(2.005, mtu=23)
    assert {len(p) for p in listener.payloads} == {20}
    assert set(account(sensor.ledger)) == {"SPOILT"}


def test_payloads_leave_at_connection_events():
    (listener,), sensor = played(20.005, interval_s=0.03, retransmit=0.1)
    phases = np.mod(np.array(listener.times) / 0.03, 1.0)
    assert np.ptp(np.mod(phases - phases[0] + 0.5, 1.0)) < 1e-6
    assert account(sensor.ledger)["DELIVERED"] > 1150
    assert np.max(np.diff(listener.times)) > 0.05


def test_a_host_is_late_but_keeps_the_order():
    (listener,), _ = played(20.005, latency_s=0.002)
    late = np.array(listener.times) - 1e-6 * listener.ticks
    late -= late.min()
    assert 0.0005 < np.median(late) < 0.004
    assert np.all(np.diff(listener.ticks) > 0)


def test_an_empty_battery_ends_it():
    (listener,), sensor = played(8.005, battery_percent=50.0, battery_life_s=8.0)
    assert listener.gone_s == [pytest.approx(4.0, abs=0.02)]
    assert not sensor.powered
    (listener,), sensor = played(4.005, Incident(2.0, "battery", percent=0.0), Incident(3.0, "power_on"))
    assert listener.gone_s == [pytest.approx(2.0, abs=0.02)]
    assert not sensor.powered


def test_off_and_on_again():
    listeners, sensor = played(6.005, Incident(2.0, "power_off"), Incident(4.0, "power_on"), again=True)
    assert listeners[0].gone_s == [pytest.approx(2.0, abs=0.01)]
    assert 4.0 < listeners[1].times[0] < 4.5
    assert sensor.powered is False  # the world has ended


def test_a_clock_may_change_its_pace():
    (listener,), _ = played(20.005, Incident(10.0, "set", values={"clock_ppm": 5000.0}))
    times = np.array(listener.times)
    first, second = times < 10.0, times > 10.1
    for part, pace in ((first, 1.0), (second, 1.005)):
        shown = np.diff(1e-6 * listener.ticks[part][[0, -1]])[0] / np.diff(times[part][[0, -1]])[0]
        assert shown == pytest.approx(pace, abs=2e-5)


def test_nothing_happens_on_a_link_that_is_held_up():
    async def work():
        async with VirtualWorld("still", upper=SensorSetup()) as world:
            listener = await connect(world, "upper")
            await world.sensors["upper"].undergo(Incident(0.0, "stall", seconds=3.0))
            began_s = asyncio.get_running_loop().time()
            await listener.client.read_gatt_char("15173001-4947-11e9-8646-d663bd873d93")
            return asyncio.get_running_loop().time() - began_s

    assert simulated_time.run(work()) == pytest.approx(3.0, abs=0.01)


def test_what_was_in_the_air_when_the_link_broke_is_lost():
    async def work():
        async with VirtualWorld("still") as world:
            listener, sensor = await connect(world, "upper"), world.sensors["upper"]
            await listen(listener)
            await asyncio.sleep(1.0)
            for controller in world.link.controllers:
                world.link.hold(controller)
            await asyncio.sleep(0.5)
            await sensor.undergo(Incident(0.0, "lose_link"))
            await asyncio.sleep(0.5)
            return listener, account(sensor.ledger)

    listener, counts = simulated_time.run(work())
    assert len(listener.payloads) == counts["DELIVERED"] == pytest.approx(60, abs=1)
    assert counts["UNHEARD"] == pytest.approx(60, abs=2)
    assert "PENDING" not in counts


def test_a_clock_reads_what_it_reads():
    clock = Clock(100.0, 5.0, 80.0).with_ppm(200.0, -40.0)
    assert clock.reading(200.0) == pytest.approx(5.0 + 100.0 * (1.0 + 80e-6), abs=1e-9)
    assert clock.reading(300.0) - clock.reading(200.0) == pytest.approx(100.0 * (1.0 - 40e-6), abs=1e-9)
    assert clock.host_time(clock.reading(250.0)) == pytest.approx(250.0, abs=1e-9)
    assert clock.host_times(np.array([clock.reading(250.0)]))[0] == pytest.approx(250.0, abs=1e-9)


def test_the_mtu_of_a_link_stands():
    async def work():
        async with VirtualWorld("still") as world:
            await connect(world, "upper")
            with pytest.raises(ConfigError, match="while none is up"):
                world.sensors["upper"].set_faults(Faults(mtu=23))

    simulated_time.run(work())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": 1.5}, "loss is a share"),
        ({"mtu": 20}, "between 23 and 517"),
        ({"clock_ppm": float("nan")}, "within 10000"),
        ({"fifo_samples": 0}, "at least 1"),
        ({"interval_s": -1.0}, "not be negative"),
    ],
)
def test_faults_that_make_no_sense_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Faults(**values)


def test_drops_and_losses_are_all_accounted_for():
    timeline = [Incident(1.0 + 0.7 * k, "lose_link" if k % 2 else "drop_link") for k in range(15)]
    listeners, sensor = played(12.005, *timeline, again=True, loss=0.1, duplicate=0.1, reorder=0.05)
    counts = account(sensor.ledger)
    assert sensor.connections > 12
    assert len({p for one in listeners for p in one.payloads}) == counts["DELIVERED"]
    assert counts.get("PENDING", 0) == 0


def test_one_sensor_missing_leaves_the_other():
    async def work():
        gone = SensorSetup(timeline=[Incident(2.0, "power_off")])
        async with VirtualWorld("still", upper=gone) as world:
            both = stream(world, 5.0), stream(world, 5.0, role="lower")
            return await asyncio.gather(*both)

    upper, lower = simulated_time.run(work())
    assert len(upper.payloads) < 120
    assert len(lower.payloads) > 290
