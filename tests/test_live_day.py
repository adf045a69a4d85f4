"""A day of notifications with every fault: the time line stays true and memory flat. IMUPOSTURE_SOAK=1: 24 hours.

Two sensors at 100 Hz, ten samples a payload, whose clocks are 20 to 100 ppm off and drift as they warm up; packets
wait for connection events, are repeated, lost, doubled and exchanged; the host stands still; links drop, sensors fall
silent, start anew and send garbage. Everything goes through bleak's interface into the callback, and from there
through queue and walk. By default 8 minutes of it, some 20 s of a processor; a twentieth of the day would take minutes.
Then a minute (in full an hour) of such faults as real GATT traffic.
"""

import asyncio
import os
import random
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bumble", reason="the virtual radio needs bumble: pip install imuposture[virtual]")

from clock_simulator import Link, Packets, packets
from fake_bleak import FakeAir, FakeSensor, clock, run
from fake_driver import FakeDriver
from live_worlds import bits, recorded

from imuposture._blocks import Entry, ImuBlock, PairBlock, Role, Stream
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import Message, Settings
from imuposture.acquisition.virtual import Fate, Faults, Incident
from imuposture.recording import Outcome, Recorder, Wishes
from imuposture.recording.radio_source import Native, RadioSource
from imuposture.recording.replaying import replay

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))
SECONDS = 24 * 3600.0 if SOAK else 480.0
GATT_S = 3600.0 if SOAK else 60.0
SETTLED_S = 3600.0 if SOAK else 240.0
GROWTH_MB = 5.0
PARTS, DRIFT_MS = (23, 0.3) if SOAK else (2, 1.0)  # of the time after that; how far their medians may lie apart
RATE_HZ, BATCH = 100.0, 10
TICK_S = 1 / 32768
RADIO = Link(RATE_HZ, BATCH, 0.0115, again=0.05, lost=0.02, stalls_a_minute=1.0)  # 100 ms and 11.5 ms: g = 0.5 ms
HEAD = struct.Struct("<cId")  # a sign, ticks of the newest sample, its true time
GOALS_MS = {10.0: 2.5, 60.0: 2.0, 600.0: 0.5, 3600.0: 0.3}  # after a sensor's clock began, p95 over the rows
TRUE_RAD_S = 1e-9  # rad/s a second: how the true time of a sample travels in its rate of turn
CALM_S = 5400.0 if SOAK else 240.0  # between restarts: the longest goal must be reached in between


class DayDecoder:
    def __init__(self, role: Role) -> None:
        self._role: Role = role

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        if len(payload) != HEAD.size or payload[:1] != b"d":
            raise DecodeError(f"{len(payload)} bytes")
        _, newest, true_s = HEAD.unpack(payload)
        back = np.arange(BATCH - 1, -1, -1.0)
        acc, gyr = np.zeros((BATCH, 3)), np.zeros((BATCH, 3))
        acc[:, 1] = 9.81
        gyr[:, 0] = TRUE_RAD_S * (true_s - back / RATE_HZ)
        return [ImuBlock(self._role, np.floor(newest - back / RATE_HZ / TICK_S) % 2**32, acc, gyr)]


@dataclass
class DayDriver(FakeDriver):
    rates_hz: tuple[float, ...] = (RATE_HZ,)
    default_rate_hz: float = RATE_HZ

    def stream(self, settings: Settings) -> Stream:
        return Stream(settings.role, RATE_HZ, tick_s=TICK_S, wrap_ticks=2.0**32, sensor="day", clock="device")

    def decoder(self, settings: Settings) -> Any:
        return DayDecoder(settings.role)


class Counting:
    """A journal that only counts payloads that can be read."""

    def __init__(self) -> None:
        self.payloads = {"upper": 0, "lower": 0}

    def append(self, entry: Entry) -> None:
        if entry.role is not None and entry.kind == "notification" and entry.payload[:1] == b"d":
            self.payloads[entry.role] += len(entry.payload) == HEAD.size

    def close(self) -> int:
        return 0


@dataclass
class Day:
    """What the rows said of the time line, once a second; told hour by hour as it goes, for whoever stops it early."""

    restarts_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    seconds: int = 0
    found: np.ndarray = field(default_factory=lambda: np.full((round(SECONDS) + 600, 3), np.nan))

    def take(self, samples: PairBlock) -> None:
        """Keep, of one row a second: its true time by the upper sensor, by the lower one, and the row's own."""
        times = samples.time_s
        if not len(times) or times[-1] < self.seconds + 1 or self.seconds >= len(self.found):
            return
        row = (samples.upper.gyr[-1, 0], samples.lower.gyr[-1, 0])
        self.found[self.seconds] = row[0] / TRUE_RAD_S, row[1] / TRUE_RAD_S, times[-1]
        hour, self.seconds = self.seconds // 3600, int(times[-1])
        if self.seconds // 3600 > hour:
            print(f"hour {hour + 1}: {self.told(self.found[3600 * hour : self.seconds])}", flush=True)

    def told(self, found: np.ndarray) -> str:
        """Return how far the rows of a while lay apart and behind the truth, and the memory now."""
        known = found[np.isfinite(found).all(axis=1)]
        upper, lower, row_s = known.T
        old = self.ages(upper) >= max(GOALS_MS)
        apart, late = np.abs(upper - lower) * 1e3, (row_s - upper) * 1e3
        goal = f", {np.percentile(apart[old], 95):.3f} an hour after a restart" if old.sum() > 100 else ""
        return (
            f"{len(known)} of {len(found)} rows known; apart p95 {np.percentile(apart, 95):.3f} ms{goal}; "
            f"late median {np.median(late):.3f} ms; memory {memory_mb():.1f} MB"
        )

    def ages(self, times_s: np.ndarray) -> np.ndarray:
        """Return how long ago the last clock began."""
        begun = np.array(self.restarts_s)
        return times_s - begun[np.searchsorted(begun, times_s) - 1]


def payloads(came: Packets, restarts: list[float], start_s: float) -> Iterator[tuple[float, bytes]]:
    """Yield arrival and payload of each packet, on the loop's clock; the device's clock is set to 0 at restarts."""
    zero, due = -(2.0**32) + 300.0 / TICK_S, list(restarts)
    for device, arrival, true in zip(came.device_s, came.arrival_s, came.true_s, strict=True):
        if due and start_s + true >= due[0]:
            zero = float(device) / TICK_S
            due.pop(0)
        yield start_s + float(arrival), HEAD.pack(b"d", int(device / TICK_S - zero) % 2**32, start_s + float(true))


async def send(sensor: FakeSensor, told: Iterator[tuple[float, bytes]], seed: int) -> None:
    """Hand packets to the callback when they arrive; some twice, some after the next one, and garbage between."""
    dice, loop = random.Random(seed), asyncio.get_running_loop()
    kept_back: bytes | None = None
    for arrival, payload in told:
        await asyncio.sleep(max(arrival - loop.time(), 0.0))
        if not sensor.on or sensor.silent:
            continue
        if kept_back is None and dice.random() < 0.005:
            kept_back = payload
            continue
        sensor.notify(payload)
        if kept_back is not None:
            sensor.notify(kept_back)
            kept_back = None
        chance = dice.random()
        if chance < 0.02:
            sensor.notify(payload)
        elif chance < 0.03:
            sensor.notify(dice.randbytes(dice.randrange(60)))


async def mishaps(sensors: list[FakeSensor], day: Day, restarts: list[list[float]]) -> None:
    """Drop links, let sensors fall silent or be away; and take them off the air while they start anew."""
    dice, loop = random.Random(3), asyncio.get_running_loop()
    due = sorted((at, sensor) for sensor, times in enumerate(restarts) for at in times)
    while True:
        await asyncio.sleep(dice.uniform(20.0, 60.0))
        sensor, what = dice.choice(sensors), dice.randrange(4)
        if due and loop.time() > due[0][0] - 70.0:
            at, place = due.pop(0)
            await asyncio.sleep(max(at - 1.0 - loop.time(), 0.0))
            sensors[place].off()
            await asyncio.sleep(2.0)
            sensors[place].on = True
            day.restarts_s.append(at)
        elif what == 0:
            sensor.drop()
        elif what == 1:
            sensor.silent = True
            await asyncio.sleep(dice.uniform(0.5, 6.0))
            sensor.silent = False
        elif what == 2:
            sensor.off()
            await asyncio.sleep(dice.uniform(1.0, 15.0))
            sensor.on = True
        else:
            sensor.notifies_twice = not sensor.notifies_twice
            sensor.drop()


def memory_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def watch(day: Day) -> None:
    await asyncio.sleep(SETTLED_S)
    while True:
        day.memory_mb.append(memory_mb())
        await asyncio.sleep(SECONDS / 100)


def recorded_day(day: Day, journal: Counting) -> tuple[Outcome, dict[str, dict[str, int]]]:
    async def work() -> tuple[Outcome, dict[str, dict[str, int]]]:
        sensors = [FakeSensor(f"AA:00:00:00:00:0{n}", f"IMU {n}") for n in (1, 2)]
        driver, start_s = DayDriver(), asyncio.get_running_loop().time()
        uris: Any = {"upper": "ble:IMU 1", "lower": "ble:IMU 2"}
        source = RadioSource(Native(uris, FakeAir(*sensors).transport()), Wishes(choose=lambda _: driver), clock())
        recorder = Recorder(
            source,
            clock=clock(),
            seconds=SECONDS,
            folder=Path("nowhere"),
            journal=lambda *_: journal,
            close=lambda *_: "a session",  # type: ignore[arg-type,return-value]
            takers=[lambda rows: day.take(rows.samples)],
        )
        restarts = [list(start_s + np.arange(n * CALM_S, SECONDS, 2 * CALM_S)) for n in (1, 2)]
        told = [packets(RADIO, SECONDS + 120, seed) for seed in (1, 2)]
        beside = [
            asyncio.ensure_future(send(sensor, payloads(came, times, start_s), seed))
            for seed, (sensor, came, times) in enumerate(zip(sensors, told, restarts, strict=True))
        ]
        beside += [asyncio.ensure_future(mishaps(sensors, day, restarts)), asyncio.ensure_future(watch(day))]
        outcome = await recorder.run()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        assert recorder.walk is not None
        return outcome, {role: told.asdict() for role, told in recorder.walk.alignment.counts().items()}

    return run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory")
def test_a_day_bends_no_time_line_and_grows_nothing():
    day, journal = Day(restarts_s=[1000.0]), Counting()
    outcome, counts = recorded_day(day, journal)
    assert outcome.exit_code == 0
    # The folder is nowhere, and the journal only counts: closing was to be told so, and nothing else.
    assert all("rows could not be written" in note for note in outcome.notes)
    for role, told in counts.items():
        assert told["sent"] == told["kept"] + told["lost"]
        assert told["kept"] + told["late"] + told["duplicate"] + told["reordered"] == BATCH * journal.payloads[role]
    upper, lower, row_s = day.found[np.isfinite(day.found).all(axis=1)].T
    assert len(upper) > 0.6 * SECONDS
    apart = np.abs(upper - lower) * 1e3
    age = day.ages(upper)
    reached = {after: np.percentile(apart[age >= after], 95) for after in GOALS_MS if (age >= after).sum() > 100}
    print(f"p95 apart, ms: {reached}; memory, MB: {day.memory_mb[0]:.1f} to {max(day.memory_mb):.1f}")
    print(counts)
    assert all(reached[after] <= GOALS_MS[after] for after in reached), reached
    late = (row_s - upper)[upper >= upper[0] + SETTLED_S] * 1e3
    medians = [np.median(part) for part in np.array_split(late, PARTS)]
    print(f"how late rows are, ms: {PARTS} medians within {np.ptp(medians):.3f} of each other")
    assert np.ptp(medians) <= DRIFT_MS
    assert max(day.memory_mb) - day.memory_mb[0] < GROWTH_MB


def hourly(seconds: float) -> Iterator[Incident]:
    """Yield what happens to a sensor, every 12 s or so."""
    dice, at_s = random.Random(11), 6.0
    while at_s < seconds:
        kind: Any = dice.choice(["lose_link", "drop_link", "stall", "restart", "set"])
        ppm = {"clock_ppm": dice.uniform(-100.0, 100.0)}
        yield Incident(at_s, kind, seconds=dice.uniform(0.2, 1.5), values=ppm if kind == "set" else {})
        at_s += dice.uniform(8.0, 16.0)


def test_an_hour_of_mishaps_through_gatt(tmp_path):
    faults = Faults(
        loss=0.02, burst_loss=0.001, truncate=0.005, garbage=0.005, duplicate=0.01, reorder=0.005, interval_s=0.0115
    )
    timeline = list(hourly(GATT_S))
    take = recorded(tmp_path / "s", GATT_S, script="still", faults=faults, upper=timeline)
    assert take.outcome.exit_code == 0
    assert take.outcome.sensors["lower"].losses == 0
    broken = [one for one in timeline if one.kind in ("lose_link", "drop_link", "restart")]
    assert take.outcome.sensors["upper"].losses >= len(broken) // 2
    assert bits(take.live()) == bits(take.session) == bits(replay(tmp_path / "s"))
    for role, sensor in take.world.sensors.items():
        told, ledger = take.counts(role), sensor.ledger
        assert sum(ledger.count(fate) for fate in Fate) == len(ledger)
        assert told["sent"] == told["kept"] + told["lost"]
        assert 0.97 * ledger.count(Fate.DELIVERED) <= told["kept"] + told["late"] <= ledger.count(Fate.DELIVERED)
        times = take.heard_s(role, RATE_HZ)
        restarts = sum(one.kind == "restart" for one in timeline)
        assert abs(told["sent"] - (times[-1] - times[0]) * RATE_HZ) <= 2 + 2 * (len(ledger.streams) + restarts)
