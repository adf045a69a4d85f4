"""Activity: finished epochs in, how long and how often somebody sat, stood, walked and lay out."""

from collections import deque
from collections.abc import Iterator
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

    def __init__(self, context: MetricContext) -> None:
        del context
        self._spent: dict[State, float] = dict.fromkeys(STATES, 0.0)
        self._bouts: dict[State, list[float]] = {state: [] for state in STATES}
        self._bout: tuple[State, float, float] | None = None
        self._leans: deque[float] = deque(maxlen=3 * SHIFT_S)
        self._shifts = self._fidgets = 0
        self._quiet_until = 0
        self._upright = 0
        self._still = _Still()

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished epochs; give the bouts that ended."""
        return MetricBlock(tuple(event for epoch in seen.activity for event in self._taken(epoch)))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last bout and the figures of the session."""
        events = [event for epoch in seen.activity for event in self._taken(epoch)]
        events += [*self._ended(), *self._removed(self._still.finish())]
        return MetricBlock(tuple(events), summary=tuple(self._summary()))

    def _taken(self, epoch: Epoch) -> Iterator[Event]:
        self._spent[epoch.state] += EPOCH_S
        self._look_for_shifts(epoch)
        yield from self._removed(self._still.push(epoch))
        bout, end = self._bout, epoch.start_s + EPOCH_S
        if bout is not None and bout[0] == epoch.state and epoch.start_s - bout[2] < 0.5 * EPOCH_S:
            self._bout = (bout[0], bout[1], end)
            return
        yield from self._ended()
        self._bout = (epoch.state, epoch.start_s, end)

    def _ended(self) -> Iterator[Event]:
        bout, self._bout = self._bout, None
        if bout is None or bout[2] - bout[1] < SHORTEST_S or bout[0] in ("unknown", "transition"):
            return
        self._bouts[bout[0]].append(bout[2] - bout[1])
        yield Event(bout[0], bout[1], bout[2])

    def _removed(self, gone: "_Gone | None") -> Iterator[Event]:
        if gone is not None:
            for state, seconds in gone.spent.items():
                self._spent[state] -= seconds
            yield Event("not_worn", gone.start_s, gone.end_s)

    def _look_for_shifts(self, epoch: Epoch) -> None:
        """Compare the median of five seconds with that of the five before last, where all are upright and known."""
        self._quiet_until -= 1
        counts = epoch.state in UPRIGHT and not isnan(epoch.lean_deg)
        self._upright += counts
        if counts:
            self._leans.append(epoch.lean_deg)
        else:
            self._leans.clear()
        if self._quiet_until > 0 or len(self._leans) < 3 * SHIFT_S:
            return
        leans = list(self._leans)
        if max(leans) - min(leans) < SHIFT_DEG:
            return
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


class _Gone:
    """A time in which the sensors were not worn, and what it had been taken for."""

    def __init__(self, start_s: float) -> None:
        self.start_s = self.end_s = start_s
        self.spent: dict[State, float] = {}


class _Still:
    """Stretches in which the trunk's inclination stays within a band that no living trunk keeps."""

    def __init__(self) -> None:
        self._open: _Gone | None = None
        self._band = (0.0, 0.0)
        self.seconds = 0.0
        self.bouts = 0

    def push(self, epoch: Epoch) -> _Gone | None:
        lean, gone = epoch.lean_deg, self._open
        low, high = min(self._band[0], lean), max(self._band[1], lean)
        follows = gone is not None and epoch.start_s - gone.end_s < 0.5 * EPOCH_S
        if gone is None or not follows or not high - low <= STILL_DEG:
            ended = self.finish()
            self._open = None if isnan(lean) else _Gone(epoch.start_s)
            self._band = (lean, lean)
        else:
            ended, self._band = None, (low, high)
        if self._open is not None:
            self._open.end_s = epoch.start_s + EPOCH_S
            self._open.spent[epoch.state] = self._open.spent.get(epoch.state, 0.0) + EPOCH_S
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
