"""Walking: closed forms of the figures, steps and sides of real walkers, and silence where nobody walks."""

import json
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import imuposture as ip
from imuposture._blocks import MetricBlock, PairBlock, PostureBlock, SensorRows
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics.segmentation import gait_cycle

DATA = Path(__file__).parents[2] / "shared" / "data"
AMPLITUDES = {1: 0.4, 2: 2.0, 3: 0.25, 4: 0.8, 5: 0.1, 6: 0.3, 7: 0.05, 8: 0.15}


def periodic(rate, seconds, stride_s, amplitudes):
    time, phases = np.arange(round(seconds * rate)) / rate, np.random.default_rng(1).uniform(0, 6, 9)
    return sum(a * np.cos(2 * np.pi * k * time / stride_s + phases[k]) for k, a in amplitudes.items())


@pytest.mark.parametrize("rate", [50.0, 100.0, 128.0])
@pytest.mark.parametrize("stride_s", [0.9, 1.0, 1.1, 1.1234, 1.37])
@pytest.mark.parametrize("start_s", [1.0, 1.2345])
def test_harmonics_stand_exactly_on_those_of_the_stride(rate, stride_s, start_s):
    rows = periodic(rate, 6.0, stride_s, AMPLITUDES)[None] + 9.81
    amplitude = np.abs(gait_cycle.spectrum(rows, start_s * rate, stride_s * rate)[0]).tolist()
    np.testing.assert_allclose(amplitude[:8], list(AMPLITUDES.values()), atol=1e-9)
    assert gait_cycle.harmonic_ratio(amplitude) == pytest.approx(4.0625, abs=1e-9)
    assert gait_cycle.improved_harmonic_ratio([a**2 for a in amplitude]) == pytest.approx(95.28822, abs=1e-5)
    assert gait_cycle.harmonic_ratio(amplitude, sideways=True) == pytest.approx(1 / 4.0625, abs=1e-9)


@pytest.mark.parametrize(("k", "step"), [(0.0, 1.0), (0.2, 0.923), (0.5, 0.6)])
def test_step_regularity_of_two_sines(k, step):
    found = gait_cycle.regularity(periodic(100.0, 40.0, 1.1, {1: k, 2: 1.0}), 110.0)
    assert found == pytest.approx((step, 1.0), abs=0.005)


def test_regularity_sideways_is_negative_from_step_to_step():
    assert gait_cycle.regularity(periodic(100.0, 40.0, 1.1, {1: 1.0}), 110.0) == pytest.approx((-1.0, 1.0), abs=0.01)


def test_feet_alternate_where_little_speaks_against_it():
    times = 0.6 * np.arange(9)
    told = np.array([2.0, -2.0, 2.0, 0.5, 2.0, -2.0, 0.0, -2.0, 2.0])  # one wrong, one dumb
    assert gait_cycle.sides(times, told, None) == [True, False] * 4 + [True]
    assert gait_cycle.sides(times[1:], told[1:], (0.0, True)) == [False, True] * 4


def walker(rate=100.0, seconds=30.0, stride_s=1.1, uneven=0.0, start=4.0, seed=0):
    """Acceleration and angular rate (segment frame) of somebody upright who stands, walks and stands.

    The right foot comes down at ``start`` and every stride after it. ``uneven``: share of the stride's own frequency
    in the upward acceleration.
    """
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (time - start) / stride_s
    walks = (time > start - 0.3 * stride_s) & (time < seconds - 4.0)
    acc, gyr = np.zeros((len(time), 3)), np.zeros((len(time), 3))
    acc[:, 0] = -1.5 * np.sin(2 * phase - 0.4)
    acc[:, 1] = 2.5 * np.cos(2 * phase - 0.4) + 2.5 * uneven * np.cos(phase)
    acc[:, 2] = -1.2 * np.sin(phase)  # pushed to the left while the right foot stands
    gyr[:, 1] = 0.3 * np.cos(phase)  # the right side comes forward until the right foot is down: a turn to the left
    noise = np.random.default_rng(seed)
    acc = acc * walks[:, None] + [0.0, 9.81, 0.0] + 0.05 * noise.standard_normal(acc.shape)
    return time, acc, gyr * walks[:, None] + 0.01 * noise.standard_normal(acc.shape)


UPRIGHT = np.array([0.5**0.5, 0.5**0.5, 0.0, 0.0])  # segment Y up


def rows(time, acc, gyr, quat=UPRIGHT, angles=None):
    n = len(time)
    flags, nothing = np.zeros(n, np.uint8), np.full(n, np.nan)
    columns = {one.name: nothing for one in fields(PostureBlock)} | (angles or {})
    q = np.broadcast_to(quat, (n, 4)).copy()
    columns |= {"time_s": time, "lower_q": q, "upper_q": q, "quality": flags, "heading_state": flags}
    both = SensorRows(acc, gyr, None, flags)
    return PostureBlock(**columns), PairBlock(time, both, both)


def slices(block, a, b):
    parts = {one.name: getattr(block, one.name) for one in fields(block)}
    return replace(
        block,
        **{
            k: slices(v, a, b) if isinstance(v, SensorRows) else None if v is None else v[a:b] for k, v in parts.items()
        },
    )


def measured(blocks, at=(), calibrated=True, rate=100.0, bouts=None):
    metrics = MetricSet(MetricContext(rate, calibrated=calibrated, window_s=10.0, bouts=bouts), ["walking"])
    edges = [0, *sorted(at), len(blocks[0])]
    parts = [metrics.push(slices(blocks[0], a, b), slices(blocks[1], a, b)) for a, b in pairwise(edges)]
    parts.append(metrics.finish())
    events = sorted((e for p in parts for e in p.events), key=lambda e: (e.start_s, e.end_s, e.kind))
    return MetricBlock(tuple(events), tuple(w for p in parts for w in p.windows), parts[-1].summary)


def values(block):
    return {(f.metric, f.plane): f.value for f in block.summary}


def test_steps_of_a_made_walker_come_when_and_where_they_were_made():
    found = measured(rows(*walker(stride_s=1.1)))
    steps = [e for e in found.events if e.kind == "step"]
    assert len(steps) == pytest.approx(22.0 / 0.55, abs=3)
    for step in steps:
        place = (step.start_s - 4.0) / 0.55
        assert place == pytest.approx(round(place), abs=0.1 / 0.55)
        assert step.side == ("right" if round(place) % 2 == 0 else "left")
    figures = values(found)
    assert figures["cadence", None] == pytest.approx(120 / 1.1, abs=0.2)
    assert figures["gait_asymmetry", None] == pytest.approx(0.0, abs=0.5)
    assert figures["step_time_difference", None] == pytest.approx(0.0, abs=0.005)
    assert sum(w.value for w in found.windows if w.metric == "steps") == len(steps)


def test_what_half_a_stride_later_is_not_mirrored_is_the_asymmetry():
    figures = values(measured(rows(*walker(uneven=0.4))))
    even = 1.5**2 + 2.5**2 + 1.2**2
    assert figures["gait_asymmetry", None] == pytest.approx(100 * 1.0 / (even + 1.0), abs=1.0)


def test_the_mirrored_walker_has_the_other_foot_first():
    time, acc, gyr = walker(uneven=0.3)
    plain = measured(rows(time, acc, gyr))
    flip = np.array([1.0, 1.0, -1.0])
    other = measured(rows(time, acc * flip, -gyr * flip, UPRIGHT * [1, 1, -1, -1]), [777])
    swap = {"right": "left", "left": "right", None: None}
    assert [(e.kind, swap[e.side], e.start_s) for e in other.events] == [
        (e.kind, e.side, e.start_s) for e in plain.events
    ]
    for one, image in zip(plain.summary, other.summary, strict=True):
        sign = -1.0 if one.metric == "step_time_difference" else 1.0
        assert image.value == (None if one.value is None else pytest.approx(sign * one.value, abs=1e-9)), one


def test_cuts_change_nothing():
    blocks = rows(*walker(seconds=60.0))
    whole = measured(blocks)
    for at in ([1, 2, 900, 1234, 3000], range(0, 6000, 37)):
        assert measured(blocks, at) == whole


def steps_in(block):
    return [(event.start_s, event.side) for event in block.events if event.kind == "step"]


def test_known_bouts_are_walks_however_short_and_nothing_else_is():
    blocks = rows(*walker(seconds=60.0))  # contacts at 4.0 s and every 0.55 s, right first
    bouts = ((6.0, 8.2), (20.2, 40.0), (50.4, 50.5))  # in the last no foot comes down
    found = measured(blocks, bouts=bouts)
    contacts = [(4.0 + 0.55 * k, "left" if k % 2 else "right") for k in range(96)]
    inside = [one for one in contacts if any(start <= one[0] <= end for start, end in bouts)]
    assert [side for _, side in steps_in(found)] == [side for _, side in inside]
    np.testing.assert_allclose([t for t, _ in steps_in(found)], [t for t, _ in inside], atol=0.1)
    walks = [event for event in found.events if event.kind == "walk"]
    assert [walk.details["steps"] for walk in walks] == [4, 36]
    assert values(found)["walks", None] == 2
    assert values(found)["cadence", None] == pytest.approx(120 / 1.1, abs=0.2)
    for at in ([777, 2001, 3003], range(0, 6000, 61)):
        assert measured(blocks, at, bouts=bouts) == found


def test_a_bout_is_believed_where_gates_would_not_pass_it():
    time, acc, gyr = walker(seconds=30.0)
    still = (time < 6.0) | (time > 8.3)
    acc[still] = [0.0, 9.81, 0.0]
    blocks = rows(time, acc, gyr)
    assert steps_in(measured(blocks)) == []  # four steps are no walk
    assert len(steps_in(measured(blocks, bouts=((6.1, 8.2),)))) == 4


@pytest.mark.parametrize("bouts", [[(2.0, 1.0)], [(1.0, 3.0), (2.0, 4.0)], [(0.0, float("nan"))]])
def test_bouts_must_be_in_order(bouts):
    with pytest.raises(ip.ConfigError, match="in order"):
        ip.gait(np.zeros((100, 3)), np.tile([0.0, 9.81, 0.0], (100, 1)), rate=100.0, bouts=bouts)


def test_where_nobody_is_known_to_walk_there_is_no_step():
    _, acc, gyr = walker(seconds=20.0)
    found = ip.gait(gyr, acc, rate=100.0, bouts=[])
    assert found.events == ()
    assert values(found)["steps", None] == 0.0


def test_a_walk_goes_on_to_the_last_row():
    time, acc, gyr = walker(seconds=40.0)
    end = 3087  # the step at 30.4 s has been made, its second has not ended
    steps = steps_in(measured(rows(time[:end], acc[:end], gyr[:end])))
    assert steps[-1][0] == pytest.approx(30.4, abs=0.1)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sensor_worn_anyhow_gives_the_same_steps(seed):
    from scipy.spatial.transform import Rotation

    time, acc, gyr = walker()
    turn = Rotation.random(random_state=seed)
    there = ip.gait(turn.apply(gyr), turn.apply(acc), rate=100.0)
    plain = measured(rows(time, acc, gyr))
    steps = [[(e.side, e.start_s) for e in block.events if e.kind == "step"] for block in (plain, there)]
    assert [side for side, _ in steps[0]] == [side for side, _ in steps[1]]
    np.testing.assert_allclose([t for _, t in steps[0]], [t for _, t in steps[1]], atol=0.02)


def test_ranges_in_gait_are_those_of_the_angles():
    time, acc, gyr = walker()
    swing = 5.0 * np.sin(2 * np.pi * (time - 4.0) / 1.1)
    names = ("flexion_deg", "lateral_bend_deg", "axial_rotation_deg", "lower_forward_deg", "lower_side_deg")
    figures = values(measured(rows(time, acc, gyr, angles={name: k * swing for k, name in enumerate(names)})))
    assert figures["gait_range", "flexion"] == 0.0
    assert figures["gait_range", "lateral_bend"] == pytest.approx(10.0, abs=0.1)
    assert figures["gait_range", "axial_rotation"] == pytest.approx(20.0, abs=0.2)
    assert figures["gait_pelvis_range", "lateral_bend"] == pytest.approx(40.0, abs=0.4)


def test_nobody_walks_who_bends_nods_or_shakes():
    rate, time = 100.0, np.arange(6000) / 100.0
    noise = np.random.default_rng(3)
    for acc in (
        0.05 * noise.standard_normal((6000, 3)),
        np.stack([2.0 * np.sin(2 * np.pi * 0.4 * time), 0 * time, 0 * time], axis=1),
        1.5 * noise.standard_normal((6000, 3)),
        np.stack([0 * time, 3.0 * (np.sin(2 * np.pi * 7.0 * time)), 0 * time], axis=1),
    ):
        found = measured(
            rows(time, np.array([0.0, 9.81, 0.0]) + acc, 0.02 * noise.standard_normal((6000, 3))), rate=rate
        )
        assert found.events == ()
        assert values(found)["steps", None] == 0.0
        assert {f.reason for f in found.summary if f.value is None} == {"no steady walking of four strides and more"}


def test_without_the_lower_sensor_nothing_is_claimed():
    time, acc, gyr = walker(seconds=10.0)
    posture, _ = rows(time, acc, gyr)
    metrics = MetricSet(MetricContext(100.0), ["walking"])
    assert metrics.push(posture).windows == ()
    summary = metrics.finish().summary
    assert {f.value for f in summary} == {None}
    assert {f.reason for f in summary} == {"no acceleration of the lower sensor"}


def test_a_gap_ends_a_walk():
    time, acc, gyr = walker(seconds=60.0)
    acc[3000:3050] = np.nan
    walks = [e for e in measured(rows(time, acc, gyr)).events if e.kind == "walk"]
    assert len(walks) == 2
    assert walks[0].end_s < 30.0
    assert walks[1].start_s > 30.5


def table(name):
    import pyarrow.parquet as pq

    if not (path := DATA / name).exists():
        pytest.skip("needs the public gait recordings beside the repository")
    found = pq.read_table(path)
    return found, json.loads(found.schema.metadata[b"imuposture_provenance"])


def columns(found, sensor, kind):
    return np.stack([found.column(f"{sensor}_{kind}_{axis}").to_numpy().astype(float) for axis in "xyz"], axis=1)


@pytest.mark.parametrize("trial", ["HA001_TimeMeasure1_Test5_Trial1", "MS001_TimeMeasure1_Test5_Trial2"])
def test_every_foot_of_a_real_walk_is_found(trial):
    found, provenance = table(f"mobgap_lowerback/{trial}.parquet")
    gait = ip.gait(columns(found, "lower_back", "gyr"), columns(found, "lower_back", "acc"), rate=100.0)
    steps = [(e.start_s, e.side) for e in gait.events if e.kind == "step"]
    for walk in provenance["reference"]["Stereophoto"]:
        inside = [one for one in steps if walk["start"][0] - 0.1 <= one[0] <= walk["end"][0] + 0.1]
        assert [side for _, side in inside] == [side.lower() for side in walk["ic_side"]]
        np.testing.assert_allclose([time for time, _ in inside], walk["ic"], atol=0.1)


def test_steps_of_daily_tasks_are_found_where_walking_is_known():
    found, provenance = table("mobgap_lowerback/HA001_TimeMeasure1_Test11_Trial1.parquet")
    walks = provenance["reference"]["INDIP"]
    gait = ip.gait(
        columns(found, "lower_back", "gyr"),
        columns(found, "lower_back", "acc"),
        rate=100.0,
        bouts=[(walk["start"][0], walk["end"][0]) for walk in walks],
    )
    times = np.array([time for time, _ in steps_in(gait)])
    true = np.array([time for walk in walks for time in walk["ic"]])
    hits = sum(np.abs(times - time).min() <= 0.1 for time in true)
    assert hits >= 0.9 * len(true)
    assert len(times) <= 1.05 * len(true)
    # The other system sees 45 of its 58 contacts in the same place, so no more can be asked of ours.


def test_a_stiff_knee_shows_and_steps_are_counted():
    figures = {}
    for trial in ("Sub04_EMGBaseline", "Sub04_EMGStiffKnee"):
        found, _ = table(f"pearl_gait/{trial}.parquet")
        gait = ip.gait(columns(found, "pelvis", "gyr"), columns(found, "pelvis", "acc"), rate=100.0)
        figures[trial] = values(gait)
    assert figures["Sub04_EMGBaseline"]["steps", None] == pytest.approx(117, abs=2)  # force plates
    assert figures["Sub04_EMGBaseline"]["gait_asymmetry", None] < 12.0
    assert figures["Sub04_EMGStiffKnee"]["gait_asymmetry", None] > 35.0
    # The stiff right leg: the plates have the step to the right shorter, by 0.17 s.
    assert figures["Sub04_EMGStiffKnee"]["step_time_difference", None] == pytest.approx(-0.15, abs=0.04)


def test_cadence_is_that_of_the_usual_step_of_either_foot():
    from imuposture.metrics.segmentation.gait import Stride
    from imuposture.metrics.walking import _Gait

    gait, end = _Gait(), 0.0
    contacts = [
        0.0,
        *np.cumsum([0.5, 0.7] * 8 + [0.9, 0.7] * 3),
    ]  # to the right 0.5 s, thrice slower; to the left 0.7 s
    for k in range(2, len(contacts)):
        start, middle, end = contacts[k - 2 : k + 1]
        gait.add_stride(Stride(start, end, 0.0, None, ()), "right" if k % 2 else "left", end - middle)
    value, low, high, n = gait.cadence()
    assert value == pytest.approx(120 / 1.2, abs=0.1)
    assert low < value <= high + 0.1
    assert n == len(contacts) - 2
    assert sum(times._n for times in gait._times.values()) == len(contacts) - 1  # every step once


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_simulated_feet_come_down_when_and_where_they_do(seed):
    from imuposture.acquisition.simulation.actions import stand, walk

    made = [ip.simulate([stand(4), walk(40), stand(4)], seed=seed, mirror=mirror) for mirror in (False, True)]
    steps, mirrored = (steps_in(ip.gait(back.lower.gyr, back.lower.acc, rate=100.0)) for back in made)
    assert len(steps) > 70
    place = np.array([2.0 * 0.93 * time for time, _ in steps])  # the right foot comes down at every whole stride
    np.testing.assert_allclose(place[2:-2], np.round(place[2:-2]), atol=0.1)  # while the gait is whole
    assert [side for _, side in steps] == ["left" if k % 2 else "right" for k in np.round(place).astype(int)]
    assert [(time, {"left": "right", "right": "left"}[side]) for time, side in mirrored] == steps
