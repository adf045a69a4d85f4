"""A recording ends well however it ends: journal first, rows live, sensors stopped, and it says what happened."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from fake_bleak import CONTROL, FakeAir, FakeSensor, clock, run
from fake_driver import STOP, FakeDriver, sample

from imuposture import AcquisitionError, ConfigError, DecodeError, SessionError
from imuposture._blocks import Entry, ImuBlock
from imuposture.acquisition.ble import EntryQueue
from imuposture.output import Spool
from imuposture.pipeline import Rows
from imuposture.pipeline.commands import Mark
from imuposture.pipeline.file_driver import FileDecoder, packed
from imuposture.recording import Live, Outcome, Recorder, Wishes, record_async, stream
from imuposture.recording.feed import Feed, Reader
from imuposture.recording.radio_source import Native, RadioSource

ONE, TWO = "AA:00:00:00:00:01", "AA:00:00:00:00:02"
URIS = {"upper": "ble:IMU 1", "lower": "ble:IMU 2"}


class FakeJournal:
    """Keeps entries in memory; may be full."""

    def __init__(self, room: int | None = None) -> None:
        self.entries: list[Entry] = []
        self.closed = False
        self._room = room

    def append(self, entry: Entry) -> None:
        if self._room is not None and len(self.entries) >= self._room:
            raise SessionError("cannot write journal.sqlite: no space left")
        self.entries.append(entry)

    def close(self) -> int:
        self.closed = True
        return len(self.entries)


class Stage:
    """Two fake sensors, a recorder on them, and what became of it."""

    def __init__(self, **more: Any) -> None:
        self.sensors = [FakeSensor(ONE, "IMU 1"), FakeSensor(TWO, "IMU 2")]
        self.air = FakeAir(*self.sensors)
        self.journal = FakeJournal(more.pop("room", None))
        self.rows: list[Rows] = []
        self.failing = [more.pop("failing")] if "failing" in more else []
        self.more = more
        self.driver = FakeDriver()
        self.recorder: Recorder

    async def play(self, story: Callable[["Stage"], Any] | None = None) -> Outcome:
        streams = [asyncio.ensure_future(one.stream(60.0, sample)) for one in self.sensors]
        wishes = Wishes(choose=lambda _: self.driver, find_s=5.0)
        source = RadioSource(Native(URIS, self.air.transport()), wishes, clock())
        keep: dict[str, Any] = {}
        if "folder" not in self.more:
            keep = {"folder": Path("nowhere"), "journal": lambda *_: self.journal, "close": lambda *_: "a session"}
        self.recorder = Recorder(source, clock=clock(), takers=[*self.failing, self.rows.append], **keep, **self.more)
        task = asyncio.ensure_future(self.recorder.run())
        if story is not None:
            await story(self)
        try:
            return await task
        finally:
            for one in streams:
                one.cancel()
            await asyncio.gather(*streams, return_exceptions=True)


def played(story: Callable[[Stage], Any] | None = None, **more: Any) -> tuple[Stage, Outcome]:
    stage = Stage(**more)
    return stage, run(stage.play(story))


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


def block(rows: int = 1) -> Any:
    return type("Fake", (), {"posture": range(rows)})()


def test_a_slow_reader_loses_the_oldest_rows_and_they_are_counted():
    feed = Feed(limit=3)
    for count in range(5):
        feed.put(block(count + 1))
    feed.end()
    assert feed.dropped == 1 + 2
    assert [len(feed.take().posture) for _ in range(3)] == [3, 4, 5]  # type: ignore[union-attr]
    assert feed.ended


def test_a_reader_that_hangs_or_fails_holds_nobody_up():
    hung = threading.Event()
    reader = Reader(lambda rows: hung.wait(5.0) and None, limit=10)
    began = time.monotonic()
    for _ in range(1000):
        reader.feed.put(block())
    assert time.monotonic() - began < 1.0
    hung.set()
    reader.close()
    assert reader.feed.dropped >= 980

    def fail(rows: Any) -> None:
        raise ValueError("no")

    failing = Reader(fail)
    failing.feed.put(block())
    failing.close()
    assert isinstance(failing.error, ValueError)


def test_stream_hands_out_rows_and_ends_when_nobody_wants_more():
    async def work() -> None:
        stage = Stage()
        streams = [asyncio.ensure_future(one.stream(60.0, sample)) for one in stage.sensors]
        source = RadioSource(Native(URIS, stage.air.transport()), Wishes(choose=lambda _: stage.driver), clock())
        live = Live(threaded=False, source=source, clock=clock())
        rows = live.__aiter__()
        count = 0
        async for one in rows:
            count += len(one.posture)
            if count > 200:
                break
        await rows.aclose()  # type: ignore[attr-defined]
        assert live.outcome is not None
        assert live.outcome.ending == "asked"
        assert all(one.client is None for one in stage.sensors)
        for one in streams:
            one.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    run(work())


@pytest.mark.parametrize("threaded", [True, False])
def test_a_stream_that_is_left_at_once_ends(threaded):
    async def work() -> Live:
        live = Live(upper="virtual:demo", lower="virtual:demo", threaded=threaded)
        rows = live.__aiter__()
        first = asyncio.ensure_future(rows.__anext__())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        return live

    live = asyncio.run(work())
    assert live.outcome is not None
    assert live.outcome.rows == 0


def test_stopping_a_stream_that_is_over_does_nothing():
    class Ending:  # a source without a radio, over at once
        sensors: ClassVar[dict[str, Any]] = {}

        async def open(self, queue: EntryQueue) -> None:
            raise AcquisitionError("no sensor")

        async def close(self, *, polite: bool = True) -> None: ...

    async def work() -> None:
        live = Live(source=Ending())
        with pytest.raises(AcquisitionError, match="no sensor"):
            async for _ in live:
                pass
        live.stop()  # the radio's loop is closed by now

    asyncio.run(work())


def test_stream_raises_what_went_wrong():
    async def work() -> None:
        air = FakeAir()
        air.scan_error = FileNotFoundError(2, "No such file or directory")
        source = RadioSource(Native(URIS, air.transport()), Wishes(), clock())
        with pytest.raises(AcquisitionError, match=r"no Bluetooth can be used on this machine .*virtual:demo"):
            async for _ in stream(source=source, clock=clock(), threaded=False):
                pass

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
