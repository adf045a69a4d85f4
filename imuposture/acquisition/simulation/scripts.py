"""Whole performances by name: what `simulate("demo")` plays."""

from collections.abc import Callable, Iterator

import numpy as np

from imuposture._checks import number
from imuposture._errors import ConfigError
from imuposture.acquisition.simulation.actions import (
    Action,
    Lateral,
    bend,
    during,
    extend,
    hold,
    lean,
    lie,
    lift,
    side_bend,
    sit,
    stand,
    turn,
    twist,
    walk,
)

__all__ = ["SCRIPTS", "calibration", "play"]

Random = np.random.Generator
DEFAULT_MINUTES = {"still": 0.5, "mixed_work": 30.0, "one_sided": 30.0}


def play(name: str, rng: Random, minutes: float | None) -> tuple[Iterator[Action], float | None]:
    """Return the actions of a script, and at how many seconds to stop (None: at the last action).

    Raises
    ------
    ConfigError
        If there is no such script, or it cannot be made ``minutes`` long.
    """
    if name not in SCRIPTS:
        raise ConfigError(f"no script called {name!r}; there are {', '.join(SCRIPTS)}, or give a list of actions")
    if name not in DEFAULT_MINUTES:
        if minutes is not None:
            raise ConfigError(f"script {name!r} has its own length; leave minutes={minutes!r} out, or play mixed_work")
        return SCRIPTS[name](rng), None
    wanted = DEFAULT_MINUTES[name] if minutes is None else number(minutes)
    if not 0.0 < wanted <= 10080.0:
        raise ConfigError(f"minutes must lie above 0 and up to 10080 (a week), got {minutes!r}")
    return SCRIPTS[name](rng), 60.0 * wanted


def calibration() -> list[Action]:
    """Return the guided calibration: stance, bends, side bends, rotations, and the stance twice more."""
    return [
        stand(6, neutral=True),
        stand(1),
        during("flexion", [bend(60, reps=4)]),
        stand(5, neutral=True),
        during("lateral", [side_bend(25, "right", reps=3), side_bend(25, "left", reps=3)]),
        stand(5, neutral=True),
        during("rotation", [twist(35, "right", reps=2, seconds=3), twist(35, "left", reps=2, seconds=3)]),
        stand(2),
    ]


def _still(_: Random) -> Iterator[Action]:
    yield stand(8 * 86400, neutral=True)


def _calibration(_: Random) -> Iterator[Action]:
    yield from calibration()


def _demo(_: Random) -> Iterator[Action]:
    """About 90 s: a short calibration and some of everything, more of it to the right."""
    yield from (stand(6, neutral=True), stand(0.5))
    yield during("flexion", [bend(60, reps=4, seconds=3, rest=0.2)])
    yield during("lateral", [side_bend(25, side, reps=2, seconds=2.5, rest=0.3) for side in SIDES])
    yield from (stand(2), twist(35, "right", reps=3, seconds=2.5, rest=0.2), twist(30, "left", seconds=2.5))
    yield from (turn(90), lift(reps=2, seconds=2.5, rest=0.3), walk(9))
    yield from (sit(6, slouch=0.7), side_bend(20, "right", seconds=2.5), sit(3, slouch=0.1), stand(3))


def _range_of_motion(_: Random) -> Iterator[Action]:
    """After the calibration every direction three times to its end, held for two seconds."""
    yield from calibration()
    yield bend(90, reps=3, hold=2, rest=1)
    yield extend(25, reps=3, hold=2, rest=1)
    for side in SIDES:
        yield side_bend(32, side, reps=3, hold=2, rest=1)
    for side in SIDES:
        yield twist(45, side, reps=3, hold=2, rest=1)
    yield stand(4)


def _mixed_work(rng: Random) -> Iterator[Action]:
    """After the calibration a working day in small: both sides alike."""
    yield from calibration()
    while True:
        yield from _task(rng, right=0.5, offset=0.0)


def _one_sided(rng: Random) -> Iterator[Action]:
    """After the calibration the same work of somebody whose bench stands to their right."""
    yield from calibration()
    while True:
        yield from _task(rng, right=0.85, offset=12.0)


def _task(rng: Random, *, right: float, offset: float) -> Iterator[Action]:
    """One stretch of work: ``right`` is the share of movements to that side, ``offset`` the rotation of a posture."""
    twisted = offset * float(rng.uniform(0.6, 1.4))
    kind = rng.choice(["seat", "bench", "fetch", "walk", "lie"], p=[0.33, 0.27, 0.25, 0.14, 0.01])
    if kind == "seat":
        yield sit(float(rng.uniform(10, 60)), slouch=float(rng.uniform(0, 1)), axial_rotation=twisted)
        yield from _movements(rng, right, ["bend", "side_bend", "twist"], 0.7)
        yield hold(float(rng.uniform(5, 40)))
    elif kind == "bench":
        yield lean(float(rng.uniform(5, 30)), float(rng.uniform(8, 35)), axial_rotation=twisted)
        yield from _movements(rng, right, ["side_bend", "twist", "twist"], 0.8)
        yield hold(float(rng.uniform(3, 15)))
    elif kind == "fetch":
        yield stand(float(rng.uniform(2, 8)))
        yield from _movements(rng, right, ["bend", "lift", "lift"], 1.0)
        yield turn(float(rng.choice([-180, -90, 90, 180])))
        yield from _movements(rng, right, ["bend", "twist"], 1.0)
    elif kind == "walk":
        yield walk(float(rng.uniform(8, 40)))
        yield turn(float(rng.uniform(-150, 150)))
        yield stand(float(rng.uniform(3, 15)))
    else:
        yield lie(float(rng.uniform(30, 60)), "supine" if rng.random() < 0.7 else _side(rng, right))
        yield stand(5)


def _movements(rng: Random, right: float, kinds: list[str], scale: float) -> Iterator[Action]:
    """Yield a few movements of random kinds, sizes and speeds."""
    for _ in range(int(rng.integers(1, 5))):
        kind = rng.choice(kinds)
        seconds, rest, size = float(rng.uniform(2, 5)), float(rng.uniform(0.3, 4)), float(rng.uniform(0.5, 1.2)) * scale
        held = float(rng.uniform(0.2, 2))
        side = _side(rng, right)
        if kind == "bend":
            yield bend(55 * size, seconds=seconds, hold=held, rest=rest)
        elif kind == "lift":
            yield lift(55 * size, seconds=seconds, hold=held, rest=rest)
        elif kind == "side_bend":
            yield side_bend(22 * size, side, seconds=seconds, hold=held, rest=rest)
        else:
            yield twist(32 * size, side, seconds=seconds, hold=held, rest=rest)


def _side(rng: Random, right: float) -> Lateral:
    return "right" if rng.random() < right else "left"


SIDES: tuple[Lateral, Lateral] = ("right", "left")
SCRIPTS: dict[str, Callable[[Random], Iterator[Action]]] = {
    "still": _still,
    "calibration": _calibration,
    "demo": _demo,
    "rom": _range_of_motion,
    "mixed_work": _mixed_work,
    "one_sided": _one_sided,
}
