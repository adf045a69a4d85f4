"""Bad input is refused with one of our errors, which says where, what, and what to do; nothing crashes or hangs."""

from pathlib import Path

import input_corpus as corpus
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from imuposture import _errors
from imuposture.acquisition.readers import describe, open_pair, open_recording

REFUSED = (_errors.RecordingError, _errors.ConfigError)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", corpus.CASES)
def test_a_bad_file_is_refused_in_words(name: str, tmp_path: Path) -> None:
    bad = corpus.CASES[name]
    path = bad.write(tmp_path)
    with pytest.raises(REFUSED) as refused:
        describe(open_recording(path))
    message = str(refused.value)
    for word in bad.words:
        assert any(choice in message for choice in word.split("|")), message
    assert message.isprintable()
    assert len(message) < 1200


def read(path: Path) -> list[np.ndarray]:
    """Read everything, blocks of a sensor joined."""
    recording = open_recording(path)
    blocks = list(recording.blocks())
    return [
        np.concatenate([getattr(block, name) for block in blocks if block.role == stream.role])
        for stream in recording.streams
        for name in ("ticks", "acc", "gyr")
    ]


@pytest.fixture(scope="module")
def short_csv() -> bytes:
    return corpus.csv_text(corpus.good_columns(rate=20.0, seconds=6.0)).encode()


@QUICK
@given(share=st.floats(0, 1), at_line_end=st.booleans())
def test_a_cut_file_is_refused_or_gives_exactly_its_whole_lines(
    tmp_path: Path, short_csv: bytes, share: float, at_line_end: bool
) -> None:
    end = round(share * len(short_csv))
    cut = short_csv[: short_csv.rfind(b"\n", 0, end) + 1 if at_line_end else end]
    path = tmp_path / "cut.csv"
    path.write_bytes(cut)
    if not cut.endswith(b"\n"):
        with pytest.raises(REFUSED):
            read(path)
        return
    lines = cut.count(b"\n") - 1
    if lines < 40:  # 2 s
        with pytest.raises(REFUSED):
            read(path)
        return
    for values in read(path):
        assert len(values) == lines


def test_every_cut_within_a_line_is_refused(tmp_path: Path, short_csv: bytes) -> None:
    path = tmp_path / "cut.csv"
    last = len(short_csv.splitlines(keepends=True)[-1])
    for missing in range(1, last):
        path.write_bytes(short_csv[:-missing])
        with pytest.raises(_errors.RecordingError, match="last line"):
            open_recording(path)


@QUICK
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=4))
def test_flipped_bits_are_refused_or_read_cleanly(
    tmp_path: Path, short_csv: bytes, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(short_csv)
    for share, bit in flips:
        data[int(share * len(data))] ^= 1 << bit
    check_refused_or_clean(tmp_path / "flipped.csv", bytes(data))


@QUICK
@given(st.binary(max_size=3000))
def test_random_bytes_never_crash(tmp_path: Path, data: bytes) -> None:
    check_refused_or_clean(tmp_path / "random.csv", data)


@QUICK
@given(st.binary(max_size=300))
def test_random_bytes_behind_a_good_header_never_crash(tmp_path: Path, short_csv: bytes, data: bytes) -> None:
    lines = short_csv.splitlines(keepends=True)
    check_refused_or_clean(tmp_path / "random.csv", b"".join(lines[:60]) + data + b"\n" + b"".join(lines[60:]))


@QUICK
@given(st.binary(max_size=3000))
def test_random_parquet_never_crashes(tmp_path: Path, data: bytes) -> None:
    check_refused_or_clean(tmp_path / "random.parquet", b"PAR1" + data + b"PAR1")


def check_refused_or_clean(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        arrays = read(path)
    except REFUSED:
        return
    for values in arrays:
        assert not np.isinf(values).any()
    assert (np.diff(arrays[0]) > 0).all()


def test_every_flipped_bit_of_a_checked_parquet_is_seen(tmp_path: Path) -> None:
    columns = corpus.good_columns(rate=20.0, seconds=6.0)
    path = tmp_path / "flipped.parquet"
    parquet.write_table(pa.table(columns), path, write_page_checksum=True)
    whole, good = read(path), path.read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for position in rng.integers(0, len(good), 60).tolist():
        data = bytearray(good)
        data[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            arrays = read(path)
        except REFUSED:
            refused += 1
            continue
        # The footer has no checksum; a flip there may only touch what is not read.
        for before, after in zip(whole, arrays, strict=True):
            np.testing.assert_array_equal(before, after)
    assert refused > 50


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os = pytest.importorskip("os")
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes on this system")
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(_errors.RecordingError, match="not a regular file"):
        open_recording(tmp_path / "pipe.csv")


def test_a_pair_given_wrongly_is_refused(tmp_path: Path) -> None:
    columns = corpus.good_columns()
    for role in ("upper", "lower"):
        (tmp_path / f"{role}.csv").write_text(corpus.dot_csv(columns, role))
    both = tmp_path / "both.csv"
    both.write_text(corpus.csv_text(columns))
    upper = tmp_path / "upper.csv"
    with pytest.raises(_errors.RecordingError, match="upper and as lower"):
        open_pair(upper, upper)
    with pytest.raises(_errors.RecordingError, match="different formats"):
        open_pair(upper, both)
    with pytest.raises(_errors.RecordingError, match="holds both sensors"):
        open_pair(both, None)
    with pytest.raises(_errors.ConfigError, match="no file given"):
        open_pair(None, None)


def test_a_dot_export_without_rates_names_the_measurement_mode(tmp_path: Path) -> None:
    path = tmp_path / "upper.csv"
    path.write_text(corpus.dot_csv(corpus.good_columns(), "upper").replace("Gyr_", "FreeAcc_"))
    with pytest.raises(_errors.RecordingError, match=r"line 12: column Gyr_X is missing.*Rate quantities"):
        open_pair(path, None)


def test_mt_manager_text_is_not_taken_for_a_dot_export(tmp_path: Path) -> None:
    path = tmp_path / "mt.csv"
    path.write_text("// Start Time: 0\n// Update Rate: 100.0Hz\nPacketCounter,SampleTimeFine,Acc_X\n1,2,3\n")
    with pytest.raises(_errors.RecordingError, match="no known format"):
        open_pair(path, None)
