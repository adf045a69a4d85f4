"""The metric set: any cut, mirrored rows, plug-ins, rows without angles, and a definition for every figure."""

import math
import re
from dataclasses import astuple, replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics_rows import cut, posture, train

import imuposture.metrics
from imuposture._blocks import MetricBlock
from imuposture._errors import ConfigError, PluginError
from imuposture.metrics import BUILT_IN, MetricContext, MetricSet

RATE = 50.0
DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"


def working_spell(seed=4):
    """Rows with everything in them: bends to both sides, a slouch, a gap, a walk, unknown heading."""
    rng = np.random.default_rng(seed)
    bends = [(float(a), 2.0) for a in rng.uniform(10, 40, 14) * rng.choice([-1, 1], 14)]
    parts = [
        train(RATE, bends, plane=1, pause=0.4, coupling=(0.2, 0.25), noise=0.2, seed=1),
        train(RATE, [(50.0, 3.0)] * 4, plane=0, pause=0.5, coupling=(-0.1, 0.15), noise=0.2, seed=2),
        np.tile([25.0, 2.0, -3.0], (round(12 * RATE), 1)),
        np.full((round(1.5 * RATE), 3), np.nan),
        train(RATE, [(20.0, 2.0), (-12.0, 2.0)] * 4, plane=2, pause=0.4, noise=0.2, seed=3),
        2.0 * np.sin(np.arange(round(70 * RATE))[:, None] / RATE * np.array([12.0, 6.0, 6.0])),
    ]
    angles = np.concatenate(parts)
    quality = np.where(np.isnan(angles[:, 0]), 1, 0)
    quality[400:600] |= 16
    return posture(angles, RATE, sd=0.8, start=3.21, quality=quality)


BLOCK = working_spell()
CONTEXT = MetricContext(RATE, placement="t12_s2", window_s=30.0, baseline={"repetitions_aborted": [1.0, 0.0, 1.0]})


@pytest.fixture(scope="module")
def whole():
    return cut(MetricSet(CONTEXT), BLOCK, [])


def bits(block):
    """Every event and figure; NaN-free by construction, so that equality is equality of bits."""
    return [astuple(e) for e in block.events], list(block.windows), list(block.summary)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, len(BLOCK)), max_size=40))
def test_blocks_do_not_change_any_figure(whole, at):
    assert bits(cut(MetricSet(CONTEXT), BLOCK, at)) == bits(whole)


def test_notifications_of_three_rows_do_not_change_any_figure(whole):
    assert bits(cut(MetricSet(CONTEXT), BLOCK, list(range(0, len(BLOCK), 3)))) == bits(whole)


def test_the_spell_holds_what_it_was_made_of(whole):
    kinds = {event.kind for event in whole.events}
    assert kinds >= {"repetition", "bout", "gap", "posture_change"}
    counted = {(f.plane, f.side): f.value for f in whole.summary if f.metric == "repetitions"}
    assert counted["axial_rotation", "right"] == counted["axial_rotation", "left"] == 4
    assert counted["lateral_bend", "right"] + counted["lateral_bend", "left"] == 14
    assert counted["flexion", "forward"] >= 4
    of_windows = [w.value for w in whole.windows if w.metric == "repetitions"]
    assert sum(of_windows) == sum(counted.values())


def test_mirrored_rows_give_negated_differences_and_swapped_sides(whole):
    angles = np.stack([BLOCK.flexion_deg, -BLOCK.lateral_bend_deg, -BLOCK.axial_rotation_deg], axis=1)
    mirrored = posture(angles, RATE, sd=0.8, start=3.21, quality=BLOCK.quality)
    turned = cut(MetricSet(CONTEXT), mirrored, [1000])
    swap = {"right": "left", "left": "right"}
    signed = {"mean_angle", "median_angle", "repetition_bias", "coupled_in_flexion"}
    signed |= {"stance_drift_upper", "stance_drift_lower"}
    reciprocal = {"right_of_left_of_size", "right_of_left_of_range"}
    for plain, other in ((whole.summary, turned.summary), (whole.windows, turned.windows)):
        found = {(f.definition, f.metric, f.plane, f.side, f.start_s): f for f in other}
        for figure in plain:
            side = swap.get(figure.side, figure.side)
            image = found[figure.definition, figure.metric, figure.plane, side, figure.start_s]
            differs = figure.metric.startswith(("asymmetry", "symmetry")) or figure.metric.endswith("_difference")
            sign = -1.0 if figure.metric in signed or differs else 1.0
            assert (image.n, image.verdict) == (figure.n, figure.verdict)
            if figure.metric not in reciprocal and figure.value is not None:
                assert image.value == sign * figure.value, figure
                assert (image.low, image.high) == mirrored_interval(figure, sign), figure


def mirrored_interval(figure, sign):
    if figure.low is None or sign > 0:
        return figure.low, figure.high
    return -figure.high, -figure.low


def test_no_calibration_gives_inclinations_and_says_that_sides_cannot_be_told():
    rows = len(BLOCK)
    lean = 30.0 + 20.0 * np.sin(np.arange(rows) / RATE)
    bare = posture(np.full((rows, 3), np.nan), RATE, sd=np.nan, inclination=lean, quality=np.full(rows, 8))
    block = cut(MetricSet(MetricContext(RATE, calibrated=False)), bare, [500])
    values = {(f.metric, f.plane, f.side): f.value for f in block.summary}
    assert values["inclination_p50", None, None] == pytest.approx(30.0, abs=1.0)
    assert {f.value for f in block.summary if f.plane and not f.metric.startswith("minutes_usable")} == {None}
    verdicts = [f.verdict for f in block.summary if f.metric.startswith("asymmetry") or f.metric == "mean_angle"]
    assert set(verdicts) == {"cannot_tell"}
    assert values["repetitions_aborted", None, None] is None
    assert values["posture_changes", None, None] is None


def test_no_rows_give_figures_without_values_or_zero_counts():
    block = MetricSet(CONTEXT).finish()
    assert block.events == block.windows == ()
    assert {f.value for f in block.summary} <= {None, 0.0}
    assert {f.verdict for f in block.summary} <= {None, "cannot_tell"}


@pytest.mark.parametrize("calibrated", [True, False])
def test_what_cannot_be_told_says_why(whole, calibrated):
    """Whole, uncalibrated, without spinal angles and without rows: no value and no verdict without its reason."""
    bare = posture(np.full((900, 3), np.nan), RATE, quality=np.zeros(900))
    blocks = [cut(MetricSet(MetricContext(RATE, calibrated=calibrated)), rows, []) for rows in (BLOCK, bare)]
    blocks += [whole, MetricSet(CONTEXT).finish()]
    for figure in (f for block in blocks for f in (*block.summary, *block.windows)):
        if figure.value is None or figure.verdict == "cannot_tell":
            assert figure.reason, figure


def test_no_figure_is_nan_or_infinite(whole):
    numbers = [x for f in (*whole.summary, *whole.windows) for x in (f.value, f.low, f.high) if x is not None]
    numbers += [x for e in whole.events for x in (e.start_s, e.end_s, *e.details.values())]
    assert all(map(math.isfinite, numbers))
    assert all(f.low <= f.value <= f.high for f in whole.summary if f.low is not None)


def test_every_definition_stands_in_the_documentation(whole):
    text = DOCS.read_text(encoding="utf-8")
    documented = set(re.findall(r"^### `([a-z_.]+/\d+)`", text, flags=re.MULTILINE))
    emitted = {f.definition.split("@")[0] for f in (*whole.summary, *whole.windows)}
    assert emitted == documented


def test_windows_are_aligned_to_the_first_row(whole):
    starts = sorted({w.start_s for w in whole.windows})
    np.testing.assert_allclose(starts, 3.21 + 30.0 * np.arange(len(starts)), atol=1e-9)
    last = max(w.end_s for w in whole.windows if w.metric == "minutes_usable")
    assert last == pytest.approx(BLOCK.time_s[-1] + 1 / RATE)


def test_usable_and_lost_minutes_add_up_to_the_recording(whole):
    values = {f.metric: f.value for f in whole.summary if f.plane is None}
    assert values["minutes_lost"] == pytest.approx(1.5 / 60)
    assert values["minutes_usable"] + values["minutes_lost"] == pytest.approx(len(BLOCK) / RATE / 60)


class Counter:
    """A plug-in as someone else would write it."""

    def __init__(self, context):
        self.rows = 0

    def push(self, seen):
        self.rows += len(seen.posture)
        return MetricBlock()

    def finish(self, seen):
        return MetricBlock()


def offered(monkeypatch, value):
    found = EntryPoints([EntryPoint("mine", value, "imuposture.metrics")])
    monkeypatch.setattr(imuposture.metrics, "entry_points", lambda *, group, name: found.select(group=group, name=name))


def test_a_plug_in_is_loaded_by_name(monkeypatch):
    offered(monkeypatch, "test_metrics:Counter")
    assert MetricSet(CONTEXT, ["mine", "exposure"]).push(BLOCK).windows


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("test_metrics:Missing", "cannot be loaded"),
        ("no_such_module:Thing", "cannot be loaded"),
        ("builtins:len", "cannot be started"),
        ("builtins:repr", "must have push"),
    ],
)
def test_a_broken_plug_in_is_named(monkeypatch, value, message):
    offered(monkeypatch, value)
    with pytest.raises(PluginError, match=f"'mine' {message}"):
        MetricSet(CONTEXT, ["mine"])


def test_an_unknown_metric_is_refused_with_the_choice():
    with pytest.raises(PluginError, match="there is no metric 'balance': choose from repetitions"):
        MetricSet(CONTEXT, ["balance"])


def test_a_plug_in_that_returns_something_else_is_named(monkeypatch):
    monkeypatch.setattr(Counter, "push", lambda self, seen: None)
    offered(monkeypatch, "test_metrics:Counter")
    with pytest.raises(PluginError, match="'mine' returned NoneType"):
        MetricSet(CONTEXT, ["mine"]).push(BLOCK)


def found_by(name, needs):
    """What a metric of these needs was shown of a spell, beside another one."""
    shown = {"movements": 0, "activity": 0}

    class Curious:
        def __init__(self, context):
            if needs is not None:
                self.needs = needs

        def push(self, seen):
            for what in shown:
                shown[what] += len(getattr(seen, what))
            return MetricBlock()

        finish = push

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUILT_IN, "curious", Curious)
        cut(MetricSet(CONTEXT, ["curious", name]), BLOCK, [])
    return {what for what, count in shown.items() if count}


def test_nobody_looks_for_what_no_metric_needs():
    assert found_by("exposure", frozenset()) == set()
    assert found_by("exposure", frozenset({"activity"})) == {"activity"}
    assert found_by("repetitions", frozenset({"activity"})) == {"movements", "activity"}
    assert found_by("exposure", None) == {"movements", "activity"}


@pytest.mark.parametrize("needs", [frozenset({"heartbeats"}), "movements", 1])
def test_odd_needs_are_refused(needs):
    with pytest.raises(
        PluginError, match=r"'curious' needs .*; it must be a set of some of activity, movements, steps"
    ):
        found_by("exposure", needs)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_metric_finds_by_itself_what_it_finds_among_all(whole, name):
    alone = cut(MetricSet(replace(CONTEXT, baseline={}), [name]), BLOCK, [5000])
    for mine, among in zip(bits(alone), bits(whole), strict=True):
        left = iter(among)
        assert all(one in left for one in mine)  # in the same order


def test_built_in_metrics_are_also_declared_as_entry_points():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    for name, factory in BUILT_IN.items():
        assert f'{name} = "{factory.__module__}:{factory.__qualname__}"' in text


@pytest.mark.parametrize(
    "wrong", [{"rate_hz": 0.0}, {"window_s": 0.0}, {"report_error": 0.9}, {"neutral_sd_deg": {"roll": 1.0}}]
)
def test_settings_out_of_their_limits_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MetricContext(**{"rate_hz": 50.0, **wrong})


def test_a_plane_without_its_own_neutral_takes_the_default():
    assert MetricContext(50.0, neutral_sd_deg={"flexion": 0.5}).neutral_sd("lateral_bend") == 2.0
