"""Kinematics: the Cardan angles and inclinations against scipy, closed forms, and the propagation of uncertainty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from imuposture import ConfigError
from imuposture._blocks import HeadingBlock, OrientationBlock, PostureBlock
from imuposture.kinematics import Kinematics, Spread

SURE = Spread(0.0, 0.0, 0.0, 0.0)
EARTH = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]]).inv()  # segment Y up -> earth z up
angle = st.floats(-60, 60)


def segment(heading: float, side: float, forward: float) -> Rotation:
    """Return segment -> earth of a segment that first turns (left +), then leans right, then forward, degrees."""
    return Rotation.from_matrix([[1, 0, 0], [0, 0, -1], [0, 1, 0]]) * Rotation.from_euler(
        "YXZ", [heading, side, -forward], degrees=True
    )


def spine(flexion: float, lateral: float, rotation: float) -> Rotation:
    return Rotation.from_euler("ZXY", [-flexion, lateral, -rotation], degrees=True)


def block(rotations: list[Rotation]) -> OrientationBlock:
    quat = np.stack([r.as_quat(scalar_first=True) for r in rotations])
    no = np.zeros(len(quat), np.bool_)
    return OrientationBlock(quat, np.zeros((len(quat), 3)), no, no)


def posture(lower: list[Rotation], upper: list[Rotation], *, delta=0.0, sd=0.0, spread=SURE) -> PostureBlock:
    rows = len(lower)
    heading = HeadingBlock(np.full(rows, float(delta)), np.full(rows, float(sd)), np.zeros(rows, np.uint8))
    flags = np.zeros(rows, np.uint8)
    return Kinematics(spread).push(np.arange(rows) / 100, block(upper), block(lower), heading, flags)


@given(st.tuples(angle, angle, angle), st.tuples(st.floats(-180, 180), st.floats(-40, 40), st.floats(-80, 80)))
def test_cardan_angles_come_back(spinal, pelvis):
    lower = segment(*pelvis)
    rows = posture([lower], [lower * spine(*spinal)])
    found = [rows.flexion_deg[0], rows.lateral_bend_deg[0], rows.axial_rotation_deg[0]]
    np.testing.assert_allclose(found, spinal, atol=1e-9)


@given(st.floats(-180, 180), st.floats(-80, 80), st.floats(-170, 170))
def test_inclinations_come_back_whatever_the_heading(heading, side, forward):
    rows = posture([segment(heading, side, forward)], [segment(0, 0, 0)])
    np.testing.assert_allclose([rows.lower_forward_deg[0], rows.lower_side_deg[0]], [forward, side], atol=1e-8)


def test_signs_of_a_forward_and_of_a_right_lean():
    """30 degrees forward: the vertical in the segment is (-0.5, 0.87, 0); 20 degrees right: its z is -0.342."""
    forward = segment(0, 0, 30).inv().apply([0, 0, 1])
    np.testing.assert_allclose(forward, [-0.5, np.sqrt(3) / 2, 0], atol=1e-12)
    assert segment(0, 20, 0).inv().apply([0, 0, 1])[2] == pytest.approx(-0.3420201)
    rows = posture([segment(0, 0, 10)], [segment(0, 0, 30)])
    assert rows.flexion_deg[0] == pytest.approx(20)
    assert rows.trunk_inclination_deg[0] == pytest.approx(20)


@pytest.mark.parametrize(("lean", "plane"), [(0, "axial_rotation_deg"), (90, "lateral_bend_deg")])
def test_a_heading_error_is_rotation_upright_and_lateral_bend_bent_over(lean, plane):
    """Finding 3: upright a heading error appears one to one as rotation, at 90 degrees of lean as lateral bend."""
    lower = segment(0, 0, lean)
    rows = posture([lower], [lower], delta=np.radians(10))
    assert abs(getattr(rows, plane)[0]) == pytest.approx(10, abs=1e-9)


def test_flexion_hardly_feels_a_heading_error():
    """Pure flexion of 40 degrees from the upright: below 0.7 degrees of error for 10 degrees of heading."""
    lower = segment(0, 0, 0)
    rows = posture([lower], [lower * spine(40, 0, 0)], delta=np.radians(10))
    assert abs(rows.flexion_deg[0] - 40) < 0.7


@given(angle, angle, angle, st.floats(-70, 70), st.floats(-30, 30))
def test_heading_uncertainty_is_the_derivative(flexion, lateral, rotation, forward, side):
    lower = segment(25, side, forward)
    upper = lower * spine(flexion, lateral, rotation)
    small = 1e-5
    there, here = (posture([lower], [upper], delta=d, sd=1.0) for d in (small, -small))
    for name in ("flexion", "lateral_bend", "axial_rotation"):
        slope = (getattr(there, f"{name}_deg")[0] - getattr(here, f"{name}_deg")[0]) / (2 * small)
        assert getattr(here, f"{name}_sd_deg")[0] == pytest.approx(abs(slope), rel=1e-3, abs=1e-2)


@given(angle, angle, st.floats(-25, 25))
def test_facing_uncertainty_is_the_derivative(forward, flexion, lateral):
    """A wrong facing of the upper mounting, the stance being zero: the upper frame turned about its own Y and back."""
    lower = segment(0, 0, forward)
    upper = lower * spine(flexion, lateral, 0)
    small = 1e-5

    def seen(error: float) -> PostureBlock:
        turned = upper * Rotation.from_rotvec([0, error, 0])
        return posture([lower], [turned], delta=-error)

    there, here = seen(small), seen(-small)
    claimed = posture([lower], [upper], spread=Spread(0.0, 1.0, 0.0, 0.0))
    for name in ("flexion", "lateral_bend", "axial_rotation"):
        slope = (getattr(there, f"{name}_deg")[0] - getattr(here, f"{name}_deg")[0]) / (2 * small)
        assert getattr(claimed, f"{name}_sd_deg")[0] == pytest.approx(abs(slope), rel=1e-3, abs=1e-2)


@pytest.mark.parametrize(
    ("pelvis", "bend"), [((0, 0, 0), (40, 0, 0)), ((0, 0, 45), (5, 0, 0)), ((0, 0, -15), (20, 20, 0))]
)
def test_soft_tissue_uncertainty_is_what_two_sliding_skins_do(pelvis, bend):
    """Sensors that turn on their segments by a draw an axis a radian of posture, as in 4000 people."""
    skin = 0.04
    lower = segment(0, pelvis[1], pelvis[2])
    upper = lower * spine(*bend)
    told = posture([lower], [upper], spread=Spread(0.0, 0.0, 0.0, skin))
    how_far = max(np.hypot(*bend[:2]), pelvis[2] + bend[0])
    turns = np.random.default_rng(1).normal(0, skin * np.radians(how_far), (2, 4000, 3))
    slid = [one * Rotation.from_rotvec(turn) for one, turn in zip((lower, upper), turns, strict=True)]
    found = posture(*([*rotations] for rotations in slid))
    for plane in ("flexion", "lateral_bend", "axial_rotation"):
        scatter = getattr(found, f"{plane}_deg").std()
        assert getattr(told, f"{plane}_sd_deg")[0] == pytest.approx(scatter, rel=0.15), plane


def test_one_sensor_leaves_its_inclination_and_no_spine():
    lower = segment(0, 5, 20)
    nothing = OrientationBlock(np.full((1, 4), np.nan), np.full((1, 3), np.nan), *[np.zeros(1, np.bool_)] * 2)
    unknown = HeadingBlock(np.array([np.nan]), np.array([np.inf]), np.zeros(1, np.uint8))
    rows = Kinematics(SURE).push(np.zeros(1), nothing, block([lower]), unknown, np.zeros(1, np.uint8))
    assert np.isnan(rows.flexion_deg[0])
    assert np.isnan(rows.flexion_sd_deg[0])
    assert np.isnan(rows.upper_forward_deg[0])
    assert rows.trunk_inclination_deg[0] == pytest.approx(20)


def test_lying_face_up_does_not_average_to_upright():
    rows = posture([segment(0, 0, 178)], [segment(0, 0, -178)])
    assert abs(rows.trunk_inclination_deg[0]) == pytest.approx(180)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_spread_must_be_a_standard_deviation(value):
    with pytest.raises(ConfigError, match="tilt must be 0 or more"):
        Spread(value, 0.0, 0.0, 0.0)
