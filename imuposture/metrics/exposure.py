"""Exposure: rows in, how long the trunk was bent, twisted and fast out.

Counts only rows that hold a value: time in a gap is time unknown, not time upright.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from imuposture._blocks import Figure, MetricBlock, Side
from imuposture.metrics._context import NO_ROWS, SIDED_PLANES, MetricContext
from imuposture.metrics._rows import Delay
from imuposture.metrics._tally import NO_SD, Span, Tally, WindowTallies
from imuposture.metrics.segmentation import Observed

__all__ = ["Exposure"]

ABOVE_DEG = (20.0, 45.0, 60.0, 90.0)  # degrees; limits of trunk posture in use among ergonomists (docs/metrics.md)
BELOW_DEG = (0.0, -20.0)
SHARES = {"p5": 0.05, "p10": 0.10, "p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
WANTED = list(SHARES.values())
SPEED_S = 0.5  # s over which a speed is taken. Small: sensor noise; large: misses short movements
FASTEST = 720.0  # degrees a second, beyond which percentiles of the speed are not told apart
SHARE, MINUTES = "exposure.share/1@own_neutral", "exposure.minutes/1@own_neutral"
DOSE_BEYOND_DEG = 20.0  # degrees of inclination from which on the dose counts

Limits = tuple[tuple[float, float], ...]  # degrees, and +1 for above or -1 for below
INCLINATION_LIMITS: Limits = tuple((limit, 1.0) for limit in ABOVE_DEG) + tuple((limit, -1.0) for limit in BELOW_DEG)
SIDE_LIMITS: Limits = tuple((limit, 1.0) for limit in ABOVE_DEG) + tuple((-limit, -1.0) for limit in ABOVE_DEG)


def _named(limits: Limits, *, sided: bool) -> list[tuple[str, str, Side | None]]:
    """Return how the figures of each limit are called, and their side: an hour has thousands of them."""
    names: list[tuple[str, str, Side | None]] = []
    for limit, sign in limits:
        side: Side | None = None
        where = f"{'below' if sign < 0.0 else 'above'}_{limit:g}deg"
        if sided:
            where, side = f"above_{abs(limit):g}deg", "right" if sign > 0.0 else "left"
        names.append((f"share_{where}", f"minutes_{where}", side))
    return names


INCLINATION_NAMES, SIDE_NAMES = _named(INCLINATION_LIMITS, sided=False), _named(SIDE_LIMITS, sided=True)


class Exposure:
    """Time beyond limits, percentiles (amplitude probability distribution) and dose, for windows and the session."""

    needs: frozenset[str] = frozenset()

    def __init__(self, context: MetricContext) -> None:
        self._minute = 60.0 * context.rate_hz
        self._tallies = WindowTallies(context, _tallies(context.rate_hz))
        self._delay = Delay(max(1, round(SPEED_S * context.rate_hz)))
        self._span_s = max(1, round(SPEED_S * context.rate_hz)) / context.rate_hz

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows; give the windows that ended."""
        posture, keep, lean = seen.posture, seen.usable, seen.lean_deg
        speed = np.abs(self._delay.push(lean)) / self._span_s
        columns = {
            "inclination": (lean, NO_SD, keep),
            "lateral_bend": (posture.lateral_bend_deg, NO_SD, keep),
            "axial_rotation": (posture.axial_rotation_deg, NO_SD, seen.facing),
            "speed": (speed, NO_SD, keep),
        }
        ended = self._tallies.push(posture.time_s, columns)
        return MetricBlock(windows=tuple(figure for window in ended for figure in self._figures(window)))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last window and the figures of the session."""
        del seen
        windows = tuple(figure for window in self._tallies.finish() for figure in self._figures(window))
        return MetricBlock(windows=windows, summary=tuple(self._figures(self._tallies.whole)))

    def _figures(self, span: Span) -> Iterator[Figure]:
        new, lean = span.figure(), span.tallies["inclination"]
        yield new("minutes_usable", lean.minutes, "min", "exposure.minutes_usable/1", n=lean.n)
        lost = (span.rows - lean.n) / span.rows * (span.rows / self._minute) if span.rows else 0.0
        yield new("minutes_lost", lost, "min", "exposure.minutes_lost/1", n=span.rows - lean.n)
        yield from _beyond(span, "inclination", None, INCLINATION_NAMES)
        yield from _percentiles(span, "inclination", "inclination", "deg", "exposure.apdf/1@own_neutral")
        yield from _percentiles(span, "speed", "inclination_speed", "deg/s", "exposure.speed/1@difference_0.5s")
        definition = f"exposure.dose/1@own_neutral,beyond_{DOSE_BEYOND_DEG:g}deg"
        for side, dose in (("forward", lean.dose_right), ("backward", lean.dose_left)):
            value, why = (dose, None) if lean.n else (None, NO_ROWS)
            yield new("inclination_dose", value, "deg min", definition, side=side, n=lean.n, reason=why)
        for plane in SIDED_PLANES:
            yield from _beyond(span, plane, plane, SIDE_NAMES)


def _tallies(rate_hz: float) -> dict[str, Tally]:
    return {
        "inclination": Tally(rate_hz, INCLINATION_LIMITS, DOSE_BEYOND_DEG),
        **{plane: Tally(rate_hz, SIDE_LIMITS, sums=False, percentiles=False) for plane in SIDED_PLANES},
        "speed": Tally(rate_hz, reach=FASTEST, sums=False),
    }


def _beyond(
    span: Span, what: str, plane: str | None, names: Sequence[tuple[str, str, Side | None]]
) -> Iterator[Figure]:
    tally, start, end = span.tallies[what], span.start_s, span.end_s
    n, why = tally.n, None if tally.n else NO_ROWS
    found = tally.beyond() if n else [(None, None)] * len(names)
    for (name, minutes_name, side), (share, minutes) in zip(names, found, strict=True):
        yield Figure(name, share, "%", SHARE, plane, side, None, None, n, None, start, end, why)
        yield Figure(minutes_name, minutes, "min", MINUTES, plane, side, None, None, n, None, start, end, why)


def _percentiles(span: Span, what: str, name: str, unit: str, definition: str) -> Iterator[Figure]:
    tally, start, end = span.tallies[what], span.start_s, span.end_s
    n, why = tally.n, None if tally.n else NO_ROWS
    values = tally.quantiles(WANTED) if n else [None] * len(WANTED)
    for label, value in zip(SHARES, values, strict=True):
        yield Figure(f"{name}_{label}", value, unit, definition, None, None, None, None, n, None, start, end, why)
