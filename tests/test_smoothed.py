"""The smoothed walk: the same rows as the causal one, truer, no less honest, and nothing passes where nothing may."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from second_spine import mixed_work
from test_heading import LEVEL, about_vertical, orientation, standing
from walks import (
    INCLINATIONS,
    SPINE,
    aligned,
    calibrated,
    columns,
    deviations,
    identical,
    joined,
    part_of,
    taped,
    walked,
)

from imuposture import Config, ConfigError, Pipeline, SensorModel, process, simulate
from imuposture._blocks import OrientationBlock, Quality
from imuposture._ext import heading as compiled
from imuposture.acquisition.simulation.actions import bend, during, side_bend, stand, turn, walk
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration, calibrate
from imuposture.heading import Heading, HeadingSettings, SmoothedHeading
from imuposture.processing import SmoothedPipeline

SMOOTHED = Config(smoothed=True)
SOURCE_BITS = (
    Quality.GAP | Quality.INTERPOLATED | Quality.SATURATED | Quality.UNCALIBRATED | Quality.DUPLICATE_OR_REORDERED
).value
# A recorded step: states before and after its measurements, covariance, drift, noise, stances left, begun anew.
STATES = len(Heading(100.0).states()[0])
PLACES = np.cumsum([0, STATES, STATES, STATES**2, STATES, STATES])
PREDICTED, STATE, COVARIANCE, DRIFT, NOISE = (slice(a, b) for a, b in pairwise(PLACES))
STANCE, ANEW = PLACES[-1], PLACES[-1] + 1
# The last states: what the present neutral stance, and those before together, differ from the mean of all.
NOW_STANCE, STANCES = STATES - 2, STATES - 1


def work(seed=1, rate=100.0, model=None, extra=()):
    script = [
        stand(6, neutral=True),
        stand(1),
        during("flexion", [bend(60, reps=4, seconds=3)]),
        during("lateral", [side_bend(25, "right", reps=2, seconds=3), side_bend(25, "left", reps=2, seconds=3)]),
        stand(3),
        *extra,
        bend(70, reps=2, seconds=1.4),
        walk(6),
        stand(3),
    ]
    model = model or SensorModel()
    return simulate(script, seed=seed, rate=rate, upper=model, lower=model)


@pytest.fixture(scope="module")
def worked():
    back = work()
    return back, taped(back).clipped(2.2), calibrated(taped(back), back.windows)


# Rows


def damages(tape):
    rows = len(tape.blocks["upper"].ticks)
    island = np.arange(rows) % 60 < 40
    return {
        "whole": tape,
        "gap at the start": empty(tape, 0, 400),
        "gap in a step": tape.without(2525, 2560),
        "upper missing": tape.without(2500, 3100, "upper"),
        "nothing at the end": empty(tape, rows - 300, rows),
        "nothing at all": empty(tape, 0, rows),
        "islands shorter than a step": tape.keep(island),
        "shorter than a step": tape.keep(slice(0, 30)),
        "two rows": tape.keep(slice(0, 2)),
        "one row": tape.keep(slice(0, 1)),
        "all clipped": replace(tape, gyr_full_scale=1e-9),
        "upper only": tape.only("upper"),
        "lower only": tape.only("lower"),
    }


def empty(tape, first, last):
    def blank(_, block):
        acc = block.acc.copy()
        acc[first:last] = np.nan
        return replace(block, acc=acc)

    return tape.changed(blank)


@pytest.mark.parametrize("damage", damages(taped(simulate("still", minutes=1))))
def test_the_rows_are_those_of_the_causal_walk(worked, damage):
    tape = damages(worked[1])[damage]
    causal, smoothed = (walked(tape, worked[2], config)[1] for config in (Config(), SMOOTHED))
    np.testing.assert_array_equal(smoothed.time_s, causal.time_s)
    np.testing.assert_array_equal(smoothed.quality & SOURCE_BITS, causal.quality & SOURCE_BITS)
    for name in (*SPINE, *INCLINATIONS):
        np.testing.assert_array_equal(np.isnan(getattr(smoothed, name)), np.isnan(getattr(causal, name)))
    assert identical(walked(tape, worked[2], SMOOTHED, rows=217)[1], smoothed) == []


@pytest.mark.parametrize(("rate", "magnetometer"), [(25.0, False), (400.0, False), (50.0, True)])
def test_other_rates_and_magnetometers(rate, magnetometer):
    back = work(2, rate, SensorModel(magnetometer=magnetometer))
    tape, calibration = taped(back).without(900, 903).without(1000, 1100), calibrated(taped(back), back.windows)
    config = Config(smoothed=True, magnetometer=magnetometer)
    causal = walked(tape, calibration, replace(config, smoothed=False), rows=100)[1]
    smoothed = walked(tape, calibration, config)[1]
    np.testing.assert_array_equal(smoothed.time_s, causal.time_s)
    np.testing.assert_array_equal(smoothed.quality & SOURCE_BITS, causal.quality & SOURCE_BITS)
    assert np.nanmax(np.abs(columns(smoothed) - columns(causal))) < 15
    assert identical(walked(tape, calibration, config, rows=101)[1], smoothed) == []


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(places=st.lists(st.integers(0, 4500), max_size=30), seed=st.integers(0, 9))
def test_cuts_change_nothing(worked, places, seed):
    """Any cuts, different for both sensors and in any order between them."""
    _, tape, calibration = worked
    tape = tape.without(2600, 2605).without(2700, 2790, "lower")
    rng, waiting = np.random.default_rng(seed), []
    for block in tape.blocks.values():
        at = sorted({0, *(place + int(rng.integers(50)) for place in places), 10**6})
        waiting.append([part_of(block, slice(a, b)) for a, b in pairwise(at)])
    pipeline, parts = SmoothedPipeline(Alignment(tape.streams()), calibration, SMOOTHED), []
    while any(waiting):
        queue = waiting[int(rng.integers(2))]
        if queue:
            parts.append(pipeline.push(queue.pop(0)).posture)
    parts.append(pipeline.finish().posture)
    assert sum(map(len, parts)) == 0
    whole = joined([*parts, *(rows.posture for rows in pipeline.rest())])
    assert identical(whole, walked(tape, calibration, SMOOTHED)[1]) == []


def test_nothing_comes_before_the_rest(worked):
    _, tape, calibration = worked
    pipeline = SmoothedPipeline(Alignment(tape.streams()), calibration, SMOOTHED)
    early = [*(pipeline.push(block) for block in tape.blocks.values()), pipeline.finish()]
    for rows in early:
        assert len(rows.posture) == len(rows.samples) == 0
        assert rows.metrics.events == rows.metrics.windows == rows.metrics.summary == ()
    late = list(pipeline.rest())
    assert sum(len(rows.posture) for rows in late) == len(tape.blocks["upper"].ticks)
    assert any(rows.metrics.events for rows in late)
    assert pipeline.metrics.finish().summary


def test_a_causal_pipeline_does_not_claim_to_be_smoothed(worked):
    with pytest.raises(ConfigError, match="whole recordings"):
        Pipeline(Alignment(worked[1].streams()), worked[2], SMOOTHED)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_back_has_mirrored_angles(axis):
    back = work(3)
    tape = taped(back).clipped(2.2).without(2600, 2606).without(2800, 2900, "lower")
    one, other = (walked(t, calibrated(t, back.windows), SMOOTHED)[1] for t in (tape, tape.mirrored(axis)))
    np.testing.assert_array_equal(other.quality, one.quality)
    names = [*SPINE, *INCLINATIONS]
    signs = [-1.0 if any(word in name for word in ("lateral", "axial", "side")) else 1.0 for name in names]
    np.testing.assert_allclose(columns(other, names), columns(one, names) * signs, rtol=0, atol=1e-9)
    np.testing.assert_allclose(deviations(other, names), deviations(one, names), rtol=0, atol=1e-9)


def test_without_calibration_there_are_inclinations(worked):
    _, tape, _ = worked
    unusable = calibrate(aligned(tape.keep(slice(0, 300))), 100.0, {})
    assert not unusable.usable
    posture = walked(tape, unusable, SMOOTHED)[1]
    assert np.isnan(columns(posture)).all()
    assert np.isfinite(columns(posture, INCLINATIONS)).all()
    assert (posture.quality & Quality.UNCALIBRATED).all()


# Truth


SIMULATORS = {
    "own": (
        lambda seed: simulate("mixed_work", seed=seed, minutes=8),
        lambda b: np.stack([*b.relative_to_stance()], 1),
    ),
    "second": (lambda seed: mixed_work(seed, 8.0), lambda back: back.truth()),
}


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_hindsight_is_truer_and_stays_honest(simulator):
    make, true = SIMULATORS[simulator]
    errors, sds = {False: [], True: []}, {False: [], True: []}
    for seed in range(3):
        back = make(seed)
        calibration = calibrated(taped(back), back.windows)
        for smoothed in (False, True):
            posture = walked(taped(back), calibration, Config(smoothed=smoothed))[1]
            errors[smoothed].append((columns(posture) - true(back))[6000:])
            sds[smoothed].append(deviations(posture)[6000:])
    causal, hindsight = (np.sqrt(np.mean(np.square(np.concatenate(errors[kind])), axis=0)) for kind in (False, True))
    assert (hindsight < 0.97 * causal).all()
    assert hindsight[2] < 0.8 * causal[2]
    claimed = np.concatenate(sds[True])
    assert claimed.mean() < np.concatenate(sds[False]).mean()
    apart = np.abs(np.concatenate(errors[True])) / claimed
    assert (np.mean(apart < 2, axis=0) >= 0.80).all()
    assert (np.mean(apart < 3, axis=0) >= 0.90).all()


def test_before_a_hidden_turn_hindsight_claims_no_more_than_it_knows():
    """An average over both sides of a clipped turn is bent before it, too."""
    within = []
    for seed in range(3):
        back = work(seed, extra=[stand(6), bend(100, seconds=1.2, hold=2), stand(6)] * 2)
        tape = replace(taped(back).clipped(2.2), gyr_full_scale=2.2)
        posture = walked(tape, calibrated(taped(back), back.windows), SMOOTHED)[1]
        marked, row = posture.quality & Quality.SATURATED.value != 0, np.arange(len(posture))
        until = np.minimum.accumulate(np.where(marked, row, 10**6)[::-1])[::-1] - row
        error = posture.flexion_deg - back.relative_to_stance().flexion_deg
        within.append((np.abs(error) < 2 * posture.flexion_sd_deg)[(until > 0) & (until < 200)])
    assert np.mean(np.concatenate(within)) > 0.9


# The smoother of the heading against a dense least-squares solution


def carried(step):
    """Return the matrix that brought the state here from the step before."""
    matrix = np.eye(STATES)
    if step[ANEW]:
        matrix[0, 0] = 0.0
    matrix[0] += step[DRIFT]
    if step[STANCE] > 0:
        begin = np.eye(STATES)
        begin[STANCES, NOW_STANCE] = 1.0
        begin[NOW_STANCE] = -begin[STANCES] / step[STANCE]
        matrix = begin @ matrix
    return matrix


def least_squares(steps):
    """Solve for all states at once: what each step's measurements told, and how the states follow from each other.

    What a step's measurements told is the difference of information after and before them.
    """
    count = len(steps)
    information, told = np.zeros((count * STATES, count * STATES)), np.zeros(count * STATES)
    for k, step in enumerate(steps):
        own = slice(k * STATES, (k + 1) * STATES)
        after = np.linalg.inv(step[COVARIANCE].reshape(STATES, STATES))
        if k == 0:
            information[own, own], told[own] = after, after @ step[STATE]
            continue
        before, past = slice((k - 1) * STATES, k * STATES), steps[k - 1]
        f, weight = carried(step), np.diag(1.0 / step[NOISE])
        expected = f @ past[COVARIANCE].reshape(STATES, STATES) @ f.T + np.diag(step[NOISE])
        prior = np.linalg.inv(expected)
        information[own, own] += weight + after - prior
        told[own] += after @ step[STATE] - prior @ step[PREDICTED]
        shift = step[PREDICTED] - f @ past[STATE]
        information[before, before] += f.T @ weight @ f
        information[own, before] -= weight @ f
        information[before, own] -= f.T @ weight
        told[own] += weight @ shift
        told[before] -= f.T @ weight @ shift
    covariance = np.linalg.inv(information)
    return (covariance @ told).reshape(count, STATES), np.sqrt(np.diag(covariance)).reshape(count, STATES)


@pytest.fixture(scope="module")
def steps():
    """Return recorded steps: stances, bends, holds, a clipped turn, two gaps in one step, gait."""
    back = work(4, extra=[turn(90, seconds=0.7), stand(4), stand(5, neutral=True), walk(5)])
    tape = taped(back).clipped(2.2).without(4000, 4020).without(4030, 4060)
    pipeline, _ = walked(tape, calibrated(taped(back), back.windows), SMOOTHED)
    recorded = np.concatenate(pipeline.heading._steps)
    assert recorded.shape[1] == ANEW + 1
    assert recorded[:, ANEW].sum() == 2  # the first step, and one that began anew twice
    assert np.count_nonzero(recorded[:, STANCE]) == 2
    return recorded


def test_the_smoother_is_least_squares(steps):
    results = np.empty((len(steps), 3))
    compiled.smoothed(steps, results)
    states, sds = least_squares(steps)
    np.testing.assert_allclose(results[:, 1] + steps[:, STATE][:, 0], states[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(results[:, 2], sds[:, 0], rtol=1e-5, atol=1e-7)


def test_the_last_step_is_the_filter_s_and_no_step_is_less_sure(steps):
    results = np.empty((len(steps), 3))
    compiled.smoothed(steps, results)
    filtered = np.sqrt(steps[:, COVARIANCE][:, 0])
    assert results[-1, 1] == 0.0
    assert results[-1, 2] == filtered[-1]
    assert (results[:, 2] <= filtered * (1 + 1e-9)).all()
    assert results[:, 2].sum() < 0.8 * filtered.sum()


# What may pass, and what may not


def both_headings(pair, smooth, upper, lower, **settings):
    causal = Heading(100.0, bias=np.zeros(6), **settings).push(pair, smooth, upper, lower)
    stage = SmoothedHeading(100.0, bias=np.zeros(6), **settings)
    assert len(stage.push(pair, smooth, upper, lower).delta) == 0
    return causal, stage.finish()


def drifting(rate, gap=None, jump=0.0):
    """Two upright segments for two minutes; the upper one's earth frame drifts; nobody turns."""
    pair, smooth = standing(120, [0, rate, 0], [0, 0, 0])
    quat = about_vertical(rate * pair.time_s + np.where(pair.time_s < 60, 0.0, jump))
    if gap is not None:
        quat[gap] = np.nan
    lower = orientation(LEVEL, len(pair))
    return pair, smooth, OrientationBlock(quat, lower.bias, lower.rest, lower.disturbed), lower


NO_HOLDS = HeadingSettings(hold_shortest_s=1e5, bias_sd_dps=0.1)


def test_a_late_stance_corrects_earlier_rows():
    rate = np.radians(0.2)
    pair, smooth, upper, lower = drifting(rate)
    causal, smoothed = both_headings(pair, smooth, upper, lower, settings=NO_HOLDS, stances=[(0, 6), (114, 120)])
    true = -rate * pair.time_s
    middle = slice(3000, 11000)
    assert np.degrees(np.abs(causal.delta - true)[middle].max()) > 5.0
    assert np.degrees(np.abs(smoothed.delta - true)[middle].max()) < 1.0
    assert (smoothed.sd[middle] < 0.5 * causal.sd[middle]).all()


def test_after_a_long_gap_the_heading_is_not_bent_by_before():
    """Behind a gap the earth frames are others: a stance behind it says nothing about the heading before, nor back."""
    rate, gap = np.radians(0.1), slice(5000, 7000)
    stances = [(0, 6), (114, 120)]
    one, other = (
        both_headings(*drifting(rate, gap, jump), settings=NO_HOLDS, stances=stances)[1] for jump in (0.0, 1.0)
    )
    np.testing.assert_allclose(other.delta[:5000], one.delta[:5000], rtol=0, atol=1e-9)
    np.testing.assert_allclose(other.delta[7000:] + 1.0, one.delta[7000:], rtol=0, atol=1e-9)
    assert np.isnan(one.delta[gap]).all()
    assert np.isinf(one.sd[gap]).all()
    assert np.degrees(np.abs(one.delta + rate * np.arange(12000) / 100)[7000:].max()) < 3.0
    bent = np.diff(one.delta[7000:]) + rate / 100  # rad a row; a correction from before the gap would fade in a step
    assert np.abs(bent).max() < 2e-5


def test_rows_between_gaps_are_as_unsure_as_the_gap_made_them():
    """An island shorter than a step takes over no certainty from before the gap."""
    gap = np.r_[6000:7000, 7030:8000]
    causal, smoothed = both_headings(*drifting(0.0, gap), stances=[(0, 6), (114, 120)])
    assert (smoothed.sd[7000:7030] > 0.7 * causal.sd[7000:7030]).all()
    assert smoothed.sd[7000] > 3 * smoothed.sd[5999]


# Sessions


def test_a_session_says_that_it_is_smoothed(tmp_path):
    path = tmp_path / "work.parquet"
    work().write(path)
    causal, smoothed = (process(path, config=Config(smoothed=kind)) for kind in (False, True))
    assert smoothed.manifest["config"]["smoothed"] is True
    assert smoothed.manifest["heading"]["method"].endswith("smoothed")
    assert causal.manifest["heading"]["method"].endswith("causal")
    assert smoothed.manifest["config_hash"] != causal.manifest["config_hash"]
    assert smoothed.posture["time_s"].equals(causal.posture["time_s"])
    assert (
        Calibration.fromdict(smoothed.manifest["calibration"]).windows
        == Calibration.fromdict(causal.manifest["calibration"]).windows
    )
    written = process(path, config=Config(smoothed=True), out=tmp_path / "session")
    assert pyarrow.parquet.read_table(tmp_path / "session" / "posture.parquet").num_rows == written.posture.num_rows
