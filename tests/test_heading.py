"""Heading: bias learnt from holds, heading seen in bends, an honest standard deviation, and no belief in symmetry."""

from dataclasses import fields

import numpy as np
import pytest

from imuposture import ConfigError
from imuposture._blocks import FloatArray, OrientationBlock, PairBlock, SensorRows
from imuposture._ext.heading import PairFilter
from imuposture.heading import Heading, HeadingSettings, HeadingState

RATE = 100.0
LEVEL = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])  # segment -> earth: Y up


def standing(seconds: float, gyr_upper: FloatArray, gyr_lower: FloatArray) -> tuple[PairBlock, FloatArray]:
    """Both segments upright; the gyroscopes report what is given (rad/s, segment frame), the orientations stay."""
    rows = round(seconds * RATE)
    flags = np.zeros(rows, np.uint8)
    acc = np.tile([0.0, 9.81, 0.0], (rows, 1))
    sides = [SensorRows(acc, np.tile(np.asarray(gyr, float), (rows, 1)), None, flags) for gyr in (gyr_upper, gyr_lower)]
    return PairBlock(np.arange(rows) / RATE, *sides), np.hstack([side.gyr for side in sides])


def orientation(quat: FloatArray, rows: int) -> OrientationBlock:
    no = np.zeros(rows, np.bool_)
    return OrientationBlock(np.tile(quat, (rows, 1)), np.zeros((rows, 3)), no, no)


def about_vertical(angle: FloatArray) -> FloatArray:
    """Upright segment turned about the vertical by ``angle`` (n,), rad: quaternions (n, 4)."""
    w, z = np.cos(angle / 2), np.sin(angle / 2)
    return np.stack([w, w, z, z], axis=1) * np.sqrt(0.5)


def test_the_stance_sets_the_heading():
    pair, smooth = standing(6, [0, 0, 0], [0, 0, 0])
    lower = orientation(LEVEL, len(pair))
    upper = OrientationBlock(about_vertical(np.full(len(pair), 1.2)), lower.bias, lower.rest, lower.disturbed)
    heading = Heading(RATE, stances=[(0.0, 6.0)]).push(pair, smooth, upper, lower)
    np.testing.assert_allclose(heading.delta, -1.2, atol=1e-9)
    assert np.degrees(heading.sd[-1]) < 1
    assert heading.state[-1] == HeadingState.RESET


def test_a_held_pose_teaches_the_bias_and_the_drift_stops():
    """One gyroscope 0.3 deg/s wrong about the vertical: its integrated heading drifts, delta follows it."""
    rate = np.radians(0.3)
    pair, smooth = standing(120, [0, rate, 0], [0, 0, 0])
    lower = orientation(LEVEL, len(pair))
    drifting = about_vertical(rate * pair.time_s)
    upper = OrientationBlock(drifting, lower.bias, lower.rest, lower.disturbed)
    stage = Heading(RATE, stances=[(0.0, 6.0)])
    heading = stage.push(pair, smooth, upper, lower)
    states, sds = stage.states()
    assert states[2] - states[5] == pytest.approx(rate, abs=np.radians(0.02))
    error = np.degrees(heading.delta + rate * pair.time_s)
    assert np.abs(error[-3000:]).max() < 4
    assert np.degrees(sds[0]) < 5


def test_a_heading_error_is_seen_in_bends():
    """Both segments turn about one horizontal axis, 20 degrees apart in their earth frames after the stance."""
    rows = 12000
    times = np.arange(rows) / RATE
    swing = np.radians(30) * np.where(times > 20, np.sin(2 * np.pi * 0.3 * (times - 20)), 0.0)
    rate = np.gradient(swing, times)
    offset = np.where(times > 15, np.radians(20), 0.0)  # an unseen jump: a gyroscope hiccup
    gyr = np.stack([np.zeros(rows), np.zeros(rows), -rate], axis=1)
    pair = PairBlock(times, *[SensorRows(np.zeros((rows, 3)), gyr, None, np.zeros(rows, np.uint8)) for _ in range(2)])

    def bent(turn: FloatArray) -> OrientationBlock:
        c, s = np.cos(swing / 2), np.sin(swing / 2)
        upright = about_vertical(turn)
        w, x, y, z = upright.T
        quat = np.stack([w * c + z * s, x * c - y * s, y * c + x * s, z * c - w * s], axis=1)
        no = np.zeros(rows, np.bool_)
        return OrientationBlock(quat, np.zeros((rows, 3)), no, no)

    settings = HeadingSettings(delta_walk_deg=2.0)
    stage = Heading(RATE, settings, stances=[(0.0, 6.0)], facing_sd=0.02)
    heading = stage.push(pair, np.hstack([gyr, gyr]), bent(offset), bent(np.zeros(rows)))
    assert np.degrees(heading.delta[-1]) == pytest.approx(-20, abs=3)
    assert heading.state[-1] == HeadingState.LEARNT


def test_without_anything_to_see_the_uncertainty_grows():
    pair, _ = standing(300, [0, 0, 0], [0, 0, 0])
    spin = np.cumsum(np.where((pair.time_s % 4) < 2, 1, -1)) / RATE  # turns all the time: no hold, no bend
    gyr = np.stack([np.zeros(len(pair)), np.where((pair.time_s % 4) < 2, 1.0, -1.0), np.zeros(len(pair))], axis=1)
    pair = PairBlock(pair.time_s, *[SensorRows(s.acc, gyr, None, s.flags) for s in (pair.upper, pair.lower)])
    lower = orientation(LEVEL, len(pair))
    turning = OrientationBlock(about_vertical(spin), lower.bias, lower.rest, lower.disturbed)
    heading = Heading(RATE).push(pair, np.hstack([gyr, gyr]), turning, turning)
    assert np.degrees(heading.sd[-1]) > 2 * np.degrees(heading.sd[1000])
    assert heading.state[-1] == HeadingState.DRIFTING


def test_a_gap_keeps_the_twist_and_says_less():
    pair, smooth = standing(40, [0, 0, 0], [0, 0, 0])
    quat = about_vertical(
        np.where(pair.time_s < 20, 0.3, 1.5)
    )  # after the gap the frame of the upper sensor is another
    quat[1900:2100] = np.nan
    lower = orientation(LEVEL, len(pair))
    upper = OrientationBlock(quat, lower.bias, lower.rest, lower.disturbed)
    heading = Heading(RATE, stances=[(0.0, 6.0)]).push(pair, smooth, upper, lower)
    assert np.isnan(heading.delta[1900:2100]).all()
    assert heading.delta[1899] == pytest.approx(-0.3, abs=1e-3)
    assert heading.delta[2100] == pytest.approx(-1.5, abs=1e-3)
    assert heading.sd[2100] > 5 * heading.sd[1899]


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="bend_sd_deg must be more than 0"):
        HeadingSettings(bend_sd_deg=0.0)
    with pytest.raises(ConfigError, match="rate must be more than 0"):
        Heading(0.0)


def test_every_setting_reaches_the_filter():
    """The settings of the Python half and the members of the C struct are one list."""
    assert PairFilter.members() == 2 + len(fields(HeadingSettings)) + 3
