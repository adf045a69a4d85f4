"""Packages with motion -> rows."""

import struct

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray, ImuBlock, Quality, Role
from imuposture.acquisition.drivers._angles import turned_about_z
from imuposture.acquisition.drivers.capture2go.packages import Header, Package

__all__ = ["ACC_MPS2", "GYR_RADPS", "RATES_HZ", "block_of", "holds_motion", "quaternions"]

RATES_HZ = {1: 200.0, 2: 100.0, 3: 50.0, 4: 25.0, 5: 10.0, 6: 1.0}
GYR_RADPS = 2000 / 32768 * (np.pi / 180)
ACC_MPS2 = 16 / 32768 * 9.81  # the vendor's g
MAG_UT = 1 / 16
DELTA_RAD = np.pi / 32768
TIME_GAP, CLIPPED, MAG_CLIPPED, PROCESSING = 1, 2 | 4, 8, 16
REST, DISTURBED = 1, 2  # bits 62 and 63 of a quaternion

_UNIT = 0xFFFFF / np.sqrt(2)


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
    kind, payload = package.header & 0xFF0, package.payload
    if kind in {Header.FULL_FLOAT, Header.QUAT_FLOAT}:
        return _floats(kind, payload, role)
    rows = {Header.FULL_PACKED: 8, Header.FULL_6D_PACKED: 8, Header.QUAT_PACKED: 20}.get(Header(kind), 1)
    vectors = {Header.FULL_PACKED: 3, Header.FULL_FIXED: 3, Header.FULL_6D_PACKED: 2, Header.FULL_6D_FIXED: 2}.get(
        Header(kind), 0
    )
    raw = np.frombuffer(payload, "<i2", vectors * rows * 3, 8).reshape(vectors, rows, 3)
    at, count = 8 + raw.nbytes, 20 if kind == Header.QUAT_PACKED else 1
    packed = np.frombuffer(payload, "<u8", count, at)
    delta = np.frombuffer(payload, "<i2", count, at + 8 * count) * DELTA_RAD
    errors = np.frombuffer(payload, np.uint8, count, at + 10 * count)
    quat = np.full((rows, 4), np.nan)
    quat[:count] = turned_about_z(quaternions(packed), delta)
    missing = np.full((rows, 3), np.nan)
    block = ImuBlock(
        role,
        _ticks(payload, rows, RATES_HZ.get(package.header & 0xF, 1.0)),
        raw[1] * ACC_MPS2 if vectors else missing,
        raw[0] * GYR_RADPS if vectors else missing.copy(),
        raw[2] * MAG_UT if vectors == 3 else None,
        np.broadcast_to(_flags(errors, (packed >> np.uint64(62)).astype(np.uint8)), rows).copy(),
        quat,
    )
    return block, int(np.bitwise_or.reduce(errors))


def quaternions(packed: NDArray[np.uint64]) -> FloatArray:
    """Unpack orientations of 64 bits: which component was left out, and the three others in 20 bits each.

    Parameters
    ----------
    packed : (n,) uint64

    Returns
    -------
    (n, 4) float64, w-first, sensor -> the earth of accelerometer and gyroscope; NaN for bits that are none
    """
    parts = (packed[:, None] >> np.array([40, 20, 0], np.uint64)) & np.uint64(0xFFFFF)
    three = parts.astype(np.float64) / _UNIT - 1 / np.sqrt(2)
    rest = 1 - (three[:, 0] * three[:, 0] + three[:, 1] * three[:, 1] + three[:, 2] * three[:, 2])
    left_out = ((packed >> np.uint64(60)) & np.uint64(3)).astype(np.intp)
    out = np.empty((len(packed), 4))
    rows = np.arange(len(packed))
    out[rows, left_out] = np.sqrt(np.maximum(rest, 0))
    for place in range(3):
        out[rows, (left_out + 1 + place) % 4] = three[:, place]
    out[rest < 0] = np.nan
    return out


def _floats(kind: int, payload: bytes, role: Role) -> tuple[ImuBlock, int]:
    """Turn a package of float32 into a row; what is not finite is missing."""
    vectors = 3 if kind == Header.FULL_FLOAT else 0
    count = 3 * vectors + 5
    values = np.frombuffer(payload, "<f4", count, 8).astype(np.float64)
    values[~(np.abs(values) <= 1e6)] = np.nan
    rest, disturbed, errors = struct.unpack_from("<??B", payload, 8 + 4 * count)
    gyr, acc, mag = values[: 3 * vectors].reshape(3, 1, 3) if vectors else (np.full((1, 3), np.nan),) * 3
    quat = turned_about_z(values[None, -5:-1], np.clip(values[-1:], -2 * np.pi, 2 * np.pi))
    judged = np.array([REST * rest + DISTURBED * disturbed], np.uint8)
    flags = _flags(np.array([errors], np.uint8), judged)
    ticks = _ticks(payload, 1, 1.0)
    return ImuBlock(role, ticks, acc.copy(), gyr.copy(), mag.copy() if vectors else None, flags, quat), errors


def _ticks(payload: bytes, rows: int, rate_hz: float) -> FloatArray:
    """Return microseconds; nanoseconds since 1970 would lose their last 8 bits in a float64, these lose 1/4 us."""
    whole, nanoseconds = divmod(struct.unpack_from("<q", payload)[0], 1000)
    ticks: FloatArray = float(whole) + (np.arange(rows) * (1e6 / rate_hz) + nanoseconds / 1000)
    return ticks


def _flags(errors: NDArray[np.uint8], judged: NDArray[np.uint8]) -> FlagArray:
    flags = np.zeros(len(errors), np.uint8)
    flags[(errors & CLIPPED) != 0] |= Quality.SATURATED.value
    flags[(judged & REST) != 0] |= Quality.REST.value
    flags[((judged & DISTURBED) != 0) | ((errors & MAG_CLIPPED) != 0)] |= Quality.MAGNETICALLY_DISTURBED.value
    return flags
