"""What comes apart is joined, and nothing of it is lost, doubled, invented or held back for ever."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imuposture._blocks import Quality
from imuposture.acquisition.drivers._pairing import ByOrder, ByStamp, block_of

PARTS = ("acc", "gyr", "quat")


def samples(first, count, width=3):
    """Return samples that tell their own number."""
    return np.repeat(np.arange(first, first + count, dtype=np.float64)[:, np.newaxis], width, axis=1)


def numbers(rows, part):
    return [float(row.parts[part][0]) for row in rows if part in row.parts]


def shape(rows):
    """Return the rows as text: the number of each part, a dot for what is missing."""
    return [" ".join(f"{row.parts[part][0]:g}" if part in row.parts else "." for part in PARTS[:2]) for row in rows]


@given(
    arrivals=st.lists(st.tuples(st.sampled_from(PARTS), st.integers(1, 3)), max_size=60),
    parts=st.sampled_from((PARTS[:2], PARTS)),
)
def test_by_order_every_sample_comes_out_once_and_in_order(arrivals, parts):
    joining, sent, rows = ByOrder(parts), dict.fromkeys(parts, 0), []
    for part, count in arrivals:
        if part in parts:
            rows += joining.push(part, samples(sent[part], count, 4 if part == "quat" else 3))
            sent[part] += count
    assert [row.tick for row in rows] == list(range(len(rows)))
    for part in parts:
        told = numbers(rows, part)
        assert told == list(range(len(told)))
        assert sent[part] - len(told) <= 3  # only what is of the row that is still open


@given(lost=st.sets(st.tuples(st.sampled_from(PARTS[:2]), st.integers(0, 29)), max_size=8))
def test_by_order_losses_move_nothing(lost):
    joining, rows = ByOrder(PARTS[:2]), []
    for n in range(30):
        for part in PARTS[:2]:
            if (part, n) not in lost:
                rows += joining.push(part, samples(n, 1))
    whole = [row for row in rows if len(row.parts) == 2]
    one_lost = {n for _, n in lost if not {("acc", n), ("gyr", n)} <= lost}
    # Two halves of neighbouring rows, each without its own other half, cannot be told from one row.
    mixed = sum(("gyr", n) in lost and ("acc", n + 1) in lost and ("gyr", n + 1) not in lost for n in range(29))
    assert sum(row.parts["acc"][0] != row.parts["gyr"][0] for row in whole) <= mixed
    assert len(whole) >= 30 - len(lost) - 1
    assert len([row for row in rows if len(row.parts) == 1]) <= len(one_lost)


@pytest.mark.parametrize("order", [("acc", "gyr", "quat"), ("acc", "quat", "gyr"), ("quat", "acc", "gyr")])
def test_by_order_finds_the_order_of_three(order):
    joining, rows = ByOrder(PARTS), []
    for n in range(50):
        for part in order:
            if (n, part) != (25, "gyr"):
                rows += joining.push(part, samples(n, 1))
    assert sum(len(row.parts) < 3 for row in rows) <= 5
    late = [row for row in rows[-10:] if len(row.parts) == 3]
    assert len(late) >= 9
    assert all(abs(row.parts["acc"][0] - row.parts["quat"][0]) <= 1 for row in late)


def by_stamp(expected=("acc", "gyr")):
    joining = ByStamp(("acc", "gyr", "mag"), period=10.0, patience=300.0)
    joining.expected = set(expected)
    return joining


def test_by_stamp_joins_what_is_near_and_leaves_alone_what_is_not():
    joining = by_stamp()
    rows = joining.push("acc", np.array([0.0, 10, 20, 30, 40]), samples(0, 5))
    assert rows == []
    rows += joining.push("gyr", np.array([4.0, 14, 34, 44]), samples(0, 4))
    assert shape(rows) == ["0 0", "1 1", "2 .", "3 2", "4 3"]
    assert [row.tick for row in rows] == [0, 10, 20, 30, 40]


def test_by_stamp_waits_no_longer_than_its_patience():
    joining, rows = by_stamp(), []
    for n in range(100):
        rows += joining.push("acc", np.array([10.0 * n]), samples(n, 1))
    assert shape(rows) == [f"{n} ." for n in range(69)]
    joining.expected.discard("gyr")
    assert len(joining.push("acc", np.array([1000.0]), samples(100, 1))) == 32


def test_by_stamp_what_comes_too_late_is_marked():
    joining = by_stamp()
    rows = joining.push("acc", np.arange(50) * 10.0, samples(0, 50))
    assert shape(rows) == [f"{n} ." for n in range(19)]
    rows = joining.push("gyr", np.arange(50) * 10.0, samples(0, 50))
    assert shape(rows) == [f". {n}" for n in range(19)] + [f"{n} {n}" for n in range(19, 50)]
    assert [row.flag for row in rows] == [Quality.DUPLICATE_OR_REORDERED] * 19 + [0] * 31


def test_by_stamp_a_slower_part_stands_where_it_belongs():
    joining = by_stamp(("acc", "gyr", "mag"))
    rows = [
        *joining.push("acc", np.arange(20) * 10.0, samples(0, 20)),
        *joining.push("gyr", np.arange(20) * 10.0, samples(0, 20)),
    ]
    rows += joining.push("mag", np.array([1.0, 51, 101, 151, 201]), samples(0, 5))
    assert numbers(rows, "mag") == [0, 1, 2, 3]
    assert [row.tick for row in rows if "mag" in row.parts] == [0, 50, 100, 150]
    block = block_of("upper", rows, ["mag"])
    assert np.isnan(block.mag).any(axis=1).sum() == 16
    assert not np.isnan(block.gyr).any()


def test_by_stamp_repeated_samples_are_marked_and_a_restart_is_none():
    joining = by_stamp(("acc",))
    assert [row.flag for row in joining.push("acc", np.array([1000.0, 1010]), samples(0, 2))] == [0, 0]
    again = joining.push("acc", np.array([1000.0, 1010]), samples(0, 2))
    assert [row.flag for row in again] == [Quality.DUPLICATE_OR_REORDERED] * 2
    assert [row.flag for row in joining.push("acc", np.array([5.0]), samples(2, 1))] == [0]
    assert block_of("upper", again).flags.tolist() == [Quality.DUPLICATE_OR_REORDERED] * 2


@given(
    frames=st.lists(
        st.tuples(st.sampled_from(("acc", "gyr", "mag")), st.floats(-50, 2000), st.integers(1, 12)), max_size=60
    ),
    expected=st.sets(st.sampled_from(("acc", "gyr", "mag"))),
)
def test_by_stamp_every_sample_comes_out_once(frames, expected):
    joining, sent, told = by_stamp(expected), dict.fromkeys(("acc", "gyr", "mag"), 0), []
    clock = 0.0
    for part, step, count in frames:
        clock = max(clock + step, 0.0)
        told += joining.push(part, clock + np.arange(count) * 10.0, samples(sent[part], count))
        sent[part] += count
    held = {part: [float(value[0]) for _, value in queue] for part, queue in joining._queues.items()}
    for part, count in sent.items():
        assert sorted(numbers(told, part) + held[part]) == list(range(count))


def test_by_stamp_holds_little_even_if_a_clock_stands_still():
    joining, out = by_stamp(), 0
    for n in range(40):
        ticks = 1000.0 + n * 1e-3 + np.arange(500) * 1e-6
        out += len(joining.push("acc", ticks, samples(0, 500)))
    assert 40 * 500 - out < 5000
