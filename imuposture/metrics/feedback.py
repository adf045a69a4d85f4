"""Feedback: what the wearer is told, and when; events of the same walk, so that their effect can be looked at later.

Rules are data (feedback.toml). Live and replayed sessions give the same alerts.
"""

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

    def __init__(self, context: MetricContext) -> None:
        self._rules = rules_of(default_rules() if context.feedback is None else context.feedback)
        self._round = Roundness()
        self._known = Known()
        self._watches = [_Watch(rule, number, self._round) for number, rule in enumerate(self._rules.rules, 1)]
        self._said = [{"alert": 0, "reward": 0} for _ in self._watches]

    def push(self, seen: Observed) -> MetricBlock:
        """Take movements and finished epochs; give what the wearer is told."""
        self._known.take(seen.movements)
        return MetricBlock(tuple(event for epoch in seen.activity for event in self._told(epoch)))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last ones and how often each rule spoke."""
        return MetricBlock(self.push(seen).events, summary=tuple(self._summary()))

    def _told(self, epoch: Epoch) -> Iterator[Event]:
        for movement in self._known.before(epoch):
            self._round.learn(movement)
            for watch in self._watches:
                watch.learn(movement)
        self._round.push(epoch)
        for watch, said in zip(self._watches, self._said, strict=True):
            event = watch.push(epoch)
            if event is not None and not self._rules.silent(event.end_s):
                said[event.kind] += 1
                yield event

    def _summary(self) -> Iterator[Figure]:
        for watch, said in zip(self._watches, self._said, strict=True):
            for kind, count in said.items():
                definition = f"feedback.{kind}s/1@{watch.rule.name}"
                yield Figure(f"{kind}s", float(count), "1", definition, n=count)


class _Watch:
    """One rule: since when its condition holds, and what was said about it."""

    def __init__(self, rule: Rule, number: int, about: Roundness) -> None:
        self.rule = rule
        self._details = {"rule": float(number)}
        self._condition = _CONDITIONS[rule.when](rule, about)
        self._told_s: float | None = None  # when the latest alert was given
        self._owed = False  # an alert that no reward has answered
        self._over_s: float | None = None

    def learn(self, movement: Event) -> None:
        self._condition.learn(movement)

    def push(self, epoch: Epoch) -> Event | None:
        since = self._condition.push(epoch)
        now = epoch.start_s + EPOCH_S
        if since is not None:
            self._over_s = None
            return self._alert(since, now)
        if not self._owed:
            return None
        self._over_s = epoch.start_s if self._over_s is None else self._over_s
        if self.rule.reward_after_s <= 0.0 or now - self._over_s < self.rule.reward_after_s:
            return None
        self._owed = False
        return Event("reward", self._over_s, now, details=self._details)

    def _alert(self, since: float, now: float) -> Event | None:
        rests = self._told_s is not None and now - self._told_s < self.rule.refractory_s
        if rests or self._condition.lasted(since, now) < self.rule.for_s:
            return None
        self._told_s, self._owed = now, True
        return Event("alert", since, now, *self._condition.where(), details=self._details)


class _Condition:
    """What a rule waits for."""

    def __init__(self, rule: Rule, about: Roundness) -> None:
        self.rule, self.about = rule, about

    def learn(self, movement: Event) -> None:
        """Take a finished movement."""

    def push(self, epoch: Epoch) -> float | None:
        """Take an epoch; return since when the condition holds."""
        raise NotImplementedError

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
        self._bands: list[tuple[float, float]] = []
        self._since: float | None = None

    def push(self, epoch: Epoch) -> float | None:
        if isnan(epoch.lean_deg) or epoch.state == "walking" or epoch.state in LYING:
            self._since = None
            return None
        angles = (epoch.lean_deg, 0.0 if isnan(epoch.flexion_deg) else epoch.flexion_deg)
        if self._since is not None:
            self._bands = [(min(low, x), max(high, x)) for (low, high), x in zip(self._bands, angles, strict=True)]
        if self._since is None or any(high - low > 2.0 * self.rule.band_deg for low, high in self._bands):
            self._since, self._bands = epoch.start_s, [(x, x) for x in angles]
        # A posture that has just been taken up is none that is kept.
        return self._since if epoch.start_s + EPOCH_S - self._since >= max(self.rule.for_s, EPOCH_S) else None


class _OneSide(_Condition):
    def __init__(self, rule: Rule, about: Roundness) -> None:
        super().__init__(rule, about)
        self._sides: deque[tuple[float, Side]] = deque(maxlen=rule.count)
        self._on = False

    def learn(self, movement: Event) -> None:
        if movement.kind == "repetition" and movement.plane == self.rule.plane and movement.side is not None:
            self._sides.append((movement.start_s, movement.side))

    def push(self, epoch: Epoch) -> float | None:
        del epoch
        share = self._share()
        self._on = share >= self.rule.share - self.rule.hysteresis * self._on and share > 0.0
        return self._sides[0][0] if self._on else None

    def _share(self) -> float:
        if len(self._sides) < self.rule.count:
            return 0.0
        right = sum(side == "right" for _, side in self._sides)
        return max(right, len(self._sides) - right) / len(self._sides)

    def where(self) -> tuple[None, Side | None]:
        right = sum(side == "right" for _, side in self._sides)
        return None, "right" if 2 * right > len(self._sides) else "left"


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
