"""Is it gravity, and do gyroscope and gravity tell the same story? Checks of the first minutes of a sensor.

Nothing here changes a row: the verdicts refuse a recording, choose a unit, or become notes.
"""

import math
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray

__all__ = ["Agreement", "gravity_agreement", "repeats", "rest_level"]

Mask = NDArray[np.bool_]
_BRIDGE_ROWS = 10  # rows; longer losses are not bridged
_SMOOTH_S = 0.4  # box over which linear acceleration is averaged away; longer blurs quick bends
_SPAN_S = 0.6  # time over which gravity's direction is seen to change; shorter is noise, longer is not linear
_HOP_S = 0.1
_OBSERVED = (0.05, 0.6)  # change of the unit vector that counts, about 3 to 35 degrees
_NEAR_REST = 0.05  # share by which |acc| may differ from its level at rest, on average; walking differs by 0.2


def rest_level(acc: FloatArray, rate_hz: float) -> float | None:
    """Find the size of the acceleration in the quietest seconds.

    Parameters
    ----------
    acc : (n, 3) float64, any unit; NaN where missing
    rate_hz : float

    Returns
    -------
    float or None
        Median over the quietest tenth of all whole seconds; None when no second is without a missing sample.
    """
    length = max(int(rate_hz), 2)
    # Along a row of a second NumPy sums five times as fast as over a few columns.
    axes = np.ascontiguousarray(acc[: len(acc) // length * length].T).reshape(3, -1, length)
    axes = axes[:, np.isfinite(axes.sum(axis=(0, 2)))]
    if not axes.size:
        return None
    unrest = axes.var(axis=2).sum(axis=0)
    level = np.sqrt((axes * axes).sum(axis=0)).mean(axis=1)
    # Relative unrest: a stretch of zeros is not quiet but dead.
    order = np.argsort(unrest / np.maximum(level, 1e-12) ** 2 + (level == 0) * 1e12, kind="stable")
    return float(np.median(level[order[: max(len(order) // 10, 1)]]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the change of gravity's direction compares with the one the gyroscope predicts.

    Attributes
    ----------
    count : int, pieces of movement compared
    correlation : float, -1 to 1
    factor : float, by which the angular rate would have to be multiplied to agree
    """

    count: int
    correlation: float
    factor: float


def bridged(values: FloatArray) -> FloatArray:
    """Return ``values`` (n, 3) with straight lines over losses of a few rows: enough to judge units, and only that."""
    valid = _every(np.isfinite(values))
    known = np.flatnonzero(valid)
    if len(known) in (0, len(values)):
        return values
    rows = np.arange(len(values))
    before = known[np.maximum(np.searchsorted(known, rows, side="right") - 1, 0)]
    after = known[np.minimum(np.searchsorted(known, rows), len(known) - 1)]
    near = (after - before <= _BRIDGE_ROWS) & (before <= rows) & (rows <= after)
    lines = np.stack([np.interp(rows, known, column[known]) for column in values.T], axis=1)
    return np.where((valid | near)[:, None], lines, np.nan)


def gravity_agreement(seconds: FloatArray, acc: FloatArray, gyr: FloatArray, rate_hz: float) -> Agreement:
    """Compare the movement of gravity in the sensor frame with the measured rotation.

    Gravity stands still in the room, so in the sensor frame du/dt = -w x u. Both sides are averaged over the same
    0.4 s and compared over 0.6 s; only pieces that keep to 1 g, without gaps, that turn by 3 degrees or more count.

    Parameters
    ----------
    seconds : (n,) float64, s
    acc : (n, 3) float64, any unit
    gyr : (n, 3) float64, rad/s as far as is known
    rate_hz : float
    """
    level = rest_level(acc, rate_hz)
    box, span = max(round(_SMOOTH_S * rate_hz), 2), max(round(_SPAN_S * rate_hz), 1)
    if level is None or level <= 0 or len(acc) < box + span:
        return Agreement(0, 0.0, 0.0)
    valid = _every(np.isfinite(acc)) & _every(np.isfinite(gyr))
    turned = np.cumsum(np.where(valid[:, None], gyr, 0.0), axis=0) / rate_hz
    gravity, angle = _box_mean(np.where(valid[:, None], acc, 0.0), box), _box_mean(turned, box)
    first = np.arange(0, len(gravity) - span, max(round(_HOP_S * rate_hz), 1))
    before, after, angle = gravity[first], gravity[first + span], angle[first + span] - angle[first]
    size = np.sqrt(_squares(np.stack((before, after))))
    good = _steady(acc, level, first, box + span) & _whole(valid, seconds, first, box + span, rate_hz)
    before, after = before[good] / size[0, good, None], after[good] / size[1, good, None]
    return _compared(after - before, np.cross((before + after) / 2, angle[good]))


def _box_mean(values: FloatArray, box: int) -> FloatArray:
    total = np.cumsum(np.vstack((np.zeros((1, 3)), values)), axis=0)
    mean: FloatArray = (total[box:] - total[:-box]) / box
    return mean


def _steady(acc: FloatArray, level: float, first: NDArray[np.int64], length: int) -> Mask:
    """Tell which pieces of ``length`` rows hold little acceleration but gravity's."""
    size = np.nan_to_num(np.sqrt(_squares(acc)) / level - 1)
    total, squares = (np.concatenate(([0.0], np.cumsum(np.minimum(size**power, 1e6)))) for power in (1, 2))
    mean, square = ((sums[first + length] - sums[first]) / length for sums in (total, squares))
    steady: Mask = (np.abs(mean) < _NEAR_REST) & (square < _NEAR_REST**2)
    return steady


def _whole(valid: Mask, seconds: FloatArray, first: NDArray[np.int64], length: int, rate_hz: float) -> Mask:
    """Tell which pieces of ``length`` rows have every sample, and no jump in time."""
    missing = np.concatenate(([0], np.cumsum(~valid)))
    last = first + length - 1
    lasted = (seconds[last] - seconds[first]) * rate_hz
    whole: Mask = (missing[last + 1] == missing[first]) & (np.abs(lasted / (length - 1) - 1) < 0.1)
    return whole


def _compared(observed: FloatArray, predicted: FloatArray) -> Agreement:
    size = np.sqrt(_squares(observed))
    moved = (size > _OBSERVED[0]) & (size < _OBSERVED[1])
    observed, predicted = observed[moved], predicted[moved]
    oo, pp, op = (float((a * b).sum()) for a, b in ((observed,) * 2, (predicted,) * 2, (observed, predicted)))
    if not oo or not pp or not math.isfinite(pp):
        return Agreement(0, 0.0, 0.0)
    return Agreement(len(observed), op / math.sqrt(oo * pp), math.sqrt(oo / pp))


def repeats(acc: FloatArray, gyr: FloatArray) -> float:
    """Count how many rows in a row show the same sample, on average; 1.0 for a sensor that repeats nothing."""
    whole = _every(np.isfinite(acc)) & _every(np.isfinite(gyr))
    if not whole.all():
        acc, gyr = acc[whole], gyr[whole]
    if len(acc) < 2:
        return 1.0
    alike = _every(acc[1:] == acc[:-1]) & _every(gyr[1:] == gyr[:-1])
    return len(acc) / (1 + len(alike) - int(np.count_nonzero(alike)))


# The reductions of NumPy take ten times as long where a row has three values only.
def _every(marks: Mask) -> Mask:
    """Tell the rows that are marked in every column."""
    return reduce(np.logical_and, marks.T)


def _squares(vectors: FloatArray) -> FloatArray:
    """Return the squared lengths of vectors (..., 3)."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    squares: FloatArray = x * x + y * y + z * z
    return squares
