"""What became of a recording."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from imuposture._blocks import Role
from imuposture.output import Result

__all__ = ["Ending", "Outcome", "SensorTally"]

Ending = Literal["time is up", "end of the source", "asked", "interrupted", "terminated", "hung up", "disk", "fault"]
EXIT_CODES: dict[Ending, int] = {"disk": 1, "fault": 1, "terminated": 143, "hung up": 129}  # 128 + signal, as shells do


@dataclass(frozen=True, slots=True)
class SensorTally:
    """What one sensor's links went through.

    Attributes
    ----------
    payloads : int
        That reached the journal.
    connections : int
    losses : int
        Links that were lost, or fell silent.
    stale : int
        Payloads of connections that were over; dropped.
    overflowed : int
        Payloads that the queue had no room for; lost.
    state : str
        Of the link at the end, before it was closed.
    battery_percent : float or None
        As the sensor said last; None if it did not.
    reason : str
        Why its last connection ended or its last attempt failed; empty if all was well.
    """

    payloads: int = 0
    connections: int = 0
    losses: int = 0
    stale: int = 0
    overflowed: int = 0
    state: str = ""
    reason: str = ""
    battery_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a recording ended, and what is there now.

    Attributes
    ----------
    ending : str
        Why it ended.
    folder : Path or None
    result : Result or None
        The closed session; None if nothing was written, or it waits for `imuposture recover`.
    recoverable : bool
        The journal is there and the session is not closed.
    seconds : float
        From the first samples of both sensors to the end.
    sensors : mapping of role to SensorTally
    rows : int
        Posture rows of the live walk.
    dropped : int
        Of these, rows that slow readers missed.
    broken : bool
        The walk ended before its time, by a mistake of ours; the payloads are all there.
    notes : tuple of str
        What people should know, in words.
    """

    ending: Ending
    folder: Path | None = None
    result: Result | None = None
    recoverable: bool = False
    seconds: float = 0.0
    sensors: Mapping[Role, SensorTally] = field(default_factory=dict)
    rows: int = 0
    dropped: int = 0
    broken: bool = False
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if all that was wanted is there; Ctrl-C is the usual way to end a recording."""
        if self.recoverable or self.broken:
            return 1
        if not self.sensors:  # ended before there was anything to record
            return EXIT_CODES.get(self.ending, 130)
        return EXIT_CODES.get(self.ending, 0)

    def message(self) -> str:
        """Return what happened, in words."""
        lines = [f"{_ENDINGS[self.ending]} after {self.seconds:.0f} s with both sensors; {self.rows} rows"]
        for role, tally in self.sensors.items():
            lines.append(_sentence(role, tally))
        if self.dropped:
            lines.append(f"slow readers missed {self.dropped} live rows; the recording has them")
        if self.recoverable:
            lines.append(f"the session is not closed; nothing is lost: imuposture recover {self.folder}")
        return "\n".join([*lines, *self.notes])


_ENDINGS: dict[Ending, str] = {
    "time is up": "recorded as long as was asked for, and ended",
    "end of the source": "the source ended",
    "asked": "ended as the program asked",
    "interrupted": "ended by Ctrl-C",
    "terminated": "ended by SIGTERM",
    "hung up": "ended as the terminal was closed (SIGHUP)",
    "disk": "ended as the journal could not be written",
    "fault": "ended by an error",
}


def _sentence(role: Role, tally: SensorTally) -> str:
    told = f"{role}: {tally.payloads} payloads in {tally.connections} connection(s)"
    if tally.losses:
        told += f", link lost {tally.losses} time(s)"
    if tally.stale or tally.overflowed:
        told += f", {tally.stale} late and {tally.overflowed} overflowed payloads dropped"
    if tally.battery_percent is not None:
        told += f", battery {tally.battery_percent:.0f} %"
    if tally.state not in ("streaming", "", "closed"):
        told += f"; at the end it was {tally.state} ({tally.reason or 'no reason known'})"
    return told
