"""How repetitions were done: medians a side, bootstrap intervals, ranges used, rhythm where the placement allows."""

from dataclasses import replace

import numpy as np
import pytest
from metrics_rows import cut, posture, train

from imuposture._errors import ConfigError
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics.quality import bootstrap_difference

RATE = 50.0


def summary(block, names, **context):
    found = cut(MetricSet(MetricContext(RATE, **context), names), block, [500])
    return {(f.metric, f.plane, f.side): f for f in found.summary}


def test_tempo_and_smoothness_of_a_side():
    bends = [(a, s) for _ in range(6) for a, s in ((30.0, 4.0), (-20.0, 2.0))]
    found = summary(posture(train(RATE, bends, hold=2.0, pause=1.0, coupling=(0.3, 0.0)), RATE), ["quality"])
    assert found["repetition_out", "lateral_bend", "right"].value == pytest.approx(1.76, abs=0.06)
    assert found["repetition_back", "lateral_bend", "left"].value == pytest.approx(0.88, abs=0.06)
    assert found["repetition_hold", "lateral_bend", "right"].value == pytest.approx(2.24, abs=0.08)
    assert found["smoothness_out", "lateral_bend", "right"].value == pytest.approx(-1.403, abs=0.01)
    assert found["out_of_plane", "lateral_bend", "left"].value == pytest.approx(0.3, abs=0.02)
    assert found["smoothness_out", "flexion", "forward"].reason == "no repetition to this side"


def test_range_used_is_of_the_own_range():
    block = posture(train(RATE, [(30.0, 2.0)] * 6 + [(-18.0, 2.0)] * 6), RATE)
    own = {"lateral_bend.right": 40.0, "lateral_bend.left": 36.0}
    found = summary(block, ["quality"], own_range_deg=own)
    assert found["range_used", "lateral_bend", "right"].value == pytest.approx(75.0, abs=1.0)
    assert found["range_used", "lateral_bend", "left"].value == pytest.approx(50.0, abs=1.0)
    assert "not known" in summary(block, ["quality"])["range_used", "lateral_bend", "left"].reason
    with pytest.raises(ConfigError, match=r"own_range_deg knows flexion\.forward"):
        MetricContext(RATE, own_range_deg={"roll": 3.0})


@pytest.mark.parametrize(("right", "left"), [(3, 3), (6, 9), (30, 30), (250, 210)])
def test_bootstrap_intervals_cover_and_turn_with_the_sides(right, left):
    rng, inside, runs = np.random.default_rng(right), 0, 200
    for _ in range(runs):
        sides = rng.normal(30.0, 3.0, right).tolist(), rng.normal(28.0, 2.0, left).tolist()
        low, high = bootstrap_difference(*sides)
        inside += low <= 2.0 <= high
        turned = bootstrap_difference(*reversed(sides))
        assert turned == pytest.approx((-high, -low), abs=1e-12)
    assert 0.90 <= inside / runs <= 0.995


def bends(share, count=6):
    """Forward bends of which the pelvis takes ``share``."""
    block = posture(train(RATE, [((1 - share) * 80.0, 4.0)] * count, plane=0), RATE)
    return replace(block, lower_forward_deg=share / (1 - share) * block.flexion_deg)


@pytest.mark.parametrize("share", [0.3, 0.55, 0.8])
def test_the_share_of_the_spine(share):
    found = summary(bends(share), ["rhythm"], placement="t12_s2")
    for name in ("lumbar_share", "lumbar_share_first", "lumbar_share_last"):
        assert found[name, "flexion", "forward"].value == pytest.approx(100 * (1 - share), abs=0.5)
    angle = np.degrees(np.arctan2(share, 1 - share))
    assert found["coupling_angle", "flexion", "forward"].value == pytest.approx(angle, abs=0.5)
    assert found["bends_led_by_pelvis", "flexion", "forward"].value == (100.0 if angle > 59.0 else 0.0)
    assert found["bends_with_judder", "flexion", "forward"].value == 0.0


@pytest.mark.parametrize("placement", ["unknown", "t1_s2", "c7_s2", "t12_l5"])
def test_other_placements_have_no_rhythm(placement):
    found = summary(bends(0.5), ["rhythm"], placement=placement)
    assert {figure.value for figure in found.values()} == {None}
    assert all("placement" in figure.reason for figure in found.values())
