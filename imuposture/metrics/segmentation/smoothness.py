"""How a movement went: its way out and its way back, and how smooth each was, holds left out.

Smoothness is a matter of one phase: over a whole repetition a measure of it measures the hold.
"""

from functools import lru_cache
from math import cos, isfinite, log, nan, pi

import numpy as np

from imuposture._blocks import FloatArray
from imuposture._errors import SignalError
from imuposture._ext import profiles as _ext

__all__ = ["FEWEST_ROWS", "LONGEST_ROWS", "Description", "describe", "ldlj", "sparc"]

SPEED_S = 0.1  # s over which the speed is taken that tells where a phase begins and ends
CORE_LOW, CORE_HIGH = 0.1, 0.9  # shares of the amplitude between which a phase is under way, stops and all
STILL_SHARE = 0.05  # of the phase's largest speed, below which it has not begun or is over
# Share of its duration by which a phase is longer at either end than where it is faster than that. Small: the spectrum
# sees steps; large: it sees the hold.
ENDS = 0.08
FEWEST_ROWS = 12  # of a phase, below which nothing is said about its smoothness
CUT_HZ = 10.0  # Hz, end of the spectrum that counts. Small: tremor is lost; large: noise of the sensors counts
THRESHOLD = 0.05  # share of the largest amplitude below which the spectrum has ended
NOISE_SHARE = 0.1  # of the jerk that noise may make up before nothing is said about it
POINTS = 64  # a phase is brought to this many for its jerk
DEGREE = 9  # of the polynomial that takes the place of a low-pass. Small: hides corrections; large: noise
LONGEST_ROWS = 2048
WAVE = 16 * LONGEST_ROWS  # steps of the longest transform: profiles are padded to 16 times their length


class Description:
    """Phases and smoothness of movements, one after the other.

    Parameters
    ----------
    rate_hz : float
        Rows a second of the movements.

    Notes
    -----
    The middle of a phase is what lies between 10 and 90 % of the amplitude, stops and all; it is carried on to where
    the speed falls below 5 % of its largest, as Balasubramanian et al. 2015 (J NeuroEng Rehabil 12:112) cut movements.
    Spectral arc length as there: 10 Hz, threshold 0.05, padded by 2^4. Jerk: see `ldlj`.
    """

    def __init__(self, rate_hz: float) -> None:
        values = {
            "rate_hz": rate_hz,
            "span": float(max(1, round(0.5 * SPEED_S * rate_hz))),
            "core_low": CORE_LOW,
            "core_high": CORE_HIGH,
            "still": STILL_SHARE,
            "ends": ENDS,
            "fewest": float(FEWEST_ROWS),
            "cut_hz": CUT_HZ,
            "threshold": THRESHOLD,
            "noise_share": NOISE_SHARE,
        }
        self._settings = np.array([values[name] for name in _ext.SETTINGS])
        self._basis, self._gain = _basis()
        self._cosine = _cosine()
        self._work = np.zeros((4, WAVE))
        self._found = np.zeros(len(_ext.FOUND))
        self._rate_hz = rate_hz

    def of(self, away: FloatArray, first: int, last: int) -> dict[str, float]:
        """Describe a movement.

        Parameters
        ----------
        away : (n,) float64, C-contiguous, finite, at most `LONGEST_ROWS`
            How far it is from its level, degrees, positive to the side it went to, evenly in time.
        first, last : int
            The farthest row is one of these, and those between; rows around them show how it began and ended.

        Returns
        -------
        dict
            ``out_begin`` ... ``back_end`` (rows), ``out_s``, ``hold_s``, ``back_s``, and of both ways ``sparc_*``,
            ``ldlj_*``, ``slowings_*``; without what cannot be said.

        Raises
        ------
        SignalError
            If there are too few rows, or too many.
        """
        _require_rows(away)
        settings, basis, gain = self._settings, self._basis, self._gain
        _ext.describe(away, first, last, settings, basis, gain, self._cosine, self._work, self._found)
        found = {name: value for name, value in zip(_ext.FOUND, self._found.tolist(), strict=True) if isfinite(value)}
        if "out_begin" not in found:
            return {}
        found["out_s"] = (found["out_end"] - 1.0 - found["out_begin"]) / self._rate_hz
        found["hold_s"] = (found["back_begin"] + 1.0 - found["out_end"]) / self._rate_hz
        found["back_s"] = (found["back_end"] - 1.0 - found["back_begin"]) / self._rate_hz
        for way in ("out", "back"):
            if (jerk := found.pop(f"jerk_{way}", 0.0)) > 0.0:
                found[f"ldlj_{way}"] = -log(jerk)
        return found

    def arc_length(self, speed: FloatArray) -> float:
        """Return the spectral arc length of a speed profile (n,) of one phase."""
        _require_rows(speed)
        return _ext.sparc(speed, self._settings, self._cosine, self._work)

    def jerk(self, angle: FloatArray) -> float:
        """Return the log dimensionless jerk of the angle (n,) of one phase; NaN where it is noise, or nothing moves."""
        _require_rows(angle)
        value = _ext.jerk(angle, self._settings, self._basis, self._gain, self._work)
        return -log(value) if value > 0.0 else nan


def _require_rows(values: FloatArray) -> None:
    if not 2 <= len(values) <= LONGEST_ROWS:
        raise SignalError(f"a movement has 2 to {LONGEST_ROWS} rows here, got {len(values)}; take fewer a second")


def describe(away: FloatArray, rate_hz: float) -> dict[str, float]:
    """Describe one movement, see `Description.of`."""
    return Description(rate_hz).of(np.ascontiguousarray(away, dtype=np.float64), 0, len(away) - 1)


def sparc(speed: FloatArray, rate_hz: float) -> float:
    """Return the spectral arc length of a speed profile (n,) of one phase; less negative is smoother.

    NaN where nothing moves. Balasubramanian et al. 2015.
    """
    return Description(rate_hz).arc_length(np.ascontiguousarray(speed, dtype=np.float64))


def ldlj(angle: FloatArray) -> float:
    """Return the log dimensionless jerk of the angle (n,) of one phase; less negative is smoother.

    -ln(T^3 / v_peak^2 . integral of jerk^2) (Balasubramanian et al. 2015), of the polynomial of degree 9 that fits the
    phase best: a third derivative of sensor data would be that of their noise. NaN where white noise of the size of
    what the polynomial leaves would make up more than a tenth of the jerk.
    """
    return Description(1.0).jerk(np.ascontiguousarray(angle, dtype=np.float64))


@lru_cache(maxsize=1)
def _basis() -> tuple[FloatArray, float]:
    """Return polynomials orthonormal over the points with first and third derivatives, and what noise becomes.

    Forsythe 1957: three terms at a time. Derivatives are those for a duration of 1.
    """
    x = np.linspace(0.0, 1.0, POINTS)
    rows = np.zeros((4, DEGREE + 2, POINTS))  # the polynomial and three derivatives, from degree -1 on
    rows[0, 1] = 1.0 / np.sqrt(POINTS)
    for k in range(1, DEGREE + 1):
        raw = x * rows[:, k]
        raw[1:] += np.array([1.0, 2.0, 3.0])[:, None] * rows[:3, k]
        for j in (k, k - 1, k, k - 1):  # twice, for the last digits
            raw -= float((raw[0] * rows[0, j]).sum()) * rows[:, j]
        rows[:, k + 1] = raw / np.sqrt(float((raw[0] * raw[0]).sum()))
    return np.ascontiguousarray(rows[[0, 1, 3], 1:]), sum(_integral(row) for row in rows[3, 1:])


@lru_cache(maxsize=1)
def _cosine() -> FloatArray:
    """Return a quarter of a wave."""
    return np.array([cos(2.0 * pi * k / WAVE) for k in range(WAVE // 4 + 1)])


def _integral(values: FloatArray) -> float:
    """Return the integral of squares over a duration of 1 (trapezoidal rule)."""
    squares = values * values
    return float(squares.sum() - 0.5 * (squares[0] + squares[-1])) / (len(values) - 1)
