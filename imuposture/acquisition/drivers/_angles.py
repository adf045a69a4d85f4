"""Angles as sensors send them -> quaternions, with sums, products and roots only.

No sine of the C library: its last bit differs between machines, and rows must not. Odd in every angle, exactly. Plain
floats: a notification holds few samples, and arrays of four would take ten times as long.
"""

from collections.abc import Sequence
from math import factorial, sqrt

__all__ = ["Quaternion", "from_euler", "rotation_vector", "turned_about_z"]

Quaternion = tuple[float, float, float, float]

# Taylor series in u^2, highest power first, to the last bits: sine and cosine up to |u| = pi/4, arctangent up to 0.2.
_SINE = tuple((-1) ** n / factorial(2 * n + 1) for n in range(8, -1, -1))
_COSINE = tuple((-1) ** n / factorial(2 * n) for n in range(8, -1, -1))
_ARCTANGENT = tuple((-1) ** n / (2 * n + 1) for n in range(11, -1, -1))


def from_euler(roll: float, pitch: float, yaw: float) -> Quaternion:
    """Turn Euler angles into a quaternion.

    Parameters
    ----------
    roll, pitch, yaw : float
        About x, y and z, rad, within a full turn; in the order z, then y, then x, each about the axis already turned.

    Returns
    -------
    w-first, sensor -> earth
    """
    (cx, sx), (cy, sy), (cz, sz) = _of_half(roll), _of_half(pitch), _of_half(yaw)
    return (
        cx * cy * cz + sx * sy * sz,
        sx * cy * cz - cx * sy * sz,
        cx * sy * cz + sx * cy * sz,
        cx * cy * sz - sx * sy * cz,
    )


def turned_about_z(quat: Quaternion, angle: float) -> Quaternion:
    """Turn the earth frame of an orientation: (cos a/2, 0, 0, sin a/2) times it.

    Parameters
    ----------
    quat : tuple of 4 float
        w-first.
    angle : float
        rad, within a full turn.

    Returns
    -------
    w-first
    """
    cosine, sine = _of_half(angle)
    w, x, y, z = quat
    return cosine * w - sine * z, cosine * x - sine * y, cosine * y + sine * x, cosine * z + sine * w


def rotation_vector(quat: Quaternion) -> tuple[float, float, float]:
    """Return the turn that a quaternion stands for, the shorter way round.

    Parameters
    ----------
    quat : tuple of 4 float
        w-first, of any length but 0.

    Returns
    -------
    rad, along the axis
    """
    w, x, y, z = quat
    length = sqrt(w * w + x * x + y * y + z * z)
    if w < 0:
        length = -length
    w, x, y, z = w / length, x / length, y / length, z / length
    sine = sqrt(x * x + y * y + z * z)
    # 16 times the arctangent of t, which was halved three times: t / (1 + sqrt(1 + t^2)). Held as t / sine, for 0 / 0.
    share = 1 / (1 + w)
    for _ in range(2):
        tangent = share * sine
        share = share / (1 + sqrt(1 + tangent * tangent))
    tangent = share * sine
    factor = 16 * share * _series(_ARCTANGENT, tangent * tangent)
    return factor * x, factor * y, factor * z


def _of_half(angle: float) -> tuple[float, float]:
    """Return cosine and sine of half an angle, from those of an eighth."""
    eighth = angle / 8
    square = eighth * eighth
    sine, cosine = eighth * _series(_SINE, square), _series(_COSINE, square)
    for _ in range(2):
        sine, cosine = 2 * sine * cosine, 1 - 2 * sine * sine
    return cosine, sine


def _series(coefficients: Sequence[float], square: float) -> float:
    total = 0.0
    for coefficient in coefficients:
        total = total * square + coefficient
    return total
