"""Closing: the journal becomes the session, or it stays; whenever it is interrupted, once more gives the same rows."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from interpreters import environment
from recorded import MANIFEST, Walk, entries, recorded

from imuposture._errors import RecordingError, SessionError
from imuposture.acquisition.readers import open_recording
from imuposture.output import (
    SessionFolder,
    close_session,
    find_kept,
    notifications,
    open_sessions,
    read_entries,
    tables,
)
from imuposture.output import manifest as manifest_file
from imuposture.output.parquet import TableFile
from imuposture.output.schema import arrow_schema

WHOLE = [f"{table}.parquet" for table in ("events", "notifications", "posture", "samples", "summary", "windows")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def journal(tmp_path_factory) -> Path:
    """A journal of 2000 entries, ready to be closed."""
    folder = tmp_path_factory.mktemp("journal") / "s"
    recorded(folder)
    return folder


@pytest.fixture
def session(tmp_path, journal) -> Path:
    """A journal that a test may close."""
    return Path(shutil.copytree(journal, tmp_path / "s"))


def test_a_closed_session_holds_what_was_recorded(session):
    result = close_session(session, Walk(), {"device": "told at the end"})
    assert sorted(os.listdir(session)) == sorted([*WHOLE, "session.json"])
    assert list(read_entries(session)) == entries(2000)
    assert result.manifest["state"] == "closed"
    assert result.manifest["journal"] == {"entries": 2000, "damaged": []}
    assert result.manifest["placement"] == MANIFEST["placement"]
    assert result.manifest["device"] == "told at the end"
    assert result.manifest["notes"] == ["2000 entries were walked"]
    assert result.manifest == manifest_file.load(session)
    assert result.events["kind"].to_pylist() == ["mark"] * 2
    assert result.posture.num_rows == 997
    result.verify()
    assert open_sessions(session).posture.num_rows == 997


def test_notifications_are_the_journal_for_any_reader_of_parquet(session, monkeypatch):
    monkeypatch.setattr(tables, "ROW_GROUP", 300)
    close_session(session, Walk())
    frame = pl.read_parquet(session / "notifications.parquet")
    given = entries(2000)
    for name in ("arrival_ns", "kind", "role", "generation", "channel", "payload"):
        assert frame[name].to_list() == [getattr(one, name) for one in given]
    assert frame["number"].to_list() == list(range(2000))
    schema = pq.read_schema(session / "notifications.parquet")
    assert schema.equals(arrow_schema("notifications"), check_metadata=True)
    for field in schema:
        assert len(field.metadata[b"description"]) > 10
        assert field.type in {"string", "binary"} or field.metadata[b"unit"]


def test_samples_are_what_was_decoded(session):
    close_session(session, Walk())
    frame = pl.read_parquet(session / "samples.parquet")
    upper, lower = (frame.filter(pl.col("role") == role) for role in ("upper", "lower"))
    assert (len(upper), len(lower)) == (999, 997)
    np.testing.assert_array_equal(lower["gyr_x_radps"], np.sin(0.01 * lower["time_s"] * 200).cast(pl.Float32))
    assert upper["sensor_qw"].to_list() == [1.0] * 999
    assert lower["sensor_qw"].null_count() == 997


def test_closing_twice_is_closing_once(session):
    close_session(session, Walk())
    once = contents(session)
    again = close_session(session, Walk())
    assert contents(session) == once
    assert again.status == "kept"


def test_the_same_journal_gives_the_same_bytes(tmp_path, session, journal):
    shutil.copytree(journal, tmp_path / "t")
    close_session(session, Walk())
    close_session(tmp_path / "t", Walk())
    assert contents(session) == contents(tmp_path / "t")


# Runs in a process of its own: every step of a closing that touches the disk becomes the last one, in turn.
CRASHES = """
    import os, pathlib, shutil, sys
    from recorded import Walk
    from imuposture.output import closing, manifest, parquet, recover

    journal, here = map(pathlib.Path, sys.argv[1:])

    def recover_until(step, folder):
        steps = iter(range(10**6))

        def dies(function):
            def touched(*given, **named):
                if next(steps) == step:
                    os._exit(9)
                return function(*given, **named)
            return touched

        for place, name in (
            (os, "replace"), (pathlib.Path, "unlink"), (pathlib.Path, "write_bytes"), (pathlib.Path, "mkdir"),
            (shutil, "rmtree"), (closing, "sync"), (manifest, "sync"), (parquet, "sync"), (os, "rename"),
        ):
            setattr(place, name, dies(getattr(place, name)))
        recover(folder, lambda _: Walk())

    def in_a_child(function, *given):
        child = os.fork()
        if not child:
            function(*given)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    for step in range(1000):
        folder = here / f"crash{step}"
        shutil.copytree(journal, folder)
        code = in_a_child(recover_until, step, folder)
        print(step, "left", sorted(os.listdir(folder)), flush=True)
        assert in_a_child(recover, folder, lambda _: Walk()) == 0
        if code == 0:
            break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="dies by fork")
def test_killed_at_any_step_of_closing_once_more_gives_the_same_session(tmp_path):
    recorded(tmp_path / "journal", 60)
    whole = Path(shutil.copytree(tmp_path / "journal", tmp_path / "whole"))
    close_session(whole, Walk())
    (tmp_path / "crashes").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CRASHES), tmp_path / "journal", tmp_path / "crashes"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    left = run.stdout
    assert all(name in left for name in (".closing", "journal.sqlite", ".session.json.partial", "summary.parquet"))
    crashes = sorted((tmp_path / "crashes").iterdir())
    assert len(crashes) > 25
    for crash in crashes:
        assert contents(crash) == contents(whole), crash.name


def test_a_closing_that_fails_keeps_the_journal(session, monkeypatch):
    before = contents(session)
    monkeypatch.setattr(TableFile, "close", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(SessionError, match=rf"{session}.*No space left.*journal is kept.*imuposture recover"):
        close_session(session, Walk())
    assert contents(session) == before
    monkeypatch.undo()
    close_session(session, Walk())
    assert list(read_entries(session)) == entries(2000)


def test_a_walk_that_fails_keeps_the_journal(session):
    before = contents(session)
    walk = Walk()
    walk.finish = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        close_session(session, walk)
    assert contents(session) == before


def test_tables_that_are_not_what_was_written_keep_the_journal(session, monkeypatch):
    close = TableFile.close

    def rots(self):
        seal = close(self)
        return seal if self._path.stem != "notifications" else rotten(self._path)

    def rotten(path):
        raise SessionError(f"{path} is damaged")

    monkeypatch.setattr(TableFile, "close", rots)
    with pytest.raises(SessionError, match="is damaged"):
        close_session(session, Walk())
    assert list(read_entries(session)) == entries(2000)
    assert sorted(os.listdir(session)) == ["journal.sqlite", "session.json"]


def flipped(path: Path, where: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_no_flipped_bit_of_a_closed_recording_goes_unnoticed(session, where):
    close_session(session, Walk())
    flipped(session / "notifications.parquet", where)
    with pytest.raises(SessionError, match=r"notifications.parquet is damaged"):
        list(read_entries(session))


def test_a_table_with_a_seal_of_its_own_making_is_still_checked(session):
    close_session(session, Walk())
    path = session / "notifications.parquet"
    table = pq.read_table(path)
    payloads = table["payload"].to_pylist()
    for changed, reason in (
        ([b"x" * 70_000, *payloads[1:]], "70000 bytes"),
        ([b"x", *payloads[1:]], "entry 0 is not the one"),
    ):
        at = table.schema.get_field_index("payload")
        pq.write_table(table.set_column(at, table.schema.field(at), [changed]), path)
        with pytest.raises(SessionError, match=reason):
            list(notifications.rows_of(path, None))
    pq.write_table(table.drop_columns(["crc32"]), path)
    with pytest.raises(SessionError, match="column crc32 is not there"):
        list(notifications.rows_of(path, None))
    pq.write_table(table.cast(table.schema.set(0, table.schema.field(0).with_type(pa.float64()))), path)
    with pytest.raises(SessionError, match="number is not there, or not of type int64"):
        list(notifications.rows_of(path, None))


def test_damage_is_told_in_the_manifest_and_the_rest_is_kept(session):
    content = bytearray((session / "journal.sqlite").read_bytes())
    for number in (700, 701, 1500):
        content[content.index(entries(2000)[number].payload) + 3] ^= 1
    (session / "journal.sqlite").write_bytes(content)
    result = close_session(session, Walk())
    assert result.manifest["journal"] == {"entries": 1997, "damaged": [[700, 701], [1500, 1500]]}
    kept = [one for number, one in enumerate(entries(2000)) if number not in {700, 701, 1500}]
    assert list(read_entries(session)) == kept
    told = []
    list(read_entries(session, told.append))
    assert [(damage.first, damage.last) for damage in told] == [(700, 701), (1500, 1500)]


def test_a_recording_is_never_replaced(session):
    for closed in (False, True):
        if closed:
            close_session(session, Walk())
        before = contents(session)
        given = {"input": {"paths": ["walk.csv"], "sha256": ["ab" * 32]}, "config_hash": "c0ffee"}
        with pytest.raises(SessionError, match="never replaced"):
            SessionFolder(session, given, overwrite=True)
        with pytest.raises(SessionError, match="never replaced"):
            find_kept(session, given, overwrite=True)
        assert contents(session) == before


def test_an_open_recording_says_what_to_do(session):
    with pytest.raises(SessionError, match="imuposture recover"):
        _ = open_sessions(session).posture
    with pytest.raises(RecordingError, match="imuposture recover"):
        open_recording(session)


def test_what_was_processed_is_left_alone(tmp_path):
    with SessionFolder(tmp_path / "s", {"input": {"paths": ["walk.csv"], "sha256": ["ab" * 32]}}) as sink:
        sink.close()
    before = contents(tmp_path / "s")
    assert close_session(tmp_path / "s", Walk()).status == "kept"
    assert contents(tmp_path / "s") == before


@pytest.mark.parametrize("what", ["nothing", "file", "empty", "other"])
def test_what_is_no_session_cannot_be_closed(tmp_path, what):
    path = tmp_path / "s"
    if what == "file":
        path.write_text("x")
    elif what != "nothing":
        path.mkdir()
    if what == "other":
        (path / "thesis.odt").write_text("x")
    before = os.listdir(path) if path.is_dir() else None
    with pytest.raises(SessionError, match=r"not a folder|not a session folder|nothing had been recorded"):
        close_session(path, Walk())
    assert (os.listdir(path) if path.is_dir() else None) == before


def test_a_damaged_manifest_is_said_and_the_entries_stay_readable(session):
    (session / "session.json").write_text(json.dumps({"schema_version": 1, "state": "recording"})[:-5])
    with pytest.raises(SessionError, match=r"session.json is damaged"):
        close_session(session, Walk())
    assert list(read_entries(session)) == entries(2000)
