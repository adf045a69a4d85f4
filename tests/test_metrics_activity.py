"""Activity, slouch and feedback: made postures are named, nothing is said where nothing can be, any cut will do."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from metrics_rows import rows_of

import imuposture as ip
from imuposture._blocks import Event, MetricBlock, PostureBlock
from imuposture._errors import ConfigError
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics._rules import default_rules, rules_of
from imuposture.metrics.activity import w50

RATE = 20.0
# Angles (deg) of postures: flexion, pelvis forward, pelvis to the right; the trunk is the sum of the first two.
STAND, SIT, SLUMP, UPRIGHT_SEAT = (0, 0, 0), (18, -9, 0), (38, -16, 0), (6, -4, 0)
SUPINE, PRONE, ON_RIGHT, ON_LEFT, BEND = (0, -85, 0), (0, 85, 0), (0, 0, 85), (0, 0, -85), (50, 40, 0)
EVERYTHING = ("activity", "changes", "slouch", "feedback")


def quaternion(forward, side):
    """Segment (X ahead, Y up, Z right) to earth, tipped forward and then to the right."""
    from scipy.spatial.transform import Rotation

    upright = Rotation.from_matrix([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    return (upright * Rotation.from_euler("XZ", np.stack([side, -forward], axis=1), degrees=True)).as_quat(
        scalar_first=True
    )


def day(*spells, noise=0.3, sway=0.4, seed=0):
    """Rows of ``(posture, seconds)`` one after the other, two seconds from each to the next."""
    pieces = []
    for k, (posture, seconds) in enumerate(spells):
        if k:
            way = np.linspace(0, 1, round(2 * RATE), endpoint=False)[:, None]
            pieces.append(np.array(spells[k - 1][0]) * (1 - way) + np.array(posture) * way)
        pieces.append(np.tile(np.array(posture, dtype=float), (round(seconds * RATE), 1)))
    angles = np.concatenate(pieces)
    n = len(angles)
    random, time = np.random.default_rng(seed), np.arange(n) / RATE
    angles = angles + sway * np.sin(2 * np.pi * 0.25 * time)[:, None] + noise * random.standard_normal((n, 3))
    flexion, forward, side = angles.T
    nothing, flags = np.full(n, np.nan), np.zeros(n, np.uint8)
    columns = {one.name: nothing for one in fields(PostureBlock)}
    columns |= {"time_s": 7.3 + time, "quality": flags, "heading_state": flags}
    columns |= {"flexion_deg": flexion, "lateral_bend_deg": 0 * flexion, "axial_rotation_deg": 0 * flexion}
    columns |= {"lower_forward_deg": forward, "lower_side_deg": side, "trunk_inclination_deg": forward + 0.6 * flexion}
    q = quaternion(forward, side)
    return PostureBlock(**columns | {"lower_q": q, "upper_q": q})


def found(block, at=(), names=EVERYTHING, **context):
    metrics = MetricSet(MetricContext(RATE, **context), names)
    edges = [0, *sorted(at), len(block)]
    parts = [metrics.push(rows_of(block, a, b)) for a, b in pairwise(edges)]
    parts.append(metrics.finish())
    events = sorted((e for p in parts for e in p.events), key=lambda e: (e.start_s, e.end_s, e.kind))
    return MetricBlock(tuple(events), (), parts[-1].summary)


def stays(block, *kinds):
    return [(e.kind, round(e.start_s - 7.3), round(e.end_s - 7.3)) for e in block.events if e.kind in kinds]


def values(block):
    return {f.metric: f.value for f in block.summary}


def test_postures_are_named():
    spells = [
        (STAND, 60),
        (SIT, 60),
        (STAND, 40),
        (SUPINE, 40),
        (ON_RIGHT, 40),
        (ON_LEFT, 40),
        (PRONE, 60),
        (SLUMP, 60),
    ]
    names = ["standing", "sitting", "standing", "lying_supine", "lying_right", "lying_left", "lying_prone", "sitting"]
    block = found(day(*spells))
    bouts = stays(block, *set(names))
    assert [kind for kind, _, _ in bouts] == names
    start = 0
    for (_, begin, end), (_, seconds) in zip(bouts, spells, strict=True):
        assert (begin, end) == (pytest.approx(start, abs=7), pytest.approx(start + seconds, abs=7))
        start += seconds + 2
    figures = values(block)
    assert figures["minutes_worn"] == pytest.approx(sum(s for _, s in spells) / 60, abs=0.3)
    total = sum(value for name, value in figures.items() if name.startswith("share_") and name != "bout_share")
    assert total - figures["share_walking"] == pytest.approx(100.0)
    assert figures["share_walking"] == 0.0


def test_a_bend_is_no_lying_and_upright_sitting_is_not_claimed():
    block = found(day((STAND, 30), (BEND, 10), (STAND, 30), (UPRIGHT_SEAT, 60)))
    assert {e.kind for e in block.events} & {"lying_prone", "sitting"} == set()
    assert values(block)["minutes_unknown"] == pytest.approx(1.0, abs=0.25)


def test_without_a_calibration_nothing_is_named():
    block = found(day((STAND, 30), (SIT, 60), (SUPINE, 60)), calibrated=False)
    figures = values(block)
    assert figures["share_unknown"] == 100.0
    assert not stays(block, "sitting", "standing", "lying_supine")


def test_mirrored_lying_is_on_the_other_side():
    spells = [(STAND, 30), ((0, 10, 85), 60)]
    mirrored = [(a, (b[0], b[1], -b[2])) for (a, b) in [(s, p) for p, s in spells]]
    one = values(found(day(*spells, noise=0.0, sway=0.0)))
    other = values(found(day(*[(p, s) for s, p in mirrored], noise=0.0, sway=0.0)))
    assert one["minutes_lying_right"] == other["minutes_lying_left"] > 0.9


def test_a_minute_on_the_feet_after_sitting_is_a_break_and_half_a_minute_is_none():
    block = found(day((SIT, 120), (STAND, 30), (SIT, 120), (STAND, 80), (SIT, 120)))
    assert stays(block, "break") == [("break", pytest.approx(274, abs=8), pytest.approx(354, abs=8))]
    assert values(block)["breaks"] == 1.0


def test_a_thing_left_on_a_table_was_not_worn():
    block = found(day((STAND, 60), (SIT, 60)), names=["activity"])
    assert values(block)["minutes_not_worn"] == 0.0
    lies = day((STAND, 60), (SUPINE, 1500), noise=0.0, sway=0.0)
    angles = {name: getattr(lies, name).copy() for name in ("trunk_inclination_deg", "lower_forward_deg")}
    angles["trunk_inclination_deg"][: round(60 * RATE)] += 2.0 * np.sin(np.arange(round(60 * RATE)))
    block = found(replace(lies, **angles))
    figures = values(block)
    assert figures["minutes_not_worn"] == pytest.approx(25.0, abs=0.2)
    assert figures["minutes_worn"] == pytest.approx(1.0, abs=0.2)
    assert figures["minutes_lying_supine"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("bouts", "length"), [([10, 10, 20, 40], 20), ([5.0], 5.0), ([1, 1, 1, 97], 97)])
def test_half_of_the_time_is_spent_in_bouts_of_that_length(bouts, length):
    assert w50(bouts) == length


def test_shifts_stay_and_fidgets_return():
    seat, shifted = SIT, (24, -3, 0)
    block = found(day((seat, 60), (shifted, 60), (seat, 60)), names=["activity"])
    n = {f.metric: f.n for f in block.summary}
    assert (n["shifts_per_hour"], n["fidgets_per_hour"]) == (2, 0)
    block = found(day((seat, 60), (shifted, 1), (seat, 60)), names=["activity"])
    n = {f.metric: f.n for f in block.summary}
    assert (n["shifts_per_hour"], n["fidgets_per_hour"]) == (0, 1)


def bends(n):
    return [part for _ in range(n) for part in ((BEND, 1.5), (STAND, 3))]


def test_a_slouch_is_round_for_this_back_and_lasts():
    usual = [(STAND, 20), *bends(3), (SIT, 700)]
    block = found(day(*usual, (SLUMP, 120), (SIT, 60), (SLUMP, 30), (SIT, 60)))
    start = round(len(day(*usual)) / RATE)
    assert stays(block, "slouch") == [("slouch", pytest.approx(start + 2, abs=3), pytest.approx(start + 124, abs=3))]
    figures = {f.metric: f.value for f in block.summary}
    assert figures["seated_flexion_share_p75"] == pytest.approx(18 / 50, abs=0.02)


def test_nobody_slouches_whose_range_is_not_known():
    block = found(day((STAND, 20), (SLUMP, 200)))
    assert not stays(block, "slouch")
    assert {f.reason for f in block.summary if f.metric == "slouches"} == {
        "no forward bend of 30 degrees that would show the own range"
    }


SLOUCH_RULE = '[[rule]]\nname = "round"\nwhen = "slouch"\nfor_s = 60\nreward_after_s = 30\nrefractory_s = 600\n'


def test_who_slouches_is_told_once_and_praised_for_sitting_up():
    block = day((STAND, 20), *bends(3), (SIT, 700), (SLUMP, 200), (SIT, 90), (SLUMP, 90), (SIT, 100))
    events = [e for e in found(block, feedback=SLOUCH_RULE).events if e.kind in ("alert", "reward")]
    assert [e.kind for e in events] == ["alert", "reward"]  # the second slouch falls into the refractory time
    assert events[0].end_s - events[0].start_s == pytest.approx(60.0, abs=1.1)
    assert events[1].end_s - events[1].start_s == pytest.approx(30.0, abs=1.1)
    assert events[0].details == {"rule": 1.0}


def test_quiet_hours_are_quiet():
    block = day((STAND, 20), *bends(3), (SIT, 700), (SLUMP, 200))
    quiet = 'quiet = [["22:00", "06:00"]]\n' + SLOUCH_RULE
    for clock, n in (("23:30", 0), ("05:30", 0), ("12:00", 1)):
        told = found(block, feedback=f'clock_at_start = "{clock}"\n{quiet}').events
        assert sum(e.kind == "alert" for e in told) == n


def test_a_static_posture_and_long_sitting_are_told():
    rules = (
        '[[rule]]\nname = "still"\nwhen = "static"\nfor_s = 300\nreward_after_s = 5\n'
        '[[rule]]\nname = "up"\nwhen = "sitting"\nfor_s = 400\nbreak_s = 60\n'
    )
    told = found(day((SIT, 500), (STAND, 90), (SIT, 60)), feedback=rules).events
    by_rule = {(e.details["rule"], e.kind) for e in told if e.kind in ("alert", "reward")}
    assert by_rule == {(1.0, "alert"), (1.0, "reward"), (2.0, "alert"), (2.0, "reward")}


def test_bending_to_one_side_only_is_told_with_the_side():
    from imuposture.metrics import Observed
    from imuposture.metrics.feedback import Feedback
    from imuposture.metrics.segmentation.epochs import Epoch

    rule = '[[rule]]\nname = "side"\nwhen = "one_side"\ncount = 10\nshare = 0.8\nfor_s = 0\nreward_after_s = 1\n'
    feedback = Feedback(MetricContext(RATE, feedback=rule))
    sides = ["right"] * 10 + ["left"] * 6
    bends = tuple(Event("repetition", 10.0 * k, 10.0 * k + 3, "lateral_bend", s, 20.0) for k, s in enumerate(sides))
    epochs = tuple(Epoch(float(t), "standing", 1.0, 0.0, 0.0, 1.0) for t in range(300))
    told = feedback.push(Observed(day((STAND, 1)), None, bends, (), epochs)).events
    assert [(e.kind, e.side) for e in told] == [("alert", "right"), ("reward", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule = 3", "must be a list"),
        ("[[rule]]\nname = 'a'\nwhen = 'never'", "when must be one of"),
        ("[[rule]]\nname = 'a'", "has name and when"),
        ("[[rule]]\nname = 'a'\nwhen = 'slouch'\nfor_s = -1", "for_s must lie between 0"),
        ("[[rule]]\nname = 'a'\nwhen = 'slouch'\n[[rule]]\nname = 'a'\nwhen = 'static'", "different names"),
        ("quiet = ['21:00']", "pairs"),
        ("quiet = [['25:99', '07:00']]", "no time of day"),
        ("loud = true", "got loud"),
        ("rule =", "not TOML"),
    ],
)
def test_wrong_rules_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        rules_of(text)
    with pytest.raises(ConfigError, match=message):
        ip.Config(feedback=text)


def test_the_default_rules_are_the_four_of_the_page():
    assert [rule.when for rule in rules_of(default_rules()).rules] == ["slouch", "static", "one_side", "sitting"]


def test_a_configuration_may_name_a_file_of_rules(tmp_path):
    (tmp_path / "rules.toml").write_text(SLOUCH_RULE, encoding="utf-8")
    (tmp_path / "config.toml").write_text('feedback_file = "rules.toml"\n', encoding="utf-8")
    config = ip.Config.from_toml(tmp_path / "config.toml")
    assert config.feedback == SLOUCH_RULE
    assert ip.Config.from_mapping(config.asdict()) == config


def test_cuts_change_nothing():
    block = day((STAND, 20), *bends(3), (SIT, 650), (SLUMP, 120), (STAND, 90), (SUPINE, 50), (PRONE, 60), (SIT, 30))
    whole = found(block)
    assert {e.kind for e in whole.events} >= {"sitting", "standing", "slouch", "alert", "break", "lying_prone"}
    for at in ([5, 6, 7000, 15000], range(0, len(block), 20), range(0, len(block), 333)):
        assert found(block, at) == whole


def test_a_jump_in_time_loses_no_epoch_and_is_cut_free():
    whole = day((STAND, 60), (SIT, 120))
    late = PostureBlock(
        **{f.name: getattr(whole, f.name) for f in fields(whole)}
        | {"time_s": whole.time_s + 500.0 * (whole.time_s > 90)}
    )
    block = found(late)
    assert block == found(late, range(0, len(late), 7))
    assert values(block)["minutes_worn"] == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("jump", [3.0, 60.0])
def test_who_is_bent_on_both_sides_of_a_jump_in_time_does_not_lie(jump):
    whole = day((STAND, 30), (PRONE, 50), (STAND, 30))
    late = replace(whole, time_s=whole.time_s + jump * (whole.time_s > 7.3 + 57 - 0.01))
    block = found(late)
    assert block == found(late, range(0, len(late), 7))
    assert stays(block, "lying_prone") == []
