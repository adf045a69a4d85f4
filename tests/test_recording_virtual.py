"""The whole of it: virtual sensors, GATT traffic, links, journal, walk, session; in simulated time."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bleak import clock
from simulated_time import run

pytest.importorskip("bumble", reason="the virtual radio needs bumble: pip install imuposture[virtual]")

from imuposture import SessionError
from imuposture.acquisition.ble import Address, Transport
from imuposture.acquisition.drivers.registry import PROFILES
from imuposture.acquisition.virtual import SensorSetup, VirtualWorld
from imuposture.acquisition.virtual.faults import Incident
from imuposture.acquisition.virtual.wire import FORMATS
from imuposture.pipeline import Rows
from imuposture.pipeline.remembered import walk_of
from imuposture.recording import Outcome, Wishes, record_async, stream
from imuposture.recording.radio_source import RadioSource
from imuposture.recording.replaying import replay

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))


class World:
    """A world that a test made, as an air."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def enter(self) -> dict[Any, tuple[Transport, Address]]:
        await self._world.__aenter__()
        given = self._world.transport
        transport = Transport("virtual", given.scanner_kwargs, given.client_kwargs)
        return {role: (transport, Address(self._world.address(role))) for role in ("upper", "lower")}

    async def leave(self) -> None:
        await self._world.__aexit__(None, None, None)


def recorded(
    out: Path, seconds: float, kind: str = "movella_dot", upper: Sequence[Incident] = ()
) -> tuple[Outcome, list[Rows]]:
    rows: list[Rows] = []

    async def work() -> Outcome:
        world = VirtualWorld("demo", upper=SensorSetup(kind, timeline=upper), lower=SensorSetup(kind))
        source = RadioSource(World(world), Wishes(), clock())
        return await record_async(out=out, seconds=seconds, source=source, takers=[rows.append], clock=clock())

    return run(work()), rows


FAULTS: dict[str, list[Incident]] = {
    "none": [],
    "lost": [Incident(4.0, "lose_link"), Incident(7.0, "drop_link")],
    "stalled": [Incident(4.0, "stall", seconds=1.0), Incident(7.0, "stall", seconds=4.0)],
    "restarted": [Incident(5.0, "restart", seconds=2.0)],
    "garbled": [Incident(3.0, "set", values={"garbage": 0.1, "truncate": 0.1, "duplicate": 0.1, "reorder": 0.05})],
    "doubled": [Incident(3.0, "set", values={"doubled_after_reconnect": True}), Incident(5.0, "drop_link")],
}
LOSSES = {"none": 0, "lost": 2, "stalled": 1, "restarted": 1, "garbled": 0, "doubled": 1}


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_live_are_the_rows_of_the_session(tmp_path, fault):
    outcome, rows = recorded(tmp_path / "session", 12.0, upper=FAULTS[fault])
    assert outcome.result is not None
    assert outcome.exit_code == 0
    posture = outcome.result.posture
    for column in ("time_s", "trunk_inclination_deg", "upper_forward_deg", "quality"):
        live = np.concatenate([getattr(one.posture, column) for one in rows])
        np.testing.assert_array_equal(posture[column].to_numpy(zero_copy_only=False), live)
    assert len(posture) > 11 * 60
    assert outcome.sensors["upper"].losses == LOSSES[fault]
    assert outcome.sensors["lower"].losses == 0


@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"movella_dot"}))
def test_other_families_stream_too(tmp_path, kind):
    outcome, _ = recorded(tmp_path / "session", 4.0, kind)
    assert outcome.exit_code == 0
    assert outcome.rows > 100


def test_a_profile_that_is_gone_can_still_be_replayed(tmp_path):
    """What it said is in the session; no driver of that name is known."""
    profile = tmp_path / "mine.toml"
    shipped = (PROFILES / "own_firmware_template.toml").read_text(encoding="utf-8")
    profile.write_text(shipped.replace('name = "own_firmware_template"', 'name = "mine"'), encoding="utf-8")
    kind = "own_firmware_template"

    async def work() -> Outcome:
        world = VirtualWorld("demo", upper=SensorSetup(kind), lower=SensorSetup(kind))
        source = RadioSource(World(world), Wishes().by(str(profile)), clock())
        return await record_async(out=tmp_path / "session", seconds=4.0, source=source, clock=clock())

    outcome = run(work())
    profile.unlink()
    assert outcome.result is not None
    assert outcome.result.manifest["sensors"]["upper"]["driver"] == "mine"
    assert replay(tmp_path / "session").posture.equals(outcome.result.posture)
    told = json.loads((tmp_path / "session" / "session.json").read_bytes())
    for odd in (5, "[[stream]]", "x" * 10**6):
        told["sensors"]["upper"]["profile"] = odd
        with pytest.raises(SessionError, match="does not say how the recording was walked"):
            walk_of(told)


# From here on in real time, in processes of their own: what simulated time cannot show.

TALE = """
import json, sys
from imuposture.recording import record
def told(entry):
    print(entry.role, entry.payload.decode(), flush=True)
outcome = record("virtual:demo", "virtual:demo", sys.argv[1], told=told)
print(outcome.message())
print(json.dumps({"ending": outcome.ending, "rows": outcome.result.posture.num_rows}))
sys.exit(outcome.exit_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 0), ("SIGHUP", 129)][: 3 if SOAK else 1])
def test_a_signal_closes_the_session(tmp_path, name, code):
    command = [sys.executable, "-c", TALE, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        assert run.stdout is not None
        lines = iter(run.stdout.readline, "")
        streaming = 0
        while streaming < 2:
            streaming += '"streaming"' in next(lines)
        time.sleep(1.5)
        run.send_signal(getattr(signal, name))
        told = list(lines)
        assert run.wait(30) == code, told
    assert sum("closed" in line for line in told) == 2
    assert json.loads(told[-1])["rows"] > 30
    assert not list((tmp_path / "out").glob("journal*"))


def test_a_consumer_that_blocks_loses_rows_that_are_counted_and_the_journal_none(tmp_path):
    async def work() -> None:
        live = stream("virtual:demo", "virtual:demo", out=tmp_path / "out", limit=20)
        seen = 0
        async for rows in live:
            if seen == 0:
                time.sleep(3.0)  # blocks the loop, as a bad program would
            seen += len(rows.posture)
            if seen > 60:
                break
        while live.outcome is None:
            await asyncio.sleep(0.05)
        assert live.dropped > 30
        assert live.outcome.result is not None
        assert live.outcome.result.posture.num_rows >= seen + live.dropped
        lost = live.outcome.result.manifest["alignment"]["sensors"]
        assert [one["lost"] for one in lost.values()] == [0, 0]

    asyncio.run(work())
