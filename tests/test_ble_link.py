"""A link survives what radios do, tells all of it, and lets nothing through that is not of its present connection."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from fake_bleak import CONTROL, DATA, SECOND, SHARED, FakeAir, FakeSensor, clock, run
from fake_driver import START, STOP, FakeDriver, PollingDriver, sample

from imuposture._blocks import Entry
from imuposture.acquisition.ble import Address, EntryQueue, Found, Link, Radio, find, parse
from imuposture.acquisition.drivers import Channel, Settings, Write

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))
ONE, TWO = "AA:00:00:00:00:01", "AA:00:00:00:00:02"


class Bench:
    """One or two sensors with a link each, and everything they brought."""

    def __init__(self, driver: FakeDriver | None = None, **sensor: Any) -> None:
        self.driver = driver or FakeDriver()
        self.sensors = [FakeSensor(ONE, "IMU 1", **sensor), FakeSensor(TWO, "IMU 2", **sensor)]
        self.air = FakeAir(*self.sensors)
        self.links: list[Link] = []
        self.entries: list[Entry] = []

    async def __aenter__(self) -> "Bench":
        self.queue = EntryQueue()
        self.radio = Radio(self.air.transport())
        self.streams = [asyncio.ensure_future(one.stream(60.0, sample)) for one in self.sensors]
        self.clock = clock()
        return self

    async def connect(self, count: int = 1, seats: list[list[Settings]] | None = None) -> None:
        wanted: dict[Any, Any] = {"upper": parse("ble:IMU 1"), "lower": parse("ble:IMU 2")}
        wanted = dict(list(wanted.items())[:count])
        found = await find(self.radio, wanted, choose=lambda _: self.driver)
        for role, one in found.items():
            self.add(one, [Settings(role)])
        await self.until(lambda: all(link.state == "streaming" for link in self.links))

    def add(self, found: Found, seats: list[Settings]) -> None:
        address = Address(found.advertisement.address)
        link = Link(self.radio, self.driver, seats, self.queue, self.clock, address=address, sighting=found.sighting)
        self.links.append(link)
        link.start()

    async def until(self, ready: Callable[[], bool], seconds: float = 60.0) -> float:
        began = self.now()
        while not ready():
            await asyncio.sleep(0.005)
            assert self.now() - began < seconds, f"still {[link.state for link in self.links]}: {self.told()}"
        return self.now() - began

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def __aexit__(self, *_: object) -> None:
        for link in self.links:
            await link.stop()
        for stream in self.streams:
            stream.cancel()
        await asyncio.gather(*self.streams, return_exceptions=True)
        self.drain()

    def drain(self) -> list[Entry]:
        self.entries += self.queue.drain()
        return self.entries

    def told(self, role: str = "upper") -> list[str]:
        return [json.loads(one.payload)["event"] for one in self.drain() if one.kind == "link" and one.role == role]

    def payloads(self, role: str = "upper") -> list[tuple[int, int]]:
        """Return generation and counter of every sample."""
        kept = [one for one in self.drain() if one.kind == "notification" and one.role == role]
        return [(one.generation, int.from_bytes(one.payload[1:5], "little")) for one in kept if one.payload[:1] == b"s"]


def bench(test: Callable[[Bench], Awaitable[None]], driver: FakeDriver | None = None, **sensor: Any) -> Bench:
    async def work() -> Bench:
        async with Bench(driver, **sensor) as made:
            await test(made)
        return made

    made: Bench = run(work())
    return made


def test_a_sensor_is_started_streams_and_is_stopped():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)

    made = bench(story)
    assert made.told() == ["connecting", "up", "streaming", "closed"]
    assert made.sensors[0].wrote == [(CONTROL, START), (CONTROL, STOP)]
    assert made.sensors[0].stopped == [DATA]  # unsubscribed before the link was closed
    counts = [count for _, count in made.payloads()]
    assert counts == list(range(counts[0], counts[0] + len(counts)))
    assert len(counts) == pytest.approx(60, abs=3)


def test_what_comes_is_stamped_when_it_comes():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)

    entries = [one for one in bench(story).entries if one.kind == "notification"]
    gaps = [b.arrival_ns - a.arrival_ns for a, b in pairwise(entries)]
    assert max(abs(gap - 1e9 / 60) for gap in gaps) < 2


def test_a_lost_link_is_sought_at_once_and_has_a_new_generation():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)
        lost = bench.now()
        bench.sensors[0].drop()
        await bench.until(lambda: bench.links[0].generation == 2 and bench.links[0].state == "streaming")
        assert bench.sensors[0].connects[-1] - lost < 0.5
        await asyncio.sleep(0.5)

    made = bench(story)
    assert made.told() == ["connecting", "up", "streaming", "down", "reconnecting", "up", "streaming", "closed"]
    assert {generation for generation, _ in made.payloads()} == {1, 2}


def test_a_silent_link_is_found_within_two_seconds():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)
        bench.sensors[0].silent = True
        assert await bench.until(lambda: "stalled" in bench.told()) < 2.0
        await bench.until(lambda: "reconnecting" in bench.told())
        bench.sensors[0].silent = False
        await bench.until(lambda: bench.links[0].state == "streaming" and bench.links[0].generation == 2)

    assert "down" not in bench(story).told()


def test_a_silent_link_is_subscribed_to_anew_once_and_then_made_anew():
    async def story(bench: Bench) -> None:
        sensor = bench.sensors[0]
        await bench.connect()
        await asyncio.sleep(1.0)
        sensor.wakes = sensor.silent = True
        await bench.until(lambda: "resumed" in bench.told(), 2.5)
        assert (bench.links[0].generation, bench.links[0].state) == (1, "streaming")
        await asyncio.sleep(1.0)
        sensor.silent = True  # again: this link has had its chance
        stalled = bench.now() + await bench.until(lambda: bench.told().count("stalled") == 2, 2.0)
        await bench.until(lambda: bench.links[0].generation == 2 and bench.links[0].state == "streaming")
        assert sensor.connects[-1] - stalled < 0.5

    made = bench(story)
    assert made.told()[2:6] == ["streaming", "stalled", "resumed", "stalled"]
    assert made.told().count("up") == 2
    assert made.links[0].losses == 2
    assert made.sensors[0].stopped.count(DATA) == 3  # anew, before the link was closed, and at the end


def test_a_silent_sensor_that_a_new_subscription_does_not_wake_is_connected_to_within_half_a_second():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)
        bench.sensors[0].silent = True
        await bench.until(lambda: "stalled" in bench.told(), 2.0)
        stalled = bench.now()
        await bench.until(lambda: "reconnecting" in bench.told())
        assert bench.now() - stalled < 0.5

    assert bench(story).links[0].losses == 1


@pytest.mark.parametrize("measures", [False, lambda payload: payload[:1] == b"s"], ids=["channel", "payload"])
def test_a_sensor_that_tells_its_battery_only_is_silent(measures):
    """A battery that comes every second must not hide that no sample does."""
    own = isinstance(measures, bool)  # a characteristic of its own, or that of the samples
    channels = (Channel(DATA), Channel(SECOND, measures=False)) if own else (Channel(DATA, measures=measures),)

    async def story(bench: Bench) -> None:
        await bench.connect()
        bench.streams.append(asyncio.ensure_future(tell_battery(bench.sensors[0], SECOND if own else DATA)))
        await asyncio.sleep(1.0)
        bench.sensors[0].silent = True
        await bench.until(lambda: "stalled" in bench.told(), 2.0)

    made = bench(story, FakeDriver(channels=channels, subscribes=len(channels)))
    assert b"b\x32" in [one.payload for one in made.entries]  # it is kept all the same


async def tell_battery(sensor: FakeSensor, uuid: str) -> None:
    while True:
        await asyncio.sleep(0.5)
        sensor.notify(b"b\x32", uuid)


def test_a_stalled_link_that_does_not_even_close_is_left_behind():
    async def story(bench: Bench) -> None:
        await bench.connect()
        bench.sensors[0].silent = True
        bench.sensors[0].disconnect_s = 1e3
        await bench.until(lambda: "stalled" in bench.told())
        await asyncio.sleep(8.0)
        bench.sensors[0].drop()  # the system gives up at last
        bench.sensors[0].silent = False
        bench.sensors[0].disconnect_s = 0.0
        await bench.until(lambda: bench.links[0].state == "streaming")

    bench(story)


def test_many_drops_lose_nothing_uncounted_and_double_nothing():
    drops = 1000 if SOAK else 50

    async def story(bench: Bench) -> None:
        await bench.connect()
        for _ in range(drops):
            await asyncio.sleep(0.7)
            bench.sensors[0].drop()
            await bench.until(lambda: bench.links[0].state != "streaming")
            await bench.until(lambda: bench.links[0].state == "streaming", 3.0)

    made = bench(story)
    kept = made.payloads()
    assert len(set(kept)) == len(kept)
    assert [count for _, count in kept] == sorted(count for _, count in kept)
    assert made.told().count("up") == drops + 1
    assert made.links[0].generation == drops + 1


def test_what_an_older_connection_brings_is_dropped_and_counted():
    async def story(bench: Bench) -> None:
        await bench.connect()
        old = bench.sensors[0].client.takers[DATA]  # type: ignore[union-attr]
        bench.sensors[0].drop()
        await bench.until(lambda: bench.links[0].generation == 2 and bench.links[0].state == "streaming")
        for count in range(5):
            old(bytearray(sample(10_000 + count)))

    made = bench(story)
    assert made.links[0].stale == 5
    assert all(count < 10_000 for _, count in made.payloads())


def test_one_sensor_away_does_not_keep_the_other_from_coming_back():
    async def story(bench: Bench) -> None:
        await bench.connect(2)
        bench.sensors[1].off()
        for _ in range(20):
            await asyncio.sleep(3.3)
            lost = bench.now()
            before = len(bench.sensors[0].connects)
            bench.sensors[0].drop()
            await bench.until(lambda before=before: len(bench.sensors[0].connects) > before)
            assert bench.sensors[0].connects[-1] - lost < 0.5
            await bench.until(lambda: bench.links[0].state == "streaming")
        assert bench.links[1].state != "streaming"
        bench.sensors[1].on = True
        await bench.until(lambda: bench.links[1].state == "streaming", 12.0)

    made = bench(story)
    assert made.air.most_connecting == 1
    assert not made.air.scanned_while_connecting


def test_a_sensor_that_no_scan_shows_is_connected_to_all_the_same():
    async def story(bench: Bench) -> None:
        await bench.connect()
        bench.sensors[0].advertise_s = 1e6  # as if the system still held the old link
        bench.sensors[0].drop()
        await bench.until(lambda: bench.links[0].state == "streaming" and bench.links[0].generation > 1)

    bench(story)


@pytest.mark.parametrize("works", [True, False], ids=["acquire", "start"])
def test_notifications_are_acquired_and_the_other_way_is_tried_once(works):
    async def story(bench: Bench) -> None:
        await bench.connect()
        bench.sensors[0].drop()
        await bench.until(lambda: bench.links[0].generation == 2 and bench.links[0].state == "streaming")

    made = bench(story, acquire_works=works)
    assert made.sensors[0].used_start_notify == ([False, False] if works else [False, True, True])


def test_replies_are_heard_while_a_procedure_waits():
    def answer(sensor: FakeSensor, uuid: str, data: bytes) -> None:
        if data == START:
            sensor.notify(b"r")

    async def story(bench: Bench) -> None:
        await bench.connect()

    made = bench(story, FakeDriver(awaits=True), on_write=answer)
    assert made.told()[:3] == ["connecting", "up", "streaming"]
    assert b"r" in [one.payload for one in made.entries]  # the walk sees it, too


def test_a_sensor_that_does_not_answer_is_tried_again_and_says_why():
    async def story(bench: Bench) -> None:
        with pytest.raises(AssertionError, match="failed"):
            await bench.connect()

    made = bench(story, FakeDriver(awaits=True))
    failed = [json.loads(one.payload) for one in made.entries if one.kind == "link" and b"failed" in one.payload]
    assert "did not answer 'started' within 1 s" in failed[0]["reason"]
    assert len(failed) > 5


def test_a_characteristic_that_several_services_have_is_written_to_in_the_one_that_is_meant():
    first, second = (f"0000aab{n}-0000-1000-8000-00805f9b34fb" for n in (1, 2))

    async def story(bench: Bench) -> None:
        await bench.connect()

    made = bench(story, FakeDriver(told=(Write(SHARED, b"x", service=second),)), others=(first, second))
    assert made.sensors[0].wrote[0] == (SHARED, b"x")
    assert made.sensors[0].wrote_at[0] == 111
    with pytest.raises(AssertionError, match="failed"):
        bench(story, FakeDriver(told=(Write(SHARED, b"x", service=second),)), others=(first,))


def test_what_is_to_be_asked_is_asked_at_its_period_while_the_sensor_streams():
    def answer(sensor: FakeSensor, _uuid: str, data: bytes) -> None:
        if data == b"\x06":
            sensor.notify(b"b\x32")

    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(10.9)
        bench.sensors[0].drop()  # a new connection begins anew, and asks once only
        await bench.until(lambda: bench.links[0].generation == 2 and bench.links[0].state == "streaming")
        await asyncio.sleep(4.9)

    made = bench(story, PollingDriver(), on_write=answer)
    asked = [data for _, data in made.sensors[0].wrote]
    assert (asked.count(b"\x06"), asked.count(b"\x07")) == (5 + 2, 3 + 1)
    assert made.told().count("not_answered") == asked.count(b"\x07")
    assert made.links[0].losses == 1
    assert len(made.payloads()) == pytest.approx(60 * 15.8, abs=30)


def test_a_driver_may_ask_for_a_new_connection():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)

    made = bench(story, FakeDriver(reconnects=True))
    assert made.told() == ["connecting", "up", "closed", "up", "streaming", "closed"]
    assert made.links[0].generation == 2


def test_two_imus_of_one_peripheral_share_its_link():
    async def story(bench: Bench) -> None:
        found = await find(bench.radio, {"upper": parse("ble:IMU 1#0")}, choose=lambda _: bench.driver)
        bench.add(found["upper"], [Settings("upper"), Settings("lower", part=1)])
        await bench.until(lambda: bench.links[0].state == "streaming")
        await asyncio.sleep(1.0)

    made = bench(story)
    assert made.driver.started == ["upper", "lower"]
    assert made.payloads("upper")[-50:] == made.payloads("lower")[-50:]
    assert len(made.sensors[0].connects) == 1


def test_a_host_that_was_busy_does_not_take_it_for_a_stall():
    async def story(bench: Bench) -> None:
        await bench.connect()
        await asyncio.sleep(1.0)
        bench.sensors[0].silent = True  # what came meanwhile is handed on a little later
        asyncio.get_running_loop().jump(5.0)  # type: ignore[attr-defined]
        await asyncio.sleep(0.5)
        bench.sensors[0].silent = False
        await asyncio.sleep(1.0)
        assert bench.links[0].generation == 1

    assert "stalled" not in bench(story).told()


def test_stopping_in_any_state_leaves_nothing_behind():
    for moment in range(0, 60, 3):

        async def story(bench: Bench, moment: int = moment) -> None:
            found = await find(bench.radio, {"upper": parse("ble:IMU 1")}, choose=lambda _: bench.driver)
            bench.add(found["upper"], [Settings("upper")])
            await asyncio.sleep(moment * 0.005)

        made = bench(story)
        assert made.sensors[0].client is None
        assert made.air.scanning == made.air.connecting == 0


def test_a_callback_costs_little():
    async def story(bench: Bench) -> None:
        await bench.connect()
        received = bench.sensors[0].client.takers[DATA]  # type: ignore[union-attr]
        data = bytearray(sample(1))
        costs = []
        for _ in range(2000):
            before = time.thread_time_ns()
            received(data)
            costs.append(time.thread_time_ns() - before)
        assert sorted(costs)[len(costs) * 99 // 100] < 100_000

    bench(story)
