"""Euler angles as sensors print them."""

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["euler_deg"]


def euler_deg(quat: FloatArray) -> FloatArray:
    """Return roll, pitch and yaw (n, 3), degrees, of orientations (n, 4) sensor -> earth: the sequence Z-Y-X."""
    w, x, y, z = quat.T
    roll = np.arctan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2.0 * (w * y - z * x), -1.0, 1.0))
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    angles: FloatArray = np.degrees(np.stack([roll, pitch, yaw], axis=-1))
    return angles
