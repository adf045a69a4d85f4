"""Calibration: from sensor frames to segment frames, found from a few movements, with a verdict.

A neutral stance gives the vertical of each segment, slow forward bends its facing, side bends a second estimate of the
same (`estimate`); the movements are found in the rows themselves (`movements`); what comes out is judged (`verdicts`)
and applied to every row (`mounting`).
"""

from imuposture.calibration.estimate import calibrate
from imuposture.calibration.mounting import Calibration, Mounting

__all__ = ["Calibration", "Mounting", "calibrate"]
