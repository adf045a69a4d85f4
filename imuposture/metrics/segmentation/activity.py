"""What the wearer was doing, a second at a time and some seconds later: lying, sitting, standing, walking.

One segmentation serves all metrics. A back does not show legs: sitting and standing are told by how far the pelvis is
tipped back and the spine bent, which upright sitters and slouching standers defy; so states carry a probability.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from math import exp, isnan, nan
from typing import NamedTuple

import numpy as np

from imuposture._blocks import Event, FloatArray, PostureBlock
from imuposture._ext import strides as _ext
from imuposture.metrics._rows import Delay, Windows, usable
from imuposture.metrics.segmentation.epochs import EPOCH_S, Epoch, State
from imuposture.metrics.segmentation.gait import GAIT_DELAY_S, Step
from imuposture.metrics.segmentation.movements import LONGEST_DELAY_S

__all__ = ["ACTIVITY_DELAY_S", "Activities", "Known"]

HORIZONTAL = 0.42  # cosine of the 65 degrees from the vertical beyond which somebody lies or is bent
PRONE_S = 30  # s a lower back faces up before that is lying and not bending down
SEATED_DEG = 10.0  # of pelvis backward and half of the spine's flexion: half way from standing to sitting
SEATED_SCALE_DEG = 3.0  # what changes the odds by e. Small: sure of all; large: of none
BENT_DEG = 40.0  # trunk inclination and
BUSY_DEGPS = 15.0  # motion beyond which a second says nothing about legs
AROUND = 5  # s on both sides that have a say in it
SURE = 0.75  # probability from which on a state is named
STEP_S = 0.2  # s over which a change counts as motion: about a step's rise. Small: noise; large: misses steps
FEWEST = 0.5  # share of an epoch's rows that must hold something
DELAY = int(max(GAIT_DELAY_S, PRONE_S)) + 4  # epochs
ACTIVITY_DELAY_S = (DELAY + 1) * EPOCH_S


class Known:
    """Movements on their way to those who look at epochs.

    How long after its end a movement becomes certain depends on the rows, and with how many rows it comes on the cut.
    An epoch is told of those that are certain by then however the rows are cut, in the order in which they came.
    """

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()

    def take(self, movements: tuple[Event, ...]) -> None:
        """Take what became certain."""
        self._waiting.extend(movements)

    def before(self, epoch: Epoch) -> Sequence[Event]:
        """Return what this epoch may know of and the one before it did not."""
        if not self._waiting:
            return ()
        latest, known = epoch.start_s + ACTIVITY_DELAY_S - LONGEST_DELAY_S - EPOCH_S, []
        while self._waiting and self._waiting[0].end_s <= latest:
            known.append(self._waiting.popleft())
        return known


class _Second(NamedTuple):
    number: int
    odds: float  # logarithm, for sitting; NaN where the second says nothing
    lies: State | None
    measured: bool
    lean_deg: float
    flexion_deg: float
    motion_degps: float


class Activities:
    """Rows and steps in, finished epochs out; the same however rows are cut.

    Parameters
    ----------
    rate_hz : float
    calibrated : bool
        Without a calibration nothing is known of the pelvis, and only walking has a name.
    """

    def __init__(self, rate_hz: float, *, calibrated: bool = True) -> None:
        self._calibrated = calibrated
        self._step = max(1, round(STEP_S * rate_hz))
        self._per_second = rate_hz / self._step
        self._lean, self._side = Delay(self._step), Delay(self._step)
        self._windows = Windows(EPOCH_S)
        self._state = np.zeros(14)
        self._state[0] = -1.0
        self._fewest = FEWEST * EPOCH_S * rate_hz
        self._line: deque[_Second] = deque()
        self._before: deque[_Second] = deque(maxlen=AROUND)
        self._prone = 0
        self._walked: set[int] = set()
        self._last_step: Step | None = None

    def push(self, posture: PostureBlock, steps: tuple[Step, ...] = ()) -> tuple[Epoch, ...]:
        """Take the next rows, and the steps that became certain with them."""
        for _ in self._windows.split(posture.time_s[:1]):
            pass
        epochs: list[Epoch] = []
        if len(posture):
            index = self._windows.index(posture.time_s)
            found = np.empty((int(np.count_nonzero(np.diff(index))) + 2, 14))
            n = _ext.postures(index, *self._columns(posture), self._state, found)
            self._mark(steps)
            for row in found[:n].tolist():
                epochs += self._take(_second(row, self._fewest, calibrated=self._calibrated))
        return tuple(epochs)

    def finish(self, steps: tuple[Step, ...] = ()) -> tuple[Epoch, ...]:
        """Give the last epochs."""
        self._mark(steps)
        epochs: list[Epoch] = []
        if self._state[0] >= 0.0:
            epochs += self._take(_second(self._state.tolist(), self._fewest, calibrated=self._calibrated))
        return (*epochs, *self._flush())

    def _columns(self, posture: PostureBlock) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        lean: FloatArray = np.where(usable(posture) == 1, posture.trunk_inclination_deg, np.nan)
        sideways = np.nan_to_num(np.abs(self._side.push(posture.upper_side_deg)), nan=0.0)
        motion = (np.abs(self._lean.push(lean)) + sideways) * self._per_second
        return posture.lower_q, posture.lower_forward_deg, posture.flexion_deg, lean, motion

    def _mark(self, steps: tuple[Step, ...]) -> None:
        """Note the epochs that steps of one walk span."""
        for step in steps:
            last, self._last_step = self._last_step, step
            first = step if last is None or last.walk != step.walk else last
            span = self._windows.index(np.array([first.time_s, step.time_s]))
            self._walked.update(range(int(span[0]), int(span[1]) + 1))

    def _take(self, second: _Second) -> Iterator[Epoch]:
        """Put a second at the end of the line; yield those that all of their future is known of."""
        if self._line and second.number > self._line[-1].number + AROUND:
            yield from self._flush()
            self._before.clear()
        self._line.append(second)
        self._prone = self._prone + 1 if second.lies == "transition" else 0
        if self._prone >= PRONE_S:
            # Whoever is bent that long lies: so do the seconds before, which are all still here.
            for k in range(1, (self._prone if self._prone == PRONE_S else 1) + 1):
                self._line[-k] = self._line[-k]._replace(lies="lying_prone")
        while second.number - self._line[0].number >= DELAY:
            yield self._finished()

    def _flush(self) -> Iterator[Epoch]:
        while self._line:
            yield self._finished()

    def _finished(self) -> Epoch:
        second = self._line.popleft()
        state, probability = self._judged(second)
        self._before.append(second)
        self._walked.discard(second.number)
        start = self._windows.start(second.number)
        return Epoch(start, state, probability, second.lean_deg, second.flexion_deg, second.motion_degps)

    def _judged(self, second: _Second) -> tuple[State, float]:
        if not second.measured:
            return "unknown", 0.0
        if second.number in self._walked:
            return "walking", 1.0
        if second.lies is not None:
            return second.lies, 1.0
        return self._upright(second)

    def _upright(self, second: _Second) -> tuple[State, float]:
        """Ask the seconds around, too, whether somebody sits or stands."""
        told = [one.odds for one in (*self._before, second, *islice(self._line, AROUND)) if not isnan(one.odds)]
        if isnan(second.odds) and len(told) < AROUND:
            moves = self._calibrated and not isnan(second.motion_degps)
            return ("transition", 1.0) if moves else ("unknown", 0.0)
        if not told:
            return "unknown", 0.0
        total = 0.0
        for odds in told:
            total += odds
        seated = 1.0 / (1.0 + exp(-total / len(told)))
        probability = max(seated, 1.0 - seated)
        if probability < SURE:
            return "unknown", probability
        return ("sitting" if seated > 0.5 else "standing"), probability


def _second(row: list[float], fewest: float, *, calibrated: bool) -> _Second:
    """Judge a second by itself."""
    number, _, n, up_x, up_y, up_z, forward, n_flexion, flexion, n_lean, lean, n_motion, tilt, motion = row
    mean_flexion = flexion / n_flexion if n_flexion >= fewest else nan
    mean_lean = lean / n_lean if n_lean >= fewest else nan
    mean_motion = motion / n_motion if n_motion >= fewest else nan
    lies, odds = None, nan
    if calibrated and n >= fewest:
        lies = _lying(up_x / n, up_y / n, up_z / n)
        busy = mean_motion > BUSY_DEGPS or (n_motion > 0.0 and tilt > BENT_DEG * n_motion)
        if lies is None and not busy:
            back = -forward / n + (0.0 if isnan(mean_flexion) else 0.5 * mean_flexion)
            odds = min(max((back - SEATED_DEG) / SEATED_SCALE_DEG, -4.0), 4.0)
    measured = n >= fewest or n_lean >= fewest
    return _Second(int(number), odds, lies, measured, mean_lean, mean_flexion, mean_motion)


def _lying(up_x: float, up_y: float, up_z: float) -> State | None:
    """Return how somebody lies whose lower segment sees up there; bent down and prone look the same."""
    if up_y >= HORIZONTAL:
        return None
    if abs(up_x) >= abs(up_z):
        return "lying_supine" if up_x > 0.0 else "transition"
    return "lying_left" if up_z > 0.0 else "lying_right"
