"""Steps in a piece of movement: when a foot comes down, which one, and what a stride looks like.

All on one sensor of the lower back, in the frame that stands upright and looks ahead (up, forward, right).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, nan, pi, sin
from statistics import median

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray
from imuposture._ext import strides as _ext

__all__ = [
    "HARMONICS",
    "Contacts",
    "contacts",
    "forward_of",
    "harmonic_ratio",
    "improved_harmonic_ratio",
    "levelled",
    "mirrored",
    "reaches",
    "regularity",
    "repeated",
    "share",
    "sides",
    "smoothed",
    "spectrum",
]

SMOOTHING_S = (
    0.08  # s, sd of the Gaussian that leaves the step. Small: a step has many peaks; large: quick steps vanish
)
TREND_S = 0.7  # s to both sides, over which a mean leaves turns and leaning, which say nothing about the side
BRAKING_S = 0.09  # s: how much the loss of forward push counts beside the upward one
SWING = 0.5  # m/s2 by which that rises and falls in a step. Small: shuffling counts; large: slow steps are missed
SWING_SHARE = 0.15  # of the median fall: lesser ones within a step. Large: the weak leg of an uneven gait is missed
SOONEST_S = 0.28  # s from one step to the next
DELAY_S = 0.04  # s from the contact to the peak (set on two walkers, kept for all)
SIDEWAYS = 1.0  # m/s2 and
TURNING = 0.3  # rad/s: sizes at which each tells the side
SURE = 3.0  # such sizes beyond which more does not count
SAME_SIDE = 4.0  # what two steps in a row of one foot must outweigh
PAUSE_S = 1.5  # s after which either foot may be next
HARMONICS = 20


@dataclass(frozen=True, slots=True)
class Contacts:
    """Feet that come down: row (with a fraction), and how much speaks for the right one: its push, and the pelvis."""

    row: FloatArray
    pushed: FloatArray
    turned: FloatArray


def levelled(acc: FloatArray, gyr: FloatArray, quat: FloatArray, forward: FloatArray) -> FloatArray:
    """Return (6, n) m/s2 and rad/s about up, forward and right; ``forward`` (3,) is in the frame of ``acc`` (n, 3)."""
    out = np.empty((6, len(acc)))
    whole = np.ascontiguousarray
    _ext.level(whole(acc), whole(gyr), whole(quat), whole(forward), out)
    return out


def smoothed(level: FloatArray, rate_hz: float) -> FloatArray:
    """Return a Gaussian mean around each row of (channels, n); at the ends, of the rows that are there."""
    sd = SMOOTHING_S * rate_hz
    reach = min(int(4.0 * sd) + 1, level.shape[1] - 1)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sd) ** 2)
    out = np.empty_like(level)
    _ext.smooth(level, weights / (2.0 * float(weights.sum()) - 1.0), out)
    return out


def share(smooth: FloatArray, level: FloatArray) -> float:
    """Return the variance of smoothed accelerations, the first three channels, as a share of the measured one."""
    return _ext.share(smooth, level)


def forward_of(level: FloatArray, rate_hz: float) -> tuple[float, float]:
    """Return how the way ahead lies in a frame that only stands upright: along its second and its third axis.

    Walkers are fastest where they are lowest (the inverted pendulum; Cavagna et al. 1976): the forward acceleration
    goes with the change of the upward one. Sideways sway has half that frequency and drops out.
    """
    smooth = smoothed(level[:3], rate_hz)
    change = np.gradient(smooth[0]) * rate_hz
    return float((smooth[1] * change).sum()), float((smooth[2] * change).sum())


def contacts(level: FloatArray, smooth: FloatArray, rate_hz: float) -> Contacts:
    """Find the feet that come down: the body is pushed up most, and forward less and less.

    The peak of the smoothed upward acceleration lies a little after the contact, and so does the steepest fall of the
    forward one; their sum has one peak a step where either alone has several.

    Parameters
    ----------
    level, smooth : (6, n) and (4, n), n > 1, m/s2 and rad/s
        As `levelled` gives it, and the first four of its channels `smoothed`.
    rate_hz : float
    """
    signal = np.empty(level.shape[1])
    _ext.landing(smooth, BRAKING_S * rate_hz, signal)
    top = _tops(signal, rate_hz)
    before, at, after = signal[top - 1], signal[top], signal[top + 1]
    bend = before - 2.0 * at + after
    beside = np.where(bend < 0.0, 0.5 * (before - after) / np.where(bend < 0.0, bend, -1.0), 0.0)
    row: FloatArray = (top + beside - DELAY_S * rate_hz).astype(np.float64)
    return Contacts(row, *_for_right(level, smooth, top, rate_hz))


def _tops(signal: FloatArray, rate_hz: float) -> NDArray[np.int64]:
    """Return the rows of the peaks that are a step each."""
    found = np.empty(len(signal), np.int64)
    rows = found[: _ext.peaks(signal, SWING, found)].copy()
    if len(rows) > 2:
        falls = signal[rows[:-1]] - np.minimum.reduceat(signal, rows)[:-1]
        least = SWING_SHARE * median(falls.tolist())
        if least > SWING:
            rows = found[: _ext.peaks(signal, least, found)].copy()
    rows = _apart(rows, signal, SOONEST_S * rate_hz)
    return rows[(rows > 0) & (rows < len(signal) - 1)]


def _apart(rows: NDArray[np.int64], signal: FloatArray, least: float) -> NDArray[np.int64]:
    """Drop the lower one of two that are too near each other."""
    if len(rows) < 2 or not np.diff(rows).min() < least:
        return rows
    kept: list[int] = []
    for row in rows.tolist():
        if kept and row - kept[-1] < least:
            if signal[row] > signal[kept[-1]]:
                kept[-1] = row
        else:
            kept.append(row)
    return np.array(kept, np.int64)


def _for_right(
    level: FloatArray, smooth: FloatArray, rows: NDArray[np.int64], rate_hz: float
) -> tuple[FloatArray, FloatArray]:
    """Return how much speaks for the right foot: it pushes to the left, and the pelvis turns to bring it forward."""
    trend = np.empty((2, level.shape[1]))
    _ext.trends(level, 2, round(TREND_S * rate_hz), trend)
    half = round(0.25 * rate_hz)
    before, after = np.maximum(rows - half, 0), np.minimum(rows + half, level.shape[1] - 1)
    sway = (smooth[2, before] - trend[0, before]) - (smooth[2, after] - trend[0, after])
    turn = smooth[3, rows] - trend[1, rows]
    return np.clip(sway / SIDEWAYS, -SURE, SURE), np.clip(turn / TURNING, -SURE, SURE)


def sides(time_s: FloatArray, right: FloatArray, before: tuple[float, bool] | None) -> list[bool]:
    """Return for each contact whether the right foot came down (Viterbi: the likeliest feet that mostly alternate).

    Parameters
    ----------
    time_s, right : (n,) s, and how much speaks for the right foot
    before : (s, bool), optional
        Time and foot of the contact before, where it is known.
    """
    if not len(time_s):
        return []
    score = (0.0, 0.0)
    ways: list[tuple[bool, bool]] = []
    last = float(time_s[0])
    if before is not None:
        last = before[0]
        score = (-1e9, 0.0) if before[1] else (0.0, -1e9)
    for time, push in zip(time_s.tolist(), right.tolist(), strict=True):
        cost = SAME_SIDE if time - last <= PAUSE_S and (ways or before) else 0.0
        left_from, right_from = score[1] > score[0] - cost, score[0] > score[1] - cost
        ways.append((left_from, right_from))
        score = (
            (score[1] if left_from else score[0] - cost) - push,
            (score[0] if right_from else score[1] - cost) + push,
        )
        last = time
    foot, found = score[1] > score[0], []
    for crossed in reversed(ways):
        found.append(foot)
        foot = foot != crossed[foot]
    return found[::-1]


def spectrum(rows: FloatArray, first: float, length: float) -> NDArray[np.complex128]:
    """Return amplitude and phase of the harmonics of a stride, (channels, k), k <= 20: exactly on them.

    The stride needs not begin or end on a row: the harmonics are fitted to its rows (least squares), which gives a
    periodic motion exactly, whatever the rate.

    Parameters
    ----------
    rows : (channels, n), any unit
    first, length : float, rows
        Where the stride begins, and how long it is.
    """
    begin, end = ceil(first), ceil(first + length)
    inside = np.ascontiguousarray(rows[:, begin:end])
    most = min(HARMONICS, (end - begin - 1) // 2)
    size, step = 2 * most + 1, 2.0 * pi / length
    start = step * (begin - first)
    fit = np.empty((len(rows), size))
    phases = np.array([[cos(start), sin(start)], [cos(step), sin(step)]])
    _ext.fit_harmonics(inside, phases[0], phases[1], np.empty((2, size)), np.empty((size, size)), fit)
    return fit[:, 1::2] - 1j * fit[:, 2::2]


def harmonic_ratio(amplitude: Sequence[float], *, sideways: bool = False) -> float | None:
    """Return the sum of the even harmonics by that of the odd ones, inverted sideways; ``amplitude`` (k,) from k = 1.

    Smidt et al. 1971; Menz et al. 2003. None where nothing is left to divide by.
    """
    even, odd = sum(amplitude[1::2]), sum(amplitude[0::2])
    above, below = (odd, even) if sideways else (even, odd)
    return above / below if below > 0.0 else None


def improved_harmonic_ratio(power: Sequence[float], *, sideways: bool = False) -> float | None:
    """Return the share of power in the harmonics of a symmetric gait, percent (Pasciuto et al. 2017)."""
    even, odd = sum(power[1::2]), sum(power[0::2])
    own = odd if sideways else even
    return 100.0 * own / (even + odd) if even + odd > 0.0 else None


def mirrored(power: FloatArray) -> tuple[float, float]:
    """Return the power (3, k) of up, forward, right that half a stride later is mirrored, and that is not."""
    own = power[0, 1::2].sum() + power[1, 1::2].sum() + power[2, 0::2].sum()
    return float(own), float(power.sum() - own)


def regularity(x: FloatArray, stride: float) -> tuple[float, float]:
    """Return step and stride regularity (Moe-Nilssen and Helbostad 2004): the unbiased autocorrelation at both.

    Parameters
    ----------
    x : (n,) acceleration along one axis, any unit; at least two strides
    stride : float, rows
        The peaks are looked for within a sixth of the stride around half of it and around it.
    """
    x = np.ascontiguousarray(x - x.mean())
    own = np.empty(1)
    _ext.alike(x, 0, own)
    power = float(own[0])
    if power == 0.0:
        return 0.0, 0.0
    return _peak(x, stride / 2.0, stride / 6.0) / power, _peak(x, stride, stride / 6.0) / power


def repeated(rows: FloatArray, begin: int, end: int) -> float:
    """Return how much rows ``begin`` to ``end`` of the first two channels look like as many before them (correlation).

    NaN where there are none. ``rows`` (channels, n).
    """
    n = end - begin
    return _ext.repeated(rows, begin, end) if n > 1 and begin >= n else nan


def reaches(rows: FloatArray, begin: int, end: int) -> list[float]:
    """Return how far rows ``begin`` to ``end`` of each channel go, (channels, n), NaN where one is missing."""
    out = np.empty(len(rows))
    _ext.reaches(rows, begin, end, out)
    found: list[float] = out.tolist()
    return found


def _peak(x: FloatArray, lag: float, reach: float) -> float:
    """Return the autocorrelation of largest size near a lag (sideways the step's is negative)."""
    first, last = max(1, round(lag - reach)), min(round(lag + reach), len(x) - 2)
    if last < first:
        return 0.0
    found = np.empty(last + 1 - first)
    _ext.alike(x, first, found)
    values: list[float] = found.tolist()
    sizes = [abs(value) for value in values]
    k = sizes.index(max(sizes))
    if not 0 < k < len(values) - 1:
        return values[k]
    bend = values[k - 1] - 2.0 * values[k] + values[k + 1]
    return values[k] - (values[k - 1] - values[k + 1]) ** 2 / (8.0 * bend) if bend else values[k]
