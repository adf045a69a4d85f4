"""Recovery: a recorder may be killed at any moment; what it acknowledged is there, and the folder becomes a session.

Set IMUPOSTURE_SOAK=1 for 200 kills instead of 10.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from dataclasses import dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Self

import live_backs
import numpy as np
import pytest
from interpreters import environment
from recorded import MANIFEST, Walk, entries, entry, recorded

from imuposture._errors import SessionError
from imuposture.acquisition.simulation.scripts import calibration
from imuposture.output import Journal, close_session, read_entries, recover
from imuposture.output import manifest as manifest_file
from imuposture.pipeline import join_rows

SOAK = "IMUPOSTURE_SOAK" in os.environ
KILLS = 200 if SOAK else 10
# Two sensors of 200 Hz; by default ten times as fast, with transactions ten times as often, for a tenth of the time.
RATE_HZ, INTERVAL_S, LONGEST_S = (400, 0.5, 3.0) if SOAK else (4000, 0.05, 0.3)
MOST_UNACKNOWLEDGED_S = 1.0  # on a disk that takes a transaction within half a second

# Imports once, then forks a recorder for each line it reads, the folder to record into; says its number, and when it
# is gone. The recorder notes in two files when it appended each of its entries, and how many were acknowledged.
RECORDERS = """
    import os, struct, sys, time
    from imuposture.output import Journal
    from recorded import MANIFEST, Walk, entries, entry, recorded

    def record(folder, rate_hz, interval_s):
        taken, kept = (os.open(folder + end, os.O_RDWR | os.O_CREAT) for end in (".taken", ".kept"))
        told = lambda count: os.pwrite(kept, b"%12d" % count, 0)
        journal = Journal(folder, MANIFEST, interval_s=interval_s, on_acknowledged=told)
        begin, number = time.monotonic(), 0
        while True:
            while number < rate_hz * (time.monotonic() - begin):
                now = struct.pack("d", time.monotonic())
                journal.append(entry(number))
                os.pwrite(taken, now, 8 * number)
                number += 1
            time.sleep(0.002)

    for line in sys.stdin:
        child = os.fork()
        if not child:
            record(line.strip(), *map(float, sys.argv[1:]))
        print(child, flush=True)
        os.waitpid(child, 0)
        print("gone", flush=True)
"""


class Recorders:
    """Starts and kills recorders."""

    def __init__(self) -> None:
        self._run = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RECORDERS), str(RATE_HZ), str(INTERVAL_S)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, folder: Path) -> int:
        self._run.stdin.write(f"{folder}\n")
        self._run.stdin.flush()
        return int(self._run.stdout.readline())

    def kill(self, process: int) -> float:
        """Kill it; return when."""
        at_s = time.monotonic()
        os.kill(process, signal.SIGKILL)
        assert self._run.stdout.readline() == "gone\n"
        return at_s

    def end(self) -> None:
        self._run.stdin.close()
        self._run.wait(10)
        self._run.stdout.close()


@pytest.fixture(scope="module")
def recorders():
    if not hasattr(os, "fork"):
        pytest.skip("recorders are forked")
    run = Recorders()
    yield run
    run.end()


class Witness:
    """Writes a few bytes to the same disk again and again: what it waits for, the journal waits for as well."""

    def __init__(self, path: Path) -> None:
        self._path, self._ending = path, threading.Event()
        self.waits: list[tuple[float, float]] = []  # end and length, s
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ending.set()
        self._thread.join()

    def _write(self) -> None:
        with self._path.open("wb", buffering=0) as file:
            while not self._ending.is_set():
                begin = time.monotonic()
                file.write(b"x" * 4096)
                os.fsync(file.fileno())
                time.sleep(0.02)
                end = time.monotonic()
                self.waits.append((end, end - begin))

    def longest(self, begin_s: float, end_s: float) -> float:
        """Return its longest wait that reaches into a while, s."""
        return max((wait for end, wait in self.waits if end > begin_s and end - wait < end_s), default=0.0)


@dataclass
class Left:
    """What a killed recorder left.

    ``age_s``: for how long the oldest entry that was lost had been waiting; ``pause_s``: for how long at most the
    recorder did not run meanwhile (it appends every 2.5 ms); ``disk_s``: the witness' longest wait meanwhile.
    """

    state: str
    lost: int = 0
    age_s: float = 0.0
    pause_s: float = 0.0
    disk_s: float = 0.0


def told(folder: Path, end: str) -> int:
    path = folder.with_name(folder.name + end)
    return int(path.read_text() or 0) if path.exists() else 0


def times_of(folder: Path) -> np.ndarray:
    """Return when each entry was appended."""
    path = folder.with_name(folder.name + ".taken")
    return np.frombuffer(path.read_bytes() if path.exists() else b"")


def check_nothing_is_lost(folder: Path, killed_s: float = 0.0, disk: Witness | None = None) -> Left:
    """Recover what a killed recorder left, and compare it with what that had noted; return what was unacknowledged."""
    acknowledged, appended = told(folder, ".kept"), times_of(folder)
    if not folder.exists():
        assert not acknowledged
        return Left("not begun")
    done = recover(folder, lambda _: Walk())
    assert acknowledged <= done.entries <= len(appended) + 1  # killed between an entry and the note of it
    assert done.damaged == ()
    if done.state == "recovered":
        assert list(read_entries(folder)) == entries(done.entries)
        done.result.verify()
    lost = appended[done.entries :]
    if not len(lost):
        return Left(done.state)
    pause_s = float(np.diff([*lost, max(killed_s, lost[-1])]).max())
    disk_s = disk.longest(lost[0], killed_s) if disk else 0.0
    return Left(done.state, len(lost), killed_s - float(lost[0]), pause_s, disk_s)


def test_kills_at_any_moment_lose_nothing_acknowledged(tmp_path, recorders):
    rng = random.Random(11)
    left = []
    for kill in range(KILLS):
        folder = tmp_path / f"s{kill}"
        with Witness(tmp_path / "witness") as disk:
            process = recorders.start(folder)
            while kill % 2 and not told(folder, ".kept"):  # every other one once it is well on its way
                time.sleep(0.001)
            time.sleep(LONGEST_S * rng.random())
            killed_s = recorders.kill(process)
        left.append(check_nothing_is_lost(folder, killed_s, disk))
    states, ages = [one.state for one in left], np.array([one.age_s for one in left])
    late = [one for one in left if one.age_s > MOST_UNACKNOWLEDGED_S]
    print(f"{len(left)} kills: {Counter(states)}; unacknowledged: median {np.median(ages):.3f} s, ", end="")
    print(f"p95 {np.percentile(ages, 95):.3f} s, longest {ages.max():.3f} s; longer than 1 s: {late or 'none'}")
    assert set(states) <= {"not begun", "empty", "recovered"}
    assert states.count("recovered") >= KILLS / 2
    for one in late:  # only what a machine that stood still explains
        assert one.age_s - one.pause_s - one.disk_s <= MOST_UNACKNOWLEDGED_S, one


def test_a_living_recorder_is_left_in_peace(tmp_path, recorders):
    process = recorders.start(tmp_path / "s")
    while not told(tmp_path / "s", ".kept"):
        time.sleep(0.001)
    with pytest.raises(SessionError, match=f"in use by process {process}"):
        recover(tmp_path / "s", lambda _: pytest.fail("it must not be walked"))
    recorders.kill(process)
    assert recover(tmp_path / "s", lambda _: Walk()).state == "recovered"


def test_recovering_says_what_it_found(tmp_path):
    recorded(tmp_path / "s", 100)
    manifests = []
    done = recover(tmp_path / "s", lambda manifest: manifests.append(manifest) or Walk())
    assert str(done) == f"{tmp_path / 's'} was recovered: 100 entries"
    assert manifests[0]["sensors"] == MANIFEST["sensors"]
    assert manifests[0]["state"] == "recording"
    again = recover(tmp_path / "s", lambda _: pytest.fail("nothing is left to be walked"))
    assert str(again) == f"{tmp_path / 's'} is closed already, with 100 entries"
    assert again.result.posture.equals(done.result.posture)


def test_recovering_says_what_was_lost(tmp_path):
    recorded(tmp_path / "s", 300)
    content = bytearray((tmp_path / "s" / "journal.sqlite").read_bytes())
    for number in range(20, 300, 20):
        content[content.index(entry(number).payload) + 3] ^= 1
    (tmp_path / "s" / "journal.sqlite").write_bytes(content)
    done = recover(tmp_path / "s", lambda _: Walk())
    assert done.entries == 286
    assert [damage.first for damage in done.damaged] == list(range(20, 300, 20))
    assert "286 entries; entry 20 is damaged; entry 40 is damaged" in str(done)
    assert str(done).endswith("and 4 more damaged places")


def test_a_recorder_that_died_at_once_left_nothing(tmp_path):
    (tmp_path / "s").mkdir()
    assert recover(tmp_path / "s", lambda _: Walk()).state == "empty"
    (tmp_path / "s" / ".session.json.partial").write_text('{"schema_ver')
    assert recover(tmp_path / "s", lambda _: Walk()).state == "empty"
    (tmp_path / "s" / ".session.json.partial").unlink()
    manifest_file.put(tmp_path / "s", manifest_file.completed({"state": "beginning"}))
    done = recover(tmp_path / "s", lambda _: Walk())
    assert done.state == "empty"
    assert "can be removed" in str(done)
    with pytest.raises(SessionError, match="nothing had been recorded"):
        close_session(tmp_path / "s", Walk())


def test_a_journal_that_was_removed_is_not_an_empty_one(tmp_path):
    recorded(tmp_path / "s", 10)
    (tmp_path / "s" / "journal.sqlite").unlink()
    with pytest.raises(SessionError, match=r"holds no journal.sqlite"):
        recover(tmp_path / "s", lambda _: Walk())


def test_a_recording_without_entries_becomes_a_session_without_rows(tmp_path):
    Journal(tmp_path / "s", MANIFEST).close()
    done = recover(tmp_path / "s", lambda _: Walk())
    assert (done.state, done.entries) == ("recovered", 0)
    assert done.result.posture.num_rows == 0
    assert list(read_entries(tmp_path / "s")) == []


def test_a_recovered_session_has_the_rows_of_the_live_one(tmp_path):
    sent = live_backs.entries(live_backs.calibrated_back(calibration()))[:600]
    live, shown = live_backs.pipeline(), []
    with Journal(tmp_path / "s", MANIFEST) as journal:
        for one in sent:
            journal.append(one)
            shown.append(live.push(one))
        journal.flush()
        shutil.copytree(tmp_path / "s", tmp_path / "dead", ignore=shutil.ignore_patterns(".lock"))
    posture = reduce(join_rows, [*shown, live.finish()]).posture
    result = recover(tmp_path / "dead", lambda _: live_backs.pipeline()).result
    assert result.posture.num_rows == len(posture) > 1000
    for member in fields(posture):
        values = getattr(posture, member.name)
        names = [f"{member.name}{c}" for c in "wxyz"] if values.ndim == 2 else [member.name]
        for name, column in zip(names, values.reshape(len(posture), -1).T, strict=True):
            kept = result.posture[name].to_numpy()
            expected = np.where(np.isfinite(column), column, np.nan).astype(kept.dtype)
            np.testing.assert_array_equal(kept, expected, err_msg=name)
    assert result.manifest["alignment"]["clocks"]
    assert result.manifest["links"]
