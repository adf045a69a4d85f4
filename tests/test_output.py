"""The session folder: what comes out is what went in, whole or not at all, for every tool that reads Parquet."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from interpreters import environment

import imuposture
from imuposture._blocks import Event, Figure, ImuBlock, MetricBlock, PairBlock, PostureBlock, Quality, SensorRows
from imuposture._errors import PluginError, SessionError
from imuposture.output import Memory, SessionFolder, find_kept, open_sessions, parquet, schema, tables
from imuposture.output import manifest as manifest_file
from imuposture.output.schema import TABLES, arrow_schema

MANIFEST = {"input": {"paths": ["walk.csv"], "sha256": ["ab" * 32], "format": "plain"}, "config_hash": "c0ffee"}


def posture(rows: int, *, start: int = 0, seed: int = 1) -> PostureBlock:
    """Smooth angles on a 100 Hz grid; every 50th row is a gap, and the rotation has no bound in every 7th."""
    index = np.arange(start, start + rows)
    t = index / 100.0
    angles = {}
    for k, field in enumerate(fields(PostureBlock)):
        wave = 20 * np.sin((0.3 + 0.01 * k) * t + k + seed)
        angles[field.name] = np.abs(wave) if "_sd_" in field.name else wave
    gap = index % 50 == 17
    for name, values in angles.items():
        if not name.startswith(("upper_q", "lower_q")):
            values[gap] = np.nan
    angles["axial_rotation_sd_deg"][index % 7 == 3] = np.inf
    quat = np.stack([np.cos(t), np.sin(t), 0 * t, 0 * t], axis=1)
    quat[gap] = np.nan
    quality = np.where(gap, Quality.GAP, Quality.REST).astype(np.uint8)
    given = {"time_s": t, "upper_q": quat, "lower_q": quat[:, ::-1], "quality": quality}
    return PostureBlock(**{**angles, **given, "heading_state": np.full(len(t), 2, np.uint8)})


def metrics(at: float = 0.0) -> MetricBlock:
    bend = Event("repetition", at + 1.0, at + 3.5, "flexion", "forward", 41.5, {"out_of_plane": 0.12})
    rest = Event("break", at + 5.0, at + 70.0)
    share = Figure("time_above_60", 0.25, "1", "exposure.time_above", "flexion", start_s=at, end_s=at + 60)
    return MetricBlock((bend, rest), (share,))


SUMMARY = MetricBlock(
    summary=(
        Figure("range", 52.0, "deg", "rom.range", "lateral_bend", "right", 49.0, 55.0, 5),
        Figure(
            "difference",
            float("nan"),
            "deg",
            "rom.difference",
            "lateral_bend",
            verdict="cannot_tell",
            reason="no calibration",
        ),
    )
)


def write(path, rows=300, *, cuts=(), manifest=MANIFEST, **options):
    with SessionFolder(path, manifest, **options) as sink:
        edges = [0, *cuts, rows]
        for begin, end in itertools.pairwise(edges):
            sink.write(posture(end - begin, start=begin), metrics() if begin == 0 else None)
        return sink.close(SUMMARY, {"notes": ["acceleration read as g"]})


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_every_row_comes_back(tmp_path):
    block, table = posture(300), write(tmp_path / "walk").posture
    assert table.num_rows == 300
    for field in fields(block):
        given = getattr(block, field.name)
        names = [f"{field.name}{c}" for c in "wxyz"] if field.name.endswith("_q") else [field.name]
        for name, values in zip(names, given.T if given.ndim == 2 else [given], strict=True):
            column = table[name]
            finite = np.isfinite(values)
            np.testing.assert_array_equal(column.is_valid().to_numpy(), finite)  # NaN and inf are null, nothing else
            kept = column.drop_null().to_numpy()
            np.testing.assert_array_equal(kept, values[finite].astype(kept.dtype))
    assert table["flexion_deg"].type == pa.float64()
    assert table["flexion_deg"].null_count == 6


def test_figures_and_events_come_back(tmp_path):
    result = write(tmp_path / "walk")
    first, second = result.events.to_pylist()
    assert (first["kind"], first["side"], first["amplitude_deg"], first["out_of_plane"]) == (
        ("repetition", "forward", 41.5, 0.12)
    )
    assert second["plane"] is None
    assert second["out_of_plane"] is None
    assert result.windows.to_pylist()[0]["value"] == 0.25
    known, unknown = result.summary.to_pylist()
    assert (known["low"], known["high"], known["n"], known["verdict"]) == (49.0, 55.0, 5, None)
    assert (unknown["value"], unknown["n"], unknown["verdict"]) == (None, None, "cannot_tell")
    assert unknown["reason"] == "no calibration"


def test_pandas_polars_and_duckdb_agree(tmp_path):
    import pandas as pd

    path = str(write(tmp_path / "walk").path / "posture.parquet")
    by_pandas = pd.read_parquet(path)
    by_polars = pl.read_parquet(path)
    by_duckdb = duckdb.sql(f"select * from read_parquet('{path}')").to_arrow_table()
    assert list(by_pandas.columns) == by_polars.columns == by_duckdb.column_names == arrow_schema("posture").names
    for name in by_polars.columns:
        if name == "timestamp":
            continue
        expected = by_polars[name].to_numpy()
        np.testing.assert_array_equal(by_pandas[name].to_numpy(), expected)
        assert by_polars[name].null_count() == by_duckdb[name].null_count == by_pandas[name].isna().sum()
        np.testing.assert_array_equal(by_duckdb[name].drop_null().to_numpy(), expected[~np.isnan(expected)])


@pytest.mark.parametrize("cuts", [(1, 2, 3), (99,), (100, 200), range(1, 300)], ids=["few", "odd", "even", "single"])
def test_cuts_do_not_change_a_byte(tmp_path, monkeypatch, cuts):
    monkeypatch.setattr(tables, "ROW_GROUP", 128)
    whole, cut = write(tmp_path / "a"), write(tmp_path / "b", cuts=cuts)
    assert contents(whole.path) == contents(cut.path)
    assert pq.ParquetFile(cut.path / "posture.parquet").num_row_groups == 3


def test_order_of_metrics_within_a_block_does_not_show(tmp_path):
    early, late = Event("break", 1.0, 2.0), Event("bout", 3.0, 4.0)
    sinks = [Memory(), Memory()]
    sinks[0].write(posture(1), MetricBlock((early,)))
    sinks[0].write(posture(1), MetricBlock((late,)))
    sinks[1].write(posture(2), MetricBlock((late, early)))
    assert sinks[0].close().events == sinks[1].close().events


def test_memory_holds_what_the_folder_holds(tmp_path):
    sink = Memory(MANIFEST)
    sink.write(posture(300), metrics())
    kept, written = sink.close(SUMMARY), write(tmp_path / "walk")
    for name in ("posture", "events", "windows", "summary"):
        assert getattr(kept, name).equals(getattr(written, name), check_metadata=True)
    assert kept.path is None
    assert kept.status == "memory"


@pytest.mark.parametrize("table", sorted(TABLES.keys() - {"notifications"}))  # which only a closed recording has
def test_every_number_has_a_unit_and_a_meaning(tmp_path, table):
    result = write(tmp_path / "walk", samples=True)
    for field in pq.read_schema(result.path / f"{table}.parquet"):
        assert len(field.metadata[b"description"]) > 10
        assert pa.types.is_string(field.type) or field.metadata[b"unit"]
    if table == "posture":
        bits = json.loads(pq.read_schema(result.path / "posture.parquet").field("quality").metadata[b"bits"])
        assert {1 << int(bit): name for bit, name in bits.items()} == {q.value: q.name.lower() for q in Quality}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=2))])
def test_timestamps_are_utc_of_each_row(tmp_path, zone):
    start = datetime(2026, 3, 1, 9, 30, tzinfo=zone)
    result = write(tmp_path / "walk", manifest={**MANIFEST, "start": start})
    stamps = result.posture["timestamp"].to_pylist()
    assert stamps[0] == start
    assert stamps[123] == start + timedelta(seconds=1.23)
    assert write(tmp_path / "unknown").posture["timestamp"].null_count == 300
    with pytest.raises(SessionError, match="time zone"):
        write(tmp_path / "naive", manifest={**MANIFEST, "start": "2026-03-01T09:30:00"})


def samples(rows: int, start: int = 0) -> PairBlock:
    t = (start + np.arange(rows)) / 100
    acc, gyr = np.stack([t, t + 1, t + 2], 1), np.stack([-t, t, 2 * t], 1)
    acc[rows // 2] = np.nan
    flags = np.zeros(rows, np.uint8)
    return PairBlock(t, SensorRows(acc, gyr, None, flags), SensorRows(2 * acc, gyr, acc, flags))


@pytest.mark.parametrize("pieces", [1, 3])
def test_samples_keep_every_bit_of_both_sensors(tmp_path, monkeypatch, pieces):
    monkeypatch.setattr(tables, "ROW_GROUP", 128)
    size = 300 // pieces
    blocks = [samples(size, i * size) for i in range(pieces)]
    with SessionFolder(tmp_path / "walk", MANIFEST, samples=True) as sink:
        for block in blocks:
            sink.write(posture(size), None, block)
        path = sink.close().path / "samples.parquet"
    frame = pl.read_parquet(path)
    for role in ("upper", "lower"):
        rows = frame.filter(pl.col("role") == role)
        np.testing.assert_array_equal(rows["time_s"], np.concatenate([b.time_s for b in blocks]))
        given = np.concatenate([getattr(b, role).acc for b in blocks])
        np.testing.assert_array_equal(rows.select("^acc_.*$").to_numpy(), given)
        assert rows["mag_x_ut"].null_count() == (300 if role == "upper" else pieces)


def test_samples_of_one_sensor_alone(tmp_path):
    t, three = np.arange(10.0), np.ones((10, 3))
    with SessionFolder(tmp_path / "walk", MANIFEST, samples=True) as sink:
        sink.write(posture(10), None, [ImuBlock("lower", t, three, three)])
        path = sink.close().path / "samples.parquet"
    assert pl.read_parquet(path)["role"].unique().to_list() == ["lower"]


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


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    code = "import sys\nfrom test_output import *\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


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


def test_the_manifest_is_strict_and_always_the_same(tmp_path):
    given = {
        "zeta": np.float64(1.5),
        "alpha": (np.nan, np.array([1, 2])),
        "notes": [Path("a/b"), Quality.GAP],
        **MANIFEST,
    }
    one, two = (write(tmp_path / name, manifest=given).path / "session.json" for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    read = manifest_file.decode(one.read_bytes())
    assert list(read)[:3] == ["schema_version", "software", "intended_use"]
    assert read["alpha"] == [None, [1, 2]]
    assert read["duration_s"] == 2.99
    assert read["software"] == {"name": "imuposture", "version": imuposture.__version__}
    assert "not a medical device" in read["intended_use"]
    assert set(read["tables"]) == {"posture", "events", "windows", "summary"}
    with pytest.raises(SessionError, match=r"alpha\.deep: object"):
        manifest_file.completed({"alpha": {"deep": object()}})


def test_many_sessions_are_one_table(tmp_path):
    write(tmp_path / "out" / "monday", 200)
    with SessionFolder(tmp_path / "out" / "tuesday", MANIFEST) as sink:
        sink.write(posture(100), MetricBlock((Event("hop", 0.0, 1.0, details={"height_m": 0.3, "speed_deg_s": 2.0}),)))
        sink.close()
    both = open_sessions(tmp_path / "out")
    assert both.posture["session"].to_pylist() == ["monday"] * 200 + ["tuesday"] * 100
    rows = both.events.to_pylist()
    assert [row["height_m"] for row in rows] == [None, None, 0.3]
    assert both.events.field("speed_deg_s").metadata[b"unit"] == b"deg/s"
    assert both.summary.num_rows == 2
    assert both.manifests["monday"]["notes"] == ["acceleration read as g"]
    with pytest.raises(SessionError, match="twice"):
        open_sessions([tmp_path / "out" / "monday", tmp_path / "out" / "monday"])


def test_sessions_of_one_name_are_told_apart(tmp_path):
    paths = [write(tmp_path / who / "walk", 10).path for who in ("p1", "p2")]
    assert list(open_sessions(paths).results) == [p.as_posix() for p in paths]


def test_an_older_session_lacks_a_column_and_has_nulls(tmp_path, monkeypatch):
    older = {**TABLES, "summary": tuple(column for column in TABLES["summary"] if column.name != "n")}
    with monkeypatch.context() as then:
        then.setattr(schema, "TABLES", older)
        write(tmp_path / "old", 10)
        assert "n" not in pq.read_schema(tmp_path / "old" / "summary.parquet").names
    write(tmp_path / "new", 10)
    table = open_sessions(tmp_path).summary
    assert table.schema.names == ["session", *arrow_schema("summary").names]
    assert [(row["session"], row["n"]) for row in table.to_pylist()] == [
        ("new", 5),
        ("new", None),
        ("old", None),
        ("old", None),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage there")
def test_memory_does_not_grow_with_the_recording(tmp_path):
    child = run(
        """
        import resource
        def most():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1024
        block = posture(65_536)
        with SessionFolder(sys.argv[1] + "/walk", MANIFEST) as sink:
            for _ in range(5): sink.write(block)
            before = most()
            for _ in range(16): sink.write(block)
            sink.close()
        print(most() - before)
        """,
        tmp_path,
    )
    out, err = child.communicate(timeout=60)
    assert float(out) < 60, err  # MB; the 16 batches are 180 MB in memory


def test_nothing_heavy_is_loaded_to_write(tmp_path):
    child = run(
        """
        code = '''import sys; from imuposture.output import Memory, SessionFolder
        with SessionFolder(sys.argv[1], {}) as sink: sink.close()
        print("done", *{"pandas", "scipy.signal", "bleak", "matplotlib"} & set(sys.modules))'''
        subprocess.run([sys.executable, "-c", textwrap.dedent(code), sys.argv[1] + "/walk"])
        """,
        tmp_path,
    )
    out, err = child.communicate(timeout=60)
    loaded = set(out.split())
    if int(pa.__version__.split(".")[0]) < 26:  # an older pyarrow loads pandas itself
        loaded -= {"pandas"}
    assert loaded == {"done"}, out + err
