"""A person's spine in closed form: time -> pose -> orientation and place of both sensors' segments.

A pose is a row of ten channels. It moves along minimum-jerk steps between keyframes (Flash and Hogan 1985); gait,
breathing and sway are sines on top. So everything can be evaluated at any instant, in any order, at any rate.

Segment frames after ISB: X anterior, Y up, Z right. Earth: z up, x east, y north. At heading 0 the person looks north.
"""

import enum
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray
from imuposture.acquisition.simulation import _quaternions as quaternions

__all__ = ["Channel", "Keyframes", "Person", "Spine", "SpineState"]


class Channel(enum.IntEnum):
    """Columns of a pose. Angles in rad, + forward and + right; the pelvis in m, earth; gait from 0 to 1."""

    HEADING = 0
    SIDE = 1
    FORWARD = 2
    FLEXION = 3
    LATERAL = 4
    ROTATION = 5
    X = 6
    Y = 7
    Z = 8
    GAIT = 9


# Gait: (channel, harmonic of the stride, amplitude in rad, share of the stride at which it is largest), counted from
# the contact of the right foot; the left one comes at 0.5, both feet stand until 0.1, then the right one alone. Over
# the stance foot the body is highest and furthest to that side (inverted pendulum: Cavagna et al. 1976, Inman et al.
# 1981). The pelvis brings the foot forward that comes down, and drops on the side of the leg that swings, most just
# after that has left the ground (Perry and Burnfield 2010); the trunk turns and leans against it (Murray 1967, Crosbie
# et al. 1997).
GAIT_TERMS = (
    (Channel.HEADING, 1, np.radians(4.0), 0.55),
    (Channel.SIDE, 1, np.radians(3.0), 0.65),
    (Channel.FORWARD, 2, np.radians(1.5), 0.275),
    (Channel.FLEXION, 2, np.radians(1.5), 0.135),
    (Channel.LATERAL, 1, np.radians(3.5), 0.17),
    (Channel.ROTATION, 1, np.radians(6.5), 0.07),
)
# The pelvis' own path in walking, m: forward (fastest where it is lowest), up, right.
GAIT_PATH = ((2, 0.012, 0.175), (2, 0.020, 0.3), (1, 0.018, 0.3))

# Sway of a living person: (channel, Hz, share of Person.sway_deg). Frequencies without a common period.
SWAY_TERMS = (
    (Channel.FORWARD, 0.131, 0.6),
    (Channel.FORWARD, 0.417, 0.4),
    (Channel.SIDE, 0.173, 0.5),
    (Channel.FLEXION, 0.227, 0.5),
    (Channel.LATERAL, 0.149, 0.4),
    (Channel.LATERAL, 0.353, 0.3),
    (Channel.ROTATION, 0.193, 0.6),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Who wears the sensors, and how imperfectly they move.

    Attributes
    ----------
    stance_error_deg : float
        sd a plane with which the person stands off their own zero, drawn anew for every `stand` or `sit`.
    off_plane : float
        sd of the motion in the other two planes, as a share of a movement's amplitude; drawn for every repetition.
    coupling : float
        Rotation to the right that goes along with bending to the right, and the reverse, as a share.
    variability : float
        sd of a repetition's amplitude and duration, as a share.
    breathing_deg, sway_deg : float
        Amplitudes of the small movements of a living person who stands still.
    pelvis_share : (forward, side, turn)
        Share of a trunk movement that the pelvis makes; the spine makes the rest. Seated, 0.4 of it.
    stride_hz : float
        Strides (two steps) a second in walking.
    lower_offset, joint_offset : (3,) m, lower segment frame
        Place of the lower sensor and of the lumbar joint, from the hip centre.
    upper_offset : (3,) m, upper segment frame
        Place of the upper sensor, from the lumbar joint.
    placement : str
        Where the sensors sit, for the recording's metadata.
    """

    stance_error_deg: float = 2.0
    off_plane: float = 0.12
    coupling: float = 0.18
    variability: float = 0.08
    breathing_deg: float = 0.15
    sway_deg: float = 0.2
    pelvis_share: tuple[float, float, float] = (0.55, 0.15, 0.25)
    stride_hz: float = 0.93
    lower_offset: tuple[float, float, float] = (-0.11, 0.06, 0.0)
    joint_offset: tuple[float, float, float] = (-0.04, 0.12, 0.0)
    upper_offset: tuple[float, float, float] = (-0.07, 0.17, 0.0)
    placement: str = "T12-S2"

    @classmethod
    def ideal(cls) -> "Person":
        """Somebody who stands at their zero, moves in one plane at a time, alike every time, and does not breathe."""
        return cls(stance_error_deg=0, off_plane=0, coupling=0, variability=0, breathing_deg=0, sway_deg=0)


def minimum_jerk(u: FloatArray) -> FloatArray:
    """Return the share of the way at the share ``u`` of the time: 10 u^3 - 15 u^4 + 6 u^5, held outside 0..1."""
    u = np.clip(u, 0.0, 1.0)
    return u * u * u * (10.0 + u * (6.0 * u - 15.0))


@dataclass(frozen=True, slots=True)
class Keyframes:
    """Steps between poses, one after the other.

    Attributes
    ----------
    starts, durations : (m,) float64, s; a step begins no earlier than the one before it ends
    poses : (m + 1, 10) float64; step k goes from pose k to pose k + 1
    """

    starts: FloatArray
    durations: FloatArray
    poses: FloatArray

    def pose(self, time_s: FloatArray) -> FloatArray:
        """Return the poses (n, 10) at the instants (n,), which may come in any order."""
        if not len(self.starts):
            return np.repeat(self.poses[:1], len(time_s), axis=0)
        k = np.maximum(np.searchsorted(self.starts, time_s, side="right") - 1, 0)
        share = minimum_jerk((time_s - self.starts[k]) / self.durations[k])[:, None]
        begin = self.poses[k]
        moved: FloatArray = begin + share * (self.poses[k + 1] - begin)
        return moved


@dataclass(frozen=True, slots=True)
class SpineState:
    """Both segments at n instants: orientation segment -> earth (n, 4), sensor site in the earth (n, 3) m."""

    pose: FloatArray
    lower_q: FloatArray
    upper_q: FloatArray
    lower_p: FloatArray
    upper_p: FloatArray


@dataclass(frozen=True)
class Spine:
    """A moving spine.

    Attributes
    ----------
    person : Person
    tracks : keyframes whose poses add up: the script, then injections
    phases : (8,) rad, of breathing and of each sway term
    """

    person: Person
    tracks: tuple[Keyframes, ...]
    phases: FloatArray = field(default_factory=lambda: np.zeros(1 + len(SWAY_TERMS)))

    def pose(self, time_s: FloatArray) -> FloatArray:
        """Return the pose (n, 10) at the instants (n,), gait, breathing and sway included."""
        pose = self.tracks[0].pose(time_s)
        for track in self.tracks[1:]:
            pose += track.pose(time_s)
        self._add_sway(pose, time_s)
        self._add_gait(pose, time_s)
        return pose

    def _add_sway(self, pose: FloatArray, time_s: FloatArray) -> None:
        if self.person.breathing_deg:
            breath = np.sin(2.0 * np.pi * 0.25 * time_s + self.phases[0])
            pose[:, Channel.FLEXION] -= np.radians(self.person.breathing_deg) * breath
        if self.person.sway_deg:
            for (channel, hertz, share), phase in zip(SWAY_TERMS, self.phases[1:], strict=True):
                sine = np.sin(2.0 * np.pi * hertz * time_s + phase)
                pose[:, channel] += share * np.radians(self.person.sway_deg) * sine

    def _add_gait(self, pose: FloatArray, time_s: FloatArray) -> None:
        walking: NDArray[np.bool_] = pose[:, Channel.GAIT] > 0.0
        if not walking.any():
            return
        weight = pose[walking, Channel.GAIT]
        stride = self.person.stride_hz * time_s[walking]
        heading = pose[walking, Channel.HEADING]
        for channel, harmonic, amplitude, largest in GAIT_TERMS:
            pose[walking, channel] += weight * amplitude * np.cos(2.0 * np.pi * harmonic * (stride - largest))
        forward, up, right = (weight * a * np.cos(2.0 * np.pi * h * (stride - largest)) for h, a, largest in GAIT_PATH)
        pose[walking, Channel.X] += np.sin(heading) * forward + np.cos(heading) * right
        pose[walking, Channel.Y] += np.cos(heading) * forward - np.sin(heading) * right
        pose[walking, Channel.Z] += up

    def state(self, time_s: FloatArray) -> SpineState:
        """Return orientation and sensor site of both segments at the instants (n,)."""
        pose = self.pose(time_s)
        turn = quaternions.multiply(quaternions.from_axis(2, -pose[:, Channel.HEADING]), quaternions.UPRIGHT)
        side = quaternions.multiply(turn, quaternions.from_axis(0, pose[:, Channel.SIDE]))
        lower_q = quaternions.multiply(side, quaternions.from_axis(2, -pose[:, Channel.FORWARD]))
        flexed = quaternions.multiply(lower_q, quaternions.from_axis(2, -pose[:, Channel.FLEXION]))
        bent = quaternions.multiply(flexed, quaternions.from_axis(0, pose[:, Channel.LATERAL]))
        upper_q = quaternions.multiply(bent, quaternions.from_axis(1, -pose[:, Channel.ROTATION]))
        hip = pose[:, Channel.X : Channel.Z + 1]
        joint = hip + quaternions.rotate(lower_q, self.person.joint_offset)
        lower_p = hip + quaternions.rotate(lower_q, self.person.lower_offset)
        upper_p = joint + quaternions.rotate(upper_q, self.person.upper_offset)
        return SpineState(pose, lower_q, upper_q, lower_p, upper_p)
