"""One figure over many sessions -> its slope, whether that is more than chance, and whether it really changed."""

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import ArrayLike

from imuposture._blocks import FloatArray
from imuposture._errors import SignalError
from imuposture.metrics._statistics import Z95, t_quantile

__all__ = ["FEWEST", "Change", "Chart", "MannKendall", "Slope", "ewma", "mann_kendall", "real_change", "theil_sen"]

FEWEST = 8  # sessions below which no trend is told
FEWEST_BASELINE = 3  # sessions below which nobody knows how much a person varies
LAMBDA, LIMIT = 0.2, 2.86  # weight of the latest value, and limits in sd: one false alarm in 370 sessions


@dataclass(frozen=True, slots=True)
class MannKendall:
    """A test for a trend: ``s`` counts rises less falls over all pairs, ``p`` is two-sided.

    ``inflation`` is what the autocorrelation of the series multiplies its variance by.
    """

    s: int
    p: float
    inflation: float


@dataclass(frozen=True, slots=True)
class Slope:
    """Median slope over all pairs, in units a unit of time, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """The latest value against the mean of the baseline: ``change`` beyond ``mdc`` is more than a person varies."""

    change: float
    mdc: float
    exceeds: bool
    sem: float
    n: int


@dataclass(frozen=True, slots=True)
class Chart:
    """An exponentially weighted moving average with its limits, from the first session after the baseline on."""

    average: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def outside(self) -> list[int]:
        """Places of the sessions, counted from the first after the baseline, at which it left its limits."""
        return np.flatnonzero((self.average < self.low) | (self.average > self.high)).tolist()


def theil_sen(time: ArrayLike, values: ArrayLike, inflation: float = 1.0) -> Slope:
    """Return the slope of Theil (1950) and Sen (1968): the median of those of all pairs.

    Parameters
    ----------
    time : (n,) array_like, increasing, in any unit
    values : (n,) array_like
    inflation : float
        Of the variance by autocorrelation, see `mann_kendall`; widens the interval.

    Raises
    ------
    SignalError
        If there are fewer than 8 values, one is missing, or time does not increase.
    """
    t, x = _series(time, values)
    later, earlier = np.tril_indices(len(t), -1)
    slopes = np.sort((x[later] - x[earlier]) / (t[later] - t[earlier]))
    half = Z95 * sqrt(_variance(x) * inflation)
    low = max(0, int(np.floor((len(slopes) - half) / 2.0)))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[len(slopes) - 1 - low]))


def mann_kendall(time: ArrayLike, values: ArrayLike) -> MannKendall:
    """Return the test of Mann (1945) and Kendall (1975), its variance corrected after Yue and Wang (2004).

    Values of one person follow one another: good weeks and bad ones. The variance is multiplied by n / n*, that of a
    first-order autoregression with the autocorrelation of the series less its Theil-Sen slope, itself corrected for its
    bias in short series (Marriott and Pope 1954); never by less than 1.

    Parameters
    ----------
    time : (n,) array_like, increasing, in any unit
    values : (n,) array_like

    Raises
    ------
    SignalError
        If there are fewer than 8 values, one is missing, or time does not increase.
    """
    t, x = _series(time, values)
    later, earlier = np.tril_indices(len(t), -1)
    s = int(np.sum(np.sign(x[later] - x[earlier])))
    inflation = _inflation(x - theil_sen(t, x).value * t)
    variance = _variance(x) * inflation
    if variance == 0.0:
        return MannKendall(0, 1.0, inflation)
    z = (abs(s) - 1) / sqrt(variance) if s else 0.0
    return MannKendall(s, erfc(z / sqrt(2.0)), inflation)


def real_change(baseline: ArrayLike, latest: float) -> Change:
    """Tell whether a value differs from a person's own baseline by more than that person varies.

    The minimal detectable change is t(.975, k - 1) sqrt(1 + 1 / k) SEM with the SEM of the k baseline sessions
    themselves; 1.96 sqrt(2) would call 14 to 16 % of unchanged people changed with three sessions.

    Parameters
    ----------
    baseline : (k,) array_like
    latest : float

    Raises
    ------
    SignalError
        If the baseline has fewer than 3 values.
    """
    known = np.asarray(baseline, dtype=np.float64)
    k = len(known)
    if known.ndim != 1 or k < FEWEST_BASELINE or not np.isfinite(known).all():
        raise SignalError(f"a baseline needs {FEWEST_BASELINE} sessions or more with a value, got {k}")
    sem = float(np.std(known, ddof=1))
    mdc, change = t_quantile(k - 1) * sqrt(1.0 + 1.0 / k) * sem, float(latest - known.mean())
    return Change(change, mdc, abs(change) > mdc, sem, k)


def ewma(baseline: ArrayLike, values: ArrayLike, weight: float = LAMBDA, limit: float = LIMIT) -> Chart:
    """Return an exponentially weighted moving average (Roberts 1959) of what follows a baseline.

    Parameters
    ----------
    baseline : (k,) array_like
        Sets the centre and the standard deviation. With few sessions both are vague, and false alarms more frequent
        than one in 370.
    values : (n,) array_like
    weight : float
        Of the latest value. Small: sees small lasting changes; large: sees sudden ones.
    limit : float
        In standard deviations of the average.

    Raises
    ------
    SignalError
        If the baseline has fewer than 3 values.
    """
    known, x = np.asarray(baseline, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(known) < FEWEST_BASELINE:
        raise SignalError(f"a baseline needs {FEWEST_BASELINE} sessions or more, got {len(known)}")
    centre, sd = float(known.mean()), float(np.std(known, ddof=1))
    average, latest = np.empty(len(x)), centre
    for i, value in enumerate(x):
        latest = weight * float(value) + (1.0 - weight) * latest
        average[i] = latest
    steps = np.arange(1, len(x) + 1)
    half = limit * sd * np.sqrt(weight / (2.0 - weight) * (1.0 - (1.0 - weight) ** (2 * steps)))
    return Chart(average, centre - half, centre + half)


def _series(time: ArrayLike, values: ArrayLike) -> tuple[FloatArray, FloatArray]:
    t, x = np.asarray(time, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or t.shape != x.shape:
        raise SignalError(f"time and values must be as long as each other, got {t.shape} and {x.shape}")
    if len(t) < FEWEST:
        raise SignalError(f"a trend needs {FEWEST} sessions or more, got {len(t)}")
    if not (np.isfinite(x).all() and np.all(np.diff(t) > 0.0)):
        raise SignalError("a trend needs every value, and time that increases; leave out sessions without the figure")
    return t, x


def _variance(x: FloatArray) -> float:
    """Return the variance of S under no trend, ties included."""
    n = len(x)
    ties = np.unique(x, return_counts=True)[1]
    tied = float(np.sum(ties * (ties - 1) * (2 * ties + 5)))
    return (n * (n - 1) * (2 * n + 5) - tied) / 18.0


def _inflation(rest: FloatArray) -> float:
    n, off = len(rest), rest - rest.mean()
    total = float(np.sum(off * off))
    if total <= 0.0:
        return 1.0
    r = float(np.sum(off[1:] * off[:-1])) / total
    r = min(max(r + (2.0 + 4.0 * r) / n, 0.0), 0.9)  # less the bias of a series without its line
    return max(1.0, 1.0 + 2.0 * (r ** (n + 1) - n * r * r + (n - 1) * r) / (n * (r - 1.0) ** 2))
