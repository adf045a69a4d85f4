"""Pipeline and processing: configuration, one sensor, no calibration, borrowed calibrations, magnetometers."""

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

import imuposture as ip
from imuposture._blocks import Quality
from imuposture.acquisition.simulation import actions as do
from imuposture.alignment import Alignment
from imuposture.calibration import calibrate
from imuposture.heading import HeadingSettings
from imuposture.pipeline import pieces

ANGLES = ("flexion_deg", "lateral_bend_deg", "axial_rotation_deg")
DEMO_SEED = 11


@pytest.fixture(scope="module")
def demo() -> ip.Simulation:
    return ip.simulate("demo", seed=DEMO_SEED)


@pytest.fixture(scope="module")
def recording(demo, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "demo.csv"
    demo.write(path)
    return path


@pytest.fixture(scope="module")
def result(recording) -> ip.Result:
    return ip.process(recording)


def column(result: ip.Result, name: str) -> np.ndarray:
    return result.posture[name].to_numpy(zero_copy_only=False).astype(np.float64)


def test_angles_are_the_true_ones(demo, result):
    for name, true, limit in zip(ANGLES, demo.relative_to_stance(), (2.0, 4.0, 6.0), strict=True):
        assert np.sqrt(np.mean((column(result, name) - true) ** 2)) < limit


def test_rows_keep_the_file_s_own_time(demo, result):
    np.testing.assert_array_equal(column(result, "time_s"), demo.time_s)


def test_the_walk_by_hand_is_what_process_does(demo, result):
    """Pipeline is public: blocks in, rows out, the same rows as `process` gives."""
    alignment = Alignment(demo.streams())
    pairs = [alignment.push(block) for block in demo.blocks()]
    whole = max(pairs, key=len)
    windows = {k: v for k, v in demo.windows.items() if k in ("neutral", "flexion", "lateral")}
    pipeline = ip.Pipeline(Alignment(demo.streams()), calibrate(whole, 100.0, windows))
    rows = [pipeline.push(block) for block in demo.blocks(777)]
    rows.append(pipeline.finish())
    flexion = np.concatenate([part.posture.flexion_deg for part in rows])
    np.testing.assert_allclose(flexion, column(result, "flexion_deg"), atol=2e-3)  # the file holds rounded samples
    assert sum(len(part.metrics.summary) for part in rows) == result.summary.num_rows


def test_pieces_are_the_whole(demo):
    alignment = Alignment(demo.streams())
    whole = max((alignment.push(block) for block in demo.blocks()), key=len)
    parts = list(pieces(whole, 1000))
    np.testing.assert_array_equal(np.concatenate([part.time_s for part in parts]), whole.time_s)
    np.testing.assert_array_equal(np.concatenate([part.lower.gyr for part in parts]), whole.lower.gyr)


def test_a_second_recording_may_borrow_the_calibration(demo, recording, result, tmp_path):
    later = ip.simulate([do.stand(5), do.bend(50, reps=2), do.twist(25, "right"), do.stand(3)], seed=DEMO_SEED)
    path = tmp_path / "later.csv"
    later.write(path, windows=False)
    session = ip.process(recording, out=tmp_path / "demo")
    for source in (recording, session.path):
        borrowed = ip.process(path, calibration=source)
        assert borrowed.manifest["calibration"]["usable"]
        assert borrowed.manifest["calibration"]["source"] == str(source)
        assert borrowed.manifest["calibration"]["upper"] == result.manifest["calibration"]["upper"]
        peak = np.nanmax(column(borrowed, "flexion_deg"))
        assert peak == pytest.approx(float(np.max(later.flexion_deg)), abs=4)


def test_an_unusable_calibration_is_not_borrowed(tmp_path):
    ip.simulate("still", seed=1, minutes=0.2).write(tmp_path / "still.csv")
    with pytest.raises(ip.CalibrationError, match="cannot be used"):
        ip.process(tmp_path / "still.csv", calibration=tmp_path / "still.csv")


def test_without_calibration_inclinations_are_given_and_the_rest_is_null(tmp_path):
    ip.simulate("still", seed=1, minutes=0.3).write(tmp_path / "still.csv", windows=False)
    result = ip.process(tmp_path / "still.csv")
    assert not result.manifest["calibration"]["usable"]
    assert "not calibrated" in result.manifest["calibration"]["verdicts"][0]
    posture = result.posture
    for name in (*ANGLES, *(name.replace("_deg", "_sd_deg") for name in ANGLES)):
        assert posture[name].null_count == posture.num_rows
    assert posture["upper_forward_deg"].null_count == 0
    quality = column(result, "quality").astype(int)
    assert (quality & Quality.UNCALIBRATED).all()
    assert not (quality & Quality.HEADING_UNKNOWN).any()


def test_one_sensor_gives_its_inclination(demo, tmp_path):
    demo.write_movella_dot(tmp_path)
    lower = next(path for path in tmp_path.glob("*.csv") if "lower" in path.name)
    result = ip.process(lower=lower)
    posture = result.posture
    assert posture["flexion_deg"].null_count == posture.num_rows
    assert posture["upper_forward_deg"].null_count == posture.num_rows
    assert posture["lower_forward_deg"].null_count == 0
    assert not (column(result, "quality").astype(int) & Quality.GAP).any()
    assert list(result.manifest["sensors"]) == ["lower"]


def test_two_dot_exports_give_the_angles(demo, tmp_path):
    demo.write_movella_dot(tmp_path)
    result = ip.process(tmp_path / "recording.toml")
    assert result.manifest["calibration"]["usable"]
    rows = min(result.posture.num_rows, len(demo.time_s))
    error = column(result, "flexion_deg")[:rows] - demo.relative_to_stance().flexion_deg[:rows]
    assert np.sqrt(np.nanmean(error**2)) < 2.5


def test_a_lost_sensor_leaves_the_other(demo, tmp_path):
    path = tmp_path / "lost.csv"
    demo.write(path)
    lines = path.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    upper = [i for i, name in enumerate(cells[0]) if name.startswith("upper_")]
    for row in cells[6000:6500]:
        for i in upper:
            row[i] = ""
    path.write_text("\n".join(",".join(row) for row in cells) + "\n")
    result = ip.process(path)
    lost = slice(6000, 6490)
    assert np.isnan(column(result, "flexion_deg")[lost]).all()
    assert np.isfinite(column(result, "lower_forward_deg")[lost]).all()
    assert np.isfinite(column(result, "flexion_deg")[6510:]).all()
    assert result.manifest["alignment"]["sensors"]["upper"]["empty"] == 500
    assert (column(result, "axial_rotation_sd_deg")[6520] > column(result, "axial_rotation_sd_deg")[5990]).all()


def test_magnetometers_are_used_when_asked_for_and_there(tmp_path):
    sensor = ip.SensorModel(magnetometer=True, hard_iron=0.0)
    simulation = ip.simulate("demo", seed=2, upper=sensor, lower=sensor)
    simulation.write(tmp_path / "mag.csv")
    with_mag = ip.process(tmp_path / "mag.csv", config=ip.Config(magnetometer=True))
    without = ip.process(tmp_path / "mag.csv")
    true = simulation.relative_to_stance().axial_rotation_deg
    assert np.sqrt(np.mean((column(with_mag, "axial_rotation_deg") - true) ** 2)) < 5
    assert column(with_mag, "upper_qw")[5000] != column(without, "upper_qw")[5000]
    assert not with_mag.manifest["notes"]


def test_magnetometers_that_are_not_there_are_said_to_be_missing(recording):
    result = ip.process(recording, config=ip.Config(magnetometer=True))
    assert any("magnetometer was asked for" in note for note in result.manifest["notes"])


def test_files_that_hardly_overlap_are_pointed_out(demo, tmp_path):
    demo.write_movella_dot(tmp_path)
    lower = next(path for path in tmp_path.glob("*.csv") if "lower" in path.name)
    lines = lower.read_text().splitlines(keepends=True)
    head = next(i for i, line in enumerate(lines) if line.startswith("PacketCounter")) + 1
    lower.write_text("".join(lines[:head] + lines[-800:]))
    result = ip.process(upper=next(p for p in tmp_path.glob("*.csv") if "upper" in p.name), lower=lower)
    assert any("check that the files belong together" in note for note in result.manifest["notes"])


def test_progress_goes_to_one(recording):
    shares: list[float] = []
    ip.process(recording, progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[-1] <= 1


def test_the_same_recording_gives_the_same_session(recording, tmp_path):
    first = ip.process(recording, out=tmp_path / "a")
    second = ip.process(recording, out=tmp_path / "b")
    for table in ("posture", "events", "windows", "summary"):
        assert getattr(first, table).equals(getattr(second, table))
    assert (tmp_path / "a/session.json").read_bytes() == (tmp_path / "b/session.json").read_bytes()


def test_configuration_round_trip(tmp_path):
    config = ip.Config(window_s=30.0, heading=HeadingSettings(bend_sd_deg=7.0), metrics=("exposure",))
    assert ip.Config.from_mapping(json.loads(json.dumps(config.asdict()))) == config
    assert config.hash() != ip.Config().hash()
    (tmp_path / "c.toml").write_text("window_s = 30.0\nmetrics = ['exposure']\n[heading]\nbend_sd_deg = 7.0\n")
    assert ip.Config.from_toml(tmp_path / "c.toml") == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("windows_s = 3", "windows_s"),
        ("[heading]\nbend = 3", "bend_sd_deg"),
        ("window_s = -1", "window_s must be a number, more than 0"),
        ("parameters = 'best'", "must be 'default' or 'vqf'"),
        ("window_s = 'a'", "window_s"),
        ("= 3", "not a configuration file in TOML"),
    ],
)
def test_wrong_configurations_are_refused(tmp_path, text, words):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ip.ConfigError, match=words):
        ip.Config.from_toml(tmp_path / "c.toml")


def test_contradicting_inputs_are_refused(recording):
    with pytest.raises(ip.ConfigError, match="not both"):
        ip.process(recording, upper=recording)


def test_vqf_parameters_stay_near_the_default(recording, result):
    other = ip.process(recording, config=ip.Config(parameters="vqf"))
    assert np.abs(column(other, "flexion_deg") - column(result, "flexion_deg")).max() < 3
    assert other.manifest["config_hash"] != result.manifest["config_hash"]
    assert pc.sum(other.posture["quality"]).as_py() >= 0
