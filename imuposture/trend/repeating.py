"""Sessions of several wearers -> how well each figure repeats itself from session to session."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from imuposture._errors import ConfigError, SignalError
from imuposture.output import Sessions, open_sessions
from imuposture.trend.agreement import agreement
from imuposture.trend.following import FOLLOWED, Key

__all__ = ["Repeated", "repeatability"]

LEVEL = 1.959963984540054 * 2.0**0.5  # of the standard error: two measurements of somebody who stays the same


class Repeated(NamedTuple):
    """How well a figure repeats: intraclass correlations (2,1) and (3,1), standard error, minimal detectable change.

    ``mdc`` is 1.96 sqrt(2) SEM, for two single sessions; the SEM is that of all wearers together. ``reason`` says why
    something is None.
    """

    metric: str
    plane: str | None
    side: str | None
    unit: str
    definition: str
    wearers: int
    times: int
    icc2: float | None = None
    icc3: float | None = None
    sem: float | None = None
    mdc: float | None = None
    reason: str | None = None


def repeatability(
    wearers: Mapping[str, str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Sessions],
    *,
    metrics: Sequence[str] | None = None,
) -> list[Repeated]:
    """Tell how well figures repeat themselves over the first sessions of several wearers.

    Parameters
    ----------
    wearers : mapping of str to sessions
        The sessions of each, or a folder that holds them, in the order of their names; of all, as many count as the
        one with the fewest has.
    metrics : sequence of str, optional
        Figures of ``summary``; the usual ones when None.

    Returns
    -------
    list of Repeated

    Raises
    ------
    ConfigError
        If there are fewer than three wearers, or one has fewer than two sessions.
    SessionError
        If a session is missing or damaged.
    """
    followed = FOLLOWED if metrics is None else metrics
    tables = {name: _figures(found, followed) for name, found in wearers.items()}
    times = min((len(sessions) for sessions in tables.values()), default=0)
    if len(tables) < 3 or times < 2:
        fewest = min(tables, key=lambda name: len(tables[name])) if tables else "nobody"
        raise ConfigError(
            f"repeatability needs 3 wearers or more with 2 sessions each, got {len(tables)} and {times} of {fewest}"
        )
    keys = dict.fromkeys(key for sessions in tables.values() for session in sessions for key in session)
    return [_repeated(key, [sessions[:times] for sessions in tables.values()]) for key in keys]


def _figures(found: Any, metrics: Sequence[str]) -> list[dict[Key, float]]:
    """Return the values of each session by figure."""
    sessions = found if isinstance(found, Sessions) else open_sessions(found)
    tables: list[pa.Table] = [sessions.results[name].summary for name in sorted(sessions.results)]
    return [
        {
            (row["metric"], row["plane"], row["side"], row["unit"], row["definition"]): row["value"]
            for row in table.to_pylist()
            if row["metric"] in metrics and row["value"] is not None
        }
        for table in tables
    ]


def _repeated(key: Key, wearers: Sequence[Sequence[Mapping[Key, float]]]) -> Repeated:
    whole = [[session[key] for session in sessions] for sessions in wearers if all(key in one for one in sessions)]
    times = len(wearers[0])
    try:
        found = agreement(whole)
    except SignalError as error:
        return Repeated(*key, len(whole), times, reason=str(error))
    return Repeated(*key, len(whole), times, found.icc2, found.icc3, found.sem, LEVEL * found.sem)
