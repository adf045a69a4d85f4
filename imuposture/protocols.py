"""What is asked of the wearer, and when: cues that somebody shows and that enter the walk as commands.

Nothing here waits or reads a clock: a protocol is a list of cues, each with its time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imuposture._errors import ConfigError
from imuposture.pipeline import commands

__all__ = ["Cue", "cues_of", "guided_calibration", "guided_range_of_motion"]

Command = commands.Command
READY_S = 3.0  # between what is asked and its beginning
# What is asked, and how long it is given. Slow bends tell the facing best, and several tell how well it is known.
_CALIBRATION: tuple[tuple[commands.Step, str, float], ...] = (
    ("neutral", "Stand upright as you usually do, arms hanging, look ahead, and keep still.", 6.0),
    ("flexion", "Bend forwards slowly, as far as is comfortable, and come up again: four times.", 22.0),
    ("neutral", "Stand upright and still again.", 5.0),
    ("lateral", "Lean to the right and come up: three times. Then to the left: three times.", 24.0),
    ("neutral", "Stand upright and still once more.", 5.0),
)
# Direction, and what is asked. Everything there and back before the next direction, both sides of a plane in a row.
_RANGES: tuple[tuple[str, str], ...] = (
    ("flexion forward", "Bend forwards as far as you can, slowly."),
    ("flexion backward", "Bend backwards as far as you can, slowly."),
    ("lateral_bend right", "Lean to the right as far as you can, without bending forwards."),
    ("lateral_bend left", "Lean to the left as far as you can, without bending forwards."),
    ("axial_rotation right", "Turn to the right as far as you can, hips to the front."),
    ("axial_rotation left", "Turn to the left as far as you can, hips to the front."),
)
WAY_S = 3.0  # to the end of a range, and back
BETWEEN_S = 3.0  # upright between two trials
_SAY: dict[str, str] = {step: say for step, say, _ in reversed(_CALIBRATION)}


@dataclass(frozen=True, slots=True)
class Cue:
    """Something to be shown and done at a time.

    Attributes
    ----------
    at_s : float
        Seconds after the protocol began.
    say : str
        What to tell the wearer; empty: nothing.
    commands : tuple
        What to enter into the walk then.
    """

    at_s: float
    say: str = ""
    commands: tuple[Command, ...] = ()


def guided_calibration(ready_s: float = READY_S) -> tuple[Cue, ...]:
    """Return the cues of a calibration: stance, forward bends, stance, side bends, stance.

    Steps follow the functional calibrations of Kong et al. 2016 (Sensors 16:2011): the vertical from stances, the
    facing from slow bends. About 75 s. A movement is asked for ``ready_s`` before it counts; those that are over early
    leave time to stand.
    """
    cues: list[Cue] = []
    at = 0.0
    for step, say, seconds in _CALIBRATION:
        cues.append(Cue(at, say))
        at += ready_s if step == "neutral" else 0.5
        cues.append(Cue(at, "", (commands.Calibrate("begin", step),)))
        at += seconds
        cues.append(Cue(at, "", (commands.Calibrate("end", step),)))
    cues.append(Cue(at, "Thank you: calibrated.", (commands.Calibrate("end"),)))
    return tuple(cues)


def guided_range_of_motion(trials: int = 3, hold_s: float = 2.0) -> tuple[Cue, ...]:
    """Return the cues of a range-of-motion test: six directions, each several times to its end and held there.

    Parameters
    ----------
    trials : int
        Repetitions a direction, 3 to 5, the same number to both sides.
    hold_s : float
        How long each end of range is held, 1 to 5 s.

    Raises
    ------
    ConfigError
        If a number lies outside these.

    Notes
    -----
    Directions and hold as in the dorsaVi protocol. Each trial is marked (``range: flexion forward``). The test itself
    is the metric ``range_test``: it takes every repetition that was held.
    """
    if not (3 <= trials <= 5 and 1.0 <= hold_s <= 5.0):
        raise ConfigError(f"a test takes 3 to 5 trials held for 1 to 5 s, got {trials!r} and {hold_s!r}")
    cues = [Cue(0.0, "Stand upright as you usually do, and keep still.")]
    at = READY_S + BETWEEN_S
    for direction, say in _RANGES:
        for trial in range(trials):
            again = say if trial == 0 else "Once more."
            cues.append(Cue(at, again, (commands.Mark(f"range: {direction}"),)))
            cues.append(Cue(at + WAY_S, f"Hold it for {hold_s:g} seconds."))
            cues.append(Cue(at + WAY_S + hold_s, "And come back, stand upright."))
            at += 2.0 * WAY_S + hold_s + BETWEEN_S
    cues.append(Cue(at, "Thank you: tested."))
    return tuple(cues)


def cues_of(windows: Mapping[str, Sequence[tuple[float, float]]], begin_s: float = 0.0) -> tuple[Cue, ...]:
    """Return the cues of a wearer whose movements are known beforehand, as those of a simulated one are.

    Parameters
    ----------
    windows : mapping
        ``neutral``, ``flexion``, ``lateral``: lists of (start, end), s; other names are left out.
    begin_s : float
        When their time 0 is, in seconds after the protocol began.
    """
    spans = sorted((start, end, step) for step in commands.STEPS for start, end in windows.get(step, ()))
    cues: list[Cue] = []
    for start, end, step in spans:
        cues.append(Cue(begin_s + start, _SAY.get(step, ""), (commands.Calibrate("begin", step),)))
        cues.append(Cue(begin_s + end, "", (commands.Calibrate("end", step),)))
    if spans:
        last = max(end for _, end, _ in spans)
        cues.append(Cue(begin_s + last, "Calibrated.", (commands.Calibrate("end"),)))
    return tuple(sorted(cues, key=lambda cue: cue.at_s))
