"""What the wearer or the program asks for while recording: entries of the journal, so that a replay obeys too."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from imuposture._blocks import Entry
from imuposture._errors import DecodeError

__all__ = ["STEPS", "Calibrate", "Command", "Mark", "Pause", "command_of", "entry_of"]

Step = Literal["neutral", "flexion", "lateral", "rotation"]
STEPS: tuple[Step, ...] = get_args(Step)
LONGEST = 4096  # bytes of a command


@dataclass(frozen=True, slots=True)
class Calibrate:
    """A guided calibration goes on: a step of it begins or ends, or (without a step) the whole.

    From the end of the whole on, rows carry spinal angles, if the movements were good enough; ``cancelled`` leaves
    things as they were.
    """

    at: Literal["begin", "end", "cancelled"]
    step: Step | None = None

    def __post_init__(self) -> None:
        if self.at not in ("begin", "end", "cancelled") or self.step not in (None, *STEPS):
            raise DecodeError(f"no such part of a calibration: {self.at!r} of {self.step!r}; steps are {STEPS}")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something worth finding again happened; becomes an event of the kind ``mark``."""

    label: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.label, str):
            raise DecodeError(f"the label of a mark must be a text, got {self.label!r}")


@dataclass(frozen=True, slots=True)
class Pause:
    """The wearer pauses, or is back: rows between are gaps."""

    at: Literal["begin", "end"]

    def __post_init__(self) -> None:
        if self.at not in ("begin", "end"):
            raise DecodeError(f"a pause begins or ends, got {self.at!r}")


Command = Calibrate | Mark | Pause
_KINDS: dict[str, type[Command]] = {"calibrate": Calibrate, "mark": Mark, "pause": Pause}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def entry_of(command: Command, arrival_ns: int) -> Entry:
    """Return the entry that asks for it at that time of the host's clock, ns."""
    values = {"do": _NAMES[type(command)], **asdict(command)}
    return Entry(arrival_ns, "command", None, 0, 0, json.dumps(values, sort_keys=True).encode())


def command_of(entry: Entry) -> Command:
    """Return what an entry asks for.

    Raises
    ------
    DecodeError
        If it is none of the commands there are.
    """
    try:
        if len(entry.payload) > LONGEST:
            raise ValueError(f"{len(entry.payload)} bytes; a command has at most {LONGEST}")
        values = json.loads(entry.payload)
        kind = _KINDS[values.pop("do")]
        known = {member.name for member in fields(kind)}
        if set(values) != known:
            raise ValueError(f"keys must be {sorted(known)}, got {sorted(values)}")
        return kind(**values)
    except DecodeError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DecodeError(f"an entry of {len(entry.payload)} bytes is no command ({error})") from None
