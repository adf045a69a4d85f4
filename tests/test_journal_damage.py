"""Damaged journals: what is not what was written is told, and never used."""

import io
import os
import random
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest
from recorded import MANIFEST, copied, entries, entry, recorded

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output import Damage, Journal, journal, journal_pages, read_entries

SOAK = "IMUPOSTURE_SOAK" in os.environ
FILE, LOG = "journal.sqlite", "journal.sqlite-wal"
ROWS_A_PAGE = 70  # of 48 bytes of payload


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
