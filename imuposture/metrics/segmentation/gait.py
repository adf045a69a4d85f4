"""Gait: rows of the lower sensor in, steps of steady walking out, some seconds later; the same however rows are cut.

A row costs a sum; only where the sensor moves are seconds kept and looked at, a piece of at most `PIECE_S` at a time.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

import numpy as np

from imuposture._blocks import FloatArray, PairBlock, PostureBlock
from imuposture._ext import strides as _ext
from imuposture.metrics.segmentation import gait_cycle
from imuposture.metrics.segmentation.gait_walks import (
    PENDING,
    RANGES,
    STEPS,
    STRETCH,
    Bouts,
    Contact,
    Piece,
    Step,
    Stretch,
    Stride,
    Walks,
)

__all__ = ["GAIT_DELAY_S", "RANGES", "Gait", "Step", "Stretch", "Stride"]

MOVING = 0.4  # m/s2, sd of the acceleration within a second. Small: shuffling in a seat is looked at; large: slow gait
PIECE_S = 12  # s that are looked at together. Small: sides are less sure; large: steps are known late
MARGIN_S = 3  # s on both sides of it: a stride and the reach of the smoothing
QUIET_S = 2  # s without movement that end a piece
LONGEST_STEP_S = 1.5  # from one contact to the next; beyond, a walk ends
STRIDE_S = (0.7, 2.5)  # s
RHYTHM = 0.08  # share of the power that smoothing must leave: noise and vibration leave 0.035, walkers 0.17 and more
GAIT_DELAY_S = PIECE_S + 2.0 * MARGIN_S + PENDING * LONGEST_STEP_S  # by then every step is known
COLUMNS = ("flexion_deg", "lateral_bend_deg", "axial_rotation_deg", "lower_forward_deg", "lower_side_deg")


class Gait:
    """Steps of one sensor on the lower back.

    Parameters
    ----------
    rate_hz : float
    forward : (3,) array_like, optional
        The way ahead in the frame of the sensor's rows. Without, it is learned from the walking itself.
    bouts : sequence of (start, end), s, optional
        Spans that are known to be walking, in order: every step inside is given, and none outside.
    """

    def __init__(
        self,
        rate_hz: float,
        forward: Sequence[float] | None = (1.0, 0.0, 0.0),
        bouts: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self._rate = rate_hz
        self._per = max(2, round(rate_hz))
        self._given = None if forward is None else np.array(forward, dtype=np.float64)
        self._learned = np.zeros(3)
        self._latest_s = np.inf
        self._state = np.zeros(5)
        self._bouts = None if bouts is None else Bouts(bouts)
        self._walks = Walks() if self._bouts is None else self._bouts
        self._begin()

    def _begin(self) -> None:
        """Forget the rows so far: nothing before belongs to what comes."""
        self._state[:] = 0.0
        self._held: deque[tuple[int, tuple[FloatArray, ...]]] = deque()
        self._rows = 0
        self._epoch = 0
        self._start: int | None = None  # first epoch of the piece that is open
        self._moved = 0
        self._barrier = 0  # nothing before this epoch belongs to what comes
        self._last: list[Contact] = []

    def push(self, posture: PostureBlock, segments: PairBlock) -> list[Step]:
        """Take the next rows; return the steps that became certain."""
        steps: list[Step] = []
        if not len(posture):
            return steps
        time, longest = posture.time_s, 1.5 / self._rate
        holes = (np.flatnonzero(time[1:] - time[:-1] > longest) + 1).tolist()
        if time[0] - self._latest_s > longest:
            holes.insert(0, 0)
        self._latest_s = float(time[-1])
        lower = segments.lower
        columns = (time, lower.acc, lower.gyr, posture.lower_q, *(getattr(posture, one) for one in COLUMNS))
        for first, end in zip([0, *holes], [*holes, len(posture)], strict=True):
            if first in holes:
                steps += self.finish()
                self._begin()
            steps += self._whole(tuple(column[first:end] for column in columns))
        return steps

    def _whole(self, columns: tuple[FloatArray, ...]) -> list[Step]:
        """Take rows without a hole between them."""
        acc, before = np.ascontiguousarray(columns[1]), int(self._state[0])
        self._held.append((self._rows, columns))
        self._rows += len(acc)
        found = np.empty((len(acc) // self._per + 2, 2))
        found = found[: _ext.restless(acc, self._per, self._state, found)]
        moving, whole = found[:, 0] > MOVING * MOVING, found[:, 1] == 1.0
        if self._bouts is not None:
            ends = columns[0][np.arange(1, len(found) + 1) * self._per - 1 - before]
            moving = self._bouts.overlap(ends - (self._per - 1) / self._rate, ends)
        news = np.flatnonzero(moving | ~whole).tolist()
        steps, k = [], 0
        while k < len(found):
            if self._start is None:  # nothing is open: on to the next epoch that can open or break anything
                at = bisect_left(news, k)
                following = news[at] if at < len(news) else len(found)
                self._epoch, k = self._epoch + following - k, following
            if k < len(found):
                steps += self._epoch_ended(bool(moving[k]), bool(whole[k]))
                k += 1
        self._forget()
        return steps

    def finish(self) -> list[Step]:
        """Return the steps of the last rows."""
        steps = self._close(self._epoch, 0 if self._state[1] else int(self._state[0]))
        self._walks.finish()
        return steps

    def _epoch_ended(self, moving: bool, whole: bool) -> list[Step]:
        k, self._epoch = self._epoch, self._epoch + 1
        if not whole:
            steps = self._close(k)
            self._barrier, self._last = k + 1, []
            self._walks.finish()
            return steps
        if moving:
            self._moved = k
            if self._start is None:
                self._start = max(k - 1, self._barrier)
        if self._start is None:
            return []
        if k - self._moved >= QUIET_S:
            return self._close(k + 1)
        if k + 1 - self._start >= PIECE_S + MARGIN_S:
            begin, self._start = self._start, self._start + PIECE_S
            return self._looked_at(begin, (begin + PIECE_S) * self._per, (k + 1) * self._per)
        return []

    def _close(self, known: int, more: int = 0) -> list[Step]:
        """Look at what is open, knowing the rows before epoch ``known`` and some ``more``."""
        begin, self._start = self._start, None
        if begin is None:
            return []
        last = known * self._per + more
        return self._looked_at(begin, max(min((self._moved + 2) * self._per, last), begin * self._per), last)

    def _forget(self) -> None:
        """Let go of rows that no piece will ask for."""
        first = (self._epoch - 2 if self._start is None else self._start) - MARGIN_S
        while len(self._held) > 1 and self._held[1][0] <= first * self._per:
            self._held.popleft()

    def _gathered(self, begin: int, end: int) -> list[FloatArray]:
        """Return time, acceleration, angular rate, quaternion and the angles of rows ``begin`` to ``end``."""
        parts = []
        for first, columns in self._held:
            rows = slice(max(begin - first, 0), max(end - first, 0))
            if rows.start < min(rows.stop, len(columns[0])):
                parts.append([column[rows] for column in columns])
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(column) for column in zip(*parts, strict=True)]

    def _looked_at(self, begin: int, end: int, known: int) -> list[Step]:
        """Find the steps from epoch ``begin`` to row ``end``, with all around them up to row ``known``."""
        first = max(begin - MARGIN_S, self._barrier) * self._per
        time, acc, gyr, quat, *angles = self._gathered(first, known)
        level, ahead = self._levelled(acc, gyr, quat)
        if not np.isfinite(level).all():  # a row without a measurement, an orientation or a way ahead
            return []
        # Copies: a contact that waits to be known as a step holds on to its piece, not to the rows of a whole block.
        piece = Piece(first, level, gait_cycle.smoothed(level[:4], self._rate), tuple(one.copy() for one in angles))
        if self._bouts is None and gait_cycle.share(piece.smooth, level) < RHYTHM:
            return []
        found = self._contacts(piece, time, (begin * self._per, end))
        if len(found) >= STEPS or self._bouts is not None:
            self._learned = ahead
        row = [*self._last, *found]
        for k in range(len(self._last), len(row)):
            self._add_stride(row[max(k - 2, 0) : k + 1])
        self._add_tail(row)
        self._last = row[-3:]
        return [step for contact in found for step in self._walks.push(contact)]

    def _levelled(self, acc: FloatArray, gyr: FloatArray, quat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows upright and ahead, and what is known of the way ahead with them."""
        if self._given is not None:
            return gait_cycle.levelled(acc, gyr, quat, self._given), self._learned
        axes = np.eye(3)
        up = np.abs([gait_cycle.levelled(np.tile(axis, (len(quat), 1)), gyr, quat, axis)[0].mean() for axis in axes])
        axis = axes[int(np.argmin(up))]
        level = gait_cycle.levelled(acc, gyr, quat, axis)
        along, across = gait_cycle.forward_of(level, self._rate)
        # Both horizontal axes in the frame of the sensor, on average over the rows.
        frame = np.stack([gait_cycle.levelled(np.tile(one, (len(quat), 1)), gyr, quat, axis)[:3] for one in axes])
        middle = frame.mean(axis=2)
        ahead = self._learned + along * middle[:, 1] + across * middle[:, 2]
        return gait_cycle.levelled(acc, gyr, quat, ahead), ahead

    def _contacts(self, piece: Piece, time: FloatArray, span: tuple[int, int]) -> list[Contact]:
        """Return the contacts in rows ``span``, with their feet."""
        contacts = gait_cycle.contacts(piece.level, piece.smooth, self._rate)
        row = contacts.row + piece.first
        last = self._last[-1] if self._last else None
        inside = (row >= span[0]) & (row < span[1]) & (contacts.row >= 0.0)
        if last is not None:
            inside &= row >= last.row + gait_cycle.SOONEST_S * self._rate
        at = np.maximum(row - piece.first, 0.0).astype(np.int64)
        time_s = time[at] + (row - piece.first - at) / self._rate
        if self._bouts is not None:
            inside &= self._bouts.overlap(time_s, time_s)
        row, time_s, pushed, turned = row[inside], time_s[inside], contacts.pushed[inside], contacts.turned[inside]
        feet = gait_cycle.sides(time_s, pushed + turned, None if last is None else (last.time_s, last.right))
        found = []
        columns = (row.tolist(), time_s.tolist(), feet, pushed.tolist(), turned.tolist())
        for where, instant, right, push, turn in zip(*columns, strict=True):
            # To the microsecond: a mirrored walker has the same instants, whatever rounding did on the way.
            when, sign = round(instant, 6), 1.0 if right else -1.0
            follows = last is not None and when - last.time_s <= LONGEST_STEP_S
            place = last.place + 1 if last is not None and follows else 0
            last = Contact(where, when, right, sign * push, sign * turn, place, piece)
            found.append(last)
        return found

    def _add_stride(self, contacts: list[Contact]) -> None:
        """Give the last of three contacts its stride, if they are of one walk and alternate."""
        last = contacts[-1]
        if last.place < 2 or len(contacts) < 3:
            return
        start, middle = contacts[:2]
        first, seconds = last.piece.first, last.time_s - start.time_s
        if middle.right in (last.right, start.right) or not STRIDE_S[0] <= seconds <= STRIDE_S[1] or start.row < first:
            return
        before_s = middle.stride_s() or seconds
        last.begun, last.change = (start.row, start.time_s), abs(seconds - before_s) / before_s
        # Whether the upward and forward movement since the foot was down last has come once more.
        last.alike = gait_cycle.repeated(last.piece.smooth, int(start.row) - first, int(last.row) - first)

    def _add_tail(self, contacts: list[Contact]) -> None:
        """Tell the last contact the steady steps that lead to it."""
        if not contacts:
            return
        first, n = contacts[-1].piece.first, len(contacts)
        while n and contacts[n - 1].begun is not None and contacts[n - 1].row >= first:
            n -= 1
        steady = contacts[max(n - 2, 0) :]
        if len(steady) >= STRETCH and steady[0].row >= first:
            contacts[-1].tail = [one.row for one in steady]
