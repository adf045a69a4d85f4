"""The session folder, when something goes wrong: whole or not at all, and no flipped bit unseen."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from session_rows import MANIFEST, contents, metrics, posture, run, write

from imuposture._blocks import Event, MetricBlock
from imuposture._errors import PluginError, SessionError
from imuposture.output import SessionFolder, find_kept, open_sessions, parquet


def test_one_flipped_bit_is_found_wherever_it_is(tmp_path):
    result = write(tmp_path / "walk")
    rng = np.random.default_rng(3)
    for name in ("posture", "summary"):
        path = result.path / f"{name}.parquet"
        whole = path.read_bytes()
        for position in [0, len(whole) - 1, *rng.integers(0, len(whole), 100)]:
            damaged = bytearray(whole)
            damaged[position] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            with pytest.raises(SessionError, match=f"{name}.parquet is damaged"):
                getattr(open_sessions(result.path), name)
        path.write_bytes(whole)
    assert open_sessions(result.path).summary.num_rows == 2


def test_other_tools_find_flips_by_the_page_checksums(tmp_path):
    path = write(tmp_path / "walk").path / "posture.parquet"
    whole, column = path.read_bytes(), pq.ParquetFile(path).metadata.row_group(0).column(12)
    end = column.data_page_offset + column.total_compressed_size
    for position in range(end - 200, end, 5):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        with pytest.raises(OSError, match="CRC checksum"):
            pq.read_table(path, page_checksum_verification=True)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "posture.parquet").unlink(), "posture.parquet"),
        (lambda f: (f / "posture.parquet").write_bytes(b""), "posture.parquet is damaged: 0 bytes"),
        (lambda f: (f / "session.json").unlink(), "not a session folder"),
        (lambda f: (f / "session.json").write_text("{"), "session.json is damaged"),
        (lambda f: (f / "session.json").write_text('{"schema_version": 1, "schema_version": 1}'), "a key stands twice"),
        (lambda f: (f / "session.json").write_text('{"schema_version": NaN}'), "NaN is not JSON"),
        (lambda f: (f / "session.json").write_text("[" * 100_000), "nested too deeply"),
        (lambda f: (f / "session.json").write_bytes(b"\xff\xfe\x00"), "session.json is damaged"),
        (lambda f: (f / "session.json").write_text('{"schema_version": 1}'), "does not list the table"),
        (lambda f: (f / "session.json").write_text('{"schema_version": 99}'), "upgrade imuposture"),
    ],
)
def test_a_damaged_folder_is_refused_with_its_file(tmp_path, damage, words):
    folder = write(tmp_path / "walk").path
    damage(folder)
    with pytest.raises(SessionError, match=words):
        _ = open_sessions([folder]).posture


def fail_after(sink: SessionFolder) -> None:
    sink.write(posture(300), metrics())
    raise ZeroDivisionError


def test_an_exception_leaves_nothing(tmp_path):
    deep = SessionFolder(tmp_path / "new" / "deep" / "walk", MANIFEST)
    with pytest.raises(ZeroDivisionError), deep:
        fail_after(deep)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    with pytest.raises(PluginError, match="'kind'"), SessionFolder(tmp_path / "there" / "walk", MANIFEST) as sink:
        sink.write(posture(300), MetricBlock((Event("mark", 0, 0, details={"kind": 1.0}),)))
    assert list(tmp_path.rglob("*")) == [tmp_path / "there"]
    with pytest.raises(SessionError, match="is closed"):
        sink.write(posture(300))


def test_leaving_without_close_leaves_nothing(tmp_path):
    with SessionFolder(tmp_path / "walk", MANIFEST) as sink:
        sink.write(posture(300))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_lost_its_end_is_found_before_it_gets_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "sync", lambda path: os.truncate(path, min(os.path.getsize(path), 20_000)))
    with pytest.raises(SessionError, match=r"posture\.parquet is damaged"):
        write(tmp_path / "walk")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [4, 30_000, -1])
def test_a_byte_that_reached_the_disk_wrong_is_found_before_the_folder_gets_a_name(tmp_path, monkeypatch, place):
    def flip(path: Path) -> None:
        if path.name == "posture.parquet":
            content = bytearray(path.read_bytes())
            content[place] ^= 1
            path.write_bytes(content)

    monkeypatch.setattr(parquet, "sync", flip)
    with pytest.raises(SessionError, match=r"posture\.parquet is damaged: its CRC-32"):
        write(tmp_path / "walk", 3000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE there")
def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path):
    child = run(
        """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        try:
            write(sys.argv[1] + "/walk", 40_000)
        except SessionError as error:
            print(error)
        """,
        tmp_path,
    )
    out, err = child.communicate(timeout=60)
    assert "walk" in out, err
    assert "Nothing was left behind" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_kill_leaves_no_folder_of_the_final_name(tmp_path):
    child = run(
        """
        sink = SessionFolder(sys.argv[1] + "/walk", MANIFEST)
        for i in range(1_000_000):
            sink.write(posture(20_000, start=i * 20_000), metrics())
            print(i, flush=True)
        """,
        tmp_path,
    )
    for _ in range(8):
        assert child.stdout.readline(), child.stderr.read()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert [p.name.startswith(".walk.") for p in tmp_path.iterdir()] == [True]
    with pytest.raises(SessionError, match="holds none"):
        open_sessions(tmp_path)
    write(tmp_path / "walk")  # what was left does not stand in the way
    assert list(open_sessions(tmp_path).results) == ["walk"]


def test_the_same_work_is_kept_and_other_work_refused(tmp_path):
    path = tmp_path / "walk"
    assert find_kept(path, MANIFEST) is None
    write(path)
    kept = find_kept(path, MANIFEST)
    assert kept.status == "kept"
    assert kept.posture.num_rows == 300
    for other in (
        {**MANIFEST, "config_hash": "dead"},
        {**MANIFEST, "input": {"paths": [], "sha256": ["00" * 32]}},
        {**MANIFEST, "input": {**MANIFEST["input"], "calibration_sha256": ["11" * 32]}},
        {},
    ):
        with pytest.raises(SessionError, match=r"another input.*--overwrite"):
            find_kept(path, other)
    with pytest.raises(SessionError, match="--overwrite"):
        find_kept(path, MANIFEST, samples=True)
    with pytest.raises(SessionError, match="--overwrite"):
        SessionFolder(path, MANIFEST)
    assert find_kept(path, {}, overwrite=True) is None
    (path / "events.parquet").unlink()
    with pytest.raises(SessionError, match="not whole; --overwrite"):
        find_kept(path, MANIFEST)


def test_overwriting_replaces_the_whole_folder(tmp_path):
    write(tmp_path / "walk", 300, samples=True)
    write(tmp_path / "walk", 200, overwrite=True)
    assert open_sessions(tmp_path / "walk").posture.num_rows == 200
    assert [p.name for p in tmp_path.iterdir()] == ["walk"]
    assert not (tmp_path / "walk" / "samples.parquet").exists()


def test_a_failed_overwrite_keeps_the_old_session(tmp_path, monkeypatch):
    write(tmp_path / "walk")
    before = contents(tmp_path / "walk")
    rename = os.rename

    def refuse(source, target):
        if str(source).endswith(".partial"):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SessionError, match="Permission denied"):
        write(tmp_path / "walk", 200, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["walk"]
    assert contents(tmp_path / "walk") == before


def test_nothing_but_a_session_is_ever_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("work")
    for name in ("thesis", "file"):
        with pytest.raises(SessionError, match="choose another --out"):
            write(tmp_path / name, overwrite=True)
    (tmp_path / "empty").mkdir()
    assert write(tmp_path / "empty").path.name == "empty"


def test_the_input_is_never_written_over(tmp_path):
    session = write(tmp_path / "walk", samples=True).path
    given = {**MANIFEST, "input": {"paths": [str(session / "samples.parquet")], "sha256": ["ab" * 32]}}
    for work in (lambda: write(session, manifest=given, overwrite=True), lambda: find_kept(session, given)):
        with pytest.raises(SessionError, match="holds the input"):
            work()
