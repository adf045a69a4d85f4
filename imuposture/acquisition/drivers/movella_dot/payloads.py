"""Payload modes: how a sample lies in a notification, and what becomes of it.

Every notification is one sample, filled up with zeros to the length of its characteristic. A mode gives what its
layout holds: orientation from a quaternion or Euler angles, acceleration and rate of turn as such or from the
increments over one sampling period. Free acceleration (earth frame, gravity taken off) is no specific force of the
sensor: modes that have only this leave the acceleration NaN.
"""

import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Quality, Role
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers._angles import Quaternion, from_euler, rotation_vector

__all__ = ["LENGTHS", "MODES", "Mode", "Sample", "block_of", "parse"]

Vector = tuple[float, float, float]
LENGTHS = (63, 40, 20)  # of the long, medium and short characteristic: channels 0, 1 and 2
DEGREE = np.pi / 180
MAG_UT = 40 / 4096  # int16 / 4096 in units of the field's strength, which is "about 40 uT"
CLIPPED = 0x3F  # three bits of the accelerometer, three of the gyroscope; 0x1c0 the magnetometer, 0x200 a new sample
LARGEST = 1e6  # no quantity reaches it in the sensor's units

_SIZES = {"quat": 4, "dq": 4}


class Sample(NamedTuple):
    """What a payload says, in the sensor's own units; None where its mode does not say it.

    ``ticks`` us; ``quat`` and ``dq`` w-first; ``euler`` deg, roll, pitch, yaw; ``acc`` and ``free_acc`` m/s2; ``dv``
    m/s; ``gyr`` deg/s; ``mag`` shares of the earth's field; ``status`` bits; ``clipped`` counts of samples in which the
    accelerometer and the gyroscope reached their limits.
    """

    ticks: int
    quat: Quaternion | None = None
    euler: Vector | None = None
    free_acc: Vector | None = None
    dq: Quaternion | None = None
    dv: Vector | None = None
    acc: Vector | None = None
    gyr: Vector | None = None
    mag: Vector | None = None
    status: int = 0
    clipped: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Mode:
    """Layout of a payload mode.

    Attributes
    ----------
    fields : tuple of str
        As `Sample` names them, in the order on the wire; ``status`` stands for status and both counts.
    channel : int
        0 long, 1 medium, 2 short.
    """

    fields: tuple[str, ...]
    channel: int

    @property
    def layout(self) -> struct.Struct:
        """Return the layout without padding."""
        parts = {"mag": "3h", "status": "HBB"}
        return struct.Struct("<I" + "".join(parts.get(name, f"{_SIZES.get(name, 3)}f") for name in self.fields))

    @property
    def measures(self) -> bool:
        """Tell whether it holds acceleration and rate of turn in the sensor's frame."""
        return {"acc", "gyr"} <= set(self.fields) or {"dq", "dv"} <= set(self.fields)


MODES = {
    2: Mode(("quat", "free_acc", "status"), 1),
    3: Mode(("quat", "free_acc"), 1),
    4: Mode(("euler",), 2),
    5: Mode(("quat",), 2),
    6: Mode(("free_acc",), 2),
    7: Mode(("euler", "free_acc", "status"), 1),
    16: Mode(("euler", "free_acc"), 1),
    18: Mode(("dq", "dv", "mag"), 1),
    19: Mode(("dq", "dv"), 1),
    20: Mode(("acc", "gyr", "mag"), 1),
    21: Mode(("acc", "gyr"), 1),
    22: Mode(("euler", "free_acc", "gyr"), 1),
    23: Mode(("euler", "free_acc", "mag"), 1),
    24: Mode(("quat", "gyr"), 1),
    26: Mode(("quat", "acc", "gyr"), 0),
}
_LAYOUTS = {number: mode.layout for number, mode in MODES.items()}


def parse(mode: int, payload: bytes) -> Sample:
    """Read a notification of a payload mode.

    Raises
    ------
    DecodeError
        If its length is not that of the characteristic, the padding is not zero, or a number is none a sensor gives.
    """
    layout, length = _LAYOUTS[mode], LENGTHS[MODES[mode].channel]
    if len(payload) != length:
        raise DecodeError(f"payload mode {mode} comes in {length} bytes, got {len(payload)}")
    if any(payload[layout.size :]):
        raise DecodeError(f"payload mode {mode} ends in zeros from byte {layout.size}: this is another mode")
    ticks, *numbers = layout.unpack_from(payload)
    if not all(-LARGEST < number < LARGEST for number in numbers):
        raise DecodeError(f"payload mode {mode} holds a number that no sensor gives")
    return Sample(ticks, **_named(mode, numbers))


def block_of(sample: Sample, role: Role, rate_hz: float) -> ImuBlock:
    """Turn a sample into a row.

    Raises
    ------
    DecodeError
        If its angles or increments are none.
    """
    acc, gyr = _row(sample.acc), _row(sample.gyr) * DEGREE
    if sample.dq is not None:
        if not 0.5 < sum(part * part for part in sample.dq) < 2:
            raise DecodeError(f"an increment of orientation must be a unit quaternion, got {sample.dq}")
        gyr = _row(rotation_vector(sample.dq)) * rate_hz
        acc = _row(sample.dv) * rate_hz
    flags = np.zeros(1, np.uint8)
    if sample.status & CLIPPED or any(sample.clipped):
        flags[0] = Quality.SATURATED.value
    mag = None if sample.mag is None else _row(sample.mag) * MAG_UT
    return ImuBlock(role, np.array([float(sample.ticks)]), acc, gyr, mag, flags, _orientation(sample))


def _named(mode: int, numbers: list[float]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    at = 0
    for name in MODES[mode].fields:
        if name == "status":
            named |= {"status": numbers[at], "clipped": (numbers[at + 1], numbers[at + 2])}
        else:
            named[name] = tuple(numbers[at : at + _SIZES.get(name, 3)])
        at += _SIZES.get(name, 3)
    return named


def _row(values: Vector | None) -> FloatArray:
    return np.full((1, 3), np.nan) if values is None else np.array([values])


def _orientation(sample: Sample) -> FloatArray | None:
    if sample.quat is not None:
        return np.array([sample.quat])
    if sample.euler is None:
        return None
    if not all(-360 <= angle <= 360 for angle in sample.euler):
        raise DecodeError(f"Euler angles must lie within a turn, got {sample.euler} degrees")
    roll, pitch, yaw = sample.euler
    return np.array([from_euler(roll * DEGREE, pitch * DEGREE, yaw * DEGREE)])
