"""The journal: what it acknowledged is there, whatever happened while it was written."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from recorded import MANIFEST, Walk, entries, entry, recorded

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output import Journal, journal, read_entries, recover
from imuposture.output import manifest as manifest_file

FILE, LOG = "journal.sqlite", "journal.sqlite-wal"


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> Path:
    """A journal that was closed as it should be; 600 entries."""
    folder = tmp_path_factory.mktemp("closed") / "s"
    recorded(folder, 600)
    return folder


@pytest.fixture
def stalled(monkeypatch):
    """Let the disk stand still from ``clear`` to ``set``."""
    runs = threading.Event()
    runs.set()
    commit = Journal._commit

    def waiting(self) -> None:
        assert runs.wait(20)
        commit(self)

    monkeypatch.setattr(Journal, "_commit", waiting)
    yield runs
    runs.set()


def test_what_is_appended_comes_back(tmp_path):
    given = [
        Entry(0, "link", "upper", 1, 0, b"{}"),
        Entry(-5, "command", None, 0, 0, b""),
        Entry(2**62, "read", "lower", 2**32 - 1, 65535, b"\xff" * 65536),
        *(Entry(k, "notification", "upper", 1, 2, os.urandom(k)) for k in (1, 20, 3000, 4040, 4061, 4062, 5000, 9000)),
        *entries(500),
    ]
    with Journal(tmp_path / "s", MANIFEST) as sink:
        for one in given:
            sink.append(one)
        assert sink.flush() == sink.acknowledged == sink.appended == len(given)
        assert list(read_entries(tmp_path / "s")) == given  # from the log
    assert list(read_entries(tmp_path / "s")) == given  # from the file
    assert sorted(os.listdir(tmp_path / "s")) == [FILE, "session.json"]


def test_any_tool_that_reads_sqlite_reads_the_same(closed):
    database = sqlite3.connect(f"file:{closed / FILE}?mode=ro", uri=True)
    rows = database.execute("SELECT * FROM entries ORDER BY number").fetchall()
    pragmas = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    assert pragmas == [int.from_bytes(b"IMUP", "big"), 1]
    kinds, roles = ("notification", "read", "link", "command"), (None, "upper", "lower")
    found = [Entry(row[1], kinds[row[2]], roles[row[3]], row[4], row[5], row[6]) for row in rows]
    assert found == list(read_entries(closed)) == entries(600)
    assert [row[0] for row in rows] == list(range(600))


def test_the_manifest_is_there_first_and_says_recording(tmp_path, monkeypatch):
    def refuse(path):
        assert manifest_file.load(path.parent)["state"] == "beginning"
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(journal, "_created", refuse)
    with pytest.raises(SessionError, match=r"cannot begin a recording in .*: unable to open"):
        Journal(tmp_path / "s", MANIFEST)
    monkeypatch.undo()
    assert os.listdir(tmp_path / "s") == []
    with Journal(tmp_path / "s", {**MANIFEST, "start": "2026-03-01T09:30:00+01:00"}):
        there = manifest_file.load(tmp_path / "s")
    assert there["state"] == "recording"
    assert there["start"] == "2026-03-01T09:30:00+01:00"
    assert there["placement"] == "lumbar"


def test_entries_wait_for_their_transaction_and_no_longer(tmp_path):
    told = []
    with Journal(tmp_path / "s", MANIFEST, interval_s=60.0, on_acknowledged=told.append) as sink:
        for one in entries(10):
            sink.append(one)
        assert sink.acknowledged == 0
        assert sink.flush() == 10
    with Journal(tmp_path / "t", MANIFEST, interval_s=0.01, on_acknowledged=told.append) as sink:
        sink.append(entry(0))
        assert sink.wait_acknowledged(1) == 1
        with pytest.raises(SessionError, match="did not take 1 entries"):
            sink.wait_acknowledged(2, 0.01)
    assert told == [10, 1]


def test_closing_brings_the_last_entries_to_the_disk(tmp_path):
    with Journal(tmp_path / "s", MANIFEST, interval_s=60.0) as sink:
        for one in entries(10):
            sink.append(one)
    assert sink.close() == sink.acknowledged == 10
    assert list(read_entries(tmp_path / "s")) == entries(10)
    with pytest.raises(SessionError, match="is closed"):
        sink.append(entry(10))


@pytest.mark.parametrize(
    "wrong",
    [
        Entry(0, "notice", "upper", 1, 0, b""),
        Entry(0, "link", "middle", 1, 0, b""),
        Entry(2**63, "link", "upper", 1, 0, b""),
        Entry(0, "link", "upper", -1, 0, b""),
        Entry(0, "link", "upper", 1, 65536, b""),
        Entry(0, "notification", "upper", 1, 0, bytes(65537)),
    ],
)
def test_what_is_no_entry_is_refused_and_nothing_else(tmp_path, wrong):
    with Journal(tmp_path / "s", MANIFEST) as sink:
        sink.append(entry(0))
        with pytest.raises(SessionError, match=r"journal (cannot keep|keeps payloads)"):
            sink.append(wrong)
        sink.append(entry(1))
    assert list(read_entries(tmp_path / "s")) == entries(2)


def test_one_recorder_a_folder(tmp_path):
    code = "import sys; from imuposture.output import Journal; Journal(sys.argv[1], {})"
    with Journal(tmp_path / "s", MANIFEST) as sink:
        sink.append(entry(0))
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "s"], capture_output=True, text=True, check=False
        )
        assert f"in use by process {os.getpid()}" in other.stderr
        with pytest.raises(SessionError, match=f"in use by process {os.getpid()}"):
            Journal(tmp_path / "s", MANIFEST)
        list(read_entries(tmp_path / "s"))
        with pytest.raises(SessionError, match="in use"):  # also after somebody read
            Journal(tmp_path / "s", MANIFEST)
    with pytest.raises(SessionError, match="imuposture recover"):
        Journal(tmp_path / "s", MANIFEST)
    assert list(read_entries(tmp_path / "s")) == [entry(0)]


def test_a_recording_begins_in_an_empty_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    Journal(tmp_path / "mine", MANIFEST).close()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.odt").write_text("three years")
    with pytest.raises(SessionError, match=r"'chapter.odt'.*choose another --out"):
        Journal(tmp_path / "thesis", MANIFEST)
    with pytest.raises(SessionError, match="cannot make the folder"):
        Journal(tmp_path / "thesis" / "chapter.odt", MANIFEST)
    assert os.listdir(tmp_path / "thesis") == ["chapter.odt"]


def test_too_little_space_is_said_before_anything_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(journal.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 2**20, 2**20))
    with pytest.raises(SessionError, match=rf"{tmp_path / 's'}: 1 MB are free.*need 64 MB"):
        Journal(tmp_path / "s", MANIFEST)


def test_a_stalled_disk_costs_bounded_memory_and_no_entry(tmp_path, stalled):
    with Journal(tmp_path / "s", MANIFEST, interval_s=0.01) as sink:
        stalled.clear()
        tracemalloc.start()
        for number in range(12_000):  # 30 s of two sensors at 200 Hz
            sink.append(entry(number))
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sink.acknowledged == 0
        assert 0 < sink.pressure < 0.2
        stalled.set()
        assert sink.flush() == 12_000
        assert sink.pressure == 0
    assert grown < 10e6  # of the 50 MB that are allowed
    assert sum(1 for _ in read_entries(tmp_path / "s")) == 12_000


def test_beyond_its_memory_entries_are_refused_counted_and_told(tmp_path, stalled, monkeypatch):
    monkeypatch.setattr(journal, "MOST_WAITING", 20_000)
    given = []
    with Journal(tmp_path / "s", MANIFEST, interval_s=0.01) as sink:
        stalled.clear()
        for number in range(100):
            try:
                sink.append(entry(number))
                given.append(entry(number))
            except SessionError as error:
                assert "does not answer" in str(error)  # noqa: PT017 - most of them are taken
        assert sink.refused == 100 - len(given) > 0
        assert sink.pressure >= 1
        stalled.set()
        sink.flush()
        sink.append(entry(100))
    assert list(read_entries(tmp_path / "s")) == [*given, entry(100)]


def record_until_it_fails(folder: Path, pages: int | None = None) -> int:
    """Record until the disk is full; return how many entries were acknowledged."""
    sink = Journal(folder, MANIFEST, interval_s=0.001)
    if pages:
        sink._database.execute(f"PRAGMA max_page_count={pages}")  # SQLite says then what it says of a full disk
    with pytest.raises(SessionError, match=rf"{folder}.*full.*\d+ of \d+ entries are kept.*imuposture recover"):
        append_for_ever(sink)
    with pytest.raises(SessionError, match="full"):
        sink.close()
    return sink.acknowledged


def append_for_ever(sink: Journal) -> None:
    for number in range(10**6):
        sink.append(entry(number))
        if number % 50 == 0:
            sink.flush()


def test_a_full_disk_loses_nothing_acknowledged(tmp_path):
    acknowledged = record_until_it_fails(tmp_path / "s", pages=20)
    kept = list(read_entries(tmp_path / "s"))
    assert 0 < acknowledged <= len(kept)
    assert kept == entries(len(kept))


def test_room_made_in_time_loses_nothing_at_all(tmp_path):
    sink = Journal(tmp_path / "s", MANIFEST)
    sink._database.execute("PRAGMA max_page_count=20")
    for one in entries(5000):
        sink.append(one)
    with pytest.raises(SessionError, match="full"):
        sink.flush()
    with pytest.raises(SessionError, match="full"):
        sink.append(entry(5000))
    sink._database.execute("PRAGMA max_page_count=1000000")
    assert sink.close() == 5000
    assert list(read_entries(tmp_path / "s")) == entries(5000)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte, where this may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        sys.platform != "linux"
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no file system may be mounted here; the test with a file system inside SQLite stands for it")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_really_full(small_disk, monkeypatch):
    monkeypatch.setattr(journal, "SPACE", 0)
    acknowledged = record_until_it_fails(small_disk / "s")
    kept = list(read_entries(small_disk / "s"))
    assert 1000 < acknowledged <= len(kept)
    assert kept == entries(len(kept))
    with pytest.raises(SessionError, match=rf"cannot close {small_disk / 's'}.*No space left.*journal is kept"):
        recover(small_disk / "s", lambda _: Walk())
    assert list(read_entries(small_disk / "s")) == kept
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    assert recover(small_disk / "s", lambda _: Walk()).entries == len(kept)
    assert list(read_entries(small_disk / "s")) == kept


def test_a_folder_that_is_gone_is_noticed(tmp_path):
    sink = Journal(tmp_path / "s", MANIFEST)
    sink.append(entry(0))
    sink.flush()
    shutil.rmtree(tmp_path / "s")
    sink.append(entry(1))
    with pytest.raises(SessionError, match="No such file"):
        sink.flush()
    with pytest.raises(SessionError, match="No such file"):
        sink.close()
    assert sink.acknowledged == 1


def test_an_earlier_error_is_not_hidden_by_the_journal(tmp_path):
    with pytest.raises(KeyError), Journal(tmp_path / "s", MANIFEST) as sink:
        raise_with_the_folder_gone(sink)


def raise_with_the_folder_gone(sink: Journal) -> None:
    sink.append(entry(0))
    shutil.rmtree(sink.folder)
    raise KeyError("the first thing that went wrong")


def test_nobody_else_writes_into_a_journal(tmp_path):
    with Journal(tmp_path / "s", MANIFEST) as sink:
        sink.append(entry(0))
        sink.flush()
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('DELETE FROM entries')"
        other = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "s" / FILE], capture_output=True, text=True, check=False
        )
        assert "database is locked" in other.stderr
        sink.append(entry(1))
    assert list(read_entries(tmp_path / "s")) == entries(2)
