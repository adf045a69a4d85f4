"""Changes against a person's own earlier sessions, and sensors that moved."""

from dataclasses import replace

import numpy as np
import pytest
from metrics_rows import cut, posture, train

from imuposture._errors import ConfigError
from imuposture.metrics import MetricContext, MetricSet

RATE = 50.0
BENDS = train(RATE, [(60.0, 3.0)] * 6, plane=0)
KEY = "range_of_motion.flexion.forward"


def changed(baseline, **context):
    context = MetricContext(RATE, baseline={KEY: baseline}, **context)
    block = cut(MetricSet(context, ["range_of_motion"]), posture(BENDS, RATE, sd=0.5), [333])
    (figure,) = [f for f in block.summary if f.metric == "change_of_range_of_motion"]
    return figure


def test_a_change_is_one_beyond_the_own_spread():
    less = changed([50.0, 51.0, 49.0])
    assert less.value == pytest.approx(10.0, abs=0.3)
    assert less.low > 0.0
    assert less.definition == "compensation.change/1@own"
    same = changed([50.0, 70.0, 62.0])
    assert same.low < 0.0 < same.high
    assert "no more than" in same.reason


def test_published_repeatability_needs_the_placement():
    assert changed([50.0]).low is None
    assert "3 sessions" in changed([50.0]).reason
    known = changed([50.0], placement="t12_s2")
    assert known.definition.endswith("@laird2016")
    assert known.high - known.value == pytest.approx(1.96 * np.sqrt(2) * 15.0 / (1.645 * np.sqrt(2)), rel=1e-3)


def test_what_is_no_baseline_is_refused():
    with pytest.raises(ConfigError, match="baseline 'x' must be a list of numbers"):
        MetricContext(RATE, baseline={"x": ["many"]})
    context = MetricContext(RATE, baseline={"x": [1.0]})
    assert [f.reason for f in MetricSet(context, []).finish().summary] == ["there is no such figure in this session"]


def worn(slip, seed=0):
    """Twenty stances of 8 s with 1.5 degrees of spread and movements between; the lower sensor slips half way."""
    rng, side, lean = np.random.default_rng(seed), [], []
    for k in range(20):
        stance = rng.normal(0.0, 1.5) + (slip if k >= 10 else 0.0)
        side += [np.full(400, stance) + 0.1 * rng.standard_normal(400), np.full(100, stance + 15.0)]
        lean += [np.zeros(400), np.full(100, 60.0)]
    lower = np.concatenate(side)
    block = posture(np.zeros((len(lower), 3)), RATE)
    forward = np.concatenate(lean)
    block = replace(block, lower_side_deg=lower, upper_side_deg=0.0 * lower)
    block = replace(block, upper_forward_deg=forward, lower_forward_deg=forward)
    return {f.metric: f for f in cut(MetricSet(MetricContext(RATE), ["wear"]), block, [5000, 5001]).summary}


@pytest.mark.parametrize("slip", [12.0, -12.0])
def test_a_sensor_that_moved_is_noticed_and_the_other_not(slip):
    found = worn(slip)
    assert found["stance_drift_lower"].value == pytest.approx(slip, abs=2.5)
    assert "calibrate again" in found["stance_drift_lower"].reason
    assert found["stance_drift_upper"].reason is None


def test_returning_to_a_stance_is_no_slip():
    assert all(worn(0.0, seed)["stance_drift_lower"].reason is None for seed in range(40))
    assert "stances" in cut(MetricSet(MetricContext(RATE), ["wear"]), posture(BENDS, RATE), []).summary[0].reason
