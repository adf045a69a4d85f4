"""What the simulated person can be asked to do; put actions into a list and give it to `simulate`.

>>> from imuposture.acquisition.simulation import simulate
>>> from imuposture.acquisition.simulation.actions import bend, sit, stand, twist
>>> back = simulate([stand(6, neutral=True), bend(60, reps=4), sit(10, slouch=0.5), twist(30, "left")], seed=1)

Amplitudes are those of the whole trunk in degrees (pelvis and spine share them, see `Person.pelvis_share`);
durations are seconds. Movements start from the last posture (stand, sit, lean, lie) and return to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from imuposture._blocks import FloatArray, Plane
from imuposture._errors import ConfigError
from imuposture.acquisition.simulation.motion import Channel
from imuposture.acquisition.simulation.timeline import OffsetAfter, PatternAfter, StanceLean, Timeline, posture

__all__ = [
    "Action",
    "bend",
    "during",
    "extend",
    "hold",
    "lean",
    "lie",
    "lift",
    "offset_after",
    "pattern_after",
    "side_bend",
    "sit",
    "stance_lean",
    "stand",
    "turn",
    "twist",
    "walk",
]

Lateral = Literal["right", "left"]
SIGNS = {"right": 1.0, "left": -1.0}
SEAT_M = -0.45
# Pelvis inclination forward and to the right, degrees, of lying; the spine stays straight.
LYING = {"supine": (-90.0, 0.0), "prone": (90.0, 0.0), "right": (0.0, 90.0), "left": (0.0, -90.0)}
LYING_M = -0.75


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do: a name to print, and how it is played on a `Timeline`."""

    name: str
    play: Callable[[Timeline], None]

    def __repr__(self) -> str:
        return self.name


def stand(seconds: float, *, neutral: bool = False, move: float = 1.5) -> Action:
    """Stand upright.

    Parameters
    ----------
    seconds : float
        How long the posture is held once it is reached.
    neutral : bool
        This is a calibration stance: it is recorded as a window ``neutral``.
    move : float
        Seconds it takes to get there.
    """
    _check("seconds", seconds)

    def play(timeline: Timeline) -> None:
        timeline.settle(posture(), move, neutral=neutral)
        start = timeline.time_s
        timeline.hold(seconds)
        if neutral:
            timeline.windows.setdefault("neutral", []).append((start, timeline.time_s))

    return Action(f"stand({seconds:g})", play)


def sit(
    seconds: float,
    *,
    slouch: float = 0.3,
    lateral_bend: float = 0.0,
    axial_rotation: float = 0.0,
    move: float = 2.0,
) -> Action:
    """Sit; ``slouch`` from 0 (upright) to 1 (round), ``lateral_bend`` and ``axial_rotation`` in degrees, right +.

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """
    _check("seconds", seconds)
    if not 0.0 <= slouch <= 1.0:
        raise ConfigError(f"slouch must lie between 0 (upright) and 1 (round), got {slouch:g}")
    pose = posture(
        flexion=5.0 + 30.0 * slouch,
        lateral_bend=lateral_bend,
        axial_rotation=axial_rotation,
        lower_forward=-5.0 - 12.0 * slouch,
        height=SEAT_M,
    )
    return _posture_action(f"sit({seconds:g})", pose, seconds, move, seated=True)


def lean(
    seconds: float,
    forward: float = 20.0,
    *,
    side: float = 0.0,
    axial_rotation: float = 0.0,
    move: float = 1.5,
) -> Action:
    """Stand and lean with a fairly straight back, ``forward`` and ``side`` (right +) in degrees, as at a workbench."""
    _check("seconds", seconds)
    pose = posture(
        flexion=0.3 * forward,
        lateral_bend=0.6 * side,
        axial_rotation=axial_rotation,
        lower_forward=0.7 * forward,
        lower_side=0.4 * side,
    )
    return _posture_action(f"lean({seconds:g}, {forward:g})", pose, seconds, move)


def lie(seconds: float, on: Literal["supine", "prone", "right", "left"] = "supine", *, move: float = 4.0) -> Action:
    """Lie on the back, the belly or a side.

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """
    _check("seconds", seconds)
    if on not in LYING:
        raise ConfigError(f"lie on one of {', '.join(LYING)}, got {on!r}")
    forward, side = LYING[on]
    pose = posture(lower_forward=forward, lower_side=side, height=LYING_M)
    return _posture_action(f"lie({seconds:g}, {on})", pose, seconds, move, state=f"lying_{on}")


def hold(seconds: float) -> Action:
    """Stay in the posture you are in."""
    _check("seconds", seconds)
    return Action(f"hold({seconds:g})", lambda timeline: timeline.hold(seconds))


def bend(degrees: float = 60.0, *, reps: int = 1, seconds: float = 4.0, hold: float = 0.3, rest: float = 0.5) -> Action:
    """Bend forwards and come back, ``reps`` times; a repetition lasts ``seconds`` plus ``hold`` at its end."""
    return _movement("bend", "flexion", degrees, reps=reps, seconds=seconds, hold=hold, rest=rest)


def extend(
    degrees: float = 15.0, *, reps: int = 1, seconds: float = 4.0, hold: float = 0.3, rest: float = 0.5
) -> Action:
    """Bend backwards and come back."""
    return _movement("extend", "flexion", -degrees, reps=reps, seconds=seconds, hold=hold, rest=rest)


def side_bend(
    degrees: float = 25.0,
    side: Lateral = "right",
    *,
    reps: int = 1,
    seconds: float = 4.0,
    hold: float = 0.3,
    rest: float = 0.5,
) -> Action:
    """Bend to one side and come back."""
    return _movement(
        "side_bend", "lateral_bend", _sign(side) * degrees, reps=reps, seconds=seconds, hold=hold, rest=rest
    )


def twist(
    degrees: float = 30.0,
    side: Lateral = "right",
    *,
    reps: int = 1,
    seconds: float = 4.0,
    hold: float = 0.3,
    rest: float = 0.5,
) -> Action:
    """Turn the trunk to one side and come back."""
    return _movement("twist", "axial_rotation", _sign(side) * degrees, reps=reps, seconds=seconds, hold=hold, rest=rest)


def lift(degrees: float = 50.0, *, reps: int = 1, seconds: float = 3.5, hold: float = 0.8, rest: float = 0.8) -> Action:
    """Bend and go down in the knees, take something up."""
    return _movement("lift", "flexion", degrees, reps=reps, seconds=seconds, hold=hold, rest=rest, dip=0.3)


def turn(degrees: float = 90.0, *, seconds: float | None = None) -> Action:
    """Turn round on the spot with the whole body, + to the right; at 60 deg/s unless ``seconds`` says otherwise."""
    duration = seconds if seconds is not None else max(1.0, abs(degrees) / 60.0)
    _check("seconds", duration)

    def play(timeline: Timeline) -> None:
        target = timeline.base.copy()
        target[Channel.HEADING] += np.radians(degrees)
        timeline.begin()
        timeline.go(target, duration)
        timeline.base = target

    return Action(f"turn({degrees:g})", play)


def walk(seconds: float = 20.0) -> Action:
    """Walk on, including a second to start and one to stop."""
    _check("seconds", seconds, least=2.0)

    def play(timeline: Timeline) -> None:
        timeline.begin()
        if timeline.base[Channel.Z] < 0.0:
            timeline.settle(posture(), 2.0)
        before = timeline.leave()
        walking = timeline.base.copy()
        walking[Channel.GAIT] = 1.0
        timeline.enter("walking")
        timeline.go(walking, 1.0)
        timeline.hold(seconds - 2.0)
        timeline.go(timeline.base, 1.0)
        timeline.leave()
        timeline.enter(before or "standing")

    return Action(f"walk({seconds:g})", play)


def during(window: Literal["flexion", "lateral", "rotation"], actions: Sequence[Action]) -> Action:
    """Do these actions and record their time as a calibration window."""

    def play(timeline: Timeline) -> None:
        start = timeline.time_s
        for action in actions:
            action.play(timeline)
        timeline.windows.setdefault(window, []).append((start, timeline.time_s))

    return Action(f"during({window}, {list(actions)})", play)


def pattern_after(
    start_s: float, plane: Plane = "flexion", *, axial_rotation: float = 12.0, lateral_bend: float = 0.0
) -> PatternAfter:
    """Inject: from ``start_s`` on every movement of ``plane`` also twists or bends by these degrees (right +)."""
    return PatternAfter(start_s, plane, lateral_bend, axial_rotation)


def offset_after(
    start_s: float,
    *,
    flexion: float = 0.0,
    lateral_bend: float = 0.0,
    axial_rotation: float = 0.0,
    seconds: float = 5.0,
) -> OffsetAfter:
    """Inject: from ``start_s`` on, reached within ``seconds``, a constant one-sided offset of the spine, degrees."""
    _check("seconds", seconds)
    return OffsetAfter(start_s, seconds, flexion, lateral_bend, axial_rotation)


def stance_lean(
    *,
    flexion: float = 0.0,
    lateral_bend: float = 0.0,
    axial_rotation: float = 0.0,
    lower_forward: float = 0.0,
    lower_side: float = 0.0,
) -> StanceLean:
    """Inject: the neutral stance is held with this lean, degrees; everything after it is upright."""
    return StanceLean(flexion, lateral_bend, axial_rotation, lower_forward, lower_side)


def _posture_action(
    name: str, pose: FloatArray, seconds: float, move: float, *, seated: bool = False, state: str = "standing"
) -> Action:
    _check("move", move)

    def play(timeline: Timeline) -> None:
        timeline.settle(pose, move, seated=seated, state=state)
        timeline.hold(seconds)

    return Action(name, play)


def _movement(
    name: str,
    plane: Plane,
    degrees: float,
    *,
    reps: int,
    seconds: float,
    hold: float,
    rest: float,
    dip: float = 0.0,
) -> Action:
    _check("seconds", seconds)
    _check("hold", hold, least=0.0)
    _check("rest", rest, least=0.0)
    if reps < 1:
        raise ConfigError(f"reps must be at least 1, got {reps}; leave the action out to skip it")
    if not 0.0 < abs(degrees) <= 150.0:
        raise ConfigError(f"{name} needs an amplitude above 0 and up to 150 degrees, got {degrees:g}")

    def play(timeline: Timeline) -> None:
        for _ in range(reps):
            timeline.move(plane, degrees, seconds, hold=hold, rest=rest, dip=dip)

    return Action(f"{name}({degrees:g}, reps={reps})", play)


def _sign(side: str) -> float:
    if side not in SIGNS:
        raise ConfigError(f"side must be 'right' or 'left', got {side!r}")
    return SIGNS[side]


def _check(name: str, seconds: float, *, least: float = 1e-3) -> None:
    if not least <= seconds <= 1e6:
        raise ConfigError(f"{name} must lie between {least:g} and 1e6 s, got {seconds:g}")
