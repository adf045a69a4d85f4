"""The simulated back: physics in closed form, the same for every seed and mirror."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from simulated_backs import ANY_WAY_ROUND, GLUED, PLAIN, SOME_OF_ALL, glued, quaternion

from imuposture.acquisition.simulation import Person, SensorModel, simulate
from imuposture.acquisition.simulation.actions import (
    bend,
    extend,
    hold,
    lean,
    lie,
    side_bend,
    sit,
    stance_lean,
    stand,
    turn,
    twist,
    walk,
)
from imuposture.acquisition.simulation.motion import Channel, Keyframes, Spine

G = 9.80665


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


@pytest.mark.parametrize(("role", "pelvis"), [("lower", 1.0), ("upper", 0.0)])
def test_a_bend_adds_centripetal_and_tangential_acceleration_to_gravity(role, pelvis):
    """A pure hip hinge turns the lower sensor about the hip, a pure spinal bend the upper one about its joint."""
    offset = (-0.1, 0.2, 0.05)
    person = replace(PLAIN, pelvis_share=(pelvis, 0.0, 0.0), **{f"{role}_offset": offset})
    bent = glued([bend(70, seconds=1.6, hold=0, rest=0)], person=person, rate=500)
    rows = slice(5, 395)  # the way down, clear of the jumps of jerk at its ends
    place, speed, acceleration = (np.radians(70) * x for x in minimum_jerk_rates(bent.time_s[rows] / 0.8, 0.8))
    rx, ry, _ = offset
    along = -G * np.sin(place) + acceleration * ry - speed**2 * rx
    up = G * np.cos(place) - acceleration * rx - speed**2 * ry
    np.testing.assert_allclose(getattr(bent, role).acc[rows], np.stack([along, up, 0 * up], axis=1), atol=1e-5)
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


def test_pelvis_and_spine_share_a_bend():
    bent = glued([bend(60, hold=1, rest=0)])
    middle = len(bent) // 2
    assert bent.lower_forward_deg[middle] == pytest.approx(33)
    assert bent.flexion_deg[middle] == pytest.approx(27)
    assert bent.upper_forward_deg[middle] == pytest.approx(60)
    assert bent.trunk_inclination_deg[middle] == pytest.approx(46.5)


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


def test_the_walking_body_is_over_the_foot_that_stands():
    poses = np.zeros((2, len(Channel)))
    poses[:, Channel.GAIT] = 1.0
    spine = Spine(PLAIN, (Keyframes(np.zeros(1), np.ones(1), poses),))
    pose = spine.pose((20.0 + np.arange(8) / 8.0) / PLAIN.stride_hz)  # eighths of a stride from the right contact on
    across, height, side, turn = (pose[:, one] for one in (Channel.X, Channel.Z, Channel.SIDE, Channel.HEADING))
    assert across[2:4].min() > 0.01 > -0.01 > across[6:].max()  # to the right while the right foot stands alone
    assert height[2] > height[0]
    assert height[6] > height[4]
    assert side[1] < 0.0 < side[5]  # the pelvis drops to the left while the left leg swings
    assert turn[0] < 0.0 < turn[4]  # its right side is ahead when the right foot comes down


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


def test_counting_from_the_stance_keeps_where_the_person_looks():
    back = glued(
        [turn(70), stand(3, neutral=True), bend(60, hold=2)], injections=[stance_lean(lower_side=4, flexion=5)]
    )
    looks = quaternion(back.relative_to_stance().lower_q[300]).apply([1, 0, 0])
    np.testing.assert_allclose(looks, [np.sin(np.radians(70)), np.cos(np.radians(70)), 0], atol=1e-9)


def test_every_stance_is_off_by_its_own_error():
    offs = []
    for seed in range(50):
        back = simulate([stand(1, neutral=True), stand(1)], seed=seed, rate=10)
        offs += [[angle[5] for angle in back], [angle[-2] for angle in back]]
    assert np.std(offs) == pytest.approx(2.0, rel=0.15)
    assert abs(np.corrcoef(np.array(offs)[::2, 0], np.array(offs)[1::2, 0])[0, 1]) < 0.4


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


def test_a_script_says_which_state_somebody_was_in_and_its_mirror_lies_on_the_other_side():
    script = [stand(5), sit(8, slouch=0.5), walk(6), hold(2), stand(3), lean(4, 30), lie(9, "right"), bend(20), sit(2)]
    back = glued(script, seed=3)
    states = [(state.kind, state.start_s, round(state.end_s - state.start_s, 9)) for state in back.states]
    assert [(kind, seconds) for kind, _, seconds in states] == [
        ("standing", 5.0),
        ("sitting", 8.0),
        ("walking", 6.0),
        ("standing", 2.0),
        ("standing", 3.0),
        ("standing", 4.0),
        ("lying_right", pytest.approx(9.0 + 4.0 + 0.3 + 0.5, abs=2.0)),  # the bend is made lying, at its own pace
        ("sitting", 2.0),
    ]
    assert all(a.end_s <= b.start_s for a, b in pairwise(back.states))
    assert states[2][1] == 5 + 2 + 8 + 2  # up from the seat first
    mirrored = glued(script, seed=3, mirror=True)
    assert [state.kind for state in mirrored.states][6] == "lying_left"
    assert [state.start_s for state in mirrored.states] == [state.start_s for state in back.states]


def test_a_change_of_posture_says_how_far_the_spine_took_part():
    back = simulate([stand(3), lie(5), sit(5, slouch=1.0)], seed=1, person=Person.ideal())
    lying, seated = back.posture_changes
    assert (lying.amplitude_deg, lying.details["spine_deg"]) == pytest.approx((90.0, 0.0))
    assert seated.details["spine_deg"] == pytest.approx(35.0)
