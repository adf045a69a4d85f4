"""Rhythm: forward bends in, how spine and pelvis shared them out.

Only with the upper sensor at T12 or L1 and the lower one on the sacrum: with the upper sensor higher up, the spinal
angle holds the thorax as well, and the published figures say nothing about it. Not for backward bends, whose shares
differ by a third from test to test (Laird et al. 2016).
"""

from collections.abc import Iterator
from math import radians

import numpy as np

from imuposture._blocks import Event, Figure, MetricBlock
from imuposture.metrics._context import NO_ANGLES, MetricContext
from imuposture.metrics._placement import is_lumbar
from imuposture.metrics._sides import analysed
from imuposture.metrics._statistics import median, median_interval
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.coordination import mean_direction

__all__ = ["PELVIC_DEG", "Rhythm"]

LEAST_BEND_DEG = 20.0  # of the trunk, below which a bend says little about how it is shared
PELVIC_DEG = 59.0  # coupling angle of the first 38 % from which a bend is led by the pelvis (docs/metrics.md)
MANY_SLOWINGS = 6.0  # of one way from which a bend judders (docs/metrics.md)
SHARES = ("lumbar_share", "lumbar_share_first", "lumbar_share_middle", "lumbar_share_last")
ANGLES = ("coupling_deg", "coupling_early_deg")


class Rhythm:
    """The spine's share of forward bends, whole and in thirds, coupling angles, and how many bends the pelvis led."""

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._fits = is_lumbar(context.placement)
        self._placement = context.placement
        self._values: dict[str, list[float]] = {name: [] for name in (*SHARES, *ANGLES, "slowings")}
        self._analysed = False

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished movements."""
        self._analysed = self._analysed or analysed(seen.posture)
        for event in seen.movements:
            if event.kind == "repetition" and (event.plane, event.side) == ("flexion", "forward"):
                self._take(event)
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the figures of the session."""
        self.push(seen)
        return MetricBlock(summary=tuple(self._summary()))

    def _take(self, event: Event) -> None:
        details = event.details
        if "lumbar_share" not in details or (event.amplitude_deg or 0.0) + details["pelvis_deg"] < LEAST_BEND_DEG:
            return
        for name in (*SHARES, *ANGLES):
            if name in details:
                self._values[name].append(details[name])
        self._values["slowings"].append(max(details.get("slowings_out", 0.0), details.get("slowings_back", 0.0)))

    def _summary(self) -> Iterator[Figure]:
        for name in SHARES:
            yield self._figure(name, "%", "rhythm.lumbar_share/1", 100.0)
        for name in ANGLES:
            values = self._told(name)
            value = mean_direction(np.array([radians(angle) for angle in values])) if values else None
            metric, definition = name.removesuffix("_deg") + "_angle", self._definition("rhythm.coupling/1")
            yield Figure(
                metric, value, "deg", definition, "flexion", "forward", n=len(values), reason=self._why(values)
            )
        early, slowings = self._told("coupling_early_deg"), self._told("slowings")
        yield self._share("bends_led_by_pelvis", "rhythm.pelvic/1", [angle >= PELVIC_DEG for angle in early])
        yield self._share("bends_with_judder", "rhythm.judder/1", [count >= MANY_SLOWINGS for count in slowings])

    def _figure(self, name: str, unit: str, definition: str, scale: float) -> Figure:
        values = [scale * value for value in self._told(name)]
        low, high = (median_interval(values) if values else None) or (None, None)
        value, why = median(values) if values else None, self._why(values)
        told = self._definition(definition)
        return Figure(name, value, unit, told, "flexion", "forward", low, high, len(values), reason=why)

    def _share(self, metric: str, definition: str, found: list[bool]) -> Figure:
        value, why = 100.0 * sum(found) / len(found) if found else None, self._why(found)
        told = self._definition(definition)
        return Figure(metric, value, "%", told, "flexion", "forward", n=len(found), reason=why)

    def _told(self, name: str) -> list[float]:
        return self._values[name] if self._fits else []

    def _why(self, values: list[float] | list[bool]) -> str | None:
        if values:
            return None
        if not self._fits:
            return "the placement does not part spine and pelvis: it takes T12 or L1 and the sacrum (t12_s2)"
        return f"no forward bend of {LEAST_BEND_DEG:g} degrees" if self._analysed else NO_ANGLES

    def _definition(self, name: str) -> str:
        return f"{name}@{self._placement}"
