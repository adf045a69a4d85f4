"""The range-of-motion test: trials held at their end, both sides alike; published ranges; before and after."""

import numpy as np
import pytest
from metrics_rows import cut, posture, train

from imuposture._errors import ConfigError
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics._norms import published_ranges, published_sem
from imuposture.metrics.changed import change, compare
from imuposture.pipeline.commands import Mark
from imuposture.protocols import guided_range_of_motion

RATE = 50.0
RIGHT = ("tested_range", "lateral_bend", "right")


def summary(angles, **context):
    block = cut(MetricSet(MetricContext(RATE, **context), ["range_test"]), posture(angles, RATE, sd=0.5), [])
    return {(f.metric, f.plane, f.side): f for f in block.summary}


def test_the_mean_of_the_same_number_of_trials_a_side():
    bends = [(a, 4.0) for a in (30.0, 32.0, 34.0, 50.0, -20.0, -22.0, -24.0)]
    found = summary(train(RATE, bends, hold=2.0))
    assert found[RIGHT].value == pytest.approx(32.0, abs=0.1)  # the fourth to the right has no match
    assert found[RIGHT].n == 3
    assert found["tested_range_difference", "lateral_bend", None].value == pytest.approx(10.0, abs=0.1)
    assert found["tested_range_sum", "lateral_bend", None].value == pytest.approx(54.0, abs=0.1)
    assert found[RIGHT].low < 32.0 < found[RIGHT].high


def test_what_was_not_held_is_no_trial():
    quick = summary(train(RATE, [(30.0, 4.0), (-30.0, 4.0)] * 4))
    assert quick[RIGHT].value is None
    assert "held for 1 s" in quick[RIGHT].reason


def test_published_ranges_take_age_and_placement():
    angles = train(RATE, [(60.0, 4.0)] * 3, plane=0, hold=2.0)
    key = ("share_of_published_range", "flexion", "forward")
    found = cut(MetricSet(MetricContext(RATE, placement="t12_s2", age_years=40.0), ["range_test"]), posture(angles), [])
    shares = {f.definition.rsplit(",")[-1]: f for f in found.summary if (f.metric, f.plane, f.side) == key}
    assert shares["troke2005"].value == pytest.approx(100 * 60 / (72 - 24 / 74 * 32), abs=0.2)
    assert shares["laird2019"].value == pytest.approx(100 * 60 / 52, abs=0.2)
    assert summary(angles, placement="t1_s2", age_years=40.0)[key].value is None
    assert "not this placement" in summary(angles, placement="t1_s2", age_years=40.0)[key].reason
    young = {p.source: p.value for p in published_ranges("T12-S2", "lateral_bend", "left", 16.0)}
    assert young == {"troke2005": 29.0, "laird2016": 24.6}
    assert "age_years" in next(published_ranges("t12_s2", "axial_rotation", "left", None)).reason
    assert "16 to 90" in next(published_ranges("t12_s2", "axial_rotation", "left", 12.0)).reason


def test_the_protocol_asks_for_both_sides_alike():
    cues = guided_range_of_motion(trials=4)
    marks = [c.label for cue in cues for c in cue.commands if isinstance(c, Mark)]
    assert len(marks) == 24
    assert {marks.count(mark) for mark in marks} == {4}
    assert {mark.split()[-1] for mark in marks} == {"forward", "backward", "right", "left"}
    assert [cue.at_s for cue in cues] == sorted(cue.at_s for cue in cues)
    with pytest.raises(ConfigError, match="3 to 5 trials"):
        guided_range_of_motion(trials=2)


def test_the_least_change_of_a_known_measure():
    sem = 8.0 * np.sqrt(1.0 - 0.9)
    found = change("x", 20.0, [10.0], sem=sem, source="published")
    assert sem == pytest.approx(2.53, abs=0.005)
    assert found.mdc == pytest.approx(7.01, abs=0.005)
    assert (found.change, found.exceeds, found.source) == (10.0, True, "published")
    assert published_sem("c7_s2") is None


def test_unchanged_people_are_seldom_called_changed():
    rng = np.random.default_rng(3)
    for k in (3, 5, 10):
        called = [change("x", float(now), before.tolist()).exceeds for now, before in draws(rng, k, 2000)]
        assert np.mean(called) == pytest.approx(0.05, abs=0.015)


def draws(rng, k, runs):
    return [(rng.normal(40.0, 3.0), rng.normal(40.0, 3.0, k)) for _ in range(runs)]


def rows(value, definition="range_test.mean_held/1@own_neutral,t12_s2"):
    return [{"metric": "tested_range", "plane": "flexion", "side": "forward", "value": value, "definition": definition}]


def test_before_and_after():
    one = compare([rows(40.0)], rows(62.0), placement="t12_s2")[0]
    assert (one.key, one.exceeds, one.source) == ("tested_range.flexion.forward", True, "laird2016")
    assert compare([rows(40.0)], rows(55.0), placement="t12_s2")[0].exceeds is False
    untold = compare([rows(40.0)], rows(62.0))[0]
    assert (untold.mdc, untold.exceeds) == (None, None)
    assert "3 sessions" in untold.reason
    own = compare([rows(40.0), rows(41.0), rows(42.0)], rows(50.0))[0]
    assert (own.source, own.exceeds) == ("own", True)
    elsewhere = compare([rows(40.0, "range_test.mean_held/1@own_neutral,t1_s2")], rows(62.0))[0]
    assert (elsewhere.change, elsewhere.reason) == (None, "no value before")
