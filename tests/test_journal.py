"""The journal: what it acknowledged is there, whatever happened; what is not what was written is told, never used."""

import io
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
from recorded import MANIFEST, Walk, entries, entry, recorded

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output import Damage, Journal, journal, journal_pages, read_entries, recover
from imuposture.output import manifest as manifest_file

SOAK = "IMUPOSTURE_SOAK" in os.environ
FILE, LOG = "journal.sqlite", "journal.sqlite-wal"
ROWS_A_PAGE = 70  # of 48 bytes of payload


def copied(folder: Path, to: Path) -> Path:
    """Copy a session as a dead recorder would have left it at this moment."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".lock"))
    return to


@pytest.fixture(scope="module")
def closed(tmp_path_factory) -> Path:
    """A journal that was closed as it should be; 600 entries."""
    folder = tmp_path_factory.mktemp("closed") / "s"
    recorded(folder, 600)
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """A journal as a killed recorder leaves it: half of the 600 entries are in the log only."""
    folder = tmp_path_factory.mktemp("killed")
    with Journal(folder / "s", MANIFEST) as sink:
        for one in entries(600):
            sink.append(one)
            if sink.appended % 25 == 0:
                sink.flush()
            if sink.appended == 300:
                sink._database.execute("PRAGMA wal_checkpoint")
        copied(folder / "s", folder / "dead")
    assert (folder / "dead" / LOG).stat().st_size > 8 * 4096
    return folder / "dead"


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


def checked(folder: Path, given: list[Entry]) -> tuple[list[Damage], int]:
    """Read a damaged journal: what is missing must be told, and the rest be what was written. Return what was lost."""
    told: list[Damage] = []
    lost = set(range(len(given)))
    found = iter(given)
    position = 0
    for one in read_entries(folder, told.append):
        while next(found) != one:  # StopIteration: an entry that was never appended
            position += 1
        lost.remove(position)
        position += 1
    ends = [len(given) if run.last is None else run.last + 1 for run in told]
    missing = {number for run, end in zip(told, ends, strict=True) for number in range(run.first, end)}
    assert lost <= missing
    assert all(run.last is None for run in told) or missing == lost
    return told, len(lost)


@pytest.mark.parametrize("state", ["closed", "killed"])
def test_no_flipped_bit_goes_unnoticed(tmp_path, request, state):
    folder, given = request.getfixturevalue(state), entries(600)
    shutil.copytree(folder, tmp_path / "s")
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name in {FILE, LOG}}
    rng = random.Random(7)
    losses = []
    for _ in range(1000 if SOAK else 50):
        name = rng.choices(list(files), [len(content) for content in files.values()])[0]
        flipped = bytearray(files[name])
        bit = rng.randrange(8 * len(flipped))
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "s" / name).write_bytes(flipped)
        losses.append(checked(tmp_path / "s", given)[1])
        (tmp_path / "s" / name).write_bytes(files[name])
    assert any(losses) or state == "killed"  # there, most rows stand in several versions of their page
    assert max(losses) <= ROWS_A_PAGE
    assert checked(tmp_path / "s", given) == ([], 0)


@pytest.mark.parametrize("state", ["closed", "killed"])
def test_a_journal_cut_anywhere_gives_what_is_left(tmp_path, request, state):
    folder, given = request.getfixturevalue(state), entries(600)
    shutil.copytree(folder, tmp_path / "s")
    content = (folder / FILE).read_bytes()
    for size in [*range(0, len(content), 4096), 1000, 40_000]:
        (tmp_path / "s" / FILE).write_bytes(content[:size])
        told, lost = checked(tmp_path / "s", given)
        assert told or state == "killed"  # there, the log may hold all that is missing
        assert state == "killed" or lost >= 600 - ROWS_A_PAGE * (size // 4096)


def test_a_log_cut_anywhere_is_that_of_an_earlier_moment(tmp_path, killed):
    shutil.copytree(killed, tmp_path / "s")
    content = (killed / LOG).read_bytes()
    kept = []
    for size in [*range(32, len(content), 4 * 4120), len(content)]:
        (tmp_path / "s" / LOG).write_bytes(content[:size])
        found = list(read_entries(tmp_path / "s"))
        assert found == entries(len(found))
        kept.append(len(found))
    assert kept == sorted(kept)
    assert kept[-1] == 600 > kept[0]


def test_a_missing_log_is_noticed(tmp_path, killed):
    shutil.copytree(killed, tmp_path / "s")
    (tmp_path / "s" / LOG).unlink()
    told, lost = checked(tmp_path / "s", entries(600))
    assert lost >= 300
    assert told == [Damage(600 - lost, None, entry(599 - lost).arrival_ns, None)]
    assert "may be lost" in str(told[0])


def test_a_log_that_is_missing_from_the_start_is_noticed(tmp_path):
    with Journal(tmp_path / "s", MANIFEST) as sink:
        for one in entries(20):
            sink.append(one)
        sink.flush()
        copied(tmp_path / "s", tmp_path / "dead")
    (tmp_path / "dead" / LOG).unlink()
    told, lost = checked(tmp_path / "dead", entries(20))
    assert (told, lost) == ([Damage(0, None, None, None)], 20)


def test_the_last_entry_before_a_kill_is_missed_where_it_is_damaged(tmp_path, killed):
    shutil.copytree(killed, tmp_path / "s")
    for name in (FILE, LOG):
        content = (killed / name).read_bytes()
        (tmp_path / "s" / name).write_bytes(content.replace(entry(598).payload, bytes(len(entry(598).payload))))
    content = (tmp_path / "s" / LOG).read_bytes()
    (tmp_path / "s" / LOG).write_bytes(content.replace(entry(599).payload, bytes(len(entry(599).payload))))
    told, lost = checked(tmp_path / "s", entries(600))
    assert (told, lost) == ([Damage(598, 599, entry(597).arrival_ns, None)], 2)


def marked(count: int) -> bytes:
    """Return a page of the table of marks, of a journal with so many acknowledged entries."""
    page = bytearray(4096)
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("PRAGMA page_size=4096")
    database.executescript(journal._TABLES)
    journal._mark(database, journal.Mark.ACKNOWLEDGED, count)
    whole = database.serialize()
    database.close()
    page[:] = whole[-4096:]
    return bytes(page)


@pytest.mark.parametrize(("salt", "ends", "count"), [(1, 0, 7), (1, 1, 9), (2, 1, 7)])
def test_a_transaction_that_was_cut_off_acknowledges_nothing(salt, ends, count):
    # The frames behind it are those of an earlier use of the log: they have another salt, and say less.
    frames = [(1, 1, marked(7)), (1, 0, marked(9)), (salt, ends, bytes(4096))]
    log = bytes(32) + b"".join(struct.pack(">IIQQ", 3, ended, number, 0) + page for number, ended, page in frames)
    assert journal_pages.Pages(None, io.BytesIO(log)).marks() == {journal.Mark.ACKNOWLEDGED: count}


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


def test_a_missing_file_leaves_what_the_log_holds(tmp_path, killed):
    shutil.copytree(killed, tmp_path / "s")
    (tmp_path / "s" / FILE).unlink()
    told, lost = checked(tmp_path / "s", entries(600))
    assert 0 < lost < 400
    assert told[0].first == 0


def test_pages_that_are_exchanged_or_doubled_change_nothing(tmp_path, closed):
    shutil.copytree(closed, tmp_path / "s")
    content = (closed / FILE).read_bytes()
    pages = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    random.Random(1).shuffle(pages)
    (tmp_path / "s" / FILE).write_bytes(b"".join([*pages, *pages[:5]]))
    assert list(read_entries(tmp_path / "s")) == entries(600)


def test_without_anybody_to_tell_damage_is_an_error(tmp_path, closed):
    shutil.copytree(closed, tmp_path / "s")
    content = bytearray((closed / FILE).read_bytes())
    content[content.index(entry(100).payload) + 5] ^= 16
    (tmp_path / "s" / FILE).write_bytes(content)
    with pytest.raises(SessionError, match=r"entry 100 is damaged; imuposture recover"):
        list(read_entries(tmp_path / "s"))
    told, lost = checked(tmp_path / "s", entries(600))
    assert told == [Damage(100, 100, entry(99).arrival_ns, entry(101).arrival_ns)]
    assert lost == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 9000, b"SQLite format 3\0" + bytes(100), b"\x0d\xff" * 40960])
def test_what_is_no_journal_gives_nothing(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(SessionError, match="may be lost"):
        list(read_entries(tmp_path))


def test_what_is_no_file_is_not_opened(tmp_path, closed):
    with pytest.raises(SessionError, match="not a session folder"):
        list(read_entries(tmp_path))
    (tmp_path / FILE).symlink_to(closed / FILE)
    with pytest.raises(SessionError, match="holds no journal"):
        list(read_entries(tmp_path))
    if hasattr(os, "mkfifo"):
        (tmp_path / FILE).unlink()
        os.mkfifo(tmp_path / FILE)
        with pytest.raises(SessionError, match="holds no journal"):
            list(read_entries(tmp_path))


def test_hostile_pages_only_cost_time(tmp_path, killed):
    shutil.copytree(killed, tmp_path / "s")
    rng = random.Random(3)
    given = set(entries(600))
    for _ in range(200 if SOAK else 10):
        for name in (FILE, LOG):
            content = bytearray((killed / name).read_bytes())
            for _ in range(rng.randrange(1, 400)):
                at = rng.randrange(len(content))
                content[at : at + 4] = rng.choice([b"\xff" * 4, bytes(4), rng.randbytes(4), content[:4]])
            (tmp_path / "s" / name).write_bytes(content)
        assert set(read_entries(tmp_path / "s", lambda _: None)) <= given


def test_a_page_that_claims_to_go_on_for_ever_is_let_go():
    varints = b"\x84\x80\x20" + b"\x05"  # a record of 65 568 bytes, row 5
    page = bytearray(4096)
    page[8:10] = (100).to_bytes(2, "big")
    page[100:104] = varints

    class Endless:
        def seek(self, place, whence=0):
            return 4096 if whence else place

        def read(self, size):
            return bytes(page)

    assert list(journal_pages.Pages(Endless(), None).rows(bytes(page))) == []
