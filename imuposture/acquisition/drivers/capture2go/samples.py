"""Packages with motion -> rows."""

import struct
from math import nan, sqrt

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Quality, Role
from imuposture.acquisition.drivers._angles import Quaternion, turned_about_z
from imuposture.acquisition.drivers.capture2go.packages import Header, Package

__all__ = ["ACC_MPS2", "GYR_RADPS", "RATES_HZ", "block_of", "holds_motion", "quaternion"]

RATES_HZ = {1: 200.0, 2: 100.0, 3: 50.0, 4: 25.0, 5: 10.0, 6: 1.0}
GYR_RADPS = 2000 / 32768 * (np.pi / 180)
ACC_MPS2 = 16 / 32768 * 9.81  # the vendor's g
MAG_UT = 1 / 16
DELTA_RAD = np.pi / 32768
TIME_GAP, CLIPPED, MAG_CLIPPED, PROCESSING = 1, 2 | 4, 8, 16
REST, DISTURBED = 1, 2  # bits 62 and 63 of a quaternion
LARGEST = 1e6  # no quantity reaches it

# Rows, vectors of three int16 in each (rate, acceleration, field), and orientations.
_LAYOUTS = {
    Header.FULL_PACKED: (8, 3, 1),
    Header.FULL_6D_PACKED: (8, 2, 1),
    Header.FULL_FIXED: (1, 3, 1),
    Header.FULL_6D_FIXED: (1, 2, 1),
    Header.QUAT_PACKED: (20, 0, 20),
    Header.QUAT_FIXED: (1, 0, 1),
}
_UNIT, _LEAST = 0xFFFFF / sqrt(2), 1 / sqrt(2)


def holds_motion(header: int) -> bool:
    """Tell whether packages of this header become rows."""
    return Header.FULL_PACKED < header < Header.QUAT_FLOAT + 0x10


def block_of(package: Package, role: Role) -> tuple[ImuBlock, int]:
    """Turn a package into rows.

    Returns
    -------
    block : ImuBlock
        Ticks in microseconds. ``quat`` is the sensor's orientation with its heading offset, of packed samples only in
        the first row, as it was sent; acceleration and rate are NaN in packages of orientations. Flags: clipping as
        `Quality.SATURATED`; rest, and a field that is disturbed or clipped, as the sensor judges them.
    errors : int
        Error flags of the package.
    """
    kind, payload = Header(package.header & 0xFF0), package.payload
    if kind not in _LAYOUTS:
        return _floats(kind, payload, role)
    rows, vectors, turns = _LAYOUTS[kind]
    raw = np.frombuffer(payload, "<i2", vectors * rows * 3, 8).reshape(vectors, rows, 3)
    told = struct.unpack_from(f"<{turns}Q{turns}h{turns}B", payload, 8 + raw.nbytes)
    packed, deltas, errors = told[:turns], told[turns : 2 * turns], told[2 * turns :]
    quat = np.full((rows, 4), nan)
    quat[:turns] = [turned_about_z(quaternion(q), d * DELTA_RAD) for q, d in zip(packed, deltas, strict=True)]
    flags = np.empty(rows, np.uint8)
    flags[:] = [_flags(error, q >> 62) for error, q in zip(errors, packed, strict=True)]
    ticks = _ticks(payload, rows, RATES_HZ.get(package.header & 0xF, 1.0))
    acc = raw[1] * ACC_MPS2 if vectors else np.full((rows, 3), nan)
    gyr = raw[0] * GYR_RADPS if vectors else np.full((rows, 3), nan)
    mag = raw[2] * MAG_UT if vectors == 3 else None
    every = 0
    for error in errors:
        every |= error
    return ImuBlock(role, ticks, acc, gyr, mag, flags, quat), every


def quaternion(packed: int) -> Quaternion:
    """Unpack an orientation of 64 bits: which component was left out, and the three others in 20 bits each.

    Returns
    -------
    w-first, sensor -> the earth of accelerometer and gyroscope; NaN for bits that are none
    """
    x, y, z = ((packed >> shift & 0xFFFFF) / _UNIT - _LEAST for shift in (40, 20, 0))
    rest = 1 - (x * x + y * y + z * z)
    if rest < 0:
        return nan, nan, nan, nan
    ring = (sqrt(rest), x, y, z)
    first = (4 - (packed >> 60 & 3)) % 4
    return ring[first], ring[first - 3], ring[first - 2], ring[first - 1]


def _floats(kind: Header, payload: bytes, role: Role) -> tuple[ImuBlock, int]:
    """Turn a package of float32 into a row; what no sensor gives is missing."""
    vectors = 3 if kind == Header.FULL_FLOAT else 0
    *numbers, rest, disturbed, errors = struct.unpack_from(f"<{3 * vectors + 5}f3B", payload, 8)
    numbers = [number if abs(number) <= LARGEST else nan for number in numbers]
    w, x, y, z, delta = numbers[-5:]
    quat = np.array([turned_about_z((w, x, y, z), delta if abs(delta) <= 2 * np.pi else nan)])
    flags = np.array([_flags(errors, REST * (rest != 0) + DISTURBED * (disturbed != 0))], np.uint8)
    gyr, acc = (np.array([numbers[:3]]), np.array([numbers[3:6]])) if vectors else np.full((2, 1, 3), nan)
    mag = np.array([numbers[6:9]]) if vectors else None
    return ImuBlock(role, _ticks(payload, 1, 1.0), acc, gyr, mag, flags, quat), errors


def _ticks(payload: bytes, rows: int, rate_hz: float) -> FloatArray:
    """Return microseconds; nanoseconds since 1970 would lose their last 8 bits in a float64, these lose 1/4 us."""
    whole, nanoseconds = divmod(struct.unpack_from("<q", payload)[0], 1000)
    ticks: FloatArray = float(whole) + (np.arange(rows) * (1e6 / rate_hz) + nanoseconds / 1000)
    return ticks


def _flags(errors: int, judged: int) -> int:
    flags = Quality.SATURATED.value if errors & CLIPPED else 0
    flags |= Quality.REST.value if judged & REST else 0
    return flags | (Quality.MAGNETICALLY_DISTURBED.value if judged & DISTURBED or errors & MAG_CLIPPED else 0)
