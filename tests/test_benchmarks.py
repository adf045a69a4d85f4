"""Benchmarks: the scores are what their definitions say, and every script runs in small and prints its table."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.transform import Rotation

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public data lie in ../shared/data, which is not here")
RATE = 100.0


@pytest.fixture
def load(monkeypatch):
    """Import a script of benchmarks/, which is no package."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    pytest.importorskip("vqf")
    return import_module


@pytest.fixture
def scores(load):
    return load("_scores")


def quats(rotation: Rotation) -> np.ndarray:
    return rotation.as_quat(scalar_first=True)


def wander(rows: int, seed: int = 3) -> Rotation:
    steps = np.random.default_rng(seed).normal(0, 0.3, (rows, 3))
    return Rotation.from_rotvec(np.cumsum(steps, axis=0) % 3)


def turned(axis: str, degrees: float | np.ndarray) -> Rotation:
    return Rotation.from_euler(axis, np.reshape(degrees, (-1, 1)) if np.ndim(degrees) else degrees, degrees=True)


def test_a_wrong_heading_is_heading_and_a_wrong_tilt_inclination(scores):
    truth, rows = wander(500), np.ones(500, bool)
    heading = scores.orientation_score(quats(turned("z", 7.0) * truth), quats(truth), rows, RATE)
    assert heading[:4] == pytest.approx((7.0, 7.0, 0.0, 0.0), abs=1e-5)
    tilt = scores.orientation_score(quats(turned("x", -4.0) * truth), quats(truth), rows, RATE)
    assert tilt[:4] == pytest.approx((4.0, 0.0, 4.0, 4.0), abs=1e-5)


def test_only_rows_in_motion_with_a_reference_count(scores):
    truth, wrong = quats(wander(300)), quats(turned("x", 50.0) * wander(300))
    reference, moving = truth.copy(), np.arange(300) >= 100
    reference[100:150] = np.nan
    estimate = np.where((moving & np.isfinite(reference[:, 0]))[:, None], truth, wrong)
    assert scores.orientation_score(estimate, reference, moving, RATE).total < 1e-5


def test_drift_of_the_heading_is_found_in_degrees_a_minute(scores):
    truth, minutes = wander(6000), np.arange(6000) / RATE / 60.0
    drifted = turned("z", 200.0 * minutes) * truth
    assert scores.orientation_score(quats(drifted), quats(truth), np.ones(6000, bool), RATE)[5] == pytest.approx(200.0)


def test_apart_sees_a_billionth_of_a_degree(scores):
    truth = wander(50)
    near = Rotation.from_rotvec(np.full((50, 3), np.radians(1e-9) / np.sqrt(3))) * truth
    np.testing.assert_allclose(scores.apart_deg(quats(near), -quats(truth)), 1e-9, rtol=1e-4)


def test_a_hinge_is_scored_whichever_way_the_sensors_sit(scores):
    time = np.arange(9000) / RATE
    angle, axis = 40.0 * np.sin(0.7 * time), np.array([0.6, 0.0, 0.8])
    parent, mounting = turned("y", 20.0), turned("x", 65.0)
    turn = Rotation.from_rotvec(np.outer(np.radians(angle + 0.002 * time**2), axis))
    child = parent * mounting * turn
    rate = np.outer(np.gradient(np.radians(angle), 1 / RATE), axis)
    still = np.tile(quats(parent), (9000, 1))
    score = scores.hinge_score(still, quats(child), angle, rate)
    drift = 0.002 * (time**2 - np.mean(time[:3000] ** 2))
    assert score.whole == pytest.approx(np.sqrt(np.mean(drift**2)), rel=0.03)
    assert score.off_axis < 1e-3


def test_relative_score_splits_about_the_vertical(scores):
    parent, child = wander(400), wander(400, seed=4)
    later = np.arange(400) >= 200
    for axis, part in (("z", "axial"), ("x", "tilt")):
        wrong = turned(axis, np.where(later, 10.0, 0.0)) * child
        score = scores.relative_score(quats(parent), quats(wrong), quats(parent), quats(child), RATE)
        assert score.total == pytest.approx(np.sqrt(50.0), rel=1e-6)
        assert getattr(score, part) == pytest.approx(np.sqrt(50.0), rel=1e-6)


def test_spine_errors_of_somebody_upright_are_heading_in_rotation_only(scores):
    rng = np.random.default_rng(1)
    truth = np.zeros((3, 200))
    upright = np.tile([0.5, 0.5, 0.5, 0.5], (200, 1))
    error = rng.normal(0, 2.0, 200)
    angles = truth + np.array([[0.0], [0.0], [1.0]]) * error
    found = scores.spine_errors(angles, np.full((3, 200), 2.0), truth, upright)
    np.testing.assert_allclose(np.abs(found.heading_deg), np.abs(error)[::10], atol=1e-9)
    score = scores.spine_score([found], 2)
    assert score.rmse == pytest.approx(np.sqrt(np.mean(error**2)))
    assert score.within_1_sd == np.mean(np.abs(error) <= 2.0)
    tilted = scores.spine_errors(truth + np.array([[5.0], [0.0], [0.0]]), np.ones((3, 200)), truth, upright)
    np.testing.assert_allclose(tilted.heading_deg, 0.0, atol=1e-9)


def test_pooling_keeps_the_worst_mean_and_counts_what_is_missing(scores):
    def one(error: float, missing: int) -> object:
        rows = np.full((3, 100), error)
        rows[:, :missing] = np.nan
        return scores.SpineErrors(rows, np.full((3, 100), 3.0), np.full(100, error))

    score = scores.spine_score([one(1.0, 0), one(-4.0, 50)], 0)
    assert (score.mean, score.worst_mean, score.missing) == (-1.5, -4.0, 0.25)
    assert score.rmse == pytest.approx(np.sqrt((100 + 50 * 16) / 150))
    assert (score.within_1_sd, score.within_2_sd) == (pytest.approx(2 / 3), 1.0)
    nothing = scores.spine_score([one(1.0, 100)], 0)
    assert np.isnan(nothing.rmse)
    assert nothing.missing == 1.0


def test_stages_are_charged_for_their_own_time_only(load, monkeypatch):
    timing = load("_timing")
    clock = iter(np.arange(100.0))
    monkeypatch.setattr(timing.time, "thread_time", lambda: next(clock))
    ledger = timing._Ledger()
    inner = ledger.watched("inner", lambda: None)
    ledger.watched("outer", lambda: [inner(), inner()])()
    assert ledger.spent == {"inner": 2.0, "outer": 3.0}
    drawn = ledger.watched("reader", lambda: iter("ab"))()
    assert list(drawn) == ["a", "b"]
    assert ledger.spent["reader"] == 4.0  # the call, two items, the end


def test_ratios_are_medians_of_pairs(load):
    timing = load("_timing")
    pairs = [(timing.Times(1.0, 1.0), timing.Times(ratio, 1.0)) for ratio in (3.0, 1.0, 2.0)]
    assert timing.ratio(pairs, "cpu") == 2.0


def test_simulated_table(load, capsys):
    accuracy = load("accuracy")
    accuracy.simulated(1, 1.5, accuracy.SCENARIOS[:1])
    printed = capsys.readouterr().out
    assert "no soft tissue; one_sided, calibration found" in printed
    assert printed.count("RMSE <= 3.5 ") == 4
    assert printed.count("|mean| <= 2 in each") == 2


def test_truth_counts_from_the_stance_that_was_used_unless_it_is_none(load):
    simulated = load("_simulated")
    back = simulated.ip.simulate("calibration", seed=2)
    first, every = back.windows["neutral"][0], back.windows["neutral"]
    rows = simulated._stance(back, [list(first)])
    assert rows[[0, -1]].tolist() == [0, round(first[1] * RATE) - 1]
    assert len(simulated._stance(back, [[7.0, 8.0]])) == pytest.approx(sum(b - a for a, b in every) * RATE, abs=4)


def test_without_the_data_their_sections_are_left_out(load, monkeypatch, capsys, tmp_path):
    accuracy = load("accuracy")
    monkeypatch.setattr(accuracy, "DATA", tmp_path / "nowhere")
    assert accuracy.main(["--only", "broad,song"]) == 0
    assert capsys.readouterr().out.count("left out") == 2


def test_an_unknown_section_is_refused(load, capsys):
    with pytest.raises(SystemExit):
        load("accuracy").main(["--only", "braod"])
    assert "choose from broad" in capsys.readouterr().err


def test_speed_prints_every_figure_beside_its_goal_and_every_stage(load, capsys, monkeypatch):
    pytest.importorskip("pandas")
    speed, streams = load("speed"), load("fusion_speed")
    monkeypatch.setattr(speed, "STREAM_ROWS", 2000)
    monkeypatch.setattr(streams, "LIVE_ROWS", 500)
    speed.main(["--minutes", "1", "--rounds", "1"])
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    for case in speed.CASES:
        assert f"must {case.must:g}" in lines[case.name] or "left out: there is no" in lines[case.name]
    for stage, _, _ in load("_timing").STAGES:
        assert stage in printed


def test_a_peer_that_is_not_installed_leaves_its_figure_out(load, capsys, monkeypatch):
    speed = load("speed")
    for module in ("vqf", "fusion_speed"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "vqf", None)
    assert speed.main(["--only", "one_stream"]) == 0
    assert "left out: vqf is not installed" in capsys.readouterr().out


def test_a_figure_that_is_unknown_is_refused(load, capsys):
    with pytest.raises(SystemExit):
        load("speed").main(["--only", "one_steam"])
    assert "choose from one_stream" in capsys.readouterr().err


def test_both_chains_give_the_same_angles_and_histograms(load):
    chain, streams = load("_chain"), load("fusion_speed")
    pair = [streams.recording(3000, seed) for seed in (0, 1)]
    (flexion, lateral, rotation), tallies = chain.our_chain(*pair)
    theirs, histograms = chain.their_chain(*pair)
    # Theirs has its signs as the sequence gives them; ours has forward and right for plus.
    apart = np.stack([-flexion, lateral, -rotation], axis=1) - theirs
    assert np.abs((apart + 180.0) % 360.0 - 180.0).max() < 1e-6
    for tally, histogram, mirrored in zip(tallies, histograms, (True, False, True), strict=True):
        assert np.abs(tally._bins[:: -1 if mirrored else 1] - histogram).sum() <= 4  # an angle on the edge of a bin


def test_the_script_has_our_posture_columns(load, tmp_path):
    pytest.importorskip("pandas")
    from imuposture.output.schema import arrow_schema

    script, angles = load("_user_script"), np.zeros((5, 3))
    found = script.posture(np.arange(5.0), quats(wander(5)), quats(wander(5)), angles)
    ours = {field.name: field.type.to_pandas_dtype() for field in arrow_schema("posture") if field.name != "timestamp"}
    assert {name: kind.type for name, kind in found.dtypes.items()} == ours


def test_the_script_gives_the_same_angles_by_hand(load):
    script = load("_user_script")
    upper, lower = quats(wander(200)), quats(wander(200, seed=4))
    found = script.cardan_by_hand(upper, lower)
    np.testing.assert_allclose(found, script.cardan(script.relate(upper, lower)), atol=1e-9)


def test_memory_of_a_short_day(load, capsys):
    assert load("memory").main(["--hours", "0.03"]) == 0
    assert "largest resident size" in capsys.readouterr().out


def test_a_repeated_hour_is_one_time_line(load, tmp_path):
    memory = load("memory")
    rows = memory.write_day(tmp_path / "day.csv", hours=0.05, hour_min=2.0)
    time = np.loadtxt(tmp_path / "day.csv", delimiter=",", skiprows=1, usecols=0)
    assert rows == len(time) == 18_000
    np.testing.assert_allclose(np.diff(time), 0.01, atol=1e-9)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc for the memory")
def test_recording_live_in_small(load, capsys):
    """Through real GATT, in real time; how long it took is not judged here."""
    load("live").main(["--seconds", "1", "--stall", "1"])
    told = capsys.readouterr().out
    assert "callback, CPU time, us" in told
    assert "none lost: reached" in told


def test_cost_of_the_metrics(load, capsys):
    load("metrics_cost").main(["--hours", "0.1", "--minutes", "3", "--rounds", "1"])  # how fast it is, is not tested
    told = capsys.readouterr().out
    assert "CPU for 8 h" in told
    assert all(name in told for name in ("movements", "classes", "evenness"))


def test_repeated_rows_are_one_time_line(load):
    cost = load("metrics_cost")
    part = cost.day_part(1.0)
    time = np.concatenate([posture.time_s for posture, _ in cost.pieces(part, 1000, 0.03)])
    assert len(time) == 0.03 * 360_000
    np.testing.assert_allclose(np.diff(time), 0.01, atol=1e-9)


@pytest.fixture
def first_minutes(load, tmp_path):
    """Return the start of the first trial of a folder, and a scorer of estimates by the script that came with it."""
    public = load("_public")
    reference, estimates = tmp_path / "reference", tmp_path / "estimates"
    reference.mkdir()
    estimates.mkdir()

    def cut(folder: str, script: str):
        source = sorted((DATA / folder).glob("*.parquet"))[0]
        pq.write_table(pq.read_table(source).slice(0, 12_000), reference / source.name)
        trial = public.Trial(reference / source.name)

        def published() -> dict:
            command = [sys.executable, DATA / script, reference, estimates, "--json", tmp_path / "scores.json"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            return json.loads((tmp_path / "scores.json").read_text())["trials"][trial.name]

        return trial, estimates / trial.name, published

    return cut


def test_a_script_s_breaks_follow_their_definition(load):
    exposure = load("metrics_exposure")
    spells = [("standing", 90.0), ("sitting", 50.0), ("walking", 70.0), ("sitting", 20.0), ("walking", 61.0)]
    spells += [("lying_supine", 65.0), ("walking", 40.0), ("standing", 30.0), ("sitting", 70.0), ("walking", 59.0)]
    spells += [("sitting", 70.0), ("walking", 80.0), ("sitting", 30.0), ("walking", 90.0)]
    at, states = 0.0, []
    for kind, seconds in spells:
        states.append(exposure.Event(kind, at, at + seconds))
        at += seconds + 2.0
    # 50 s of sitting are too few and add up with 20 to more than a minute; 59 s of walking are too few; 30 s of sitting
    # after a break are.
    assert [round(run.end_s - run.start_s) for run in exposure._breaks(states)] == [61, 72, 80]


@needs_data
def test_our_broad_score_is_the_published_one(load, scores, first_minutes):
    trial, path, published = first_minutes("broad", "broad_score.py")
    quat = load("_public")._fused(trial, "imu", "vqf").quat
    np.save(path.with_name(f"{path.name}.npy"), quat)
    moving = trial.column("movement") > 0.5
    mine = scores.orientation_score(quat, trial.rows("imu_ref_q", "wxyz"), moving, trial.rate)
    names = ("total", "heading", "inclination", "total_off", "heading_off", "drift_rate")
    # The script takes the arc cosine of a reference in single precision, not quite of unit length.
    assert tuple(mine) == pytest.approx([published()[name] for name in names], rel=2e-4)


@needs_data
def test_our_hinge_score_is_the_published_one(load, scores, first_minutes):
    trial, path, published = first_minutes("song_two_imu_encoder", "rel_score.py")
    parent, child = (load("_public")._fused(trial, sensor, "vqf").quat for sensor in ("parent", "child"))
    np.savez(path.with_name(f"{path.name}.npz"), parent=parent, child=child)
    mine = scores.hinge_score(parent, child, trial.column("encoder_deg"), trial.rows("child_gyr_"))
    names = ("rmse_1min", "rmse", "offaxis_rmse")
    assert tuple(mine) == pytest.approx([published()[name] for name in names], rel=1e-6)


@needs_data
def test_our_relative_score_is_the_published_one(load, scores, first_minutes):
    trial, path, published = first_minutes("pearl_gait", "rel_score.py")
    parent, child = (load("_public")._fused(trial, sensor, "vqf").quat for sensor in ("pelvis", "torso"))
    np.savez(path.with_name(f"{path.name}.npz"), parent=parent, child=child)
    vendor = [trial.rows(f"{sensor}_ref_q", "wxyz") for sensor in ("pelvis", "torso")]
    mine = scores.relative_score(parent, child, *vendor, trial.rate)
    assert tuple(mine) == pytest.approx([published()[name] for name in ("total", "axial", "tilt")], rel=1e-6)


@needs_data
@pytest.mark.parametrize(("section", "says"), [("broad", "reached"), ("pearl", "vqf 9-axis")])
def test_public_sections_print_their_tables(load, capsys, section, says):
    assert getattr(load("_public"), section)(1)
    assert says in capsys.readouterr().out


@needs_data
def test_the_rig_is_scored_with_and_without_our_heading(load, capsys, monkeypatch):
    public = load("_public")
    short = public.Trial(next(iter(sorted((DATA / "song_two_imu_encoder").glob("*.parquet")))))
    monkeypatch.setattr(short, "_table", short._table.slice(0, 12_000))
    monkeypatch.setattr(public, "trials", lambda *_: [short])
    assert public.song()
    assert "pitch_medium" in capsys.readouterr().out
