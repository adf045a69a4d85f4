"""Vectors and small statistics of the calibration, in a fixed order: the mounting is part of every row."""

from collections.abc import Sequence

import numpy as np

from imuposture._blocks import FloatArray
from imuposture._ext import calibration as _ext

__all__ = ["about", "angle", "chord", "cross", "degrees", "dot", "mean", "median", "spread", "unit", "within"]


def chord(degrees_of_angle: float) -> float:
    """Return 2 sin(angle / 2)."""
    return 2.0 * _ext.turn(float(np.deg2rad(degrees_of_angle)) / 2.0)[0]


def degrees(length: float) -> float:
    """Return the angle whose chord it is, in degrees."""
    half = min(length / 2.0, 1.0)
    return 2.0 * float(np.rad2deg(_ext.arctangent(half, float(np.sqrt(1.0 - half * half)))))


def unit(vector: FloatArray) -> FloatArray:
    """Return ``vector`` (3,) at length one."""
    x, y, z = vector.tolist()
    return vector / float(np.sqrt(x * x + y * y + z * z))


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the cross product of two vectors (3,)."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def angle(start: FloatArray, end: FloatArray, up: FloatArray) -> float:
    """Return the turn about ``up`` from ``start`` to ``end``, rad."""
    return _ext.arctangent(dot(cross(start, end), up), dot(start, end))


def about(vector: FloatArray, up: FloatArray, turn: float) -> FloatArray:
    """Return ``vector``, which is square to ``up``, turned about it by ``turn`` rad."""
    sine, cosine = _ext.turn(turn)
    return cosine * vector + sine * cross(up, vector)


def within(limit_deg: float) -> float:
    """Return the cosine of a limit in degrees: unit vectors with a larger product are nearer than it."""
    return _ext.turn(float(np.deg2rad(limit_deg)))[1]


def dot(a: FloatArray, b: FloatArray) -> float:
    """Return the scalar product of two vectors (3,)."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return float(x * u + y * v + z * w)


def mean(vectors: Sequence[FloatArray] | FloatArray) -> FloatArray:
    """Return the mean of vectors (n, 3), summed from first to last."""
    total: FloatArray = np.cumsum(np.asarray(vectors), axis=0)[-1]
    return total / len(vectors)


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def spread(angles: Sequence[float]) -> float:
    """Return the standard deviation about the mean."""
    if len(angles) < 2:
        return 0.0
    centre = sum(angles) / len(angles)
    return float(np.sqrt(sum((value - centre) ** 2 for value in angles) / (len(angles) - 1)))
