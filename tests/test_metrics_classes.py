"""Threshold sets, durations and variety: closed forms, exact counts of what was laid out, the mirrored person."""

from dataclasses import replace
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from metrics_rows import cut, posture

from imuposture._errors import ConfigError
from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics._stays import Classifier, Stays
from imuposture.metrics._thresholds import FOLDER, Holding, known_sets, threshold_set
from imuposture.metrics.classes import Judge
from imuposture.metrics.durations import eva_sd
from imuposture.metrics.variety import normalised_entropy

RATE = 50.0
JOMT = "iso11226+en1005-4/jomt2020"


def rows(forward, side=0.0, rotation=0.0, curvature=0.0, rate=RATE, quality=None):
    """Rows of which both sensors lean ``side`` and ``forward`` is the mean of both."""
    n = len(forward)
    angles = np.zeros((n, 3))
    angles[:, 2] = rotation
    block = posture(angles, rate, inclination=forward, quality=quality)
    side = np.broadcast_to(np.asarray(side, float), n).copy()
    curve = np.broadcast_to(np.asarray(curvature, float), n)
    return replace(
        block,
        upper_side_deg=side,
        lower_side_deg=side,
        upper_forward_deg=forward + curve / 2,
        lower_forward_deg=forward - curve / 2,
    )


def figures(block, *names, thresholds=(JOMT,), rate=RATE):
    context = MetricContext(rate, thresholds=thresholds)
    found = cut(MetricSet(context, names), block, [77, 901])
    return {(f.metric, f.plane) if f.plane else f.metric: f.value for f in found.summary}


def test_shares_of_thirty_plus_twenty_sine_are_the_closed_form():
    t = np.arange(round(RATE * 970)) / RATE
    values = figures(rows(30 + 20 * np.sin(2 * np.pi * t / 97.0)), "classes")
    assert values["share_forward_yellow"] == pytest.approx(66.667, abs=0.02)  # above 20
    assert values["share_forward_green"] == pytest.approx(33.333, abs=0.02)
    assert values["share_forward_red"] == 0.0
    assert values["share_overall_yellow"] == values["share_forward_yellow"]
    assert values["minutes_forward_yellow"] == pytest.approx(0.66667 * 970 / 60, abs=0.01)


def test_the_worst_rule_of_a_row_decides():
    forward = np.array([0.0, 10.0, 30.0, 70.0, 10.0, 10.0]).repeat(100)
    side = np.array([0.0, 15.0, 0.0, 0.0, -25.0, 0.0]).repeat(100)
    curvature = np.array([0.0, 0.0, 0.0, 0.0, 0.0, -10.0]).repeat(100)
    values = figures(rows(forward, side, curvature=curvature), "classes")
    shares = [values[f"share_overall_{name}"] for name in ("green", "yellow", "red")]
    assert shares == pytest.approx([100 / 6, 200 / 6, 300 / 6])


@pytest.mark.parametrize(
    ("forward", "rotation", "side", "rula", "reba"),
    [
        (0, 0, 0, 2, 1),  # 1 of RULA needs a support that nobody sees
        (-10, 0, 0, 2, 2),
        (-30, 0, 0, 2, 3),
        (15, 12, 0, 3, 3),
        (15, -12, 12, 4, 3),  # REBA adds one for a twist or a side bend, RULA one for each
        (40, 0, 0, 3, 3),
        (70, 30, -30, 6, 5),
    ],
)
def test_trunk_parts_add_up(forward, rotation, side, rula, reba):
    block = rows(np.full(100, float(forward)), side, rotation)
    values = figures(block, "classes", thresholds=("rula_trunk",))
    assert values[f"share_overall_{rula}"] == 100.0
    assert figures(block, "classes", thresholds=("reba_trunk",))[f"share_overall_{reba}"] == 100.0


def test_no_set_and_no_figure_is_called_after_a_whole_method():
    for name in known_sets():
        found = threshold_set(name)
        texts = [found.id, *(rule.name for rule in found.rules), *found.names.values()]
        assert not {text.lower() for text in texts} & {"rula", "reba", "owas", "ocra"}
        assert found.source
        assert found.disclosed


def test_a_value_at_a_limit_is_on_the_side_of_zero_for_both_sides():
    x = np.array([-20.0, -7.0, 0.0, 7.0, 20.0])
    keep = np.ones(5, np.uint8)
    there, back = Classifier([-7.0, 7.0]).push(x, keep), Classifier([-7.0, 7.0]).push(-x, keep)
    np.testing.assert_array_equal(there, [0, 1, 1, 1, 2])
    np.testing.assert_array_equal(back, 2 - there)


def test_how_often_a_limit_is_passed():
    t = np.arange(round(600 * RATE)) / RATE
    side = 12.0 * np.sin(2 * np.pi * t / 40.0)  # to both sides: three times a minute
    values = figures(rows(np.zeros(len(t)), side), "classes", thresholds=("en1005-4",))
    assert values["frequency_sideways"] == pytest.approx(3.0, abs=0.1)
    assert values["minutes_of_frequent_sideways"] == 10
    assert values["frequency_twisted"] == 0.0
    # Noise at the limit is no movement: it has to come back by two degrees.
    noisy = 10.0 + 0.5 * np.random.default_rng(1).standard_normal(len(t))
    assert figures(rows(np.zeros(len(t)), noisy), "classes", thresholds=("en1005-4",))["frequency_sideways"] <= 0.1


def test_holding_times_fall_on_a_line():
    line = Holding(20.0, 60.0, 4.0, 1.0)
    assert [line.longest_min(x) for x in (20.0, 40.0, 60.0, 61.0)] == [None, 2.5, 1.0, None]
    held = [np.full(round(150 * RATE), 40.0), np.full(round(240 * RATE), 40.0), np.full(round(400 * RATE), 10.0)]
    lean = np.concatenate([held[0], np.full(100, 0.0), held[1], np.full(100, 70.0), held[2]])
    values = figures(rows(lean), "classes", thresholds=("iso11226",))
    assert values["holds_beyond_limit"] == 1
    assert values["minutes_held_beyond_limit"] == pytest.approx(1.5, abs=0.01)


def test_rotation_counts_only_where_the_heading_is_known():
    quality = np.zeros(1000)
    quality[:500] = 16
    values = figures(rows(np.zeros(1000), rotation=20.0, quality=quality), "classes", thresholds=("en1005-4",))
    assert (values["share_twisted_beyond_10deg"], values["minutes_twisted_beyond_10deg"]) == (100.0, 500 / RATE / 60)
    assert values["minutes_sideways_within_10deg"] == pytest.approx(1000 / RATE / 60)


def test_a_row_of_which_a_rule_is_not_known_has_no_overall_class():
    quality = np.zeros(1000)
    quality[:400] = 16
    block = rows(np.full(1000, 30.0), rotation=20.0, quality=quality)
    values = figures(block, "classes", thresholds=("rula_trunk",))
    assert values["minutes_overall_4"] == pytest.approx(600 / RATE / 60)
    assert values["minutes_forward_3"] == pytest.approx(1000 / RATE / 60)
    assert values["share_overall_4"] == 100.0


def test_every_set_of_the_package_is_whole_and_has_its_id_as_its_name():
    assert known_sets() == sorted([JOMT, "en1005-4", "iso11226", "rula_trunk", "reba_trunk", "hoogendoorn2000"])
    for file in FOLDER.glob("*.toml"):
        found = threshold_set(file)
        assert threshold_set(found.id) == found
        assert found.digest is None
        assert Judge(found).overall or found.combine == "none"


def own(path: Path, text: str, **replaced: str) -> Path:
    for old, new in replaced.items():
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


OWN = """
id = "mine"
version = 3
title = "Of my own"
source = "nobody"
combine = "worst"
[[rules]]
name = "forward"
quantity = "trunk_forward"
cuts_deg = [15.0]
levels = [1, 2]
"""


def test_a_file_of_ones_own_is_told_by_its_content(tmp_path):
    path = own(tmp_path / "mine.toml", OWN)
    values = figures(rows(np.array([10.0, 20.0]).repeat(50)), "classes", thresholds=(str(path),))
    assert values["share_overall_2"] == 50.0
    first = threshold_set(path).reference
    assert first.startswith("mine,v3,mean_of_both_sensors,sha256_")
    own(path, OWN, **{"15.0": "16.0"})
    assert threshold_set(path).reference != first


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[15.0]", "[15.0, 10.0]", "cuts_deg must rise"),
        ("[1, 2]", "[1]", "1 cuts part 2 levels, got 1"),
        ('"trunk_forward"', '"knee"', "quantity must be one of trunk_forward, trunk_side"),
        ('"trunk_forward"', '"trunk_side"', "set absolute = true"),
        ("version = 3", "", "'version' is missing"),
        ("version = 3", "versoin = 3", "knows no 'versoin'"),
        ('"worst"', '"best"', "combine must be one of worst, sum, none"),
        ("[[rules]]", "[[rules", "not a threshold set in TOML"),
        ("levels = [1, 2]", "levels = [1, true]", "levels must be whole numbers"),
    ],
)
def test_a_file_that_is_no_set_says_what_is_wrong(tmp_path, old, new, words):
    with pytest.raises(ConfigError, match=r"mine\.toml: not a threshold set") as error:
        threshold_set(own(tmp_path / "mine.toml", OWN, **{old: new}))
    assert words in str(error.value)


def test_an_unknown_set_names_the_choice(tmp_path):
    with pytest.raises(ConfigError, match="no threshold set 'rula': choose from en1005-4, hoogendoorn2000, iso11226"):
        threshold_set("rula")
    with pytest.raises(ConfigError, match="cannot be read"):
        threshold_set(tmp_path / "none.toml")


def test_variation_analysis_of_a_square_wave():
    lean = np.tile(np.concatenate([np.full(round(10 * RATE), 10.0), np.full(round(5 * RATE), 30.0)]), 20)
    values = figures(rows(lean), "durations")
    cells = {name: value for name, value in values.items() if name.startswith("eva_") and name != "eva_sd"}
    assert len(cells) == 42
    assert {name: value for name, value in cells.items() if value} == {
        "eva_0_20deg_7_15s": pytest.approx(200 / 3),
        "eva_20_45deg_3_7s": pytest.approx(100 / 3),
    }
    mean = 100 / 42
    squares = (200 / 3 - mean) ** 2 + (100 / 3 - mean) ** 2 + 40 * mean**2
    assert values["eva_sd"] == pytest.approx(sqrt(squares / 42))


def test_equal_cells_have_no_spread():
    assert eva_sd([7] * 42) == pytest.approx(0.0, abs=1e-12)


def test_a_gap_and_a_pause_end_a_stay():
    lean = np.full(1000, 10.0)
    lean[500:503] = np.nan
    block = rows(lean)
    late = block.time_s.copy()
    late[750:] += 60.0  # the recorder was paused
    values = figures(replace(block, time_s=late), "durations")
    assert values["eva_0_20deg_7_15s"] == pytest.approx(100 * 500 / 997)
    assert values["eva_0_20deg_3_7s"] == pytest.approx(100 * 497 / 997)


def test_static_postures_by_length():
    lean = np.concatenate(
        [np.full(round(s * RATE) + 1, x) for s, x in ((5, 0), (30, 20), (2, 40), (300, 60), (90, 80))]
    )
    values = figures(rows(lean), "durations")
    held = [values[f"static_minutes_{name}"] for name in ("up_to_10s", "10_60s", "60_240s", "from_240s")]
    assert held == pytest.approx([5 / 60, 0.5, 1.5, 5.0])


def test_a_stay_that_is_open_at_the_end_counts():
    stays = Stays(2, 10.0, [1.0])
    stays.push(np.arange(12) / 10, np.array([0] * 3 + [1] * 9, np.int8))
    stays.end()
    np.testing.assert_array_equal(stays.table, [[3, 0], [9, 0]])
    assert (stays.entries, stays.n) == (1, 12)


def test_entropy_of_equal_and_of_few_cells():
    assert normalised_entropy([1000] * 27) == pytest.approx(1.0, abs=1e-6)
    assert normalised_entropy([10**6] * 3 + [0] * 24) == pytest.approx(0.3333, abs=1e-4)
    assert normalised_entropy([5] + [0] * 26) == 0.0


def test_the_correction_takes_off_the_bias_of_small_samples():
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.ones(27))
    true = -sum(x * log(x) for x in p) / log(27)
    counts = rng.multinomial(60, p, 2000).tolist()
    plain = np.mean([-sum(c / 60 * log(c / 60) for c in one if c) / log(27) for one in counts])
    corrected = np.mean([normalised_entropy(one) for one in counts])
    assert abs(corrected - true) < 0.4 * abs(plain - true)


def test_cells_and_transitions_of_what_was_laid_out():
    places = [(0, 0, 0), (40, 0, 0), (0, 20, 0), (0, 0, 0), (0, 0, -20), (0, 0, 0)]
    angles = np.repeat(np.array(places, float), round(10 * RATE), axis=0)
    angles[-10:, 0] = 20.0  # 0.2 s in another cell are no visit, but a transition
    block = posture(angles, RATE)
    values = figures(block, "variety")
    assert values["cells_visited"] == 4
    assert values["transitions_per_hour"] == pytest.approx(6 * 60)
    share = np.array([29.8, 10, 10, 10, 0.2]) / 60
    assert values["posture_entropy"] == pytest.approx(-np.sum(share * np.log(share)) / log(27), abs=0.003)


def test_noise_at_a_limit_makes_no_transitions():
    angles = np.zeros((5000, 3))
    angles[:, 1] = 7.0 + 0.2 * np.random.default_rng(3).standard_normal(5000)
    assert figures(posture(angles, RATE), "variety")["transitions_per_hour"] == 0.0


def wandering(seed=5):
    """Rows in which everything is known, gaps apart, and every class of every set is visited."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, [25.0, 15.0, 15.0, 20.0], (60, 4))
    forward, side, rotation, curvature = np.repeat(steps, 41, axis=0).T + rng.normal(0, 0.5, (4, 60 * 41))
    quality = np.zeros(len(forward))
    quality[300:340], quality[900:1000] = 1, 16
    angles = np.stack([curvature, side, rotation], axis=1)
    return replace(rows(forward, side, rotation, curvature, quality=quality), flexion_deg=angles[:, 0].copy())


NEW = ("durations", "classes", "variety")


def test_no_cut_changes_a_figure():
    block, context = wandering(), MetricContext(RATE, thresholds=tuple(known_sets()))
    whole = cut(MetricSet(context, NEW), block, []).summary
    for at in (list(range(0, len(block), 3)), [1, 2, 500, 501], [299, 301, 340]):
        assert cut(MetricSet(context, NEW), block, at).summary == whole
    assert sum(f.value is not None for f in whole) > 90


def test_the_mirrored_person_has_the_same_exposure():
    block, context = wandering(), MetricContext(RATE, thresholds=tuple(known_sets()))
    sides = ("lateral_bend_deg", "axial_rotation_deg", "upper_side_deg", "lower_side_deg")
    mirrored = replace(block, **{name: -getattr(block, name) for name in sides})
    one, other = (cut(MetricSet(context, NEW), rows, [100]).summary for rows in (block, mirrored))
    assert one == other
