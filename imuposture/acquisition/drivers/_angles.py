"""Angles as sensors send them -> quaternions, with sums, products and roots only.

No sine of the C library: its last bit differs between machines, and rows must not. Odd in every angle, exactly.
"""

from math import factorial

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["from_euler", "rotation_vector", "turned_about_z"]

# Taylor series in u^2, highest power first: good to the last bits up to |u| = pi/2, the arctangent up to 0.2.
_SINE = tuple((-1) ** n / factorial(2 * n + 1) for n in range(11, -1, -1))
_COSINE = tuple((-1) ** n / factorial(2 * n) for n in range(12, -1, -1))
_ARCTANGENT = tuple((-1) ** n / (2 * n + 1) for n in range(11, -1, -1))


def from_euler(angles: FloatArray) -> FloatArray:
    """Turn roll, pitch and yaw into quaternions.

    Parameters
    ----------
    angles : (n, 3) float64, rad, within a full turn; about x, y and z, in the order z, then y, then x (each about the
        axis that has already turned)

    Returns
    -------
    (n, 4) float64, w-first, sensor -> earth
    """
    cosine, sine = _of_half(angles)
    cx, cy, cz = cosine.T
    sx, sy, sz = sine.T
    out = np.empty((len(angles), 4))
    out[:, 0] = cx * cy * cz + sx * sy * sz
    out[:, 1] = sx * cy * cz - cx * sy * sz
    out[:, 2] = cx * sy * cz + sx * cy * sz
    out[:, 3] = cx * cy * sz - sx * sy * cz
    return out


def turned_about_z(quat: FloatArray, angle: FloatArray) -> FloatArray:
    """Turn the earth frame of orientations: (cos a/2, 0, 0, sin a/2) times each.

    Parameters
    ----------
    quat : (n, 4) float64, w-first
    angle : (n,) float64, rad, within a full turn

    Returns
    -------
    (n, 4) float64, w-first
    """
    cosine, sine = _of_half(angle)
    w, x, y, z = quat.T
    out = np.empty_like(quat)
    out[:, 0] = cosine * w - sine * z
    out[:, 1] = cosine * x - sine * y
    out[:, 2] = cosine * y + sine * x
    out[:, 3] = cosine * z + sine * w
    return out


def rotation_vector(quat: FloatArray) -> FloatArray:
    """Return the turns that quaternions stand for, the shorter way round.

    Parameters
    ----------
    quat : (n, 4) float64, w-first, of any length but 0

    Returns
    -------
    (n, 3) float64, rad, along the axis
    """
    w, x, y, z = quat.T
    length = np.sqrt(w * w + x * x + y * y + z * z)
    unit = quat / np.where(w < 0, -length, length)[:, None]
    w, x, y, z = unit.T
    sine = np.sqrt(x * x + y * y + z * z)
    # The angle is 16 times the arctangent after three halvings: t -> t / (1 + sqrt(1 + t^2)).
    share = 1 / (1 + w)
    for _ in range(2):
        tangent = share * sine
        share = share / (1 + np.sqrt(1 + tangent * tangent))
    tangent = share * sine
    vector: FloatArray = unit[:, 1:] * (16 * share * _series(_ARCTANGENT, tangent * tangent))[:, None]
    return vector


def _of_half(angle: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return cosine and sine of half the angles, from those of a quarter."""
    quarter = angle / 4
    square = quarter * quarter
    sine, cosine = quarter * _series(_SINE, square), _series(_COSINE, square)
    return 1 - 2 * sine * sine, 2 * sine * cosine


def _series(coefficients: tuple[float, ...], square: FloatArray) -> FloatArray:
    total = np.full_like(square, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * square + coefficient
    return total
