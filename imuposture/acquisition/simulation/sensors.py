"""A sensor worn on a segment: from the segment's true motion to what its chip reports."""

from dataclasses import dataclass, replace

import numpy as np

from imuposture._blocks import FloatArray, Role
from imuposture._errors import ConfigError
from imuposture.acquisition.simulation import _quaternions as quaternions
from imuposture.acquisition.simulation.motion import Channel, Spine, SpineState

__all__ = ["GRAVITY", "Readings", "SensorModel", "WornSensor"]

GRAVITY = 9.80665  # m/s2, standard
FIELD_UT = np.array([0.0, 20.0, -44.0])  # magnetic field at middle latitudes, east, north, up
SOFT_TISSUE_AT = np.radians(45.0)  # posture at which SensorModel.soft_tissue_deg holds
STEP_S = 2.5e-4  # of central differences: truncation below 1e-5 m/s2 in walking, rounding below 1e-7
WALK_STEP_S = 1.0  # knots of the bias' random walk


@dataclass(frozen=True, slots=True)
class SensorModel:
    """A chip and how it sits on the skin. The defaults are a decent consumer chip, strapped on by eye.

    Attributes
    ----------
    mounting_deg : float
        The sensor frame is turned against the segment frame by up to this angle, about a random axis; from 180 on any
        rotation is equally likely.
    mounting : (w, x, y, z) or None
        Fixed rotation sensor -> segment instead.
    gyr_bias_dps : float
        sd of the gyroscope bias an axis at the start, deg/s.
    gyr_walk_dps : float
        Random walk of the bias, deg/s per root second.
    gyr_noise_dps, acc_noise : float
        White noise density, deg/s and m/s2 per root Hz (sd of a sample: density times root of half the rate).
    acc_bias : float
        sd of the accelerometer bias an axis, m/s2.
    scale_error : float
        sd of the scale error of each axis of both, as a share.
    gyr_full_scale_dps, acc_full_scale_g : float
        Readings are clipped at this.
    quantised : bool
        Readings are multiples of 1/32768 of the full scale.
    soft_tissue_deg : float
        sd an axis of the personal turn of the sensor on its segment at 45 degrees of posture; none in neutral.
    wobble_deg, wobble_hz : float
        The skin never rests: amplitude an axis and frequency of a small turning, each axis with its own phase.
    magnetometer : bool
        There is one: field (0, 20, -44) uT east, north, up.
    mag_noise, hard_iron, mag_disturbance : float
        uT: sd of a sample; sd an axis of a constant offset; amplitude of a slow disturbance of the field.
    """

    mounting_deg: float = 25.0
    mounting: tuple[float, float, float, float] | None = None
    gyr_bias_dps: float = 0.4
    gyr_walk_dps: float = 0.002
    gyr_noise_dps: float = 0.007
    acc_noise: float = 0.0015
    acc_bias: float = 0.03
    scale_error: float = 0.0
    gyr_full_scale_dps: float = 2000.0
    acc_full_scale_g: float = 16.0
    quantised: bool = True
    soft_tissue_deg: float = 1.0
    wobble_deg: float = 0.2
    wobble_hz: float = 1.0
    magnetometer: bool = False
    mag_noise: float = 0.4
    hard_iron: float = 3.0
    mag_disturbance: float = 0.0

    @classmethod
    def ideal(cls) -> "SensorModel":
        """Return a perfect sensor glued to the bone: only the mounting is unknown."""
        perfect = cls(gyr_bias_dps=0, gyr_walk_dps=0, gyr_noise_dps=0, acc_noise=0, acc_bias=0, quantised=False)
        return replace(perfect, soft_tissue_deg=0, wobble_deg=0, mag_noise=0, hard_iron=0)

    @classmethod
    def movella_dot(cls) -> "SensorModel":
        """Return a Movella DOT: factory calibration, magnetometer, noise of 0.007 deg/s and 120 ug per root Hz."""
        return cls(gyr_bias_dps=0.25, gyr_walk_dps=0.001, acc_noise=0.0012, scale_error=0.001, magnetometer=True)

    @classmethod
    def budget(cls) -> "SensorModel":
        """Return a chip of the first generation: uncalibrated, a large bias that wanders, scale errors, noise."""
        noisy = cls(gyr_bias_dps=1.5, gyr_walk_dps=0.005, gyr_noise_dps=0.015, acc_noise=0.004)
        return replace(noisy, acc_bias=0.15, scale_error=0.01, mounting_deg=40.0)


@dataclass(frozen=True, slots=True)
class Readings:
    """What a sensor reported: acc (n, 3) m/s2, gyr (n, 3) rad/s, mag (n, 3) uT or None; sensor frame."""

    acc: FloatArray
    gyr: FloatArray
    mag: FloatArray | None


class WornSensor:
    """One sensor on one segment of a moving spine; all its imperfections are fixed by the seed.

    Parameters
    ----------
    role : "upper" or "lower"
    model : SensorModel
    spine : Spine
    seed : sequence of int
        Root of this sensor's randomness.
    duration_s : float
        How long its bias has to be known.

    Raises
    ------
    ConfigError
        If a full scale is not positive or the fixed mounting is not a rotation.
    """

    def __init__(self, role: Role, model: SensorModel, spine: Spine, seed: tuple[int, ...], duration_s: float) -> None:
        if not (model.gyr_full_scale_dps > 0 and model.acc_full_scale_g > 0):
            raise ConfigError(
                f"full scales must be positive, got {model.gyr_full_scale_dps:g} deg/s, {model.acc_full_scale_g:g} g"
            )
        self.role, self.model, self.spine, self.seed = role, model, spine, seed
        rng = np.random.default_rng([*seed, 0])
        self.mounting = _mounting(model, rng)
        self._start_bias = np.radians(model.gyr_bias_dps) * rng.standard_normal(3)
        self._acc_bias = model.acc_bias * rng.standard_normal(3)
        self._acc_scale, self._gyr_scale = 1.0 + model.scale_error * rng.standard_normal((2, 3))
        self._hard_iron = model.hard_iron * rng.standard_normal(3)
        self._soft_tissue = np.radians(model.soft_tissue_deg) / SOFT_TISSUE_AT * rng.standard_normal((3, 3))
        self._wobble_phase = 2.0 * np.pi * rng.random(3)
        self._wobble_hz = model.wobble_hz * (1.0 + 0.05 * rng.standard_normal(3))
        knots = np.random.default_rng([*seed, 1]).standard_normal((int(duration_s / WALK_STEP_S) + 2, 3))
        self._walk = np.radians(model.gyr_walk_dps) * np.sqrt(WALK_STEP_S) * np.cumsum(knots, axis=0)

    def bias(self, time_s: FloatArray) -> FloatArray:
        """Return the true gyroscope bias (n, 3), rad/s, sensor frame: a random walk, straight between its seconds."""
        knot_times = WALK_STEP_S * np.arange(len(self._walk))
        walk = [np.interp(time_s, knot_times, self._walk[:, axis]) for axis in range(3)]
        bias: FloatArray = self._start_bias + np.stack(walk, axis=-1)
        return bias

    def quat(self, time_s: FloatArray) -> FloatArray:
        """Return the true orientation (n, 4) sensor -> earth, soft tissue included."""
        return self._quat(self.spine.state(time_s), time_s)

    def _quat(self, state: SpineState, time_s: FloatArray) -> FloatArray:
        segment = state.upper_q if self.role == "upper" else state.lower_q
        if self.model.soft_tissue_deg or self.model.wobble_deg:
            segment = quaternions.multiply(segment, quaternions.from_vector(self._skin(state.pose, time_s)))
        return quaternions.multiply(segment, self.mounting)

    def _skin(self, pose: FloatArray, time_s: FloatArray) -> FloatArray:
        """Return the turn (n, 3), rad, of the sensor on its segment: this person's pattern, and the wobble."""
        forward = pose[:, Channel.FORWARD] + pose[:, Channel.FLEXION]
        sideways = pose[:, Channel.SIDE] + pose[:, Channel.LATERAL]
        pattern = np.stack([np.sin(forward), np.sin(sideways), np.sin(pose[:, Channel.ROTATION])], axis=-1)
        skin = pattern @ self._soft_tissue
        wobble = np.sin(2.0 * np.pi * self._wobble_hz * time_s[:, None] + self._wobble_phase)
        turned: FloatArray = skin + np.radians(self.model.wobble_deg) * wobble
        return turned

    def truth(self, time_s: FloatArray, interval_s: float | None) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what a perfect chip would report at the instants (n,), in the sensor frame.

        Parameters
        ----------
        time_s : (n,) float64, s
            Instants, in any order and at any spacing.
        interval_s : float or None
            The angular rate is the mean over the interval that ends at each instant (rotation vector of the
            increment over ``interval_s``), as chips report it; None: the rate of the instant.

        Returns
        -------
        acc, gyr : (n, 3) float64, m/s2 and rad/s
        quat : (n, 4) float64, sensor -> earth
        """
        state = self.spine.state(time_s)
        before, after = self.spine.state(time_s - STEP_S), self.spine.state(time_s + STEP_S)
        place, place_before, place_after = (_place(self.role, s) for s in (state, before, after))
        force = (place_after - 2.0 * place + place_before) / STEP_S**2
        force[:, 2] += GRAVITY
        quat = self._quat(state, time_s)
        if interval_s is None:
            begin, end = self._quat(before, time_s - STEP_S), self._quat(after, time_s + STEP_S)
            interval_s = 2.0 * STEP_S
        else:
            begin, end = self.quat(time_s - interval_s), quat
        rate = quaternions.to_vector(quaternions.multiply(quaternions.conjugate(begin), end)) / interval_s
        return quaternions.rotate(quaternions.conjugate(quat), force), rate, quat

    def read(self, time_s: FloatArray, rate_hz: float, stream: int, *, instant: bool = False) -> Readings:
        """Return what the chip reports at the instants (n,).

        Parameters
        ----------
        time_s : (n,) float64, s
            Instants, in any order and at any spacing.
        rate_hz : float
            Its output rate: bandwidth of the noise and, unless ``instant``, the interval of the mean angular rate.
        stream : int
            Names the noise: the same number gives the same noise.
        instant : bool
            Report the rate of the instant instead of the mean over the last interval.
        """
        model = self.model
        acc, gyr, quat = self.truth(time_s, None if instant else 1.0 / rate_hz)
        rng = np.random.default_rng([*self.seed, 2, stream])
        root = np.sqrt(0.5 * rate_hz)
        acc = self._acc_scale * acc + self._acc_bias + model.acc_noise * root * rng.standard_normal(acc.shape)
        noise = np.radians(model.gyr_noise_dps) * root * rng.standard_normal(gyr.shape)
        gyr = self._gyr_scale * gyr + self.bias(time_s) + noise
        acc = _digitise(acc, model.acc_full_scale_g * GRAVITY, quantised=model.quantised)
        gyr = _digitise(gyr, np.radians(model.gyr_full_scale_dps), quantised=model.quantised)
        return Readings(acc, gyr, self._read_field(quat, time_s, rng) if model.magnetometer else None)

    def _read_field(self, quat: FloatArray, time_s: FloatArray, rng: np.random.Generator) -> FloatArray:
        field = np.repeat(FIELD_UT[None], len(time_s), axis=0)
        # Iron in furniture and buildings, passed by within minutes: slow turns of the horizontal field.
        field[:, 0] += self.model.mag_disturbance * np.sin(2.0 * np.pi * time_s / 71.0 + self._wobble_phase[0])
        field[:, 1] += self.model.mag_disturbance * np.sin(2.0 * np.pi * time_s / 113.0 + self._wobble_phase[1])
        seen = quaternions.rotate(quaternions.conjugate(quat), field)
        reported: FloatArray = seen + self._hard_iron + self.model.mag_noise * rng.standard_normal(seen.shape)
        return reported


def _place(role: Role, state: SpineState) -> FloatArray:
    return state.upper_p if role == "upper" else state.lower_p


def _mounting(model: SensorModel, rng: np.random.Generator) -> FloatArray:
    draw, axis, angle = rng.standard_normal(4), rng.standard_normal(3), rng.random()
    if model.mounting is not None:
        fixed = np.array(model.mounting, dtype=np.float64)
        norm = float(np.linalg.norm(fixed))
        if fixed.shape != (4,) or not abs(norm - 1.0) < 1e-6:
            raise ConfigError(f"mounting must be a unit quaternion (w, x, y, z), got {model.mounting} of norm {norm:g}")
        return fixed / norm
    if model.mounting_deg >= 180.0:
        uniform: FloatArray = draw / np.linalg.norm(draw)
        return uniform
    return quaternions.from_vector(np.radians(model.mounting_deg) * angle * axis / np.linalg.norm(axis))


def _digitise(signal: FloatArray, full_scale: float, *, quantised: bool) -> FloatArray:
    """Return the signal as a 16-bit converter gives it; clipped alike on both sides, so that mirrors stay mirrors."""
    if not quantised:
        return np.clip(signal, -full_scale, full_scale)
    count = full_scale / 32768.0
    digital: FloatArray = np.clip(np.round(signal / count), -32767.0, 32767.0) * count
    return digital
