"""Trend: published oracles, error rates that are what they claim, and nothing said from too few sessions."""

import json
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest
from click.testing import CliRunner
from metrics_rows import posture

import imuposture as ip
from imuposture.__main__ import cli
from imuposture._blocks import Figure, MetricBlock
from imuposture._errors import ConfigError, SessionError, SignalError
from imuposture.output import SessionFolder
from imuposture.trend import agreement, diligence, ewma, ledger, mann_kendall, real_change, repeatability, theil_sen

# Shrout and Fleiss 1979, table 2: six targets, four judges.
JUDGED = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_all_six_correlations_of_shrout_and_fleiss():
    found = agreement(JUDGED)
    six = [found.icc1, found.icc2, found.icc3, found.icc1k, found.icc2k, found.icc3k]
    assert six == pytest.approx([0.166, 0.290, 0.715, 0.443, 0.620, 0.909], abs=5e-4)
    assert (found.people, found.times) == (6, 4)
    assert found.sem == pytest.approx(np.sqrt(1.0194), abs=1e-3)


@pytest.mark.parametrize("values", [[[1.0, 2.0]] * 2, [[1.0], [2.0], [3.0]], [[1.0, np.nan]] * 3, [[1.0, 2.0]] * 4])
def test_agreement_of_too_little_is_refused(values):
    with pytest.raises(SignalError):
        agreement(values)


def test_slope_of_a_line_with_outliers():
    t = np.array([0.0, 1, 2, 4, 5, 7, 8, 9, 11, 12])
    x = 3.0 + 0.5 * t
    x[[2, 7]] = 50.0, -40.0
    slope = theil_sen(t, x)
    assert slope.value == pytest.approx(0.5)
    assert slope.low <= 0.5 <= slope.high


def test_mann_kendall_by_hand():
    """n = 8 without ties: variance 8 * 7 * 21 / 18; S of a straight rise is 28."""
    found = mann_kendall(np.arange(8), np.arange(8.0))
    assert (found.s, found.inflation) == (28, 1.0)
    assert found.p == pytest.approx(0.000837, rel=0.01)
    assert mann_kendall(np.arange(8), np.full(8, 3.0)).p == 1.0


def series(rng, n, rho, slope=0.0):
    noise = rng.standard_normal(n + 50)
    x = np.zeros(n + 50)
    for k in range(1, n + 50):
        x[k] = rho * x[k - 1] + noise[k]
    return x[50:] + slope * np.arange(n)


@pytest.mark.parametrize(("rho", "most"), [(0.0, 0.06), (0.3, 0.085), (0.5, 0.105)])
def test_false_trends_stay_rare_also_in_autocorrelated_series(rho, most):
    """Without the correction 5, 13 and 22 % of series of 20 sessions that stay the same show one at 0.05."""
    rng = np.random.default_rng(11)
    tests = [mann_kendall(np.arange(20), series(rng, 20, rho)) for _ in range(600)]
    assert np.mean([test.p < 0.05 for test in tests]) <= most


def test_a_real_trend_is_found():
    rng = np.random.default_rng(12)
    found = [mann_kendall(np.arange(20), series(rng, 20, 0.3, slope=0.25)).p < 0.05 for _ in range(200)]
    assert np.mean(found) > 0.85


@pytest.mark.parametrize("k", [3, 5, 10])
def test_five_in_a_hundred_unchanged_wearers_seem_changed(k):
    x = np.random.default_rng(k).standard_normal((4000, k + 1))
    changed = np.mean([real_change(row[:-1], row[-1]).exceeds for row in x])
    assert changed == pytest.approx(0.05, abs=0.012)


def test_minimal_detectable_change_by_hand():
    found = real_change([10.0, 12.0, 14.0], 30.0)
    assert (found.change, found.sem) == (18.0, 2.0)
    assert found.mdc == pytest.approx(4.302653 * np.sqrt(4 / 3) * 2.0, rel=1e-5)
    assert found.exceeds
    with pytest.raises(SignalError, match="3 sessions or more"):
        real_change([1.0, 2.0], 3.0)


def test_average_run_length_of_the_chart():
    """With the centre and the spread known, one false alarm in about 370 sessions (Lucas and Saccucci 1990)."""
    rng = np.random.default_rng(5)
    known = rng.standard_normal(200_000)
    runs = []
    for _ in range(250):
        chart = ewma(known, rng.standard_normal(3000))
        runs.append(chart.outside[0] + 1 if chart.outside else 3000)
    assert np.mean(runs) == pytest.approx(370, rel=0.2)


def test_chart_by_hand():
    chart = ewma([0.0, 1.0, 2.0], [1.0, 6.0])
    np.testing.assert_allclose(chart.average, [1.0, 2.0])
    np.testing.assert_allclose(chart.high[0] - 1.0, 2.86 * 0.2)
    assert chart.outside == [1]


def test_days_streaks_and_weeks():
    start = date(2026, 3, 2)
    hours = {
        start + timedelta(days=k): h for k, h in ((0, 7.0), (1, 6.0), (2, 5.9), (3, 8.0), (4, 7.0), (5, 9.0), (8, 8.0))
    }
    found = diligence(hours, planned_a_week=5)
    assert (found.days, found.counted, found.longest_streak, found.latest_streak) == (9, 6, 3, 1)
    assert (found.weeks, found.weeks_kept) == (1, 1)
    assert found.share == pytest.approx(100 * 6 / (9 * 5 / 7))
    with pytest.raises(ConfigError, match="no day"):
        diligence({})
    with pytest.raises(ConfigError, match="planned days a week"):
        diligence(hours, planned_a_week=8)


def row(metric, plane, side, value):
    return {"metric": metric, "plane": plane, "side": side, "value": value}


def test_what_one_side_owes_the_other():
    sessions = [
        [row("dose_to_side", "lateral_bend", s, v) for s, v in (("right", 100.0), ("left", 40.0))]
        + [row("repetitions", "lateral_bend", s, v) for s, v in (("right", 30.0), ("left", 12.0))],
        [row("dose_to_side", "lateral_bend", s, v) for s, v in (("right", 20.0), ("left", 30.0))],
        [row("dose_to_side", "lateral_bend", s, None) for s in ("right", "left")],
    ]
    (account,) = ledger(sessions)
    assert account.running == (60.0, 50.0)
    assert (account.owes, account.minutes, account.sessions) == ("left", 5.0, 2)
    assert (account.fewer, account.repetitions) == ("left", 18)
    swap = {"right": "left", "left": "right"}
    (mirrored,) = ledger([[{**r, "side": swap[r["side"]]} for r in rows] for rows in sessions])
    assert mirrored.running == (-60.0, -50.0)
    assert (mirrored.owes, mirrored.fewer, mirrored.minutes) == ("right", "right", 5.0)


def written(path, day, values, hour=8):
    """Write a session of one row with these figures."""
    start = (
        None if day is None else datetime(2026, 3, 1, hour, tzinfo=timezone(timedelta(hours=1))) + timedelta(days=day)
    )
    figures = [Figure(name, value, "deg", f"{name}/1") for name, value in values.items()]
    figures.append(Figure("minutes_usable", 400.0, "min", "exposure.minutes_usable/1"))
    figures += [
        Figure("dose_to_side", dose, "deg min", "asymmetry.dose/1", "lateral_bend", side)
        for side, dose in (("right", 30.0), ("left", 10.0))
    ]
    with SessionFolder(path, {"start": None if start is None else start.isoformat()}) as sink:
        sink.write(posture(np.zeros((1, 3))))
        sink.close(MetricBlock(summary=tuple(figures)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("trend")
    rng = np.random.default_rng(3)
    for day in range(12):
        values = {"inclination_p50": 20.0 - 1.5 * day + rng.normal(0, 0.5), "inclination_p90": 40 + rng.normal(0, 2)}
        written(path / f"d{11 - day:02d}", day, values)  # names run against time
    return path


def test_sessions_are_followed_in_the_order_of_time(folder):
    found = ip.trends(folder)
    assert list(found.sessions) == [f"d{11 - day:02d}" for day in range(12)]
    falling, steady = found.figures
    assert falling.slope == pytest.approx(-10.5, abs=1.0)
    assert falling.slope_low < falling.slope < falling.slope_high < 0.0
    assert falling.p < 0.01
    assert (falling.changed, steady.changed, falling.baseline) == ("changed", "not_shown", 5)
    assert falling.left_limits is not None
    assert steady.p > 0.05
    assert found.diligence.counted == 12
    assert found.diligence.longest_streak == 12
    assert found.accounts[0].minutes == pytest.approx(24.0)
    assert found.table.num_rows == 2


def test_no_trend_from_fewer_than_eight_sessions(folder):
    some = sorted(folder.iterdir())[:7]
    for trend in ip.trends(some).figures:
        assert (trend.slope, trend.p) == (None, None)
        assert "a trend needs 8 sessions with the figure, there are 7" in trend.reason
        assert trend.changed != "cannot_tell"
    for trend in ip.trends(some[:3]).figures:
        assert (trend.changed, trend.change) == ("cannot_tell", None)
        assert "a change needs 3 sessions before the latest, there are 2" in trend.reason


def test_other_definitions_are_other_figures(folder, tmp_path):
    more = written(tmp_path / "more", 20, {})
    found = ip.trends([folder, more], metrics=["inclination_p50"])
    assert [trend.sessions for trend in found.figures] == [12]


def test_what_cannot_be_followed_says_why(folder, tmp_path):
    with pytest.raises(ConfigError, match="no session holds the figure 'happiness'; choose from dose_to_side"):
        ip.trends(folder, metrics=["happiness"])
    with pytest.raises(ConfigError, match="3 sessions or more, got 2"):
        ip.trends(folder, baseline=2)
    nameless = [written(tmp_path / f"n{k}", None, {"inclination_p50": float(k % 3)}) for k in range(9)]
    with pytest.raises(SessionError, match="does not know when it began"):
        ip.trends(nameless)
    found = ip.trends(nameless, in_order=True)
    assert found.diligence is None
    assert found.figures[0].p is not None
    twice = written(tmp_path / "twice", 0, {})
    with pytest.raises(SessionError, match="began at the same instant"):
        ip.trends([folder, twice])


@pytest.fixture(scope="module")
def wearers(tmp_path_factory):
    """The judged targets of the oracle as wearers, the judges as sessions."""
    path = tmp_path_factory.mktemp("wearers")
    for who, judged in enumerate(JUDGED):
        for time, value in enumerate(judged):
            values = {"inclination_p50": float(value)} | ({"inclination_p90": 1.0} if who else {})
            written(path / f"w{who}" / f"s{time}", time, values)
    return path


def test_figures_that_repeat_themselves(wearers):
    found = {one.metric: one for one in repeatability({f.name: f for f in sorted(wearers.iterdir())})}
    one = found["inclination_p50"]
    assert (one.icc2, one.icc3) == pytest.approx((0.290, 0.715), abs=5e-4)
    assert (one.wearers, one.times) == (6, 4)
    assert one.mdc == pytest.approx(2.77181 * one.sem, rel=1e-5)
    alike = found["inclination_p90"]
    assert (alike.icc2, alike.wearers) == (None, 5)
    assert "same mean" in alike.reason
    with pytest.raises(ConfigError, match="3 wearers or more with 2 sessions each, got 2"):
        repeatability({f.name: f for f in sorted(wearers.iterdir())[:2]})


def test_the_command_by_wearer(wearers):
    told = run("trend", "--by-wearer", *sorted(wearers.iterdir()))
    assert "inclination p50: ICC(2,1) 0.29, ICC(3,1) 0.71" in told.output
    assert "cannot tell: all people have the same mean" in told.output


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def test_the_command(folder):
    told = run("trend", folder, "--planned", 5)
    assert told.return_value == 0
    assert "inclination p50: " in told.output
    assert "really changed: " in told.output
    assert "no change shown: " in told.output
    assert "days: 12 of 9 planned" in told.output
    assert "equal after 24 min to the left" in told.output
    assert "arithmetic, not advice" in told.output
    data = json.loads(run("trend", folder, "--json", "--metric", "inclination_p90").stdout)
    assert [one["metric"] for one in data["figures"]] == ["inclination_p90"]
    few = run("trend", *sorted(folder.iterdir())[:2])
    assert "cannot tell: a trend needs 8 sessions" in few.output
    assert CliRunner().invoke(cli, ["trend", str(folder), "--metric", "x"]).exit_code == 2
