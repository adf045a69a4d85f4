"""Walks: contacts of feet in, steps of walks out: five contacts and more in a row that are like one another."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import median

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray, Side
from imuposture.metrics.segmentation import gait_cycle

__all__ = ["PENDING", "RANGES", "STEPS", "STRETCH", "Bouts", "Contact", "Piece", "Step", "Stretch", "Stride", "Walks"]

STEPS = 5  # contacts in a row: three strides of either foot, from which on it is walking
STRETCH = 6  # contacts in a row: four strides of either foot, what the figures of a gait rest on
PENDING = 12  # contacts kept until that is known
WALKING = 0.4  # share by which a stride may differ from the one before, for walking to begin, and
STEADY = 0.2  # for its shape to count. Small: only treadmills are steady; large: turns count as strides
ALIKE = 0.2  # mean correlation of strides with those before, from which on it is walking; noise has 0, walkers 0.4 to 1
UNLIKE = 0.0  # below which it is walking no longer. Small: rummaging goes on as a walk; large: turns end it
ALTERNATING = 0.7  # mean strength with which sway or turns alternate with the feet (see `gait_cycle`), and
EVIDENCE = 0.35  # that times the likeness: either makes up for the other. Small: whatever swings in step rhythm is a
# walk; large: weak walkers are none. Medians of 32 recordings of 9 people in steady walking: 1.2 to 2.8
EDGE_S = 0.1  # s by which a contact may lie beside a bout: bouts begin and end with contacts, as somebody else saw them
RANGES = ("flexion", "lateral_bend", "axial_rotation", "pelvis_forward", "pelvis_side")


@dataclass(frozen=True, slots=True)
class Stride:
    """From one contact of a foot to its next.

    ``change`` is the share by which its duration differs from that of the stride before. Of every second stride,
    ``spectrum`` (3, k) holds the harmonics of the acceleration up, forward and right, m/s2, and ``ranges`` how far each
    of `RANGES` goes, degrees, NaN where not known.
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


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows that were looked at together, from row ``first`` of all on.

    ``level`` (6, n) and ``smooth`` (4, n) as in `gait_cycle.contacts`; ``angles`` the (n,) columns of `RANGES`.
    """

    first: int
    level: FloatArray
    smooth: FloatArray
    angles: tuple[FloatArray, ...]


@dataclass(slots=True)
class Contact:
    """A foot that came down, of which it may not yet be known whether it is one of a walk."""

    row: float  # counted from the first row of all
    time_s: float
    right: bool
    pushed: float  # how much speaks for this foot
    turned: float
    place: int  # in a row of steps without a pause
    piece: Piece
    alike: float = nan  # of the stride that ends here to the one before
    begun: tuple[float, float] | None = None  # row and time of the contact that begins the stride which ends here
    change: float = nan  # of that stride
    tail: list[float] | None = None  # rows of the contacts of a stretch that ends here

    def stride_s(self) -> float | None:
        """Return how long the stride lasted that ends here."""
        return None if self.begun is None else self.time_s - self.begun[1]

    def stride(self) -> Stride | None:
        """Return the stride that ends here; what it looks like is worked out now, since most movement is no walk."""
        if self.begun is None:
            return None
        (row, start_s), piece = self.begun, self.piece
        if self.place % 2:
            return Stride(start_s, self.time_s, self.change, None, ())
        spectrum = gait_cycle.spectrum(piece.level[:3], row - piece.first, self.row - row)
        rows = slice(int(row) - piece.first, int(self.row) - piece.first + 1)
        inside = np.array([column[rows] for column in piece.angles])
        ranges = gait_cycle.reaches(inside, 0, inside.shape[1])
        return Stride(start_s, self.time_s, self.change, spectrum, tuple(ranges))

    def stretch(self) -> Stretch | None:
        """Return the regularity of the steps that lead here."""
        if self.tail is None:
            return None
        lengths = [b - a for a, b in zip(self.tail, self.tail[2:], strict=False)]
        rows = slice(int(self.tail[0]) - self.piece.first, int(self.row) - self.piece.first + 1)
        found = [gait_cycle.regularity(column[rows], median(lengths)) for column in self.piece.level[:3]]
        steps, strides = zip(*found, strict=True)
        return Stretch(len(lengths) / 2.0, steps, strides)


class Walks:
    """Contacts in, those of walks out."""

    def __init__(self) -> None:
        self._pending: deque[Contact] = deque(maxlen=PENDING)
        self._latest: deque[Contact] = deque(maxlen=STEPS)
        self._walk = 0
        self._walking = False

    def push(self, contact: Contact) -> list[Step]:
        """Take the next contact; return the steps that are now known to be walking."""
        if contact.place == 0:
            self.finish()
        self._latest.append(contact)
        self._pending.append(contact)
        alike = [one.alike for one in self._latest if not isnan(one.alike)]
        likeness = sum(alike) / len(alike) if alike else 0.0
        if self._walking and likeness < UNLIKE:
            self.finish()
        elif not self._walking and len(alike) > 1 and likeness >= ALIKE and self._steady(likeness):
            self._walking = True
            self._walk += 1
        if not self._walking:
            return []
        steps = [step_of(one, self._walk) for one in self._pending]
        self._pending.clear()
        return steps

    def finish(self) -> None:
        """End the walk; what was not yet walking is none."""
        self._pending.clear()
        self._latest.clear()
        self._walking = False

    def _steady(self, likeness: float) -> bool:
        """Say whether the latest steps are strides that follow one another, and alternate in the movement."""
        strides = [contact.change for contact in self._latest][2:]
        if len(self._latest) < STEPS or not all(change <= WALKING for change in strides):
            return False
        pushed, turned = sum(one.pushed for one in self._latest), sum(one.turned for one in self._latest)
        alternation = max(abs(pushed), abs(turned)) / STEPS
        return alternation >= ALTERNATING and likeness * alternation >= EVIDENCE


class Bouts:
    """Contacts in, all those of spans known to be walking out; a span is a walk."""

    def __init__(self, bouts: Sequence[tuple[float, float]]) -> None:
        self._starts, self._ends = (np.array([bout[k] for bout in bouts]) for k in (0, 1))

    def overlap(self, first_s: FloatArray, last_s: FloatArray) -> NDArray[np.bool_]:
        """Return which spans (n,) lie, in part at least, in a bout or not further than `EDGE_S` from it."""
        bout = np.searchsorted(self._ends, first_s - EDGE_S)
        begins = np.append(self._starts, np.inf)[bout]
        found: NDArray[np.bool_] = begins <= last_s + EDGE_S
        return found

    def push(self, contact: Contact) -> list[Step]:
        """Take the next contact; return it as a step."""
        return [step_of(contact, int(np.searchsorted(self._ends, contact.time_s - EDGE_S)) + 1)]

    def finish(self) -> None:
        """Nothing is held."""


def step_of(contact: Contact, walk: int) -> Step:
    """Return a contact as a step of a walk."""
    side: Side = "right" if contact.right else "left"
    return Step(contact.time_s, side, walk, contact.stride(), contact.stretch())
