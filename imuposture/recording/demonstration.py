"""A demonstration: two virtual sensors on a simulated back are recorded, and what comes out is held against the truth.

The radio traffic is real, the radio is not; what records is what records real sensors. One link is lost on the way.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np

from imuposture._blocks import ROLES, Entry, FloatArray, Quality, Role
from imuposture.acquisition.ble import Address, Clock, Found, Transport, scan
from imuposture.acquisition.simulation.actions import Action, bend, during, side_bend, stand, twist
from imuposture.acquisition.virtual import SensorSetup, VirtualWorld
from imuposture.acquisition.virtual.counting import Fate, Ledger
from imuposture.acquisition.virtual.faults import Faults, Incident
from imuposture.output import Result, read_entries
from imuposture.protocols import cues_of
from imuposture.recording.live import ended_by_signals, record_async
from imuposture.recording.outcome import Outcome
from imuposture.recording.prompting import LOOK_S, prompt
from imuposture.recording.radio_source import RadioSource
from imuposture.recording.recorder import Recorder
from imuposture.recording.wishes import Wishes

__all__ = ["ANGLES", "Demonstration", "Figure", "booked", "demonstrate", "figures_of"]

SCAN_S = 2.0
READY_S = 0.5  # between the first samples and the wearer's first movement
SILENCE_S = 2.5  # how long one sensor is out of reach
ANGLES = {"flexion": 3.0, "lateral_bend": 3.0, "axial_rotation": 5.0}  # largest RMSE, deg
LARGEST_MEAN = 3.0  # deg; of the differences between what was found and the truth
REPETITIONS = {  # after the calibration, as `_script` has them
    ("axial_rotation", "right"): 2,
    ("axial_rotation", "left"): 1,
    ("flexion", "forward"): 2,
    ("lateral_bend", "right"): 2,
}
# What a good sensor and a good link are like: crystals that differ, a connection interval, a host that is busy at
# times, a payload in five hundred that is never sent.
FAULTS: dict[Role, Faults] = {
    "upper": Faults(clock_ppm=30.0, clock_start_s=812.0, interval_s=0.015, latency_s=0.001, loss=0.002),
    "lower": Faults(clock_ppm=-20.0, clock_start_s=5.0, interval_s=0.015, latency_s=0.001, loss=0.002),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was found, the truth, and how far they may be apart.

    Attributes
    ----------
    name : str
    found, true : float
    limit : float
        Largest difference that is good.
    unit : str
    """

    name: str
    found: float
    true: float
    limit: float
    unit: str = ""

    @property
    def good(self) -> bool:
        """Whether it is within the limit; what is not a number is not."""
        return abs(self.found - self.true) <= self.limit


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What came of it.

    Attributes
    ----------
    outcome : Outcome
        Of the recording.
    figures : tuple of Figure
        None, if there is no whole session.
    """

    outcome: Outcome
    figures: tuple[Figure, ...]

    @property
    def passed(self) -> bool:
        """Whether there is a session, and every figure in it is within its limit."""
        return self.outcome.exit_code == 0 and bool(self.figures) and all(figure.good for figure in self.figures)


class Worn:
    """A world that is there already, as an air; it outlives the recording, as it knows the truth."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def enter(self) -> dict[Role, tuple[Transport, Address]]:
        """Return where the sensors are."""
        transport = transport_of(self._world)
        return {role: (transport, Address(self._world.address(role))) for role in ROLES}

    async def leave(self) -> None:
        """Do nothing."""


def transport_of(world: VirtualWorld) -> Transport:
    """Return what makes bleak use a world's radio."""
    return Transport("virtual", world.transport.scanner_kwargs, world.transport.client_kwargs)


async def demonstrate(
    out: Path,
    *,
    saw: Callable[[Sequence[Found]], None],
    say: Callable[[str], None],
    told: Callable[[Entry], None] | None = None,
    clock: Clock | None = None,
) -> Demonstration:
    """Scan, connect, calibrate, move, lose a link and find it again, close the session, compare it with the truth.

    Parameters
    ----------
    out : Path
        The session folder, new or empty.
    saw : callable
        Given what the scan found.
    say : callable
        Given what happens, in words.
    told : callable, optional
        Given link and command entries, as `imuposture.recording.record_async` does.
    clock : Clock, optional
        That of the running loop.

    Returns
    -------
    Demonstration

    Raises
    ------
    SessionError
        If the folder cannot be made.
    """
    clock = clock or Clock()
    setups = {role: SensorSetup("movella_dot", faults=FAULTS[role]) for role in ROLES}
    async with VirtualWorld(_script(), seed=1, upper=setups["upper"], lower=setups["lower"]) as world:
        saw(await scan(transport_of(world), SCAN_S))
        tasks: list[asyncio.Task[None]] = []

        def began(recorder: Recorder) -> None:
            handling.enter_context(ended_by_signals(recorder))
            tasks.append(asyncio.get_running_loop().create_task(_play(world, recorder, say)))

        seconds = READY_S + world.simulation.duration_s + LOOK_S
        source = RadioSource(Worn(world), Wishes(), clock)
        with ExitStack() as handling:
            try:
                outcome = await record_async(
                    out=out, seconds=seconds, told=told, clock=clock, source=source, began=began
                )
            finally:
                await _over(tasks)
        if outcome.result is None or outcome.ending != "time is up":
            return Demonstration(outcome, ())
        return Demonstration(outcome, tuple(figures_of(world, outcome, outcome.result)))


def _script() -> list[Action]:
    """Half a minute of calibration, half a minute of movements; one link is lost while the wearer stands."""
    sides = [side_bend(25, side, reps=2, seconds=2.5, rest=0.3) for side in ("right", "left")]
    turns = [twist(35, "right", reps=2, seconds=2.5, rest=0.2), twist(30, "left", seconds=2.5, rest=0.2)]
    return [
        stand(5, neutral=True),
        during("flexion", [bend(60, reps=3, seconds=3, rest=0.2)]),
        during("lateral", sides),
        stand(3, neutral=True),
        during("rotation", turns),
        stand(6),
        bend(50, reps=2, seconds=2.5, rest=0.2),
        side_bend(25, "right", reps=2, seconds=2.5, rest=0.2),
        stand(1.5),
    ]


async def _play(world: VirtualWorld, recorder: Recorder, say: Callable[[str], None]) -> None:
    """Let the wearer begin once both sensors stream; say what they do, and take one sensor out of reach for a while."""
    while not recorder.streaming:
        await asyncio.sleep(LOOK_S)
    world.begin_script(READY_S)
    asked = {step: spans for step, spans in world.simulation.windows.items() if step != "rotation"}
    await prompt(recorder, cues_of(asked), say, begin_s=world.motion_s)
    loop = asyncio.get_running_loop()
    say("The wearer turns to both sides, stands, bends, leans to the right.")
    still_s = world.motion_s + world.simulation.windows["rotation"][-1][1] + 1.0
    await asyncio.sleep(max(0.0, still_s - loop.time()))
    say(f"The upper sensor is out of reach for {SILENCE_S:g} s.")
    await world.sensors["upper"].undergo(Incident(0.0, "lose_link", seconds=SILENCE_S))


async def _over(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Let what was played beside the recording end, and raise what went wrong in it."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def figures_of(world: VirtualWorld, outcome: Outcome, result: Result) -> Iterator[Figure]:
    """Hold a session against the truth.

    Parameters
    ----------
    world : VirtualWorld
        The one it was recorded from.
    outcome : Outcome
    result : Result
    """
    yield from _angles(world, result)
    yield from _counts(world, result)
    yield from _repetitions(world, result)
    for role, losses in zip(ROLES, (1, 0), strict=True):
        yield Figure(f"{role}: links lost and made again", outcome.sensors[role].connections - 1, losses, 0.0)


def _angles(world: VirtualWorld, result: Result) -> Iterator[Figure]:
    """Compare the angles of all calibrated rows outside the gap, row by row."""
    posture = result.posture
    quality = posture["quality"].to_numpy()
    good = (quality & (Quality.GAP | Quality.UNCALIBRATED)) == 0
    times = posture["time_s"].to_numpy()[good]
    truth = world.truth(times + _origin_s(result), from_stance=True)
    for (name, limit), true in zip(ANGLES.items(), truth, strict=True):
        found = posture[f"{name}_deg"].to_numpy(zero_copy_only=False)[good]
        error = cast(FloatArray, found - true)
        title = name.replace("_", " ")
        yield Figure(f"{title}, RMSE", float(np.sqrt(np.mean(error**2))), 0.0, limit, "deg")
        yield Figure(f"{title}, mean", float(np.mean(found)), float(np.mean(true)), LARGEST_MEAN, "deg")


def _origin_s(result: Result) -> float:
    """Return where time 0 of the session lies on the clock that stamps entries, which is that of the world."""
    assert result.path is not None
    return next(read_entries(result.path)).arrival_ns * 1e-9


def _counts(world: VirtualWorld, result: Result) -> Iterator[Figure]:
    """Compare what arrived, and what did not, with the sensors' own books."""
    counts: dict[str, Any] = result.manifest["alignment"]["sensors"]
    for role in ROLES:
        ledger = world.sensors[role].ledger
        kept, lost = booked(ledger, result.manifest["alignment"]["rate_hz"])
        yield Figure(f"{role}: samples kept", counts[role]["kept"], kept, 0.0)
        # A stream that was started anew is out of step with the one before: a gap is no whole number of periods
        yield Figure(f"{role}: samples lost", counts[role]["lost"], lost, len(ledger.streams) - 1)


def booked(ledger: Ledger, rate_hz: float) -> tuple[int, int]:
    """Return how many samples arrived, and how many did not, from the first to the last that did.

    Periods in which a sensor took none, as it was stopped and started anew, are lost as well.
    """
    arrived = np.flatnonzero(np.frombuffer(ledger.fates(), np.uint8) == Fate.DELIVERED)
    lost = int(arrived[-1] - arrived[0]) + 1 - len(arrived)
    for (first, begun_s), (next_first, next_s) in pairwise(zip(ledger.streams, ledger.begun_s, strict=True)):
        if arrived[0] < next_first <= arrived[-1]:
            lost += round((next_s - begun_s) * rate_hz) - (next_first - first)
    return len(arrived), lost


def _repetitions(world: VirtualWorld, result: Result) -> Iterator[Figure]:
    """Compare the repetitions that were found after the calibration with those that were made."""
    begun_s = world.motion_s - _origin_s(result) + max(end for _, end in world.simulation.windows["lateral"])
    events = result.events.to_pylist()
    mine = [event for event in events if event["kind"] == "repetition" and event["start_s"] > begun_s]
    found = Counter((event["plane"], event["side"]) for event in mine)
    for plane, side in sorted({*REPETITIONS, *found}):
        name = f"repetitions, {plane.replace('_', ' ')} {side}"
        yield Figure(name, found[plane, side], REPETITIONS.get((plane, side), 0), 0.0)
