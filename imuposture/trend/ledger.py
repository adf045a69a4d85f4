"""Doses to each side over many sessions -> what one side owes the other, and what work would make them equal.

Arithmetic, not advice: whether sides should be equal is for people to decide, and a dose counts posture, not load.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Account", "ledger"]

BEYOND_DEG = 10.0  # degrees beyond the dead band at which the minutes that would even a dose out are told
SIDED = ("lateral_bend", "axial_rotation")


@dataclass(frozen=True, slots=True)
class Account:
    """What one plane owes.

    Attributes
    ----------
    plane : str
    sessions : int
        Sessions with a dose.
    dose_right, dose_left : float, deg min
        Over all sessions.
    running : tuple of float, deg min
        Right less left after each session.
    repetitions_right, repetitions_left : int
    owes : "right", "left" or None
        The side with the smaller dose.
    minutes : float
        To that side, held 10 degrees beyond the dead band, that would make the doses equal.
    fewer : "right", "left" or None
        The side with fewer repetitions.
    repetitions : int
        To that side, that would make the counts equal.
    """

    plane: str
    sessions: int
    dose_right: float
    dose_left: float
    running: tuple[float, ...]
    repetitions_right: int
    repetitions_left: int
    owes: str | None
    minutes: float
    fewer: str | None
    repetitions: int


def ledger(summaries: Iterable[Iterable[Mapping[str, Any]]]) -> list[Account]:
    """Add up doses and repetitions to each side.

    Parameters
    ----------
    summaries : iterable of iterable of mapping
        Rows of ``summary``, session by session in the order of time.

    Returns
    -------
    list of Account
        One for lateral bend and one for axial rotation, where any session knows a dose.
    """
    doses: dict[str, list[tuple[float, float]]] = {plane: [] for plane in SIDED}
    counts: dict[tuple[str, str], int] = {(plane, side): 0 for plane in SIDED for side in ("right", "left")}
    for rows in summaries:
        found: dict[tuple[str, str], float] = {}
        for row in rows:
            key = (row["plane"], row["side"])
            if key not in counts or row["value"] is None:
                continue
            if row["metric"] == "dose_to_side":
                found[key] = row["value"]
            elif row["metric"] == "repetitions":
                counts[key] += round(row["value"])
        for plane in SIDED:
            if (plane, "right") in found and (plane, "left") in found:
                doses[plane].append((found[plane, "right"], found[plane, "left"]))
    return [_account(plane, doses[plane], counts) for plane in SIDED if doses[plane]]


def _account(plane: str, doses: list[tuple[float, float]], counts: Mapping[tuple[str, str], int]) -> Account:
    right, left, running = 0.0, 0.0, []
    for to_right, to_left in doses:
        right, left = right + to_right, left + to_left
        running.append(right - left)
    more = counts[plane, "right"] - counts[plane, "left"]
    return Account(
        plane=plane,
        sessions=len(doses),
        dose_right=right,
        dose_left=left,
        running=tuple(running),
        repetitions_right=counts[plane, "right"],
        repetitions_left=counts[plane, "left"],
        owes=_smaller(right - left),
        minutes=abs(right - left) / BEYOND_DEG,
        fewer=_smaller(more),
        repetitions=abs(more),
    )


def _smaller(more_right: float) -> str | None:
    return "left" if more_right > 0.0 else "right" if more_right < 0.0 else None
