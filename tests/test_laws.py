"""Laws over the whole pipeline: cut, lane, mounting, mirror. The others: test_laws_asymmetry, test_laws_counting."""

import re
from dataclasses import fields, replace
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from second_spine import (
    ANGLES,
    PERFECT,
    RATE,
    ROLES,
    columns_of,
    mixed_work,
)

from imuposture import Pipeline, orientation, process
from imuposture._blocks import ImuBlock, Stream
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration

FEW = settings(  # without shrinking: an example is a whole recording, and any that fails says enough
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
SPINE = [f"{angle}_deg" for angle in ANGLES]
SIDED = {"right": "left", "left": "right"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("laws")


# Law 1: cut


class Streams(dict):
    """Blocks by role; short in a report."""

    def __repr__(self):
        return "<damaged streams>"


@pytest.fixture(scope="module")
def damaged():
    """Work of 100 s with everything that makes rows depend on other rows: losses, copies, empty cells, late samples."""
    back, rng = mixed_work(11, 1.6), np.random.default_rng(11)
    streams = Streams()
    for role in ROLES:
        acc, gyr, order = back.acc[role].copy(), back.gyr[role].copy(), np.arange(len(back.time_s))
        empty = rng.random(len(order)) < 0.01
        acc[empty, 1], gyr[empty, 2] = np.nan, np.nan
        for start in (2000, 7000, 8200):
            empty[start : start + rng.integers(5, 150)] = True
        order = order[~(rng.random(len(order)) < 0.02) | (order < 600)]
        order = order[(order < 7900) | (order >= 7900 + rng.integers(8, 12))]
        order = np.sort(np.concatenate([order, rng.choice(order, 40)]))
        late = rng.choice(len(order) - 1, 20)
        order[late], order[late + 1] = order[late + 1], order[late]
        streams[role] = ImuBlock(role, back.time_s[order], acc[order], gyr[order])
    return streams


@pytest.fixture(scope="module")
def calibration(folder):
    """Return the calibration of that person, as a session holds it."""
    return Calibration.fromdict(process(mixed_work(11, 1.6).write(folder / "c.csv")).manifest["calibration"])


def piece(block, first, last):
    return replace(block, ticks=block.ticks[first:last], acc=block.acc[first:last], gyr=block.gyr[first:last])


def walked(calibration, blocks):
    """Return what a pipeline makes of blocks, name -> how many and their hash: posture columns and metric tables."""
    pipeline = Pipeline(Alignment([Stream(role, RATE) for role in ROLES]), calibration)
    rows = [*(pipeline.push(block) for block in blocks), pipeline.finish()]
    found = {}
    for column in fields(rows[0].posture):
        values = np.concatenate([getattr(row.posture, column.name) for row in rows])
        found[column.name] = len(values), sha256(values.tobytes()).hexdigest()
    for table in ("events", "windows", "summary"):
        lines = sorted(repr(line) for row in rows for line in getattr(row.metrics, table))
        found[table] = len(lines), sha256("".join(lines).encode()).hexdigest()
    return found | {"counts": repr(pipeline.alignment.counts())}


@pytest.fixture(scope="module")
def uncut(calibration, damaged):
    whole = walked(calibration, [damaged["upper"], damaged["lower"]])
    assert whole["time_s"][0] > 9000
    assert min(whole[table][0] for table in ("events", "windows", "summary")) > 0
    return whole


def assert_same(found, expected):
    assert [name for name in expected if found[name] != expected[name]] == []


CUTS = st.lists(st.integers(0, 10_000), max_size=40)


@FEW
@given(cuts=st.fixed_dictionaries(dict.fromkeys(ROLES, CUTS)), turns=st.lists(st.sampled_from(ROLES), max_size=80))
def test_cuts_change_nothing(calibration, damaged, uncut, cuts, turns):
    """Any cuts, empty blocks, different for the sensors, and in any order between them."""
    waiting = {}
    for role, block in damaged.items():
        rows = len(block.ticks)
        waiting[role] = [piece(block, a, b) for a, b in pairwise([0, *sorted(min(c, rows) for c in cuts[role]), rows])]
    blocks = [waiting[role].pop(0) for role in turns if waiting[role]]
    assert_same(walked(calibration, [*blocks, *waiting["upper"], *waiting["lower"]]), uncut)


@pytest.mark.parametrize("first", [1900, 6900, 7850])
def test_row_by_row_changes_nothing(calibration, damaged, uncut, first):
    """Single rows around the losses, as they come live."""
    single = range(first, first + 300)
    blocks = [piece(damaged[role], 0, first) for role in ROLES]
    blocks += [piece(damaged[role], row, row + 1) for row in single for role in ROLES]
    blocks += [piece(damaged[role], single[-1] + 1, None) for role in ROLES]
    assert_same(walked(calibration, blocks), uncut)


def test_csv_and_parquet_give_the_same_rows(folder):
    back = mixed_work(12, 1.5)
    results = [process(back.write(folder / f"same.{suffix}")) for suffix in ("csv", "parquet")]
    for table in ("posture", "events", "windows", "summary"):
        assert getattr(results[0], table).equals(getattr(results[1], table)), table


@FEW
@given(cuts=st.lists(st.integers(0, 3000), max_size=6), seed=st.integers(0, 99))
def test_lanes_do_not_touch_each_other(cuts, seed):
    """Orientation of streams of any lengths side by side is that of each alone."""
    rng = np.random.default_rng(seed)
    streams = [(rng.normal(0, 1, (n, 3)), rng.normal([0, 0, 9.81], 1, (n, 3))) for n in [500, *cuts]]
    beside = orientation([gyr for gyr, _ in streams], [acc for _, acc in streams], rate=RATE)
    for (gyr, acc), quat in zip(streams, beside, strict=True):
        assert quat.tobytes() == orientation(gyr, acc, rate=RATE).tobytes()


# Law 4: mounting


@pytest.fixture(scope="module")
def flawless(folder):
    """Noise-free work of a real person, and its angles."""
    back = mixed_work(13, 2.0, PERFECT)
    return back, process(back.write(folder / "flawless.csv")).posture


def rotations():
    return st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(rng=np.random.default_rng(seed)))


@FEW
@given(turns=st.tuples(rotations(), rotations()), roles=st.sampled_from([ROLES, ("upper",), ("lower",)]))
def test_mounting_changes_no_angle(folder, flawless, turns, roles):
    back, expected = flawless
    for role, turn in zip(ROLES, turns, strict=True):
        if role in roles:
            back = back.changed(role, turn.apply(back.acc[role]), turn.apply(back.gyr[role]))
    posture = process(back.write(folder / "turned.parquet")).posture
    names = [*SPINE, "upper_forward_deg", "upper_side_deg", "lower_forward_deg", "lower_side_deg"]
    np.testing.assert_allclose(columns_of(posture, names), columns_of(expected, names), rtol=0, atol=0.01)


# Law 5: mirror


@pytest.fixture(scope="module")
def unmirrored(folder):
    """Noisy one-sided work with gaps, so that there is a left and a right to exchange."""
    back = mixed_work(14, 3.0, lean=4.0)
    lost = (back.time_s % 37.0 < 0.07) | (np.abs(back.time_s - 130.0) < 1.0)
    back = back.keep(~(lost & (back.time_s > 60.0)))
    return back, process(back.write(folder / "unmirrored.parquet"))


def reflection(normal):
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    return np.eye(3) - 2.0 * np.outer(normal, normal)


def mirrored(back, matrices):
    for role, m in zip(ROLES, matrices, strict=True):
        back = back.changed(role, back.acc[role] @ m.T, -back.gyr[role] @ m.T)
    return back


NORMALS = st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1)]) | st.tuples(*[st.integers(1, 99)] * 3)
ODD = {  # figures of both sides together: right minus left
    "asymmetry_of_count",
    "asymmetry_of_range",
    "asymmetry_of_size",
    "coupled_in_flexion",
    "mean_angle",
    "median_angle",
    "range_difference",
    "repetition_bias",
    "repetition_dose_difference",
    "size_median_difference",
    "stance_drift_lower",
    "stance_drift_upper",
    "step_time_difference",
    "symmetry_angle_of_range",
    "symmetry_angle_of_size",
    "symmetry_index_of_range",
    "symmetry_index_of_size",
    "tested_range_difference",
}
RATIOS = {"right_of_left_of_range", "right_of_left_of_size"}


def exchanged_words(text):
    """Exchange left and right in words."""
    return text and re.sub(r"\b(right|left)\b", lambda found: SIDED[found.group()], text)


def exchanged(row):
    """Say what a row of summary or windows must be when left and right are exchanged."""
    other = row | {"side": SIDED.get(row["side"], row["side"]), "reason": exchanged_words(row["reason"])}
    if row["metric"].endswith(("lying_right", "lying_left")):
        return other | {
            "metric": row["metric"].replace("right", "tfel").replace("left", "right").replace("tfel", "left")
        }
    values = [row[name] for name in ("value", "low", "high")]
    if row["metric"] in ODD:
        value, high, low = (None if v is None else -v for v in values)
        return other | {"value": value, "low": low, "high": high}
    if row["metric"] in RATIOS and row["value"] is not None:
        return other | {"value": 1e4 / row["value"]}
    return other


def ordered(rows):
    return sorted(rows, key=lambda row: [str(row.get(k)) for k in ("start_s", "metric", "plane", "side", "definition")])


@FEW
@given(normals=st.tuples(NORMALS, NORMALS))
def test_a_mirrored_recording_gives_mirrored_angles(folder, unmirrored, normals):
    back, expected = unmirrored
    result = process(mirrored(back, [reflection(n) for n in normals]).write(folder / "mirrored.parquet"))
    for name in expected.posture.column_names:
        if "_q" in name or name in {"timestamp", "quality"}:
            continue
        odd = not name.endswith("_sd_deg") and any(word in name for word in ("lateral", "axial", "side"))
        sign = -1.0 if odd else 1.0
        found, true = columns_of(result.posture, [name]), columns_of(expected.posture, [name])
        # standard deviations are stored as float32
        atol = 1e-5 if name.endswith("_sd_deg") else 1e-9
        np.testing.assert_allclose(found, sign * true, rtol=0, atol=atol, err_msg=name)
    assert result.posture["quality"].equals(expected.posture["quality"])


@settings(FEW, max_examples=4)
@given(normals=st.tuples(NORMALS, NORMALS))
def test_a_mirrored_recording_gives_mirrored_figures(folder, unmirrored, normals):
    back, expected = unmirrored
    result = process(mirrored(back, [reflection(n) for n in normals]).write(folder / "mirrored.parquet"))
    for table in ("summary", "windows"):
        found = ordered(getattr(result, table).to_pylist())
        awaited = ordered(exchanged(row) for row in getattr(expected, table).to_pylist())
        assert len(found) == len(awaited)
        for one, other in zip(found, awaited, strict=True):
            assert alike(one, other), (one, other)


def alike(one, other):
    """Compare two rows: numbers within 1e-9 (of 1, or of themselves), anything else for equality."""
    numbers = {name for name, value in other.items() if isinstance(value, float)}
    return all(one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-9) for name in numbers) and all(
        one[name] == value for name, value in other.items() if name not in numbers
    )


def test_a_mirrored_recording_has_mirrored_events(folder, unmirrored):
    back, expected = unmirrored
    result = process(mirrored(back, [reflection((1, 2, 3)), reflection((0, 0, 1))]).write(folder / "events.parquet"))
    signed = {"lateral_bend", "axial_rotation"}
    found, true = result.events.to_pylist(), expected.events.to_pylist()
    key = ("kind", "plane", "start_s", "end_s")
    assert [[event[k] for k in key] for event in found] == [[event[k] for k in key] for event in true]
    for one, other in zip(found, true, strict=True):
        assert one["side"] == SIDED.get(other["side"], other["side"])
        assert one["amplitude_deg"] == pytest.approx(other["amplitude_deg"], abs=1e-9)
        if other["level_deg"] is not None:
            sign = -1.0 if other["plane"] in signed else 1.0
            assert one["level_deg"] == pytest.approx(sign * other["level_deg"], abs=1e-9)


def test_the_spine_of_the_laws_is_not_trivial():
    back = mixed_work(14, 3.0, lean=4.0)
    assert np.ptp(back.truth(), axis=0).min() > 20.0
