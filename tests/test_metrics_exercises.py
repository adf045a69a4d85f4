"""Exercises: sets are found as sets, by name and side; what is no set is none; trends over sets."""

import numpy as np
import pytest
from metrics_rows import cut, minimum_jerk, posture, train
from scipy import stats

from imuposture._errors import ConfigError
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics.exercises import slope_of_sets

RATE = 50.0


def found(angles, exercises=None, inclination=None, at=(700,)):
    context = MetricContext(RATE, exercises=exercises or {})
    block = posture(angles, RATE, inclination=np.zeros(len(angles)) if inclination is None else inclination)
    return cut(MetricSet(context, ["exercises"]), block, list(at))


def told(block):
    return [(e.label, e.plane, e.side, e.details["repetitions"]) for e in block.events if e.kind == "set"]


def sets_of(*sets, **how):
    return np.concatenate([train(RATE, bends, after=30.0, **how) for bends in sets])


def test_sets_have_name_side_count_and_evenness():
    block = found(sets_of([(25.0, 3.0)] * 8, [(-24.0, 3.0)] * 6))
    assert told(block) == [
        ("side_bend", "lateral_bend", "right", 8.0),
        ("side_bend", "lateral_bend", "left", 6.0),
    ]
    figures = {(f.metric, f.definition, f.side): f.value for f in block.summary}
    assert figures["sets", "exercises.sets/1@side_bend", None] == 2
    assert figures["set_repetitions", "exercises.repetitions/1@side_bend", "right"] == 8
    assert figures["set_spread", "exercises.spread/1@side_bend", "left"] == pytest.approx(0.0, abs=0.5)


def test_sides_in_turn_are_one_set():
    (event,) = [e for e in found(sets_of([(25.0, 3.0), (-20.0, 3.0)] * 5, plane=2)).events if e.kind == "set"]
    assert (event.label, event.side, event.details["repetitions"]) == ("rotation", None, 10.0)
    assert event.details["side_difference_deg"] == pytest.approx(5.0, abs=0.1)


def test_single_movements_are_no_set():
    far_apart = train(RATE, [(25.0, 3.0)] * 6, pause=15.0)
    unlike = train(RATE, [(10.0, 3.0), (40.0, 3.0), (12.0, 3.0), (45.0, 3.0), (11.0, 3.0)])
    few = train(RATE, [(25.0, 3.0)] * 3)
    assert [told(found(angles)) for angles in (far_apart, unlike, few)] == [[], [], []]


def test_counts_of_random_sets_are_exact():
    rng = np.random.default_rng(7)
    wanted, parts = [], []
    for _ in range(40):
        plane, count, side = int(rng.integers(3)), int(rng.integers(4, 13)), float(rng.choice([-1.0, 1.0]))
        size, seconds = float(rng.uniform(20, 40)), float(rng.uniform(2, 5))
        bends = [(side * size * float(rng.uniform(0.85, 1.15)), seconds) for _ in range(count)]
        parts.append(train(RATE, bends, plane=plane, pause=float(rng.uniform(0.3, 4)), coupling=(0.2, 0.1), after=30.0))
        name = ("flexion", "lateral_bend", "axial_rotation")[plane]
        sides = ("forward", "backward") if plane == 0 else ("right", "left")
        wanted.append((name, sides[0 if side > 0 else 1], float(count)))
    counted = [(plane, side, n) for _, plane, side, n in told(found(np.concatenate(parts)))]
    assert counted == wanted


@pytest.mark.parametrize(
    ("lean", "flexion", "label"), [(0.0, 60.0, "bend"), (50.0, 20.0, "row_hinge"), (-80.0, -20.0, "bridge")]
)
def test_where_the_trunk_is_tells_exercises_apart(lean, flexion, label):
    angles = train(RATE, [(flexion, 3.0)] * 6, plane=0)
    block = found(angles, inclination=np.full(len(angles), lean))
    assert [name for name, *_ in told(block)] == [label]


def test_holds_are_timed():
    still = np.zeros((round(30 * RATE), 3))
    lean = np.concatenate([np.zeros(500), np.full(500, 85.0), np.zeros(500)])
    (plank,) = [e for e in found(still, inclination=lean).events if e.kind == "set"]
    assert (plank.label, plank.side) == ("plank_hold", None)
    assert plank.details["hold_s"] == pytest.approx(10.0)
    way = minimum_jerk(RATE, 2.0)
    side = -25.0 * np.concatenate([np.zeros(250), way, np.ones(round(20 * RATE)), 1 - way, np.zeros(500)])
    stretch = np.stack([0 * side, side, 0 * side], axis=1)
    (event,) = [e for e in found(stretch).events if e.kind == "set"]
    assert (event.label, event.side) == ("stretch_hold", "left")
    assert event.details["hold_s"] == pytest.approx(20.0, abs=1.6)
    assert event.amplitude_deg == pytest.approx(25.0, abs=0.5)


def test_own_templates_come_first():
    mine = {"my_reach": {"plane": "lateral_bend", "side": "right", "amplitude": [20.0, 30.0], "repetitions": 6}}
    angles = sets_of([(25.0, 3.0)] * 6, [(25.0, 3.0)] * 5, [(-25.0, 3.0)] * 6)
    assert [name for name, *_ in told(found(angles, mine))] == ["my_reach", "side_bend", "side_bend"]


@pytest.mark.parametrize(
    "table",
    [
        "bend",
        {},
        {"plane": "roll"},
        {"plane": "flexion", "side": "up"},
        {"plane": "flexion", "hold": [5.0]},
        {"plane": "flexion", "amplitude": [9.0, 2.0]},
        {"plane": "flexion", "repetitions": 0},
    ],
)
def test_what_is_no_template_is_refused_by_name(table):
    with pytest.raises(ConfigError, match="'mine'"):
        found(np.zeros((10, 3)), {"mine": table})


def test_fatigue_over_a_set():
    """Each repetition a degree smaller and a tenth slower than the last."""
    bends = [(40.0 - k, 2.0 + 0.1 * k) for k in range(12)]
    figures = {(f.metric, f.plane): f for f in found(sets_of(bends, bends)).summary}
    size = figures["set_trend_of_amplitude", "lateral_bend"]
    assert size.value == pytest.approx(-1.0, abs=0.05)
    assert size.low <= size.value <= size.high < 0.0
    assert figures["set_trend_of_duration", "lateral_bend"].value == pytest.approx(0.1, abs=0.03)
    assert figures["set_trend_of_amplitude", "flexion"].reason == "no set"


def test_the_slope_of_one_set_is_that_of_sen():
    rng = np.random.default_rng(2)
    for n in (6, 10, 30):
        y = (30.0 + rng.normal(0, 2, n)).tolist()
        expected = stats.theilslopes(y, np.arange(n), alpha=0.95)
        value, interval = slope_of_sets([y])
        assert value == pytest.approx(expected.slope)
        assert interval == pytest.approx((expected.low_slope, expected.high_slope), abs=0.15)


def test_no_trend_is_covered():
    rng, inside, runs = np.random.default_rng(5), 0, 300
    for _ in range(runs):
        _, interval = slope_of_sets([rng.normal(30, 2, 10).tolist(), rng.normal(20, 1, 8).tolist()])
        inside += interval[0] <= 0.0 <= interval[1]
    assert 0.92 <= inside / runs <= 0.99
