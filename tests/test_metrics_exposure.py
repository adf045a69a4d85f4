"""Exposure and changes: closed forms of a sinusoid, exact counts of what was laid out, nothing counted in gaps."""

import numpy as np
import pytest
from metrics_rows import cut, posture

from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics._rows import Delay, Windows
from imuposture.metrics._tally import BIN, Tally

RATE = 50.0
CONTEXT = MetricContext(RATE)


def figures(lean, names=("exposure", "changes"), context=CONTEXT, angles=None, quality=None):
    spine = np.zeros((len(lean), 3)) if angles is None else angles
    block = cut(MetricSet(context, names), posture(spine, RATE, inclination=lean, quality=quality), [77])
    return block, {(f.metric, f.plane, f.side): f.value for f in block.summary}


def test_closed_forms_of_thirty_plus_twenty_sine():
    period, cycles = 97.0, 10  # s; no whole number of rows a quarter, so that phases spread
    t = np.arange(round(RATE * period * cycles)) / RATE
    lean = 30.0 + 20.0 * np.sin(2 * np.pi * t / period)
    _, values = figures(lean)
    expected = {"inclination_p10": 10.98, "inclination_p50": 30.0, "inclination_p90": 49.02}
    for name, value in expected.items():
        assert values[name, None, None] == pytest.approx(value, abs=0.03)
    assert values["share_above_45deg", None, None] == pytest.approx(23.005, abs=0.01)
    assert values["share_above_20deg", None, None] == pytest.approx(66.667, abs=0.02)
    assert values["share_below_0deg", None, None] == 0.0
    assert values["minutes_above_45deg", None, None] == pytest.approx(0.23005 * period * cycles / 60, abs=0.01)
    speed = 20.0 * 2 * np.pi / period
    assert values["inclination_speed_p50", None, None] == pytest.approx(0.7071 * speed, abs=0.03)
    assert values["inclination_speed_p90", None, None] == pytest.approx(0.9877 * speed, abs=0.03)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_percentiles_agree_with_numpy_to_half_a_bin(share):
    x = np.random.default_rng(1).normal(5.0, 20.0, 2001)
    tally = Tally(RATE)
    tally.add(x, x, np.ones(len(x), np.uint8))
    assert tally.quantiles([share])[0] == pytest.approx(np.quantile(x, share), abs=BIN / 2 + 1e-9)
    mirrored = Tally(RATE)
    mirrored.add(-x, x, np.ones(len(x), np.uint8))
    assert mirrored.quantiles([0.5])[0] == -tally.quantiles([0.5])[0]


def test_percentiles_of_a_constant_and_beyond_the_reach():
    tally = Tally(RATE, reach=10.0)
    tally.add(np.full(5, 3.0), np.zeros(5), np.ones(5, np.uint8))
    assert tally.quantiles([0.5]) == [3.0]
    tally.add(np.full(50, 400.0), np.zeros(50), np.ones(50, np.uint8))
    assert tally.quantiles([0.5])[0] == pytest.approx(10.0, abs=BIN)


def test_limits_count_strictly_beyond_them_on_their_side():
    angles = np.zeros((600, 3))
    angles[:300, 1], angles[300:, 1] = 20.0, -46.0
    _, values = figures(np.full(600, -20.0), angles=angles)
    assert values["share_above_20deg", "lateral_bend", "right"] == 0.0
    assert values["share_above_45deg", "lateral_bend", "left"] == 50.0
    assert values["share_below_0deg", None, None] == 100.0
    assert values["share_below_-20deg", None, None] == 0.0


def test_dose_counts_what_exceeds_twenty_degrees():
    _, values = figures(np.concatenate([np.full(3000, 50.0), np.full(3000, 0.0)]))
    assert values["inclination_dose", None, "forward"] == pytest.approx(30.0)
    assert values["inclination_dose", None, "backward"] == 0.0


def test_missing_rows_count_as_lost_and_as_no_posture():
    lean = np.full(6000, 50.0)
    lean[1000:2000] = np.nan
    quality = np.zeros(6000)
    quality[1000:1500] = 1  # a gap; the other missing rows hold no angle for another reason
    quality[5000:5100] = 1  # flagged, whatever the angle says
    block, values = figures(lean, quality=quality)
    assert values["minutes_usable", None, None] == pytest.approx(4900 / RATE / 60)
    assert values["minutes_lost", None, None] == pytest.approx(1100 / RATE / 60)
    assert values["minutes_above_45deg", None, None] == pytest.approx(4900 / RATE / 60)
    gaps = [(e.start_s, e.end_s) for e in block.events if e.kind == "gap"]
    assert gaps == [(20.0, 30.0), (100.0, 102.0)]
    assert values["gaps", None, None] == 2


def test_a_gap_at_either_end_is_an_event_too():
    lean = np.zeros(500)
    lean[:100] = lean[450:] = np.nan
    block, _ = figures(lean)
    assert [(e.start_s, e.end_s) for e in block.events if e.kind == "gap"] == [(0.0, 2.0), (9.0, 10.0)]


def test_windows_hold_their_own_shares():
    lean = np.repeat([0.0, 30.0, 50.0], round(60 * RATE))
    block, _ = figures(lean)
    shares = [w.value for w in block.windows if (w.metric, w.plane) == ("share_above_45deg", None)]
    assert shares == [0.0, 0.0, 100.0]


def test_bouts_last_as_long_as_the_posture():
    lean = np.concatenate([np.full(500, 10.0), np.linspace(10, 40, 50), np.full(1000, 40.0), np.full(100, 70.0)])
    lean += 4.0 * np.sin(np.arange(len(lean)) / 40)  # 8 degrees from end to end: within 5 of the middle
    block, values = figures(lean)
    lasted = [e.end_s - e.start_s for e in block.events if e.kind == "bout"]
    assert lasted == pytest.approx([10.0, 20.0], abs=0.5)  # the last 2 s are too short
    assert values["bouts", None, None] == 2
    assert values["bout_longest", None, None] == pytest.approx(20.0, abs=0.5)
    assert values["bout_share", None, None] == pytest.approx(100 * 30 / 33, abs=3)


def test_a_twist_ends_a_bout():
    angles = np.zeros((1000, 3))
    angles[500:, 2] = 20.0
    block, _ = figures(np.zeros(1000), angles=angles)
    assert [(e.start_s, e.end_s) for e in block.events if e.kind == "bout"] == [(0.0, 9.98), (10.0, 19.98)]


def walking(seconds):
    return 5.0 + 3.0 * np.sin(2 * np.pi * 1.8 * np.arange(round(seconds * RATE)) / RATE)


@pytest.mark.parametrize(("walk", "breaks"), [(40, []), (75, [(120.0, 195.0)])], ids=["too short", "long enough"])
def test_a_walk_of_a_minute_after_sitting_is_a_break(walk, breaks):
    sitting = 20.0 + 0.3 * np.sin(np.arange(round(120 * RATE)) / 30)
    block, values = figures(np.concatenate([sitting, walking(walk), sitting]))
    found = [(e.start_s, e.end_s) for e in block.events if e.kind == "break"]
    assert found == [pytest.approx(one, abs=1.1) for one in breaks]
    assert values["breaks", None, None] == len(breaks)


def test_another_break_needs_another_minute_off_the_feet():
    sitting = 20.0 + 0.3 * np.sin(np.arange(round(120 * RATE)) / 30)
    short = sitting[: round(30 * RATE)]
    again = [sitting, walking(90), short, walking(90), short, short, short, walking(90), short]
    block, _ = figures(np.concatenate(again))
    found = [e.start_s for e in block.events if e.kind == "break"]
    assert found == [pytest.approx(120.0, abs=1.1), pytest.approx(420.0, abs=1.1)]


def test_walking_from_the_start_and_bent_work_are_no_breaks():
    assert figures(walking(120))[1]["breaks", None, None] == 0
    sitting = np.full(round(120 * RATE), 20.0)
    assert figures(np.concatenate([sitting, walking(90) + 45.0]))[1]["breaks", None, None] == 0


def test_posture_changes_are_counted_per_hour():
    angles = np.zeros((6000, 3))
    angles[1500:3000, 0] = 30.0
    angles[3000:, 0] = 10.0
    block, values = figures(np.zeros(6000), angles=angles)
    changes = [(e.plane, e.side, round(e.amplitude_deg)) for e in block.events if e.kind == "posture_change"]
    assert changes == [("flexion", "forward", 30), ("flexion", "backward", 20)]
    assert values["posture_changes_per_hour", None, None] == pytest.approx(60.0)


def test_delay_and_windows_do_not_care_for_blocks():
    x = np.random.default_rng(0).standard_normal(50)
    whole = Delay(7).push(x)
    np.testing.assert_array_equal(whole[7:], x[7:] - x[:-7])
    stage = Delay(7)
    np.testing.assert_array_equal(np.concatenate([stage.push(part) for part in np.split(x, [1, 4, 30])]), whole)
    assert [(n, s.start, s.stop) for n, s in Windows(1.0).split(np.arange(25) / 10 + 0.1)] == [
        (0, 0, 10),
        (1, 10, 20),
        (2, 20, 25),
    ]


def test_figures_of_the_session_do_not_depend_on_the_windows():
    """Not in the last bit: the sums of the session run row by row, not window by window."""
    rng = np.random.default_rng(4)
    lean, angles = rng.normal(15.0, 20.0, 5000), rng.normal(2.0, 9.0, (5000, 3))
    names = ("exposure", "asymmetry")
    wide, narrow = (figures(lean, names, MetricContext(RATE, window_s=s), angles)[0].summary for s in (1e4, 1.7))
    assert wide == narrow
