"""A session's rows through the classes of other thresholds, with the code that counted them the first time."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from imuposture._blocks import Figure, PostureBlock
from imuposture._errors import SessionError
from imuposture.metrics import MetricContext, MetricSet, Observed
from imuposture.metrics._thresholds import ThresholdSet, threshold_set
from imuposture.metrics.classes import Judge, quantities
from imuposture.output import Result, counted_rows, figures_table, open_sessions, put_scores, rate_of

__all__ = ["Score", "score"]

Crossing = dict[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Score:
    """A session under one threshold set, or under two.

    Attributes
    ----------
    thresholds : ThresholdSet
    figures : tuple of Figure
        Those of the set, as they would stand in the summary.
    against : ThresholdSet or None
        The second set.
    against_figures : tuple of Figure
        Those of the second set.
    crossing : dict or None
        Minutes by the class of all rules together under the first set and under the second one, by name; None without
        a second set, or where one of them does not combine its rules.
    """

    thresholds: ThresholdSet
    figures: tuple[Figure, ...]
    against: ThresholdSet | None = None
    against_figures: tuple[Figure, ...] = ()
    crossing: Crossing | None = None

    @property
    def table(self) -> pa.Table:
        """All figures as a table like ``summary``; the definitions tell the sets apart."""
        return figures_table([*self.figures, *self.against_figures])


def score(
    session: str | os.PathLike[str] | Result,
    thresholds: str | os.PathLike[str],
    *,
    against: str | os.PathLike[str] | None = None,
    save: bool = False,
) -> Score:
    """Count the classes of a session's postures under a named set of thresholds.

    Parameters
    ----------
    session : path or Result
        A session folder, or what `process` returned.
    thresholds : str or path
        Id of a set of this package, or the path of an own one (TOML).
    against : str or path, optional
        A second set: which postures do the two judge differently?
    save : bool
        Also write the figures into ``scores.parquet`` of the session folder; its other files stay as they are.

    Returns
    -------
    Score

    Raises
    ------
    ConfigError
        If there is no such set (the message names the choice), or a file is none.
    SessionError
        If the session is missing, damaged, being recorded, or in memory though ``save`` was asked for.
    """
    first, second = _found(thresholds), None if against is None else _found(against)
    result = session if isinstance(session, Result) else _one(session)
    if save and result.path is None:
        raise SessionError("a session in memory has no folder to write scores.parquet to; process it with out=")
    names = [thresholds] if against is None else [thresholds, against]
    rate = rate_of(result)
    sets = [MetricSet(MetricContext(rate, thresholds=(os.fspath(name),)), ["classes"]) for name in names]
    crossing = _Crossing(first, second) if second is not None else None
    for posture in counted_rows(result):
        for metrics in sets:
            metrics.push(posture)
        if crossing is not None:
            crossing.push(posture)
    figures = [metrics.finish().summary for metrics in sets]
    minutes = None if crossing is None else crossing.minutes(rate)
    scored = Score(first, figures[0], second, figures[1] if second is not None else (), minutes)
    if save and result.path is not None:
        put_scores(result.path, [figure for part in figures for figure in part])
    return scored


def _found(name: str | os.PathLike[str]) -> ThresholdSet:
    return threshold_set(os.fspath(name) if isinstance(name, str) else Path(name))


def _one(path: str | os.PathLike[str]) -> Result:
    results = list(open_sessions(path).results.values())
    if len(results) > 1:
        raise SessionError(f"{path} holds {len(results)} sessions; score one at a time")
    return results[0]


class _Crossing:
    """Rows by the class that each of two sets puts them in."""

    def __init__(self, first: ThresholdSet, second: ThresholdSet) -> None:
        self._sets = (first, second)
        self._judges = (Judge(first), Judge(second))
        self._size = 1 + max((level for judge in self._judges for level in judge.overall), default=0)
        self._rows = np.zeros(self._size * self._size, dtype=np.int64)

    def push(self, posture: PostureBlock) -> None:
        known = quantities(Observed(posture, None, ()))
        one, other = (judge.push(known)[1] for judge in self._judges)
        if one is None or other is None:
            return
        both = (one >= 0) & (other >= 0)
        cells = one[both].astype(np.int64) * self._size + other[both]
        self._rows += np.bincount(cells, minlength=len(self._rows))

    def minutes(self, rate_hz: float) -> Crossing | None:
        """Return minutes by the names of both classes; None where a set does not combine its rules."""
        overall: Iterable[list[int]] = [judge.overall for judge in self._judges]
        first, second = overall
        if not first or not second:
            return None
        name, other = (known.level_name for known in self._sets)
        cells: Mapping[tuple[int, int], int] = {
            (a, b): int(self._rows[a * self._size + b]) for a in first for b in second
        }
        return {(name(a), other(b)): rows / (60.0 * rate_hz) for (a, b), rows in cells.items()}
