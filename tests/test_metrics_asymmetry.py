"""Left and right: real one-sidedness is found, neutral errors never pass for evenness, few false verdicts."""

from dataclasses import replace

import numpy as np
import pytest
from metrics_rows import cut, posture, train
from scipy import stats

from imuposture._blocks import Event
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics._sides import Halves
from imuposture.metrics._statistics import (
    Comparison,
    Sample,
    Uncertain,
    difference,
    judge,
    median_interval,
    symmetry_angle,
    t_quantile,
    t_tail,
    wilson_bias,
)
from imuposture.metrics.range_of_motion import range_difference, range_sum

RATE = 50.0
SURE = MetricContext(RATE, neutral_sd_deg={"lateral_bend": 1.0, "axial_rotation": 1.0}, soft_tissue_sd_deg=0.5)


def summary(angles, context=SURE, sd=0.3, quality=None, names=None):
    block = cut(MetricSet(context, names), posture(angles, RATE, sd=sd, quality=quality), [])
    return {(f.metric, f.plane, f.side): f for f in block.summary}


def sets(right, left, n=12, plane=1, **how):
    rng = np.random.default_rng(8)
    bends = [(a + rng.normal(0, 1.0), 2.0) for _ in range(n) for a in (right, -left)]
    return train(RATE, bends, plane=plane, pause=0.5, **how)


@pytest.mark.parametrize("plane", [1, 2])
def test_one_sided_sizes_are_found_and_even_sizes_are_even(plane):
    name = ("flexion", "lateral_bend", "axial_rotation")[plane]
    one_sided = summary(sets(32.0, 24.0, plane=plane))["asymmetry_of_size", name, None]
    assert one_sided.verdict == "asymmetric"
    assert one_sided.low < 8.0 < one_sided.high
    even = summary(sets(28.0, 28.0, plane=plane))["asymmetry_of_size", name, None]
    assert even.verdict == "even"


@pytest.mark.parametrize("lean", [-6.0, -2.0, 0.0, 3.0])
def test_a_lean_in_the_neutral_stance_is_never_called_even(lean):
    """The whole recording is shifted as a leaning neutral stance shifts it; sizes stay, extremes and means do not."""
    found = summary(sets(28.0, 28.0, rest=(0.0, lean, 0.0)), MetricContext(RATE))
    for metric in ("mean_angle", "asymmetry_of_range"):
        figure = found[metric, "lateral_bend", None]
        assert figure.verdict != "even"
        assert "own_neutral" in figure.definition
    assert found["asymmetry_of_size", "lateral_bend", None].verdict == "even"


def test_a_constant_one_sided_posture_is_found_when_the_neutral_is_known_well():
    still = np.zeros((3000, 3))
    still[:, 1] = 6.0
    assert summary(still)["mean_angle", "lateral_bend", None].verdict == "asymmetric"
    unsure = summary(still, MetricContext(RATE, neutral_sd_deg={"lateral_bend": 5.0}))[
        "mean_angle", "lateral_bend", None
    ]
    assert unsure.verdict == "not_shown"
    assert unsure.low < 0.0
    assert unsure.high > 6.0


def test_a_shared_error_is_not_averaged_out_by_rows():
    """A heading error is one draw: an hour of rows knows it no better than a minute."""
    widths = []
    for rows in (3000, 30000):
        angles = np.zeros((rows, 3))
        angles[:, 2] = 3.0
        figure = summary(angles, sd=4.0, names=["asymmetry"])["mean_angle", "axial_rotation", None]
        widths.append(figure.high - figure.low)
    assert widths[0] == pytest.approx(widths[1])
    assert widths[0] == pytest.approx(2 * stats.t.ppf(0.975, 10) * np.hypot(4.0, 1.0), rel=1e-3)


def test_a_twist_with_every_bend_is_found():
    """Twelve degrees to the right with each forward bend, while the mean rotation stays small."""
    bends = train(RATE, [(60.0, 3.0)] * 12, plane=0, pause=6.0, coupling=(0.0, 0.2))
    found = summary(bends, replace(SURE, facing_sd_deg=1.5))
    coupled = found["coupled_in_flexion", "axial_rotation", None]
    assert coupled.value == pytest.approx(12.0, abs=0.5)
    assert coupled.verdict == "asymmetric"
    assert found["coupled_in_flexion", "lateral_bend", None].value == pytest.approx(0.0, abs=1e-9)


def test_a_wrong_facing_covers_what_forward_bends_leak_sideways():
    wide = MetricContext(RATE, facing_sd_deg=15.0)
    bends = train(RATE, [(60.0, 3.0)] * 12, plane=0, pause=1.0, coupling=(0.2, 0.0))
    assert summary(bends, wide)["coupled_in_flexion", "lateral_bend", None].verdict == "not_shown"


def test_one_sided_counts_are_found():
    rng = np.random.default_rng(1)
    amplitudes = [20.0] * 34 + [-20.0] * 6
    rng.shuffle(amplitudes)
    figure = summary(train(RATE, [(a, 1.5) for a in amplitudes], pause=0.3))["asymmetry_of_count", "lateral_bend", None]
    assert figure.value == pytest.approx(0.7)
    assert figure.verdict == "asymmetric"
    assert (figure.low, figure.high) == pytest.approx((0.4195, 0.8583), abs=2e-3)  # Wilson: 0.7093 to 0.9294 of 40


def test_rows_without_heading_do_not_count_towards_rotation():
    angles = np.zeros((6000, 3))
    angles[:, 2] = 9.0
    quality = np.full(6000, 16)
    quality[:1000] = 0
    found = summary(angles, quality=quality)
    assert found["minutes_usable", "axial_rotation", None].value == pytest.approx(1000 / RATE / 60)
    assert found["mean_angle", "axial_rotation", None].verdict == "cannot_tell"  # 20 s are too few
    assert found["minutes_usable", "lateral_bend", None].value == pytest.approx(2.0)


def test_few_repetitions_or_one_side_alone_cannot_be_told():
    few = summary(sets(30.0, 20.0, n=2))
    assert few["asymmetry_of_size", "lateral_bend", None].verdict == "cannot_tell"
    alone = summary(train(RATE, [(30.0, 2.0)] * 12))
    assert alone["asymmetry_of_size", "lateral_bend", None].value is None
    assert alone["asymmetry_of_count", "lateral_bend", None].verdict == "asymmetric"


def test_an_uncalibrated_recording_cannot_be_told():
    found = summary(sets(40.0, 20.0), MetricContext(RATE, calibrated=False))
    assert {f.verdict for f in found.values()} == {None, "cannot_tell"}


def test_time_and_dose_to_a_side_beyond_the_dead_band():
    angles = np.zeros((6000, 3))
    angles[:3000, 1], angles[3000:, 1] = 15.0, -10.0
    found = summary(angles, names=["asymmetry"])
    assert found["time_to_side", "lateral_bend", "right"].value == pytest.approx(1.0)
    assert found["dose_to_side", "lateral_bend", "right"].value == pytest.approx(10.0)  # (15 - 5) degrees for a minute
    assert found["dose_to_side", "lateral_bend", "left"].value == pytest.approx(5.0)
    assert found["mean_angle", "lateral_bend", None].value == pytest.approx(2.5)


def test_ranges_are_means_of_all_repetitions():
    angles = train(RATE, [(30.0, 2.0), (-20.0, 2.0), (34.0, 2.0), (-24.0, 2.0)], hold=1.0)
    found = summary(angles)
    right, left = (found["range_of_motion", "lateral_bend", side] for side in ("right", "left"))
    assert right.value == pytest.approx(32.0, abs=0.2)
    assert left.value == pytest.approx(22.0, abs=0.2)
    assert found["range_held", "lateral_bend", "right"].value == pytest.approx(34.0, abs=0.1)
    assert found["range_difference", "lateral_bend", None].value == pytest.approx(right.value - left.value)
    assert found["range_sum", "lateral_bend", None].value == pytest.approx(54.0, abs=0.3)
    assert right.definition.endswith("@unknown")


def test_the_neutral_error_enters_the_difference_twice_and_the_sum_not():
    halves = Halves()
    for side, sign, peaks in (("right", 1, (30.0, 32.0, 31.0)), ("left", -1, (28.0, 27.0, 29.0))):
        for peak in peaks:
            halves.take(
                (Event("repetition", 0, 1, "lateral_bend", side, peak, {"peak_deg": sign * peak, "sd_deg": 0.0}),)
            )
    context = MetricContext(RATE, neutral_sd_deg={"lateral_bend": 1.5}, soft_tissue_sd_deg=0.0)
    sides = halves["lateral_bend", "right"], halves["lateral_bend", "left"]
    own = 1.0 / 3.0 + 1.0 / 3.0
    assert range_difference(*sides, context, "lateral_bend").error ** 2 == pytest.approx(own + 4 * 1.5**2)
    assert range_sum(*sides, context, "lateral_bend").error ** 2 == pytest.approx(own)


def test_percentages_of_known_pairs():
    assert symmetry_angle(30.0, 25.0) == pytest.approx(5.77, abs=0.005)
    assert symmetry_angle(25.0, 30.0) == -symmetry_angle(30.0, 25.0)
    assert symmetry_angle(1.0, 0.0) == pytest.approx(50.0)
    found = summary(sets(30.0, 25.0))
    index = found["symmetry_index_of_size", "lateral_bend", None].value
    assert index == pytest.approx(18.18, abs=2.0)


def test_percentages_are_null_below_their_floor():
    small = summary(sets(7.0, 6.5), MetricContext(RATE, soft_tissue_sd_deg=20.0))
    assert small["symmetry_index_of_size", "lateral_bend", None].value is None


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30, 399, 400])
def test_t_agrees_with_scipy(df):
    for t in (0.1, 1.0, 2.5, 6.0):
        assert t_tail(t, df) == pytest.approx(2 * stats.t.sf(t, df), abs=1e-13)
        assert t_tail(-t, df + 0.7) == t_tail(t, df)
    assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=1e-9)


@pytest.mark.parametrize(("right", "left"), [(0, 4), (7, 7), (34, 6), (1, 30)])
def test_wilson_agrees_with_scipy(right, left):
    expected = stats.binomtest(right, right + left).proportion_ci(method="wilson")
    assert wilson_bias(right, left) == pytest.approx((2 * expected.low - 1, 2 * expected.high - 1), abs=1e-12)
    assert wilson_bias(left, right) == tuple(-x for x in reversed(wilson_bias(right, left)))


def test_welch_agrees_with_scipy():
    rng = np.random.default_rng(2)
    right, left = Sample(), Sample()
    for value in rng.normal(30, 3, 9):
        right.add(float(value))
    for value in rng.normal(27, 1, 5):
        left.add(float(value))
    expected = stats.ttest_ind(right.values, left.values, equal_var=False)
    found = difference(right, left, 0.0)
    assert found.value / found.error == pytest.approx(expected.statistic)
    assert found.df == pytest.approx(expected.df)


def test_the_interval_of_a_median_covers_it():
    rng = np.random.default_rng(6)
    draws = rng.exponential(1.0, (1000, 25))
    inside = [low <= np.log(2) <= high for low, high in (median_interval(d.tolist()) for d in draws)]
    assert np.mean(inside) >= 0.94
    assert median_interval([1.0] * 5) is None


@pytest.mark.parametrize("truth", [0.0, 5.0])
def test_at_most_one_report_in_twenty_holds_a_false_verdict(truth):
    """All figures truly 0: none may be called asymmetric. All truly at the margin: none may be called even."""
    rng = np.random.default_rng(10)
    false = 0
    reports = 300
    for _ in range(reports):
        errors = rng.uniform(0.3, 3.0, 10)
        found = [Uncertain(truth + error * rng.standard_normal(), error) for error in errors]
        claims = [Comparison(one.differs(), one.beyond(5.0), may_be_even=True, tellable=True) for one in found]
        false += ("asymmetric" if truth == 0.0 else "even") in judge(claims, 0.05)
    assert false / reports <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / reports)


def test_holm_follows_the_textbook():
    tails = [0.001, 0.009, 0.02, 0.04, 0.6]
    claims = [Comparison(tail, 1.0, may_be_even=True, tellable=True) for tail in tails]
    assert judge(claims, 0.10) == ["asymmetric", "asymmetric", "not_shown", "not_shown", "not_shown"]
    untold = [*claims, Comparison(0.0, 0.0, may_be_even=True, tellable=False)]
    assert judge(untold, 0.10)[-1] == "cannot_tell"
    assert judge(untold, 0.10)[:-1] == judge(claims, 0.10)


def test_one_repetition_a_side_has_no_interval():
    """Nobody knows how much a movement varies that was made once."""
    found = summary(sets(30.0, 20.0, n=1))
    for metric in ("asymmetry_of_size", "asymmetry_of_range", "range_sum", "range_difference"):
        figure = found[metric, "lateral_bend", None]
        assert figure.value is not None
        assert (figure.low, figure.high) == (None, None)
    assert found["range_of_motion", "lateral_bend", "right"].low is None
    assert found["symmetry_index_of_size", "lateral_bend", None].value is None


def test_every_verdict_says_what_it_rests_on():
    for angles in (sets(32.0, 24.0), sets(28.0, 28.0), sets(28.0, 26.0, n=4)):
        judged = [figure for figure in summary(angles).values() if figure.verdict]
        assert all(figure.reason for figure in judged)
        for figure in judged:
            words = {"asymmetric": "can be ruled out", "even": "can be ruled out", "not_shown": "would show"}
            assert words.get(figure.verdict, "") in figure.reason


def test_what_could_have_been_shown_is_what_is_shown():
    """A difference a little above the detectable one is called asymmetric, one a little below it is not."""
    base = MetricContext(RATE, soft_tissue_sd_deg=0.0)
    detectable = summary(sets(28.0, 28.0), base, sd=0.0)["detectable_range", "lateral_bend", None].value
    assert detectable == pytest.approx(2 * 2.0 * stats.t.ppf(1 - 0.00125, 400), rel=0.02)
    for factor, verdict in ((1.1, "asymmetric"), (0.9, "not_shown")):
        more = factor * detectable / 2
        found = summary(sets(28.0 + more, 28.0 - more), base, sd=0.0)["asymmetry_of_range", "lateral_bend", None]
        assert found.verdict == verdict


def test_the_ledger_adds_up_and_says_what_would_even_it_out():
    found = summary(train(RATE, [(30.0, 2.0)] * 12 + [(-20.0, 2.0)] * 4), names=["ledger"])
    assert found["repetition_dose", "lateral_bend", "right"].value == pytest.approx(360.0, rel=0.01)
    assert found["repetition_dose", "lateral_bend", "left"].value == pytest.approx(80.0, rel=0.01)
    assert found["repetition_dose_difference", "lateral_bend", None].value == pytest.approx(280.0, rel=0.01)
    assert found["evening_repetitions", "lateral_bend", "left"].value == 14
    assert found["evening_repetitions", "lateral_bend", "right"].value == 0


def test_an_even_ledger_asks_for_nothing():
    found = summary(train(RATE, [(30.0, 2.0), (-29.0, 2.0)] * 5), names=["ledger"])
    assert [found["evening_repetitions", "lateral_bend", side].value for side in ("right", "left")] == [0, 0]
