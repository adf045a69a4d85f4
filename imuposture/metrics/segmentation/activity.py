"""What the wearer was doing, a second at a time and some seconds later: lying, sitting, standing, walking.

One segmentation serves all metrics. A back does not show legs: sitting and standing are told by how far the pelvis is
tipped back and the spine bent, which upright sitters and slouching standers defy; so states carry a probability.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from math import exp, isnan

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Event, FloatArray, PostureBlock
from imuposture._ext import seconds as _ext
from imuposture.metrics._rows import Delay, Seconds, usable
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
LIES: tuple[State, ...] = ("lying_supine", "transition", "lying_left", "lying_right", "lying_prone")
BENT, PRONE = LIES.index("transition"), LIES.index("lying_prone")
NUMBER, ODDS, LIES_HOW, MEASURED, LEAN, FLEXION, MOTION = range(len(_ext.SECOND))


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


class Activities:
    """Rows and steps in, finished epochs out; the same however rows are cut.

    Parameters
    ----------
    rate_hz : float
    clock : Seconds
        Knows the seconds of the session.
    calibrated : bool
        Without a calibration nothing is known of the pelvis, and only walking has a name.
    """

    def __init__(self, rate_hz: float, clock: Seconds, *, calibrated: bool = True) -> None:
        self._clock, self._calibrated = clock, calibrated
        self._step = max(1, round(STEP_S * rate_hz))
        self._per_second = rate_hz / self._step
        self._lean, self._side = Delay(self._step), Delay(self._step)
        self._settings = _settings(rate_hz, calibrated=calibrated)
        self._state = np.zeros(_ext.SUMS)
        self._state[0] = -1.0
        self._line = _seconds(AROUND)  # the latest that were told, then those that wait
        self._prone = 0
        self._walked: set[int] = set()
        self._last_step: Step | None = None

    def push(self, posture: PostureBlock, number: NDArray[np.int64], steps: tuple[Step, ...] = ()) -> tuple[Epoch, ...]:
        """Take the next rows, the seconds they lie in, and the steps that became certain with them."""
        if not len(posture):
            return ()
        found = _seconds(int(np.count_nonzero(number[1:] != number[:-1])) + 1)
        n = _ext.advance(number, *self._columns(posture), self._settings, self._state, found)
        self._mark(steps)
        return tuple(self._take(found[:n]))

    def finish(self, steps: tuple[Step, ...] = ()) -> tuple[Epoch, ...]:
        """Give the last epochs."""
        self._mark(steps)
        found = _seconds(1)
        epochs = self._take(found[: _ext.close(self._settings, self._state, found)])
        return (*epochs, *self._told(len(self._line) - AROUND))

    def _columns(self, posture: PostureBlock) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        lean: FloatArray = np.where(usable(posture) == 1, posture.trunk_inclination_deg, np.nan)
        sideways = np.abs(self._side.push(posture.upper_side_deg))
        motion = np.abs(self._lean.push(lean))
        motion = (motion + np.where(np.isnan(sideways), 0.0, sideways)) * self._per_second
        return posture.lower_q, posture.lower_forward_deg, posture.flexion_deg, lean, motion

    def _mark(self, steps: tuple[Step, ...]) -> None:
        """Note the epochs that steps of one walk span."""
        for step in steps:
            last, self._last_step = self._last_step, step
            first = step if last is None or last.walk != step.walk else last
            span = self._clock.number(np.array([first.time_s, step.time_s]))
            self._walked.update(range(int(span[0]), int(span[1]) + 1))

    def _take(self, seconds: FloatArray) -> list[Epoch]:
        """Put seconds at the end of the line; return those that all of their future is known of."""
        if not len(seconds):
            return []
        epochs: list[Epoch] = []
        number = np.concatenate([self._line[-1:, NUMBER], seconds[:, NUMBER]])
        far = np.flatnonzero(number[1:] - number[:-1] > AROUND).tolist()
        for begin, end in pairwise([0, *far, len(seconds)]):
            if begin in far:  # too far from the ones before for these to know anything of each other
                epochs += self._told(len(self._line) - AROUND)
                self._line = _seconds(AROUND)
            if begin < end:
                self._line = np.concatenate([self._line, seconds[begin:end]])
                self._lie(end - begin)
                waiting = self._line[AROUND:, NUMBER]
                epochs += self._told(int(np.count_nonzero(waiting <= waiting[-1] - DELAY)))
        return epochs

    def _lie(self, new: int) -> None:
        """Take who is bent for long for lying, from the first second on: all of them are still in the line."""
        first, bent = len(self._line) - new, self._line[-new:, LIES_HOW] == BENT
        if not bent.any():
            self._prone = 0
            return
        for k in range(first, len(self._line)):
            follows = self._line[k, NUMBER] - self._line[k - 1, NUMBER] == 1.0
            self._prone = (self._prone if follows else 0) + 1 if bent[k - first] else 0
            if self._prone >= PRONE_S:
                self._line[k - PRONE_S + 1 : k + 1, LIES_HOW] = PRONE

    def _told(self, count: int) -> list[Epoch]:
        """Say what the wearer did in the first seconds that wait, and let them go."""
        if not count:
            return []
        rows, votes = self._line[AROUND : AROUND + count], np.empty((count, 2))
        _ext.votes(self._line, AROUND, votes)
        self._line = self._line[count:]
        start_s = self._clock.start(rows[:, NUMBER])
        epochs = []
        for start, second, (odds, n) in zip(start_s.tolist(), rows.tolist(), votes.tolist(), strict=True):
            state, probability = self._judged(second, odds, n)
            epochs.append(Epoch(start, state, probability, second[LEAN], second[FLEXION], second[MOTION]))
        self._walked.difference_update(rows[:, NUMBER].tolist())
        return epochs

    def _judged(self, second: list[float], odds: float, votes: float) -> tuple[State, float]:
        """Return state and probability of a second; ``odds`` is the sum of ``votes`` seconds around it."""
        if not second[MEASURED]:
            return "unknown", 0.0
        if second[NUMBER] in self._walked:
            return "walking", 1.0
        if not isnan(second[LIES_HOW]):
            return LIES[int(second[LIES_HOW])], 1.0
        if isnan(second[ODDS]) and votes < AROUND:
            moves = self._calibrated and not isnan(second[MOTION])
            return ("transition", 1.0) if moves else ("unknown", 0.0)
        return _upright(odds / votes) if votes else ("unknown", 0.0)


def _seconds(count: int) -> FloatArray:
    """Return seconds of which nothing is known."""
    return np.full((count, len(_ext.SECOND)), np.nan)


def _settings(rate_hz: float, *, calibrated: bool) -> FloatArray:
    values = {
        "fewest": FEWEST * EPOCH_S * rate_hz,
        "calibrated": float(calibrated),
        "horizontal": HORIZONTAL,
        "bent_deg": BENT_DEG,
        "busy_degps": BUSY_DEGPS,
        "seated_deg": SEATED_DEG,
        "seated_scale_deg": SEATED_SCALE_DEG,
    }
    return np.array([values[name] for name in _ext.SETTINGS])


def _upright(odds: float) -> tuple[State, float]:
    """Say whether somebody sits or stands."""
    seated = 1.0 / (1.0 + exp(-odds))
    probability = max(seated, 1.0 - seated)
    if probability < SURE:
        return "unknown", probability
    return ("sitting" if seated > 0.5 else "standing"), probability
