"""The simulated back: physics in closed form, the same for every seed, cut and mirror."""

import doctest
import subprocess
import sys
import tomllib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

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
    stance_lean,
    stand,
    turn,
    twist,
    walk,
)

G = 9.80665
GLUED = replace(SensorModel.ideal(), mounting=(1.0, 0.0, 0.0, 0.0))
ANY_WAY_ROUND = replace(SensorModel.ideal(), mounting_deg=180.0)
PLAIN = Person.ideal()
SOME_OF_ALL = [stand(2, neutral=True), bend(50), side_bend(20, "right"), twist(30, "left"), turn(120), walk(4), sit(3)]


def glued(script, **options):
    """Simulate sensors whose frame is the segment's, without any error, on a person without any."""
    return simulate(script, **({"upper": GLUED, "lower": GLUED, "person": PLAIN} | options))


def quaternion(q):
    return Rotation.from_quat(q, scalar_first=True)


def minimum_jerk_rates(u, seconds):
    """Return place, speed and acceleration of a unit minimum-jerk step, from the textbook's polynomial."""
    place = 10 * u**3 - 15 * u**4 + 6 * u**5
    return place, (30 * u**2 - 60 * u**3 + 30 * u**4) / seconds, (60 * u - 180 * u**2 + 120 * u**3) / seconds**2


def test_standing_still_reads_gravity_and_nothing_else():
    still = glued("still")
    for sensor in (still.upper, still.lower):
        np.testing.assert_allclose(sensor.acc, np.tile([0.0, G, 0.0], (len(still), 1)), atol=1e-6)
        np.testing.assert_allclose(sensor.gyr, 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("script", "lower_up", "upper_up"),
    [
        (lean(2, 30), (21, 0), (30, 0)),
        (lean(2, 10, side=20), (7, 8), None),
        (lie(2, "supine"), (-90, 0), (-90, 0)),
        (lie(2, "prone"), (90, 0), (90, 0)),
        (lie(2, "right"), (0, 90), (0, 90)),
        (lie(2, "left"), (0, -90), (0, -90)),
    ],
    ids=["forward", "forward and right", "supine", "prone", "on the right", "on the left"],
)
def test_a_tilted_sensor_reads_tilted_gravity(script, lower_up, upper_up):
    tilted = glued([script])
    for sensor, tilt in ((tilted.lower, lower_up), (tilted.upper, upper_up)):
        if tilt is not None:
            forward, side = np.radians(tilt)
            up = np.array([-np.sin(forward) * np.cos(side), np.cos(forward) * np.cos(side), -np.sin(side)])
            np.testing.assert_allclose(sensor.acc[50], G * up, atol=1e-6)


@pytest.mark.parametrize("degrees", [90, -180], ids=["right", "left"])
def test_turning_round_reads_the_rate_about_the_vertical(degrees):
    turned = glued([turn(degrees, seconds=2)], rate=200, gyro="instant")
    _, speed, _ = minimum_jerk_rates(turned.time_s / 2, 2)
    # To the right is a negative rotation about the upward axis.
    np.testing.assert_allclose(turned.upper.gyr[:, 1], -np.radians(degrees) * speed, atol=1e-6)
    np.testing.assert_allclose(turned.lower.gyr[:, [0, 2]], 0, atol=1e-9)


def test_the_gyroscope_reports_the_mean_over_the_interval_before_the_sample():
    turned = glued([turn(90, seconds=2)], rate=10)
    place, _, _ = minimum_jerk_rates(turned.time_s / 2, 2)
    np.testing.assert_allclose(turned.upper.gyr[1:, 1], -np.radians(90) * np.diff(place) * 10, atol=1e-12)


def test_a_bend_adds_centripetal_and_tangential_acceleration_to_gravity():
    person = replace(PLAIN, pelvis_share=(1.0, 0.0, 0.0), lower_offset=(-0.1, 0.2, 0.05))
    bent = glued([bend(70, seconds=1.6, hold=0, rest=0)], person=person, rate=500)
    rows = slice(5, 395)  # the way down, clear of the jumps of jerk at its ends
    place, speed, acceleration = (np.radians(70) * x for x in minimum_jerk_rates(bent.time_s[rows] / 0.8, 0.8))
    rx, ry, _ = person.lower_offset
    expected = np.stack(
        [
            -G * np.sin(place) + acceleration * ry - speed**2 * rx,
            G * np.cos(place) - acceleration * rx - speed**2 * ry,
            0 * place,
        ],
        axis=1,
    )
    np.testing.assert_allclose(bent.lower.acc[rows], expected, atol=1e-5)
    assert np.abs(acceleration * ry).max() > 2  # the test is about something


@pytest.mark.parametrize("role", ["upper", "lower"])
def test_integrated_rate_is_the_true_orientation(role):
    shaken = replace(ANY_WAY_ROUND, soft_tissue_deg=2.0, wobble_deg=0.3)
    back = simulate(SOME_OF_ALL, seed=3, upper=shaken, lower=shaken)
    sensor = getattr(back, role)
    turned = quaternion(sensor.quat[0])
    for rate in sensor.gyr[1:]:
        turned = turned * Rotation.from_rotvec(rate / back.rate_hz)
    assert (turned.inv() * quaternion(sensor.quat[-1])).magnitude() < 1e-9


def test_spinal_angles_are_the_cardan_sequence_zxy():
    back = simulate([sit(2, slouch=0.5), bend(40), side_bend(25, "right"), twist(40, "left")], seed=5)
    relative = quaternion(back.lower_q).inv() * quaternion(back.upper_q)
    z, x, y = relative.as_euler("ZXY", degrees=True).T
    for angle, expected in zip(back, (-z, x, -y), strict=True):
        np.testing.assert_allclose(angle, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("action", "axis", "direction"),
    [
        (bend(40, rest=0), (0, 1, 0), (0, 1, 0)),
        (extend(20, rest=0), (0, 1, 0), (0, -1, 0)),
        (side_bend(25, "right", rest=0), (0, 1, 0), (1, 0, 0)),
        (side_bend(25, "left", rest=0), (0, 1, 0), (-1, 0, 0)),
        (twist(35, "right", rest=0), (1, 0, 0), (1, 0, 0)),
        (twist(35, "left", rest=0), (1, 0, 0), (-1, 0, 0)),
    ],
    ids=["forward", "backward", "bend right", "bend left", "twist right", "twist left"],
)
def test_which_way_people_move(action, axis, direction):
    """Looking north, the head goes north in a bend, and the chest turns east in a twist to the right."""
    moved = glued([action])
    middle = len(moved) // 2
    went = quaternion(moved.upper_q[middle]).apply(axis) - quaternion(moved.upper_q[0]).apply(axis)
    assert went @ direction > 0.3


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


def test_pelvis_and_spine_share_a_bend():
    bent = glued([bend(60, hold=1, rest=0)])
    middle = len(bent) // 2
    assert bent.lower_forward_deg[middle] == pytest.approx(33)
    assert bent.flexion_deg[middle] == pytest.approx(27)
    assert bent.upper_forward_deg[middle] == pytest.approx(60)


def test_off_plane_motion_and_coupling_have_their_size():
    person = replace(PLAIN, off_plane=0.12)
    wild = glued([bend(60, reps=400, seconds=1, hold=0, rest=0)], person=person, rate=1)
    shares = [m.details["out_of_plane"] for m in wild.movements]
    # The larger of two half-normals with sd 0.12 has the mean 0.12 * 2 / sqrt(pi).
    assert np.mean(shares) == pytest.approx(0.12 * 2 / np.sqrt(np.pi), rel=0.1)
    coupled = glued([side_bend(20, "right"), twist(30, "left")], person=replace(PLAIN, coupling=0.18))
    assert [m.details["out_of_plane"] for m in coupled.movements] == pytest.approx([0.18, 0.18])
    assert coupled.axial_rotation_deg[200] == pytest.approx(0.18 * coupled.lateral_bend_deg[200], rel=1e-6)


def test_walking_shakes_the_vertical_at_the_step_frequency():
    walked = glued([walk(22)])
    vertical = walked.lower.acc[200:2000, 1] - G
    spectrum = np.abs(np.fft.rfft(vertical * np.hanning(len(vertical))))
    hertz = np.fft.rfftfreq(len(vertical), 0.01)
    assert hertz[spectrum.argmax()] == pytest.approx(2 * PLAIN.stride_hz, abs=0.06)
    assert 1 < vertical.std() < 4


@pytest.mark.parametrize("script", ["demo", SOME_OF_ALL], ids=["demo", "list"])
def test_the_seed_decides_everything(script):
    model = replace(SensorModel(), magnetometer=True, mag_disturbance=5.0)
    first, again = (simulate(script, seed=4, upper=model) for _ in range(2))
    other = simulate(script, seed=5, upper=model)
    for name in ("acc", "gyr", "mag", "quat", "bias"):
        np.testing.assert_array_equal(getattr(first.upper, name), getattr(again.upper, name))
        assert not np.array_equal(getattr(first.upper, name)[:100], getattr(other.upper, name)[:100])
    assert first.movements == again.movements


def test_mirrored_sensors_read_mirrored_values():
    model = replace(SensorModel(), magnetometer=True, mounting_deg=180.0)
    plain, mirrored = (simulate("demo", seed=6, upper=model, lower=model, mirror=m) for m in (False, True))
    for one, two in ((plain.upper, mirrored.upper), (plain.lower, mirrored.lower)):
        np.testing.assert_array_equal(two.acc, one.acc * [1, 1, -1])
        np.testing.assert_array_equal(two.gyr, one.gyr * [-1, -1, 1])
        np.testing.assert_array_equal(two.mag, one.mag * [1, 1, -1])
        np.testing.assert_array_equal(two.bias, one.bias * [-1, -1, 1])
    np.testing.assert_allclose(mirrored.flexion_deg, plain.flexion_deg, atol=1e-9)
    np.testing.assert_allclose(mirrored.lateral_bend_deg, -plain.lateral_bend_deg, atol=1e-9)
    np.testing.assert_allclose(mirrored.axial_rotation_deg, -plain.axial_rotation_deg, atol=1e-9)
    for a, b in zip(plain.relative_to_stance(), mirrored.relative_to_stance(), strict=True):
        np.testing.assert_allclose(np.abs(a), np.abs(b), atol=1e-9)
    swap = {"right": "left", "left": "right", "forward": "forward"}
    assert [m.side for m in mirrored.movements] == [swap[m.side] for m in plain.movements]


def test_a_mirrored_recording_is_a_possible_one():
    """The mirrored truth fits the mirrored readings: rates integrate to it, gravity and field stand still in it."""
    model = replace(ANY_WAY_ROUND, magnetometer=True, soft_tissue_deg=2.0)
    back = simulate([stand(1, neutral=True), bend(60), twist(30), turn(90)], seed=7, upper=model, mirror=True)
    sensor = back.upper
    turned = quaternion(sensor.quat[0])
    for rate in sensor.gyr[1:]:
        turned = turned * Rotation.from_rotvec(rate / back.rate_hz)
    assert (turned.inv() * quaternion(sensor.quat[-1])).magnitude() < 1e-9
    earth = quaternion(sensor.quat)
    np.testing.assert_allclose(earth.apply(sensor.mag), np.tile([0, 20, -44], (len(back), 1)), atol=1e-9)
    np.testing.assert_allclose(earth[:100].apply(sensor.acc[:100]).mean(axis=0), [0, 0, G], atol=0.05)
    mounted = quaternion(back.upper_q[0]) * quaternion(sensor.mounting)
    assert (mounted.inv() * earth[0]).magnitude() < np.radians(0.5)


def test_readings_are_multiples_of_a_count_and_stop_at_full_scale():
    model = replace(GLUED, quantised=True, gyr_full_scale_dps=60, acc_full_scale_g=0.8)
    back = glued([twist(60, seconds=1.5), bend(80)], upper=model)
    for signal, full_scale in ((back.upper.gyr, np.radians(60)), (back.upper.acc, 0.8 * G)):
        counts = signal / (full_scale / 32768)
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
        assert np.abs(np.round(counts)).max() == 32767
    np.testing.assert_allclose(np.abs(glued([bend(80)]).upper.acc).max(), G, rtol=0.2)


def test_noise_and_bias_have_their_size():
    noisy = replace(GLUED, gyr_noise_dps=0.01, acc_noise=0.002, gyr_bias_dps=0.5, gyr_walk_dps=0.01, acc_bias=0.05)
    back = glued("still", minutes=5, upper=noisy)
    sensor = back.upper
    white = np.degrees(sensor.gyr - sensor.bias)
    assert white.std() == pytest.approx(0.01 * np.sqrt(50), rel=0.02)
    assert sensor.acc.std(axis=0) == pytest.approx(0.002 * np.sqrt(50), rel=0.03)
    starts, steps, tilts = [], [], []
    for seed in range(150):
        worn = glued("still", minutes=2, seed=seed, upper=noisy, rate=1).upper
        starts.append(worn.bias[0])
        steps.append(worn.bias[110] - worn.bias[10])
        tilts.append(worn.acc.mean(axis=0) - [0, G, 0])
    assert np.degrees(np.std(starts)) == pytest.approx(0.5, rel=0.1)
    assert np.degrees(np.std(steps)) == pytest.approx(0.01 * np.sqrt(100), rel=0.1)
    assert np.std(tilts) == pytest.approx(0.05, rel=0.1)


def test_soft_tissue_is_nothing_in_neutral_and_a_personal_pattern_when_bent():
    soft = replace(ANY_WAY_ROUND, soft_tissue_deg=2.0)
    turns = []
    for seed in range(60):
        back = glued([stand(1), bend(45, hold=1, rest=0), bend(45, hold=1, rest=0)], seed=seed, upper=soft)
        skin = (quaternion(back.upper_q) * quaternion(back.upper.mounting)).inv() * quaternion(back.upper.quat)
        vectors = np.degrees(
            (quaternion(back.upper.mounting) * skin * quaternion(back.upper.mounting).inv()).as_rotvec()
        )
        assert np.abs(vectors[50]).max() < 1e-9
        peaks = np.searchsorted(back.time_s, [m.details["peak_s"] + 0.5 for m in back.movements])
        np.testing.assert_allclose(vectors[peaks[0]], vectors[peaks[1]], atol=1e-9)
        turns.append(vectors[peaks[0]])
    assert np.std(turns) == pytest.approx(2.0 * np.sin(np.radians(45)) / np.radians(45), rel=0.15)


def test_the_skin_wobbles_at_a_hertz():
    wobbling = glued("still", minutes=1, upper=replace(GLUED, wobble_deg=0.2))
    tilt = np.degrees(np.arctan2(wobbling.upper.acc[:, 2], wobbling.upper.acc[:, 1]))
    hertz = np.fft.rfftfreq(len(tilt), 0.01)[np.abs(np.fft.rfft(tilt - tilt.mean())).argmax()]
    assert hertz == pytest.approx(1.0, abs=0.2)
    assert np.abs(tilt).max() == pytest.approx(0.2, rel=0.05)


def test_a_person_who_stands_still_still_lives():
    living = simulate("still", minutes=1, upper=GLUED, lower=GLUED)
    for angle in living:
        assert 0.02 < angle.std() < 0.3
    dead = simulate("still", person=replace(Person(), breathing_deg=0, sway_deg=0))
    assert max(angle.std() for angle in dead) < 1e-9


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


def test_any_instant_can_be_asked_for():
    quick, slow = (glued(SOME_OF_ALL, rate=rate, gyro="instant") for rate in (100, 25))
    np.testing.assert_allclose(quick.upper.acc[::4][: len(slow)], slow.upper.acc, atol=1e-6)
    jittered = np.random.default_rng(0).uniform(0, quick.duration_s, 300)
    readings = quick.upper.read(jittered, stream=10**6)
    for axis in range(3):
        nearby = np.interp(jittered, quick.time_s, quick.upper.gyr[:, axis])
        assert np.abs(readings.gyr[:, axis] - nearby).max() < 0.02


def test_counting_from_the_stance_makes_it_neutral_and_upright():
    leaning = stance_lean(lateral_bend=5, flexion=3, lower_side=-2, axial_rotation=4)
    back = simulate([stand(5, neutral=True), stand(4, move=1)], person=PLAIN, injections=[leaning])
    truth = back.relative_to_stance()
    stance, after = slice(0, 500), slice(610, 1000)
    for angle in [*truth, truth.upper_forward_deg, truth.lower_side_deg]:
        assert np.abs(angle[stance]).max() < 1e-9
    assert truth.lateral_bend_deg[after].mean() == pytest.approx(-5, abs=0.4)
    assert truth.flexion_deg[after].mean() == pytest.approx(-3, abs=0.4)
    assert truth.axial_rotation_deg[after].mean() == pytest.approx(-4, abs=0.4)
    assert np.abs(back.lateral_bend_deg[after]).max() < 1e-9


def test_every_stance_is_off_by_its_own_error():
    offs = []
    for seed in range(50):
        back = simulate([stand(1, neutral=True), stand(1)], seed=seed, rate=10)
        offs += [[angle[5] for angle in back], [angle[-2] for angle in back]]
    assert np.std(offs) == pytest.approx(2.0, rel=0.15)
    assert abs(np.corrcoef(np.array(offs)[::2, 0], np.array(offs)[1::2, 0])[0, 1]) < 0.4


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


def test_lengths():
    assert len(simulate("still", minutes=0.1, rate=60)) == 360
    assert simulate("mixed_work", minutes=5, rate=10).duration_s == 300
    assert simulate([during("flexion", [bend(30, seconds=2, hold=0, rest=0)])], person=PLAIN).duration_s == 2


def test_the_magnetometer_reads_the_field_in_its_own_frame():
    model = replace(ANY_WAY_ROUND, magnetometer=True)
    back = simulate(SOME_OF_ALL, upper=model, lower=ANY_WAY_ROUND)
    seen = quaternion(back.upper.quat).inv().apply([0, 20, -44])
    np.testing.assert_allclose(back.upper.mag, seen, atol=1e-9)
    assert back.lower.mag is None


def test_any_mounting_is_uniform_and_a_limited_one_is_limited():
    wide = [quaternion(simulate("still", seed=s, upper=ANY_WAY_ROUND).upper.mounting).magnitude() for s in range(40)]
    small = replace(SensorModel(), mounting_deg=10.0)
    narrow = [quaternion(simulate("still", seed=s, upper=small).upper.mounting).magnitude() for s in range(40)]
    assert np.degrees(np.max(wide)) > 150
    assert np.degrees(np.max(narrow)) <= 10


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
