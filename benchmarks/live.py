"""What recording live costs: the radio's callback, the way from a payload to its row, and a reader who stands still.

Two virtual WitMotion at 200 Hz, one payload a sample, in a process of their own; this one records them through real
GATT as it would two on the air. Run: ``python benchmarks/live.py [--seconds N] [--stall N]``; a minute and a half in
real time. Exit code 1 if a limit is broken. Nothing here had a radio: what an adapter and its driver add is not in it.
"""

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from imuposture._blocks import Entry
from imuposture.acquisition.ble.connection import Connection
from imuposture.output import Journal, read_entries
from imuposture.pipeline import Rows
from imuposture.recording import Outcome, Recorder, Wishes, source_of, stream
from imuposture.recording.feed import Reader

RATE_HZ = 200.0
CALLBACK_P99_US = 100.0
STALLED_MB = 50.0
WARM_S = 3.0  # of rows, before memory is looked at
# On the smallest MTU a sensor of 8 frames a batch sends each in a payload of its own, 8 at once.
WORLD = """script = "still"
upper = { format = "witmotion", rate_hz = 200, faults = { mtu = 23 } }
lower = { format = "witmotion", rate_hz = 200, faults = { mtu = 23 } }
"""
Costs = list[tuple[int, int]]  # CPU time of the thread and time on the wall, ns


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Keep two sensors in another process; give their URI."""
    script = folder / "two.toml"
    script.write_text(WORLD, encoding="utf-8")
    command = [sys.executable, "-m", "imuposture.acquisition.virtual.serve", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().removeprefix("ready: ").strip()
        finally:
            server.terminate()


@contextmanager
def timed_callback() -> Iterator[Costs]:
    """Take the time of every call of the radio's callback; reading the clocks is in it."""
    costs: Costs = []
    made = Connection._receiver

    def receiver(self: Connection, channel: int) -> Callable[[object, bytearray], None]:
        received = made(self, channel)

        def timed(sender: object, data: bytearray) -> None:
            wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
            received(sender, data)
            costs.append((time.thread_time_ns() - cpu, time.perf_counter_ns() - wall))

        return timed

    with patch.object(Connection, "_receiver", receiver):
        yield costs


class Watch:
    """The way of a payload: from its arrival to the reader, as ``record --jsonl`` has one, in a thread of its own."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self.walked_s = 0.0
        self._arrived_ns = 0
        self._arrivals: deque[int] = deque()
        self.reader = Reader(self._read)

    def take(self, rows: Rows) -> None:
        """Hand rows on, with the arrival of the payload that they came of."""
        self._arrivals.append(self._arrived_ns)
        self.reader.feed.put(rows)

    def _read(self, rows: Rows) -> None:
        arrived_ns = self._arrivals.popleft()
        if len(rows.posture):
            self.late_s.append((time.monotonic_ns() - arrived_ns) * 1e-9)

    def recorder(self, uri: str, folder: Path, seconds: float) -> Recorder:
        """Return a recorder that is watched."""
        watch = self

        class Watched(Recorder):
            def _take(self, entry: Entry) -> None:
                watch._arrived_ns = entry.arrival_ns
                cpu = time.thread_time()
                super()._take(entry)
                watch.walked_s += time.thread_time() - cpu

        source = source_of(uri, uri, Wishes(rate_hz=RATE_HZ))
        return Watched(source, seconds=seconds, folder=folder, journal=Journal, takers=[self.take])


async def watched(uri: str, folder: Path, seconds: float) -> tuple[Watch, Outcome, float]:
    """Record; return also the share of a core that the whole process took while both sensors streamed."""
    watch = Watch()
    recorder = watch.recorder(uri, folder, seconds)
    running = asyncio.ensure_future(recorder.run())
    while not recorder.streaming and not running.done():
        await asyncio.sleep(0.02)
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds - 0.5)
    share = (time.process_time() - cpu) / (time.monotonic() - wall)
    outcome = await running
    watch.reader.close()
    return watch, outcome, share


def cost(uri: str, folder: Path, seconds: float) -> bool:
    """Record for a while, and print what it cost."""
    with timed_callback() as costs:
        watch, outcome, share = asyncio.run(watched(uri, folder, seconds))
    cpu, wall = np.array(costs, np.float64).T * 1e-3
    rates = ", ".join(f"{role} {one.payloads / outcome.seconds:.0f}" for role, one in outcome.sensors.items())
    print(f"{outcome.seconds:.0f} s of two sensors at {RATE_HZ:g} Hz; payloads a second: {rates}")
    good = float(np.percentile(cpu, 99)) <= CALLBACK_P99_US
    tell("callback, CPU time", cpu, "us", f"p99 <= {CALLBACK_P99_US:g} us: {verdict(good)}")
    tell("callback, on the wall", wall, "us")
    tell("from payload to row, in the reader's thread", np.array(watch.late_s) * 1e3, "ms")
    walked = watch.walked_s / outcome.seconds
    print(f"CPU of a live recording, virtual radio included: {share:.0%} of a core; journal and walk: {walked:.0%}")
    return good


def tell(name: str, values: Any, unit: str, target: str = "") -> None:
    told = "  ".join(f"p{q:g} {np.percentile(values, q):.1f}" for q in (50, 99, 99.9))
    print(f"{f'{name}, {unit}:':48} {told}  ({len(values)} times)  {target}".rstrip())


def verdict(good: bool) -> str:
    return "reached" if good else "MISSED"


async def stalled(uri: str, folder: Path, seconds: float) -> tuple[float, int, int]:
    """Take no rows for a while; return by how many MB memory grew meanwhile, and the rows taken and dropped."""
    live = stream(uri, uri, out=folder, wishes=Wishes(rate_hz=RATE_HZ))
    grown_mb, rows = None, 0
    async for block in live:
        rows += len(block.posture)
        if grown_mb is None and rows > WARM_S * RATE_HZ:
            gc.collect()
            before = resident_mb()
            await asyncio.sleep(seconds)
            grown_mb = resident_mb() - before
            live.stop()
    if grown_mb is None:
        raise RuntimeError("no rows came; look at what the sensors' process said")
    return grown_mb, rows, live.dropped


def stall(uri: str, folder: Path, seconds: float) -> bool:
    """Let the reader stand still, and print what became of the recording and of memory."""
    with timed_callback() as costs:
        grown_mb, rows, dropped = asyncio.run(stalled(uri, folder, seconds))
    kept = sum(entry.kind == "notification" for entry in read_entries(folder))
    lost, small = len(costs) - kept, grown_mb <= STALLED_MB
    print(f"a reader who stands still for {seconds:g} s took {rows} rows and missed {dropped}:")
    print(f"  payloads {len(costs)}, in the session {kept}; target: none lost: {verdict(lost == 0)}")
    print(f"  memory {grown_mb:+.1f} MB; target: at most {STALLED_MB:g} MB more: {verdict(small)}")
    return lost == 0 and small


def resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the recording that is timed, from 1 on")
    parser.add_argument("--stall", type=float, default=30.0, help="seconds for which a reader stands still")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder) as uri:
            good = cost(uri, folder / "timed", options.seconds)
        if not Path("/proc/self/statm").exists():
            print("a reader who stands still: not shown; memory is read from /proc, which only Linux has")
            return 0 if good else 1
        with served(folder) as uri:
            good &= stall(uri, folder / "stalled", options.stall)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
