"""Simulated recordings: scripts and their true events, injections, blocks, files, and refusals."""

import doctest
import subprocess
import sys
import tomllib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from simulated_backs import PLAIN, glued

from imuposture import ConfigError
from imuposture.acquisition import simulation
from imuposture.acquisition.simulation import Person, SensorModel, actions, simulate
from imuposture.acquisition.simulation.actions import (
    bend,
    during,
    extend,
    hold,
    lean,
    lie,
    lift,
    offset_after,
    pattern_after,
    side_bend,
    sit,
    stand,
    twist,
    walk,
)

G = 9.80665


@pytest.mark.parametrize(
    ("action", "plane", "side"),
    [
        (bend(40), "flexion", "forward"),
        (lift(40), "flexion", "forward"),
        (extend(15), "flexion", "backward"),
        (side_bend(20, "right"), "lateral_bend", "right"),
        (side_bend(20, "left"), "lateral_bend", "left"),
        (twist(30, "right"), "axial_rotation", "right"),
        (twist(30, "left"), "axial_rotation", "left"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value),
)
def test_recorded_movements_are_the_excursions_of_the_angles(action, plane, side):
    back = simulate([sit(1), action, hold(1)], person=replace(Person(), breathing_deg=0, sway_deg=0), seed=2, rate=500)
    (movement,) = back.movements
    assert (movement.plane, movement.side) == (plane, side)
    angle = getattr(back, f"{plane}_deg")
    start, end = np.searchsorted(back.time_s, [movement.start_s, movement.end_s])
    excursion = angle[start:end] - angle[start]
    assert np.abs(excursion).max() == pytest.approx(movement.amplitude_deg, abs=1e-3)
    assert np.sign(excursion[len(excursion) // 2]) == (1 if side in ("forward", "right") else -1)
    assert angle[end - 1] == pytest.approx(angle[start], abs=1e-2)


@pytest.mark.parametrize("rows", [1, 7, 1000, 10**6])
def test_blocks_do_not_change_the_rows(rows):
    back = simulate([stand(170, neutral=True), bend(40)] if rows > 100 else [bend(40)], seed=8)
    both = list(back.blocks(rows))
    upper, lower = ([b for b in both if b.role == role] for role in ("upper", "lower"))
    assert all(a.ticks is b.ticks for a, b in zip(upper, lower, strict=True))
    for blocks, sensor in ((upper, back.upper), (lower, back.lower)):
        assert max(len(b.ticks) for b in blocks) <= rows
        np.testing.assert_array_equal(np.concatenate([b.ticks for b in blocks]), back.time_s)
        np.testing.assert_array_equal(np.concatenate([b.acc for b in blocks]), sensor.acc)
        np.testing.assert_array_equal(np.concatenate([b.gyr for b in blocks]), sensor.gyr)


def test_an_injected_pattern_begins_when_it_should():
    script = [bend(40, reps=10)]
    calm, twisted = (glued(script, injections=i) for i in ([], [pattern_after(20, axial_rotation=12)]))
    difference = twisted.axial_rotation_deg - calm.axial_rotation_deg
    assert np.abs(difference[twisted.time_s < 20]).max() < 1e-9
    late = [m for m in twisted.movements if m.start_s >= 20]
    peaks = np.searchsorted(twisted.time_s, [m.details["peak_s"] + 0.15 for m in late])
    np.testing.assert_allclose(difference[peaks], 12, atol=1e-6)
    assert len(late) == 5


def test_an_injected_offset_stays():
    calm, off = (
        simulate("mixed_work", minutes=3, rate=5, injections=i) for i in ([], [offset_after(100, axial_rotation=8)])
    )
    difference = off.axial_rotation_deg - calm.axial_rotation_deg
    assert np.abs(difference[off.time_s < 100]).max() < 1e-9
    np.testing.assert_allclose(difference[off.time_s > 105], 8, atol=1e-9)


def test_work_is_even_or_one_sided():
    def rotation_and_rights(script):
        backs = [simulate(script, seed=seed, minutes=60, rate=2) for seed in range(6)]
        movements = [m for b in backs for m in b.movements if m.plane != "flexion" and m.start_s > 90]
        return np.mean([b.axial_rotation_deg.mean() for b in backs]), np.mean([m.side == "right" for m in movements])

    rotation, rights = rotation_and_rights("mixed_work")
    assert abs(rotation) < 1.5
    assert 0.42 < rights < 0.58
    rotation, rights = rotation_and_rights("one_sided")
    assert 6 < rotation < 11
    assert rights > 0.75


@pytest.mark.parametrize("script", ["calibration", "demo", "rom", "mixed_work", "one_sided"])
def test_scripts_begin_with_the_calibration_windows(script):
    back = simulate(script, seed=1, rate=10)
    assert {"neutral", "flexion", "lateral"} <= set(back.windows)
    for name, spans in back.windows.items():
        for start, end in spans:
            assert 0 <= start < end <= back.time_s[-1]
            inside = [m for m in back.movements if start - 1e-9 <= m.start_s < end]
            plane = {"neutral": None, "flexion": "flexion", "lateral": "lateral_bend", "rotation": "axial_rotation"}[
                name
            ]
            assert {m.plane for m in inside} == ({plane} if plane else set())
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(back.movements))
    assert script != "demo" or 80 < back.duration_s < 100


def test_changes_of_posture_are_recorded_with_their_size():
    back = glued([stand(2), sit(3, slouch=1.0), lean(2, 40), stand(1)])
    assert [c.start_s for c in back.posture_changes] == pytest.approx([2.0, 7.0, 10.5])
    # Slouched: 35 degrees of flexion and the pelvis 17 backwards, which is 45 away from leaning; leaning: 12 and 28.
    assert [c.amplitude_deg for c in back.posture_changes] == pytest.approx([35, 45, 28])


def test_lengths():
    assert len(simulate("still", minutes=0.1, rate=60)) == 360
    assert simulate("mixed_work", minutes=5, rate=10).duration_s == 300
    assert simulate([during("flexion", [bend(30, seconds=2, hold=0, rest=0)])], person=PLAIN).duration_s == 2


@pytest.mark.parametrize("make", [SensorModel, SensorModel.ideal, SensorModel.movella_dot, SensorModel.budget])
def test_every_chip_stands_near_g(make):
    still = simulate("still", minutes=0.1, upper=make(), lower=make())
    assert np.linalg.norm(still.upper.acc, axis=1).mean() == pytest.approx(G, rel=0.06)
    assert (still.upper.mag is not None) == make().magnetometer


def test_a_plain_csv_holds_the_recording(tmp_path):
    back = simulate("demo", seed=2, lower=SensorModel.movella_dot())
    path = back.write(tmp_path / "deep" / "demo.csv", decimals=5)
    table = np.genfromtxt(path, delimiter=",", names=True)
    np.testing.assert_allclose(table["time_s"], back.time_s, atol=1e-6)
    np.testing.assert_allclose(table["upper_acc_y"], back.upper.acc[:, 1], atol=6e-6)
    np.testing.assert_allclose(table["lower_mag_z"], back.lower.mag[:, 2], atol=6e-6)
    assert table.dtype.names[:4] == ("time_s", "upper_acc_x", "upper_acc_y", "upper_acc_z")
    meta = tomllib.loads(path.with_suffix(".toml").read_text())
    assert meta["rate_hz"] == 100
    assert meta["units"] == {"acc": "m/s2", "gyr": "rad/s"}
    assert meta["calibration"]["flexion"] == pytest.approx(back.windows["flexion"][0], abs=1e-6)
    assert path.read_bytes().endswith(b"\n")


def test_a_plain_parquet_holds_every_bit(tmp_path):
    from pyarrow import parquet

    back = simulate("calibration", seed=2)
    table = parquet.read_table(back.write(tmp_path / "c.parquet", windows=False), page_checksum_verification=True)
    np.testing.assert_array_equal(table["lower_gyr_z"].to_numpy(), back.lower.gyr[:, 2])
    np.testing.assert_array_equal(table["time_s"].to_numpy(), back.time_s)
    assert "calibration" not in tomllib.loads((tmp_path / "c.toml").read_text())


def test_dot_exports_count_microseconds_that_wrap(tmp_path):
    back = simulate("calibration", seed=2, rate=60)
    upper, lower = back.write_movella_dot(tmp_path / "dot", first_tick=2**32 - 1_000_000)
    lines = lower.read_text().splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("PacketCounter,SampleTimeFine"))
    assert "OutputRate:,60Hz" in lines[:header]
    table = np.genfromtxt(upper, delimiter=",", names=True, skip_header=header)
    assert table["SampleTimeFine"][0] == 2**32 - 1_000_000
    assert table["SampleTimeFine"].min() < 20_000
    steps = np.diff(table["SampleTimeFine"]) % 2**32
    assert set(steps) <= {16666, 16667}
    np.testing.assert_allclose(np.radians(table["Gyr_X"]), back.upper.gyr[:, 0], atol=1e-8)
    meta = tomllib.loads((tmp_path / "dot" / "recording.toml").read_text())
    assert meta["recording"] == {"upper": "upper.csv", "lower": "lower.csv"}
    assert len(meta["calibration"]["neutral"]) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: simulate("dance"), "no script called 'dance'; there are still, calibration"),
        (lambda: simulate("demo", minutes=3), "has its own length"),
        (lambda: simulate([stand(5)], minutes=3), "has its own length"),
        (lambda: simulate("still", minutes=-1), "minutes must lie above 0"),
        (lambda: simulate([]), "lasts 0 s"),
        (lambda: simulate(rate=0), "rate must lie between 1 and 10000 Hz, got 0"),
        (lambda: simulate(gyro="best"), "'mean' or 'instant', got 'best'"),
        (lambda: simulate(upper=SensorModel(gyr_full_scale_dps=0)), "full scales must be positive"),
        (lambda: simulate(upper=SensorModel(mounting=(1, 1, 0, 0))), "unit quaternion"),
        (lambda: simulate([bend(30)]).relative_to_stance(), r"add stand\(6, neutral=True\)"),
        (lambda: simulate("still").blocks(0), "rows must be at least 1"),
        (lambda: simulate("still").write("x.txt"), "'csv' or 'parquet', got 'txt'"),
        (lambda: bend(0), "above 0 and up to 150 degrees, got 0"),
        (lambda: bend(30, reps=0), "at least 1, got 0"),
        (lambda: bend(float("nan")), "got nan"),
        (lambda: twist(30, "up"), "'right' or 'left', got 'up'"),
        (lambda: sit(3, slouch=2), "slouch must lie between 0"),
        (lambda: lie(3, "head"), "supine, prone, right, left"),
        (lambda: walk(1), "between 2 and"),
        (lambda: stand(-1), "seconds must lie between"),
    ],
)
def test_nonsense_is_refused_with_a_remedy(call, words):
    with pytest.raises(ConfigError, match=words):
        call()


def test_streams_say_what_a_reader_would_know():
    upper, lower = simulate("still", rate=60, upper=SensorModel(gyr_full_scale_dps=500)).streams()
    assert (upper.role, lower.role, upper.rate_hz) == ("upper", "lower", 60)
    assert upper.gyr_full_scale == pytest.approx(np.radians(500))
    assert lower.acc_full_scale == pytest.approx(16 * G)


@pytest.mark.parametrize("module", [simulation, actions], ids=lambda m: m.__name__)
def test_examples_in_the_docs_run(module):
    assert doctest.testmod(module).failed == 0


def test_importing_the_simulator_loads_nothing_heavy():
    code = "import sys, imuposture.acquisition.simulation; print({'pyarrow', 'scipy', 'bleak'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
