"""Sources of the relative heading: gait, and stances that together are zero. Nothing takes a wearer for straight."""

import numpy as np
import pytest
from test_heading import LEVEL, about_vertical, orientation, standing
from walks import calibrated, columns, deviations, taped, walked

from imuposture import Config, SensorModel, simulate
from imuposture._blocks import OrientationBlock, PairBlock, SensorRows
from imuposture.acquisition.simulation.actions import bend, during, offset_after, side_bend, stand, turn, walk
from imuposture.heading import Heading, HeadingSettings, HeadingState, SmoothedHeading

RATE = 100.0
ROTATION = 2
DELTA, GAIT = 0, 9  # states of the filter
DEAF = HeadingSettings(gait_sd_deg=1e5)
CALIBRATION = [
    stand(6, neutral=True),
    stand(1),
    during("flexion", [bend(60, reps=4)]),
    during("lateral", [side_bend(25, "right", reps=2), side_bend(25, "left", reps=2)]),
    stand(3),
]
BIASED = SensorModel(gyr_bias_dps=0.5)
LAST_MINUTE = slice(-6000, None)


# Gait, on a simulated back


def stroll(seed, minutes, twisted=0.0):
    """Somebody walks about, turning round again and again; from the end of the first minute on twisted to the right."""
    rng = np.random.default_rng(seed)
    legs = []
    for _ in range(round(minutes * 60 / 23)):
        legs += [walk(float(rng.uniform(15, 25))), turn(float(rng.choice([-150, -90, 90, 150])))]
    injections = [offset_after(60.0, axial_rotation=twisted)] if twisted else []
    return simulate(CALIBRATION + legs, seed=seed, upper=BIASED, lower=BIASED, injections=injections)


def rotation(back, settings=None):
    """Return the pipeline, and error and standard deviation of the axial rotation, degrees."""
    calibration = calibrated(taped(back), back.windows)
    pipeline, posture = walked(taped(back), calibration, Config(heading=settings or HeadingSettings()))
    error = columns(posture)[:, ROTATION] - back.relative_to_stance().axial_rotation_deg
    return pipeline, error, deviations(posture)[:, ROTATION]


@pytest.fixture(scope="module")
def strolls():
    """Ten minutes of walking by two people: with gait as a source, and without."""
    backs = [stroll(seed, 10.0) for seed in range(2)]
    return [rotation(back) for back in backs], [rotation(back, DEAF) for back in backs]


def test_gait_keeps_the_heading(strolls):
    hearing, deaf = (np.concatenate([error[LAST_MINUTE] for _, error, _ in walks]) for walks in strolls)
    assert np.sqrt(np.mean(hearing**2)) < 5.0
    assert np.sqrt(np.mean(hearing**2)) < 0.3 * np.sqrt(np.mean(deaf**2))


def test_gait_makes_surer_and_not_too_sure(strolls):
    for (_, error, sd), (_, _, deaf_sd) in zip(*strolls, strict=True):
        assert sd[LAST_MINUTE].mean() < 0.5 * deaf_sd[6000:].max()
        assert np.mean(np.abs(error[6000:]) < 2 * sd[6000:]) > 0.9


def test_the_personal_angle_of_gait_is_learnt_from_nothing(strolls):
    for pipeline, _, _ in strolls[0]:
        states, sds = pipeline.heading.states()
        assert np.degrees(sds[GAIT]) < 6.0
        assert abs(np.degrees(states[GAIT])) < 20.0
    for pipeline, _, _ in strolls[1]:
        states, sds = pipeline.heading.states()
        assert np.degrees(sds[GAIT]) > 80.0
        assert abs(np.degrees(states[GAIT])) < 0.01


@pytest.mark.parametrize("twisted", [10.0, -20.0])
def test_whoever_walks_twisted_stays_twisted(twisted):
    """Gait tells how both segments are pushed, not that they face the same way: the twist is not taken for drift."""
    _, error, sd = rotation(stroll(3, 5.0, twisted))
    assert abs(np.mean(error[LAST_MINUTE])) < 0.4 * abs(twisted)
    assert np.mean(np.abs(error[7000:]) < 2 * sd[7000:]) > 0.9


@pytest.mark.parametrize("person", [4, 5])
def test_whoever_has_always_walked_twisted_is_not_straightened(person):
    """Twisted right after the stance, before the first step: only the stance knows what straight is."""
    back = simulate(
        [*CALIBRATION, *[walk(20), turn(120)] * 8],
        seed=person,
        upper=BIASED,
        lower=BIASED,
        injections=[offset_after(56.0, axial_rotation=15.0, seconds=2.0)],
    )
    _, error, sd = rotation(back)
    assert np.abs(error[LAST_MINUTE]).mean() < 7.0
    assert np.mean(np.abs(error[7000:]) < 2 * sd[7000:]) > 0.9


# Gait, in closed form


def pushed(angle, seconds=120.0, heave=2.0, push=1.0):
    """Two upright segments on one walker: ``angle``, rad, turns the push of the upper one into the lower one's."""
    rows = round(seconds * RATE)
    times = np.arange(rows) / RATE
    wave = np.sin(2 * np.pi * 2.0 * times)
    none = np.zeros(rows)
    sway = 1e-3 * np.sin(2 * np.pi * 1.0 * times)

    def rows_of(turned):
        # segment frame of an upright segment: x forward, y up, z right; earth: x = forward, y = -right
        acc = np.stack([push * np.cos(turned) * wave, 9.80665 + heave * wave, push * np.sin(turned) * wave], axis=1)
        return SensorRows(acc, np.stack([none, sway, none], axis=1), None, np.zeros(rows, np.uint8))

    return PairBlock(times, rows_of(angle), rows_of(0.0))


def related(pair, settings=None, stances=((0.0, 6.0),), offset=0.0):
    still = orientation(LEVEL, len(pair))
    frame = about_vertical(np.broadcast_to(offset, len(pair)))
    upper = OrientationBlock(frame, still.bias, still.rest, still.disturbed)
    stage = Heading(RATE, settings, stances=stances, bias=np.zeros(6))
    block = stage.push(pair, np.hstack([pair.upper.gyr, pair.lower.gyr]), upper, still)
    return stage, block


@pytest.mark.parametrize("angle_deg", [-120.0, -10.0, 0.0, 35.0])
def test_the_angle_of_gait_is_the_one_that_is_there(angle_deg):
    stage, block = related(pushed(np.radians(angle_deg)))
    states, sds = stage.states()
    assert np.degrees(states[GAIT]) == pytest.approx(angle_deg, abs=1.0)
    assert np.degrees(sds[GAIT]) < 10
    np.testing.assert_allclose(np.degrees(block.delta), 0.0, atol=0.5)


def test_gait_shows_a_heading_that_jumped():
    """The upper earth frame turns by 20 degrees unseen, once the angle of gait is known."""
    pair = pushed(np.radians(10.0), 400.0)
    offset = np.where(pair.time_s < 200, 0.0, np.radians(20.0))
    settings = HeadingSettings(delta_walk_deg=1.0, hold_shortest_s=1e5)
    _, block = related(pair, settings, offset=offset)
    _, deaf = related(pair, HeadingSettings(delta_walk_deg=1.0, hold_shortest_s=1e5, gait_sd_deg=1e5), offset=offset)
    assert np.degrees(block.delta[-1]) == pytest.approx(-20.0, abs=4.0)
    assert block.state[-1] == HeadingState.LEARNT
    assert np.degrees(deaf.delta[-1]) == pytest.approx(0.0, abs=1.0)


@pytest.mark.parametrize(("heave", "push"), [(0.3, 1.0), (2.0, 0.1)], ids=["not up and down", "not level"])
def test_what_does_not_push_both_ways_is_no_gait(heave, push):
    states, sds = related(pushed(0.5, heave=heave, push=push))[0].states()
    assert states[GAIT] == 0.0
    assert np.degrees(sds[GAIT]) > 89


@pytest.mark.parametrize("rate", [25.0, 400.0])
def test_gait_is_gait_at_any_rate(rate):
    back = simulate([*CALIBRATION, *[walk(20), turn(120)] * 3], seed=6, rate=rate, upper=BIASED, lower=BIASED)
    pipeline, error, _ = rotation(back)
    assert np.degrees(pipeline.heading.states()[1][GAIT]) < 8.0
    assert np.abs(error[round(-20 * rate) :]).mean() < 6.0


# Several stances


EXACT = HeadingSettings(delta_walk_deg=1e-6, bias_sd_dps=1e-6, bias_walk_dps=1e-6, hold_shortest_s=1e5, slew_s=1e-3)


def stood(twists_deg, seconds=6.0, apart=20.0):
    """Stances one after the other, each twisted by so much; in between the wearer stands as in the last."""
    rows = round((apart * len(twists_deg)) * RATE)
    pair, smooth = standing(rows / RATE, [0, 0, 0], [0, 0, 0])
    twist = np.radians(np.asarray(twists_deg))[np.minimum((pair.time_s / apart).astype(int), len(twists_deg) - 1)]
    stances = [(k * apart, k * apart + seconds) for k in range(len(twists_deg))]
    still = orientation(LEVEL, rows)
    upper = OrientationBlock(about_vertical(0.7 + twist), still.bias, still.rest, still.disturbed)
    return (pair, smooth, upper, still), stances


def after_all(twists_deg, kind=Heading, neutral_deg=3.0):
    rows, stances = stood(twists_deg)
    stage = kind(RATE, EXACT, stances=stances, bias=np.zeros(6), neutral_sd=np.radians(neutral_deg))
    block = stage.push(*rows)
    return np.degrees((block if kind is Heading else stage.finish()).delta + 0.7), stage


@pytest.mark.parametrize("kind", [Heading, SmoothedHeading])
@pytest.mark.parametrize("twists", [(4.0,), (3.0, -1.0), (4.0, 1.0, 1.0), (-6.0, 2.0, 5.0, -3.0)])
def test_the_mean_of_all_stances_is_zero(kind, twists):
    """The zero is their mean, whichever comes first; nobody knows better which of them was straight."""
    delta, _ = after_all(twists, kind)
    assert delta[-1] == pytest.approx(-np.mean(twists), abs=0.02)
    if kind is SmoothedHeading:
        np.testing.assert_allclose(delta, -np.mean(twists), atol=0.02)


@pytest.mark.parametrize("slew_s", [1e-5, 1e-3, 0.02, 60.0])
def test_corrections_settle_however_fast_they_may_be(slew_s):
    rows, stances = stood((3.0, -1.0), seconds=3.0)
    block = Heading(RATE, HeadingSettings(slew_s=slew_s), stances=stances, bias=np.zeros(6), neutral_sd=0.05).push(
        *rows
    )
    assert np.isfinite(block.delta).all()
    assert np.abs(np.degrees(block.delta + 0.7)).max() < 4.0


def test_a_single_stance_is_zero_itself():
    delta, stage = after_all((4.0,))
    np.testing.assert_allclose(delta[50:], -4.0, atol=1e-6)
    assert np.degrees(stage.states()[1][DELTA]) < 0.5


def test_until_the_last_stance_the_heading_is_as_unsure_as_the_wearer_s_returns():
    """The first of three stances differs from their mean by sqrt(2/3) of what a return differs."""
    rows, stances = stood((0.0, 0.0, 0.0))
    block = Heading(RATE, EXACT, stances=stances, bias=np.zeros(6), neutral_sd=np.radians(3.0)).push(*rows)
    first, last = np.degrees(block.sd[[1900, -1]])
    assert first == pytest.approx(3.0 * np.sqrt(2.0 / 3.0), rel=0.05)
    assert last < 0.5


def test_the_order_of_stances_is_no_matter():
    ends = [after_all(twists)[0][-1] for twists in ((5.0, -1.0, 2.0), (2.0, 5.0, -1.0), (-1.0, 2.0, 5.0))]
    np.testing.assert_allclose(ends, ends[0], atol=0.02)


def test_stances_of_a_back_are_counted_together():
    """Truth counted from all three stances; each alone is off by what the person misses it by."""
    again = [stand(5, neutral=True), walk(10)]
    errors = []
    for seed in range(4):
        back = simulate([*CALIBRATION, *again, *again, stand(4)], seed=seed)
        assert len(back.windows["neutral"]) == 3
        _, error, sd = rotation(back)
        last = back.windows["neutral"][-1]
        after = slice(round(last[0] * RATE) + 300, None)
        errors.append(np.mean(error[after]))
        assert np.mean(np.abs(error[after]) < 3 * sd[after]) > 0.9
    assert np.sqrt(np.mean(np.square(errors))) < 1.5
