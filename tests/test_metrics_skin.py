"""Skin under the sensors: it scales movements to both sides alike, so sums carry it and differences hardly do."""

import json
from dataclasses import replace

import numpy as np
import pytest
from metrics_rows import cut, posture, train

import imuposture as ip
from imuposture._blocks import Event
from imuposture.acquisition.simulation import Person, SensorModel
from imuposture.acquisition.simulation.actions import bend, during, side_bend, stand
from imuposture.calibration import Calibration
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics._sides import UNLIKE, Halves, difference_sd, skin_difference, skin_sum, with_skin
from imuposture.metrics._statistics import median_interval
from imuposture.metrics.asymmetry import FACINGS
from imuposture.metrics.range_of_motion import range_difference

RATE = 50.0
SKIN = MetricContext(RATE, soft_tissue_sd_deg=2.0, neutral_sd_deg={"lateral_bend": 0.0}, facing_sd_deg=0.0)
GLUED = MetricContext(RATE, soft_tissue_sd_deg=0.0, neutral_sd_deg={"lateral_bend": 0.0}, facing_sd_deg=0.0)


def figures(angles, context, sd=0.0, names=None):
    block = cut(MetricSet(context, names), posture(angles, RATE, sd=sd), [])
    return {(f.metric, f.plane, f.side): f for f in block.summary}


def half_width(figure):
    return (figure.high - figure.low) / 2


def test_two_skins_of_two_degrees_at_45():
    assert SKIN.skin_sd(45.0) == pytest.approx(2.0 * np.sqrt(2.0))
    assert SKIN.skin_sd(22.5) == pytest.approx(np.sqrt(2.0))


def test_a_sum_carries_the_skin_of_both_sides_and_a_difference_what_they_have_not_in_common():
    one, both = SKIN.skin_sd(45.0), SKIN.skin_sd(90.0)
    unlike = UNLIKE * np.hypot(one, one)
    assert skin_sum(45.0, 45.0, SKIN) == pytest.approx(np.hypot(both, unlike))
    assert skin_difference(45.0, 45.0, SKIN) == pytest.approx(unlike)
    assert skin_difference(45.0, 0.0, SKIN) == pytest.approx(np.hypot(one, UNLIKE * one))
    assert skin_difference(10.0, 30.0, SKIN) == skin_difference(30.0, 10.0, SKIN)


def test_a_difference_of_ends_counts_stance_and_heading_twice():
    stance, heading = 1.5, 3.0
    assert difference_sd((heading, 30.0), (heading, 28.0), stance, GLUED) == pytest.approx(np.hypot(3.0, 6.0))
    assert with_skin(0.0, 45.0, SKIN) == pytest.approx(SKIN.skin_sd(45.0))
    assert with_skin(4.0, 45.0, SKIN) == 4.0


@pytest.mark.parametrize("size", [15.0, 30.0])
def test_the_intervals_of_simple_sizes_grow_with_the_movement(size):
    rng = np.random.default_rng(3)
    angles = train(RATE, [(s * size + rng.normal(0.0, 0.05), 2.0) for _ in range(10) for s in (1, -1)], pause=0.5)
    found = figures(angles, SKIN)
    assert half_width(found["size_sum", "lateral_bend", None]) == pytest.approx(
        1.96 * skin_sum(size, size, SKIN), rel=0.05
    )
    assert half_width(found["asymmetry_of_size", "lateral_bend", None]) == pytest.approx(
        1.96 * skin_difference(size, size, SKIN), rel=0.1
    )
    assert half_width(found["repetition_size", "lateral_bend", "left"]) == pytest.approx(
        1.96 * SKIN.skin_sd(size), rel=0.05
    )
    assert half_width(figures(angles, GLUED)["repetition_size", "lateral_bend", "left"]) < 0.2


def test_skin_that_gives_to_one_side_and_takes_from_the_other_leaves_the_mean():
    """Half the time bent by 30 degrees to each side, of which only the skin is unsure."""
    sway = np.zeros((6000, 3))
    sway[:, 1] = 30.0 * np.sign(np.sin(np.arange(6000) / 50.0 + 0.01))
    sway[:, 1] -= sway[:, 1].mean()
    known = MetricContext(RATE, neutral_sd_deg={"lateral_bend": 1.0})
    rows_sd = float(known.skin_sd(30.0))
    figure = figures(sway, known, sd=rows_sd, names=["asymmetry"])["mean_angle", "lateral_bend", None]
    assert half_width(figure) == pytest.approx(1.96, rel=0.02)
    sway[:, 0] = sway[:, 2] = 20.0  # skin answers to what the other planes do as well
    twisted = figures(sway, known, sd=float(known.skin_sd(np.sqrt(1700.0))), names=["asymmetry"])
    assert half_width(twisted["mean_angle", "lateral_bend", None]) == pytest.approx(1.96, rel=0.05)
    lean = np.zeros((6000, 3))
    lean[:, 1] = 30.0
    figure = figures(lean, known, sd=rows_sd, names=["asymmetry"])["mean_angle", "lateral_bend", None]
    assert half_width(figure) == pytest.approx(1.96 * np.hypot(1.0, rows_sd), rel=0.02)


def test_a_wrong_facing_gives_to_one_side_what_it_takes_from_the_other():
    """Side bends that all come with 20 degrees of flexion, and nothing unsure but which way is forward."""
    context = replace(GLUED, facing_sd_deg=6.0)
    rng = np.random.default_rng(4)
    bends = [(s * 40.0 + rng.normal(0.0, 0.05), 3.0) for _ in range(8) for s in (1, -1)]
    angles = train(RATE, bends, pause=0.5)
    angles[:, 0] = 0.5 * np.abs(angles[:, 1])
    found = figures(angles, context)
    leaked = (20.0 + 20.0) * np.radians(6.0)
    assert half_width(found["asymmetry_of_size", "lateral_bend", None]) == pytest.approx(1.96 * leaked, rel=0.02)
    assert half_width(found["size_sum", "lateral_bend", None]) < 0.3


def test_bends_are_as_unsure_as_forward_is_for_both_sensors():
    bends = train(RATE, [(60.0, 3.0)] * 8, plane=0, pause=1.0)
    found = figures(bends, replace(GLUED, facing_sd_deg=2.0))["coupled_in_flexion", "lateral_bend", None]
    assert half_width(found) == pytest.approx(1.96 * FACINGS * 60.0 * np.radians(2.0), rel=0.02)


def test_without_skin_the_interval_of_a_median_is_that_of_its_ranks():
    rng = np.random.default_rng(9)
    angles = train(RATE, [(15.0 + size, 2.0) for size in rng.exponential(4.0, 15)], pause=0.5)
    block = cut(MetricSet(GLUED, ["repetitions"]), posture(angles, RATE), [])
    sizes = [event.amplitude_deg for event in block.events if event.kind == "repetition"]
    figure = next(f for f in block.summary if (f.metric, f.side) == ("repetition_size", "right"))
    low, high = median_interval(sizes)
    assert len(sizes) == 15
    assert abs(low + high - 2 * figure.value) > 0.3  # lopsided, as the sizes are
    assert (figure.low, figure.high) == pytest.approx((low, high))


def test_tested_ranges_carry_the_skin_in_sides_and_sums():
    bends = [(s * 40.0, 4.0) for _ in range(4) for s in (1, -1)]
    found = figures(train(RATE, bends, hold=2.0), SKIN, names=["range_test"])
    assert half_width(found["tested_range", "lateral_bend", "right"]) == pytest.approx(
        1.96 * SKIN.skin_sd(40.0), rel=0.02
    )
    assert half_width(found["tested_range_sum", "lateral_bend", None]) == pytest.approx(
        1.96 * skin_sum(40.0, 40.0, SKIN), rel=0.02
    )
    assert half_width(found["tested_range_difference", "lateral_bend", None]) == pytest.approx(
        1.96 * skin_difference(40.0, 40.0, SKIN), rel=0.02
    )


def test_a_heading_is_known_from_few_things_and_rotation_says_so():
    halves = Halves()
    for plane in ("lateral_bend", "axial_rotation"):
        for side, sign in (("right", 1), ("left", -1)):
            for peak in (30.0, 31.0, 32.0):
                details = {"peak_deg": sign * peak, "sd_deg": 4.0}
                halves.take((Event("repetition", 0, 1, plane, side, peak, details),))
    bend, turn = (
        range_difference(halves[plane, "right"], halves[plane, "left"], GLUED, plane)
        for plane in ("lateral_bend", "axial_rotation")
    )
    assert bend.df > 400
    assert turn.df == pytest.approx(10, rel=0.05)


@pytest.fixture(scope="module")
def stances(tmp_path_factory):
    """The calibration of somebody who stands off their zero by so much in pelvis and spine, drawn anew every time."""

    def found(stance_error_deg, seed):
        script = [stand(6, neutral=True), during("flexion", [bend(60, reps=3)]), stand(5, neutral=True)]
        script += [during("lateral", [side_bend(25, side) for side in ("right", "left")]), stand(5, neutral=True)]
        who = Person(stance_error_deg=stance_error_deg, off_plane=0.0, sway_deg=0.0, breathing_deg=0.0)
        back = ip.simulate(script, seed=seed, person=who, upper=SensorModel.ideal(), lower=SensorModel.ideal())
        path = back.write(tmp_path_factory.mktemp("stances") / "back.parquet")
        return back, Calibration.fromdict(json.loads(json.dumps(ip.process(path).manifest["calibration"])))

    return found


def test_stances_that_happen_to_be_alike_do_not_make_the_zero_of_the_spine_certain(stances):
    _, alike = stances(0.0, 1)
    assert alike.spinal_sd_deg == pytest.approx(np.sqrt(4 * 2.0**2 / 8) / np.sqrt(3), abs=0.02)


def test_the_zero_of_the_spine_is_judged_by_the_spine(stances):
    back, found = stances(6.0, 5)
    middles = [np.searchsorted(back.time_s, sum(window) / 2) for window in back.windows["neutral"]]
    columns = [(back.upper_forward_deg, back.lower_forward_deg), (back.upper_side_deg, back.lower_side_deg)]
    spine = np.array([(upper - lower)[middles] for upper, lower in columns])
    told = ((spine - spine.mean(axis=1, keepdims=True)) ** 2).sum()
    assert found.spinal_sd_deg == pytest.approx(np.sqrt((4 * 2.0**2 + told) / 8) / np.sqrt(3), rel=0.02)
    assert abs(found.spinal_sd_deg / found.neutral_sd_deg - 1.0) > 0.1


def test_sessions_without_a_spread_of_the_spine_keep_that_of_the_segment(stances):
    _, found = stances(2.0, 2)
    stored = found.asdict()
    del stored["own_spinal_sd_deg"]
    old = Calibration.fromdict(stored)
    assert old.spinal_sd_deg == old.neutral_sd_deg == found.neutral_sd_deg
