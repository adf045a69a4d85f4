"""Changes: rows and finished movements in, static bouts, changes of posture, breaks and gaps out."""

from collections.abc import Iterator

import numpy as np

from imuposture._blocks import Event, Figure, FloatArray, MetricBlock, PostureBlock
from imuposture._ext import tallies as _ext
from imuposture.metrics._context import NO_ANGLES, NO_ROWS, MetricContext
from imuposture.metrics._sides import analysed
from imuposture.metrics._statistics import Sample, median
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.epochs import EPOCH_S, Epoch

__all__ = ["Changes"]

BOUT_DEG = 5.0  # degrees either side of the middle of a bout. Small: sway ends bouts; large: changes are overlooked
BOUT_S = 4.0  # s, shortest static posture (ISO 11226 counts from 4 s)
ACTIVE_DEGPS = 5.0  # degrees a second of mean activity; sitting stays below 2, walking exceeds 10 on synthetic sway
UPRIGHT_DEG = 30.0  # degrees of mean inclination up to which activity may be walking
BREAK_S = 60.0  # s of upright activity that make a break
PAUSE_S = 5.0  # s without activity that a break may hold
SPELL_S = 60.0  # s of inactivity a break must follow
ROWS_FOUND = 64
VERSIONS = {"breaks": 2}  # of definitions that have changed


class Changes:
    """How long postures are held, how often they change, and when there was a break.

    A change of posture is a movement of at least 5 degrees that was held for 8 s instead of coming back (see
    `metrics/segmentation/movements.py`); none can be seen without spinal angles. Bouts, breaks and gaps need
    inclinations only.
    """

    needs = frozenset({"movements", "activity"})

    def __init__(self, context: MetricContext) -> None:
        self._row_s = 1.0 / context.rate_hz
        self._bouts = _Bouts()
        self._breaks = _Breaks()
        self._gap_start_s: float | None = None
        self._last_s = 0.0
        self._usable = 0
        self._rows = 0
        self._changes = 0
        self._gaps = 0
        self._held = Sample()
        self._pauses = 0
        self._analysed = False
        self._minute_rows = 60.0 * context.rate_hz

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows and finished movements; give what ended."""
        posture, events = seen.posture, self._changed(seen.movements)
        events += self._count(self._breaks.push(seen.activity))
        if len(posture):
            lean = seen.lean_deg
            self._analysed = self._analysed or analysed(posture)
            self._rows += len(posture)
            self._usable += int(np.count_nonzero(np.isfinite(lean)))
            events += self._count(self._bouts.push(posture, lean))
            events += self._count(self._gap_events(seen))
            self._last_s = float(posture.time_s[-1])
        return MetricBlock(tuple(events))

    def finish(self, seen: Observed) -> MetricBlock:
        """End what is open and give the counts of the session."""
        events = self._changed(seen.movements) + self._count(self._bouts.finish())
        events += self._count(self._breaks.push(seen.activity)) + self._count(self._breaks.finish())
        if self._gap_start_s is not None:
            events += self._count([Event("gap", self._gap_start_s, self._last_s + self._row_s)])
        return MetricBlock(tuple(events), summary=tuple(self._summary()))

    def _changed(self, movements: tuple[Event, ...]) -> list[Event]:
        events = [event for event in movements if event.kind == "posture_change"]
        self._changes += len(events)
        return events

    def _count(self, events: list[Event]) -> list[Event]:
        for event in events:
            if event.kind == "bout":
                self._held.add(event.end_s - event.start_s)
            elif event.kind == "break":
                self._pauses += 1
            else:
                self._gaps += 1
        return events

    def _gap_events(self, seen: Observed) -> list[Event]:
        """Return runs of missing rows that ended; they run from their first row to the next row that is there."""
        missing = seen.usable == 0
        if self._gap_start_s is None and not missing.any():
            return []
        before = np.concatenate([[self._gap_start_s is not None], missing[:-1]])
        events = []
        for row in np.flatnonzero(missing != before).tolist():
            time = float(seen.posture.time_s[row])
            if missing[row]:
                self._gap_start_s = time
            elif self._gap_start_s is not None:
                events.append(Event("gap", self._gap_start_s, time))
                self._gap_start_s = None
        return events

    def _summary(self) -> Iterator[Figure]:
        minutes = self._usable / self._minute_rows
        changes = float(self._changes) if self._analysed else None
        counts = (("posture_changes", changes), ("breaks", float(self._pauses)), ("bouts", float(len(self._held))))
        for name, value in counts:
            n = None if value is None else int(value)
            hourly = None if value is None or not minutes else 60.0 * value / minutes
            why = NO_ANGLES if value is None else None
            yield Figure(name, value, "1", f"changes.{name}/{VERSIONS.get(name, 1)}", n=n, reason=why)
            why = why or (NO_ROWS if hourly is None else None)
            yield Figure(f"{name}_per_hour", hourly, "1/h", f"changes.{name}/{VERSIONS.get(name, 1)}", n=n, reason=why)
        held = self._held.values
        why = None if held else "no static posture"
        yield Figure("bout_median", median(held) if held else None, "s", "changes.bouts/1", n=len(held), reason=why)
        yield Figure("bout_longest", max(held) if held else None, "s", "changes.bouts/1", n=len(held), reason=why)
        share = 100.0 * self._held.mean * len(held) / (60.0 * minutes) if minutes else None
        why = None if minutes else NO_ROWS
        yield Figure("bout_share", share, "%", "changes.bouts/1", n=len(held), reason=why)
        yield Figure("gaps", float(self._gaps), "1", "changes.gaps/1", n=self._rows - self._usable)


class _Bouts:
    """Stretches in which neither inclination nor spinal angles leave a band."""

    def __init__(self) -> None:
        self._state = np.full((5, 2), np.nan)
        self._found = np.zeros((ROWS_FOUND, 2))
        self._done = np.zeros(2, dtype=np.intp)

    def push(self, posture: PostureBlock, lean: FloatArray) -> list[Event]:
        spine = [posture.flexion_deg, posture.lateral_bend_deg, posture.axial_rotation_deg]
        return self._feed(np.ascontiguousarray(posture.time_s), np.stack([lean, *spine], axis=1))

    def finish(self) -> list[Event]:
        return self._feed(np.zeros(1), np.full((1, 4), np.nan))

    def _feed(self, time: FloatArray, angles: FloatArray) -> list[Event]:
        events, at = [], 0
        while at < len(time):
            _ext.bouts(time[at:], angles[at:], BOUT_DEG, BOUT_S, self._state, self._found, self._done)
            at += int(self._done[0])
            events += [Event("bout", start, end) for start, end in self._found[: self._done[1]].tolist()]
        return events


class _Breaks:
    """At least a minute on one's feet after a spell without."""

    def __init__(self) -> None:
        self._quiet_s = 0.0
        self._active: tuple[float, float] | None = None  # start of the first and end of the latest epoch of a run

    def push(self, activity: tuple[Epoch, ...]) -> list[Event]:
        events: list[Event] = []
        for epoch in activity:
            events += self._take(epoch)
        return events

    def finish(self) -> list[Event]:
        return self._end()

    def _take(self, epoch: Epoch) -> list[Event]:
        events: list[Event] = []
        if self._active is not None and epoch.start_s - self._active[1] >= PAUSE_S - 0.5 * EPOCH_S:
            events = self._end()
        if on_feet(epoch):
            start = epoch.start_s if self._active is None else self._active[0]
            self._active = (start, epoch.start_s + EPOCH_S)
        else:
            self._quiet_s += EPOCH_S
        return events

    def _end(self) -> list[Event]:
        """Close a run: a break if it was long enough and followed a quiet spell."""
        run, self._active = self._active, None
        if run is None or run[1] - run[0] < BREAK_S - 0.5 * EPOCH_S:
            return []
        # What was quiet inside the run or just after it does not count as the spell before.
        if self._quiet_s < SPELL_S:
            return []
        self._quiet_s = 0.0
        return [Event("break", *run)]


def on_feet(epoch: Epoch) -> bool:
    """Say whether somebody walks, probably stands, or moves about upright without sitting."""
    if epoch.state in ("walking", "standing"):
        return True
    moves = epoch.motion_degps >= ACTIVE_DEGPS and abs(epoch.lean_deg) <= UPRIGHT_DEG
    return moves and epoch.state in ("transition", "unknown")
