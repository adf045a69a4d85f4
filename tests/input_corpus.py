"""Bad input: each case writes a file (or folder) that must be refused, and names the words the message must hold.

`CASES` maps a name to a `Bad`; ``write(folder)`` makes the input and returns the path to open. The good recording they
are made from is a closed form: two sensors of a person who stands, bends forward and stands again.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

G = 9.80665
RATE = 50.0
SECONDS = 14.0
AXES = "xyz"
Columns = dict[str, np.ndarray]


def good_columns(rate: float = RATE, seconds: float = SECONDS) -> Columns:
    """Stand 2 s, then bend forward by up to 60 (upper) or 30 (lower) degrees, twice, and tilt sideways meanwhile."""
    time = np.arange(round(rate * seconds)) / rate
    columns: Columns = {"time_s": time}
    for role, size in (("upper", 60.0), ("lower", 30.0)):
        acc, gyr = bending(time, np.radians(size))
        for quantity, values in (("acc", acc), ("gyr", gyr)):
            columns |= {f"{role}_{quantity}_{axis}": values[:, i] for i, axis in enumerate(AXES)}
    return columns


def bending(time: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Turn about the sensor's z by ``size`` (1 - cos) / 2 within 6 s, over and over; gravity along y at rest.

    With the angle a about z the earth's up in the sensor frame is (sin a, cos a, 0), the angular rate (0, 0, a').
    A little noise of fixed seed keeps samples apart.
    """
    phase = 2 * np.pi * np.maximum(time - 2, 0) / 6
    angle, rate = size * (1 - np.cos(phase)) / 2, size * np.sin(phase) / 2 * 2 * np.pi / 6 * (time > 2)
    zero = np.zeros_like(time)
    noise = np.random.default_rng(7).normal(size=(2, len(time), 3))
    acc = G * np.column_stack((np.sin(angle), np.cos(angle), zero)) + 0.02 * noise[0]
    return acc, np.column_stack((zero, zero, rate)) + 0.002 * noise[1]


def csv_text(columns: Columns, delimiter: str = ",") -> str:
    """Write the columns as CSV; NaN becomes an empty cell."""
    cells = [[("" if np.isnan(v) else f"{v:.6f}") for v in column.tolist()] for column in columns.values()]
    return "\n".join([delimiter.join(columns), *map(delimiter.join, zip(*cells, strict=True))]) + "\n"


def good_csv() -> str:
    return csv_text(good_columns())


def dot_csv(columns: Columns, role: str, *, first_tick: int = 1_000_000, preamble: str | None = None) -> str:
    """Write one sensor the way the Movella DOT app does."""
    if preamble is None:
        preamble = (
            "sep=,\nDeviceTag:,Back\nFirmwareVersion:,3.0.0\nAppVersion:,2023.6.0\nSyncStatus:,Synced\n"
            f"OutputRate:,{RATE:g}Hz\nFilterProfile:,General\nMeasurement Mode:,Rate quantities\n"
            "StartTime: ,2025-07-11_20:06:00_086 WEST\n(c) Movella Technologies\n\n"
        )
    ticks = (first_tick + np.round(columns["time_s"] * 1e6).astype(np.int64)) % 2**32
    table = {"PacketCounter": np.arange(len(ticks)) + 1, "SampleTimeFine": ticks}
    for name, factor in (("Acc", 1.0), ("Gyr", 180 / np.pi)):
        table |= {f"{name}_{axis.upper()}": columns[f"{role}_{name.lower()}_{axis}"] * factor for axis in AXES}
    rows = zip(*(column.tolist() for column in table.values()), strict=True)
    return preamble + "\n".join([",".join(table), *(",".join(map(repr, row)) for row in rows)]) + "\n"


@dataclass(frozen=True)
class Bad:
    """``write`` makes the input in a folder; ``words`` must be in the message, in any order."""

    write: Callable[[Path], Path]
    words: tuple[str, ...]


def _file(content: Callable[[], bytes | str], name: str = "bad.csv", toml: str = "") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        data = content()
        path = folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        if toml:
            path.with_suffix(".toml").write_text(toml)
        return path

    return write


def _columns(change: Callable[[Columns], object]) -> Callable[[], str]:
    def content() -> str:
        columns = good_columns()
        changed = change(columns)
        return csv_text(changed if isinstance(changed, dict) else columns)

    return content


def _line(number: int, change: Callable[[str], str]) -> Callable[[], str]:
    """Change one line (from 1) of the good CSV."""

    def content() -> str:
        lines = good_csv().splitlines()
        lines[number - 1] = change(lines[number - 1])
        return "\n".join(lines) + "\n"

    return content


def _cell(number: int, index: int, value: str) -> Callable[[], str]:
    def change(line: str) -> str:
        cells = line.split(",")
        cells[index] = value
        return ",".join(cells)

    return _line(number, change)


def _scaled(part: str, factor: float) -> Callable[[], str]:
    return _columns(lambda c: {name: column * (factor if part in name else 1) for name, column in c.items()})


def _filled(part: str, value: float) -> Callable[[], str]:
    return _columns(lambda c: {name: np.full_like(x, value) if part in name else x for name, x in c.items()})


def _set(name: str, row: int, value: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns[name][row] = value

    return change


def _settings(toml: str | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = _file(good_csv)(folder)
        path.with_suffix(".toml").write_bytes(toml.encode() if isinstance(toml, str) else toml)
        return path

    return write


def _parquet(change: Callable[[Columns], pa.Table]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "bad.parquet"
        parquet.write_table(change(good_columns()), path, write_page_checksum=True)
        return path

    return write


def _flipped(folder: Path) -> Path:
    """Flip one bit in the middle of the first data page."""
    path = _parquet(pa.table)(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)
    return path


def _bomb(folder: Path) -> Path:
    """Write a small file with hundreds of millions of rows."""
    path = folder / "bomb.parquet"
    zeros = pa.table({"time_s": pa.array(np.zeros(1 << 24, dtype=np.int8))})
    with parquet.ParquetWriter(path, zeros.schema) as writer:
        for _ in range(13):
            writer.write_table(zeros, row_group_size=1 << 24)
    return path


def _session(manifest: dict[str, object] | bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        session = folder / "session"
        session.mkdir()
        data = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        (session / "session.json").write_bytes(data)
        (folder / "walk.csv").write_text(good_csv())
        return session

    return write


def _text_column(columns: Columns, kind: pa.DataType) -> pa.Table:
    table = pa.table(columns)
    texts = pa.array([str(v) for v in columns["upper_acc_x"]]).cast(pa.string())
    return table.set_column(1, "upper_acc_x", texts.dictionary_encode() if kind == "dictionary" else texts)


CASES: dict[str, Bad] = {
    "empty": Bad(_file(lambda: b""), ("empty", "0 bytes")),
    "header_only": Bad(_file(lambda: good_csv().split("\n")[0] + "\n"), ("header", "no rows")),
    "header_and_blank_lines": Bad(_file(lambda: good_csv().split("\n")[0] + "\n\n\n"), ("no rows",)),
    "too_short": Bad(_file(lambda: csv_text(good_columns(seconds=1.5))), ("1.50 s", "2 s")),
    "one_row": Bad(_file(lambda: "\n".join(good_csv().split("\n")[:2]) + "\n"), ("single row", "2 s")),
    "binary": Bad(_file(lambda: bytes(range(256)) * 40), ("binary",)),
    "utf16": Bad(_file(lambda: good_csv().encode("utf-16")), ("UTF-16", "UTF-8")),
    "utf16_without_mark": Bad(_file(lambda: good_csv().encode("utf-16-le")), ("UTF-16",)),
    "workbook": Bad(_file(lambda: b"PK\x03\x04" + bytes(500)), ("workbook", "CSV")),
    "gzip": Bad(_file(lambda: b"\x1f\x8b\x08\x00" + bytes(500)), ("compressed", "unpack")),
    "nul_byte": Bad(_file(_cell(300, 3, "1.0\0")), ("line 300", "NUL")),
    "nul_byte_in_unread_column": Bad(
        _file(lambda: _with_remark(lambda i: "\0" if i == 99 else "ok")), ("line 101", "NUL")
    ),
    "no_known_columns": Bad(_file(lambda: "a,b,c\n1,2,3\n"), ("no known format", "a,b,c", "time_s")),
    "missing_time": Bad(_file(_columns(lambda c: {"Time": c.pop("time_s"), **c})), ("time_s", "missing")),
    "missing_column": Bad(_file(_columns(lambda c: c.pop("lower_gyr_y") is None)), ("lower_gyr_y", "missing")),
    "misspelt_column": Bad(
        _file(lambda: good_csv().replace("lower_gyr_y", "Lower_Gyr_Y")), ("lower_gyr_y", "rename", "Lower_Gyr_Y")
    ),
    "half_a_magnetometer": Bad(
        _file(_columns(lambda c: {**c, "upper_mag_x": c["time_s"]})), ("upper_mag_y", "missing")
    ),
    "duplicate_column": Bad(
        _file(lambda: good_csv().replace("lower_gyr_y", "lower_gyr_x")), ("line 1", "lower_gyr_x", "twice")
    ),
    "latin1_header": Bad(
        _file(lambda: good_csv().replace("\n", ",temp °C\n", 1).encode("latin-1")), ("line 1", "0xb0", "UTF-8")
    ),
    "no_role": Bad(_file(lambda: good_csv().replace("upper_", "").replace("lower_", "x_")), ("--upper", "--lower")),
    "text_cell": Bad(_file(_cell(412, 5, "abc")), ("line 412", "upper_gyr_y", "'abc'")),
    "hex_cell": Bad(_file(_cell(412, 5, "0x1p3")), ("line 412", "upper_gyr_y")),
    "decimal_comma": Bad(
        _file(lambda: csv_text(good_columns(), ";").replace(".", ",")), ("line 2", "time_s", "decimal comma")
    ),
    "decimal_comma_between_commas": Bad(
        _file(lambda: "".join(_decimal_commas(good_csv()))), ("line 2", "26 cells", "13", "decimal comma")
    ),
    "quoted_decimal_comma": Bad(_file(_cell(7, 5, '"1,5"')), ("line 7", "upper_gyr_y", "decimal comma")),
    "infinite": Bad(_file(_cell(50, 2, "inf")), ("line 50", "upper_acc_y", "inf")),
    "overflow": Bad(_file(_cell(50, 2, "1e999")), ("line 50", "upper_acc_y", "inf")),
    "beyond_full_scale": Bad(_file(_cell(50, 4, "-400")), ("line 50", "upper_gyr_x", "-400", "349")),
    "time_repeats": Bad(_file(_columns(_set("time_s", 100, 99 / RATE))), ("line 102", "time_s", "1.98", "come after")),
    "time_steps_back": Bad(_file(_columns(_set("time_s", 100, 0.5))), ("line 102", "0.5 s", "1.98")),
    "time_missing": Bad(_file(_cell(102, 0, "")), ("line 102", "time_s", "missing")),
    "time_infinite": Bad(_file(_cell(102, 0, "1e999")), ("line 102", "time_s", "infinite")),
    "time_jumps_far": Bad(_file(_columns(_set("time_s", -1, 1e17))), ("line 701", "jumps", "day")),
    "time_in_milliseconds": Bad(_file(_scaled("time_s", 1000.0)), ("time_s", "0.05 samples a second", "unit")),
    "short_line": Bad(_file(_line(33, lambda line: line.rsplit(",", 2)[0])), ("line 33", "11 cells", "13")),
    "long_line": Bad(_file(_line(33, lambda line: line + ",1")), ("line 33", "14 cells", "13")),
    "five_megabyte_line": Bad(_file(_line(33, lambda line: "1" * 5_000_000)), ("line 33", "longer than")),
    "five_megabyte_cell": Bad(_file(_cell(33, 4, "1" * 500_000)), ("line 33",)),
    "truncated": Bad(_file(lambda: good_csv()[:-4]), ("last line", "cut off")),
    "open_quote": Bad(_file(_cell(40, 3, '"1.0')), ("line 40", "open quote")),
    "open_quote_in_unread_column": Bad(
        _file(lambda: _with_remark(lambda i: '"open' if i == 99 else "ok")), ("line 101", "open quote")
    ),
    "no_gravity": Bad(_file(_scaled("acc", 0.02)), ("upper", "at rest", "0.196", "m/s2", "g")),
    "milli_g": Bad(_file(_scaled("acc", 1000 / G)), ("at rest", "mg", "divide by 1000")),
    "raw_counts": Bad(_file(_scaled("acc", 2048 / G)), ("at rest", "beyond|neither")),
    "one_sensor_in_g": Bad(_file(_scaled("lower_acc", 1 / G)), ("one sensor's", "g", "m/s2")),
    "degrees": Bad(_file(_scaled("gyr", 180 / np.pi)), ("upper", "56.9 times", "deg/s", 'gyr = "deg/s"')),
    "radians_called_degrees": Bad(
        _file(good_csv, toml='units = { gyr = "deg/s" }'), ("upper", "0.017", 'gyr = "rad/s"')
    ),
    "mps2_called_g": Bad(_file(good_csv, toml='units = { acc = "g" }'), ("at rest", "cannot be gravity in g")),
    "mirrored": Bad(_file(_scaled("gyr", -1.0)), ("opposite way to gravity", "mirrored")),
    "all_zero": Bad(_file(_filled("lower", 0.0)), ("acceleration of the lower sensor", "zero")),
    "gyroscope_off": Bad(_file(_filled("lower_gyr", 0.0)), ("angular rate of the lower sensor", "zero")),
    "all_missing": Bad(_file(_filled("upper_acc", np.nan)), ("acceleration of the upper sensor", "missing")),
    "toml_unknown_key": Bad(_settings("rate = 50"), ("bad.toml", "rate", "rate_hz")),
    "toml_unknown_unit": Bad(_settings('units = { acc = "mg" }'), ("units.acc", "'mg'", "m/s2")),
    "toml_wrong_type": Bad(_settings('rate_hz = "50"'), ("rate_hz", "str '50'")),
    "toml_nan_rate": Bad(_settings("rate_hz = nan"), ("rate_hz", "nan")),
    "toml_huge_number": Bad(_settings(f"rate_hz = {'9' * 400}"), ("rate_hz",)),
    "toml_wrong_rate": Bad(_settings("rate_hz = 60"), ("rate_hz = 60", "50 Hz", "2%")),
    "toml_broken": Bad(_settings("rate_hz = = 3"), ("bad.toml", "TOML", "line 1")),
    "toml_latin1": Bad(_settings("# °".encode("latin-1")), ("bad.toml", "UTF-8")),
    "toml_too_long": Bad(_settings("#" * 1_100_000), ("bad.toml: longer than",)),
    "toml_nested": Bad(_settings("a = " + "[" * 5000 + "]" * 5000), ("bad.toml",)),
    "toml_empty_window": Bad(_settings("[calibration]\nneutral = [4, 4]"), ("neutral", "empty")),
    "toml_reversed_window": Bad(_settings("[calibration]\nneutral = [4, 2]"), ("neutral", "end must come after")),
    "toml_window_of_words": Bad(_settings('[calibration]\nneutral = ["a", "b"]'), ("neutral", "[start, end]")),
    "toml_window_before": Bad(_settings("[calibration]\nneutral = [-9, -4]"), ("neutral", "outside")),
    "toml_window_after": Bad(_settings("[calibration]\nflexion = [10, 30]"), ("flexion", "outside", "13.98 s")),
    "toml_unknown_window": Bad(_settings("[calibration]\nbend = [1, 3]"), ("calibration.bend", "flexion")),
    "toml_start_without_zone": Bad(_settings("start = 2026-05-01T09:30:00"), ("start", "zone")),
    "toml_control_character": Bad(_settings('placement = "a\\u001b[31mb"'), ("placement", "\\x1b")),
    "toml_names_files_beside": Bad(_settings('[recording]\nupper = "bad.csv"'), ("give this TOML itself",)),
    "toml_without_files": Bad(_file(lambda: "rate_hz = 50", "alone.toml"), ("[recording]", "recording itself")),
    "toml_names_no_file": Bad(_file(lambda: '[recording]\nupper = "no.csv"', "r.toml"), ("no.csv", "no such file")),
    "no_file": Bad(lambda folder: folder / "nothing.csv", ("nothing.csv", "no such file")),
    "hostile_name": Bad(_file(lambda: b"", "a\x1b[31m\u202egnp.csv"), ("\\x1b[31m", "\\u202e", "empty")),
    "folder": Bad(lambda folder: folder, ("folder", "session.json")),
    "parquet_cut": Bad(_file(lambda: b"PAR1" + bytes(1000), "bad.parquet"), ("Parquet", "copy")),
    "parquet_text": Bad(_parquet(lambda c: _text_column(c, "string")), ("upper_acc_x", "string", "not a number")),
    "parquet_dictionary": Bad(_parquet(lambda c: _text_column(c, "dictionary")), ("upper_acc_x", "not a number")),
    "parquet_bit_flip": Bad(_flipped, ("Parquet", "undamaged")),
    "parquet_time_repeats": Bad(
        _parquet(lambda c: pa.table({**c, "time_s": np.repeat(c["time_s"][::2], 2)})), ("row 2", "time_s", "come after")
    ),
    "parquet_bomb": Bad(_bomb, ("rows", "Split")),
    "parquet_missing_column": Bad(_parquet(lambda c: pa.table(c).drop_columns(["lower_acc_z"])), ("lower_acc_z",)),
    "parquet_no_rows": Bad(_parquet(lambda c: pa.table(c).slice(0, 0)), ("no rows",)),
    "session_broken": Bad(_session(b"{"), ("session.json", "damaged")),
    "session_nan": Bad(_session(b'{"a": NaN}'), ("session.json", "NaN")),
    "session_twice": Bad(_session(b'{"a": 1, "a": 2}'), ("session.json", "twice")),
    "session_nested": Bad(_session(b"[" * 200_000), ("session.json",)),
    "session_without_input": Bad(_session({}), ("session.json", "paths", "sha256")),
    "session_input_changed": Bad(
        _session({"input": {"paths": ["../walk.csv"], "sha256": ["0" * 64]}}), ("walk.csv", "changed", "SHA-256")
    ),
    "session_input_gone": Bad(
        _session({"input": {"paths": ["../run.csv"], "sha256": ["0" * 64]}}), ("run.csv", "no such file")
    ),
    "dot_without_role": Bad(_file(lambda: dot_csv(good_columns(), "upper")), ("Movella DOT", "--upper", "--lower")),
}


def _with_remark(remark: Callable[[int], str]) -> str:
    """Add a last column of text that no reader reads."""
    header, *lines = good_csv().splitlines()
    return "\n".join([f"{header},remark", *(f"{line},{remark(i)}" for i, line in enumerate(lines))]) + "\n"


def _decimal_commas(text: str) -> list[str]:
    header, body = text.split("\n", 1)
    return [header, "\n", body.replace(".", ",")]
