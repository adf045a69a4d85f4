"""The session folder: what comes out is what went in, for every tool that reads Parquet."""

import json
import sys
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from session_rows import MANIFEST, SUMMARY, contents, metrics, posture, run, samples, write

import imuposture
from imuposture._blocks import Event, ImuBlock, MetricBlock, Quality
from imuposture._errors import SessionError
from imuposture.output import Memory, SessionFolder, open_sessions, schema, tables
from imuposture.output import manifest as manifest_file
from imuposture.output.schema import TABLES, arrow_schema


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
