"""What is true about a simulated back: both segments, and the angles that follow from them."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray
from imuposture.acquisition.simulation import _quaternions as quaternions

__all__ = ["Truth"]

DEGREES = 180.0 / np.pi
ROWS = 65536  # rows worked on at a time: a day of truth needs little more memory than its results


class Truth:
    """True orientations and angles; unpacks into flexion, lateral bend and axial rotation.

    Parameters
    ----------
    lower_q, upper_q : (n, 4) float64, w-first, segment -> earth (z up)
    """

    def __init__(self, lower_q: FloatArray, upper_q: FloatArray) -> None:
        self._given = lower_q, upper_q

    def __iter__(self) -> Iterator[FloatArray]:
        return iter((self.flexion_deg, self.lateral_bend_deg, self.axial_rotation_deg))

    @cached_property
    def _segments(self) -> tuple[FloatArray, FloatArray]:
        """Return both segments' orientations; a subclass may make them late."""
        return self._given

    @property
    def lower_q(self) -> FloatArray:
        """Orientation (n, 4) of the lower segment -> earth."""
        return self._segments[0]

    @property
    def upper_q(self) -> FloatArray:
        """Orientation (n, 4) of the upper segment -> earth."""
        return self._segments[1]

    @cached_property
    def _angles(self) -> tuple[FloatArray, ...]:
        angles = np.empty((3, len(self.lower_q)))
        for start in range(0, len(self.lower_q), ROWS):
            rows = slice(start, start + ROWS)
            angles[:, rows] = quaternions.relative_angles(self.lower_q[rows], self.upper_q[rows])
        return tuple(DEGREES * angles)

    @cached_property
    def _inclinations(self) -> tuple[FloatArray, ...]:
        angles = np.empty((4, len(self.lower_q)))
        for start in range(0, len(self.lower_q), ROWS):
            rows = slice(start, start + ROWS)
            angles[:2, rows] = quaternions.segment_inclinations(self.upper_q[rows])
            angles[2:, rows] = quaternions.segment_inclinations(self.lower_q[rows])
        return tuple(DEGREES * angles)

    @property
    def flexion_deg(self) -> FloatArray:
        """Flexion (n,), degrees, + forward."""
        return self._angles[0]

    @property
    def lateral_bend_deg(self) -> FloatArray:
        """Lateral bend (n,), degrees, + right."""
        return self._angles[1]

    @property
    def axial_rotation_deg(self) -> FloatArray:
        """Axial rotation (n,), degrees, + right."""
        return self._angles[2]

    @property
    def upper_forward_deg(self) -> FloatArray:
        """Inclination (n,) of the upper segment against gravity, degrees, + forward."""
        return self._inclinations[0]

    @property
    def upper_side_deg(self) -> FloatArray:
        """Inclination (n,) of the upper segment, degrees, + right."""
        return self._inclinations[1]

    @property
    def lower_forward_deg(self) -> FloatArray:
        """Inclination (n,) of the lower segment against gravity, degrees, + forward."""
        return self._inclinations[2]

    @property
    def lower_side_deg(self) -> FloatArray:
        """Inclination (n,) of the lower segment, degrees, + right."""
        return self._inclinations[3]

    @property
    def trunk_inclination_deg(self) -> FloatArray:
        """Mean forward inclination (n,) of both segments, degrees, + forward, on the shorter way round."""
        apart = (self.upper_forward_deg - self.lower_forward_deg + 180.0) % 360.0 - 180.0
        middle: FloatArray = (self.lower_forward_deg + 0.5 * apart + 180.0) % 360.0 - 180.0
        return middle

    def counted_from(self, stance: slice | NDArray[np.intp]) -> "Truth":
        """Return the same motion counted from the mean of some rows.

        Both segments' frames are redefined so that there the segments stand upright, on top of each other, and look
        where the lower one looked: all that a calibration can know about a person.

        Parameters
        ----------
        stance : slice or (k,) index array
            Rows of the neutral stance.
        """
        lower, upper = quaternions.mean(self.lower_q[stance]), quaternions.mean(self.upper_q[stance])
        upright = quaternions.upright_like(lower)
        to_lower = quaternions.multiply(quaternions.conjugate(lower), upright)
        to_upper = quaternions.multiply(quaternions.conjugate(upper), upright)
        return Truth(quaternions.multiply(self.lower_q, to_lower), quaternions.multiply(self.upper_q, to_upper))
