"""Gait: rows of the lower sensor in, steps of steady walking out, some seconds later; the same however rows are cut.

A row costs a sum; only where the sensor moves are seconds kept and looked at, a piece of at most `PIECE_S` at a time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import median

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray, PairBlock, PostureBlock, Side
from imuposture._ext import strides as _ext
from imuposture.metrics.segmentation import gait_cycle

__all__ = ["GAIT_DELAY_S", "RANGES", "Gait", "Step", "Stretch", "Stride"]

MOVING = 0.4  # m/s2, sd of the acceleration within a second. Small: shuffling in a seat is looked at; large: slow gait
PIECE_S = 12  # s that are looked at together. Small: sides are less sure; large: steps are known late
MARGIN_S = 3  # s on both sides of it: a stride and the reach of the smoothing
QUIET_S = 2  # s without movement that end a piece
STEPS = 6  # contacts in a row: four strides of either foot, from which on it is walking
PENDING = 12  # contacts kept until that is known
LONGEST_STEP_S = 1.5  # from one contact to the next; beyond, a walk ends
STRIDE_S = (0.7, 2.5)  # s
WALKING = 0.3  # share by which a stride may differ from the one before, for walking to begin, and
STEADY = 0.2  # for its shape to count. Small: only treadmills are steady; large: turns count as strides
ALIKE = 0.2  # mean correlation of strides with those before, from which on it is walking; noise has 0, walkers 0.4 to 1
UNLIKE = 0.0  # below which it is walking no longer. Small: rummaging goes on as a walk; large: turns end it
RHYTHM = 0.08  # share of the power that smoothing must leave: noise and vibration leave 0.035, walkers 0.17 and more
ALTERNATING = 0.5  # mean strength with which sway or turns alternate with the feet (see `gait_cycle`)
GAIT_DELAY_S = PIECE_S + 2.0 * MARGIN_S + PENDING * LONGEST_STEP_S  # by then every step is known
RANGES = ("flexion", "lateral_bend", "axial_rotation", "pelvis_forward", "pelvis_side")
COLUMNS = ("flexion_deg", "lateral_bend_deg", "axial_rotation_deg", "lower_forward_deg", "lower_side_deg")


@dataclass(frozen=True, slots=True)
class Stride:
    """From one contact of a foot to its next.

    ``change`` is the share by which its duration differs from that of the stride before; ``spectrum`` (3, k) holds the
    harmonics of the acceleration up, forward and right, m/s2, of every second stride; ``ranges`` how far each of
    `RANGES` goes, degrees, NaN where not known.
    """

    start_s: float
    end_s: float
    change: float
    spectrum: NDArray[np.complex128] | None
    ranges: tuple[float, ...]

    @property
    def steady(self) -> bool:
        """Whether it lasted about as long as the one before."""
        return self.change <= STEADY


@dataclass(frozen=True, slots=True)
class Stretch:
    """Step and stride regularity, up, forward and right, over some strides in a row."""

    strides: float
    step: tuple[float, ...]
    stride: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A foot that came down, in walk number ``walk``; with the stride and the stretch that end there."""

    time_s: float
    side: Side
    walk: int
    stride: Stride | None
    stretch: Stretch | None


@dataclass(slots=True)
class _Contact:
    row: float  # counted from the first row of all
    time_s: float
    right: bool
    pushed: float  # how much speaks for this foot
    turned: float
    place: int  # in a row of steps without a pause
    alike: float = nan  # of the stride that ends here to the one before
    stride: Stride | None = None
    stretch: Stretch | None = None


class Gait:
    """Steps of one sensor on the lower back.

    Parameters
    ----------
    rate_hz : float
    forward : (3,) array_like, optional
        The way ahead in the frame of the sensor's rows. Without, it is learned from the walking itself.
    """

    def __init__(self, rate_hz: float, forward: Sequence[float] | None = (1.0, 0.0, 0.0)) -> None:
        self._rate = rate_hz
        self._per = max(2, round(rate_hz))
        self._given = None if forward is None else np.array(forward, dtype=np.float64)
        self._learned = np.zeros(3)
        self._latest_s = np.inf
        self._state = np.zeros(5)
        self._walks = _Walks()
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
        self._last: list[_Contact] = []

    def push(self, posture: PostureBlock, segments: PairBlock) -> list[Step]:
        """Take the next rows; return the steps that became certain."""
        steps: list[Step] = []
        if not len(posture):
            return steps
        ways = np.diff(posture.time_s, prepend=min(self._latest_s, posture.time_s[0]))
        self._latest_s = float(posture.time_s[-1])
        holes = np.flatnonzero(ways > 1.5 / self._rate).tolist()
        lower = segments.lower
        columns = (posture.time_s, lower.acc, lower.gyr, posture.lower_q, *(getattr(posture, one) for one in COLUMNS))
        for first, end in zip([0, *holes], [*holes, len(posture)], strict=True):
            if first in holes:
                steps += self.finish()
                self._begin()
            steps += self._whole(tuple(column[first:end] for column in columns))
        return steps

    def _whole(self, columns: tuple[FloatArray, ...]) -> list[Step]:
        """Take rows without a hole between them."""
        acc = np.ascontiguousarray(columns[1])
        self._held.append((self._rows, columns))
        self._rows += len(acc)
        found = np.empty((len(acc) // self._per + 2, 2))
        n = _ext.restless(acc, self._per, self._state, found)
        steps = []
        for moving, whole in zip((found[:n, 0] > MOVING * MOVING).tolist(), found[:n, 1].tolist(), strict=True):
            steps += self._epoch_ended(moving, whole == 1.0)
        self._forget()
        return steps

    def finish(self) -> list[Step]:
        """Return the steps of the last rows."""
        steps = self._close(self._epoch)
        return steps + self._walks.finish()

    def _epoch_ended(self, moving: bool, whole: bool) -> list[Step]:
        k, self._epoch = self._epoch, self._epoch + 1
        if not whole:
            steps = self._close(k)
            self._barrier, self._last = k + 1, []
            return steps + self._walks.finish()
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
            return self._looked_at(begin, begin + PIECE_S, k + 1)
        return []

    def _close(self, known: int) -> list[Step]:
        begin, self._start = self._start, None
        if begin is None:
            return []
        return self._looked_at(begin, max(min(self._moved + 2, known), begin), known)

    def _forget(self) -> None:
        """Let go of rows that no piece will ask for."""
        first = (self._epoch - 2 if self._start is None else self._start) - MARGIN_S
        while len(self._held) > 1 and self._held[1][0] <= first * self._per:
            self._held.popleft()

    def _gathered(self, begin: int, end: int) -> tuple[FloatArray, ...]:
        """Return time, acceleration, angular rate, quaternion and angles of rows ``begin`` to ``end``."""
        parts = []
        for first, columns in self._held:
            rows = slice(max(begin - first, 0), max(end - first, 0))
            if rows.start < min(rows.stop, len(columns[0])):
                parts.append([column[rows] for column in columns])
        time, acc, gyr, quat, *angles = (np.concatenate(column) for column in zip(*parts, strict=True))
        return time, acc, gyr, quat, np.stack(angles, axis=1)

    def _looked_at(self, begin: int, end: int, known: int) -> list[Step]:
        """Find the steps of epochs ``begin`` to ``end``, with all that is known around them."""
        first = max(begin - MARGIN_S, self._barrier) * self._per
        time, acc, gyr, quat, angles = self._gathered(first, known * self._per)
        if not np.isfinite(quat).all() or not np.isfinite(gyr).all():
            return []
        level, ahead = self._levelled(acc, gyr, quat)
        if not np.isfinite(level).all():
            return []
        contacts = gait_cycle.contacts(level, self._rate)
        if gait_cycle.share(contacts.smooth[:, :3], level[:, :3]) < RHYTHM:
            return []
        found = self._contacts(contacts, time, first, (begin * self._per, end * self._per))
        if len(found) >= STEPS:
            self._learned = ahead
        for k, contact in enumerate(found):
            self._add_stride(contact, [*self._last, *found[:k]], level, angles, first)
            self._compare(contact, [*self._last, *found[:k]], contacts.smooth, first)
        self._add_stretch([*self._last, *found], level, first)
        self._last = [*self._last, *found][-3:]
        return [step for contact in found for step in self._walks.push(contact)]

    def _levelled(self, acc: FloatArray, gyr: FloatArray, quat: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the rows upright and ahead, and what is known of the way ahead with them."""
        if self._given is not None:
            return gait_cycle.levelled(acc, gyr, quat, self._given), self._learned
        axes = np.eye(3)
        up = np.abs([gait_cycle.levelled(np.tile(axis, (len(quat), 1)), gyr, quat, axis)[:, 0].mean() for axis in axes])
        axis = axes[int(np.argmin(up))]
        level = gait_cycle.levelled(acc, gyr, quat, axis)
        along, across = gait_cycle.forward_of(level, self._rate)
        # Both horizontal axes in the frame of the sensor, on average over the rows.
        frame = np.stack([gait_cycle.levelled(np.tile(one, (len(quat), 1)), gyr, quat, axis)[:, :3] for one in axes])
        middle = frame.mean(axis=1)
        ahead = self._learned + along * middle[:, 1] + across * middle[:, 2]
        return gait_cycle.levelled(acc, gyr, quat, ahead), ahead

    def _contacts(
        self, contacts: gait_cycle.Contacts, time: FloatArray, first: int, span: tuple[int, int]
    ) -> list[_Contact]:
        """Return the contacts in rows ``span``, with their feet."""
        row = contacts.row + first
        last = self._last[-1] if self._last else None
        inside = (row >= span[0]) & (row < span[1]) & (contacts.row >= 0.0)
        if last is not None:
            inside &= row >= last.row + gait_cycle.SOONEST_S * self._rate
        row, pushed, turned = row[inside], contacts.pushed[inside], contacts.turned[inside]
        at = (row - first).astype(np.int64)
        time_s = time[at] + (row - first - at) / self._rate
        feet = gait_cycle.sides(time_s, pushed + turned, None if last is None else (last.time_s, last.right))
        found = []
        for k, right in enumerate(feet):
            # To the microsecond: a mirrored walker has the same instants, whatever rounding did on the way.
            when, sign = round(float(time_s[k]), 6), 1.0 if right else -1.0
            follows = last is not None and when - last.time_s <= LONGEST_STEP_S
            place = last.place + 1 if last is not None and follows else 0
            last = _Contact(float(row[k]), when, right, sign * float(pushed[k]), sign * float(turned[k]), place)
            found.append(last)
        return found

    def _add_stride(
        self, contact: _Contact, before: list[_Contact], level: FloatArray, angles: FloatArray, first: int
    ) -> None:
        """Give a contact the stride that ends there, if the three contacts are of one walk and alternate."""
        if contact.place < 2 or len(before) < 2:
            return
        start, middle = before[-2], before[-1]
        rows, seconds = contact.row - start.row, contact.time_s - start.time_s
        if middle.right in (contact.right, start.right) or not STRIDE_S[0] <= seconds <= STRIDE_S[1]:
            return
        if start.row < first:
            return
        before_s = middle.stride.end_s - middle.stride.start_s if middle.stride else seconds
        inside = angles[int(start.row - first) : int(contact.row - first) + 1]
        spectrum = gait_cycle.spectrum(level[:, :3], start.row - first, rows) if contact.place % 2 == 0 else None
        contact.stride = Stride(
            start.time_s,
            contact.time_s,
            abs(seconds - before_s) / before_s,
            spectrum,
            tuple((inside.max(axis=0) - inside.min(axis=0)).tolist()),
        )

    def _compare(self, contact: _Contact, before: list[_Contact], smooth: FloatArray, first: int) -> None:
        """Tell a contact whether the upward and forward movement since the foot was down last has come once more."""
        if contact.stride is not None:
            begin, end = (int(one.row) - first for one in (before[-2], contact))
            contact.alike = gait_cycle.repeated(smooth[:, :2], begin, end)

    def _add_stretch(self, contacts: list[_Contact], level: FloatArray, first: int) -> None:
        """Give the last contact the regularity of the steady steps that lead to it."""
        n = len(contacts)
        while n and contacts[n - 1].stride is not None and contacts[n - 1].row >= first:
            n -= 1
        steady = contacts[max(n - 2, 0) :]
        lengths = [b.row - a.row for a, b in zip(steady, steady[2:], strict=False)]
        if len(lengths) < STEPS - 2 or steady[0].row < first:
            return
        rows = level[int(steady[0].row - first) : int(steady[-1].row - first) + 1, :3]
        found = [gait_cycle.regularity(column, median(lengths)) for column in rows.T]
        steps, strides = zip(*found, strict=True)
        steady[-1].stretch = Stretch(len(lengths) / 2.0, steps, strides)


class _Walks:
    """Contacts in, those of walks of at least four steady strides out."""

    def __init__(self) -> None:
        self._pending: deque[_Contact] = deque(maxlen=PENDING)
        self._latest: deque[_Contact] = deque(maxlen=STEPS)
        self._walk = 0
        self._walking = False

    def push(self, contact: _Contact) -> Iterator[Step]:
        """Take the next contact; yield the steps that are now known to be walking."""
        if contact.place == 0:
            self.finish()
        self._latest.append(contact)
        self._pending.append(contact)
        alike = [one.alike for one in self._latest if not isnan(one.alike)]
        likeness = sum(alike) / len(alike) if alike else 0.0
        if self._walking and likeness < UNLIKE:
            self.finish()
        elif not self._walking and len(alike) > 1 and likeness >= ALIKE and self._steady():
            self._walking = True
            self._walk += 1
        if self._walking:
            while self._pending:
                yield self._step(self._pending.popleft())

    def finish(self) -> list[Step]:
        """End the walk; what was not yet walking is none."""
        self._pending.clear()
        self._latest.clear()
        self._walking = False
        return []

    def _steady(self) -> bool:
        """Say whether the latest steps are four strides that follow one another, and alternate in the movement."""
        strides = [contact.stride for contact in self._latest][2:]
        pushed, turned = sum(one.pushed for one in self._latest), sum(one.turned for one in self._latest)
        return (
            len(self._latest) == STEPS
            and all(stride is not None and stride.change <= WALKING for stride in strides)
            and max(abs(pushed), abs(turned)) >= ALTERNATING * STEPS
        )

    def _step(self, contact: _Contact) -> Step:
        side: Side = "right" if contact.right else "left"
        return Step(contact.time_s, side, self._walk, contact.stride, contact.stretch)
