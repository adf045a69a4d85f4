"""Segmentation: posture rows in; movements, steps and what the wearer did out. One for all metrics.

Everything here is told late, once it is certain, so that it is the same live and in batch.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Event, FlagArray, FloatArray, PairBlock, PostureBlock, no_posture
from imuposture.metrics._rows import Seconds, usable
from imuposture.metrics.segmentation.activity import Activities
from imuposture.metrics.segmentation.epochs import Epoch
from imuposture.metrics.segmentation.gait import Gait, Step
from imuposture.metrics.segmentation.movements import Movements
from imuposture.metrics.segmentation.profiles import Profiles

__all__ = ["NEEDS", "Observed", "Segmentation"]

NEEDS = frozenset({"movements", "steps", "activity"})  # what a metric may ask for


def _no_rows() -> NDArray[np.intp]:
    return np.empty(0, np.intp)


@dataclass(frozen=True)
class Observed:
    """What a metric is shown at a time: the next rows, and what was found in the rows so far.

    Attributes
    ----------
    posture : PostureBlock
        The next rows; none when the recording ends.
    segments : PairBlock or None
        Acceleration (m/s2) and angular rate (rad/s) of the same rows in segment frames (X anterior, Y up, Z right);
        in sensor frames where the session is not calibrated, None where only angles are known (a session scored anew).
    movements : tuple of Event
        Those that became certain with these rows, of the kinds ``repetition``, ``posture_change`` and ``aborted``. They
        may end seconds, never more than `movements.LONGEST_DELAY_S`, before the rows.
    steps : tuple of Step
        Steps of steady walking that became certain with these rows, up to `gait.GAIT_DELAY_S` after they
        were made. None without ``segments``.
    activity : tuple of Epoch
        Seconds of which it became certain what the wearer did, each `activity.ACTIVITY_DELAY_S` before
        the latest row.
    starts : (m,) int
        Rows with which a second of the session begins.
    """

    posture: PostureBlock
    segments: PairBlock | None
    movements: tuple[Event, ...]
    steps: tuple[Step, ...] = ()
    activity: tuple[Epoch, ...] = ()
    starts: NDArray[np.intp] = field(default_factory=_no_rows)

    @cached_property
    def usable(self) -> FlagArray:
        """(n,) uint8: 1 for rows that hold a posture, 0 for those in a gap."""
        return usable(self.posture)

    @cached_property
    def facing(self) -> FlagArray:
        """(n,) uint8: 1 for usable rows of which the heading is known too, as axial rotation needs it."""
        return usable(self.posture, heading=True)

    @cached_property
    def lean_deg(self) -> FloatArray:
        """(n,) float64: inclination of the trunk, degrees, NaN in gaps."""
        lean: FloatArray = np.where(self.usable == 1, self.posture.trunk_inclination_deg, np.nan)
        return lean


class Segmentation:
    """Rows of a session in, what was found in them out.

    Parameters
    ----------
    rate_hz : float
    calibrated : bool
        Without a calibration the rows are in the sensors' frames, and nobody has said where ahead is.
    bouts : sequence of (start, end), s, optional
        Spans that are known to be walking; without, they are found.
    needs : set of str
        Which of `NEEDS` to look for; nobody is told of others. Activity needs steps, to know who walks.
    """

    def __init__(
        self,
        rate_hz: float,
        *,
        calibrated: bool = True,
        bouts: Sequence[tuple[float, float]] | None = None,
        needs: Set[str] = NEEDS,
    ) -> None:
        self._seconds = Seconds()
        self._moved = _Moved(rate_hz, wanted="movements" in needs)
        self._gait: Gait | None = None
        self._activities: Activities | None = None
        if needs & {"steps", "activity"}:
            self._gait = Gait(rate_hz, (1.0, 0.0, 0.0) if calibrated else None, bouts)
        if "activity" in needs:
            self._activities = Activities(rate_hz, self._seconds, calibrated=calibrated)

    def push(self, posture: PostureBlock, segments: PairBlock | None) -> Observed:
        """Take the next rows, and the measurements of both segments where they are known."""
        number, starts = self._seconds.push(posture.time_s)
        movements = self._moved.push(posture)
        steps = () if segments is None or self._gait is None else tuple(self._gait.push(posture, segments))
        activity = () if self._activities is None else self._activities.push(posture, number, steps)
        return Observed(posture, segments, movements, steps, activity, starts)

    def finish(self) -> Observed:
        """Give what was still open."""
        steps = () if self._gait is None else tuple(self._gait.finish())
        activity = () if self._activities is None else self._activities.finish(steps)
        return Observed(no_posture(), None, self._moved.finish(), steps, activity)


class _Moved:
    """Movements with what their rows say; none where nobody asks."""

    def __init__(self, rate_hz: float, *, wanted: bool) -> None:
        self._movements = Movements(rate_hz) if wanted else None
        self._profiles = Profiles(rate_hz)

    def push(self, posture: PostureBlock) -> tuple[Event, ...]:
        return () if self._movements is None else self._profiles.push(posture, self._movements.push(posture))

    def finish(self) -> tuple[Event, ...]:
        return () if self._movements is None else self._profiles.finish(self._movements.finish())
