"""A second spine, written from the specification alone: it does not share what the package's own simulator gets wrong.

Angles are sums of Gaussian bumps, error-function steps and a band-limited sway; the specific force is the second
difference of the sensors' positions. A `Choreography` collects what a person does; a `Back` is what two sensors on that
person record, with the true angles counted from the neutral stance of the calibration.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from scipy.spatial.transform import Rotation
from scipy.special import ndtr

G = 9.80665
RATE = 100.0
ROLES = ("upper", "lower")
ANGLES = ("flexion", "lateral_bend", "axial_rotation")
CHANNELS = (*ANGLES, "pelvis_forward", "pelvis_side", "heading", "height")  # degrees; metres for the height
STANCE = (0.0, 6.0)
# Where a sensor sits: x right, y up, z away from the skin; in a segment whose x is anterior, y up and z right.
WORN = Rotation.from_matrix(np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
EARTH = Rotation.from_matrix(
    np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
)  # upright segment, facing x
HIP_TO_LOWER = np.array([-0.10, 0.10, 0.0])  # m, in the lower segment
LOWER_TO_UPPER = np.array([-0.02, 0.28, 0.0])  # m, in the upper segment


@dataclass(frozen=True)
class Sensor:
    """Errors of a sensor; degrees, seconds, m/s2."""

    bias_sd: float = 0.4  # deg/s, each axis
    bias_walk: float = 0.002  # deg/s per root second
    gyr_noise: float = 0.07  # deg/s, each sample
    acc_noise: float = 0.03
    mounting_deg: float = 30.0  # largest rotation away from `WORN`
    skin_deg: float = 0.0  # sd an axis of the sensor's turn on the skin, a radian of flexion or lateral bend


PERFECT = Sensor(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Person:
    neutral_sd: float = 2.0  # deg a plane by which the calibration's stance misses the usual posture
    off_plane: float = 0.12  # sd of the movement in each other plane, as a share of the one meant
    sway_deg: float = 0.15  # rms of a living body


STATUE = Person(0.0, 0.0, 0.0)


class Choreography:
    """What a person does, one thing after the other; `now` is where the next one begins."""

    def __init__(self, seed: int, person: Person = Person(), rate: float = RATE) -> None:
        self.seed, self.rng = seed, np.random.default_rng([seed, 1])
        self.person, self.rate = person, rate
        self.now = 0.0
        self.windows: dict[str, list[list[float]]] = {}
        self._bumps: list[tuple[str, float, float, float]] = []  # channel, centre, width, height
        self._steps: list[tuple[str, float, float, float]] = []

    def bump(self, width: float, after: float = 1.0, **heights: float) -> None:
        """Move away and back, about six widths long; then rest."""
        centre = self.now + 3.0 * width
        self._bumps += [(channel, centre, width, height) for channel, height in heights.items()]
        self.now += 6.0 * width + after

    def step(self, width: float, after: float = 1.0, **heights: float) -> None:
        """Move and stay."""
        centre = self.now + 3.0 * width
        self._steps += [(channel, centre, width, height) for channel, height in heights.items()]
        self.now += 6.0 * width + after

    def _coupled(self, plane: str, size: float) -> dict[str, float]:
        off = self.person.off_plane * abs(size)
        return {a: size if a == plane else off * self.rng.standard_normal() for a in ANGLES}

    def bend(self, size: float, width: float = 0.6, after: float = 1.0, *, twist: float = 0.0) -> None:
        """Bend forward by ``size`` of the upper back, 60 % of it in the spine; ``twist`` is added rotation."""
        angles = self._coupled("flexion", 0.6 * size)
        angles["axial_rotation"] += twist
        self.bump(width, after, **angles, pelvis_forward=0.4 * size)

    def side_bend(self, size: float, width: float = 0.6, after: float = 1.0) -> None:
        self.bump(width, after, **self._coupled("lateral_bend", size), pelvis_side=0.25 * size)

    def twist(self, size: float, width: float = 0.6, after: float = 1.0) -> None:
        self.bump(width, after, **self._coupled("axial_rotation", size), heading=-0.3 * size)

    def turn(self, size: float, after: float = 1.0) -> None:
        """Turn the whole body to the left."""
        self.step(max(0.5, abs(size) / 150.0), after, heading=size)

    def lift(self, size: float, after: float = 1.0) -> None:
        """Bend with the knees, the load coming up with a jerk."""
        angles = self._coupled("flexion", 0.5 * size)
        self.bump(0.7, after, **angles, pelvis_forward=0.5 * size, height=-0.25)

    def stand(self, seconds: float) -> None:
        self.now += seconds

    def calibrate(self) -> None:
        """Stand, four forward bends, three side bends to each side; the stance misses the usual posture."""
        assert self.now == 0.0
        off = self.person.neutral_sd * self.rng.standard_normal(5)
        for channel, height in zip((*ANGLES, "pelvis_forward", "pelvis_side"), off, strict=True):
            self._steps += [(channel, -10.0, 0.3, height), (channel, STANCE[1] + 1.0, 0.3, -height)]
        self.windows["neutral"] = [list(STANCE)]
        self.now = STANCE[1] + 2.5
        start = self.now
        for _ in range(4):
            self.bend(60.0 + 8.0 * self.rng.standard_normal(), 0.65, 0.5)
        self.windows["flexion"] = [[start, self.now]]
        start = self.now
        for side in (1, 1, 1, -1, -1, -1):
            self.side_bend(side * (24.0 + 3.0 * self.rng.standard_normal()), 0.6, 0.5)
        self.windows["lateral"] = [[start, self.now]]

    def work(self, until_s: float, lean: float = 0.0) -> None:
        """Do mixed work; ``lean`` shifts the sizes of twists and side bends to the right, degrees."""
        rng = self.rng
        while self.now < until_s:
            pause = float(rng.uniform(0.5, 4.0))
            kind = rng.choice(["sit", "bend", "side", "twist", "turn", "lift"], p=[0.12, 0.24, 0.18, 0.2, 0.12, 0.14])
            if kind == "sit":
                self.step(0.5, float(rng.uniform(8.0, 20.0)), pelvis_forward=-15.0, flexion=25.0, height=-0.4)
                self.step(0.5, pause, pelvis_forward=15.0, flexion=-25.0, height=0.4)
            elif kind == "bend":
                self.bend(float(rng.uniform(25.0, 75.0)), float(rng.uniform(0.45, 0.9)), pause)
            elif kind == "side":
                self.side_bend(float(rng.choice([-1, 1]) * rng.uniform(10.0, 25.0) + lean), 0.6, pause)
            elif kind == "twist":
                self.twist(float(rng.choice([-1, 1]) * rng.uniform(10.0, 30.0) + lean), 0.6, pause)
            elif kind == "turn":
                self.turn(float(rng.choice([-180, -90, 90, 180])), pause)
            else:
                self.lift(float(rng.uniform(40.0, 80.0)), pause)

    def channels(self, times: np.ndarray) -> dict[str, np.ndarray]:
        values = {channel: self._sway(channel, times) for channel in CHANNELS}
        for channel, centre, width, height in self._bumps:
            near = slice(*np.searchsorted(times, [centre - 8.0 * width, centre + 8.0 * width]))
            values[channel][near] += height * np.exp(-0.5 * ((times[near] - centre) / width) ** 2)
        for channel, centre, width, height in self._steps:
            near = slice(*np.searchsorted(times, [centre - 8.0 * width, centre + 8.0 * width]))
            values[channel][near] += height * ndtr((times[near] - centre) / width)
            values[channel][near.stop :] += height
        return values

    def _sway(self, channel: str, times: np.ndarray) -> np.ndarray:
        """Return a band-limited wobble: eight sinusoids between 0.1 and 1.2 Hz."""
        rng = np.random.default_rng([self.seed, 3, CHANNELS.index(channel)])
        if channel == "height" or not self.person.sway_deg:
            return np.zeros(len(times))
        tones = [
            np.sin(2.0 * np.pi * (rng.uniform(0.1, 1.2) * times + rng.uniform())) * self.person.sway_deg / 2.0
            for _ in range(8)
        ]
        return np.sum(tones, axis=0)


@dataclass(frozen=True)
class Back:
    """What was recorded, and what was true.

    ``upper`` and ``lower`` are the segments in earth. Angles are counted from a stance of this very recording, in which
    both segments are taken for upright and facing the same way, since that is all a calibration can know.
    """

    time_s: np.ndarray
    acc: dict[str, np.ndarray]
    gyr: dict[str, np.ndarray]
    upper: Rotation
    lower: Rotation
    windows: dict[str, list[list[float]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Back of {len(self.time_s)} rows>"

    def _from(self, stance: tuple[float, float]) -> tuple[Rotation, Rotation]:
        during = (self.time_s >= stance[0]) & (self.time_s <= stance[1])
        upper, lower = self.upper[during].mean(), self.lower[during].mean()
        forward = lower.apply([1.0, 0.0, 0.0])
        upright = Rotation.from_rotvec([0.0, 0.0, np.arctan2(forward[1], forward[0])]) * EARTH
        return _times(self.upper, upper.inv() * upright), _times(self.lower, lower.inv() * upright)

    def truth(self, stance: tuple[float, float] = STANCE) -> np.ndarray:
        """Return flexion, lateral bend and axial rotation, (n, 3) degrees."""
        upper, lower = self._from(stance)
        return _times(lower.inv(), upper).as_euler("ZXY", degrees=True) * [-1.0, 1.0, -1.0]

    def inclinations(self, stance: tuple[float, float] = STANCE) -> dict[str, np.ndarray]:
        """Return the four inclinations against gravity by column name, degrees."""
        tilt = {}
        for role, segment in zip(ROLES, self._from(stance), strict=True):
            up = segment.inv().apply([0.0, 0.0, 1.0])
            tilt[f"{role}_forward_deg"] = np.degrees(np.arctan2(-up[:, 0], up[:, 1]))
            tilt[f"{role}_side_deg"] = np.degrees(np.arcsin(-up[:, 2]))
        return tilt

    def keep(self, rows: np.ndarray) -> "Back":
        """Return the recording with only these rows, in this order; the truth stays whole."""
        return replace(
            self,
            time_s=self.time_s[rows],
            acc={role: self.acc[role][rows] for role in ROLES},
            gyr={role: self.gyr[role][rows] for role in ROLES},
        )

    def changed(self, role: str, acc: np.ndarray, gyr: np.ndarray) -> "Back":
        """Return the recording with other samples of one sensor."""
        return replace(self, acc={**self.acc, role: acc}, gyr={**self.gyr, role: gyr})

    def table(self) -> pa.Table:
        columns = {"time_s": self.time_s}
        for role in ROLES:
            for name, values in (("acc", self.acc[role]), ("gyr", self.gyr[role])):
                columns |= {f"{role}_{name}_{axis}": values[:, i] for i, axis in enumerate("xyz")}
        return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})

    def write(self, path: Path, *, windows: bool = True) -> Path:
        """Write a plain recording, CSV or Parquet by its suffix, and the TOML that names the windows."""
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(self.table(), path)
        else:
            pyarrow.parquet.write_table(self.table(), path)
        if windows:
            lines = [f"{name} = {spans[0] if len(spans) == 1 else spans}" for name, spans in self.windows.items()]
            path.with_suffix(".toml").write_text("\n".join(["[calibration]", *lines, ""]), encoding="utf-8")
        return path


def record(choreography: Choreography, seed: int = 0, sensor: Sensor = Sensor()) -> Back:
    """Put two sensors on the person."""
    rate, rng = choreography.rate, np.random.default_rng([seed, 2])
    rows = int(choreography.now * rate)
    half = np.arange(-2, 2 * rows + 1) / (2.0 * rate)  # half a sample apart, one sample more at each end
    c = choreography.channels(half)
    lower, relative = _pelvis(c), _spine(c)
    upper = _times(lower, relative)
    hip = np.zeros((len(half), 3))
    hip[:, 2] = c["height"]
    hinge = hip + lower.apply(HIP_TO_LOWER)
    places = {"upper": hinge + upper.apply(LOWER_TO_UPPER), "lower": hinge}
    segments = {"upper": upper, "lower": lower}
    posture = np.deg2rad(np.stack([c["flexion"], c["lateral_bend"]], axis=1))
    acc, gyr = {}, {}
    for role in ROLES:
        acc[role], gyr[role] = _sense(segments[role], places[role], posture, rate=rate, sensor=sensor, rng=rng)
    own = slice(2, -1, 2)
    time_s = np.round(half[own], 6)
    windows = {name: list(spans) for name, spans in choreography.windows.items()}
    return Back(time_s, acc, gyr, upper[own], lower[own], windows)


def mixed_work(
    seed: int, minutes: float, sensor: Sensor = Sensor(), person: Person = Person(), lean: float = 0.0
) -> Back:
    """Return a calibration and then mixed work."""
    choreography = Choreography(seed, person)
    choreography.calibrate()
    choreography.work(60.0 * minutes, lean)
    return record(choreography, seed, sensor)


def _pelvis(c: dict[str, np.ndarray]) -> Rotation:
    """Return the lower segment in earth: heading to the left, then side, then forward."""
    heading = Rotation.from_euler("z", c["heading"][:, None], degrees=True)
    tilt = Rotation.from_euler("XZ", np.stack([c["pelvis_side"], -c["pelvis_forward"]], axis=1), degrees=True)
    return _times(_times(heading, EARTH), tilt)


def _spine(c: dict[str, np.ndarray]) -> Rotation:
    """Return the upper segment in the lower one: Cardan Z-X-Y, in our signs."""
    return Rotation.from_euler(
        "ZXY", np.stack([-c["flexion"], c["lateral_bend"], -c["axial_rotation"]], axis=1), degrees=True
    )


def _sense(
    segment: Rotation, place: np.ndarray, posture: np.ndarray, *, rate: float, sensor: Sensor, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return specific force (m/s2) and angular rate (rad/s) of a sensor, at whole samples."""
    axis = rng.standard_normal(3)
    mounting = Rotation.from_rotvec(
        axis / np.linalg.norm(axis) * np.deg2rad(sensor.mounting_deg) * np.cbrt(rng.uniform())
    )
    skin = np.deg2rad(sensor.skin_deg) * rng.standard_normal((2, 3))
    worn = _times(Rotation.from_rotvec(posture @ skin), mounting * WORN)
    attitude = _times(segment, worn)
    force = (place[3::2] - 2.0 * place[2:-1:2] + place[1:-2:2]) * (2.0 * rate) ** 2 + [0.0, 0.0, G]
    acc = attitude[2:-1:2].inv().apply(force)
    gyr = _times(attitude[1:-2:2].inv(), attitude[3::2]).as_rotvec() * rate
    walk = np.cumsum(rng.standard_normal(gyr.shape), axis=0) * sensor.bias_walk / np.sqrt(rate)
    errors = sensor.bias_sd * rng.standard_normal(3) + walk + sensor.gyr_noise * rng.standard_normal(gyr.shape)
    return acc + sensor.acc_noise * rng.standard_normal(acc.shape), gyr + np.deg2rad(errors)


def _times(left: Rotation, right: Rotation) -> Rotation:
    """Return ``left * right``; Hamilton's product written out is many times as fast as scipy's."""
    x, y, z, w = left.as_quat().T
    a, b, c, d = right.as_quat().T
    return Rotation.from_quat(
        np.stack(
            [
                w * a + x * d + y * c - z * b,
                w * b - x * c + y * d + z * a,
                w * c + x * b - y * a + z * d,
                w * d - x * a - y * b - z * c,
            ],
            axis=-1,
        )
    )


def angles_of(posture: pa.Table) -> np.ndarray:
    """Return the three spinal angles of posture rows, (n, 3) degrees; NaN for null."""
    return columns_of(posture, [f"{angle}_deg" for angle in ANGLES])


def columns_of(posture: pa.Table, names: list[str]) -> np.ndarray:
    """Return columns of a table side by side as float64; NaN for null."""
    return np.stack([posture[name].to_numpy().astype(np.float64) for name in names], axis=1)
