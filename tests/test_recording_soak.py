"""Hours of recording with everything going wrong: nothing lost uncounted, nothing grows. IMUPOSTURE_SOAK=1: a day."""

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_bleak import FakeAir, FakeSensor, clock, run
from fake_driver import FakeDriver, sample

from imuposture._blocks import Entry
from imuposture.recording import Outcome, Recorder, Wishes
from imuposture.recording.radio_source import Native, RadioSource

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))
SECONDS = 24 * 3600.0 if SOAK else 60.0
SETTLED = 3600.0 if SOAK else 30.0  # from then on memory must stay
GROWTH_MB = 5.0 if SOAK else 8.0


class Counting:
    """A journal that only counts, and sees that time and generations never run backwards."""

    def __init__(self) -> None:
        self.samples = {"upper": 0, "lower": 0}
        self.last: dict[Any, tuple[int, int]] = {"upper": (0, -1), "lower": (0, -1)}
        self.doubled = self.arrival_ns = 0

    def append(self, entry: Entry) -> None:
        assert entry.arrival_ns >= self.arrival_ns
        self.arrival_ns = entry.arrival_ns
        if entry.kind == "notification" and entry.payload[:1] == b"s" and entry.role is not None:
            place = (entry.generation, int.from_bytes(entry.payload[1:5], "little"))
            assert place[0] >= self.last[entry.role][0]
            self.doubled += place[1] <= self.last[entry.role][1]
            self.last[entry.role] = place
            self.samples[entry.role] += 1

    def close(self) -> int:
        return 0


def memory_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def mishaps(sensors: list[FakeSensor], seed: int) -> None:
    """Let things happen, every now and then."""
    dice = random.Random(seed)
    while True:
        await asyncio.sleep(dice.uniform(10.0, 50.0) if SOAK else dice.uniform(2.0, 8.0))
        sensor = dice.choice(sensors)
        what = dice.randrange(5)
        if what == 0:
            sensor.drop()
        elif what == 1:
            sensor.silent = True
            await asyncio.sleep(dice.uniform(0.5, 6.0))
            sensor.silent = False
        elif what == 2:
            sensor.off()
            await asyncio.sleep(dice.uniform(1.0, 20.0))
            sensor.on = True
        elif what == 3:
            sensor.notify(dice.randbytes(dice.randrange(60)))
        else:
            sensor.disconnect_s = dice.choice([0.0, 0.2, 100.0])
            sensor.drop()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory")
def test_hours_of_mishaps_lose_nothing_uncounted_and_grow_nothing():
    journal, memory = Counting(), list[float]()

    async def watch() -> None:
        await asyncio.sleep(SETTLED)
        while True:
            memory.append(memory_mb())
            await asyncio.sleep(SECONDS / 100)

    async def work() -> Outcome:
        sensors = [FakeSensor("AA:00:00:00:00:01", "IMU 1"), FakeSensor("AA:00:00:00:00:02", "IMU 2")]
        driver, air = FakeDriver(), FakeAir(*sensors)
        uris: Any = {"upper": "ble:IMU 1", "lower": "ble:IMU 2"}
        source = RadioSource(Native(uris, air.transport()), Wishes(choose=lambda _: driver), clock())
        recorder = Recorder(
            source,
            clock=clock(),
            seconds=SECONDS,
            folder=Path("nowhere"),
            journal=lambda *_: journal,
            close=lambda *_: "a session",  # type: ignore[arg-type,return-value]
        )
        beside = [asyncio.ensure_future(one.stream(60.0, sample)) for one in sensors]
        beside += [asyncio.ensure_future(mishaps(sensors, 5)), asyncio.ensure_future(watch())]
        outcome = await recorder.run()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        counts = {role: count.asdict() for role, count in recorder.walk.alignment.counts().items()}  # type: ignore[union-attr]
        for role, count in counts.items():
            assert count["sent"] == count["kept"] + count["lost"]
            assert count["kept"] + count["late"] == journal.samples[role], count
            assert count["sent"] == journal.last[role][1] - first[role] + 1
        return outcome

    first = {"upper": 0, "lower": 0}
    append = journal.append

    def noting(entry: Entry) -> None:
        if entry.role is not None and entry.kind == "notification" and not journal.samples[entry.role]:
            first[entry.role] = int.from_bytes(entry.payload[1:5], "little")
        append(entry)

    journal.append = noting  # type: ignore[method-assign]
    outcome = run(work())
    assert outcome.exit_code == 0
    assert journal.doubled == 0
    assert all(tally.losses > SECONDS / 1000 for tally in outcome.sensors.values())
    assert memory[-1] - memory[0] < GROWTH_MB
