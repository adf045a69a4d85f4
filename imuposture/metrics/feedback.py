"""Feedback: what the wearer is told, and when; events of the same walk, so that their effect can be looked at later.

Rules are data (feedback.toml). Live and replayed sessions give the same alerts.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from math import isnan

from imuposture._blocks import Event, Figure, MetricBlock, Side
from imuposture.metrics._context import MetricContext
from imuposture.metrics._rules import Rule, default_rules, rules_of
from imuposture.metrics.changes import on_feet
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.activity import Known
from imuposture.metrics.segmentation.epochs import EPOCH_S, LYING, Epoch
from imuposture.metrics.slouch import Roundness

__all__ = ["Feedback", "rules_of"]

FEET_PAUSE_S = 5.0  # that a break may hold


class Feedback:
    """Alerts and rewards by rule, as events that carry the rule's number, counted from 1 in the order of the rules."""

    needs = frozenset({"movements", "activity"})

    def __init__(self, context: MetricContext) -> None:
        self._rules = rules_of(default_rules() if context.feedback is None else context.feedback)
        self._round = Roundness()
        self._known = Known()
        self._watches = [_Watch(rule, number, self._round) for number, rule in enumerate(self._rules.rules, 1)]
        self._counters = [watch.condition for watch in self._watches if isinstance(watch.condition, _OneSide)]

    def push(self, seen: Observed) -> MetricBlock:
        """Take movements and finished epochs; give what the wearer is told."""
        self._known.take(seen.movements)
        events: list[Event] = []
        for epoch in seen.activity:
            for movement in self._known.before(epoch):
                self._round.learn(movement)
                for counter in self._counters:
                    counter.learn(movement)
            self._round.push(epoch)
            for watch in self._watches:
                event = watch.push(epoch)
                if event is not None and not self._rules.silent(event.end_s):
                    watch.said[event.kind] += 1
                    events.append(event)
        return MetricBlock(tuple(events))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last ones and how often each rule spoke."""
        return MetricBlock(self.push(seen).events, summary=tuple(self._summary()))

    def _summary(self) -> Iterator[Figure]:
        for watch in self._watches:
            for kind, count in watch.said.items():
                definition = f"feedback.{kind}s/1@{watch.rule.name}"
                yield Figure(f"{kind}s", float(count), "1", definition, n=count)


class _Watch:
    """One rule: since when its condition holds, and what was said about it."""

    def __init__(self, rule: Rule, number: int, about: Roundness) -> None:
        self.rule = rule
        self._details = {"rule": float(number)}
        self.condition = _CONDITIONS[rule.when](rule, about)
        self.said = {"alert": 0, "reward": 0}
        self._told_s: float | None = None  # when the latest alert was given
        self._owed = False  # an alert that no reward has answered
        self._over_s: float | None = None

    def push(self, epoch: Epoch) -> Event | None:
        """Take an epoch; give what there is to say with it."""
        since = self.condition.push(epoch)
        if since is None and not self._owed:
            return None
        now = epoch.start_s + EPOCH_S
        if since is not None:
            self._over_s = None
            return self._alert(since, now)
        self._over_s = epoch.start_s if self._over_s is None else self._over_s
        if self.rule.reward_after_s <= 0.0 or now - self._over_s < self.rule.reward_after_s:
            return None
        self._owed = False
        return Event("reward", self._over_s, now, details=self._details)

    def _alert(self, since: float, now: float) -> Event | None:
        rests = self._told_s is not None and now - self._told_s < self.rule.refractory_s
        if rests or self.condition.lasted(since, now) < self.rule.for_s:
            return None
        self._told_s, self._owed = now, True
        return Event("alert", since, now, *self.condition.where(), details=self._details)


class _Condition(ABC):
    """What a rule waits for."""

    def __init__(self, rule: Rule, about: Roundness) -> None:
        self.rule, self.about = rule, about

    @abstractmethod
    def push(self, epoch: Epoch) -> float | None:
        """Take an epoch; return since when the condition holds."""

    def lasted(self, since: float, now: float) -> float:
        return now - since

    def where(self) -> tuple[None, Side | None]:
        return None, None


class _Slouching(_Condition):
    def push(self, epoch: Epoch) -> float | None:
        del epoch
        return self.about.since_s


class _Static(_Condition):
    def __init__(self, rule: Rule, about: Roundness) -> None:
        super().__init__(rule, about)
        self._widest, self._patience = 2.0 * rule.band_deg, max(rule.for_s, EPOCH_S)
        self._lean = self._flexion = (0.0, 0.0)
        self._since: float | None = None

    def push(self, epoch: Epoch) -> float | None:
        lean, flexion = epoch.lean_deg, epoch.flexion_deg
        if isnan(lean) or epoch.state == "walking" or epoch.state in LYING:
            self._since = None
            return None
        flexion = 0.0 if isnan(flexion) else flexion
        if self._since is None or not self._stays(lean, flexion):
            self._since, self._lean, self._flexion = epoch.start_s, (lean, lean), (flexion, flexion)
        # A posture that has just been taken up is none that is kept.
        return self._since if epoch.start_s + EPOCH_S - self._since >= self._patience else None

    def _stays(self, lean: float, flexion: float) -> bool:
        """Widen both bands by the angles and say whether neither is too wide."""
        (low, high), (lowest, highest) = self._lean, self._flexion
        low, high = min(low, lean), max(high, lean)
        lowest, highest = min(lowest, flexion), max(highest, flexion)
        self._lean, self._flexion = (low, high), (lowest, highest)
        return high - low <= self._widest and highest - lowest <= self._widest


class _OneSide(_Condition):
    def __init__(self, rule: Rule, about: Roundness) -> None:
        super().__init__(rule, about)
        self._sides: deque[tuple[float, Side]] = deque(maxlen=rule.count)
        self._right, self._share = 0, 0.0
        self._on = False

    def learn(self, movement: Event) -> None:
        """Take a finished movement."""
        if movement.kind == "repetition" and movement.plane == self.rule.plane and movement.side is not None:
            self._sides.append((movement.start_s, movement.side))
            n, self._right = len(self._sides), sum(side == "right" for _, side in self._sides)
            self._share = max(self._right, n - self._right) / n if n >= self.rule.count else 0.0

    def push(self, epoch: Epoch) -> float | None:
        del epoch
        share = self._share
        self._on = share > 0.0 and share >= self.rule.share - self.rule.hysteresis * self._on
        return self._sides[0][0] if self._on else None

    def where(self) -> tuple[None, Side | None]:
        return None, "right" if 2 * self._right > len(self._sides) else "left"


class _Sitting(_Condition):
    def __init__(self, rule: Rule, about: Roundness) -> None:
        super().__init__(rule, about)
        self._since: float | None = None
        self._seated_s = 0.0
        self._feet: tuple[float, float] | None = None

    def push(self, epoch: Epoch) -> float | None:
        end = epoch.start_s + EPOCH_S
        if on_feet(epoch):
            start = self._feet[0] if self._feet and epoch.start_s - self._feet[1] < FEET_PAUSE_S else epoch.start_s
            self._feet = (start, end)
            if end - start >= self.rule.break_s:
                self._since, self._seated_s = None, 0.0
        elif epoch.state == "sitting":
            self._since = epoch.start_s if self._since is None else self._since
            self._seated_s += EPOCH_S
        return self._since

    def lasted(self, since: float, now: float) -> float:
        del since, now
        return self._seated_s


_CONDITIONS: dict[str, type[_Condition]] = {
    "slouch": _Slouching,
    "static": _Static,
    "one_side": _OneSide,
    "sitting": _Sitting,
}
