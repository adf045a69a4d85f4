"""Doubt: how far an orientation may be off because rows hide a turn: clipped, repeated or bridged ones.

A gyroscope that runs into its range hides the rest of the turn, a repeated or interpolated row the change of the rate.
The orientation cannot know what was there. What it can do is not to learn from it (`imuposture.fusion` starts its
averages anew after a clipped turn, and a clipped accelerometer is no measurement), and to say how sure it is: the
inclination for the seconds that gravity takes to mend it, the heading until something measures it again.
"""

from dataclasses import replace

import numpy as np

from imuposture._blocks import FloatArray, PostureBlock, Quality, SensorRows
from imuposture._errors import ConfigError
from imuposture._ext import doubt as _ext

__all__ = ["Doubt", "trusted", "widened"]

CLIPPED_RATE = (
    2.1  # rad/s (120 deg/s): no gyroscope's range is smaller, so a slower saturated row is the accelerometer's
)
MEMORY_S = 3.0  # gravity's average mends the inclination in this time
STALE = Quality.INTERPOLATED.value | Quality.DUPLICATE_OR_REORDERED.value
SATURATED = np.uint8(Quality.SATURATED)
FAULTS = np.uint8(STALE | SATURATED)
SPINE = ("flexion_sd_deg", "lateral_bend_sd_deg", "axial_rotation_sd_deg")


class Doubt:
    """What the rows of one sensor hide.

    Parameters
    ----------
    rate_hz : float
        Rate of the rows.

    Raises
    ------
    ConfigError
        If the rate is not positive.
    """

    def __init__(self, rate_hz: float) -> None:
        if not 0 < rate_hz < np.inf:
            raise ConfigError(f"rate must be more than 0 Hz, got {rate_hz!r}")
        self._period = 1.0 / rate_hz
        self._state = np.zeros(2)

    def push(self, rows: SensorRows) -> tuple[FloatArray, FloatArray] | None:
        """Weigh the next rows; how they are cut into blocks changes nothing.

        Returns
        -------
        tilt : (n,) float64, rad
            Standard deviation of the inclination.
        turn : (n,) float64, rad^2
            What the variance of the heading grows by in each row.

        None where every row can be trusted and what was hidden before is mended.
        """
        if self._state[1] == 0.0 and not np.count_nonzero(rows.flags & FAULTS):
            return None
        tilt, turn = np.empty(len(rows.flags)), np.empty(len(rows.flags))
        bits = Quality.SATURATED.value, STALE
        gyr = np.ascontiguousarray(rows.gyr)
        flags = np.ascontiguousarray(rows.flags)
        _ext.doubt(gyr, flags, *bits, CLIPPED_RATE, self._period, MEMORY_S, self._state, tilt, turn)
        return tilt, turn


def trusted(rows: SensorRows) -> SensorRows:
    """Return the rows with zeros, "no measurement", where an accelerometer may have run into its range."""
    clipped = rows.flags & SATURATED
    if not np.count_nonzero(clipped):
        return rows
    acc = np.where(clipped[:, None] != 0, 0.0, rows.acc)
    return SensorRows(acc, rows.gyr, rows.mag, rows.flags)


def widened(posture: PostureBlock, upper: FloatArray | None, lower: FloatArray | None) -> PostureBlock:
    """Add the doubt about the inclinations of both sensors, (n,) rad, to the standard deviations of the angles."""
    if upper is None and lower is None:
        return posture
    variance = {
        role: np.square(np.rad2deg(tilt)) for role, tilt in (("upper", upper), ("lower", lower)) if tilt is not None
    }
    names = [(name, sum(variance.values())) for name in SPINE]
    names += [(f"{role}_{way}_sd_deg", more) for role, more in variance.items() for way in ("forward", "side")]
    return replace(posture, **{name: np.sqrt(np.square(getattr(posture, name)) + more) for name, more in names})
