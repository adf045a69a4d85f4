"""The recordings that come with the package: what comes out of each is what the simulated person really did."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imuposture as ip

FOLDER = Path(__file__).parents[1] / "recordings"
INPUTS = {
    "demo": "demo.csv",
    "rom": "rom.csv",
    "one_sided": "one_sided.parquet",
    "movella_dot": "movella_dot/movella_dot.toml",
}
# Root mean square errors in degrees that a recording of minutes must keep; those of a working day are a benchmark.
BOUNDS = {"flexion": 2.5, "lateral_bend": 4.0, "axial_rotation": 6.0}
# The simulator's skin: 1 degree an axis at 45 degrees of posture under each of two sensors, so 1.8 degrees a radian.
SKIN = ip.Config(soft_tissue_sd_deg=1.0, tilt_sd_deg=0.5)
TRUTH: dict[str, Any] = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Scored:
    """A processed recording beside its truth, both once a second and counted from the stance that was used."""

    result: ip.Result
    truth: dict[str, Any]
    error: dict[str, np.ndarray]
    sd: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=INPUTS)
def scored(request) -> Scored:
    return score(request.param)


def score(name: str) -> Scored:
    result, truth = ip.process(FOLDER / INPUTS[name], config=SKIN), TRUTH[name]
    posture = result.posture.to_pandas()
    seconds = np.array(truth["time_s"])
    rows = np.searchsorted(posture["time_s"], seconds - 1e-6)
    error, sd = {}, {}
    for plane in BOUNDS:
        angle = np.array(truth[f"{plane}_deg"])
        stance = mean_inside(seconds, angle, result.manifest["calibration"]["windows"]["neutral"])
        error[plane] = posture[f"{plane}_deg"].to_numpy()[rows] - (angle - stance)
        sd[plane] = posture[f"{plane}_sd_deg"].to_numpy()[rows]
    return Scored(result, truth, error, sd)


def mean_inside(seconds: np.ndarray, values: np.ndarray, windows: list[tuple[float, float]]) -> float:
    inside = np.zeros(len(seconds), bool)
    for start, end in windows:
        inside |= (seconds >= start) & (seconds <= end)
    return float(values[inside].mean())


def test_every_row_is_there_and_known(scored):
    posture = scored.result.posture
    assert len(posture) == scored.truth["rows"]
    assert [name for name in BOUNDS if posture[f"{name}_deg"].null_count] == []
    counts = scored.result.manifest["alignment"]["sensors"]
    assert {(role, count["kept"], count["lost"]) for role, count in counts.items()} == {
        ("upper", len(posture), 0),
        ("lower", len(posture), 0),
    }


@pytest.mark.parametrize("plane", BOUNDS)
def test_angles_are_the_true_ones(scored, plane):
    assert np.sqrt(np.mean(scored.error[plane] ** 2)) < BOUNDS[plane]


@pytest.mark.parametrize("plane", BOUNDS)
def test_errors_are_no_larger_than_the_output_says(scored, plane):
    # One recording holds one draw of mounting, skin and bias, so all of it may lie 2 sd off; few rows lie 4 sd off.
    assert np.mean(np.abs(scored.error[plane]) < 4 * scored.sd[plane]) > 0.9


def test_range_of_motion_test_counts_and_measures_every_movement():
    result, truth = ip.process(FOLDER / "rom.csv"), TRUTH["rom"]
    repetitions = [event for event in result.events.to_pylist() if event["kind"] == "repetition"]
    found = [(event["plane"], event["side"]) for event in repetitions]
    expected = {(kind["plane"], kind["side"]): kind["count"] for kind in truth["movements"]}
    assert {kind: found.count(kind) for kind in found} == expected
    for plane, sides in (("lateral_bend", ("right", "left")), ("axial_rotation", ("right", "left"))):
        angle, measured = np.array(truth[f"{plane}_deg"]), result.posture[f"{plane}_deg"].to_numpy()
        for side, true, told in zip(sides, (angle.max(), -angle.min()), (measured.max(), -measured.min()), strict=True):
            assert told == pytest.approx(true, abs=5), side


def test_the_one_sided_worker_is_found():
    result, truth = ip.process(FOLDER / "one_sided.parquet"), TRUTH["one_sided"]
    turned = np.mean(truth["axial_rotation_deg"])
    assert turned > 5, "the worker does turn to the right"
    assert np.mean(result.posture["axial_rotation_deg"].to_numpy()) == pytest.approx(turned, abs=3)
    verdicts = [row["verdict"] for row in result.summary.to_pylist() if row["plane"] == "axial_rotation"]
    assert "even" not in verdicts


def test_files_are_what_the_script_says():
    back = ip.simulate("demo", seed=1)
    table = np.genfromtxt(FOLDER / "demo.csv", delimiter=",", names=True)
    signals = [("upper_acc", back.upper.acc), ("upper_gyr", back.upper.gyr)]
    signals += [("lower_acc", back.lower.acc), ("lower_gyr", back.lower.gyr)]
    for name, values in signals:
        stored = np.stack([table[f"{name}_{axis}"] for axis in "xyz"], axis=1)
        # A last digit of the file, and one step of the 16-bit chip where machines round differently.
        np.testing.assert_allclose(stored, values, atol=0.6e-4 + (16 * 9.81 if "acc" in name else 35) / 32768)


def test_the_folder_is_small_and_holds_no_code():
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".csv", ".json", ".md", ".parquet", ".toml"}
    assert sum(file.stat().st_size for file in files) < 4e6
