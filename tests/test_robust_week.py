"""Nothing drifts away in long sessions: lengths stay one, covariances positive, smoothed constants constant.

By default a day goes by, and hours where the rest hangs on it; with ``IMUPOSTURE_WEEK=1`` a week at 100 Hz and a day (a
minute), as in .ci/run.
"""

import os

import numpy as np
import pytest

from imuposture._blocks import PairBlock, SensorRows
from imuposture.filtering import LowPass
from imuposture.fusion import Fusion, fuse
from imuposture.heading import Heading
from imuposture.kinematics import Kinematics, Spread

RATE = 100.0
HOUR = 3600 * int(RATE)
WEEK = os.environ.get("IMUPOSTURE_WEEK") == "1"
LONG, SHORT = (7 * 24 * HOUR, 24 * HOUR) if WEEK else (24 * HOUR, 2 * HOUR)
BLOCK = 60_000  # ten minutes, over and over
FLAGS = np.zeros(BLOCK, np.uint8)
VARIANCE = slice(11, 17)  # of a stream's state (ext/fusion_step.h): of the bias, xx xy xz yy yz zz


def signals(kind):
    """Return ten minutes of acc and gyr: lying still, daily life, a spinning top, shaken beyond any sense."""
    rng, time_s = np.random.default_rng(4), np.arange(BLOCK) / RATE
    waves = np.stack([np.sin(2 * np.pi * f * time_s + p) for f, p in ((0.21, 0.0), (0.13, 1.0), (0.07, 2.0))], axis=1)
    gyr, acc = 0.002 * rng.normal(size=(BLOCK, 3)) + 0.004, 0.02 * rng.normal(size=(BLOCK, 3)) + [0.3, 9.7, 0.5]
    moving = (time_s % 120.0 > 60.0)[:, None]
    if kind == "life":
        return acc + moving * 2.0 * waves, gyr + moving * waves
    if kind == "top":
        return acc, np.add(gyr, [0.5, 34.9, -20.0])
    if kind == "shaken":
        return 150.0 * rng.normal(size=(BLOCK, 3)), 30.0 * rng.normal(size=(BLOCK, 3))
    return acc, gyr


def rows(kind, flags=FLAGS):
    acc, gyr = signals(kind)
    mag = [20.0, -35.0, 10.0] + 0.1 * acc
    return SensorRows(acc, gyr, mag, flags)


def worst_length(quat):
    return float(np.abs(np.sum(quat * quat, axis=1) - 1.0).max())


@pytest.mark.parametrize("magnetometer", [False, True], ids=["6-axis", "9-axis"])
def test_quaternions_keep_their_length(magnetometer):
    """VQF's own quaternions are normalised row by row; ours by a Newton step that starts from the row before."""
    count = LONG if not magnetometer else SHORT
    filters = [Fusion(RATE, magnetometer=magnetometer) for _ in range(4)]
    blocks = [rows(kind) for kind in ("still", "life", "top", "shaken")]
    start = filters[0]._memory.states()[VARIANCE]
    worst = 0.0
    for _ in range(count // BLOCK):
        found = fuse(filters, blocks)
        worst = max(worst, *(worst_length(one.quat[-1000:]) for one in found))
    assert worst < 1e-9 if WEEK else worst < 1e-13
    for stage in filters:
        xx, xy, xz, yy, yz, zz = stage._memory.states()[VARIANCE]
        values = np.linalg.eigvalsh([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        assert values.min() > 0.0
        assert values.max() < 2.0 * max(start)


def test_the_pair_keeps_its_wits():
    """Heading and angles of two sensors that live on: every variance positive and finite, every angle a number."""
    filters, blocks = [Fusion(RATE), Fusion(RATE)], [rows("life"), rows("still")]
    smooth, heading = LowPass(3.0, RATE), Heading(RATE, stances=[(0.0, 6.0)])
    kinematics = Kinematics(Spread(0.005, 0.05, 0.05, 0.007))
    for number in range(SHORT // BLOCK):
        time_s = (np.arange(BLOCK) + number * BLOCK) / RATE
        upper, lower = fuse(filters, blocks)
        rates = smooth.push(np.hstack([block.gyr for block in blocks]), FLAGS)
        related = heading.push(PairBlock(time_s, *blocks), rates, upper, lower)
        posture = kinematics.push(time_s, upper, lower, related, FLAGS)
        states, sds = heading.states()
        assert np.isfinite(states).all()
        assert np.isfinite(sds).all()
        assert min(sds) > 0.0
        assert np.isfinite(posture.axial_rotation_deg).all()
        assert np.isfinite(posture.axial_rotation_sd_deg).all()


def test_a_constant_stays_the_constant():
    stage, constant = LowPass(3.0, RATE), np.full((BLOCK, 3), [9.81, -1e-3, 1e4])
    for _ in range(SHORT // BLOCK):
        found = stage.push(constant, FLAGS)
    np.testing.assert_allclose(found, constant, rtol=1e-12)


def test_gaps_every_ten_minutes_leave_the_lengths_alone():
    flags = FLAGS.copy()
    flags[30_000:30_500] = 1
    stage, block = Fusion(RATE), rows("life", flags)
    for _ in range(SHORT // BLOCK):
        found = stage.push(block)
    assert worst_length(found.quat[flags == 0]) < 1e-13
    assert np.isnan(found.quat[flags == 1]).all()
