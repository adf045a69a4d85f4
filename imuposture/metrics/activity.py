"""Activity: finished epochs in, how long and how often somebody sat, stood, walked and lay out."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan

from imuposture._blocks import Event, Figure, MetricBlock
from imuposture.metrics._context import NO_ROWS, MetricContext
from imuposture.metrics._statistics import median
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.epochs import EPOCH_S, STATES, Epoch, State

__all__ = ["Activity"]

SHORTEST_S = 10.0  # of a bout that is an event. Small: every fidget ends one; large: short stays vanish
SHIFT_DEG = 5.0  # of the trunk's inclination
SHIFT_S = 5  # s, of which medians are compared
STILL_DEG = 0.3  # band that no living trunk keeps for
NON_WEAR_S = 1200.0  # s: breathing alone moves it more
UPRIGHT = frozenset({"sitting", "standing", "unknown"})
NO_SITTING = "no sitting found"


class Activity:
    """Bouts of each state, time in it, shifts and fidgets; time not worn is found and left out."""

    needs = frozenset({"activity"})

    def __init__(self, context: MetricContext) -> None:
        del context
        self._spent: dict[State, float] = dict.fromkeys(STATES, 0.0)
        self._bouts: dict[State, list[float]] = {state: [] for state in STATES}
        self._bout: _Bout | None = None
        self._leans: deque[float] = deque(maxlen=3 * SHIFT_S)
        self._shifts = self._fidgets = 0
        self._quiet_until = 0
        self._upright = 0
        self._still = _Still()

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished epochs; give the bouts that ended."""
        events: list[Event] = []
        for epoch in seen.activity:
            self._spent[epoch.state] += EPOCH_S
            self._look_for_shifts(epoch)
            if (gone := self._still.push(epoch)) is not None:
                events.append(self._removed(gone))
            bout = self._bout
            if bout is None or bout.state != epoch.state or epoch.start_s - bout.end_s >= 0.5 * EPOCH_S:
                events += self._ended()
                bout = self._bout = _Bout(epoch.state, epoch.start_s)
            bout.end_s = epoch.start_s + EPOCH_S
        return MetricBlock(tuple(events))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last bout and the figures of the session."""
        events = [*self.push(seen).events, *self._ended()]
        if (gone := self._still.finish()) is not None:
            events.append(self._removed(gone))
        return MetricBlock(tuple(events), summary=tuple(self._summary()))

    def _ended(self) -> list[Event]:
        bout, self._bout = self._bout, None
        if bout is None or bout.end_s - bout.start_s < SHORTEST_S or bout.state in ("unknown", "transition"):
            return []
        self._bouts[bout.state].append(bout.end_s - bout.start_s)
        return [Event(bout.state, bout.start_s, bout.end_s)]

    def _removed(self, gone: "_Gone") -> Event:
        for state, seconds in gone.spent.items():
            self._spent[state] -= seconds
        return Event("not_worn", gone.start_s, gone.end_s)

    def _look_for_shifts(self, epoch: Epoch) -> None:
        """Compare the median of five seconds with that of the five before last, where all are upright and known."""
        self._quiet_until -= 1
        leans = self._leans
        if epoch.state not in UPRIGHT or isnan(epoch.lean_deg):
            leans.clear()
            return
        self._upright += 1
        leans.append(epoch.lean_deg)
        if self._quiet_until <= 0 and len(leans) == 3 * SHIFT_S and max(leans) - min(leans) >= SHIFT_DEG:
            self._compare(list(leans))

    def _compare(self, leans: list[float]) -> None:
        before, middle, after = (leans[k : k + SHIFT_S] for k in (0, SHIFT_S, 2 * SHIFT_S))
        base, now = median(before), median(after)
        if max(map(abs, (lean - now for lean in after))) >= 0.5 * SHIFT_DEG:
            return  # not yet kept
        if abs(now - base) >= SHIFT_DEG:
            self._shifts += 1
        elif max(abs(lean - base) for lean in middle) >= SHIFT_DEG > 2.0 * abs(now - base):
            self._fidgets += 1
        else:
            return
        self._quiet_until = 2 * SHIFT_S

    def _summary(self) -> Iterator[Figure]:
        worn = _sum(list(self._spent.values()))
        reason = None if worn else NO_ROWS
        yield Figure("minutes_worn", worn / 60.0, "min", "activity.worn/1", n=int(worn))
        yield Figure("minutes_not_worn", self._still.seconds / 60.0, "min", "activity.worn/1", n=self._still.bouts)
        for state in STATES:
            seconds, n = self._spent[state], len(self._bouts[state])
            share = 100.0 * seconds / worn if worn else None
            yield Figure(f"minutes_{state}", seconds / 60.0, "min", "activity.minutes/1", n=n)
            yield Figure(f"share_{state}", share, "%", "activity.minutes/1", n=n, reason=reason)
        yield from self._sitting()
        hours = self._upright * EPOCH_S / 3600.0
        for name, count in (("shifts", self._shifts), ("fidgets", self._fidgets)):
            value = count / hours if hours else None
            why = None if hours else NO_ROWS
            yield Figure(f"{name}_per_hour", value, "1/h", f"activity.{name}/1", n=count, reason=why)

    def _sitting(self) -> Iterator[Figure]:
        bouts = self._bouts["sitting"]
        why = None if bouts else NO_SITTING
        yield Figure("sitting_bouts", float(len(bouts)), "1", "activity.bouts/1", n=len(bouts))
        for name, value in (
            ("sitting_median", median(bouts) if bouts else None),
            ("sitting_longest", max(bouts) if bouts else None),
            ("sitting_w50", w50(bouts) if bouts else None),
        ):
            yield Figure(name, value, "s", "activity.bouts/1", n=len(bouts), reason=why)


@dataclass(slots=True)
class _Bout:
    """Seconds of the same state, one after the other."""

    state: State
    start_s: float
    end_s: float = 0.0


class _Gone:
    """A time in which the sensors were not worn, and what it had been taken for."""

    def __init__(self, start_s: float, lean_deg: float) -> None:
        self.start_s = self.end_s = start_s
        self.spent: dict[State, float] = {}
        self._low = self._high = lean_deg

    def takes(self, lean_deg: float) -> bool:
        """Widen the band by an inclination, if it is known; say whether no living trunk would keep to it."""
        self._low, self._high = min(self._low, lean_deg), max(self._high, lean_deg)
        return self._high - self._low <= STILL_DEG


class _Still:
    """Stretches in which the trunk's inclination stays within a band that no living trunk keeps."""

    def __init__(self) -> None:
        self._open: _Gone | None = None
        self.seconds = 0.0
        self.bouts = 0

    def push(self, epoch: Epoch) -> _Gone | None:
        lean, gone, ended = epoch.lean_deg, self._open, None
        if gone is None or epoch.start_s - gone.end_s >= 0.5 * EPOCH_S or not gone.takes(lean):
            ended = self.finish()
            self._open = gone = None if isnan(lean) else _Gone(epoch.start_s, lean)
        if gone is not None:
            gone.end_s = epoch.start_s + EPOCH_S
            gone.spent[epoch.state] = gone.spent.get(epoch.state, 0.0) + EPOCH_S
        return ended

    def finish(self) -> _Gone | None:
        """End the stretch; return it if it was too long for a living trunk."""
        gone, self._open = self._open, None
        if gone is None or gone.end_s - gone.start_s < NON_WEAR_S:
            return None
        self.seconds += gone.end_s - gone.start_s
        self.bouts += 1
        return gone


def w50(bouts: list[float]) -> float:
    """Return the length of bout in which, or in longer ones, half of all the time was spent."""
    half, spent = 0.5 * _sum(bouts), 0.0
    for seconds in sorted(bouts):
        spent += seconds
        if spent >= half:
            return seconds
    return 0.0


def _sum(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total
