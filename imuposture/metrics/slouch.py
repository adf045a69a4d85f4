"""Slouch: how round somebody sits for their own back and their own sitting, not against a fixed angle."""

from collections.abc import Iterator
from math import isnan

from imuposture._blocks import Event, Figure, MetricBlock
from imuposture.metrics._context import MetricContext
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.activity import Known
from imuposture.metrics.segmentation.epochs import EPOCH_S, Epoch

__all__ = ["Roundness", "Slouch"]

LEAST_RANGE_DEG = 30.0  # of flexion that must have been seen: less is nobody's range
ABOVE_USUAL = 0.1  # of the range above the own P75
MOST = 0.8  # of the range, beyond which sitting is round for anybody
HYSTERESIS = 0.1
BASELINE_S = 600.0  # of sitting from which on the own P75 counts
LASTS_S = 60.0
PAUSE_S = 5.0  # of something else, or of nothing known, that a slouch survives
BINS = 200  # of the share of the range, from -0.5 to 1.5
NO_RANGE = f"no forward bend of {LEAST_RANGE_DEG:g} degrees that would show the own range"
NO_SITTING = "no sitting found"


class Roundness:
    """Follow how round somebody sits.

    Attributes
    ----------
    since_s : float or None
        Since when they have been sitting rounder than they do; None while they do not.
    share : float or None
        Flexion as a share of the own range; None while they do not sit or the range is not known.
    seated_s : float
        Seconds of sitting with a share.
    """

    def __init__(self) -> None:
        self.since_s: float | None = None
        self.share: float | None = None
        self.seated_s = 0.0
        self.range_deg = 0.0
        self._counts = [0] * BINS
        self._place, self._below = 0, 0  # the bin that the own P75 was in when last asked for, and seconds below it
        self._seen_s = 0.0

    def learn(self, movement: Event) -> None:
        """Take a forward bend: the largest flexion that was held is the range."""
        if movement.kind == "repetition" and (movement.plane, movement.side) == ("flexion", "forward"):
            self.range_deg = max(self.range_deg, movement.details.get("held_deg", 0.0))

    def push(self, epoch: Epoch) -> float | None:
        """Take an epoch; return when a slouch that ends with it began."""
        self.share = None
        if self.range_deg < LEAST_RANGE_DEG or epoch.state != "sitting" or isnan(epoch.flexion_deg):
            return self._ended() if epoch.start_s - self._seen_s >= PAUSE_S else None
        self.share = epoch.flexion_deg / self.range_deg
        self._seen_s = epoch.start_s + EPOCH_S
        limit = self.limit()
        place = min(max(int((self.share + 0.5) * BINS / 2.0), 0), BINS - 1)
        self._counts[place] += 1
        self._below += place < self._place
        self.seated_s += EPOCH_S
        if self.since_s is None:
            self.since_s = epoch.start_s if self.share > limit else None
            return None
        return self._ended() if self.share <= limit - HYSTERESIS else None

    def _ended(self) -> float | None:
        since, self.since_s = self.since_s, None
        return since

    def finish(self) -> float | None:
        """End what lasts; return when it began."""
        return self._ended()

    @property
    def seen_s(self) -> float:
        """End of the latest second that somebody sat."""
        return self._seen_s

    def usual(self) -> float | None:
        """Return the share that three quarters of the sitting stay below; None before it is known."""
        if self.seated_s < BASELINE_S:
            return None
        rank, counts = 0.75 * (self.seated_s / EPOCH_S), self._counts
        k, below = self._place, self._below  # a second moves it by a bin or two
        while below > rank:
            k -= 1
            below -= counts[k]
        while below + counts[k] <= rank:
            below += counts[k]
            k += 1
        self._place, self._below = k, below
        return (k + (rank - below) / counts[k]) * 2.0 / BINS - 0.5

    def limit(self) -> float:
        """Return the share beyond which they sit rounder than they do."""
        usual = self.usual()
        return MOST if usual is None else min(usual + ABOVE_USUAL, MOST)


class Slouch:
    """Slouches as events, and how much of the sitting they took."""

    needs = frozenset({"movements", "activity"})

    def __init__(self, context: MetricContext) -> None:
        del context
        self._round, self._known = Roundness(), Known()
        self._lasted: list[float] = []

    def push(self, seen: Observed) -> MetricBlock:
        """Take movements and finished epochs; give the slouches that ended."""
        self._known.take(seen.movements)
        events: list[Event] = []
        for epoch in seen.activity:
            for movement in self._known.before(epoch):
                self._round.learn(movement)
            since = self._round.push(epoch)
            if since is not None:
                events += self._event(since)
        return MetricBlock(tuple(events))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last slouch and the figures of the session."""
        events, since = list(self.push(seen).events), self._round.finish()
        if since is not None:
            events += self._event(since)
        return MetricBlock(tuple(events), summary=tuple(self._summary()))

    def _event(self, since: float) -> list[Event]:
        if self._round.seen_s - since < LASTS_S:
            return []
        self._lasted.append(self._round.seen_s - since)
        return [Event("slouch", since, self._round.seen_s, "flexion", "forward")]

    def _summary(self) -> Iterator[Figure]:
        about = self._round
        reason = NO_RANGE if about.range_deg < LEAST_RANGE_DEG else None if about.seated_s else NO_SITTING
        n, minutes = len(self._lasted), sum(self._lasted) / 60.0
        figures = (
            ("slouches", float(n), "1", "slouch.slouches/1"),
            ("minutes_slouched", minutes, "min", "slouch.slouches/1"),
            ("seated_flexion_share_p75", about.usual(), "1", "slouch.usual/1"),
        )
        for name, value, unit, definition in figures:
            why = reason or (f"less than {BASELINE_S / 60.0:g} minutes of sitting" if value is None else None)
            yield Figure(name, None if reason else value, unit, definition, "flexion", n=n, reason=why)
