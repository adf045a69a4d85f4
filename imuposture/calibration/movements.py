"""Still stretches and bends, found in the rows of both sensors.

Everything here looks at frames of a tenth of a second, the means of the rows in them: posture is slow, noise is not.
Angles are compared as chords (2 sin of half the angle), which needs no arccosine.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray, PairBlock, Quality
from imuposture._ext import calibration as _ext
from imuposture.calibration.vectors import chord, cross, degrees, dot, mean, unit

__all__ = ["FRAME_S", "STANCE_S", "Bend", "Frames", "Stance", "bends", "stance", "stances"]

FRAME_S = 0.1
STANCE_S = 3.0  # shortest stretch that counts as still (Metrics: still >= 3 s)
STILL_GYR = 0.044  # rad/s (2.5 deg/s): rms about its own mean; a living person sways at 1 to 2 deg/s
STILL_ACC = 0.25  # m/s2, likewise
ENTER, LEAVE = 10.0, 7.0  # degrees of tilt: a bend begins above the one and ends below the other,
RETURNED = 0.3  # or below this share of its peak: people come back to within a few degrees of where they stood
SHORTEST_S, LONGEST_S = 0.8, 20.0  # of a bend
MARGIN_S = 0.3  # rows beside a bend that still belong to it


@dataclass(frozen=True)
class Frames:
    """Means of both sensors' rows over tenths of a second.

    Attributes
    ----------
    start : (m,) int, first row of each frame
    rows : int, rows of a frame
    time_s : (m,) float64, s, session time of that row
    upper_acc, upper_gyr, lower_acc, lower_gyr : (m, 3), sensor frame; NaN where any row was a gap
    """

    start: NDArray[np.int64]
    rows: int
    time_s: FloatArray
    upper_acc: FloatArray
    upper_gyr: FloatArray
    lower_acc: FloatArray
    lower_gyr: FloatArray

    @classmethod
    def of(cls, pair: PairBlock, rate_hz: float) -> "Frames":
        """Average the rows of ``pair``."""
        rows = max(1, round(FRAME_S * rate_hz))
        count = len(pair) // rows

        def average(values: FloatArray) -> FloatArray:
            total = np.zeros((count, 3))
            for offset in range(rows):  # one after the other: the same bits everywhere
                total += values[offset : count * rows : rows][:count]
            return total / rows

        sides = (pair.upper, pair.lower)
        means = [average(values) for side in sides for values in (side.acc, side.gyr)]
        start = np.arange(count) * rows
        upper_acc, upper_gyr, lower_acc, lower_gyr = means
        return cls(start, rows, pair.time_s[start], upper_acc, upper_gyr, lower_acc, lower_gyr)


@dataclass(frozen=True)
class Stance:
    """A still stretch: frames ``first`` to ``last`` (exclusive), and each sensor's vertical and mean angular rate."""

    first: int
    last: int
    upper_up: FloatArray
    lower_up: FloatArray
    upper_rate: FloatArray
    lower_rate: FloatArray


@dataclass(frozen=True)
class Bend:
    """An excursion of tilt from a stance and back; directions are of the lean, in the sensor's horizontal plane.

    Attributes
    ----------
    first, peak, last : int, frames
    upper_deg, lower_deg : float, largest tilt of each sensor
    upper_lean, lower_lean : (3,) unit vectors, sensor axes
    upper_planarity, lower_planarity : float, share of the rotation about the principal axis (0..1)
    upper_square_deg, lower_square_deg : float, angle between the principal axis and the vertical
    """

    first: int
    peak: int
    last: int
    upper_deg: float
    lower_deg: float
    upper_lean: FloatArray
    lower_lean: FloatArray
    upper_planarity: float
    lower_planarity: float
    upper_square_deg: float
    lower_square_deg: float


def stance(frames: Frames, first: int, last: int) -> Stance:
    """Average the frames of a still stretch."""

    def average(values: FloatArray) -> FloatArray:
        rows = values[first:last]
        return mean(rows[~np.isnan(rows[:, 0])])

    upper_up, lower_up = (unit(average(acc)) for acc in (frames.upper_acc, frames.lower_acc))
    return Stance(first, last, upper_up, lower_up, average(frames.upper_gyr), average(frames.lower_gyr))


def stances(frames: Frames) -> list[Stance]:
    """Return the stretches of at least three seconds in which neither sensor moved."""
    width = round(STANCE_S / FRAME_S)
    still = _steady(frames.upper_gyr, width, STILL_GYR) & _steady(frames.lower_gyr, width, STILL_GYR)
    still &= _steady(frames.upper_acc, width, STILL_ACC) & _steady(frames.lower_acc, width, STILL_ACC)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still.astype(np.int8), [0]])))
    return [stance(frames, int(begin), int(end) + width - 1) for begin, end in edges.reshape(-1, 2)]


def _steady(values: FloatArray, width: int, limit: float) -> NDArray[np.bool_]:
    """Say for each frame whether the ``width`` frames from it on stay within ``limit`` rms of their own mean."""
    if len(values) < width:
        return np.zeros(0, np.bool_)
    hole = np.isnan(values[:, 0])
    centred = np.where(hole[:, None], 0.0, values)
    sums = _window(centred, width)
    squares = _window(centred * centred, width)
    spread = squares / width - (sums / width) ** 2
    total = spread[:, 0] + spread[:, 1] + spread[:, 2]
    steady: NDArray[np.bool_] = (total < limit * limit) & (_window(hole.astype(np.float64)[:, None], width)[:, 0] == 0)
    return steady


def _window(values: FloatArray, width: int) -> FloatArray:
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    window: FloatArray = total[width:] - total[:-width]
    return window


def bends(pair: PairBlock, frames: Frames, neutral: Stance, first: int, last: int) -> list[Bend]:
    """Return the excursions of tilt from ``neutral`` and back, between the frames ``first`` and ``last``."""
    upper = _tilt(frames.upper_acc[first:last], neutral.upper_up)
    lower = _tilt(frames.lower_acc[first:last], neutral.lower_up)
    tilt = np.maximum(upper, lower)
    enter, leave = chord(ENTER), chord(LEAVE)
    found, begin, peak = [], 0, 0.0
    for frame, value in enumerate(tilt.tolist()):
        if value < max(leave, RETURNED * peak):
            if peak and SHORTEST_S <= (frame - begin) * FRAME_S <= LONGEST_S:
                found.append((begin, frame))
            begin, peak = frame, 0.0
        elif value > max(enter, peak):
            peak = value
        elif np.isnan(value):  # a gap: whatever was open is not whole
            begin, peak = frame + 1, 0.0
    shifted = [(first + begin, first + end, (upper[begin:end], lower[begin:end])) for begin, end in found]
    return [bend for begin, end, tilts in shifted if (bend := _bend(pair, frames, neutral, (begin, end), tilts))]


def _tilt(acc: FloatArray, up: FloatArray) -> FloatArray:
    """Return the chord between the measured vertical and ``up``, a frame."""
    smooth = acc.copy()
    smooth[1:-1] = (acc[:-2] + acc[1:-1] + acc[2:]) / 3.0
    norm = np.sqrt(smooth[:, 0] ** 2 + smooth[:, 1] ** 2 + smooth[:, 2] ** 2)
    away = smooth / np.where(norm > 0, norm, 1.0)[:, None] - up
    return np.asarray(np.sqrt(away[:, 0] ** 2 + away[:, 1] ** 2 + away[:, 2] ** 2))


def _bend(
    pair: PairBlock, frames: Frames, neutral: Stance, span: tuple[int, int], tilts: tuple[FloatArray, FloatArray]
) -> Bend | None:
    """Describe the bend in the frames of ``span``; None if it has a gap."""
    (first, last), (upper, lower) = span, tilts
    margin = round(MARGIN_S / FRAME_S)
    peak = first + int(np.argmax(np.maximum(upper, lower)))
    begin = int(frames.start[max(first - margin, 0)])
    end = int(frames.start[min(last + margin, len(frames.start) - 1)])
    if ((pair.upper.flags[begin:end] | pair.lower.flags[begin:end]) & Quality.GAP.value).any():
        return None
    outward = max(int(frames.start[peak]) - begin, 1)
    up_lean, up_plane, up_square = _lean(pair.upper.gyr[begin:end] - neutral.upper_rate, neutral.upper_up, outward)
    low_lean, low_plane, low_square = _lean(pair.lower.gyr[begin:end] - neutral.lower_rate, neutral.lower_up, outward)
    return Bend(
        first,
        peak,
        last,
        degrees(float(upper.max())),
        degrees(float(lower.max())),
        up_lean,
        low_lean,
        up_plane,
        low_plane,
        up_square,
        low_square,
    )


def _lean(rate: FloatArray, up: FloatArray, outward: int) -> tuple[FloatArray, float, float]:
    """Return the direction of the lean, the planarity of the movement and the angle of its axis to the vertical.

    The axis is the first principal axis of the angular rate where that is more than a fifth of its own peak, so that
    slow and small movements count as well (Kong et al. 2016 take sit-to-stand and walking the same way). ``outward``
    rows lead to the largest tilt and give the axis its sign.
    """
    speed = np.sqrt(rate[:, 0] ** 2 + rate[:, 1] ** 2 + rate[:, 2] ** 2)
    matrix, axes = np.empty((3, 3)), np.empty((3, 3))
    _ext.scatter(np.ascontiguousarray(rate[speed > 0.2 * speed.max()]), matrix)
    _ext.principal_axes(matrix, axes)
    strength = [float(matrix[k, k]) for k in range(3)]
    main = strength.index(max(strength))
    axis = axes[:, main].copy()
    if dot(mean(rate[:outward]), axis) < 0:
        axis = -axis
    x, y, z = ((axis - up) ** 2).tolist()
    square = degrees(float(np.sqrt(x + y + z)))
    return unit(cross(axis, up)), strength[main] / max(sum(strength), 1e-12), square
