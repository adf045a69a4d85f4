"""What the radio's callback costs, and what a consumer that stands still costs: nothing of the recording.

How many microseconds the callback takes is benchmarked; here it is shown that it only stamps and enqueues.
"""

import asyncio
import os
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from fake_bleak import DATA, FakeAir, FakeSensor, clock, run
from fake_driver import FakeDriver, sample

from imuposture._blocks import Entry
from imuposture.acquisition.ble import EntryQueue, Link, Radio, parse
from imuposture.acquisition.drivers import Settings
from imuposture.output import read_entries
from imuposture.recording import Wishes, stream
from imuposture.recording.radio_source import Native, RadioSource

ALLOWED = {"<lambda>", "received", "now_ns", "put", "__new__", "__len__", "set", "append", "len"}
# A lambda is how a named tuple is made.
SIMULATED = {"time", "round"}  # what the clock of simulated time calls
STALL_S = 30.0
MOST_MB = 50.0


def memory_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def called_by(work: Callable[[], None]) -> Counter[str]:
    """Return how often which function was called, in Python and in C."""
    calls: Counter[str] = Counter()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_name] += 1
        elif event == "c_call" and argument is not sys.setprofile:
            calls[argument.__name__] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize("waiting", [0, 100_000])
def test_the_callback_only_stamps_and_enqueues(waiting):
    """Whatever waits in the queue: no other function is called, and each the same few times."""

    async def work() -> Counter[str]:
        queue, sensor, here = EntryQueue(), FakeSensor("AA:00:00:00:00:01", "IMU 1"), clock()
        radio = Radio(FakeAir(sensor).transport())
        link = Link(radio, FakeDriver(), [Settings("upper")], queue, here, address=parse("ble:IMU 1"))
        link.start()
        while link.state != "streaming":
            await asyncio.sleep(0.05)
        for count in range(waiting):
            queue.put(Entry(here.now_ns(), "notification", "upper", 1, 0, sample(count)))
        assert sensor.client is not None
        taker, payload, before = sensor.client.takers[DATA], bytearray(sample(7)), len(queue)
        calls = sum((called_by(partial(taker, payload)) for _ in range(100)), Counter())
        assert len(queue) == before + 100
        await link.stop()
        return calls

    calls = run(work())
    assert set(calls) <= ALLOWED | SIMULATED, calls
    assert max(calls.values()) <= 100
    assert calls["put"] == calls["now_ns"] == 100


def test_half_a_minute_unattended_fits_into_the_queue():
    """The loop is busy for 30 s while two sensors send 200 payloads a second each."""
    tracemalloc.start()
    try:
        queue = EntryQueue()
        for count in range(round(2 * 200 * STALL_S)):
            queue.put(Entry(count, "notification", ("upper", "lower")[count % 2], 1, 0, bytes(bytearray(63))))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not queue.lost
    assert [entry.arrival_ns for entry in queue.drain()] == list(range(round(2 * 200 * STALL_S)))
    assert grown / 1e6 < MOST_MB / 5


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory")
def test_a_consumer_that_stands_still_costs_live_rows_only(tmp_path):
    """Nobody takes rows for 30 s: the journal has every payload all the same, and memory stays."""
    sensors = [FakeSensor(f"AA:00:00:00:00:0{n}", f"IMU {n}") for n in (1, 2)]
    memory: list[float] = []

    async def work() -> int:
        driver = FakeDriver(rates_hz=(200.0,), default_rate_hz=200.0)
        uris: Any = {"upper": "ble:IMU 1", "lower": "ble:IMU 2"}
        wishes = Wishes(choose=lambda _: driver)
        source = RadioSource(Native(uris, FakeAir(*sensors).transport()), wishes, clock())
        streams = [asyncio.ensure_future(one.stream(200.0, sample)) for one in sensors]
        live = stream(source=source, clock=clock(), out=tmp_path / "s", threaded=False)
        rows = 0
        async for block in live:
            rows += len(block.posture)
            if not memory and rows > 300:
                memory.append(memory_mb())
                await asyncio.sleep(STALL_S)
                memory.append(memory_mb())
                live.stop()
        for one in streams:
            one.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        assert live.dropped > 200 * STALL_S / 4
        assert live.outcome is not None
        assert live.outcome.result is not None
        assert live.outcome.result.posture.num_rows == rows + live.dropped
        return rows

    run(work())
    assert memory[1] - memory[0] < MOST_MB
    for role in ("upper", "lower"):
        kept = [
            int.from_bytes(entry.payload[1:5], "little")
            for entry in read_entries(tmp_path / "s")
            if entry.role == role and entry.kind == "notification" and entry.payload[:1] == b"s"
        ]
        assert kept == list(range(kept[0], kept[0] + len(kept)))
        assert len(kept) > 200 * STALL_S
