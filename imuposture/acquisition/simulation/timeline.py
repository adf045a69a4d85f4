"""The score of a performance: actions write keyframes, movements and windows into it, one after the other."""

from dataclasses import dataclass, field

import numpy as np

from imuposture._blocks import Event, FloatArray, Plane, Side
from imuposture.acquisition.simulation.motion import Channel, Keyframes, Person

__all__ = ["Injection", "OffsetAfter", "PatternAfter", "StanceLean", "Timeline", "posture"]

# plane -> (channel of the spine, channel of the pelvis that shares the movement, index into Person.pelvis_share)
PLANES: dict[Plane, tuple[Channel, Channel, int]] = {
    "flexion": (Channel.FLEXION, Channel.FORWARD, 0),
    "lateral_bend": (Channel.LATERAL, Channel.SIDE, 1),
    "axial_rotation": (Channel.ROTATION, Channel.HEADING, 2),
}
SEATED_PELVIS = 0.4  # a seat holds the pelvis: share of its standing motion that is left
SPINE_CHANNELS = (Channel.FLEXION, Channel.LATERAL, Channel.ROTATION)
POSTURE_CHANNELS = (Channel.SIDE, Channel.FORWARD, *SPINE_CHANNELS)


@dataclass(frozen=True, slots=True)
class PatternAfter:
    """From ``start_s`` on every movement of ``plane`` carries an extra lateral bend and rotation (deg, right +)."""

    start_s: float
    plane: Plane
    lateral_bend_deg: float
    axial_rotation_deg: float


@dataclass(frozen=True, slots=True)
class OffsetAfter:
    """From ``start_s`` on, reached within ``seconds``, all postures are off by these angles (deg, forward/right +)."""

    start_s: float
    seconds: float
    flexion_deg: float
    lateral_bend_deg: float
    axial_rotation_deg: float

    def track(self) -> Keyframes:
        """Return the offset as a track to be added to the script's."""
        offset = posture(
            flexion=self.flexion_deg, lateral_bend=self.lateral_bend_deg, axial_rotation=self.axial_rotation_deg
        )
        return Keyframes(np.array([self.start_s]), np.array([self.seconds]), np.stack([np.zeros_like(offset), offset]))


@dataclass(frozen=True, slots=True)
class StanceLean:
    """Every neutral stance is held with this lean (deg, forward/right +); the rest of the script is upright."""

    flexion_deg: float
    lateral_bend_deg: float
    axial_rotation_deg: float
    lower_forward_deg: float
    lower_side_deg: float

    def pose(self) -> FloatArray:
        """Return the lean as a pose (10,) to be added to the stance's."""
        return posture(
            flexion=self.flexion_deg,
            lateral_bend=self.lateral_bend_deg,
            axial_rotation=self.axial_rotation_deg,
            lower_forward=self.lower_forward_deg,
            lower_side=self.lower_side_deg,
        )


Injection = PatternAfter | OffsetAfter | StanceLean


def posture(
    *,
    flexion: float = 0.0,
    lateral_bend: float = 0.0,
    axial_rotation: float = 0.0,
    lower_forward: float = 0.0,
    lower_side: float = 0.0,
    height: float = 0.0,
) -> FloatArray:
    """Return a pose (10,) from spinal angles and pelvis inclination in degrees and pelvis height in m."""
    pose = np.zeros(len(Channel))
    pose[Channel.FLEXION] = np.radians(flexion)
    pose[Channel.LATERAL] = np.radians(lateral_bend)
    pose[Channel.ROTATION] = np.radians(axial_rotation)
    pose[Channel.FORWARD] = np.radians(lower_forward)
    pose[Channel.SIDE] = np.radians(lower_side)
    pose[Channel.Z] = height
    return pose


@dataclass
class Timeline:
    """What has been played so far.

    Attributes
    ----------
    person, rng : who plays, and the randomness of their movements
    injections : what tests add to the script
    time_s : end of what has been played
    base : pose (10,) to which movements return
    seated : the seat holds the pelvis
    events : movements (``repetition``) and changes of posture, with their true times and amplitudes
    states : stays in one state (``standing``, ``sitting``, ``walking``, ``lying_supine``, ...), not the moves between
    windows : calibration windows by name, s
    """

    person: Person
    rng: np.random.Generator
    injections: tuple[Injection, ...] = ()
    time_s: float = 0.0
    base: FloatArray = field(default_factory=lambda: np.zeros(len(Channel)))
    seated: bool = False
    events: list[Event] = field(default_factory=list)
    states: list[Event] = field(default_factory=list)
    windows: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _state: tuple[str, float] | None = None
    _starts: list[float] = field(default_factory=list)
    _durations: list[float] = field(default_factory=list)
    _poses: list[FloatArray] = field(default_factory=list)

    def begin(self) -> None:
        """Make sure that there is a first pose; somebody who was told nothing stands at their zero."""
        if not self._poses:
            self._poses.append(self.base)

    def go(self, pose: FloatArray, seconds: float) -> None:
        """Move to a pose; the very first one is where the recording begins."""
        if not self._poses:
            self._poses.append(pose)
            return
        self._starts.append(self.time_s)
        self._durations.append(seconds)
        self._poses.append(pose)
        self.time_s += seconds

    def hold(self, seconds: float) -> None:
        """Stay as you are."""
        self.begin()
        self.time_s += seconds

    def settle(
        self,
        pose: FloatArray,
        seconds: float,
        *,
        seated: bool = False,
        neutral: bool = False,
        state: str = "standing",
    ) -> None:
        """Take a new posture: where to look and stand is kept, the stance error is drawn anew."""
        self.leave()
        target = pose.copy()
        target[Channel.HEADING] = self.base[Channel.HEADING]
        target[[Channel.X, Channel.Y]] = self.base[[Channel.X, Channel.Y]]
        error = np.radians(self.person.stance_error_deg) * self.rng.standard_normal(len(POSTURE_CHANNELS))
        target[list(POSTURE_CHANNELS)] += error
        if neutral:
            target += self._stance_lean()
        start = self.time_s
        self.go(target, seconds)
        if self.time_s > start:
            change = np.degrees(np.abs(target - self.base))
            details = {"spine_deg": float(change[list(SPINE_CHANNELS)].max())}
            most = float(change[list(POSTURE_CHANNELS)].max())
            self.events.append(Event("posture_change", start, self.time_s, amplitude_deg=most, details=details))
        self.base, self.seated = target, seated
        self.enter("sitting" if seated else state)

    def enter(self, state: str) -> None:
        """Be in a state from now on."""
        self._state = (state, self.time_s)

    def leave(self) -> str | None:
        """End the state that one is in; return it."""
        if self._state is None:
            return None
        (state, start), self._state = self._state, None
        if self.time_s > start:
            self.states.append(Event(state, start, self.time_s))
        return state

    def _stance_lean(self) -> FloatArray:
        lean = np.zeros(len(Channel))
        for injection in self.injections:
            if isinstance(injection, StanceLean):
                lean += injection.pose()
        return lean

    def move(
        self, plane: Plane, signed_deg: float, seconds: float, *, hold: float, rest: float, dip: float = 0.0
    ) -> None:
        """Play one repetition: there, a hold, back to the base, a rest.

        ``signed_deg`` is the whole trunk's excursion (pelvis and spine together), + forward or right; ``dip`` lowers
        the pelvis, m.
        """
        size = signed_deg * self._vary()
        step = self._excursion(plane, size)
        step[Channel.Z] -= dip
        half = 0.5 * seconds * self._vary()
        self.begin()
        start = self.time_s
        self.go(self.base + step, half)
        peak = self.time_s
        self.hold(hold)
        self.go(self.base, half)
        if step[PLANES[plane][0]]:  # a pure hip hinge is no movement of the spine
            self.events.append(_repetition(plane, step, start, peak, self.time_s))
        self.hold(rest)

    def _vary(self) -> float:
        """Return a factor near 1: nobody repeats a movement exactly."""
        return float(np.exp(self.person.variability * np.clip(self.rng.standard_normal(), -2.5, 2.5)))

    def _excursion(self, plane: Plane, size_deg: float) -> FloatArray:
        """Return the step (10,) of one repetition, with coupling, off-plane motion and injected patterns."""
        spine, pelvis, index = PLANES[plane]
        share = self.person.pelvis_share[index] * (SEATED_PELVIS if self.seated else 1.0)
        step = np.zeros(len(Channel))
        step[spine] = np.radians((1.0 - share) * size_deg)
        step[pelvis] = np.radians(share * size_deg)
        for other, (other_spine, other_pelvis, _) in PLANES.items():
            if other != plane:
                draws = self.person.off_plane * self.rng.standard_normal(2)
                step[other_spine] += draws[0] * step[spine]
                step[other_pelvis] += draws[1] * step[pelvis]
        if plane == "lateral_bend":
            step[Channel.ROTATION] += self.person.coupling * step[Channel.LATERAL]
        elif plane == "axial_rotation":
            step[Channel.LATERAL] += self.person.coupling * step[Channel.ROTATION]
        for injection in self.injections:
            if isinstance(injection, PatternAfter) and injection.plane == plane and self.time_s >= injection.start_s:
                step[Channel.LATERAL] += np.radians(injection.lateral_bend_deg)
                step[Channel.ROTATION] += np.radians(injection.axial_rotation_deg)
        return step

    def tracks(self) -> tuple[Keyframes, ...]:
        """Return everything played as keyframes, the injected offsets as further tracks."""
        script = Keyframes(np.array(self._starts), np.array(self._durations), np.stack(self._poses))
        return script, *(i.track() for i in self.injections if isinstance(i, OffsetAfter))


def _repetition(plane: Plane, step: FloatArray, start: float, peak: float, end: float) -> Event:
    """Return the true event of one repetition: excursion of the spinal angle, from its own start."""
    excursion = np.degrees(step[[PLANES[name][0] for name in PLANES]])
    index = list(PLANES).index(plane)
    own, others = float(excursion[index]), np.abs(np.delete(excursion, index))
    names: tuple[Side, Side] = ("forward", "backward") if plane == "flexion" else ("right", "left")
    details = {"peak_s": peak, "out_of_plane": float(others.max()) / abs(own)}
    return Event("repetition", start, end, plane, names[own < 0.0], abs(own), details)
