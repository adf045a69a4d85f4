"""Kinematics: two orientations in, spinal angles and inclinations with their uncertainty out.

The spinal angles are the Cardan sequence Z-X-Y of the upper segment in the lower one (ISB joint coordinate system:
Wu et al. 2002; Wu and Cavanagh 1995), the inclinations those of each segment against gravity, which need no heading.
"""

import os
from dataclasses import dataclass, fields

import numpy as np

from imuposture._blocks import FlagArray, FloatArray, HeadingBlock, OrientationBlock, PostureBlock
from imuposture._checks import fitting, floats, number
from imuposture._errors import ConfigError
from imuposture._ext import kinematics as _ext

__all__ = ["Kinematics", "Spread"]

INPUTS = ("time_s", "upper.quat", "lower.quat", "heading.delta", "heading.sd", "quality")
MOST = 1e3  # rad, of any standard deviation; beyond, its square only adds up to infinity
ANGLES = tuple(member.name for member in fields(PostureBlock) if member.name.endswith("_deg"))
WIDE = os.environ.get("IMUPOSTURE_ISA") != "baseline"  # see `imuposture.fusion.isa_level`; it changes no bit


@dataclass(frozen=True)
class Spread:
    """How sure the parts are that the angles are made of; standard deviations in rad.

    Attributes
    ----------
    tilt : float
        Inclination of each sensor against gravity while the wearer moves. Accelerations that both sensors feel alike
        cancel in the spine: there it counts 0.6 of it a sensor.
    upper_facing, lower_facing : float
        Turn of each sensor's mounting about the vertical, from the calibration: how well "forward" is known.
    soft_tissue : float
        Movement of the skin under each sensor on the spine, a radian of posture.
    shared : float
        Share of the lower facing's error that the upper one contains: in a bend that leaves its plane at the hips the
        upper sensor leaves it too, and so far both err together, which hardly shows in the spine.

    Raises
    ------
    ConfigError
        If one is negative or not finite.
    """

    tilt: float
    upper_facing: float
    lower_facing: float
    soft_tissue: float
    shared: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tilt", "upper_facing", "lower_facing", "soft_tissue", "shared"):
            value = getattr(self, name)
            if not 0 <= number(value) <= MOST:
                raise ConfigError(f"{name} must be 0 or more and at most {MOST:g}, got {value!r}")


class Kinematics:
    """Orientation rows to posture rows; keeps no state, so that any cut gives the same rows.

    Parameters
    ----------
    spread : Spread
        Uncertainty of what the angles are made of.
    """

    def __init__(self, spread: Spread) -> None:
        most = spread.upper_facing / spread.lower_facing if spread.lower_facing > 0 else 0.0
        shared = min(spread.shared, most)  # no error contains more than itself
        sds = (spread.tilt, spread.upper_facing, spread.lower_facing, shared, spread.soft_tissue)
        self._spread = np.array(sds, np.float64)

    def push(
        self,
        time_s: FloatArray,
        upper: OrientationBlock,
        lower: OrientationBlock,
        heading: HeadingBlock,
        quality: FlagArray,
    ) -> PostureBlock:
        """Compute the angles of the next rows.

        Parameters
        ----------
        time_s : (n,) float64 array, s
            Session time.
        upper, lower : OrientationBlock of n rows
            Segment -> earth; NaN where the sensor has no row.
        heading : HeadingBlock of n rows
            NaN where the two sensors cannot be related; the spinal angles are NaN there.
        quality : (n,) uint8
            `Quality` bits of the rows, passed on.

        Returns
        -------
        PostureBlock of n rows

        Raises
        ------
        SignalError
            If an array is of another shape or type.
        """
        rows = len(floats("time_s", time_s, (None,)))
        given = (time_s, upper.quat, lower.quat, heading.delta, heading.sd, quality)
        time_s, upper_q, lower_q, delta, sd, quality = fitting(rows, b"14411f", INPUTS, given)
        angles = np.empty((len(ANGLES), rows))
        _ext.posture(upper_q, lower_q, delta, sd, self._spread, angles, WIDE)
        columns = dict(zip(ANGLES, angles, strict=True))
        return PostureBlock(time_s, upper_q, lower_q, quality=quality, heading_state=heading.state, **columns)
