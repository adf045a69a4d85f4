"""Exercises: finished movements and held postures in, sets by name out, how even they were and what they lost.

A set is a run of repetitions in one plane, to one side or to both in turn, of similar size, with short pauses.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import PLANES, Event, Figure, FloatArray, MetricBlock, Plane, PostureBlock, Side
from imuposture.metrics._context import NO_ANGLES, MetricContext
from imuposture.metrics._rows import GAP
from imuposture.metrics._sides import SIDES, analysed
from imuposture.metrics._statistics import Z95, median
from imuposture.metrics._templates import Template, templates
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.movements import LONGEST_DELAY_S

__all__ = ["Exercises", "slope_of_sets"]

PAUSE_S = 10.0  # s between two repetitions of a set. Small: parts sets; large: joins what was no set
ALIKE = (0.6, 1.6)  # sizes of a set, by their median so far
FEWEST = 4  # repetitions of a set that no template names
OTHER_SHARE = 0.6  # size of a movement in another plane, by the median of the set, that ends it
STILL_DEG = 8.0  # degrees within which a hold stays. Small: tremor ends holds; large: postures run into each other
LONGEST_TREND = 60  # repetitions of a set that go into its trend
TRENDS = (("amplitude", "deg"), ("duration", "s"), ("smoothness", "1"))


@dataclass(slots=True)
class _Run:
    """Repetitions that may become a set."""

    plane: Plane
    events: list[Event] = field(default_factory=list)

    def sizes(self) -> list[float]:
        return [event.amplitude_deg or 0.0 for event in self.events]

    def takes(self, event: Event) -> bool:
        """Say whether a repetition of the same plane goes on with the run."""
        size, last = event.amplitude_deg or 0.0, self.events[-1]
        middle = median(self.sizes())
        if event.start_s - last.end_s > PAUSE_S or not ALIKE[0] * middle <= size <= ALIKE[1] * middle:
            return False
        if len(self.events) == 1:
            return True
        in_turn = self.events[0].side != self.events[1].side
        return (event.side != last.side) == in_turn

    def values(self) -> dict[str, float | None]:
        """Return what templates have limits for."""
        lean = [event.details["lean_deg"] for event in self.events if "lean_deg" in event.details]
        hold = [event.details["hold_s"] for event in self.events if "hold_s" in event.details]
        return {
            "amplitude": median(self.sizes()),
            "seconds": median([event.end_s - event.start_s for event in self.events]),
            "hold": median(hold) if hold else None,
            "lean": median(lean) if lean else None,
        }


class Exercises:
    """Sets and holds as events with the name of the exercise, counts by exercise and side, and trends over sets."""

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        known = templates(context.exercises)
        self._sets = tuple(template for template in known if template.repetitions > 1)
        self._names = [template.name for template in known]
        self._held = [template.name for template in known if template.repetitions == 1]
        self._runs: dict[Plane, _Run] = {}
        self._holds = _Holds(tuple(template for template in known if template.repetitions == 1))
        self._found: list[Event] = []
        self._trends: dict[tuple[Plane, str], list[list[float]]] = {}
        self._analysed = False

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows and finished movements; give sets that ended."""
        events = [ended for event in seen.movements for ended in self._take(event)]
        if len(seen.posture):
            self._analysed = self._analysed or analysed(seen.posture)
            events += self._holds.push(seen.posture, seen.starts)
            last_s = float(seen.posture.time_s[-1]) - PAUSE_S - LONGEST_DELAY_S
            for plane in [plane for plane, run in self._runs.items() if run.events[-1].end_s < last_s]:
                events += self._close(plane)
        return MetricBlock(tuple(self._note(events)))

    def finish(self, seen: Observed) -> MetricBlock:
        """End what is open, and give the figures of the session."""
        events = [ended for event in seen.movements for ended in self._take(event)]
        events += [ended for plane in list(self._runs) for ended in self._close(plane)] + self._holds.finish()
        return MetricBlock(tuple(self._note(events)), summary=tuple(self._summary()))

    def _note(self, events: list[Event]) -> list[Event]:
        self._found += [event for event in events if event.label]
        return events

    def _take(self, event: Event) -> Iterator[Event]:
        if event.kind != "repetition" or event.plane is None or event.amplitude_deg is None:
            return
        for plane, run in list(self._runs.items()):
            other = plane != event.plane and event.amplitude_deg >= OTHER_SHARE * median(run.sizes())
            if (plane == event.plane and not run.takes(event)) or other:
                yield from self._close(plane)
        self._runs.setdefault(event.plane, _Run(event.plane)).events.append(event)

    def _close(self, plane: Plane) -> list[Event]:
        run = self._runs.pop(plane)
        sides = {event.side for event in run.events}
        side: Side | None = next(iter(sides)) if len(sides) == 1 else None
        count, values = len(run.events), run.values()
        found = next((t for t in self._sets if count >= t.repetitions and t.fits(plane, side, values)), None)
        if found is None and count < FEWEST:
            return []
        self._keep(run)
        sizes = run.sizes()
        first, last = run.events[0], run.events[-1]
        details = {"repetitions": float(count), "spread_share": _spread(sizes), "seconds": values["seconds"] or 0.0}
        if side is None:
            right = [event.amplitude_deg or 0.0 for event in run.events if event.side in ("right", "forward")]
            left = [event.amplitude_deg or 0.0 for event in run.events if event.side in ("left", "backward")]
            details["side_difference_deg"] = median(right) - median(left)
        name = found.name if found else None
        return [Event("set", first.start_s, last.end_s, plane, side, values["amplitude"], details, name)]

    def _keep(self, run: _Run) -> None:
        """Keep what trends over sets are made of."""
        events = run.events[:LONGEST_TREND]
        self._trends.setdefault((run.plane, "amplitude"), []).append([event.amplitude_deg or 0.0 for event in events])
        self._trends.setdefault((run.plane, "duration"), []).append([event.end_s - event.start_s for event in events])
        smooth = [event.details["sparc_out"] for event in events if "sparc_out" in event.details]
        if len(smooth) == len(events):
            self._trends.setdefault((run.plane, "smoothness"), []).append(smooth)

    def _summary(self) -> Iterator[Figure]:
        why = None if self._analysed else NO_ANGLES
        for name in self._names:
            sets = [event for event in self._found if event.label == name]
            value = float(len(sets)) if self._analysed else None
            yield Figure("sets", value, "1", f"exercises.sets/1@{name}", n=len(sets), reason=why)
            if name in self._held:
                total = _sum([event.details["hold_s"] for event in sets]) if self._analysed else None
                yield Figure("set_hold", total, "s", f"exercises.hold/1@{name}", n=len(sets), reason=why)
            for side in ("right", "left", "forward", "backward", None):
                done = [event for event in sets if event.side == side]
                if done:
                    yield from _of_side(name, side, done)
        for plane in PLANES:
            for what, unit in TRENDS:
                sets_of = self._trends.get((plane, what), [])
                yield _trend(plane, what, unit, sets_of, self._analysed)


class _Holds:
    """Postures that stay as a template asks for, looked at once a second."""

    def __init__(self, wanted: tuple[Template, ...]) -> None:
        self._wanted = wanted
        self._open: tuple[Template, Side | None, list[list[float]]] | None = None

    def push(self, posture: PostureBlock, first: NDArray[np.intp]) -> list[Event]:
        """Take rows, and which of them are the first of a second; give the holds that ended."""
        angles = [getattr(posture, f"{plane}_deg")[first] for plane in PLANES]
        rows = np.stack([posture.time_s[first], posture.trunk_inclination_deg[first], *angles], axis=1)
        rows[(posture.quality[first] & GAP) != 0, 1:] = np.nan
        looked = self._worth_a_look(rows)
        return [event for row in rows[looked].tolist() for event in self._take(row)]

    def _worth_a_look(self, rows: FloatArray) -> NDArray[np.bool_]:
        """Return the rows in the posture of some hold, and those that may end one."""
        inside = np.zeros(len(rows) + 1, dtype=np.bool_)
        inside[0] = self._open is not None
        for template in self._wanted:
            angle = rows[:, 2 + PLANES.index(template.plane)]
            values = {"amplitude": angle if template.amplitude[0] < 0.0 else np.abs(angle), "lean": rows[:, 1]}
            limits = [(values[name] >= low) & (values[name] <= high) for name, (low, high) in _limits(template)]
            inside[1:] |= limits[0] & limits[1]
        looked: NDArray[np.bool_] = inside[1:] | inside[:-1]
        return looked

    def finish(self) -> list[Event]:
        """End what is held."""
        return self._end()

    def _take(self, row: list[float]) -> list[Event]:
        if self._open is not None:
            template, side, rows = self._open
            if _still(row, rows) and _holds(template, row) == (True, side):
                rows.append(row)
                return []
        events = self._end()
        for template in self._wanted:
            fits, side = _holds(template, row)
            if fits:
                self._open = template, side, [row]
                break
        return events

    def _end(self) -> list[Event]:
        held, self._open = self._open, None
        if held is None:
            return []
        template, side, rows = held
        start, end = rows[0][0], rows[-1][0] + 1.0  # each stands for the second that follows
        if not template.hold[0] <= end - start <= template.hold[1]:
            return []
        angle = median([abs(row[2 + PLANES.index(template.plane)]) for row in rows])
        details = {"repetitions": 1.0, "hold_s": end - start, "lean_deg": median([row[1] for row in rows])}
        return [Event("set", start, end, template.plane, side, angle, details, template.name)]


def _limits(template: Template) -> tuple[tuple[str, tuple[float, float]], ...]:
    return ("amplitude", template.amplitude), ("lean", template.lean)


def _holds(template: Template, row: list[float]) -> tuple[bool, Side | None]:
    """Say whether a row is in the posture of a hold, and to which side."""
    angle = row[2 + PLANES.index(template.plane)]
    side: Side | None = SIDES[template.plane][0 if angle > 0.0 else 1]
    if template.amplitude[0] < 0.0:  # straight: whichever side it is off to says nothing
        side = None
    else:
        angle = abs(angle)
    values = {"amplitude": angle, "lean": row[1]}
    inside = all(low <= values[name] <= high for name, (low, high) in _limits(template))
    return inside and (template.side is None or side == template.side), side


def _still(row: list[float], rows: list[list[float]]) -> bool:
    return all(not abs(x - first) > STILL_DEG for x, first in zip(row[1:], rows[0][1:], strict=True))


def _spread(sizes: list[float]) -> float:
    """Return the standard deviation of the sizes as a share of their mean."""
    mean = _sum(sizes) / len(sizes)
    if len(sizes) < 2 or not mean > 0.0:
        return 0.0
    return sqrt(_sum([(size - mean) * (size - mean) for size in sizes]) / (len(sizes) - 1)) / mean


def _sum(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def _of_side(name: str, side: str | None, done: list[Event]) -> Iterator[Figure]:
    plane, n = done[0].plane, len(done)
    count = _sum([event.details["repetitions"] for event in done])
    yield Figure("set_repetitions", count, "1", f"exercises.repetitions/1@{name}", plane, side, n=n)
    held = [event.details["hold_s"] for event in done if "hold_s" in event.details]
    if held:
        yield Figure("set_hold", _sum(held), "s", f"exercises.hold/1@{name}", plane, side, n=n)
    else:
        spread = 100.0 * median([event.details["spread_share"] for event in done])
        yield Figure("set_spread", spread, "%", f"exercises.spread/1@{name}", plane, side, n=n)


def _trend(plane: Plane, what: str, unit: str, sets: list[list[float]], known: bool) -> Figure:
    metric, definition, n = f"set_trend_of_{what}", "exercises.trend/1", sum(map(len, sets))
    if not sets:
        return Figure(metric, None, unit, definition, plane, n=0, reason="no set" if known else NO_ANGLES)
    value, interval = slope_of_sets(sets)
    low, high = interval or (None, None)
    return Figure(metric, value, unit, definition, plane, low=low, high=high, n=n)


def slope_of_sets(sets: list[list[float]]) -> tuple[float, tuple[float, float] | None]:
    """Return the change a repetition (Theil 1950, Sen 1968), and its 95 % interval where there are enough.

    Only repetitions of the same set are compared with each other; the variance of Kendall's sum is that of all sets
    together, as Hirsch, Slack and Smith 1982 do with seasons.
    """
    slopes = np.sort(
        np.array(
            [(y - x) / (j - i) for one in sets for i, x in enumerate(one) for j, y in enumerate(one[i + 1 :], i + 1)]
        )
    )
    n = len(slopes)
    variance = sum(len(one) * (len(one) - 1) * (2 * len(one) + 5) / 18.0 for one in sets)
    value = 0.5 * float(slopes[(n - 1) // 2] + slopes[n // 2])
    rank = floor((n - Z95 * sqrt(variance)) / 2.0) - 1
    return value, (float(slopes[rank]), float(slopes[n - 1 - rank])) if rank >= 0 else None
