"""Evenness: rows of somebody lying down in, how evenly left and right were turned to out.

For sessions on a decompression or roll device: hold by hold and pass by pass. Orientation is measured, not load: how
hard a body presses, or what a device does to a spine, no motion sensor tells. Our own definition; nobody has published
an index for this.
"""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from math import sqrt

import numpy as np

from imuposture._blocks import PLANES, Event, Figure, FlagArray, FloatArray, MetricBlock, Plane, PostureBlock, Side
from imuposture._ext import stays as _ext
from imuposture.metrics._context import NO_ANGLES, MetricContext
from imuposture.metrics._sides import SIDES, skin_difference
from imuposture.metrics._statistics import Sample, Uncertain, difference
from imuposture.metrics._stays import FOUND, STEPS, Holds
from imuposture.metrics._tally import NO_SD, Tally
from imuposture.metrics.segmentation import Observed

__all__ = ["Evenness"]

FLAT = 0.5  # sine of how far the long axis may be out of the horizontal: 30 degrees. Small: wedges; large: deep bends
SETTLED_S = 10.0  # s of lying before it counts as lying: a deep bend is shorter
SHORTEST_MIN = 1.0  # min of lying below which nothing is said
EVEN_DEG = 3.0  # degrees of roll within which a back lies even, and of mean size below which a percentage explodes
SWING_DEG = 5.0  # degrees that a pass turns back by at its end. Small: sway; large: small passes are overlooked
HOLD_DEG = 3.0  # degrees either side of the middle of a hold
HOLD_S = 10.0  # s, shortest hold
UPRIGHT_DEG = 15.0  # degrees of inclination up to which somebody stands or sits upright
FEWEST_S = 10.0  # s upright on each side of lying below which neutral postures are not compared
CHANGED: tuple[Plane, ...] = ("flexion", "lateral_bend")

LAIN_ON = "the sensors were lain on: wear them on the other side of the body (placement front for work on the back)"
NO_LYING = f"less than {SHORTEST_MIN:g} minute of lying down"
NO_TALE = "no upright posture before and after lying down"


class Evenness:
    """Mean roll in degrees first; index, passes, holds, and neutral posture and range before and after."""

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._context, self._rate = context, context.rate_hz
        self._front = context.placement.lower().startswith("front")
        self._lying = _Lying(context.rate_hz)
        self._before, self._after = _Upright(context.rate_hz), _Upright(context.rate_hz)
        self._first_s = self._last_s = np.inf
        self._moves: deque[Event] = deque()

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows and finished movements; give passes and holds that ended."""
        posture = seen.posture
        events: list[Event] = []
        if len(posture) and self._context.calibrated:
            events = self._lying.push(posture, seen.usable)
            self._note(seen)
        self._moves += seen.movements
        if len(posture):
            self._sort(float(posture.time_s[-1]))
        return MetricBlock(tuple(events))

    def finish(self, seen: Observed) -> MetricBlock:
        """End what is open and give the figures of the session."""
        events = self._lying.finish()
        self._moves += seen.movements
        self._sort(np.inf)
        return MetricBlock(tuple(events), summary=(*self._rolled(), *self._changed()))

    def _sort(self, now_s: float) -> None:
        """Tell movements before lying from those after it, once it is known whether somebody lay down meanwhile."""
        while self._moves and now_s - self._moves[0].end_s > 2.0 * SETTLED_S:
            event = self._moves.popleft()
            if event.end_s < self._first_s:
                self._before.move(event)
            elif event.start_s > self._last_s:
                self._after.move(event)

    def _note(self, seen: Observed) -> None:
        """Count upright rows before the first time of lying and after the latest."""
        spells, time = self._lying.spells, seen.posture.time_s
        if spells and spells[0][0] < self._first_s:
            self._first_s = spells[0][0]
        keep = self._lying.up & seen.usable
        first = int(np.searchsorted(time, self._first_s))
        if first:
            self._before.push(seen.posture, slice(0, first), keep)
        if not spells:
            return
        if spells[-1][1] != self._last_s:
            self._last_s = spells[-1][1]
            self._after.forget()
        last = int(np.searchsorted(time, self._last_s, side="right"))
        if last < len(time):
            self._after.push(seen.posture, slice(last, len(time)), keep)

    def _why(self) -> str | None:
        if not self._context.calibrated:
            return "no calibration"
        if self._lying.roll.minutes < SHORTEST_MIN:
            return NO_LYING
        return LAIN_ON if self._lying.supine != self._front else None

    def _rolled(self) -> Iterator[Figure]:
        lying, why, n = self._lying, self._why(), self._lying.roll.n
        where = f"@orientation_not_load,{'front' if self._front else 'back'}"
        minutes = lying.roll.minutes if self._context.calibrated else None
        no = None if self._context.calibrated else "no calibration"
        yield Figure("minutes_lying", minutes, "min", "evenness.minutes/1@orientation_not_load", n=n, reason=no)
        if why is not None:
            for name, unit, definition in _NAMES:
                yield Figure(name, None, unit, f"evenness.{definition}/1{where}", n=0, reason=why)
            return
        values, found = lying.values(), self._mean()
        low, high = found.interval()
        for name, unit, definition in _NAMES:
            value, count = values[name]
            missing = _MISSING.get(name) if value is None else None
            figure = Figure(name, value, unit, f"evenness.{definition}/1{where}", n=count, reason=missing)
            yield figure._replace(low=low, high=high) if name == "mean_roll" else figure

    def _mean(self) -> Uncertain:
        """Return the mean roll; its error is how well forward is known, one draw however long somebody lay."""
        facing, soft = self._context.facing_sd_deg, self._context.soft_tissue_sd_deg
        return Uncertain(self._lying.roll.mean, sqrt(facing * facing + soft * soft))

    def _changed(self) -> Iterator[Figure]:
        told = self._context.calibrated and self._last_s < np.inf
        for plane in CHANGED:
            pair = [side.middle(plane) for side in (self._before, self._after)]
            definition = "evenness.neutral_change/1@own_neutral,upright_within_15deg"
            if not told or pair[0] is None or pair[1] is None:
                yield Figure("neutral_change", None, "deg", definition, plane, n=0, reason=NO_TALE)
                continue
            error = sqrt(2.0) * self._context.neutral_sd(plane)  # people return to a stance, and not to the same one
            low, high = Uncertain(pair[1] - pair[0], error).interval()
            yield Figure("neutral_change", pair[1] - pair[0], "deg", definition, plane, low=low, high=high, n=2)
        for plane in PLANES:
            for side in SIDES[plane]:
                yield self._range_change(plane, side, told)

    def _range_change(self, plane: Plane, side: Side, told: bool) -> Figure:
        before, after = self._before.reached[plane, side], self._after.reached[plane, side]
        definition, n = f"evenness.range_change/1@{self._context.placement}", len(before) + len(after)
        if not told or not len(before) or not len(after):
            why = "no repetition to this side before and after lying down"
            return Figure("range_change", None, "deg", definition, plane, side, n=n, reason=why)
        # From each repetition's own start: neither the stance nor where the sensors sit counts twice.
        found = difference(after, before, skin_difference(after.mean, before.mean, self._context))
        low, high = found.interval()
        return Figure("range_change", found.value, "deg", definition, plane, side, low=low, high=high, n=n)


_NAMES = (
    ("mean_roll", "deg", "roll"),
    ("roll_within_3deg", "%", "within"),
    ("evenness_index", "%", "index"),
    ("roll_passes", "1", "passes"),
    ("pass_roll_sd", "deg", "passes"),
    ("roll_holds", "1", "holds"),
    ("hold_roll", "deg", "holds"),
    ("upper_less_lower_roll", "deg", "agreement"),
    ("bend_while_lying", "deg", "bend"),
)
_MISSING = {
    "evenness_index": f"the mean size of the roll is below {EVEN_DEG:g} degrees, where percentages explode",
    "pass_roll_sd": "fewer than two passes",
    "hold_roll": "no hold",
    "bend_while_lying": NO_ANGLES,
}


class _Lying:
    """Rows of lying down, once it lasted long enough to be no deep bend."""

    def __init__(self, rate_hz: float) -> None:
        limits = ((EVEN_DEG, 1.0), (-EVEN_DEG, -1.0))
        self.roll = Tally(rate_hz, limits, percentiles=False)
        self.apart, self.bend = (Tally(rate_hz, percentiles=False) for _ in range(2))
        self.passes, self.holds = Sample(), Sample()
        self.spells: list[tuple[float, float]] = []  # first and latest
        self._holds, self._sweeps = Holds(rate_hz, HOLD_DEG, HOLD_S), _Sweeps(rate_hz)
        self._waiting: list[FloatArray] = []
        self._since, self._latest, self._step = np.inf, -np.inf, STEPS / rate_hz
        self._supine = 0
        self._open = False
        self.up: FlagArray = np.zeros(0, np.uint8)  # rows of the latest block that do not lie

    @property
    def supine(self) -> bool:
        """Whether most of the time was spent on the back."""
        return 2 * self._supine > self.roll.n

    def push(self, posture: PostureBlock, keep: FlagArray) -> list[Event]:
        """Take rows; return what ended."""
        lower = _rolls(posture.lower_q)
        if self._since == np.inf and np.isnan(lower[0]).all():
            self.up = np.ones(len(posture), np.uint8)
            return []
        rows = self._columns(posture, _rolls(posture.upper_q), lower, keep)
        lying = np.isfinite(rows[1])
        self.up = (~lying).astype(np.uint8)
        if self._since == np.inf and not lying.any():
            return []
        time = posture.time_s
        apart = np.diff(time, prepend=self._latest) > self._step
        before = np.concatenate([[self._since < np.inf], lying[:-1]])
        edges = [0, *(np.flatnonzero((lying != before) | (lying & apart))).tolist(), len(time)]
        events: list[Event] = []
        for begin, end in pairwise(edges):
            if begin == end:
                continue
            if not lying[begin] or apart[begin]:
                events += self._end()
            if lying[begin]:
                events += self._take(np.ascontiguousarray(rows[:, begin:end]))
        self._latest = float(time[-1])
        return events

    def finish(self) -> list[Event]:
        """End what is open."""
        return self._end()

    def values(self) -> dict[str, tuple[float | None, int]]:
        """Return value and count by name; ask only when somebody lay down."""
        roll, n = self.roll, self.roll.n
        right, left = roll.dose_right, roll.dose_left
        size = (right + left) / roll.minutes
        beyond = sum(share for share, _ in roll.beyond())
        passes, holds = self.passes, self.holds
        return {
            "mean_roll": (roll.mean, n),
            "roll_within_3deg": (100.0 - beyond, n),
            "evenness_index": (100.0 * (right - left) / (right + left) if size >= EVEN_DEG else None, n),
            "roll_passes": (float(len(passes)), len(passes)),
            "pass_roll_sd": (sqrt(passes.variance_of_mean * len(passes)) if len(passes) > 1 else None, len(passes)),
            "roll_holds": (float(len(holds)), len(holds)),
            "hold_roll": (holds.mean if len(holds) else None, len(holds)),
            "upper_less_lower_roll": (self.apart.mean, n),
            "bend_while_lying": (self.bend.mean if self.bend.n else None, self.bend.n),
        }

    def _columns(self, posture: PostureBlock, upper: FloatArray, lower: FloatArray, keep: FlagArray) -> FloatArray:
        """Return time, mean roll, upper less lower roll, lateral bend and facing; roll NaN where nobody lies."""
        apart, faces = upper[0] - lower[0], lower[1]
        roll = np.where((upper[1] == faces) & (keep == 1), 0.5 * (upper[0] + lower[0]), np.nan)
        return np.stack([posture.time_s, roll, apart, posture.lateral_bend_deg, faces])

    def _take(self, rows: FloatArray) -> list[Event]:
        if self._since == np.inf:
            self._since = float(rows[0, 0])
        if self._open:
            return self._count(rows)
        self._waiting.append(rows)
        if rows[0, -1] - self._since < SETTLED_S:
            return []
        whole, self._waiting, self._open = np.concatenate(self._waiting, axis=1), [], True
        self.spells = [*self.spells[:1], (self._since, self._since)]
        return self._count(np.ascontiguousarray(whole))

    def _count(self, rows: FloatArray) -> list[Event]:
        time, roll, apart, bend, faces = rows
        keep = np.ones(len(time), np.uint8)
        for tally, x in ((self.roll, roll), (self.apart, apart), (self.bend, bend)):
            tally.add(x, NO_SD, keep)
        self._supine += int(np.count_nonzero(faces > 0.0))
        self.spells[-1] = (self.spells[-1][0], float(time[-1]))
        return self._held(self._holds.push(time, roll, apart)) + self._passed(self._sweeps.push(time, roll))

    def _end(self) -> list[Event]:
        events = self._held(self._holds.finish()) if self._open else []
        self._waiting, self._since, self._open = [], np.inf, False
        self._sweeps.forget()
        return events

    def _held(self, holds: list[list[float]]) -> list[Event]:
        events = []
        for start, end, roll, _ in holds:
            self.holds.add(roll)
            events.append(Event("roll_hold", start, end, side=_side(roll), details={"mean_roll_deg": roll}))
        return events

    def _passed(self, sweeps: list[list[float]]) -> list[Event]:
        events = []
        for start, end, first, last, roll, _, _ in sweeps:
            self.passes.add(roll)
            details = {"mean_roll_deg": roll, "start_roll_deg": first, "end_roll_deg": last}
            events.append(Event("roll_pass", start, end, side=_side(roll), details=details))
        return events


class _Sweeps:
    """Passes from one turning point of the roll to the next."""

    def __init__(self, rate_hz: float) -> None:
        self._state, self._found = np.zeros((4, 6)), np.zeros((FOUND, 7))
        self._done, self._step = np.zeros(2, dtype=np.intp), STEPS / rate_hz
        self.forget()

    def forget(self) -> None:
        """Begin anew; a pass that is not over does not count."""
        self._state[0, 5] = 2.0

    def push(self, time: FloatArray, roll: FloatArray) -> list[list[float]]:
        found: list[list[float]] = []
        time, roll, at = np.ascontiguousarray(time), np.ascontiguousarray(roll), 0
        while at < len(time):
            _ext.sweeps(time[at:], roll[at:], SWING_DEG, self._step, self._state, self._found, self._done)
            at += int(self._done[0])
            found += self._found[: self._done[1]].tolist()
        return found


class _Upright:
    """Upright posture and what repetitions reached, before or after lying down."""

    def __init__(self, rate_hz: float) -> None:
        self._rate, self._fewest = rate_hz, FEWEST_S * rate_hz
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._tallies = {plane: Tally(self._rate, sums=False) for plane in CHANGED}
        self.reached = {(plane, side): Sample() for plane in PLANES for side in SIDES[plane]}

    def push(self, posture: PostureBlock, rows: slice, keep: FlagArray) -> None:
        """Take rows, of which ``keep`` tells those that are known and do not lie."""
        lean = np.abs(posture.trunk_inclination_deg[rows])
        keep = keep[rows] & (lean <= UPRIGHT_DEG)
        self._tallies["flexion"].add(posture.flexion_deg[rows], NO_SD, keep)
        self._tallies["lateral_bend"].add(posture.lateral_bend_deg[rows], NO_SD, keep)

    def move(self, event: Event) -> None:
        """Take a movement; only repetitions count."""
        if event.kind == "repetition" and event.plane and event.side and event.amplitude_deg is not None:
            self.reached[event.plane, event.side].add(event.amplitude_deg)

    def middle(self, plane: Plane) -> float | None:
        """Return the median posture; None where there was too little of it."""
        tally = self._tallies[plane]
        return tally.quantiles([0.5])[0] if tally.n >= self._fewest else None


def _rolls(quat: FloatArray) -> FloatArray:
    """Return roll and facing (1 up, -1 down) of a segment; NaN where it does not lie."""
    found = np.empty((2, len(quat)))
    _ext.rolls(np.ascontiguousarray(quat), FLAT, found[0], found[1])
    return found


def _side(roll: float) -> Side | None:
    return "right" if roll > 0.0 else "left" if roll < 0.0 else None
