"""Alignment: two clocks onto one grid; nothing invented, everything counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imuposture import ConfigError, SignalError
from imuposture._blocks import ImuBlock, PairBlock, Quality, Stream
from imuposture.alignment import Alignment

RATE = 100.0
PAIR = (Stream("upper", RATE), Stream("lower", RATE))


def ramp(times: np.ndarray) -> np.ndarray:
    """Rows whose values are linear in time, so that interpolation between true neighbours is exact."""
    return np.stack([times, 2 * times, 3 - times], axis=1)


def feed(alignment: Alignment, role: str, ticks: np.ndarray, values: np.ndarray | None = None) -> PairBlock:
    rows = ramp(ticks) if values is None else values
    return alignment.push(ImuBlock(role, np.asarray(ticks, float), rows, rows))


def joined(blocks: list[PairBlock]) -> tuple[np.ndarray, ...]:
    parts = (
        [b.time_s for b in blocks],
        [b.upper.acc for b in blocks],
        [b.lower.acc for b in blocks],
        [b.upper.flags for b in blocks],
        [b.lower.flags for b in blocks],
    )
    return tuple(np.concatenate(part) for part in parts)


def align(
    upper: np.ndarray, lower: np.ndarray, streams=PAIR, cuts: int = 1
) -> tuple[tuple[np.ndarray, ...], Alignment]:
    alignment = Alignment(streams)
    blocks = []
    for u, low in zip(np.array_split(upper, cuts), np.array_split(lower, cuts), strict=True):
        blocks += [feed(alignment, "upper", u), feed(alignment, "lower", low)]
    return joined([*blocks, alignment.finish()]), alignment


def test_shared_rows_pass_untouched():
    times = np.round(np.arange(500) * 0.01 + 3.0, 4)
    (grid, upper, lower, *flags), _ = align(
        times, times, (Stream("upper", RATE, start_s=3.0), Stream("lower", RATE, start_s=3.0))
    )
    np.testing.assert_array_equal(grid, times)
    np.testing.assert_array_equal(upper, ramp(times))
    np.testing.assert_array_equal(lower, ramp(times))
    assert not np.concatenate(flags).any()


def test_short_losses_are_bridged_and_long_ones_stay_gaps():
    times = np.round(np.arange(600) * 0.01, 4)
    kept = np.ones(600, np.bool_)
    kept[100:109] = False  # 9 lost: true neighbours exactly 0.1 s apart
    kept[200:210] = False  # 10 lost: 0.11 s
    (grid, upper, _, flags, _), alignment = align(times[kept], times)
    np.testing.assert_allclose(grid, times)
    np.testing.assert_allclose(upper[100:109], ramp(times[100:109]), atol=1e-12)
    assert (flags[100:109] == Quality.INTERPOLATED).all()
    assert np.isnan(upper[200:210]).all()
    assert (flags[200:210] == Quality.GAP).all()
    assert alignment.counts()["upper"].lost == 19


def test_nothing_inside_a_gap_comes_from_beyond_its_edges():
    """A step while samples are missing: rows hold the value before, the value after, or nothing - never a mixture."""
    times = np.arange(400) * 0.01
    values = np.where(times[:, None] < 2.0, 0.0, 50.0) * np.ones(3)
    kept = (times < 1.9) | (times > 2.1)
    alignment = Alignment(PAIR)
    first = feed(alignment, "upper", times[kept], values[kept])
    grid, upper, *_ = joined([first, feed(alignment, "lower", times), alignment.finish()])
    inside = (grid > 1.895) & (grid < 2.105)
    assert np.isnan(upper[inside]).all()
    assert set(np.unique(upper[~inside])) == {0.0, 50.0}


def test_empty_cells_are_gaps_and_counted():
    times = np.arange(300) * 0.01
    values = ramp(times)
    values[50] = np.nan
    values[100:120, 1] = np.nan
    alignment = Alignment(PAIR)
    blocks = [feed(alignment, "upper", times, values), feed(alignment, "lower", times), alignment.finish()]
    grid, upper, _, flags, _ = joined(blocks)
    np.testing.assert_array_equal(grid, times)
    np.testing.assert_allclose(upper[50], ramp(times)[50], atol=1e-12)
    assert flags[50] == Quality.INTERPOLATED
    assert np.isnan(upper[100:120]).all()
    counts = alignment.counts()["upper"]
    assert (counts.empty, counts.lost, counts.kept) == (21, 21, 279)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_sent_is_kept_plus_lost_for_a_device_counter(data):
    """A uint32 microsecond counter that wraps, with losses, duplicates and late samples."""
    sent = 400
    start = data.draw(st.integers(2**32 - 3_000_000, 2**32 - 1))
    ticks = (start + 10_000 * np.arange(sent)) % 2**32
    lost = data.draw(st.sets(st.integers(1, sent - 2), max_size=60))
    order = [i for i in range(sent) if i not in lost]
    late = data.draw(st.sets(st.sampled_from(order[2:-2]), max_size=5))
    doubled = data.draw(st.sets(st.sampled_from(order[1:-1]), max_size=5))
    arrived: list[int] = []
    for i in order:
        if i in late:
            continue
        arrived += [i, i] if i in doubled else [i]
        arrived += [k for k in late if k == i - 2]
    # a late sample arrives two places after its turn, unless its carrier is missing or late itself
    came_late = len([k for k in late if k in arrived])
    stream = Stream("upper", RATE, tick_s=1e-6, wrap_ticks=2.0**32)
    alignment = Alignment((stream,))
    for piece in np.array_split(ticks[arrived].astype(float), data.draw(st.integers(1, 9))):
        alignment.push(ImuBlock("upper", piece, np.ones((len(piece), 3)), np.ones((len(piece), 3))))
    alignment.finish()
    counts = alignment.counts()["upper"]
    assert counts.kept + counts.lost == sent
    assert counts.reordered == came_late
    assert counts.duplicate == len(doubled - late)
    assert counts.restarts == 0


def test_a_wrapping_counter_gives_one_time_line():
    """71.6 minutes of microseconds: the session time goes on over the wrap."""
    ticks = (2**32 - 2_000_000 + 10_000 * np.arange(400)) % 2**32
    stream = Stream("upper", RATE, tick_s=1e-6, wrap_ticks=2.0**32, start_s=0.0)
    alignment = Alignment((stream,))
    rows = np.ones((400, 3))
    grid = joined([alignment.push(ImuBlock("upper", ticks.astype(float), rows, rows)), alignment.finish()])[0]
    np.testing.assert_allclose(grid, np.arange(400) / RATE, atol=1e-6)


def test_a_zero_stamp_does_not_add_a_whole_wrap():
    """The Shimmer fault: one invalid zero among good stamps must not shift what follows by the modulus."""
    ticks = np.array([500, 510, 520, 0, 540, 550, 560], float) * 1000 + 5e6
    ticks[3] = 0.0
    stream = Stream("upper", RATE, tick_s=1e-6, wrap_ticks=2.0**24)
    alignment = Alignment((stream,))
    rows = np.ones((len(ticks), 3))
    blocks = [alignment.push(ImuBlock("upper", ticks, rows, rows)), alignment.finish()]
    assert joined(blocks)[0][-1] < 10.0


def test_a_restarted_clock_begins_a_new_segment_behind_a_gap():
    ticks = np.concatenate([1e7 + 1e4 * np.arange(200), 1e4 * np.arange(200)])
    stream = Stream("upper", RATE, tick_s=1e-6)
    alignment = Alignment((stream,))
    rows = np.ones((400, 3))
    grid, upper, _, flags, _ = joined([alignment.push(ImuBlock("upper", ticks, rows, rows)), alignment.finish()])
    assert alignment.counts()["upper"].restarts == 1
    assert (np.diff(grid) > 0).all()
    assert (flags & Quality.GAP).any()
    assert np.isfinite(upper[-150:]).all()


def test_two_rates_meet_on_the_slower_grid():
    fast, slow = np.arange(0, 4, 1 / 120), np.arange(0, 4, 1 / 60) + 0.003
    streams = (Stream("upper", 120.0, start_s=0.0), Stream("lower", 60.0, start_s=0.003))
    (grid, upper, lower, *_), alignment = align(fast, slow, streams)
    assert alignment.rate_hz == 60.0
    known = np.isfinite(upper[:, 0]) & np.isfinite(lower[:, 0])
    np.testing.assert_allclose(grid, slow, atol=1e-12)
    np.testing.assert_allclose(upper[known], ramp(grid[known]), atol=1e-9)
    assert known[1:-1].all()


def test_one_sensor_may_begin_earlier_and_end_later():
    early, late = np.arange(0, 6, 0.01), np.arange(1, 4, 0.01)
    (grid, upper, lower, *_), _ = align(early, late, (Stream("upper", RATE), Stream("lower", RATE, start_s=1.0)))
    assert grid[0] == pytest.approx(0.0)
    assert grid[-1] == pytest.approx(5.99)
    assert np.isfinite(upper).all()
    assert np.isnan(lower[grid < 0.99]).all()
    assert np.isnan(lower[grid > 4.0]).all()


def test_the_grid_follows_a_slow_clock_without_slipping():
    times = np.arange(20000) * 0.010002  # 200 ppm slow: after 200 s four samples would be missing on a fixed grid
    (grid, _, _, flags, _), _ = align(times, times)
    np.testing.assert_array_equal(grid, times)
    assert not flags.any()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_cuts_change_nothing(seed):
    rng = np.random.default_rng(seed)
    times = {}
    for role, shift in (("upper", 0.0), ("lower", 0.0037)):
        kept = rng.random(300) > rng.choice([0.0, 0.02, 0.3])
        kept[[0, -1]] = True
        if rng.random() < 0.5:
            kept[100:130] = False
        times[role] = np.arange(300)[kept] * 0.01 + shift
    streams = (Stream("upper", RATE), Stream("lower", RATE, start_s=0.0037))
    whole, counted = align(times["upper"], times["lower"], streams)
    alignment = Alignment(streams)
    pieces, at = [], {"upper": 0, "lower": 0}
    while any(at[role] < len(times[role]) for role in at):
        role = str(rng.choice([r for r in at if at[r] < len(times[r])]))
        step = int(rng.integers(0, 150))
        pieces.append(feed(alignment, role, times[role][at[role] : at[role] + step]))
        at[role] += step
    cut = joined([*pieces, alignment.finish()])
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one, other)
    assert counted.counts() == alignment.counts()


def test_saturated_samples_are_marked():
    stream = Stream("upper", RATE, acc_full_scale=20.0, gyr_full_scale=10.0)
    rows = np.zeros((300, 3))
    high = rows.copy()
    high[10, 1], high[20, 2] = -19.9, 19.0
    alignment = Alignment((stream,))
    blocks = [alignment.push(ImuBlock("upper", np.arange(300) / RATE, high, rows)), alignment.finish()]
    flags = joined(blocks)[3]
    assert np.flatnonzero(flags & Quality.SATURATED).tolist() == [10]


def test_refusals_say_what_is_wrong():
    with pytest.raises(ConfigError, match="different roles"):
        Alignment((Stream("upper", RATE), Stream("upper", RATE)))
    with pytest.raises(ConfigError, match="gap limit"):
        Alignment(PAIR, gap_limit_s=0.0)
    alignment = Alignment((Stream("upper", RATE),))
    with pytest.raises(SignalError, match="no stream was announced for 'lower'"):
        feed(alignment, "lower", np.arange(3.0))
    with pytest.raises(SignalError, match=r"acc of upper must have shape \(3, 3\)"):
        alignment.push(ImuBlock("upper", np.arange(3.0), np.ones((2, 3)), np.ones((3, 3))))
    with pytest.raises(SignalError, match="longest gap in one recording is 2 h"):
        feed(alignment, "upper", np.array([0.0, 0.01, 1e6]))


def test_sensors_whose_clocks_have_nothing_in_common_are_refused():
    """They would be filled up with rows of nothing until the memory is."""
    streams = [Stream("upper", RATE, start_s=1e6), Stream("lower", RATE)]
    stage = Alignment(streams)
    rows = np.zeros((10, 3))
    for role in ("upper", "lower"):
        stage.push(ImuBlock(role, np.arange(10) / RATE, rows, rows))
    with pytest.raises(SignalError, match="longest gap in one recording is 2 h"):
        stage.finish()
