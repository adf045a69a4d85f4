"""Heading: one segment stands, the other turns on it; the axis, learnt early, shows the heading later."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from imuposture._blocks import FloatArray, HeadingBlock, OrientationBlock, PairBlock, SensorRows
from imuposture.heading import Heading

RATE = 100.0
UPRIGHT = Rotation.from_quat([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])  # segment -> earth: Y up
BIAS = np.radians([0.1, 0.4, -0.2])  # of the one that turns, rad/s


def hinge(axis: FloatArray, seconds: float = 300.0, mirror: bool = False) -> tuple[PairBlock, list[OrientationBlock]]:
    """Turn to and fro on a segment that stands, about an axis of the earth; each knows its inclination only.

    Returns the rows and both orientations, upper first; the heading of the upper one drifts as its bias says.
    """
    time = np.arange(round(seconds * RATE)) / RATE
    angle = np.radians(40) * np.sin(2 * np.pi * 0.2 * time)
    turned = Rotation.from_rotvec(np.outer(angle, axis)) * UPRIGHT
    rates = (turned[:-1].inv() * turned[1:]).as_rotvec() * RATE
    up = turned.inv().apply([0.0, 0.0, 1.0])
    drift = np.cumsum(up @ BIAS) / RATE
    moving = (Rotation.from_rotvec(np.outer(drift, [0.0, 0.0, 1.0])) * turned).as_quat(scalar_first=True)
    standing = np.tile(UPRIGHT.as_quat(scalar_first=True), (len(time), 1))
    gyr = np.vstack([rates, rates[-1:]]) + BIAS
    still = np.zeros_like(gyr)
    if mirror:  # by the sagittal plane: Z of the segments, y of the earth
        gyr = gyr * [-1, -1, 1]
        moving, standing = (np.stack([q[:, 1], q[:, 0], -q[:, 3], -q[:, 2]], axis=1) for q in (moving, standing))
    no = np.zeros(len(time), np.bool_)
    sides = [SensorRows(still, one, None, no.astype(np.uint8)) for one in (gyr, still)]
    blocks = [OrientationBlock(np.ascontiguousarray(quat), still, no, no) for quat in (moving, standing)]
    return PairBlock(time, *sides), blocks


def run(pair: PairBlock, blocks: list[OrientationBlock]) -> HeadingBlock:
    return Heading(RATE).push(pair, np.hstack([pair.upper.gyr, pair.lower.gyr]), *blocks)


def drifted(blocks: list[OrientationBlock], axis: FloatArray) -> FloatArray:
    """Return by how much each row's relative heading has drifted, rad, as the orientations tell."""
    upper = Rotation.from_quat(blocks[0].quat, scalar_first=True)
    time = np.arange(len(upper)) / RATE
    true = Rotation.from_rotvec(np.outer(np.radians(40) * np.sin(2 * np.pi * 0.2 * time), axis)) * UPRIGHT
    angle: FloatArray = np.unwrap((upper * true.inv()).as_rotvec()[:, 2])
    return angle


@pytest.mark.parametrize("degrees", [0.0, 40.0, 90.0, 160.0])
def test_a_hinge_keeps_the_heading_though_its_axis_is_not_given(degrees: float):
    axis = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0])
    pair, blocks = hinge(axis)
    drift, heading = drifted(blocks, axis), run(pair, blocks)
    assert abs(np.degrees(drift[-1])) > 60
    error = np.degrees(heading.delta + drift)
    error -= error[0]
    assert np.abs(error).max() < 8
    assert np.sqrt(np.mean(error[6000:] ** 2)) < 4
    assert (np.abs(error) < 2 * np.degrees(heading.sd)).all()
    assert np.degrees(heading.sd.min()) > 14  # no stance: it shows how the heading changes, not where it began


def test_it_does_not_matter_which_of_the_two_turns():
    axis = np.array([0.6, 0.8, 0.0])
    pair, blocks = hinge(axis, 120.0)
    other = PairBlock(pair.time_s, pair.lower, pair.upper)
    mine, theirs = run(pair, blocks), run(other, blocks[::-1])
    np.testing.assert_allclose(theirs.delta, -mine.delta, atol=np.radians(0.5))
    np.testing.assert_allclose(theirs.sd, mine.sd, rtol=0.02)


def test_a_vertical_hinge_shows_nothing_and_nothing_is_claimed():
    axis = np.array([0.0, 0.0, 1.0])
    pair, blocks = hinge(axis)
    drift, heading = drifted(blocks, axis), run(pair, blocks)
    assert np.abs(heading.delta - heading.delta[0]).max() < np.radians(1)  # as each sensor alone
    assert (heading.sd > 0.5 * np.abs(drift)).all()


def test_who_moves_is_in_no_stance():
    pair, blocks = hinge(np.array([0.0, 0.0, 1.0]), 20.0)
    smooth = np.hstack([pair.upper.gyr, pair.lower.gyr])
    told = Heading(RATE, stances=[(0.0, 2.0)]).push(pair, smooth, *blocks)
    np.testing.assert_array_equal(told.delta, Heading(RATE).push(pair, smooth, *blocks).delta)


def test_a_mirrored_hinge_gives_the_mirrored_heading():
    axis = np.array([0.8, 0.6, 0.0])
    plain, other = (run(*hinge(axis, 60.0, mirror)) for mirror in (False, True))
    np.testing.assert_allclose(other.delta, -plain.delta, atol=1e-9)
    np.testing.assert_allclose(other.sd, plain.sd, rtol=1e-9)


def test_a_vertical_bias_learnt_at_rest_is_taken_over():
    """Two sensors lie still; one's filter has learnt that it is 0.5 deg/s wrong about the vertical."""
    rows = 3000
    gyr = np.zeros((rows, 3))
    gyr[:, 1] = np.radians(0.5)
    rest, no = np.ones(rows, np.bool_), np.zeros(rows, np.bool_)
    flags, quat = np.zeros(rows, np.uint8), np.tile(UPRIGHT.as_quat(scalar_first=True), (rows, 1))
    pair = PairBlock(np.arange(rows) / RATE, *[SensorRows(gyr * 0, one, None, flags) for one in (gyr * 0, gyr)])
    stage = Heading(RATE)
    upper, lower = OrientationBlock(quat, gyr * 0, rest, no), OrientationBlock(quat, gyr, rest, no)
    heading = stage.push(pair, np.hstack([pair.upper.gyr, pair.lower.gyr]), upper, lower)
    assert stage.states()[0][5] == pytest.approx(np.radians(0.5), rel=0.05)
    assert np.degrees(np.ptp(heading.delta)) < 2
