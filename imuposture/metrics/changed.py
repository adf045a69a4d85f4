"""Two sessions, or one and those before: what changed by more than the same person differs by from day to day.

Works on figures as tables hold them (dictionaries of a row), so that sessions of any age can be compared.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from imuposture.metrics._norms import published_sem
from imuposture.metrics._statistics import Z95, t_quantile

__all__ = ["COMPARED", "Change", "baseline_of", "change", "compare"]

FEWEST_SESSIONS = 3  # before which a person's own spread from day to day is not known
# What is compared unless somebody asks for something else: ranges, rhythm, tempo and smoothness.
COMPARED = (
    "tested_range",
    "range_of_motion",
    "tested_range_difference",
    "range_difference",
    "lumbar_share",
    "coupling_early_angle",
    "repetition_out",
    "smoothness_out",
    "out_of_plane",
)
RANGES = ("tested_range", "range_of_motion")  # of which published repeatability tells something

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure differs from before.

    Attributes
    ----------
    key : str
        ``metric.plane.side``.
    change : float or None
        Now less before (the mean of several); None where one of both has no value.
    mdc : float or None
        Minimal detectable change, 95 %; None: cannot tell.
    exceeds : bool or None
        The change is larger than that; None: cannot tell.
    n : int
        Sessions before.
    source : str
        Whose repeatability: ``"own"``, a published source, or ``"none"``.
    reason : str
    """

    key: str
    change: float | None
    mdc: float | None
    exceeds: bool | None
    n: int
    source: str
    reason: str


def change(
    key: str, now: float | None, before: Sequence[float], *, sem: float | None = None, source: str = ""
) -> Change:
    """Compare a figure with earlier ones of the same person.

    Parameters
    ----------
    key : str
    now : float or None
    before : sequence of float
        The same figure of earlier sessions. From three on their own spread tells what counts as a change.
    sem : float, optional
        Standard error of measurement from session to session, for fewer.
    source : str
        Where that is from.

    Notes
    -----
    From k own sessions t(0.975, k - 1) sqrt(1 + 1/k) SD against their mean; with a known SEM 1.96 sqrt(1 + 1/k) SEM,
    for one session before 1.96 sqrt(2) SEM (Weir 2005). 1.96 sqrt(2) with an own SEM from 3 sessions would call 14 to
    16 % of unchanged figures changed.
    """
    k = len(before)
    if now is None or not k:
        return Change(key, None, None, None, k, "none", "no value now" if now is None else "no value before")
    mean = _mean(before)
    if k >= FEWEST_SESSIONS:
        spread = sqrt(sum((value - mean) ** 2 for value in before) / (k - 1))
        mdc, source = t_quantile(k - 1) * sqrt(1.0 + 1.0 / k) * spread, "own"
    elif sem is not None:
        mdc = Z95 * sqrt(1.0 + 1.0 / k) * sem
    else:
        few = f"nobody knows how much this differs from day to day: {FEWEST_SESSIONS} sessions before would tell"
        return Change(key, now - mean, None, None, k, "none", few)
    exceeds = abs(now - mean) > mdc
    words = "more" if exceeds else "no more"
    return Change(key, now - mean, mdc, exceeds, k, source, f"{words} than from day to day ({mdc:.2g}, {source})")


def compare(
    before: Sequence[Iterable[Row]],
    after: Iterable[Row],
    *,
    placement: str = "unknown",
    metrics: Sequence[str] = COMPARED,
) -> list[Change]:
    """Compare a session with those before it.

    Parameters
    ----------
    before : sequence of tables
        Summaries of one or more sessions, each a list of rows (``result.summary.to_pylist()``).
    after : table
        Summary of the session in question.
    placement : str
        Where the sensors sat, for published repeatability of ranges.
    metrics : sequence of str
        Names of figures to compare.

    Returns
    -------
    list of Change
        One a figure that has a value on either side, in the order of ``after``. Figures of different definitions, and
        so of different placements, are never compared.
    """
    known = baseline_of(before, metrics)
    found = []
    for key, definition, value in _values(after, metrics):
        values = [old for told, old in known.get(key, ()) if told == definition]
        if value is not None or values:
            sem = published_sem(placement) if key.split(".")[0] in RANGES else None
            found.append(change(key, value, values, sem=sem[0] if sem else None, source=sem[1] if sem else ""))
    return found


def baseline_of(
    sessions: Sequence[Iterable[Row]], metrics: Sequence[str] = COMPARED
) -> dict[str, list[tuple[str, float]]]:
    """Return the figures of sessions by ``metric.plane.side``, each with its definition."""
    found: dict[str, list[tuple[str, float]]] = {}
    for rows in sessions:
        for key, definition, value in _values(rows, metrics):
            if value is not None:
                found.setdefault(key, []).append((definition, value))
    return found


def _values(rows: Iterable[Row], metrics: Sequence[str]) -> Iterator[tuple[str, str, float | None]]:
    for row in rows:
        if row["metric"] in metrics:
            key = ".".join(str(part) for part in (row["metric"], row["plane"], row["side"]) if part)
            yield key, row["definition"], row["value"]


def _mean(values: Sequence[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)
