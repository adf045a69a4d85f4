"""Days on which somebody measured -> how regularly: share of the plan, streaks, weeks in which it was kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from imuposture._errors import ConfigError

__all__ = ["LEAST_HOURS", "Diligence", "diligence"]

LEAST_HOURS = 6.0  # h of usable time that make a day count; for sets of exercise say less


@dataclass(frozen=True, slots=True)
class Diligence:
    """How regularly somebody measured.

    Attributes
    ----------
    days : int
        From the first day to the last, both counted.
    counted : int
        Days with at least ``least_hours`` of usable time.
    planned : float
        Days that the plan asks for in that time.
    share : float
        Counted days by planned days, percent; may exceed 100.
    longest_streak, latest_streak : int
        Counted days in a row: the most there were, and those up to the last day.
    weeks, weeks_kept : int
        Whole weeks from the first day on, and those with as many counted days as the plan asks for.
    """

    days: int
    counted: int
    planned: float
    share: float
    longest_streak: int
    latest_streak: int
    weeks: int
    weeks_kept: int


def diligence(hours: Mapping[date, float], planned_a_week: float = 7.0, least_hours: float = LEAST_HOURS) -> Diligence:
    """Count the days of a plan that were kept.

    Parameters
    ----------
    hours : mapping of date to float
        Usable hours by day; days that are not there have none.
    planned_a_week : float
        Days a week.
    least_hours : float
        Usable hours that make a day count.

    Raises
    ------
    ConfigError
        If there is no day, or the plan makes no sense.
    """
    if not hours:
        raise ConfigError("there is no day with a session")
    if not 0.0 < planned_a_week <= 7.0 or not 0.0 <= least_hours <= 24.0:
        raise ConfigError(
            "planned days a week must be more than 0 and at most 7, and least hours a day at most 24, "
            f"got {planned_a_week:g} and {least_hours:g}"
        )
    first, last = min(hours), max(hours)
    days = (last - first).days + 1
    counts = [hours.get(first + timedelta(days=k), 0.0) >= max(least_hours, 1e-9) for k in range(days)]
    weeks = [counts[k : k + 7] for k in range(0, days - 6, 7)]
    streaks = _streaks(counts)
    planned = days * planned_a_week / 7.0
    return Diligence(
        days=days,
        counted=sum(counts),
        planned=planned,
        share=100.0 * sum(counts) / planned,
        longest_streak=max(streaks),
        latest_streak=streaks[-1],
        weeks=len(weeks),
        weeks_kept=sum(sum(week) >= planned_a_week for week in weeks),
    )


def _streaks(counts: list[bool]) -> list[int]:
    """Return how many days in a row each day ends."""
    streaks, now = [], 0
    for kept in counts:
        now = now + 1 if kept else 0
        streaks.append(now)
    return streaks
