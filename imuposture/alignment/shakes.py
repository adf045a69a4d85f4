"""Two sensors held together and shaken: what is left between their time lines, from how fast both turn.

Held together they turn alike, whatever way each lies in the hand, so the rates' sizes match but for a lag. Only a match
that is nearly perfect counts: two places on a back really do move one after the other.
"""

from dataclasses import dataclass
from math import fsum

import numpy as np

from imuposture._blocks import FloatArray, PairBlock, Quality
from imuposture._checks import number
from imuposture._errors import SignalError

__all__ = ["Lag", "shaken_together"]

ENOUGH = 0.95  # correlation from which on two sensors moved as one; 90 % of common motion gives 0.8 (simulated)
LIVELY = 0.5  # rad/s, standard deviation of the rate; less is no shaking
SHORTEST_S = 2.0
FINE = 4  # instants a row: the peak of a parabola through rows themselves leans towards whole rows


@dataclass(frozen=True)
class Lag:
    """How much later the upper sensor's rows are than the lower's.

    Attributes
    ----------
    seconds : float
        To be taken from the upper sensor's times; 0 where ``accepted`` is False.
    correlation : float
        Of both rates at that lag.
    accepted : bool
        The sensors moved as one.
    reason : str
        Why not, and what to do; empty where accepted.
    """

    seconds: float
    correlation: float
    accepted: bool
    reason: str = ""


def shaken_together(pair: PairBlock, longest_s: float = 0.1) -> Lag:
    """Find the lag between two sensors that were held together and shaken.

    Parameters
    ----------
    pair : PairBlock
        The rows of the shaking, on a uniform grid; gyroscopes in rad/s.
    longest_s : float
        Longest lag to look for, either way.

    Returns
    -------
    Lag

    Raises
    ------
    SignalError
        If there are too few rows, or ``longest_s`` is not positive and shorter than half of them.
    """
    if len(pair) < 2 or pair.time_s[-1] - pair.time_s[0] < SHORTEST_S:
        raise SignalError(f"shaking must last {SHORTEST_S:g} s at least; mark a longer stretch")
    length = float(pair.time_s[-1] - pair.time_s[0])
    period = length / (len(pair) - 1)
    if not period < number(longest_s) < 0.5 * length:
        raise SignalError(f"longest_s must lie between {period:g} and {0.5 * length:g} s, got {longest_s!r}")
    if ((pair.upper.flags | pair.lower.flags) & (Quality.GAP | Quality.SATURATED)).any():
        return Lag(0.0, 0.0, False, "samples are missing or beyond the range; shake again, less hard")
    upper, lower = (_finer(_turning(rows.gyr)) for rows in (pair.upper, pair.lower))
    if min(_sum(_centred(rate) ** 2) for rate in (upper, lower)) < LIVELY * LIVELY * len(upper):
        return Lag(0.0, 0.0, False, "the sensors hardly moved; shake them together for ten seconds")
    most = int(longest_s / period) * FINE
    whole = max(range(-most, most + 1, FINE), key=lambda lag: _alike(upper, lower, lag))
    near = range(max(whole - FINE, -most), min(whole + FINE, most) + 1)
    return _judged({lag: _alike(upper, lower, lag) for lag in near}, most, period / FINE)


def _judged(matches: dict[int, float], most: int, step_s: float) -> Lag:
    """Take the peak of the matches, if there is one."""
    best = max(matches, key=lambda lag: matches[lag])
    peak = matches[best]
    if peak < ENOUGH:
        return Lag(0.0, peak, False, "the sensors did not move as one; hold them firmly together and shake again")
    if abs(best) == most:
        return Lag(0.0, peak, False, "the lag is longer than looked for; connect the sensors again")
    before, after = matches[best - 1], matches[best + 1]
    bend = before - 2 * peak + after
    part = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return Lag((best + part) * step_s, peak, True)


def _turning(gyr: FloatArray) -> FloatArray:
    """Return how fast a sensor turns, whatever way it lies."""
    rate: FloatArray = np.sqrt(gyr[:, 0] * gyr[:, 0] + gyr[:, 1] * gyr[:, 1] + gyr[:, 2] * gyr[:, 2])
    return rate


def _finer(values: FloatArray) -> FloatArray:
    """Put instants between the rows, on Catmull and Rom's cubics."""
    before, left, right, after = values[:-3], values[1:-2], values[2:-1], values[3:]
    out = np.empty((len(left), FINE))
    for k in range(FINE):
        t = k / FINE
        out[:, k] = left + 0.5 * t * (
            right - before + t * (2 * before - 5 * left + 4 * right - after + t * (3 * (left - right) + after - before))
        )
    return out.ravel()


def _alike(upper: FloatArray, lower: FloatArray, lag: int) -> float:
    """Return Pearson's correlation of ``upper`` with ``lower`` that many instants earlier."""
    first, second = (upper[lag:], lower[: len(lower) - lag]) if lag >= 0 else (upper[:lag], lower[-lag:])
    first, second = _centred(first), _centred(second)
    size = _sum(first * first) * _sum(second * second)
    return _sum(first * second) / size**0.5 if size > 0 else 0.0


def _centred(values: FloatArray) -> FloatArray:
    return values - _sum(values) / len(values)


def _sum(values: FloatArray) -> float:
    """Return the exact sum: the same bits on any processor."""
    return fsum(values.tolist())
