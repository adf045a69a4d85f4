"""Classes: rows in, how long each class of a named set of thresholds out.

The limits are data (`imuposture/metrics/thresholds`); old sessions can be scored anew under another set. A set for the
trunk is never the whole of the method it was taken from.
"""

from collections.abc import Iterator, Mapping
from functools import reduce

import numpy as np

from imuposture._blocks import Figure, FlagArray, FloatArray, MetricBlock
from imuposture.metrics._context import NO_ROWS, MetricContext
from imuposture.metrics._rows import Windows
from imuposture.metrics._stays import Classifier, CodeArray, Holds, Stays
from imuposture.metrics._thresholds import Frequency, Holding, Rule, ThresholdSet, threshold_set
from imuposture.metrics.segmentation import Observed

__all__ = ["Classes", "Judge", "quantities"]

HOLD_DEG = 5.0  # degrees either side of the middle of a hold. Small: sway ends holds; large: changes are overlooked
HOLD_S = 4.0  # s, shortest hold (ISO 11226 counts from 4 s)

Quantities = Mapping[str, tuple[FloatArray, FlagArray]]


class Classes:
    """Time in each class of the threshold sets of the context, how often limits are passed, and holds that are long."""

    needs: frozenset[str] = frozenset()

    def __init__(self, context: MetricContext) -> None:
        self._judged = [_Judged(threshold_set(name), context.rate_hz) for name in context.thresholds]

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows."""
        if self._judged and len(seen.posture):
            known = quantities(seen)
            for judged in self._judged:
                judged.push(seen.posture.time_s, known)
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the figures of the session."""
        del seen
        return MetricBlock(summary=tuple(figure for judged in self._judged for figure in judged.figures()))


def quantities(seen: Observed) -> Quantities:
    """Return the angles that thresholds speak of, by name, each with the rows that count."""
    posture, keep = seen.posture, seen.usable
    return {
        "trunk_forward": (posture.trunk_inclination_deg, keep),
        "trunk_side": (0.5 * (posture.upper_side_deg + posture.lower_side_deg), keep),
        "curvature": (posture.upper_forward_deg - posture.lower_forward_deg, keep),
        "lateral_bend": (posture.lateral_bend_deg, keep),
        "rotation": (posture.axial_rotation_deg, seen.facing),
    }


class Judge:
    """Rows -> the level of each rule of a set, and of all rules together; -1 where it is not known."""

    def __init__(self, thresholds: ThresholdSet) -> None:
        self._set = thresholds
        self._rules = [
            (rule, Classifier(rule.cuts_deg, rule.levels, absolute=rule.absolute)) for rule in thresholds.rules
        ]

    def push(self, known: Quantities) -> tuple[dict[str, CodeArray], CodeArray | None]:
        """Return levels by rule, and the level of all rules together where the set knows one."""
        found = {rule.name: cut.push(*known[rule.quantity]) for rule, cut in self._rules}
        if self._set.combine == "none":
            return found, None
        groups: dict[str, CodeArray] = {}
        for rule, _ in self._rules:
            group = rule.together or rule.name if self._set.combine == "sum" else "all"
            mine = found[rule.name]
            groups[group] = np.maximum(groups[group], mine) if group in groups else mine
        together, least = reduce(np.add, groups.values()), reduce(np.minimum, found.values())
        return found, np.where(least < 0, least, together)

    @property
    def overall(self) -> list[int]:
        """Levels that all rules together can give; none where the set does not combine them."""
        rules = self._set.rules
        if self._set.combine == "none":
            return []
        if self._set.combine == "worst":
            return sorted({level for rule in rules for level in rule.levels})
        highest: dict[str, int] = {}
        lowest: dict[str, int] = {}
        for rule in rules:
            group = rule.together or rule.name
            highest[group] = max(highest.get(group, 0), *rule.levels)
            lowest[group] = max(lowest.get(group, 0), min(rule.levels))
        return list(range(sum(lowest.values()), sum(highest.values()) + 1))


class _Judged:
    """One set over a whole session."""

    def __init__(self, thresholds: ThresholdSet, rate_hz: float) -> None:
        self._set, self._minute = thresholds, 60.0 * rate_hz
        self._judge = Judge(thresholds)
        self._stays = {rule.name: Stays(max(rule.levels) + 1, rate_hz) for rule in thresholds.rules}
        self._overall = Stays(max(self._judge.overall, default=0) + 1, rate_hz)
        self._counted = [_Counted(one, rate_hz) for one in thresholds.frequencies]
        self._held = None if thresholds.holding is None else _Held(thresholds.holding, rate_hz)

    def push(self, time: FloatArray, known: Quantities) -> None:
        levels, together = self._judge.push(known)
        for name, codes in levels.items():
            self._stays[name].push(time, codes)
        if together is not None:
            self._overall.push(time, together)
        for counted in self._counted:
            counted.push(time, known)
        if self._held is not None:
            self._held.push(time, known)

    def figures(self) -> Iterator[Figure]:
        for rule in self._set.rules:
            yield from self._times(rule.name, self._stays[rule.name], sorted(set(rule.levels)), _lacking(rule))
        lacking = "no row in which all rules of the set are known"
        if self._judge.overall:
            yield from self._times("overall", self._overall, self._judge.overall, lacking)
        for counted in self._counted:
            yield from counted.figures(self._set.reference)
        if self._held is not None:
            yield from self._held.figures(self._set.reference)

    def _times(self, name: str, stays: Stays, levels: list[int], lacking: str) -> Iterator[Figure]:
        stays.end()
        n, definition = stays.n, f"exposure.class/1@{self._set.reference}"
        for level in levels:
            rows, what = int(stays.rows[level]), f"{name}_{self._set.level_name(level)}"
            share, minutes, why = (100.0 * rows / n, rows / self._minute, None) if n else (None, None, lacking)
            yield Figure(f"share_{what}", share, "%", definition, n=n, reason=why)
            yield Figure(f"minutes_{what}", minutes, "min", definition, n=n, reason=why)


class _Counted:
    """How often a limit is passed, and in how many minutes that was too often."""

    def __init__(self, frequency: Frequency, rate_hz: float) -> None:
        middle, margin = _between(frequency)
        self._rule, self._minute = frequency, 60.0 * rate_hz
        self._cut = Classifier([middle], absolute=True, margin=margin)
        self._before = np.full(1, -1, dtype=np.int8)
        self._windows = Windows(60.0)
        self._rows = self._entries = self._busy = 0
        self._open, self._count = -1, 0

    def push(self, time: FloatArray, known: Quantities) -> None:
        for _ in self._windows.split(time[:1]):
            pass
        codes = self._cut.push(*known[self._rule.quantity])
        before = np.concatenate([self._before, codes[:-1]])
        self._before = codes[-1:].copy()
        self._rows += int(np.count_nonzero(codes >= 0))
        for minute in self._windows.index(time[(codes == 1) & (before == 0)]).tolist():
            self._entries += 1
            self._count = self._count + 1 if minute == self._open else 1
            self._open = minute
            self._busy += self._count == self._rule.most_per_minute

    def figures(self, reference: str) -> Iterator[Figure]:
        definition, name, n = f"exposure.frequency/1@{reference}", self._rule.name, self._entries
        if self._rows:
            rate, busy, why = n / (self._rows / self._minute), float(self._busy), None
        else:
            rate, busy, why = None, None, NO_ROWS
        yield Figure(f"frequency_{name}", rate, "1/min", definition, n=n, reason=why)
        yield Figure(f"minutes_of_frequent_{name}", busy, "min", definition, n=n, reason=why)


class _Held:
    """Forward postures that were held for longer than the set says."""

    def __init__(self, holding: Holding, rate_hz: float) -> None:
        self._rule, self._holds = holding, Holds(rate_hz, HOLD_DEG, HOLD_S)
        self._rows = self._n = self._long = 0
        self._beyond = 0.0

    def push(self, time: FloatArray, known: Quantities) -> None:
        lean, keep = known["trunk_forward"]
        lean = np.where(keep == 1, lean, np.nan)
        self._rows += int(np.count_nonzero(np.isfinite(lean)))
        self._take(self._holds.push(time, lean))

    def _take(self, holds: list[list[float]]) -> None:
        for start, end, lean, _ in holds:
            longest = self._rule.longest_min(lean)
            if longest is not None:
                self._n += 1
                self._long += end - start > 60.0 * longest
                self._beyond += max(0.0, (end - start) / 60.0 - longest)

    def figures(self, reference: str) -> Iterator[Figure]:
        self._take(self._holds.finish())
        definition = f"exposure.holding/1@{reference}"
        count, minutes, why = (float(self._long), self._beyond, None) if self._rows else (None, None, NO_ROWS)
        yield Figure("holds_beyond_limit", count, "1", definition, n=self._n, reason=why)
        yield Figure("minutes_held_beyond_limit", minutes, "min", definition, n=self._n, reason=why)


def _between(frequency: Frequency) -> tuple[float, float]:
    """Return the middle of the two limits and how far they are from it."""
    middle = 0.5 * (frequency.beyond_deg + frequency.back_deg)
    return middle, frequency.beyond_deg - middle


def _lacking(rule: Rule) -> str:
    needs = {"rotation": "both sensors, a calibration and a known heading", "trunk_forward": "an inclination"}
    return f"no row with {needs.get(rule.quantity, 'both sensors and a calibration')}"
