"""Estimates and truth in, errors in degrees out. Definitions are those of the data they are used on; see each function.

Transcendental functions of NumPy and scipy are fine here: scores are no rows.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from imuposture._blocks import FloatArray

__all__ = [
    "PLANES",
    "HingeScore",
    "OrientationScore",
    "PlaneScore",
    "RelativeScore",
    "SpineErrors",
    "apart_deg",
    "hinge_score",
    "orientation_score",
    "relative_score",
    "rms",
    "rotation",
    "spine_errors",
    "spine_score",
    "twist",
]

PLANES = ("flexion", "lateral_bend", "axial_rotation")


def rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def rotation(quat: FloatArray) -> Rotation:
    """Read quaternions (n, 4), w-first."""
    return Rotation.from_quat(np.asarray(quat, np.float64), scalar_first=True)


def wrapped(angle: FloatArray, half: float = np.pi) -> FloatArray:
    """Bring angles to -half ... half."""
    within: FloatArray = (angle + half) % (2.0 * half) - half
    return within


def twist(turn: Rotation, axis: int = 2) -> FloatArray:
    """Return the part of rotations that turns about a coordinate axis, rad: their heading, for the vertical."""
    quat = np.atleast_2d(turn.as_quat())
    return wrapped(2.0 * np.arctan2(quat[:, axis], quat[:, 3]))


def swing(turn: Rotation, axis: int = 2) -> FloatArray:
    """Return the angle of what is left of rotations without their twist, rad: their inclination, for the vertical."""
    quat = np.atleast_2d(turn.as_quat())
    angle: FloatArray = 2.0 * np.arccos(np.clip(np.hypot(quat[:, axis], quat[:, 3]), 0.0, 1.0))
    return angle


def apart_deg(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the angle between orientations (n, 4), degrees, exact also where it is tiny."""
    w1, v1, w2, v2 = first[:, :1], first[:, 1:], second[:, :1], second[:, 1:]
    vector = w1 * v2 - w2 * v1 - np.cross(v1, v2)
    angle: FloatArray = np.degrees(2.0 * np.arcsin(np.minimum(np.linalg.norm(vector, axis=1), 1.0)))
    return angle


class OrientationScore(NamedTuple):
    """Errors of one sensor's orientation, RMSE in degrees; ``aligned`` ones after removing a constant heading."""

    total: float
    heading: float
    inclination: float
    aligned_total: float
    aligned_heading: float
    drift_deg_min: float


def orientation_score(quat: FloatArray, truth: FloatArray, counted: NDArray[np.bool_], rate: float) -> OrientationScore:
    """Score an orientation as BROAD does (Laidig et al. 2021): the error in the earth frame, split about the vertical.

    Parameters
    ----------
    quat, truth : (n, 4) float64, sensor -> earth; ``truth`` is NaN where it is not known
    counted : (n,) bool, rows that are scored (those in motion)
    rate : float, Hz
    """
    rows = np.flatnonzero(counted & np.isfinite(truth).all(axis=1))
    error = rotation(quat[rows]) * rotation(truth[rows]).inv()
    heading, inclination = twist(error), swing(error)
    aligned = wrapped(heading - np.angle(np.mean(np.exp(1j * heading))))
    rest = np.clip(np.abs(np.cos(inclination / 2) * np.cos(aligned / 2)), 0.0, 1.0)
    figures = (error.magnitude(), heading, inclination, 2.0 * np.arccos(rest), aligned)
    slope = np.polyfit(rows / rate / 60.0, np.unwrap(heading), 1)[0]
    return OrientationScore(*(np.degrees(rms(figure)) for figure in figures), float(abs(np.degrees(slope))))


class HingeScore(NamedTuple):
    """Errors of the angle between two sensors on one axis, RMSE in degrees."""

    first_minute: float
    whole: float
    off_axis: float


def hinge_score(
    parent: FloatArray, child: FloatArray, encoder_deg: FloatArray, gyr: FloatArray, rate: float = 100.0
) -> HingeScore:
    """Score a joint angle against a shaft encoder.

    The axis is the one the child turns about most; its sign and the constant rotation between the two come from the
    first 30 s, the lag (up to 3 samples) from the first minute.

    Parameters
    ----------
    parent, child : (n, 4) float64, sensor -> earth
    encoder_deg : (n,) float64, degrees
    gyr : (n, 3) float64, rad/s, angular rate of the child
    rate : float, Hz
    """
    begin, minute, encoder = round(30 * rate), round(60 * rate), np.radians(encoder_deg)
    axis = np.linalg.eigh(np.cov((gyr - gyr.mean(axis=0)).T))[1][:, -1]
    relative = rotation(parent).inv() * rotation(child)
    fits = [_fixed_part(relative[:begin], encoder[:begin], sign * axis) for sign in (1.0, -1.0)]
    _, fixed, axis = min(fits, key=lambda fit: fit[0])
    quat = (fixed.inv() * relative).as_quat()
    along = quat[:, :3] @ axis
    angle = 2.0 * np.arctan2(along, quat[:, 3])
    off = 2.0 * np.arccos(np.clip(np.hypot(quat[:, 3], along), 0.0, 1.0))
    row = np.arange(len(encoder))
    early = slice(5, minute)

    def error(lag: float, rows: slice = slice(None)) -> FloatArray:
        return wrapped(angle[rows] - np.interp(row[rows] - lag, row, encoder))

    lag = min(np.arange(-3.0, 3.01, 0.25), key=lambda lag: float(np.mean(error(lag, early) ** 2)))
    left = error(lag)
    left = np.degrees(wrapped(left - np.angle(np.mean(np.exp(1j * left[:begin])))))
    return HingeScore(rms(left[:minute]), rms(left), rms(np.degrees(off)))


def _fixed_part(relative: Rotation, angle: FloatArray, axis: FloatArray) -> tuple[float, Rotation, FloatArray]:
    """Return how badly a turn about ``axis`` explains ``relative``, the constant rotation left, and the axis."""
    rest = relative * Rotation.from_rotvec(-np.outer(angle, axis))
    fixed = rest.mean()
    return float((fixed.inv() * rest).magnitude().mean()), fixed, axis


class RelativeScore(NamedTuple):
    """Difference of the rotation between two sensors from a reference's, RMSE in degrees."""

    total: float
    axial: float
    tilt: float


def relative_score(
    parent: FloatArray, child: FloatArray, ref_parent: FloatArray, ref_child: FloatArray, rate: float
) -> RelativeScore:
    """Compare a rotation between two sensors with a reference's, from where both were in the first second.

    Parameters
    ----------
    parent, child, ref_parent, ref_child : (n, 4) float64, sensor -> earth; the reference is NaN where it is not known
    rate : float, Hz
    """
    known = np.isfinite(ref_parent).all(axis=1) & np.isfinite(ref_child).all(axis=1)
    second = round(rate)
    base = rotation(ref_parent[known])
    first, then = (_turned_to(q[known], r[known], second) for q, r in ((parent, ref_parent), (child, ref_child)))
    mine, theirs = first.inv() * then, base.inv() * rotation(ref_child[known])
    mine, theirs = mine * mine[:second].mean().inv(), theirs * theirs[:second].mean().inv()
    error = mine * theirs.inv()
    lifted = base * error * base.inv()
    return RelativeScore(*(rms(np.degrees(e)) for e in (error.magnitude(), twist(lifted), swing(lifted))))


def _turned_to(quat: FloatArray, reference: FloatArray, rows: int) -> Rotation:
    """Give an orientation the heading its reference has in the first rows."""
    mine = rotation(quat)
    off = twist((rotation(reference[:rows]) * mine[:rows].inv()).mean())[0]
    return Rotation.from_rotvec([0.0, 0.0, off]) * mine


@dataclass(frozen=True, slots=True)
class SpineErrors:
    """What one estimate of the spinal angles of one recording got wrong.

    Attributes
    ----------
    error_deg : (3, n) float64, flexion, lateral bend, axial rotation; estimate less truth
    sd_deg : (3, n) float64, what the estimate itself says; NaN where it says nothing
    heading_deg : (m,) float64, error of the rotation between the segments about the vertical, at every tenth row
    """

    error_deg: FloatArray
    sd_deg: FloatArray
    heading_deg: FloatArray


def cardan(angles_deg: FloatArray) -> Rotation:
    """Make the rotation upper -> lower segment from flexion, lateral bend and axial rotation (3, n)."""
    flexion, bend, turn = angles_deg
    return Rotation.from_euler("ZXY", np.stack([-flexion, bend, -turn], axis=1), degrees=True)


def spine_errors(angles_deg: FloatArray, sd_deg: FloatArray, truth_deg: FloatArray, lower_q: FloatArray) -> SpineErrors:
    """Compare spinal angles with the true ones.

    Parameters
    ----------
    angles_deg, sd_deg, truth_deg : (3, n) float64, degrees
    lower_q : (n, 4) float64, true orientation of the lower segment -> earth: which way is up
    """
    known = np.flatnonzero(np.isfinite(angles_deg).all(axis=0))[::10]  # products of rotations are slow
    if len(known):
        base = rotation(lower_q[known])
        turn = cardan(angles_deg[:, known]) * cardan(truth_deg[:, known]).inv()
        heading = np.degrees(twist(base * turn * base.inv()))
    else:
        heading = np.empty(0)
    return SpineErrors(wrapped(angles_deg - truth_deg, 180.0), sd_deg, heading)


class PlaneScore(NamedTuple):
    """Errors of one angle over several recordings: degrees and, for coverage and missing rows, shares."""

    rmse: float
    p95: float
    mean: float
    worst_mean: float
    within_1_sd: float
    within_2_sd: float
    missing: float


def spine_score(recordings: list[SpineErrors], plane: int) -> PlaneScore:
    """Pool the errors of recordings; ``mean`` is over recordings, ``worst_mean`` the mean of the worst of them."""
    error = np.concatenate([one.error_deg[plane] for one in recordings])
    sd = np.concatenate([one.sd_deg[plane] for one in recordings])
    known = np.isfinite(error)
    if not known.any():
        return PlaneScore(*[float("nan")] * 6, 1.0)
    error, sd = np.abs(error[known]), sd[known]
    means = [float(np.nanmean(one.error_deg[plane])) for one in recordings if np.isfinite(one.error_deg[plane]).any()]
    told = np.isfinite(sd)
    inside = [float(np.mean(error[told] <= k * sd[told])) if told.any() else float("nan") for k in (1, 2)]
    figures = rms(error), float(np.percentile(error, 95)), float(np.mean(means)), max(means, key=abs)
    return PlaneScore(*figures, inside[0], inside[1], float(1.0 - known.mean()))
