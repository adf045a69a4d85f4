"""A simulated recording: what both sensors reported, and the truth beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from imuposture._blocks import ROLES, Event, FloatArray, ImuBlock, Role, Side, Stream
from imuposture._checks import number
from imuposture._errors import ConfigError
from imuposture.acquisition.simulation import _quaternions as quaternions
from imuposture.acquisition.simulation import scripts, writing
from imuposture.acquisition.simulation.actions import Action
from imuposture.acquisition.simulation.motion import SWAY_TERMS, Person, Spine
from imuposture.acquisition.simulation.sampling import CHUNK, Grid, SimulatedSensor
from imuposture.acquisition.simulation.sensors import GRAVITY, SensorModel, WornSensor
from imuposture.acquisition.simulation.timeline import Injection, Timeline
from imuposture.acquisition.simulation.truth import Truth

__all__ = ["Simulation", "simulate"]

SWAPPED: dict[Side | None, Side] = {"right": "left", "left": "right"}
DEFAULT_PERSON = Person()
DEFAULT_SENSOR = SensorModel()


def simulate(
    script: str | Sequence[Action] = "demo",
    *,
    seed: int = 0,
    rate: float = 100.0,
    upper: SensorModel = DEFAULT_SENSOR,
    lower: SensorModel = DEFAULT_SENSOR,
    person: Person = DEFAULT_PERSON,
    minutes: float | None = None,
    mirror: bool = False,
    injections: Sequence[Injection] = (),
    gyro: Literal["mean", "instant"] = "mean",
) -> "Simulation":
    """Simulate two sensors on a back.

    Parameters
    ----------
    script : str or sequence of actions
        "still", "calibration", "demo", "rom", "mixed_work", "one_sided", or a list of actions
        (`imuposture.acquisition.simulation.actions`).
    seed : int
        Everything random follows from it.
    rate : float
        Samples a second of both sensors, Hz.
    upper, lower : SensorModel
    person : Person
    minutes : float, optional
        Length of "still", "mixed_work" and "one_sided".
    mirror : bool
        The mirrored person in mirrored sensors: acc -> M acc, gyr -> -M gyr, mag -> M mag with M = diag(1, 1, -1) in
        the sensor frame, bit for bit; lateral bend, rotation and heading change sign, right and left change places.
    injections : sequence
        What `pattern_after`, `offset_after` and `stance_lean` return.
    gyro : "mean" or "instant"
        The angular rate is the mean over the interval that ends at the sample, as chips report it, or the rate of the
        instant.

    Returns
    -------
    Simulation

    Raises
    ------
    ConfigError
        If the script is unknown or empty, or a number makes no sense.
    """
    if not 1.0 <= number(rate) <= 10000.0:
        raise ConfigError(f"rate must lie between 1 and 10000 Hz, got {rate!r}")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool | np.timedelta64) or seed < 0:
        raise ConfigError(f"seed must be a whole number, 0 or more, got {seed!r}")
    if gyro not in ("mean", "instant"):
        raise ConfigError(f"gyro must be 'mean' or 'instant', got {gyro!r}")
    timeline = Timeline(person, np.random.default_rng([seed, 0]), tuple(injections))
    duration = _perform(timeline, script, np.random.default_rng([seed, 1]), minutes)
    phases = 2.0 * np.pi * np.random.default_rng([seed, 2]).random(1 + len(SWAY_TERMS))
    spine = Spine(person, timeline.tracks(), phases)
    models: dict[Role, SensorModel] = {"upper": upper, "lower": lower}
    worn = {role: WornSensor(role, models[role], spine, (seed, 3 + i), duration) for i, role in enumerate(ROLES)}
    return Simulation(spine, worn, timeline, duration, number(rate), mirror=mirror, instant=gyro == "instant")


def _perform(
    timeline: Timeline, script: str | Sequence[Action], rng: np.random.Generator, minutes: float | None
) -> float:
    """Play the script on the timeline and return the length of the recording, s."""
    if isinstance(script, str):
        actions, limit = scripts.play(script, rng, minutes)
    elif minutes is not None:
        raise ConfigError(f"a list of actions has its own length; leave minutes={minutes!r} out")
    else:
        actions, limit = iter(script), None
    for action in actions:
        action.play(timeline)
        if limit is not None and timeline.time_s >= limit:
            return limit
    if timeline.time_s <= 0.0:
        raise ConfigError("the script lasts 0 s; give it at least one action, such as stand(10)")
    return timeline.time_s


class Simulation(Truth):
    """Two sensors on a back, and everything that is true about it. Made by `simulate`.

    ``flexion_deg``, ``lateral_bend_deg``, ``axial_rotation_deg`` and ``upper_q``, ``lower_q`` are counted from the
    person's anatomical zero. Nobody stands exactly there in the neutral stance (`Person.stance_error_deg`), and no
    calibration can know: compare the output of a calibrated pipeline with `relative_to_stance` instead.

    Attributes
    ----------
    rate_hz, duration_s : float
    upper, lower : SimulatedSensor
    person : Person
    windows : dict of list of (start, end), s
        Calibration windows: ``neutral``, ``flexion``, ``lateral``, ``rotation``, as far as the script has them.
    movements : list of Event
        Every repetition with true plane, side, start, end and amplitude (excursion of the spinal angle from its own
        start, degrees); details ``peak_s``, when that is first reached, and ``out_of_plane``, the larger of the
        other two planes' excursions as a share of it.
    posture_changes : list of Event
        Every move to another posture (stand, sit, lean, lie); the amplitude is the largest change among spinal angles
        and pelvis inclinations, and small where somebody only stood up straight again; detail ``spine_deg``, the
        largest among spinal angles.
    states : list of Event
        Stays in one state, in the words of `imuposture.metrics` (``standing``, ``sitting``, ``walking``,
        ``lying_supine``, ...), movements in them included; the moves from one to the next belong to none.
    spine : Spine
        The closed form, to be evaluated at other instants; never mirrored.
    mirrored, instant : bool
        As asked for.
    """

    def __init__(
        self,
        spine: Spine,
        worn: dict[Role, WornSensor],
        timeline: Timeline,
        duration_s: float,
        rate_hz: float,
        *,
        mirror: bool,
        instant: bool,
    ) -> None:
        self.spine, self.person, self.mirrored, self.instant = spine, spine.person, mirror, instant
        self.duration_s = duration_s
        self._grid = Grid(rate_hz, max(round(duration_s * rate_hz), 1))
        self.upper = SimulatedSensor(worn["upper"], self._grid, mirrored=mirror, instant=instant)
        self.lower = SimulatedSensor(worn["lower"], self._grid, mirrored=mirror, instant=instant)
        events = [_swapped(e) if mirror else e for e in timeline.events if e.end_s <= duration_s]
        self.movements = [e for e in events if e.kind == "repetition"]
        self.posture_changes = [e for e in events if e.kind == "posture_change"]
        timeline.leave()
        states = [replace(e, end_s=min(e.end_s, duration_s)) for e in timeline.states if e.start_s < duration_s]
        self.states = [_swapped(e) if mirror else e for e in states]
        last = (len(self) - 1) / rate_hz
        cut = {n: [(a, min(b, last)) for a, b in spans if a < last] for n, spans in timeline.windows.items()}
        self.windows = {name: spans for name, spans in cut.items() if spans}

    def __len__(self) -> int:
        return self._grid.rows

    @property
    def rate_hz(self) -> float:
        """Samples a second."""
        return self._grid.rate_hz

    @property
    def time_s(self) -> FloatArray:
        """Times of the samples (n,), s, from 0."""
        return self._grid.time_s

    @cached_property
    def _segments(self) -> tuple[FloatArray, FloatArray]:
        both = self._grid.evaluate(self._segment_rows, 8)
        lower, upper = np.ascontiguousarray(both[:, :4]), np.ascontiguousarray(both[:, 4:])
        if self.mirrored:
            return quaternions.mirror_segment(lower), quaternions.mirror_segment(upper)
        return lower, upper

    def _segment_rows(self, times: FloatArray) -> FloatArray:
        state = self.spine.state(times)
        return np.concatenate([state.lower_q, state.upper_q], axis=1)

    def relative_to_stance(self) -> Truth:
        """Return the truth counted from the mean of all neutral stances (see `Truth.counted_from`).

        Raises
        ------
        ConfigError
            If the script has no neutral stance.
        """
        if "neutral" not in self.windows:
            raise ConfigError("no neutral stance in this script; add stand(6, neutral=True)")
        first = np.searchsorted(self.time_s, self.windows["neutral"])
        return self.counted_from(np.concatenate([np.arange(start, stop) for start, stop in first]))

    def streams(self) -> tuple[Stream, Stream]:
        """Return what a reader would know of both streams, upper first."""
        upper, lower = (self._stream(role, sensor.model) for role, sensor in self._sensors())
        return upper, lower

    def _stream(self, role: Role, model: SensorModel) -> Stream:
        acc, gyr = model.acc_full_scale_g * GRAVITY, float(np.radians(model.gyr_full_scale_dps))
        return Stream(
            role,
            self.rate_hz,
            acc_full_scale=acc,
            gyr_full_scale=gyr,
            magnetometer=model.magnetometer,
            sensor="simulation",
        )

    def _sensors(self) -> tuple[tuple[Role, SimulatedSensor], ...]:
        return ("upper", self.upper), ("lower", self.lower)

    def blocks(self, rows: int = CHUNK) -> Iterator[ImuBlock]:
        """Yield the recording in order, blocks of at most ``rows`` rows, upper and lower in turn with the same ticks.

        Only a chunk at a time is made, so a day needs little memory; the rows are those of ``upper`` and ``lower``.

        Raises
        ------
        ConfigError
            If ``rows`` is not positive.
        """
        if rows < 1:
            raise ConfigError(f"rows must be at least 1, got {rows}")
        return self._cut(rows)

    def _cut(self, rows: int) -> Iterator[ImuBlock]:
        for chunk in range(self._grid.chunks):
            ticks = self._grid.times(chunk)
            readings = [(role, sensor.chunk(chunk)) for role, sensor in self._sensors()]
            for start in range(0, len(ticks), rows):
                cut = slice(start, start + rows)
                shared = ticks[cut]
                for role, r in readings:
                    yield ImuBlock(role, shared, r.acc[cut], r.gyr[cut], None if r.mag is None else r.mag[cut])

    def write(
        self,
        path: str | Path,
        *,
        format: Literal["csv", "parquet"] | None = None,
        windows: bool = True,
        decimals: int = 6,
    ) -> Path:
        """Write a plain recording (`docs/frames_and_units.md`) with a TOML file of the same stem beside it.

        Parameters
        ----------
        path : path-like
            Name of the table.
        format : "csv" or "parquet", optional
            Taken from the ending of ``path`` when it is left out.
        windows : bool
            Put the calibration windows into the TOML file.
        decimals : int
            Digits after the point in a CSV file; a Parquet file holds every bit.

        Returns
        -------
        Path of the table.

        Raises
        ------
        ConfigError
            If there is no such format.
        """
        return writing.write_plain(self, Path(path), format, windows=windows, decimals=decimals)

    def write_movella_dot(self, folder: str | Path, *, first_tick: int = 0, synced: bool = True) -> tuple[Path, Path]:
        """Write two exports as the Movella DOT app makes them, ``upper.csv`` and ``lower.csv``.

        A ``recording.toml`` beside them names both and holds the calibration windows.

        Parameters
        ----------
        folder : path-like
            Is made if it is not there.
        first_tick : int
            Sensor clock of the first sample, microseconds; it wraps at 2**32.
        synced : bool
            What the preamble says about the sensors' clocks.

        Returns
        -------
        Paths of upper and lower.
        """
        return writing.write_movella_dot(self, Path(folder), first_tick=first_tick, synced=synced)


def _swapped(event: Event) -> Event:
    """Return the event as the mirrored person makes it."""
    lying = {"lying_right": "lying_left", "lying_left": "lying_right"}
    return replace(event, kind=lying.get(event.kind, event.kind), side=SWAPPED.get(event.side, event.side))
