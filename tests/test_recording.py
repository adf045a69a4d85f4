"""A recording ends well however it ends: journal first, rows live, sensors stopped, and it says what happened."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_bleak import CONTROL, clock, run
from fake_driver import STOP, sample
from recorder_stage import URIS, Stage, played

from imuposture import AcquisitionError, ConfigError, DecodeError
from imuposture._blocks import Entry, ImuBlock
from imuposture.acquisition.ble import EntryQueue
from imuposture.output import Spool
from imuposture.pipeline import Rows
from imuposture.pipeline.commands import Mark
from imuposture.pipeline.file_driver import FileDecoder, packed
from imuposture.recording import Outcome, Recorder, Wishes, record_async
from imuposture.recording.radio_source import Native, RadioSource


def test_seconds_count_from_the_first_pair_and_everything_is_closed():
    stage, outcome = played(seconds=5.0)
    assert outcome.ending == "time is up"
    assert outcome.seconds == pytest.approx(5.0, abs=0.2)
    assert outcome.exit_code == 0
    assert outcome.result == "a session"
    assert stage.journal.closed
    assert all(one.wrote[-1] == (CONTROL, STOP) and one.client is None for one in stage.sensors)
    assert outcome.rows == pytest.approx(5 * 60, abs=20)
    kept = [one for one in stage.journal.entries if one.kind == "notification"]
    assert sum(tally.payloads for tally in outcome.sensors.values()) == len(kept)


@pytest.mark.parametrize("slow", ["to disconnect", "to stop", "one of them"])
def test_rows_end_when_the_recording_was_told_to(slow):
    """However long a radio takes to let go: no gap at the end; what still came is kept and counted."""

    async def story(stage: Stage) -> None:
        await asyncio.sleep(5.0)
        if slow == "to disconnect":
            for one in stage.sensors:
                one.disconnect_s = 3.0
        else:
            stage.driver.stops_after_s = {"upper": 3.0, "lower": 0.0 if slow == "one of them" else 3.0}
        stage.recorder.stop("asked")

    stage, outcome = played(story)
    ended = next(one for one in stage.journal.entries if one.kind == "link" and b'"ending"' in one.payload)
    assert outcome.seconds < 5.0
    quality, time_s = (
        np.concatenate([getattr(one.posture, name) for one in stage.rows]) for name in ("quality", "time_s")
    )
    assert not (quality[-60:] & 1).any()
    end_s = (ended.arrival_ns - stage.journal.entries[0].arrival_ns) * 1e-9
    assert end_s - 0.1 < time_s[-1] <= end_s
    kept = [one for one in stage.journal.entries if one.kind == "notification"]
    counts = stage.recorder.walk.alignment.counts()  # type: ignore[union-attr]
    assert sum(count.kept for count in counts.values()) == len(kept)


def test_rows_live_are_the_rows_of_a_replay():
    stage, _ = played(seconds=8.0)
    again = stage.recorder._fresh()  # type: ignore[misc]
    replay = [again.push(entry) for entry in stage.journal.entries] + [again.finish()]
    live = np.concatenate([one.posture.trunk_inclination_deg for one in stage.rows])
    assert len(live) > 400
    np.testing.assert_array_equal(np.concatenate([one.posture.trunk_inclination_deg for one in replay]), live)


@pytest.mark.parametrize(("ending", "code"), [("interrupted", 0), ("terminated", 143), ("hung up", 129), ("asked", 0)])
def test_whoever_ends_it_it_is_closed_and_said(ending, code):
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5.0)
        stage.recorder.stop(ending)

    stage, outcome = played(story)
    assert (outcome.ending, outcome.exit_code) == (ending, code)
    assert stage.journal.closed
    assert all(one.client is None and one.wrote[-1] == (CONTROL, STOP) for one in stage.sensors)


def test_stopping_twice_does_not_wait_for_sensors():
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5.0)
        for one in stage.sensors:
            one.on_write = lambda sensor, _, data: (_ for _ in ()).throw(OSError("no"))
            one.disconnect_s = 0.5
        before = asyncio.get_running_loop().time()
        stage.recorder.stop("interrupted")
        await asyncio.sleep(0.1)
        stage.recorder.stop("interrupted")
        stage.began = before  # type: ignore[attr-defined]

    stage, outcome = played(story)
    assert outcome.ending == "interrupted"
    assert all(one.client is None for one in stage.sensors)


def test_stopping_while_sensors_are_sought_is_quick():
    async def story(stage: Stage) -> None:
        for one in stage.sensors:
            one.on = False
        await asyncio.sleep(1.0)
        stage.recorder.stop("interrupted")

    stage, outcome = played(story)
    assert outcome.ending == "interrupted"
    assert outcome.folder is None
    assert stage.air.scanning == 0


def test_a_full_disk_ends_it_and_stops_the_sensors():
    stage, outcome = played(room=100)
    assert outcome.ending == "disk"
    assert outcome.exit_code == 1
    assert len(stage.journal.entries) == 100
    assert "no space left" in outcome.message()
    assert all(one.wrote[-1] == (CONTROL, STOP) for one in stage.sensors)


def test_no_sensor_is_said_with_what_is_in_range():
    async def work() -> None:
        stage = Stage()
        stage.sensors[0].name, stage.sensors[1].name = "Toaster \x1b[31m", "TV"
        with pytest.raises(AcquisitionError, match=r"ble:IMU 1 \(upper\).*not found.*Toaster \\x1b\[31m"):
            await stage.play()

    run(work())


def test_one_sensor_missing_leaves_the_other_recording_until_it_comes():
    async def story(stage: Stage) -> None:
        stage.sensors[1].on = False
        await asyncio.sleep(20.0)
        assert stage.recorder._payloads.get("upper", 0) > 500
        stage.sensors[1].on = True

    _, outcome = played(story, seconds=5.0)
    assert outcome.ending == "time is up"
    assert outcome.sensors["lower"].payloads > 200
    assert outcome.rows > 20 * 60


def test_a_lost_link_is_in_the_journal_and_the_recording_goes_on():
    async def story(stage: Stage) -> None:
        await asyncio.sleep(4.0)
        stage.sensors[0].drop()

    stage, outcome = played(story, seconds=8.0)
    assert outcome.sensors["upper"].losses == 1
    assert outcome.sensors["upper"].connections == 2
    assert "lost 1 time" in outcome.message()
    events = [json.loads(one.payload)["event"] for one in stage.journal.entries if one.kind == "link"]
    assert "down" in events


def test_a_mistake_in_the_walk_does_not_end_the_recording(monkeypatch):
    from imuposture.pipeline import LivePipeline

    push, count = LivePipeline.push, iter(range(10**9))

    def failing(self: Any, entry: Entry) -> Rows:
        if next(count) == 200:
            raise IndexError("a mistake")
        return push(self, entry)

    monkeypatch.setattr(LivePipeline, "push", failing)
    _, outcome = played(seconds=5.0)
    assert outcome.ending == "time is up"
    assert outcome.exit_code == 1
    assert sum(one.payloads for one in outcome.sensors.values()) > 500
    assert "IndexError: a mistake" in outcome.message()


def test_a_taker_that_fails_gets_no_more_and_others_do():
    def fail(rows: Rows) -> None:
        raise ValueError("no")

    stage, outcome = played(seconds=3.0, failing=fail)
    assert len(stage.rows) > 100
    assert "ValueError('no')" in outcome.message()


def test_a_link_that_cuts_payloads_is_told_why():
    async def story(stage: Stage) -> None:
        for one in stage.sensors:
            one.mtu = 23

    _, outcome = played(story, seconds=3.0)
    assert "packets of 23 bytes, and the sensor needs 32" in outcome.message()


def test_commands_are_entries():
    async def story(stage: Stage) -> None:
        await asyncio.sleep(5.0)
        stage.recorder.command(Mark("here"))
        await asyncio.sleep(1.0)
        stage.recorder.stop()

    stage, _ = played(story)
    assert [one.kind for one in stage.journal.entries].count("command") == 1
    marks = [event.kind for rows in stage.rows for event in rows.metrics.events]
    assert "mark" in marks


def test_the_host_sleeping_renews_the_links_and_is_told():
    async def work() -> Outcome:
        stage = Stage(seconds=6.0)
        slept = [0]
        now = clock().now_ns
        import imuposture.acquisition.ble.clock as clocks

        stage.clock = clocks.Clock(now, lambda: now() + slept[0])  # type: ignore[attr-defined]
        streams = [asyncio.ensure_future(one.stream(60.0, sample)) for one in stage.sensors]
        source = RadioSource(
            Native(URIS, stage.air.transport()),
            Wishes(choose=lambda _: stage.driver),
            stage.clock,  # type: ignore[attr-defined]
        )
        recorder = Recorder(
            source,
            seconds=6.0,
            clock=stage.clock,  # type: ignore[attr-defined]
            folder=Path("nowhere"),
            journal=lambda *_: stage.journal,
            close=lambda *_: "a session",  # type: ignore[arg-type,return-value]
        )
        task = asyncio.ensure_future(recorder.run())
        await asyncio.sleep(4.0)
        slept[0] = 3_600_000_000_000
        outcome = await task
        for one in streams:
            one.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        told = [json.loads(one.payload) for one in stage.journal.entries if one.kind == "link" and one.role is None]
        assert told[0] == {"event": "suspended", "seconds": 3600.0}
        return outcome

    outcome = run(work())
    assert all(tally.connections == 2 for tally in outcome.sensors.values())


def test_a_full_queue_is_never_silent():
    async def work() -> None:
        queue = EntryQueue(limit=10)
        for count in range(15):
            queue.put(Entry(count, "notification", "upper", 1, 0, b""))
        queue.tell(99, "upper", 1, "down")
        batch = await queue.get()
        assert [one.kind for one in batch] == ["notification"] * 10 + ["link"] * 2
        assert json.loads(batch[-1].payload) == {"event": "overflow", "lost": 5}
        assert queue.lost == {"upper": 5}
        assert queue.drain() == []

    run(work())


@pytest.mark.parametrize(
    ("upper", "lower", "told"),
    [
        ("usb:1", None, "got 'usb'"),
        ("ble:A", "virtual:demo", "same kind of source"),
        ("ble:", None, "is no sensor"),
        ("ble:A#99", None, "0 to 15"),
    ],
)
def test_uris_that_make_no_sense_are_refused(upper, lower, told):
    with pytest.raises(ConfigError, match=told):
        run(record_async(upper, lower))


def test_a_file_plays_as_if_it_were_live():
    file = next((Path(__file__).parents[1] / "recordings").glob("demo*.csv"), None)
    assert file is not None

    async def work() -> Outcome:
        return await record_async(f"file:{file}", f"file:{file}", seconds=20.0, takers=[rows.append], clock=clock())

    rows: list[Rows] = []
    outcome = run(work())
    assert outcome.ending == "time is up"
    live = np.concatenate([one.posture.trunk_inclination_deg for one in rows])
    assert len(live) > 19 * 60
    assert np.isfinite(live).mean() > 0.99


@pytest.mark.parametrize("besides", [(), ("mag",), ("quat",), ("mag", "quat")])
def test_rows_of_a_file_come_back_from_payloads_as_they_were(besides):
    rng = np.random.default_rng(3)
    arrays = {"acc": 3, "gyr": 3, **{name: 3 if name == "mag" else 4 for name in besides}}
    given = {name: rng.normal(size=(5, wide)) for name, wide in arrays.items()}
    flags = np.arange(5, dtype=np.uint8)
    block = ImuBlock("upper", np.arange(5.0), **given, flags=flags)
    payload = packed(block)
    (found,) = FileDecoder("upper").push(payload)
    for name in ("ticks", "acc", "gyr", "mag", "quat", "flags"):
        np.testing.assert_array_equal(getattr(found, name), getattr(block, name))
    for damaged in (payload[:-1], payload + b"\0", bytes([payload[0] ^ 4]) + payload[1:], b""):
        with pytest.raises(DecodeError):
            FileDecoder("upper").push(damaged)


def test_rows_that_could_not_be_spooled_are_told_and_made_from_the_journal(tmp_path, monkeypatch):
    def full(self: Spool) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spool, "_put", full)
    _, outcome = played(seconds=3.0, folder=tmp_path / "session")
    assert outcome.exit_code == 0
    assert outcome.result is not None
    assert outcome.result.posture.num_rows == outcome.rows > 100
    assert "rows could not be written while recording (No space left on device)" in outcome.message()


def test_a_file_that_ends_ends_the_recording(tmp_path):
    lines = ["time_s," + ",".join(f"{r}_{s}_{a}" for r in ("upper", "lower") for s in ("acc", "gyr") for a in "xyz")]
    lines += [f"{n / 50:.2f}," + ",".join(["0", "9.81", "0", f"0.00{n % 3}", "0", "0"] * 2) for n in range(300)]
    (tmp_path / "still.csv").write_text("\n".join(lines) + "\n")
    uri = f"file:{tmp_path / 'still.csv'}"

    async def work() -> Outcome:
        return await record_async(uri, uri, tmp_path / "out", clock=clock())

    outcome = run(work())
    assert outcome.ending == "end of the source"
    assert outcome.exit_code == 0
    assert outcome.result is not None
    assert len(outcome.result.posture) == pytest.approx(300, abs=2)
