"""How the sensors sit on the body, how well that is known, and its application to the rows."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imuposture._blocks import FloatArray, PairBlock, Quality, SensorRows
from imuposture._checks import floats, pair_of
from imuposture._errors import CalibrationError
from imuposture._ext import calibration as _ext

__all__ = ["Calibration", "Mounting"]

Window = tuple[float, float]


@dataclass(frozen=True)
class Mounting:
    """How one sensor sits on its segment.

    Attributes
    ----------
    axes : (3, 3) float64
        Rows are the segment's X (anterior), Y (up), Z (right) in the sensor's axes: ``v_segment = axes @ v_sensor``.
    facing_sd : float
        rad; how well the turn about Y is known, i.e. which way is forward.
    gyro_bias : (3,) float64
        rad/s, sensor axes; mean of the gyroscope during the neutral stance.
    quality : dict
        What the quality gates saw: number of movements, planarity, angles, spreads (degrees where the name says so).
    """

    axes: FloatArray
    facing_sd: float
    gyro_bias: FloatArray
    quality: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, shape in (("axes", (3, 3)), ("gyro_bias", (3,))):
            object.__setattr__(self, name, floats(name, getattr(self, name), shape))

    def apply(self, rows: SensorRows) -> SensorRows:
        """Turn the rows of the sensor into rows of its segment."""
        mag = None if rows.mag is None else self._turn(rows.mag)
        return SensorRows(self._turn(rows.acc), self._turn(rows.gyr), mag, rows.flags)

    def segment_bias(self) -> FloatArray:
        """Return the gyroscope's mean rate in the stance, (3,) rad/s, in the segment's axes."""
        return self.turned(self.gyro_bias)

    def turned(self, vector: FloatArray) -> FloatArray:
        """Return a vector (3,) of the sensor in the segment's axes."""
        turned: FloatArray = self._turn(vector[None, :])[0]
        return turned

    def _turn(self, vectors: FloatArray) -> FloatArray:
        vectors = floats("rows", vectors, (None, 3))
        out = np.empty(vectors.shape)
        _ext.rotate(vectors, self.axes, out)
        return out

    def asdict(self) -> dict[str, Any]:
        """Return plain lists and numbers; floats survive JSON to the last bit."""
        return {
            "axes": self.axes.tolist(),
            "facing_sd": self.facing_sd,
            "gyro_bias": self.gyro_bias.tolist(),
            "quality": self.quality,
        }

    @classmethod
    def fromdict(cls, values: dict[str, Any]) -> "Mounting":
        """Undo `asdict`.

        Raises
        ------
        CalibrationError
            If the axes are not a rotation or something is missing.
        """
        try:
            axes = np.array(values["axes"], np.float64)
            mounting = cls(
                axes, float(values["facing_sd"]), np.array(values["gyro_bias"], np.float64), values["quality"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"the stored mounting is not whole ({error}); calibrate again") from error
        orthonormal = axes.shape == (3, 3) and bool((np.abs(axes @ axes.T - np.eye(3)) < 1e-6).all())
        if not orthonormal or np.linalg.det(axes) < 0:
            raise CalibrationError("the stored mounting is not a rotation; calibrate again")
        return mounting


@dataclass(frozen=True)
class Calibration:
    """Mounting of both sensors, the windows it rests on and its verdicts.

    Attributes
    ----------
    usable : bool
        False: spinal angles cannot be given; the inclinations rest on the assumption named in the verdicts.
    upper, lower : Mounting
    windows : dict
        ``neutral``, ``flexion``, ``lateral``: windows used, s of session time.
    found : bool
        The windows were found in the rows, not named by the recording.
    neutral_sd_deg : float
        How well the neutral stance is known as a zero: from the scatter of its repetitions, else what people are known
        to return within (2 degrees). Of a segment, that is of pelvis and spine together.
    verdicts : tuple of str
        Plain sentences: what is good, what is doubtful, what to do.
    source : str or None
        The recording that the calibration was taken from; None: this one.
    own_spinal_sd_deg : float or None
        The same of the spine alone, a plane, from both segments; None where there was one stance.
    """

    usable: bool
    upper: Mounting
    lower: Mounting
    windows: dict[str, tuple[Window, ...]]
    found: bool
    neutral_sd_deg: float
    verdicts: tuple[str, ...]
    source: str | None = None
    own_spinal_sd_deg: float | None = None

    def apply(self, pair: PairBlock) -> PairBlock:
        """Turn both sensors' rows into rows of their segments; without a usable calibration they are marked so.

        Raises
        ------
        SignalError
            If the arrays do not fit each other.
        """
        pair = pair_of(pair)
        upper, lower = self.upper.apply(pair.upper), self.lower.apply(pair.lower)
        if not self.usable:
            for rows in (upper, lower):
                rows.flags[:] = rows.flags | Quality.UNCALIBRATED.value
        return PairBlock(pair.time_s, upper, lower)

    def stances(self) -> tuple[Window, ...]:
        """Windows of this recording in which the wearer stood neutrally."""
        return self.windows.get("neutral", ()) if self.usable and self.source is None else ()

    @property
    def return_sd_deg(self) -> float:
        """How well the wearer returns to a single stance, degrees: ``neutral_sd_deg`` is that of their mean."""
        return self.neutral_sd_deg * float(np.sqrt(max(len(self.windows.get("neutral", ())), 1)))

    @property
    def spinal_sd_deg(self) -> float:
        """How well the zero of the spinal angles is known, degrees a plane."""
        return self.neutral_sd_deg if self.own_spinal_sd_deg is None else self.own_spinal_sd_deg

    def facing_difference_sd(self) -> float:
        """Return how much the facings of the two mountings may differ, rad."""
        return float(np.sqrt(self.upper.facing_sd**2 + self.lower.facing_sd**2))

    def shared_facing(self) -> float:
        """Return the share of the lower facing's error that the upper one contains: the hips' part of the bends."""
        upper, lower = (mounting.quality.get("tilt_deg", 0.0) for mounting in (self.upper, self.lower))
        return min(lower / upper, 1.0) if upper > 0 else 0.0

    def asdict(self) -> dict[str, Any]:
        """Return what `fromdict` needs, fit for the manifest."""
        return {
            "usable": self.usable,
            "upper": self.upper.asdict(),
            "lower": self.lower.asdict(),
            "windows": {name: [list(window) for window in windows] for name, windows in self.windows.items()},
            "windows_found": self.found,
            "neutral_sd_deg": self.neutral_sd_deg,
            "own_spinal_sd_deg": self.own_spinal_sd_deg,
            "verdicts": list(self.verdicts),
            "source": self.source,
        }

    @classmethod
    def fromdict(cls, values: dict[str, Any], source: str | None = None) -> "Calibration":
        """Undo `asdict`; ``source`` names the recording that it is taken from.

        Raises
        ------
        CalibrationError
            If something is missing or malformed.
        """
        try:
            windows = {
                str(name): tuple((float(start), float(end)) for start, end in spans)
                for name, spans in values["windows"].items()
            }
            spinal = values.get("own_spinal_sd_deg")  # sessions of earlier versions have none
            return cls(
                bool(values["usable"]),
                Mounting.fromdict(values["upper"]),
                Mounting.fromdict(values["lower"]),
                windows,
                bool(values["windows_found"]),
                float(values["neutral_sd_deg"]),
                tuple(str(verdict) for verdict in values["verdicts"]),
                source or values["source"],
                None if spinal is None else float(spinal),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CalibrationError(f"the stored calibration is not whole ({error}); calibrate again") from error
