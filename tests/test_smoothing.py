"""Smoothed orientation: physics, kinship with offlineVQF, and laws of symmetry."""

from dataclasses import replace

import numpy as np
import pytest
from restless_sensor import PROMPT, G, heading_error, inclination_error, restless, rms, smoothed, tilt, without_mag
from vqf import offlineVQF
from vqf_reference import Recording, closed_form, read, shared_files, turned_by, wandering

from imuposture import smoothed_orientation
from imuposture.fusion import Fusion, NorthBlock, SmoothedFusion

# physics


def test_without_gravity_the_closed_form_is_followed():
    gyr = np.tile(np.radians(300) * np.array([2, -1, 2]) / 3, (700, 1))
    known = replace(PROMPT, bias_sigma_start=1e-9, bias_forgetting_time=1e8)
    quat = smoothed_orientation(gyr, np.zeros_like(gyr), rate=100, parameters=known)
    gyr[0] = 0  # it starts from the first row
    assert turned_by(quat, closed_form(gyr, 100)).max() < 1e-9


def test_a_restless_sensor_is_followed_and_its_bias_found():
    recording, truth = restless()
    stage = SmoothedFusion(recording.rate, PROMPT)
    stage.push(without_mag(recording.rows()))
    block = stage.finish()
    causal = Fusion(recording.rate).push(without_mag(recording.rows()))
    errors = [rms(inclination_error(one.quat, truth)) for one in (block, causal)]
    assert errors[0] < 0.15
    assert errors[0] < 0.5 * errors[1]
    drift = heading_error(block.quat, truth)
    assert np.degrees(np.unwrap(drift).std()) < 3
    assert not block.rest.any()
    worst = np.abs(block.bias - np.radians([0.6, -0.4, 0.5])).max(axis=0)
    assert np.degrees(worst).max() < 0.1  # from the very first row on
    assert np.degrees(np.abs(causal.bias[0] - np.radians([0.6, -0.4, 0.5]))).max() > 0.3


@pytest.mark.parametrize("late", [0.0, 0.5, 1.0])
def test_lateness_is_taken_out(late):
    recording, truth = restless(60, lateness=late, bias_dps=(0, 0, 0))
    signals = recording.gyr, recording.acc
    aware, unaware = (
        rms(
            inclination_error(
                smoothed_orientation(
                    *signals, rate=recording.rate, parameters=replace(PROMPT, sensor_delay=told / recording.rate)
                ),
                truth,
            )[200:-200]
        )
        for told in (late, 1 - late if late != 0.5 else 0)
    )
    assert aware < 0.12
    assert unaware > 2 * aware


def test_bias_of_a_still_sensor_is_known_from_the_first_row():
    bias = np.radians([0.8, -1.2, 0.5])
    count = 6000
    still = Recording(100, np.tile(bias, (count, 1)), np.tile([0.0, G, 0.0], (count, 1)), None)
    block = smoothed(still.rows())
    assert block.rest.all()
    np.testing.assert_allclose(block.bias, np.tile(bias, (count, 1)), atol=np.radians(0.01))
    assert turned_by(block.quat, np.tile(block.quat[0], (count, 1))).max() < 0.2


def test_x_points_east_and_y_north():
    field, heading = np.array([0.0, 20.0, -40.0]), np.radians(70)
    c, s = np.cos(heading), np.sin(heading)
    mag = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ field
    gyr, acc = np.zeros((200, 3)), np.tile([0, 0, G], (200, 1))
    quat = smoothed_orientation(gyr, acc, np.tile(mag, (200, 1)), rate=100)
    np.testing.assert_allclose(quat, np.tile([np.cos(heading / 2), 0, 0, np.sin(heading / 2)], (200, 1)), atol=1e-12)


def test_a_magnet_hardly_turns_the_heading():
    recording, truth = restless(120, seed=3, bias_dps=(0.2, 0.1, -0.3))
    near = slice(2500, 3500)
    recording.mag[near] += [25.0, -10.0, 20.0]
    stage = SmoothedFusion(recording.rate, PROMPT, magnetometer=True)
    stage.push(recording.rows())
    block = stage.finish()
    assert isinstance(block, NorthBlock)
    assert np.degrees(np.abs(heading_error(block.quat, truth))).max() < 2
    assert block.disturbed[near].mean() > 0.9
    assert block.disturbed[: near.start].mean() < 0.02
    stage = SmoothedFusion(recording.rate, PROMPT)
    stage.push(without_mag(recording.rows()))
    np.testing.assert_array_equal(block.inertial, stage.finish().quat)
    turned = np.angle(np.exp(1j * (heading_error(block.quat, block.inertial) - block.delta)))
    assert np.abs(turned).max() < 1e-9


def test_the_heading_is_followed_through_many_turns_of_drift():
    """Without a bias filter that could learn it, the gyroscope's heading drifts by whole turns."""
    recording, truth = restless(400, rate=20.0, bias_dps=(0, 0, 0))
    up = tilt(truth)
    recording.gyr += np.radians(4.0) * up
    deaf = replace(PROMPT, bias_sigma_start=1e-9, bias_forgetting_time=1e8)
    quat = smoothed_orientation(*recording.signals, rate=recording.rate, parameters=deaf)
    assert np.degrees(np.abs(heading_error(quat, truth)))[400:-400].max() < 3


# kinship with offlineVQF


@pytest.mark.parametrize("seed", [1, 2])
def test_inclination_is_that_of_offline_vqf(seed):
    recording = wandering(120, seed=seed)
    theirs = offlineVQF(recording.gyr, recording.acc, None, 1 / recording.rate)
    quat = smoothed_orientation(recording.gyr, recording.acc, rate=recording.rate, parameters="vqf")
    apart = inclination_error(quat, theirs["quat6D"])
    assert apart[600:-600].max() < 0.02  # ends: which of the two passes of the low-pass comes first
    assert apart.max() < 0.5
    assert np.degrees(np.unwrap(heading_error(quat, theirs["quat6D"])).std()) < 0.1
    block = smoothed(without_mag(recording.rows()), parameters="vqf")
    np.testing.assert_allclose(block.bias, theirs["bias"], rtol=0, atol=np.radians(0.01))  # a line from knot to knot
    assert (
        np.mean(block.rest != theirs["restDetected"]) < 0.005
    )  # going back, ours turns with the rate of the row behind


@pytest.mark.parametrize("file", shared_files("broad"))
def test_no_worse_than_offline_vqf_on_optical_benchmark(file):
    import pyarrow.parquet as pq

    recording = read(file, "imu", 2000 / 7)
    table = pq.read_table(file)
    truth = np.stack([table[f"imu_ref_q{axis}"].to_numpy() for axis in "wxyz"], axis=1).astype(float)
    known = np.isfinite(truth).all(axis=1) & (table["movement"].to_numpy() > 0.5)
    theirs = offlineVQF(*recording.signals, 1 / recording.rate)["quat9D"]
    mine = smoothed_orientation(*recording.signals, rate=recording.rate)
    scores = [
        (rms(inclination_error(q[known], truth[known])), rms(turned_by(q[known], truth[known]))) for q in (mine, theirs)
    ]
    assert scores[0][0] < scores[1][0] + 0.05
    assert scores[0][1] < scores[1][1] + 0.3


# symmetry


@pytest.mark.parametrize("axes", [(1, -1, 1), (-1, 1, 1)], ids=["y", "x"])
def test_a_mirrored_motion_gives_the_mirrored_orientation_exactly(axes):
    recording = wandering(20, seed=4)
    mirror = np.array(axes)
    quat = smoothed_orientation(recording.gyr, recording.acc, rate=100)
    mirrored = smoothed_orientation(-mirror * recording.gyr, mirror * recording.acc, rate=100)
    np.testing.assert_array_equal(mirrored, quat * np.array([1, *(-mirror)]))


def test_a_mirrored_motion_in_the_same_field_faces_the_mirrored_way():
    recording = wandering(60, seed=4)
    mirror = np.array([-1.0, 1.0, 1.0])
    block = smoothed(recording.rows())
    turned = Recording(100, -mirror * recording.gyr, mirror * recording.acc, mirror * recording.mag)
    mirrored = smoothed(turned.rows())
    np.testing.assert_allclose(mirrored.quat, block.quat * [1, 1, -1, -1], atol=1e-9)
    np.testing.assert_allclose(mirrored.delta, -block.delta, atol=1e-9)
    np.testing.assert_array_equal(mirrored.disturbed, block.disturbed)


def test_a_constant_signal_gives_a_constant_orientation():
    acc = np.tile(G * np.array([0.6, 0.0, 0.8]), (3000, 1))
    quat = smoothed_orientation(np.zeros((3000, 3)), acc, rate=100)
    np.testing.assert_allclose(quat, np.tile(quat[0], (3000, 1)), atol=1e-12)
    np.testing.assert_allclose(tilt(quat[:1]), acc[:1] / G, atol=1e-12)


def test_time_reversed_gives_the_same_orientations():
    """The rate of a row turns from the row before; reversed, from the row after."""
    recording, _ = restless(200, seed=5)
    recording.gyr[0] = 0
    back = np.vstack([np.zeros((1, 3)), -recording.gyr[:0:-1]])
    quat = smoothed_orientation(recording.gyr, recording.acc, rate=recording.rate, parameters=PROMPT)
    again = smoothed_orientation(back, recording.acc[::-1], rate=recording.rate, parameters=PROMPT)[::-1]
    assert inclination_error(again, quat)[500:-500].max() < 0.03
    assert inclination_error(again, quat).max() < 1.0  # at the ends the averages are one-sided
    turned = np.unwrap(heading_error(again, quat)[500:-500])
    assert np.degrees(np.ptp(turned)) < 0.03
