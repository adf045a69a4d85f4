"""Variety: rows and finished movements in, how much of the space of postures is used out.

Descriptive, without a verdict: more is not better. In one experiment a larger spread of the lumbar curve while sitting
went with more discomfort (Sondergaard et al. 2010).
"""

from collections.abc import Iterator
from math import log

import numpy as np

from imuposture._blocks import PLANES, Figure, MetricBlock, Plane
from imuposture.metrics._context import NO_ANGLES, MetricContext
from imuposture.metrics._stays import Classifier, CodeArray, Stays
from imuposture.metrics.segmentation import Observed

__all__ = ["Variety", "normalised_entropy"]

# Three classes a plane, degrees: flexion upright, bent, far bent; the others left, middle, right.
CUTS_DEG: dict[Plane, tuple[float, float]] = {
    "flexion": (10.0, 30.0),
    "lateral_bend": (-7.0, 7.0),
    "axial_rotation": (-7.0, 7.0),
}
MARGIN_DEG = 1.0  # a class is left only this far beyond its limit, so that noise makes no transitions
VISIT_S = 1.0  # s in all from which on a cell counts as visited
CELLS = 27
BINS = "flexion_10_30,lateral_bend_7,axial_rotation_7deg,margin_1deg"
NO_MOVEMENT = "no repetition in any plane"


class Variety:
    """Entropy of the joint posture in 27 cells, cells visited, transitions an hour, and the share of each plane."""

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._cuts = {plane: Classifier(cuts, margin=MARGIN_DEG) for plane, cuts in CUTS_DEG.items()}
        self._stays = Stays(CELLS, context.rate_hz)
        self._hour, self._visit = 3600.0 * context.rate_hz, VISIT_S * context.rate_hz
        self._moves = dict.fromkeys(PLANES, 0)

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows and finished movements."""
        posture = seen.posture
        self._count(seen)
        if len(posture):
            angles = (posture.flexion_deg, posture.lateral_bend_deg, posture.axial_rotation_deg)
            codes = [self._cuts[plane].push(x, seen.facing) for plane, x in zip(PLANES, angles, strict=True)]
            self._stays.push(posture.time_s, _cell(*codes))
        return MetricBlock()

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the figures of the session."""
        self._count(seen)
        self._stays.end()
        return MetricBlock(summary=(*self._cells(), *self._planes()))

    def _count(self, seen: Observed) -> None:
        for event in seen.movements:
            if event.kind == "repetition" and event.plane is not None:
                self._moves[event.plane] += 1

    def _cells(self) -> Iterator[Figure]:
        n, rows = self._stays.n, self._stays.rows
        why = None if n else f"{NO_ANGLES}, and a known heading"
        entropy = normalised_entropy(rows.tolist()) if n else None
        yield Figure("posture_entropy", entropy, "1", f"variety.entropy/1@{BINS}", n=n, reason=why)
        visited = float(np.count_nonzero(rows >= self._visit)) if n else None
        yield Figure("cells_visited", visited, "1", f"variety.cells/1@{BINS},from_1s", n=n, reason=why)
        hourly = self._stays.entries / (n / self._hour) if n else None
        yield Figure("transitions_per_hour", hourly, "1/h", f"variety.transitions/1@{BINS}", n=n, reason=why)

    def _planes(self) -> Iterator[Figure]:
        total = sum(self._moves.values())
        why = None if total else NO_MOVEMENT
        for plane, count in self._moves.items():
            share = 100.0 * count / total if total else None
            yield Figure("plane_share", share, "%", "variety.plane_share/1", plane, n=total, reason=why)


def _cell(flexion: CodeArray, lateral: CodeArray, rotation: CodeArray) -> CodeArray:
    """Return the cell of the joint posture, -1 where a plane is not known."""
    cell: CodeArray = 9 * flexion + 3 * lateral + rotation
    cell[(flexion < 0) | (lateral < 0) | (rotation < 0)] = -1
    return cell


def normalised_entropy(counts: list[int]) -> float:
    """Return the entropy of counts over that of as many equal ones: 0 for one cell, 1 for equal cells.

    With the correction of Miller (1955) and Madow for the bias of a finite sample, (cells - 1) / (2 n).
    """
    total, entropy = sum(counts), 0.0
    filled = [count for count in counts if count]
    for count in sorted(filled):  # one order for a person and the mirrored one
        entropy -= count / total * log(count / total)
    entropy += (len(filled) - 1) / (2.0 * total)
    return min(1.0, entropy / log(len(counts)))
