"""Doubt: samples that hide a turn are recognised, nothing false is learnt from them, and the angles say how sure.

The range of a gyroscope is cut to 2.2 rad/s (126 deg/s), the smallest there is, in bends that are faster.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from walks import INCLINATIONS, Tape, aligned, calibrated, columns, deviations, identical, joined, taped, walked

from imuposture import ConfigError, SensorModel, simulate
from imuposture._blocks import ROLES, ImuBlock, OrientationBlock, PairBlock, Quality, SensorRows
from imuposture.acquisition.simulation.actions import bend, during, side_bend, stand, turn, twist, walk
from imuposture.alignment import Alignment
from imuposture.doubt import Doubt, trusted, widened
from imuposture.fusion import Fusion
from imuposture.heading import Heading

RANGE = 2.2  # rad/s
SATURATED, REPEATED = Quality.SATURATED.value, Quality.DUPLICATE_OR_REORDERED.value
CALIBRATION = [
    stand(6, neutral=True),
    stand(1),
    during("flexion", [bend(60, reps=4)]),
    during("lateral", [side_bend(25, "right", reps=2), side_bend(25, "left", reps=2)]),
    stand(3),
]
BENDS = [bend(70, reps=2, seconds=1.6, rest=0.4, hold=0.1), stand(6), twist(35, reps=2, seconds=0.8), stand(4)]
SLUMP = [bend(100, seconds=1.2, rest=0.4, hold=0.5), stand(12)]
BUSY = [*BENDS, turn(180, seconds=1.0), walk(5)]
WIDENED = ["upper_forward_deg", "upper_side_deg", "flexion_deg", "lateral_bend_deg", "axial_rotation_deg"]


def quick(seed, script=BENDS, times=2, rate=100.0, model=None):
    model = model or SensorModel()
    return simulate(CALIBRATION + script * times, seed=seed, rate=rate, upper=model, lower=model)


def done(back):
    """Return the row at which the calibration is over."""
    return round((back.windows["lateral"][-1][1] + 3.0) * back.rate_hz)


def flags_of(tape):
    pair = aligned(tape)
    return {role: getattr(pair, role).flags for role in tape.blocks}


@pytest.fixture(scope="module")
def clipped():
    """A back in fast bends, told in rows that hide them: simulation, tape, calibration."""
    back = quick(1)
    return back, replace(taped(back).clipped(RANGE), gyr_full_scale=RANGE), calibrated(taped(back), back.windows)


# What is recognised


@pytest.mark.parametrize("sensor", ["gyr", "acc"])
def test_a_known_range_marks_what_comes_within_two_percent(sensor):
    tape = taped(quick(0))
    top = 0.8 * np.abs(getattr(tape.blocks["upper"], sensor)).max()
    known = replace(tape, **{f"{sensor}_full_scale": top})
    marked = 0
    for role, found in flags_of(known).items():
        beyond = (np.abs(getattr(tape.blocks[role], sensor)) >= 0.98 * top).any(axis=1)
        np.testing.assert_array_equal(found & SATURATED != 0, beyond)
        marked += np.count_nonzero(beyond)
    assert marked > 0


@pytest.mark.parametrize("low", [RANGE, RANGE * 32768 / 32767], ids=["symmetric", "two's complement"])
def test_an_unknown_range_shows_as_a_plateau(low):
    found = missed = 0
    for seed in range(3):
        tape = taped(quick(seed)).changed(lambda _, block: replace(block, gyr=np.clip(block.gyr, -low, RANGE)))
        for role, flags in flags_of(tape).items():
            at_end = ((tape.blocks[role].gyr >= RANGE) | (tape.blocks[role].gyr <= -low)).any(axis=1)
            assert not (flags[~at_end] & SATURATED).any()
            found += np.count_nonzero(flags[at_end] & SATURATED)
            missed += np.count_nonzero(flags[at_end] & SATURATED == 0)
    assert found > 500
    assert missed < 0.12 * found  # a plateau entered slowly, before any other was


@pytest.mark.parametrize("rate", [25.0, 100.0, 400.0])
def test_a_repeated_sample_is_marked_in_a_turn(rate):
    back = quick(3, rate=rate)
    rows, rng = np.arange(len(back.time_s)), np.random.default_rng(3)
    again = np.flatnonzero(rng.random(len(rows)) < 0.015)[1:]
    rows[again] -= 1
    tape = taped(back).changed(lambda _, block: replace(block, acc=block.acc[rows], gyr=block.gyr[rows]))
    found = there = 0
    for role, flags in flags_of(tape).items():
        marked = flags & REPEATED != 0
        assert not marked[np.setdiff1d(np.arange(len(rows)), again)].any()
        found += np.count_nonzero(marked)
        there += np.count_nonzero((np.abs(tape.blocks[role].gyr[again]) > 0.1).any(axis=1))
    assert found > 0.75 * there > 0


def test_at_rest_repeated_rows_are_no_fault():
    back = simulate("still", seed=1, minutes=0.3)
    rows = np.arange(len(back.time_s)) // 3 * 3
    tape = taped(back).changed(lambda _, block: replace(block, acc=block.acc[rows], gyr=block.gyr[rows]))
    assert not any(flags.any() for flags in flags_of(tape).values())


MODELS = {
    "default": SensorModel(),
    "flawless": SensorModel.ideal(),
    "flawless, 16 bits": replace(SensorModel.ideal(), quantised=True),
    "budget": SensorModel.budget(),
}


@pytest.mark.parametrize("rate", [25.0, 100.0, 400.0])
@pytest.mark.parametrize("model", MODELS)
def test_no_false_alarm(model, rate):
    """Movements that are faster than 120 deg/s and rounded, as movements are."""
    for seed in range(2):
        tape = taped(quick(seed, BUSY, rate=rate, model=MODELS[model]))
        assert np.abs(tape.blocks["upper"].gyr).max() > 3.0
        assert not any(flags.any() for flags in flags_of(tape).values())


def test_samples_rounded_by_a_file_are_no_fault():
    """Two decimals of rad/s, one of m/s2: coarse channels say the same twice all the time."""
    marked = rows = 0
    for seed in range(2):
        tape = taped(quick(seed, BUSY, rate=400.0))
        tape = tape.changed(lambda _, block: replace(block, acc=np.round(block.acc, 1), gyr=np.round(block.gyr, 2)))
        for flags in flags_of(tape).values():
            marked, rows = marked + np.count_nonzero(flags), rows + len(flags)
    assert marked < 1e-4 * rows


@pytest.mark.parametrize("rows", [3, 10, 1000])
def test_cuts_change_no_mark(rows):
    """Clipped, repeated, lost and empty samples, told or not."""
    back, rng = quick(4, times=1), np.random.default_rng(4)
    order = np.arange(len(back.time_s))
    order[rng.random(len(order)) < 0.01] -= 1
    empty = rng.random(len(order)) < 0.01

    def damage(_, block):
        gyr = np.where(empty[:, None], np.nan, np.clip(block.gyr[np.maximum(order, 0)], -RANGE, RANGE))
        return replace(block, acc=block.acc[np.maximum(order, 0)], gyr=gyr)

    tape = taped(back).changed(damage).without(3000, 3004)
    whole = aligned(tape)
    alignment = Alignment(tape.streams())
    pieces = [ImuBlock(b.role, b.ticks[k:e], b.acc[k:e], b.gyr[k:e]) for k, e, b in cuts(tape, rows)]
    parts = joined([*(alignment.push(piece) for piece in pieces), alignment.finish()])
    for role in ROLES:
        np.testing.assert_array_equal(getattr(parts, role).flags, getattr(whole, role).flags)
    marks = whole.upper.flags
    assert all((marks & bit).any() for bit in (SATURATED, REPEATED, Quality.INTERPOLATED.value))


def cuts(tape, rows):
    length = max(len(block.ticks) for block in tape.blocks.values())
    return [(k, k + rows, block) for k in range(0, length, rows) for block in tape.blocks.values()]


# How much is hidden: closed forms


def turning(rate_hz, rad_s, seconds, flag, after=3.0, axis=(0.0, 0.0, 1.0)):
    count, more = round(seconds * rate_hz), round(after * rate_hz)
    gyr = np.outer(np.r_[np.full(count, rad_s), np.zeros(more)], axis)
    flags = np.r_[np.full(count, flag), np.zeros(more)].astype(np.uint8)
    return SensorRows(np.zeros((count + more, 3)), gyr, None, flags)


@pytest.mark.parametrize("rate_hz", [25.0, 100.0, 400.0])
def test_half_a_clipped_turn_may_be_hidden_and_gravity_mends_it(rate_hz):
    tilt, turn_ = Doubt(rate_hz).push(turning(rate_hz, 4.0, 0.4, SATURATED))
    hidden = 0.5 * 4.0 * 0.4
    assert hidden <= tilt.max() <= np.hypot(hidden, 0.1)
    assert turn_.sum() == pytest.approx(hidden**2, rel=1e-9)
    assert tilt[-1] == pytest.approx(tilt.max() * np.exp(-1.0), rel=0.03)  # 3 s later


def test_a_repeated_or_bridged_row_hides_little_and_a_clipped_accelerometer_no_turn():
    rows = turning(100.0, 4.0, 0.01, REPEATED)
    tilt, _ = Doubt(100.0).push(rows)
    assert 0 < tilt.max() < 0.2 * 4.0 * 0.01
    assert Doubt(100.0).push(replace_flags(rows, 0)) is None
    tilt, turn_ = Doubt(100.0).push(turning(100.0, 1.5, 0.1, SATURATED))
    assert not tilt.any()
    assert not turn_.any()


def replace_flags(rows, flag):
    return SensorRows(rows.acc, rows.gyr, rows.mag, np.full_like(rows.flags, flag))


@given(seed=st.integers(0, 999), first=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_doubt_knows_no_cuts_and_no_mounting(seed, first):
    rng = np.random.default_rng(seed)
    gyr, flags = rng.normal(0, 2, (60, 3)), rng.choice(np.uint8([0, 2, 4, 128, 1]), 60, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    gyr[flags == 1] = np.nan
    rows = SensorRows(gyr, gyr, None, flags)
    stage, whole = Doubt(50.0), Doubt(50.0).push(rows)
    parts = [stage.push(SensorRows(gyr[part], gyr[part], None, flags[part])) for part in cut_at(first)]
    found = [
        np.zeros((2, n)) if part is None else np.stack(part) for part, n in zip(parts, (first, 60 - first), strict=True)
    ]
    np.testing.assert_array_equal(np.hstack(found), np.zeros((2, 60)) if whole is None else np.stack(whole))
    assert whole is None or (np.stack(whole) >= 0).all()
    turned = np.nan_to_num(gyr) @ Rotation.random(rng=rng).as_matrix()
    turned[flags == 1] = np.nan
    other = Doubt(50.0).push(SensorRows(gyr, turned, None, flags))
    assert (whole is None) == (other is None)
    if whole is not None:
        np.testing.assert_allclose(other[0], whole[0], rtol=1e-9, atol=1e-9)


def cut_at(row):
    return slice(0, row), slice(row, None)


def test_doubt_refuses_a_rate_of_nothing():
    with pytest.raises(ConfigError, match="more than 0 Hz"):
        Doubt(0.0)


# What is not learnt


def test_a_clipped_accelerometer_is_no_measurement():
    rows = turning(100.0, 4.0, 0.1, SATURATED, after=0.1)
    rows = SensorRows(rows.acc + 9.81, rows.gyr, None, rows.flags)
    assert not trusted(rows).acc[:10].any()
    assert trusted(rows).acc[10:].all()
    assert trusted(replace_flags(rows, 0)).acc is rows.acc


def test_how_a_clipped_sensor_sits_changes_no_inclination(clipped):
    """Turned so that each axis reads less than the smallest range there is: the turn is as long as it was."""
    rows = trusted(aligned(clipped[1]).upper)
    askew = Rotation.from_rotvec([0.5, 0.6, 0.3])
    plain = Fusion(100.0).push(rows)
    other = Fusion(100.0).push(SensorRows(askew.apply(rows.acc), askew.apply(rows.gyr), None, rows.flags))
    up, moved = (Rotation.from_quat(b.quat, scalar_first=True).inv().apply([0, 0, 1]) for b in (plain, other))
    np.testing.assert_allclose(askew.inv().apply(moved), up, atol=1e-6)


def bias_errors(script, seeds=range(4)):
    """Return rms errors of the bias of the upper gyroscope, rad/s: flags left out, and with them."""
    squares = []
    for seed in seeds:
        back = quick(seed, script, 4)
        rows = aligned(replace(taped(back).clipped(RANGE), gyr_full_scale=RANGE)).upper
        blocks = Fusion(100.0).push(replace_flags(rows, 0)), Fusion(100.0).push(trusted(rows))
        squares.append([np.mean(np.square(b.bias - back.upper.bias)[done(back) :].sum(axis=1)) for b in blocks])
    return np.sqrt(np.mean(squares, axis=0))


def test_no_bias_explains_a_turn_that_was_hidden():
    """Trunk bends that lose tens of degrees in the range."""
    without, with_flags = bias_errors(SLUMP)
    assert with_flags < 0.9 * without


def test_to_begin_anew_after_a_small_clip_costs_little_bias():
    without, with_flags = bias_errors(BENDS)
    assert with_flags < 1.25 * without


# What is said about it


@pytest.mark.parametrize("script", [BENDS, SLUMP, BUSY], ids=["bends", "slump", "busy"])
def test_after_a_clip_the_error_lies_within_what_is_claimed(script):
    within = []
    for seed in range(4):
        back = quick(seed, script)
        tape = replace(taped(back).clipped(RANGE), gyr_full_scale=RANGE if seed % 2 else None)
        posture = walked(tape, calibrated(taped(back), back.windows))[1]
        true = back.relative_to_stance()
        row, marked = np.arange(len(posture)), posture.quality & SATURATED != 0
        since = row - np.maximum.accumulate(np.where(marked, row, -10_000))
        after = (since < 400) & (row > done(back))
        for name in WIDENED[2:]:
            error = getattr(posture, name) - getattr(true, name)
            within.append(np.abs(error / getattr(posture, name.replace("_deg", "_sd_deg")))[after])
        assert after.sum() > 500
    assert np.mean(np.concatenate(within) < 2) >= 0.90
    assert np.mean(np.concatenate(within) < 3) >= 0.95


def test_the_inclination_is_sure_again_after_seconds_the_heading_only_when_something_measures_it(clipped):
    back, _, calibration = clipped
    fast = slice(done(back), done(back) + 600)
    plain, doubtful = (walked(ranged(taped(back), fast, scale), calibration)[1] for scale in (100.0, RANGE))
    marked = np.flatnonzero(doubtful.quality & SATURATED)
    last = marked[-1]
    wider = deviations(doubtful, WIDENED) - deviations(plain, WIDENED)
    assert (wider[last] > 3.0).all()
    assert (np.abs(wider[last + 1500, :4]) < 0.5).all()
    assert wider[last + 100, 4] > 3.0


def ranged(tape, rows, scale):
    """Return a tape on which the upper sensor has this range in some rows; all else is slow enough for any."""

    def slow(role, block):
        gyr = np.clip(block.gyr, -0.95 * RANGE, 0.95 * RANGE)
        if role == "upper":
            gyr[rows] = np.clip(block.gyr[rows], -scale, scale)
        return replace(block, gyr=gyr)

    return replace(tape, gyr_full_scale=scale).changed(slow)


def test_doubt_never_makes_surer(clipped):
    _, tape, calibration = clipped
    posture = walked(tape, calibration)[1]
    rng = np.random.default_rng(5)
    upper, lower = np.abs(rng.normal(0, 0.1, (2, len(posture))))
    wider = widened(posture, upper, lower)
    names = ["upper_forward_deg", "flexion_deg", *INCLINATIONS]
    assert (deviations(wider, names) >= deviations(posture, names)).all()
    assert widened(posture, None, None) is posture


def test_doubt_never_makes_the_heading_surer():
    """A wearer who stands for a minute after a stance, with and without rows that hide a turn."""
    rows, level = 6000, np.tile([np.sqrt(0.5), np.sqrt(0.5), 0, 0], (6000, 1))
    no = np.zeros(rows, np.bool_)
    rng = np.random.default_rng(6)
    gyr = rng.normal(0, 1e-3, (2, rows, 3))
    acc, flags = np.tile([0.0, 9.81, 0.0], (rows, 1)), np.zeros(rows, np.uint8)
    sides = [SensorRows(acc, one, None, flags) for one in gyr]
    pair = PairBlock(np.arange(rows) / 100.0, *sides)
    still = OrientationBlock(level, np.zeros((rows, 3)), no, no)
    hidden = np.where(rng.random(rows) < 0.01, rng.random(rows) * 0.1, 0.0)
    sds = [
        Heading(100.0, stances=[(0, 6)], bias=np.zeros(6)).push(pair, np.hstack(gyr), still, still, hidden=more).sd
        for more in (None, hidden)
    ]
    assert (sds[1] >= sds[0] * (1 - 1e-9)).all()
    assert sds[1][-1] > sds[0][-1]


# Laws


@pytest.mark.parametrize("rows", [1, 13, 997])
def test_cuts_change_nothing(rows):
    back = quick(2, times=1)
    tape = taped(back).clipped(RANGE).without(3100, 3105).without(3300, 3350, "lower")
    calibration = calibrated(taped(back), back.windows)
    tape = tape.keep(slice(2700, 3500)) if rows == 1 else tape
    whole = walked(tape, calibration)[1]
    assert identical(walked(tape, calibration, rows=rows)[1], whole) == []
    assert whole.quality.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_back_is_as_sure_of_mirrored_angles(axis):
    back = quick(2, times=1)
    tape = taped(back).clipped(RANGE)
    one, other = (walked(t, calibrated(t, back.windows))[1] for t in (tape, tape.mirrored(axis)))
    np.testing.assert_array_equal(other.quality, one.quality)
    names = ["flexion_deg", "lateral_bend_deg", "axial_rotation_deg", *INCLINATIONS]
    signs = [-1.0 if any(word in name for word in ("lateral", "axial", "side")) else 1.0 for name in names]
    np.testing.assert_allclose(columns(other, names), columns(one, names) * signs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(deviations(other, names), deviations(one, names), rtol=0, atol=1e-9)


def test_a_sensor_that_is_always_clipped_says_nothing_with_certainty():
    back = quick(0, times=1)
    calibration = calibrated(taped(back), back.windows)
    stuck = taped(back).changed(lambda _, block: replace(block, gyr=np.full_like(block.gyr, 3.0)))
    posture = walked(replace(stuck, gyr_full_scale=3.0), calibration)[1]
    assert (posture.quality & SATURATED).all()
    assert np.isfinite(columns(posture)).all()
    assert (deviations(posture)[-100:] > 90.0).all()
    assert (posture.quality[-100:] & Quality.HEADING_UNKNOWN).all()


def test_a_tape_says_little():
    assert "rows" in repr(Tape({}))
