"""Rows that are written while recording: the same session as a replay of the journal, or the replay itself."""

import asyncio
import errno
import json
import os
import shutil
import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import live_backs
import numpy as np
import pyarrow.parquet as pq
import pytest

from imuposture._blocks import ROLES, Event, Figure, MetricBlock
from imuposture.acquisition.drivers import Settings
from imuposture.acquisition.simulation.actions import bend, side_bend, stand
from imuposture.acquisition.simulation.scripts import calibration
from imuposture.output import Journal, Spool, close_session, closing, read_entries, recover, spool
from imuposture.output import manifest as manifest_file
from imuposture.output.files import TableFiles
from imuposture.pipeline import LivePipeline, LiveSensor, join_blocks
from imuposture.pipeline.commands import Mark, Pause, entry_of
from imuposture.recording.keeping import Keeper, aside

MANIFEST = {"placement": "lumbar", "start": "2026-05-04T09:30:00+02:00"}
FOUND = {"recording": {"ending": "asked"}}
TABLES = ("posture", "samples", "events", "windows", "summary", "notifications")


@cache
def sent():
    back = live_backs.calibrated_back([*calibration(), bend(50, reps=3), side_bend(20, "left"), stand(5)])
    return tuple(live_backs.entries(back))


def lost(told):
    """The upper sensor's link is lost for 8 s, and its clock begins anew."""
    begin, end = live_backs.nanoseconds(60), live_backs.nanoseconds(68)
    for one in told:
        if one.role != "upper" or one.arrival_ns < begin:
            yield one
        elif one.arrival_ns > end:
            yield one._replace(generation=2)
    yield live_backs.link(begin, "upper", 1, "down")
    yield live_backs.link(end, "upper", 2, "up")


def garbled(told):
    """A tenth of the payloads is cut, doubled or swapped with the next."""
    rng, told = np.random.default_rng(5), list(told)
    for k, one in enumerate(told):
        fate = rng.random()
        if one.kind != "notification" or fate > 0.1:
            yield one
        elif fate < 0.03:
            yield one._replace(payload=one.payload[:-3])
        elif fate < 0.06:
            yield from (one, one)
        elif k % 2:
            yield one._replace(arrival_ns=one.arrival_ns + 150_000_000)


def paused(told):
    yield from told
    yield entry_of(Pause("begin"), live_backs.nanoseconds(70))
    yield entry_of(Mark(), live_backs.nanoseconds(72))
    yield entry_of(Pause("end"), live_backs.nanoseconds(75))


STORIES = {"whole": iter, "lost": lost, "garbled": garbled, "paused": paused}


def story(name):
    return sorted(STORIES[name](sent()), key=lambda one: one.arrival_ns)


class Recording(NamedTuple):
    """A session that was closed, the journal it was made of, and what was live."""

    result: object
    journal: Path
    rows: list
    walks: list


def recorded(folder, told, harm=None, pipeline=live_backs.pipeline):
    """Record entries as the recorder does; `harm` may do something to the keeper on the way."""
    walks = []

    class Closing(LivePipeline):
        def push_all(self, entries):
            walks.append(self)
            return super().push_all(entries)

    live, rows = pipeline(), []
    fresh = pipeline()
    fresh.__class__ = Closing
    kept = []

    def journal(path, manifest):
        kept.append(Journal(path, manifest, interval_s=0.05))
        return kept[0]

    keeper = Keeper(folder, MANIFEST, journal)
    for k, one in enumerate(told):
        keeper.append(one)
        rows.append(live.push(one))
        keeper.write(rows[-1])
        if k % 256 == 0:
            time.sleep(0.002)  # a loop would wait for the radio
        if k == len(told) // 2 and harm is not None:
            harm(keeper)
    rows.append(live.finish())
    keeper.write(rows[-1])
    kept[0].flush()
    dead = folder.with_name("dead")
    shutil.copytree(folder, dead, ignore=shutil.ignore_patterns(".lock"))
    return Recording(keeper.session(fresh, FOUND, live.findings()), dead, rows, walks)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".parquet"}


@pytest.mark.parametrize("name", STORIES)
def test_a_spooled_session_is_a_recovered_one_byte_for_byte(tmp_path, name):
    told = story(name)
    done = recorded(tmp_path / "s", told)
    assert done.walks == []
    again = recover(done.journal, lambda _: live_backs.pipeline())
    assert again.entries == len(told)
    assert sorted(contents(done.journal)) == sorted(f"{table}.parquet" for table in TABLES)
    assert contents(done.journal) == contents(tmp_path / "s")
    assert again.result.manifest | FOUND == done.result.manifest
    assert sorted(os.listdir(tmp_path / "s")) == sorted([*contents(tmp_path / "s"), "session.json"])
    assert list(read_entries(tmp_path / "s")) == told
    done.result.verify()
    posture = join_blocks(done.rows).posture
    for member in ("time_s", "flexion_deg", "trunk_inclination_deg"):
        column = done.result.posture[member].to_numpy()
        np.testing.assert_array_equal(column, getattr(posture, member), err_msg=member)
    assert len(posture) > 5000


def full(keeper):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    keeper._spool._files.write = refuse


def slow(keeper):
    keeper._spool._waiting.extend([None] * spool.MOST_WAITING)
    keeper.write(None)


def removed(keeper):
    shutil.rmtree(keeper._spool.part)


def rotten(keeper):
    """What is written does not get to the disk as it is."""
    keeper._spool._files._files["posture"]._file._value = 1


def stolen(keeper):
    keeper._entries -= 1


HARMS = {one.__name__: one for one in (full, slow, removed, rotten, stolen)} | {"broken": Keeper.without_rows}


@pytest.mark.parametrize("harm", HARMS)
def test_a_spool_that_is_not_whole_leaves_it_to_the_journal(tmp_path, harm):
    told = story("whole")[:1200]
    done = recorded(tmp_path / "s", told, HARMS[harm])
    assert len(done.walks) == 1
    assert list(read_entries(tmp_path / "s")) == told
    recover(done.journal, lambda _: live_backs.pipeline())
    assert contents(done.journal) == contents(tmp_path / "s")
    assert not (tmp_path / "s" / spool.SPOOL).exists()


def test_a_full_disk_gives_its_space_to_the_journal(tmp_path, monkeypatch):
    (tmp_path / "s").mkdir()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=spool.LEAST_FREE - 1))
    rows = Spool(tmp_path / "s", MANIFEST, join_blocks)
    rows.write(live_backs.pipeline().finish())
    rows.finish(1, {})
    assert "are free" in rows.failure
    assert rows.tables() is None
    assert list((tmp_path / "s").iterdir()) == []


def test_what_metrics_find_comes_back_as_it_was(tmp_path):
    found = MetricBlock(
        (
            Event(
                "bend", 0.1, float(np.nextafter(0.2, 1)), "flexion", "forward", np.float64(1 / 3), {"peak_deg": 1e-300}
            ),
        ),
        (Figure("m", np.float64("nan"), "deg", "d", n=np.int64(7), start_s=0.0, end_s=60.0),),
        (Figure("s", None, "1", "d", low=-0.0, high=float("inf")),),
    )
    lines = list(spool._lines_of(found))
    part = tmp_path / spool.SPOOL
    rows = Spool(tmp_path, MANIFEST, join_blocks)
    rows.finish(0, {})
    (part / "found.jsonl").write_text("".join(lines))
    again = rows.metrics()
    rows.abort()
    assert again.events == found.events
    assert again.summary == found.summary
    assert [one._replace(value=0.0) for one in again.windows] == [one._replace(value=0.0) for one in found.windows]
    assert np.isnan(again.windows[0].value)
    assert list(spool._lines_of(MetricBlock())) == []


def test_a_closing_that_is_given_up_keeps_the_journal(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        recorded(tmp_path / "s", story("whole")[:1200], Keeper.give_up)
    assert manifest_file.load(tmp_path / "s")["state"] == "recording"
    assert not (tmp_path / "s" / spool.SPOOL).exists()
    assert recover(tmp_path / "s", lambda _: live_backs.pipeline()).entries == 1200


def test_recovering_tells_how_far_it_is(tmp_path):
    told = story("whole")
    with Journal(tmp_path / "s", MANIFEST) as journal:
        for one in told:
            journal.append(one)
    shares = []
    recover(tmp_path / "s", lambda _: live_backs.pipeline(), shares.append)
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert 0.5 < shares[-1] <= 1.0
    assert len(shares) == -(-len(told) // closing._TOLD_EVERY)


def test_a_session_closed_twice_with_rows_is_closed_once(tmp_path):
    done = recorded(tmp_path / "s", story("whole")[:1200])
    again = close_session(tmp_path / "s", live_backs.pipeline())
    assert again.status == "kept"
    assert again.manifest == json.loads(json.dumps(done.result.manifest))


def test_memory_does_not_grow_with_what_waits(tmp_path, monkeypatch):
    """A disk that stands still: blocks are refused, and the recording goes on."""
    (tmp_path / "s").mkdir()
    monkeypatch.setattr(TableFiles, "write", lambda *_: time.sleep(0.5))
    rows = Spool(tmp_path / "s", MANIFEST, join_blocks)
    one = live_backs.pipeline().finish()
    for _ in range(4 * spool.MOST_WAITING):
        rows.write(one)
        assert len(rows._waiting) <= spool.MOST_WAITING
    assert "did not take" in rows.failure
    rows.abort()
    assert not (tmp_path / "s" / spool.SPOOL).exists()


def reckoning(base):
    """The plain sensor with an orientation of its own of each sample, which tells samples apart."""

    class Decoder(live_backs.PlainDecoder):
        def push(self, payload, channel=0):
            blocks = super().push(payload, channel)
            for block in blocks:
                own = np.zeros((len(block.ticks), 4))
                own[:, 0], own[:, 1] = 1.0, block.ticks % 1e6 * 1e-6
                block.quat = own
            return blocks

    class Driver(live_backs.PlainDriver):
        def decoder(self, settings):
            return Decoder(settings) if settings.role == base else live_backs.PlainDecoder(settings)

    return Driver()


def with_quats(base="upper"):
    driver = reckoning(base)
    return LivePipeline({role: LiveSensor(driver, Settings(role, 100.0)) for role in ROLES})


def test_what_a_sensor_reckons_itself_is_kept_beside_ours(tmp_path):
    told = story("lost")
    done = recorded(tmp_path / "s", told, pipeline=with_quats)
    recover(done.journal, lambda _: with_quats())
    assert contents(done.journal) == contents(tmp_path / "s")
    samples = pq.read_table(tmp_path / "s" / "samples.parquet")
    role = np.array(samples["role"].to_pylist())
    own = samples["sensor_qx"].to_numpy()
    assert np.isnan(own[role == "lower"]).all()
    gap = np.isnan(samples["acc_x_mps2"].to_numpy())
    assert np.isfinite(own[(role == "upper") & ~gap]).mean() > 0.95  # a nearest sample nearly always
    assert np.isnan(own[gap]).all()
    upper = own[(role == "upper") & np.isfinite(own)]
    sampled = {float(np.float32(us % 1e6 * 1e-6)) for one in told if one.role == "upper" for us in ticks_of(one)}
    assert set(upper.tolist()) <= sampled  # never a mixture


def ticks_of(entry):
    return np.frombuffer(entry.payload, live_backs.ROW)["us"] if entry.kind == "notification" else ()


def test_our_rows_do_not_depend_on_what_a_sensor_reckons():
    told = story("garbled")[:1200]
    with_it, without = with_quats(), live_backs.pipeline()
    for one in told:
        ours, theirs = with_it.push(one), without.push(one)
        assert ours.posture.upper_q.tobytes() == theirs.posture.upper_q.tobytes()
        assert ours.samples.upper.acc.tobytes() == theirs.samples.upper.acc.tobytes()
        assert theirs.samples.upper.quat is None


def test_the_loop_goes_on_beside_long_work():
    async def work():
        turns, waiting = 0, asyncio.ensure_future(aside(lambda: time.sleep(0.3) or "done"))
        while not waiting.done():
            turns += 1
            await asyncio.sleep(0.005)
        return turns, await waiting

    turns, told = asyncio.run(work())
    assert turns > 3
    assert told == "done"


def test_work_beside_the_loop_is_given_up_and_waited_for():
    ended, unwanted = [], threading.Event()

    async def work():
        task = asyncio.ensure_future(aside(lambda: ended.append(unwanted.wait(5.0)), unwanted.set))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(work())
    assert ended == [True]
