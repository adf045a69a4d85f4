"""Angles of sensors as quaternions: right to the last bits, and exactly odd, without the sines of a C library."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from imuposture.acquisition.drivers._angles import from_euler, rotation_vector, turned_about_z

angles = st.floats(-2 * math.pi, 2 * math.pi)
small = st.floats(-1.8, 1.8)


def same_turn(quat, other):
    assert abs(abs(np.dot(quat, other)) - 1) < 4e-15
    np.testing.assert_allclose(np.array(quat) * np.sign(np.dot(quat, other)), other, rtol=0, atol=3e-15)


@given(angles, angles, angles)
def test_euler_angles(roll, pitch, yaw):
    same_turn(from_euler(roll, pitch, yaw), np.roll(Rotation.from_euler("ZYX", [yaw, pitch, roll]).as_quat(), 1))


@given(angles, angles, angles)
def test_a_mirror_image_has_the_same_bits(roll, pitch, yaw):
    """Seen in the mirror of the x-z plane, roll and yaw turn the other way."""
    w, x, y, z = from_euler(roll, pitch, yaw)
    assert from_euler(-roll, pitch, -yaw) == (w, -x, y, -z)


@given(angles, angles)
def test_a_turned_earth_adds_its_heading(yaw, angle):
    expected = Rotation.from_euler("z", angle) * Rotation.from_euler("ZYX", [yaw, 0.3, -0.2])
    same_turn(turned_about_z(from_euler(-0.2, 0.3, yaw), angle), np.roll(expected.as_quat(), 1))


@given(small, small, small, st.floats(0.5, 2), st.sampled_from([1, -1]))
def test_rotation_vectors(x, y, z, length, sign):
    turn = Rotation.from_rotvec([x, y, z])
    quat = tuple((sign * length * np.roll(turn.as_quat(), 1)).tolist())
    vector = rotation_vector(quat)
    assert math.dist(vector, turn.as_rotvec()) < 1e-13 or math.hypot(*vector) == pytest.approx(math.pi, abs=1e-7)
    assert rotation_vector((quat[0], *(-part for part in quat[1:]))) == tuple(-part for part in vector)


def test_no_turn_at_all():
    assert rotation_vector((1.0, 0.0, 0.0, 0.0)) == (0, 0, 0)
    assert rotation_vector((1.0, 1e-9, 0.0, 0.0))[0] == pytest.approx(2e-9, rel=1e-15)
    assert from_euler(0.0, 0.0, 0.0) == (1, 0, 0, 0)
