"""Readers give the rows that are in the file, in SI units, and say what they assumed."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import EntryPoint
from pathlib import Path

import input_corpus as corpus
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from imuposture import _errors
from imuposture._blocks import ImuBlock
from imuposture.acquisition.readers import Recording, csv_table, describe, open_pair, open_recording, registry, sanity
from imuposture.acquisition.readers.text import safe_text
from imuposture.acquisition.readers.timing import Elapsed, nominal_rate, tick_steps

DEG = 180 / np.pi


def joined(recording: Recording, role: str) -> ImuBlock:
    blocks = [block for block in recording.blocks() if block.role == role]
    parts = [np.concatenate([getattr(block, name) for block in blocks]) for name in ("ticks", "acc", "gyr")]
    return ImuBlock(blocks[0].role, *parts)


def stacked(columns: corpus.Columns, role: str, quantity: str) -> np.ndarray:
    return np.column_stack([columns[f"{role}_{quantity}_{axis}"] for axis in corpus.AXES])


def write(path: Path, columns: corpus.Columns, toml: str = "") -> Path:
    if path.suffix == ".csv":
        path.write_text(corpus.csv_text(columns))
    else:
        parquet.write_table(pa.table(columns), path)
    if toml:
        path.with_suffix(".toml").write_text(toml)
    return path


def rounded() -> corpus.Columns:
    """The good columns as the CSV holds them."""
    return {name: np.array([float(f"{v:.6f}") for v in column]) for name, column in corpus.good_columns().items()}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_rows_are_those_of_the_file(tmp_path: Path, suffix: str) -> None:
    columns = rounded()
    recording = open_recording(write(tmp_path / f"walk{suffix}", columns))
    assert [stream.role for stream in recording.streams] == ["upper", "lower"]
    for role in ("upper", "lower"):
        block = joined(recording, role)
        np.testing.assert_array_equal(block.ticks, columns["time_s"])
        np.testing.assert_array_equal(block.acc, stacked(columns, role, "acc"))
        np.testing.assert_array_equal(block.gyr, stacked(columns, role, "gyr"))
    upper, lower = list(recording.blocks())[:2]
    assert upper.ticks is lower.ticks
    assert recording.streams[0].rate_hz == corpus.RATE
    assert recording.notes == ()


def test_cut_law_the_rows_do_not_depend_on_the_blocks_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "walk.csv", corpus.good_columns())
    whole = joined(open_recording(path), "lower")
    for size in (400, 5000):
        monkeypatch.setattr(csv_table, "BLOCK_BYTES", size)
        recording = open_recording(path)
        pieces = joined(recording, "lower")
        assert recording.streams == open_recording(path).streams
        for name in ("ticks", "acc", "gyr"):
            np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))


def test_a_recording_is_read_again_from_the_start(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path / "walk.csv", corpus.good_columns(), 'units = { gyr = "rad/s" }'))
    half = recording.blocks()
    next(half)
    first, second = joined(recording, "upper"), joined(recording, "upper")
    np.testing.assert_array_equal(first.acc, second.acc)
    np.testing.assert_array_equal(first.ticks, second.ticks)
    assert len(first.ticks) == len(corpus.good_columns()["time_s"])


@pytest.mark.parametrize(("delimiter", "end", "mark"), [(";", "\n", ""), ("\t", "\r\n", ""), (",", "\r\n", "\ufeff")])
def test_other_delimiters_line_ends_and_a_byte_order_mark(tmp_path: Path, delimiter: str, end: str, mark: str) -> None:
    columns = rounded()
    path = tmp_path / "walk.csv"
    path.write_bytes((mark + corpus.csv_text(columns, delimiter).replace("\n", end)).encode())
    np.testing.assert_array_equal(joined(open_recording(path), "upper").acc, stacked(columns, "upper", "acc"))


def test_columns_in_any_order_quoted_and_beside_others(tmp_path: Path) -> None:
    columns = rounded()
    table = {name: columns[name] for name in reversed(columns)}
    header, *lines = corpus.csv_text(table).splitlines()
    quoted = ",".join(f'"{name}"' for name in header.split(","))
    path = tmp_path / "walk.csv"
    path.write_text("\n".join([f'{quoted},"my, note",', *(f'{line},"a, b",' for line in lines), ""]))
    np.testing.assert_array_equal(joined(open_recording(path), "lower").gyr, stacked(columns, "lower", "gyr"))


def test_missing_samples_are_gaps_and_are_counted(tmp_path: Path) -> None:
    columns = corpus.good_columns()
    columns["upper_acc_x"][100:103] = np.nan
    columns["upper_gyr_z"][102:110] = np.nan
    text = corpus.csv_text(columns).replace("\n", "\n\n", 3)
    (tmp_path / "walk.csv").write_text(text)
    (tmp_path / "words.csv").write_text(text.replace(",,", ",NaN,"))
    for name in ("walk.csv", "words.csv"):
        summary = describe(open_recording(tmp_path / name))
        assert summary["sensors"]["upper"]["missing"] == 10
        assert summary["sensors"]["lower"]["missing"] == 0
        assert summary["sensors"]["upper"]["rows"] == len(columns["time_s"])
    np.testing.assert_array_equal(
        np.isnan(joined(open_recording(tmp_path / "walk.csv"), "upper").acc[:, 0]), np.isnan(columns["upper_acc_x"])
    )


def test_units_are_converted_and_assumptions_said(tmp_path: Path) -> None:
    columns = corpus.good_columns()
    in_g = {name: column / corpus.G if "acc" in name else column for name, column in columns.items()}
    recording = open_recording(write(tmp_path / "g.parquet", in_g))
    assert recording.notes == tuple(f"{role}: acceleration read as g (1.00 at rest)" for role in ("upper", "lower"))
    assert recording.units == {"acc": "g", "gyr": "rad/s"}
    np.testing.assert_allclose(joined(recording, "upper").acc, stacked(columns, "upper", "acc"), rtol=1e-14)
    in_deg = {name: column * DEG if "gyr" in name else column for name, column in columns.items()}
    recording = open_recording(write(tmp_path / "deg.parquet", in_deg, 'units = { gyr = "deg/s" }'))
    np.testing.assert_allclose(joined(recording, "lower").gyr, stacked(columns, "lower", "gyr"), rtol=1e-13)


def test_gravity_a_little_off_is_said_with_what_it_does(tmp_path: Path) -> None:
    columns = {name: column * (1.1 if "acc" in name else 1) for name, column in corpus.good_columns().items()}
    notes = open_recording(write(tmp_path / "off.csv", columns)).notes
    assert len(notes) == 2
    assert "10.79 m/s2, +10.0% off gravity" in notes[0]
    assert "5.7 degrees" in notes[0]  # asin(0.1)


def test_a_sensor_that_repeats_its_samples_is_found(tmp_path: Path) -> None:
    columns = corpus.good_columns(rate=100.0)
    slow = {name: column if name == "time_s" else np.repeat(column[::4], 4) for name, column in columns.items()}
    notes = open_recording(write(tmp_path / "slow.csv", slow)).notes
    assert any("4.0 times in a row" in note and "25 Hz, not 100 Hz" in note for note in notes)


def test_the_settings_beside_a_recording(tmp_path: Path) -> None:
    toml = (
        'rate_hz = 50.2\nplacement = "T12-S2"\nstart = 2026-05-01T09:30:00+02:00\n'
        "[calibration]\nneutral = [0, 2]\nflexion = [[2, 5], [8.5, 11]]\n"
    )
    recording = open_recording(write(tmp_path / "walk.csv", corpus.good_columns(), toml))
    assert recording.windows == {"neutral": [(0.0, 2.0)], "flexion": [(2.0, 5.0), (8.5, 11.0)]}
    assert recording.placement == "T12-S2"
    assert recording.start == datetime(2026, 5, 1, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    assert recording.streams[0].rate_hz == 50.2
    assert recording.paths == (tmp_path / "walk.csv", tmp_path / "walk.toml")
    json.dumps(describe(recording))


def test_session_time_is_the_time_of_the_file(tmp_path: Path) -> None:
    columns = corpus.good_columns()
    columns["time_s"] = columns["time_s"] + 1000
    recording = open_recording(write(tmp_path / "late.csv", columns, "[calibration]\nneutral = [1000, 1002]"))
    assert recording.streams[0].start_s == 1000
    assert describe(recording)["duration_s"] == pytest.approx(corpus.SECONDS - 1 / corpus.RATE)


def test_one_sensor_only(tmp_path: Path) -> None:
    columns = {name: column for name, column in corpus.good_columns().items() if "upper" not in name}
    recording = open_recording(write(tmp_path / "lower.csv", columns))
    assert [stream.role for stream in recording.streams] == ["lower"]
    assert "one sensor only (lower)" in recording.notes[0]
    assert {block.role for block in recording.blocks()} == {"lower"}


def test_two_plain_files_share_a_clock(tmp_path: Path) -> None:
    columns = rounded()
    for role, late in (("upper", 0), ("lower", 25)):
        own = {name.removeprefix("upper_"): x[late:] for name, x in columns.items() if "lower" not in name}
        write(tmp_path / f"{role}.csv", own)
    recording = open_pair(tmp_path / "upper.csv", tmp_path / "lower.csv")
    assert [stream.start_s for stream in recording.streams] == [0.0, 0.5]
    assert "one clock" in recording.notes[0]
    (tmp_path / "both.toml").write_text('[recording]\nupper = "upper.csv"\nlower = "lower.csv"\n')
    again = open_recording(tmp_path / "both.toml")
    assert again.streams == recording.streams
    np.testing.assert_array_equal(joined(again, "lower").ticks, columns["time_s"][25:])


def test_two_files_are_handed_on_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 3000)
    columns = corpus.good_columns()
    for role in ("upper", "lower"):
        # The lower file has much longer lines, so that its chunks hold fewer rows.
        text = corpus.dot_csv(columns, role).replace("Gyr_Z\n", "Gyr_Z,Status\n")
        head, body = text.split("Gyr_Z,Status\n")
        tail = ",0\n" if role == "upper" else f",{'0' * 300}\n"
        (tmp_path / f"{role}.csv").write_text(f"{head}Gyr_Z,Status\n" + body.replace("\n", tail))
    rows = {"upper": 0, "lower": 0}
    apart = []
    for block in open_pair(tmp_path / "upper.csv", tmp_path / "lower.csv").blocks():
        rows[block.role] += len(block.ticks)
        apart.append(rows["upper"] - rows["lower"])
    assert rows["upper"] == rows["lower"] == len(columns["time_s"])
    assert len(apart) > 50
    assert max(map(abs, apart)) <= 25  # rows of one chunk of the upper file


def dot_pair(folder: Path, *, ahead: int = 0, first: int = 1_000_000, sync: str = "Synced") -> Recording:
    columns = corpus.good_columns()
    for role, tick in (("upper", first), ("lower", (first + ahead) % 2**32)):
        text = corpus.dot_csv(columns, role, first_tick=tick)
        (folder / f"{role}.csv").write_text(text.replace("SyncStatus:,Synced", f"SyncStatus:,{sync},,,"))
    return open_pair(folder / "upper.csv", folder / "lower.csv")


def test_movella_dot(tmp_path: Path) -> None:
    columns = corpus.good_columns()
    recording = dot_pair(tmp_path)
    upper, lower = recording.streams
    assert (upper.tick_s, upper.wrap_ticks, upper.rate_hz) == (1e-6, 2.0**32, 50.0)
    assert upper.acc_full_scale == pytest.approx(16 * 9.80665)
    assert upper.gyr_full_scale == pytest.approx(2000 / DEG)
    assert (upper.start_s, lower.start_s) == (0.0, 0.0)
    np.testing.assert_allclose(joined(recording, "lower").gyr, stacked(columns, "lower", "gyr"), atol=1e-15)
    np.testing.assert_array_equal(joined(recording, "lower").acc, stacked(columns, "lower", "acc"))
    assert recording.start is None  # WEST is no number
    assert any("no zone as a number" in note for note in recording.notes)


@pytest.mark.parametrize("ahead", [-700_000, 0, 420_000])
def test_synchronised_sensors_keep_their_offset_over_a_wrap(tmp_path: Path, ahead: int) -> None:
    recording = dot_pair(tmp_path, ahead=ahead, first=2**32 - 300_000)
    starts = [stream.start_s for stream in recording.streams]
    assert min(starts) == 0
    assert starts[1] - starts[0] == pytest.approx(ahead / 1e6)
    assert recording.streams[0].rate_hz == 50
    assert describe(recording)["sensors"]["upper"]["end_s"] - starts[0] == pytest.approx(13.98)


def test_sensors_that_were_not_synchronised_begin_together_and_it_is_said(tmp_path: Path) -> None:
    recording = dot_pair(tmp_path, ahead=420_000, sync="Un-synced")
    assert [stream.start_s for stream in recording.streams] == [0.0, 0.0]
    assert any("not synchronised" in note for note in recording.notes)


@pytest.mark.parametrize(
    ("preamble", "rate", "start"),
    [
        ("", 50.0, None),
        ("sep=,\nDeviceTag:,A,,,,\nOutputRate:,51Hz,,,\n\nCopyright (c) Xsens\n", 50.0, None),
        ("OutputRate:, 50 Hz\nStartTime:,2025-07-11 20:06:00.086 +0100\n", 50.0, "2025-07-11T20:06:00.086000+01:00"),
        ("StartTime: ,2025-07-11_20:06:00_086 UTC,,\n\xa9 Movella\n", 50.0, "2025-07-11T20:06:00.086000+00:00"),
        ("StartTime: ,2025-02-31_20:06:00_086 UTC\n", 50.0, None),
    ],
)
def test_preambles_of_the_dot_app(tmp_path: Path, preamble: str, rate: float, start: str | None) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(corpus.dot_csv(corpus.good_columns(), "upper", preamble=preamble).encode("latin-1"))
    recording = open_pair(path, None)
    assert recording.streams[0].rate_hz == pytest.approx(rate, rel=0.021)
    assert recording.start == (datetime.fromisoformat(start) if start else None)


def test_a_dot_counter_may_jump_and_repeat(tmp_path: Path) -> None:
    columns = corpus.good_columns()
    columns["time_s"][300:] += 100.0
    columns["time_s"][400] = columns["time_s"][399]
    path = tmp_path / "a.csv"
    path.write_text(corpus.dot_csv(columns, "upper"))
    assert len(joined(open_pair(path, None), "upper").ticks) == len(columns["time_s"])


def session(folder: Path, *paths: Path, **manifest: object) -> Path:
    folder.mkdir()
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    told = {"input": {"paths": [str(path) for path in paths], "sha256": hashes}, **manifest}
    (folder / "session.json").write_text(json.dumps(told))
    return folder


def test_a_session_leads_to_the_files_it_was_made_from(tmp_path: Path) -> None:
    path = write(tmp_path / "walk.csv", corpus.good_columns(), "[calibration]\nneutral = [0, 2]")
    direct = open_recording(path)
    recording = open_recording(session(tmp_path / "s", *direct.paths))
    assert recording.windows == direct.windows
    np.testing.assert_array_equal(joined(recording, "upper").acc, joined(direct, "upper").acc)


def test_a_session_leads_to_a_pair_and_to_a_single_sensor(tmp_path: Path) -> None:
    pair = dot_pair(tmp_path, ahead=250_000)
    recording = open_recording(session(tmp_path / "s", *pair.paths))
    assert recording.streams == pair.streams
    one = session(tmp_path / "one", pair.paths[1], sensors=[{"role": "lower"}])
    assert [stream.role for stream in open_recording(one).streams] == ["lower"]


def test_a_session_with_samples(tmp_path: Path) -> None:
    columns = rounded()
    counts = {"upper": {"sent": 500, "lost": 2}, "lower": {"sent": "many"}, "third": {"sent": 1, "lost": 0}}
    told = {"placement": "T12-S2", "start": "2026-05-01T09:30:00+00:00", "alignment": {"sensors": counts}}
    folder = session(tmp_path / "s", **told)
    tables = []
    for role, late in (("upper", 0), ("lower", 3)):
        units = {"acc": "mps2", "gyr": "radps"}
        own = {"time_s": columns["time_s"][late:], "role": np.full(len(columns["time_s"]) - late, role)}
        for quantity, unit in units.items():
            own |= {f"{quantity}_{a}_{unit}": columns[f"{role}_{quantity}_{a}"][late:] for a in corpus.AXES}
        field = np.full(len(own["time_s"]), 40.0 if role == "lower" else np.nan)
        own |= {f"mag_{a}_ut": pa.array(field, from_pandas=True) for a in corpus.AXES}
        if role == "upper":
            own |= {f"sensor_q{a}": np.full(len(own["time_s"]), 1.0 if a == "w" else 0.0) for a in "wxyz"}
        own["flags"] = np.arange(len(own["time_s"])).astype(np.uint8) % 2 * 4
        tables.append(pa.table(own))
    table = pa.concat_tables(tables, promote_options="default").sort_by("time_s")
    role = table.column("role").dictionary_encode()
    parquet.write_table(table.set_column(1, "role", role), folder / "samples.parquet", write_page_checksum=True)
    recording = open_recording(folder)
    assert recording.format == "session samples"
    assert recording.start == datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
    assert [note for note in recording.notes if note.endswith("took: upper 500 (2 lost)")]
    assert [stream.start_s for stream in recording.streams] == [0.0, 0.06]
    assert [stream.magnetometer for stream in recording.streams] == [False, True]  # though the table has the columns
    np.testing.assert_array_equal(joined(recording, "lower").acc, stacked(columns, "lower", "acc")[3:])
    quats = {block.role: block.quat for block in recording.blocks()}
    assert quats["lower"] is None
    np.testing.assert_array_equal(np.asarray(quats["upper"])[:2], [[1, 0, 0, 0]] * 2)
    flags = next(block.flags for block in recording.blocks() if block.role == "upper")
    assert flags is not None
    assert flags[:4].tolist() == [0, 4, 0, 4]


@given(st.integers(4, 1000), st.integers(0, 2**31), st.floats(0, 0.15))
def test_the_rate_survives_milliseconds_and_losses(rate: int, seed: int, loss: float) -> None:
    rng = np.random.default_rng(seed)
    sent = np.arange(4000) / rate
    kept = sent[rng.random(len(sent)) >= loss]
    stamps = np.round(kept, 3) if rate <= 100 else kept
    found, even = nominal_rate(np.diff(stamps))
    assert even
    assert found == pytest.approx(rate, rel=2e-3)
    if loss == 0:
        assert found == rate


def test_stamps_of_arrival_in_bursts_are_noticed() -> None:
    stamps = np.repeat(np.arange(400) * 0.03, 3) + np.tile([0, 0.001, 0.002], 400)
    rate, even = nominal_rate(np.diff(stamps))
    assert not even
    assert rate == pytest.approx(100, rel=0.01)


def test_elapsed_time_over_a_wrap_does_not_depend_on_the_pieces() -> None:
    ticks = (2.0**32 - 5e6 + np.arange(1000) * 1e4) % 2.0**32
    clock = Elapsed(1e-6, 2.0**32)
    for piece in np.array_split(ticks, 7):
        clock.push(piece)
    assert clock.seconds == pytest.approx(9.99)
    assert tick_steps(ticks, 2.0**32).tolist() == [1e4] * 999


def test_the_agreement_of_gravity_and_gyroscope_knows_the_factor() -> None:
    time = np.arange(0, 60, 0.01)
    acc, gyr = corpus.bending(time, 0.8)
    for factor in (1.0, DEG, 1 / DEG):
        found = sanity.gravity_agreement(time, acc, gyr * factor, 100.0)
        assert found.count > 100
        assert found.correlation > 0.98
        assert found.factor * factor == pytest.approx(1, rel=0.05)
    assert sanity.gravity_agreement(time, acc, -gyr, 100.0).correlation < -0.98
    still = sanity.gravity_agreement(time, acc[:1] + 0 * acc, 0 * gyr, 100.0)
    assert still.count == 0


def test_real_walking_is_not_accused_of_wrong_units() -> None:
    folder = Path(__file__).parents[2] / "shared" / "data" / "pearl_gait"
    if not folder.is_dir():
        pytest.skip("the public recordings are not beside the repository")
    table = parquet.read_table(folder / "Sub04_EMGBaseline.parquet")
    for sensor in ("torso", "pelvis"):
        acc, gyr = (
            np.column_stack([table[f"{sensor}_{kind}_{axis}"].to_numpy() for axis in "xyz"]).astype(float)
            for kind in ("acc", "gyr")
        )
        found = sanity.gravity_agreement(table["t"].to_numpy(), acc, gyr, 100.0)
        assert abs(found.correlation) < 0.8 or 0.3 < found.factor < 3


def test_text_from_outside_cannot_speak_to_a_terminal() -> None:
    hostile = "a\x1b[31m\r\n\u202eb\u2028\udcff\x9b"
    shown = safe_text(hostile)
    assert shown.isprintable()
    assert shown == r"a\x1b[31m\r\n\u202eb\u2028\udcff\x9b"
    assert len(safe_text("x" * 10_000)) < 310


def test_a_plug_in_is_found_by_its_name_and_a_broken_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [EntryPoint("mine", "no_such_module:Reader", registry.GROUP), EntryPoint("odd", "builtins:dict", "")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    path = write(tmp_path / "walk.csv", corpus.good_columns())
    assert open_recording(path).format == "plain CSV"  # broken plug-ins hurt nobody who does not need them
    with pytest.raises(_errors.PluginError, match="reader mine: cannot be loaded"):
        open_recording(path, reader="mine")
    with pytest.raises(_errors.PluginError, match="reader odd: lacks name, sniff or open"):
        open_recording(path, reader="odd")
    with pytest.raises(_errors.PluginError, match="does not exist; known are session"):
        open_recording(path, reader="none")


def test_looking_up_readers_loads_no_pyarrow() -> None:
    code = "import sys, imuposture.acquisition.readers; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
