"""Quaternion algebra of the simulator: w-first, last axis, NumPy broadcasting.

The simulator makes truth, not rows: NumPy's transcendental functions are fine here.
"""

import numpy as np
from numpy.typing import ArrayLike

from imuposture._blocks import FloatArray

__all__ = [
    "UPRIGHT",
    "conjugate",
    "from_axis",
    "from_vector",
    "mean",
    "mirror_mounting",
    "mirror_polar",
    "mirror_segment",
    "mirror_turning",
    "multiply",
    "relative_angles",
    "rotate",
    "segment_inclinations",
    "to_vector",
    "upright_like",
]

# Segment -> earth of somebody who stands upright and looks north (segment X anterior, Y up, Z right; earth z up).
UPRIGHT = np.array([0.5, 0.5, 0.5, 0.5])


def multiply(p: ArrayLike, q: ArrayLike) -> FloatArray:
    """Return the Hamilton product p q: first q, then p."""
    pw, px, py, pz = np.moveaxis(np.asarray(p, dtype=np.float64), -1, 0)
    qw, qx, qy, qz = np.moveaxis(np.asarray(q, dtype=np.float64), -1, 0)
    return np.stack(
        [
            pw * qw - px * qx - py * qy - pz * qz,
            pw * qx + px * qw + py * qz - pz * qy,
            pw * qy - px * qz + py * qw + pz * qx,
            pw * qz + px * qy - py * qx + pz * qw,
        ],
        axis=-1,
    )


def conjugate(q: ArrayLike) -> FloatArray:
    """Return the inverse rotation."""
    return np.asarray(q, dtype=np.float64) * (1.0, -1.0, -1.0, -1.0)


def rotate(q: ArrayLike, v: ArrayLike) -> FloatArray:
    """Return the vectors ``v`` (..., 3) turned by ``q`` (..., 4)."""
    q, v = np.asarray(q, dtype=np.float64), np.asarray(v, dtype=np.float64)
    w, axis = q[..., :1], q[..., 1:]
    t = 2.0 * np.cross(axis, v)
    turned: FloatArray = v + w * t + np.cross(axis, t)
    return turned


def from_axis(axis: int, angle: FloatArray) -> FloatArray:
    """Return the rotation by ``angle`` (n,), rad, about the coordinate axis 0, 1 or 2."""
    q = np.zeros((*np.shape(angle), 4))
    q[..., 0] = np.cos(0.5 * angle)
    q[..., 1 + axis] = np.sin(0.5 * angle)
    return q


def from_vector(vector: ArrayLike) -> FloatArray:
    """Return the rotation of a rotation vector (..., 3), rad."""
    v = np.asarray(vector, dtype=np.float64)
    half = 0.5 * np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cos(half), 0.5 * np.sinc(half / np.pi) * v], axis=-1)


def to_vector(q: FloatArray) -> FloatArray:
    """Return the rotation vector (..., 3), rad, of the shorter way round."""
    q = np.where(q[..., :1] < 0.0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, q[..., :1])
    small = sine < 1e-9
    vector: FloatArray = q[..., 1:] * np.where(small, 2.0, angle / np.where(small, 1.0, sine))
    return vector


def mean(q: FloatArray) -> FloatArray:
    """Return the mean of orientations (n, 4) that lie close together."""
    total = np.where(q @ q[0] < 0.0, -1.0, 1.0) @ q
    average: FloatArray = total / np.linalg.norm(total)
    return average


def relative_angles(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return flexion, lateral bend and axial rotation (each (n,), rad) of ``upper`` in ``lower``.

    Cardan sequence Z-X-Y of segment frames after ISB; + forward, + right, + right.
    """
    w, x, y, z = np.moveaxis(multiply(conjugate(lower), upper), -1, 0)
    lateral = np.arcsin(np.clip(2.0 * (y * z + w * x), -1.0, 1.0))
    flexion = np.arctan2(2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z))
    rotation = np.arctan2(2.0 * (x * z - w * y), 1.0 - 2.0 * (x * x + y * y))
    return flexion, lateral, rotation


def segment_inclinations(segment: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the inclination forward and to the right (each (n,), rad) of a segment -> earth orientation."""
    up = rotate(conjugate(segment), (0.0, 0.0, 1.0))
    return np.arctan2(-up[:, 0], up[:, 1]), np.arcsin(np.clip(-up[:, 2], -1.0, 1.0))


def upright_like(segment: FloatArray) -> FloatArray:
    """Return the upright orientation (4,) with the heading that ``segment`` (4,) has in the sequence Y-X-Z."""
    right = rotate(segment, (0.0, 0.0, 1.0))
    forward = np.cross((0.0, 0.0, 1.0), right)  # X stays horizontal when Z is only turned about it and the vertical
    return multiply(from_axis(2, np.arctan2(-forward[0], forward[1])), UPRIGHT)


# The mirror: in the earth through the plane x = 0 (east and west change places; a magnetic field that points
# north stays), in every segment and sensor frame through z = 0, M = diag(1, 1, -1). All four are exact.


def mirror_polar(v: FloatArray) -> FloatArray:
    """Return M v: acceleration and magnetic field as a mirrored sensor reads them."""
    return v * (1.0, 1.0, -1.0)


def mirror_turning(v: FloatArray) -> FloatArray:
    """Return -M v: angular rate as a mirrored sensor reads it."""
    return v * (-1.0, -1.0, 1.0)


def mirror_segment(q: FloatArray) -> FloatArray:
    """Return the mirrored orientation (frame -> earth), diag(-1, 1, 1) R diag(1, 1, -1)."""
    return np.ascontiguousarray(q[..., [2, 3, 0, 1]])


def mirror_mounting(q: FloatArray) -> FloatArray:
    """Return the mirrored mounting (sensor -> segment), M R M."""
    return q * (1.0, -1.0, -1.0, 1.0)
