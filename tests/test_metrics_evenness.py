"""Evenness of lying: closed forms of the index, holds and passes counted, sensors that were lain on say nothing."""

from dataclasses import replace

import numpy as np
import pytest
from metrics_rows import cut, posture, train
from scipy.spatial.transform import Rotation

from imuposture.metrics import MetricContext, MetricSet

RATE = 50.0
# Segment axes X forward, Y up, Z right. Upright: X east, Y up, Z south.
UPRIGHT = Rotation.from_matrix(np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]))
FRONT = MetricContext(RATE, placement="front:sternum_pelvis")


def lying(roll, *, prone=False, feet=90.0, apart=0.0):
    """Orientation of a segment whose front looks up (or down), turned by ``roll`` onto the right side."""
    down = Rotation.from_euler("z", feet if not prone else -feet, degrees=True)
    angle = (-1.0 if not prone else 1.0) * (np.atleast_1d(roll) + apart)
    turn = Rotation.from_euler("y", angle[:, None], degrees=True)
    return (UPRIGHT * down * turn).as_quat(scalar_first=True)


def session(roll, *, prone=False, apart=0.0, bend=0.0, feet=90.0):
    n = len(roll)
    angles = np.zeros((n, 3))
    angles[:, 1] = bend
    block = posture(angles, RATE, inclination=np.full(n, -90.0))
    return replace(
        block,
        upper_q=lying(roll, prone=prone, feet=feet, apart=apart / 2),
        lower_q=lying(roll, prone=prone, feet=feet, apart=-apart / 2),
    )


def joined(*blocks):
    from walks import joined as join

    rows = join(blocks)
    return replace(rows, time_s=np.arange(len(rows)) / RATE)


def upright(angles):
    block = posture(angles, RATE)
    q = np.repeat(lying(0.0, feet=0.0), len(block), axis=0)
    return replace(block, upper_q=q, lower_q=q)


def figures(block, context=FRONT, at=(70,)):
    found = cut(MetricSet(context, ["evenness"]), block, list(at))
    return found, {(f.metric, f.plane, f.side) if f.plane else f.metric: f for f in found.summary}


def sine(bias=0.0, amplitude=10.0, period=20.0, seconds=200.0):
    t = np.arange(round(seconds * RATE)) / RATE
    return bias + amplitude * np.sin(2 * np.pi * t / period)


@pytest.mark.parametrize("prone", [False, True])
def test_closed_forms_of_the_index(prone):
    context = FRONT if not prone else replace(FRONT, placement="T12-S2")
    for bias, index in ((0.0, 0.0), (2.0, 30.8), (-2.0, -30.8)):
        _, values = figures(session(sine(bias), prone=prone), context)
        assert values["evenness_index"].value == pytest.approx(index, abs=0.05)
        assert values["mean_roll"].value == pytest.approx(bias, abs=0.01)
        assert values["mean_roll"].low < bias < values["mean_roll"].high
        assert values["upper_less_lower_roll"].value == pytest.approx(0.0, abs=1e-6)


def test_small_rolls_get_degrees_and_no_percentage():
    _, values = figures(session(np.full(6000, 0.2)))
    assert values["mean_roll"].value == pytest.approx(0.2)
    assert values["roll_within_3deg"].value == 100.0
    assert values["evenness_index"].value is None
    assert "percentages explode" in values["evenness_index"].reason
    assert all("orientation_not_load" in f.definition for f in values.values() if f.metric == "mean_roll")


def test_passes_go_from_turn_to_turn():
    block, values = figures(session(sine(2.0)))
    passes = [e for e in block.events if e.kind == "roll_pass"]
    assert len(passes) == values["roll_passes"].value == 19  # of twenty half waves the first and last are cut short
    for one in passes:
        assert one.end_s - one.start_s == pytest.approx(10.0, abs=0.05)
        assert one.details["mean_roll_deg"] == pytest.approx(2.0, abs=0.05)
        assert {round(one.details[k]) for k in ("start_roll_deg", "end_roll_deg")} == {-8, 12}
    assert values["pass_roll_sd"].value == pytest.approx(0.0, abs=0.05)


def test_holds_are_counted_one_by_one():
    roll = np.concatenate([np.full(round(s * RATE), x) for s, x in ((20, 8.0), (5, 0.0), (30, -6.0), (15, 0.5))])
    roll += 0.5 * np.sin(np.arange(len(roll)) / 15)
    block, values = figures(session(roll, apart=4.0, bend=1.5))
    holds = [(round(e.end_s - e.start_s), e.side) for e in block.events if e.kind == "roll_hold"]
    assert holds == [(20, "right"), (30, "left"), (15, "right")]
    assert values["hold_roll"].value == pytest.approx((8 - 6 + 0.5) / 3, abs=0.1)
    assert values["upper_less_lower_roll"].value == pytest.approx(4.0)
    assert values["bend_while_lying"].value == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("context", "roll", "prone", "words"),
    [
        (replace(FRONT, placement="T12-S2"), sine(), False, "were lain on"),
        (FRONT, sine(), True, "were lain on"),
        (FRONT, sine(seconds=50.0), False, "less than 1 minute of lying"),
        (replace(FRONT, calibrated=False), sine(), False, "no calibration"),
    ],
)
def test_what_cannot_be_told_says_why(context, roll, prone, words):
    _, values = figures(session(roll, prone=prone), context)
    assert values["mean_roll"].value is None
    assert words in values["mean_roll"].reason


def test_bending_deeply_and_leaning_back_is_no_lying():
    block = session(np.zeros(round(8 * RATE)), prone=True)
    pauses = upright(np.zeros((200, 3)))
    assert figures(joined(*[block, pauses] * 12))[1]["minutes_lying"].value == 0.0
    assert figures(session(sine(), feet=55.0))[1]["minutes_lying"].value == 0.0
    assert figures(session(sine(), feet=65.0))[1]["minutes_lying"].value == pytest.approx(200 / 60, abs=0.01)


def whole_session():
    """Stand and bend, lie and roll, stand and bend further: straighter by 3 degrees, 6 degrees more to the right."""
    before = train(
        RATE, [(20.0, 2.0), (-20.0, 2.0)] * 4, plane=1, pause=2.0, before=30.0, after=30.0, rest=(4.0, 1.0, 0)
    )
    after = train(
        RATE, [(26.0, 2.0), (-20.0, 2.0)] * 4, plane=1, pause=2.0, before=30.0, after=30.0, rest=(1.0, 1.0, 0)
    )
    return joined(upright(before), session(sine(1.0)), upright(after))


def test_before_and_after():
    _, values = figures(whole_session())
    assert values["neutral_change", "flexion", None].value == pytest.approx(-3.0, abs=0.1)
    assert values["neutral_change", "flexion", None].low < 0.0 < values["neutral_change", "flexion", None].high
    assert values["neutral_change", "lateral_bend", None].value == pytest.approx(0.0, abs=0.1)
    assert values["range_change", "lateral_bend", "right"].value == pytest.approx(6.0, abs=0.3)
    assert values["range_change", "lateral_bend", "left"].value == pytest.approx(0.0, abs=0.3)
    assert values["range_change", "flexion", "forward"].value is None


def test_no_cut_changes_a_figure_or_an_event():
    block = joined(whole_session(), whole_session())
    one = figures(block, at=())[0]
    assert {e.kind for e in one.events} == {"roll_pass", "roll_hold"} or {e.kind for e in one.events} == {"roll_pass"}
    rng = np.random.default_rng(7)
    for at in (range(0, len(block), 50), rng.integers(0, len(block), 40).tolist(), range(0, len(block), 4999)):
        other = figures(block, at=at)[0]
        assert (other.summary, other.events) == (one.summary, one.events)


def reflected(q):
    """Orientations seen in a mirror beside the person: the side axis turns round, and so do turns about the others."""
    turned = (UPRIGHT.inv() * Rotation.from_quat(q, scalar_first=True)).as_quat(scalar_first=True)
    seen = Rotation.from_quat(turned * np.array([1.0, -1.0, -1.0, 1.0]), scalar_first=True)
    return (UPRIGHT * seen).as_quat(scalar_first=True)


def test_the_mirrored_person_has_the_mirrored_figures():
    block = whole_session()
    mirrored = replace(
        block,
        upper_q=reflected(block.upper_q),
        lower_q=reflected(block.lower_q),
        lateral_bend_deg=-block.lateral_bend_deg,
        axial_rotation_deg=-block.axial_rotation_deg,
    )
    one, other = figures(block)[1], figures(mirrored)[1]
    signed = {"mean_roll", "evenness_index", "hold_roll", "upper_less_lower_roll", "bend_while_lying"}
    swap = {"right": "left", "left": "right"}
    for key, figure in one.items():
        image = other[(key[0], key[1], swap.get(key[2], key[2])) if isinstance(key, tuple) else key]
        sign = (
            -1.0
            if figure.metric in signed or (figure.metric, figure.plane) == ("neutral_change", "lateral_bend")
            else 1.0
        )
        expected = None if figure.value is None else pytest.approx(sign * figure.value, abs=1e-9)
        assert image.value == expected, key
