"""Sessions in the order of time -> each figure's trend and change, days kept, and the ledger of sides."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from imuposture._errors import ConfigError, SessionError
from imuposture.output import Result, Sessions, open_sessions
from imuposture.trend.diligence import LEAST_HOURS, Diligence, diligence
from imuposture.trend.ledger import Account, ledger
from imuposture.trend.series import FEWEST, FEWEST_BASELINE, ewma, mann_kendall, real_change, theil_sen

__all__ = ["FOLLOWED", "Key", "Trend", "Trends", "trends"]

# Figures that are followed unless others are named: ranges and sides, posture, change of posture.
FOLLOWED = (
    "range_of_motion",
    "range_difference",
    "mean_angle",
    "asymmetry_of_size",
    "repetition_bias",
    "inclination_p50",
    "inclination_p90",
    "bout_median",
    "share_overall_red",
)
BASELINE = 5  # sessions at the beginning that say how a person varies
A_DAY, A_WEEK = 86_400.0, 7.0

Key = tuple[str, str | None, str | None, str, str]


class Trend(NamedTuple):
    """One figure over all sessions that hold it.

    ``slope`` is in units a week; ``p`` that of no trend, autocorrelation allowed for; ``change`` the latest value less
    the mean of the ``baseline`` first ones, ``changed`` whether it exceeds ``mdc``, "cannot_tell" where nobody knows;
    ``left_limits`` the first session whose moving average left its limits. ``reason`` says why something is None.
    """

    metric: str
    plane: str | None
    side: str | None
    unit: str
    definition: str
    sessions: int
    first: float
    latest: float
    slope: float | None = None
    slope_low: float | None = None
    slope_high: float | None = None
    p: float | None = None
    baseline: int | None = None
    change: float | None = None
    mdc: float | None = None
    changed: str = "cannot_tell"
    left_limits: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Trends:
    """What many sessions of one wearer say together.

    Attributes
    ----------
    sessions : tuple of str
        In the order of time.
    figures : tuple of Trend
    diligence : Diligence or None
        None where the sessions do not know their day.
    accounts : tuple of Account
        What one side owes the other.
    notes : tuple of str
    """

    sessions: tuple[str, ...]
    figures: tuple[Trend, ...]
    diligence: Diligence | None
    accounts: tuple[Account, ...]
    notes: tuple[str, ...]

    @property
    def table(self) -> pa.Table:
        """The trends as a table, one figure a row."""
        columns = {name: [getattr(trend, name) for trend in self.figures] for name in Trend._fields}
        return pa.table({name: pa.array(values, _TYPES.get(name, pa.float64())) for name, values in columns.items()})

    def asdict(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        days = self.diligence
        return {
            "sessions": list(self.sessions),
            "figures": [trend._asdict() for trend in self.figures],
            "diligence": None if days is None else {f.name: getattr(days, f.name) for f in fields(days)},
            "accounts": [{f.name: getattr(one, f.name) for f in fields(one)} for one in self.accounts],
            "notes": list(self.notes),
        }


_TEXTS = ("metric", "plane", "side", "unit", "definition", "changed", "left_limits", "reason")
_TYPES = dict.fromkeys(_TEXTS, pa.string()) | dict.fromkeys(("sessions", "baseline"), pa.int64())


def trends(
    sessions: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Sessions,
    *,
    metrics: Sequence[str] | None = None,
    baseline: int = BASELINE,
    planned_a_week: float = 7.0,
    least_hours: float = LEAST_HOURS,
    in_order: bool = False,
) -> Trends:
    """Follow the figures of one wearer over sessions.

    Parameters
    ----------
    sessions : path, paths or Sessions
        Eight or more for a trend, four or more for a change.
    metrics : sequence of str, optional
        Figures of ``summary`` to follow; the usual ones when None.
    baseline : int
        Sessions at the beginning that say how the wearer varies; 3 or more.
    planned_a_week, least_hours : float
        Days a week that were planned, and usable hours that make a day count.
    in_order : bool
        Take the sessions as given, one a day: for recordings that do not know when they began.

    Returns
    -------
    Trends

    Raises
    ------
    ConfigError
        If a number makes no sense, or no session holds a figure that was named.
    SessionError
        If a session is missing or damaged, does not know when it began, or began with another one.
    """
    if baseline < FEWEST_BASELINE:
        raise ConfigError(f"the baseline needs {FEWEST_BASELINE} sessions or more, got {baseline}")
    opened = sessions if isinstance(sessions, Sessions) else open_sessions(sessions)
    ordered = _ordered(opened, in_order=in_order)
    summaries = [result.summary.to_pylist() for _, result, _ in ordered]
    names = [name for name, _, _ in ordered]
    days = np.array([when for _, _, when in ordered])
    series = _series(summaries, FOLLOWED if metrics is None else metrics)
    if metrics is not None and (missing := set(metrics) - {key[0] for key in series}):
        known = sorted({row["metric"] for rows in summaries for row in rows if row["value"] is not None})
        raise ConfigError(f"no session holds the figure {min(missing)!r}; choose from {', '.join(known)}")
    figures = tuple(_followed(key, places, days, names, baseline) for key, places in series.items())
    kept = None if in_order else diligence(_hours(ordered, summaries), planned_a_week, least_hours)
    notes = _notes(len(names), len(figures))
    return Trends(tuple(names), figures, kept, tuple(ledger(summaries)), notes)


def _ordered(sessions: Sessions, *, in_order: bool) -> list[tuple[str, Result, float]]:
    """Return name, session and days since the first one, in the order of time."""
    items = list(sessions.results.items())
    if in_order:
        return [(name, result, float(k)) for k, (name, result) in enumerate(items)]
    starts = {name: _start(name, result) for name, result in items}
    items.sort(key=lambda item: starts[item[0]])
    first = starts[items[0][0]]
    found = [(name, result, (starts[name] - first).total_seconds() / A_DAY) for name, result in items]
    for (one, _, when), (other, _, then) in pairwise(found):
        if when == then:
            raise SessionError(f"{one} and {other} began at the same instant: give each session of the wearer once")
    return found


def _start(name: str, result: Result) -> datetime:
    start = result.manifest.get("start")
    if not isinstance(start, str):
        raise SessionError(f"{name} does not know when it began; give the sessions in order and say so (--in-order)")
    return datetime.fromisoformat(start)


def _hours(ordered: Sequence[tuple[str, Result, float]], summaries: Sequence[Sequence[Any]]) -> dict[date, float]:
    """Return usable hours by the day on which a session began, where it was worn."""
    hours: dict[date, float] = {}
    for (name, result, _), rows in zip(ordered, summaries, strict=True):
        day = _start(name, result).date()
        minutes = (row["value"] or 0.0 for row in rows if row["metric"] == "minutes_usable" and row["plane"] is None)
        hours[day] = hours.get(day, 0.0) + sum(minutes) / 60.0
    return hours


def _series(summaries: Sequence[Sequence[Any]], metrics: Sequence[str]) -> dict[Key, dict[int, float]]:
    """Return value by place of the session, a figure; another definition is another figure."""
    found: dict[Key, dict[int, float]] = {}
    for place, rows in enumerate(summaries):
        for row in rows:
            if row["metric"] in metrics and row["value"] is not None:
                key = (row["metric"], row["plane"], row["side"], row["unit"], row["definition"])
                found.setdefault(key, {})[place] = row["value"]
    return found


def _followed(key: Key, places: dict[int, float], days: Any, names: Sequence[str], baseline: int) -> Trend:
    values, where = np.array(list(places.values())), list(places)
    n, k = len(values), min(baseline, len(values) - 1)
    trend = Trend(*key, sessions=n, first=float(values[0]), latest=float(values[-1]))
    reasons = []
    if n >= FEWEST:
        test = mann_kendall(days[where], values)
        slope = theil_sen(days[where], values, test.inflation)
        trend = trend._replace(
            slope=A_WEEK * slope.value, slope_low=A_WEEK * slope.low, slope_high=A_WEEK * slope.high, p=test.p
        )
    else:
        reasons.append(f"a trend needs {FEWEST} sessions with the figure, there are {n}")
    if k >= FEWEST_BASELINE:
        found, chart = real_change(values[:k], float(values[-1])), ewma(values[:k], values[k:])
        left = names[where[k + chart.outside[0]]] if chart.outside else None
        told = "changed" if found.exceeds else "not_shown"
        trend = trend._replace(baseline=k, change=found.change, mdc=found.mdc, changed=told, left_limits=left)
    else:
        reasons.append(f"a change needs {FEWEST_BASELINE} sessions before the latest, there are {max(n - 1, 0)}")
    return trend._replace(reason="; ".join(reasons) or None)


def _notes(sessions: int, figures: int) -> tuple[str, ...]:
    if not figures:
        return ("no session holds a figure to follow",)
    by_chance = f"of {figures} figures that stay the same, about {0.05 * figures:.1f} look changed by chance"
    return (f"{sessions} sessions; {by_chance}",)
