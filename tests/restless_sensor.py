"""A sensor that never rests, its rows smoothed, and how far an orientation is from the true one."""

from dataclasses import replace

import numpy as np
from vqf_reference import Recording, closed_form

from imuposture.fusion import Parameters, SmoothedFusion

G = 9.81
PROMPT = Parameters(sensor_delay=0.0)  # synthetic rows are as late as their period


def smoothed(rows, *more, **settings):
    stage = SmoothedFusion(100, magnetometer=rows.mag is not None, **settings)
    for part in (rows, *more):
        stage.push(part)
    return stage.finish()


def without_mag(rows):
    return replace(rows, mag=None)


def tilt(quat):
    """The vertical in the sensor frame."""
    w, x, y, z = quat.T
    return np.stack([2 * (x * z - w * y), 2 * (w * x + y * z), 1 - 2 * (x * x + y * y)], axis=1)


def inclination_error(quat, truth):
    """Angle between verticals, degrees, row by row."""
    return np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(tilt(quat) - tilt(truth), axis=1) / 2, 1)))


def heading_error(quat, truth):
    """Heading of one orientation against another, rad."""
    w = (quat * truth).sum(axis=1)
    z = truth[:, 0] * quat[:, 3] - quat[:, 0] * truth[:, 3] + truth[:, 1] * quat[:, 2] - quat[:, 1] * truth[:, 2]
    return np.angle(np.exp(2j * np.arctan2(z, w)))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def restless(seconds=300, rate=50.0, seed=0, bias_dps=(0.6, -0.4, 0.5), lateness=0.0):
    """Turn without a rest and be pushed about: a recording and its true orientation. Rates are means of the period
    that ended ``lateness`` rows before their row; the rest of the rows is as late."""
    rng = np.random.default_rng(seed)
    fine = 4
    t = np.arange(round((seconds + 1) * rate * fine)) / rate / fine
    waves = rng.uniform([0.2, 0.3, 0.0], [0.9, 3.0, 6.0], (3, 4, 3))
    gyr = np.stack([sum(a * np.sin(f * t + p) for a, f, p in axis) for axis in waves], axis=1)
    quat = closed_form(gyr, rate * fine)
    rows = np.arange(fine, len(t) - fine, fine)
    old = rows - round(lateness * fine)
    total = np.cumsum(gyr, axis=0)
    means = (total[old] - total[old - fine]) / fine
    pushes = np.stack([0.8 * np.sin(2 * np.pi * f * t[old] + f) for f in (0.7, 1.1, 1.6)], axis=1)
    w, x, y, z = quat[old].T
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
            [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    acc = np.einsum("ijn,nj->ni", turn, pushes + np.array([0, 0, G]))
    mag = np.einsum("ijn,nj->ni", turn, np.tile([0.0, 18.0, -45.0], (len(rows), 1)))
    noise = rng.standard_normal((3, *acc.shape))
    gyr = means + np.radians(bias_dps) + 0.001 * noise[0]
    return Recording(rate, gyr, acc + 0.02 * noise[1], mag + 0.3 * noise[2]), quat[rows]
