"""Durations: rows in, how long the trunk stays at which inclination without interruption out.

Exposure variation analysis (Mathiassen and Winkel 1991): not only how much time at a level, but in stretches of which
length; and static holds by their length.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import sqrt

from imuposture._blocks import Figure, MetricBlock
from imuposture.metrics._context import NO_ROWS, MetricContext
from imuposture.metrics._stays import Classifier, Holds, Stays
from imuposture.metrics.segmentation import Observed

__all__ = ["Durations", "eva_sd"]

# Level and length classes differ from study to study, so they are part of the definition.
LEVELS_DEG = (0.0, 20.0, 45.0, 60.0, 90.0)  # degrees of inclination
LENGTHS_S = (1.0, 3.0, 7.0, 15.0, 31.0, 63.0)  # s; each class twice as long as the one before and 1 s more
HOLD_DEG = 5.0  # degrees either side of the middle of a hold. Small: sway ends holds; large: changes are overlooked
HOLD_S = 4.0  # s, shortest static posture (ISO 11226 counts from 4 s)
HOLD_LENGTHS_S = (10.0, 60.0, 240.0)  # s

EVA = "exposure.eva/1@levels_0_20_45_60_90deg,lengths_1_3_7_15_31_63s"
EVA_SD = "exposure.eva_sd/1@levels_0_20_45_60_90deg,lengths_1_3_7_15_31_63s"
STATIC = "exposure.static/1@own_neutral,within_5deg,from_4s"


def _between(limits: tuple[float, ...], unit: str, first: str, last: str) -> list[str]:
    inner = [f"{low:g}_{high:g}{unit}" for low, high in pairwise(limits)]
    return [first.format(limits[0]), *inner, last.format(limits[-1])]


LEVEL_NAMES = _between(LEVELS_DEG, "deg", "below_{:g}deg", "from_{:g}deg")
LENGTH_NAMES = _between(LENGTHS_S, "s", "up_to_{:g}s", "from_{:g}s")
HOLD_NAMES = _between(HOLD_LENGTHS_S, "s", "up_to_{:g}s", "from_{:g}s")


class Durations:
    """Share of time by inclination and length of the stay, and minutes of static posture by length."""

    needs: frozenset[str] = frozenset()

    def __init__(self, context: MetricContext) -> None:
        self._cut = Classifier(LEVELS_DEG)
        self._stays = Stays(len(LEVEL_NAMES), context.rate_hz, LENGTHS_S)
        self._holds = Holds(context.rate_hz, HOLD_DEG, HOLD_S)
        self._held, self._count = [0.0] * len(HOLD_NAMES), [0] * len(HOLD_NAMES)

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows."""
        posture = seen.posture
        if len(posture):
            self._stays.push(posture.time_s, self._cut.push(seen.lean_deg, seen.usable))
            self._take(self._holds.push(posture.time_s, seen.lean_deg))
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the figures of the session."""
        del seen
        self._stays.end()
        self._take(self._holds.finish())
        return MetricBlock(summary=(*self._variation(), *self._static()))

    def _take(self, holds: list[list[float]]) -> None:
        for start, end, _, _ in holds:
            k = sum(end - start >= limit for limit in HOLD_LENGTHS_S)
            self._held[k] += (end - start) / 60.0
            self._count[k] += 1

    def _variation(self) -> Iterator[Figure]:
        n, rows = self._stays.n, self._stays.table.tolist()
        why = None if n else NO_ROWS
        for level, lengths in zip(LEVEL_NAMES, rows, strict=True):
            for length, count in zip(LENGTH_NAMES, lengths, strict=True):
                share = 100.0 * count / n if n else None
                yield Figure(f"eva_{level}_{length}", share, "%", EVA, n=n, reason=why)
        spread = eva_sd([count for lengths in rows for count in lengths]) if n else None
        yield Figure("eva_sd", spread, "%", EVA_SD, n=n, reason=why)

    def _static(self) -> Iterator[Figure]:
        known = self._stays.n > 0
        for name, minutes, count in zip(HOLD_NAMES, self._held, self._count, strict=True):
            value, why = (minutes, None) if known else (None, NO_ROWS)
            yield Figure(f"static_minutes_{name}", value, "min", STATIC, n=count, reason=why)


def eva_sd(rows: list[int]) -> float:
    """Return the standard deviation of the shares of all cells, percent: 0 where all cells hold the same time."""
    total, mean = sum(rows), 100.0 / len(rows)
    squares = 0.0
    for count in rows:
        off = 100.0 * count / total - mean
        squares += off * off
    return sqrt(squares / len(rows))
