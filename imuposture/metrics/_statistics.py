"""Intervals and verdicts, from closed forms that have the same bits on every machine (no libm, no random numbers)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor, inf, pi, sqrt

from imuposture._blocks import Verdict
from imuposture._ext import tallies as _ext

__all__ = [
    "Z95",
    "Comparison",
    "Sample",
    "Uncertain",
    "difference",
    "judge",
    "median",
    "median_interval",
    "symmetry_angle",
    "t_quantile",
    "t_tail",
    "wilson_bias",
]

Z95 = 1.959963984540054  # normal quantile of 0.975
MOST_DF = 400  # degrees of freedom from which on Student's t is taken as it is here; 0.3 % wider than the normal


def t_tail(t: float, df: float) -> float:
    """Return the two-sided tail probability of Student's t.

    Finite sums for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4); fractions are rounded down
    and more than 400 count as 400, both to the safe side.
    """
    n = max(1, int(min(df, MOST_DF)))
    if t in (inf, -inf):
        return 0.0
    root = sqrt(n + t * t)
    sine, cosine2 = abs(t) / root, n / (n + t * t)
    term = total = 1.0 if n % 2 == 0 else sqrt(n) / root
    if n == 1:
        total = 0.0
    for k in range(2 if n % 2 == 0 else 3, n - 1, 2):
        term *= cosine2 * (k - 1) / k
        total += term
    inside = sine * total
    if n % 2:
        inside = 2.0 / pi * (_ext.arctangent(abs(t), sqrt(n)) + inside)
    return max(0.0, 1.0 - inside)


@lru_cache(maxsize=1024)
def t_quantile(df: float, level: float = 0.95) -> float:
    """Return the t that encloses ``level`` of Student's distribution on both sides together."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if t_tail(middle, df) > 1.0 - level else (low, middle)
    return 0.5 * (low + high)


@dataclass(frozen=True, slots=True)
class Uncertain:
    """A value with its standard error and the degrees of freedom behind that error; infinite where it is not known."""

    value: float
    error: float
    df: float = inf

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval; none where the error is not known."""
        if self.error == inf:
            return None, None
        half = self.error * (Z95 if self.df == inf else t_quantile(self.df))
        return self.value - half, self.value + half

    def detectable(self, level: float) -> float | None:
        """Return the least value that is told from 0 with an error of 1 - ``level``; None where that is unknown."""
        return None if self.error == inf else self.error * t_quantile(_whole(self.df), level)

    def differs(self) -> float:
        """Return the two-sided probability of such a value if the truth were 0."""
        return self._tail(self.value)

    def beyond(self, margin: float) -> float:
        """Return the probability of such a value if the truth lay at the nearer of -margin and margin, or beyond."""
        inside = margin - abs(self.value)
        return 1.0 if inside <= 0.0 else 0.5 * self._tail(inside)

    def _tail(self, distance: float) -> float:
        if self.error == 0.0:
            return 1.0 if distance == 0.0 else 0.0
        return t_tail(distance / self.error, self.df)


class Sample:
    """Values of one kind, one a movement; 8 bytes each are kept for the median."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def add(self, value: float) -> None:
        """Take one more value."""
        self.values.append(value)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean of the values; 0 of none."""
        return _sum(self.values) / len(self.values) if self.values else 0.0

    @property
    def variance_of_mean(self) -> float:
        """Squared standard error of the mean; infinite for fewer than two values, whose spread nobody knows."""
        n, mean = len(self.values), self.mean
        return _sum([(value - mean) * (value - mean) for value in self.values]) / ((n - 1) * n) if n > 1 else inf

    def with_shared(self, shared_sd: float, shared_df: float = inf) -> Uncertain:
        """Return the mean; ``shared_sd`` is an error common to all values, which no number of them averages out.

        ``shared_df`` are the degrees of freedom behind that error.
        """
        own = self.variance_of_mean
        total = own + shared_sd * shared_sd
        parts: list[tuple[float, float]] = [(own, len(self.values) - 1), (shared_sd * shared_sd, shared_df)]
        return Uncertain(self.mean, sqrt(total), _welch(total, parts))


def _whole(df: float) -> float:
    """Return the degrees of freedom that t_tail would take, so that quantiles are looked for once each."""
    return float(max(1, int(min(df, MOST_DF))))


def difference(right: Sample, left: Sample, shared_sd: float, sign: float = -1.0, shared_df: float = inf) -> Uncertain:
    """Return right - left of two means (``sign`` +1: right + left) with an error that both share."""
    a, b = right.variance_of_mean, left.variance_of_mean
    total = a + b + shared_sd * shared_sd
    df = _welch(total, [(a, len(right) - 1), (b, len(left) - 1), (shared_sd * shared_sd, shared_df)])
    return Uncertain(right.mean + sign * left.mean, sqrt(total), df)


def _sum(values: Sequence[float]) -> float:
    """Add one after the other (the built-in sum compensates from Python 3.12 on, and gives other bits)."""
    total = 0.0
    for value in values:
        total += value
    return total


def _welch(total: float, parts: Sequence[tuple[float, float]]) -> float:
    """Return Welch and Satterthwaite's degrees of freedom; a known variance brings infinitely many."""
    weight = 0.0
    if total == inf:
        return inf
    for variance, df in parts:
        weight += variance * variance / df if df > 0 else 0.0
    return total * total / weight if weight > 0.0 else inf


def wilson_bias(right: int, left: int) -> tuple[float, float]:
    """Return the 95 % interval of (right - left) / (right + left) (Wilson 1927); exact under swapped sides."""
    n, z2 = right + left, Z95 * Z95
    middle = (right - left) / (n + z2)
    half = 2.0 * Z95 / (n + z2) * sqrt(right * left / n + 0.25 * z2)
    return middle - half, middle + half


def median(values: Sequence[float]) -> float:
    """Return the median; the mean of the middle two for an even number."""
    ordered, n = sorted(values), len(values)
    return 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the median from order statistics; None of fewer than 6 values."""
    ordered, n = sorted(values), len(values)
    if n < 6:
        return None
    rank = max(0, floor((n - Z95 * sqrt(n)) / 2.0))
    return ordered[rank], ordered[n - 1 - rank]


def symmetry_angle(right: float, left: float) -> float:
    """Return Zifchock's symmetry angle in percent, right-dominant positive; for values >= 0."""
    degrees = 180.0 / pi * _ext.arctangent(right - left, right + left)
    return 100.0 * degrees / 90.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A left/right figure on its way to a verdict.

    ``may_be_even`` is False for figures that rest on the neutral stance: a lean in that stance would hide in them.
    ``tellable`` is False when too little was measured to say anything. ``differs`` and ``beyond`` are the tail
    probabilities of `Uncertain`.
    """

    differs: float
    beyond: float
    may_be_even: bool
    tellable: bool


def judge(comparisons: Sequence[Comparison], error: float) -> list[Verdict]:
    """Return the verdicts of a report, of which at most a share ``error`` of reports holds a false one.

    Half of ``error`` goes to false differences and half to false equivalences, each by Holm (1979) over the figures
    that can be told: a figure cannot be both, so a report errs in at most the sum of the two. A shown difference goes
    before a shown equivalence.
    """
    told = [k for k, one in enumerate(comparisons) if one.tellable]
    different = _holm({k: comparisons[k].differs for k in told}, error / 2.0)
    even = _holm({k: comparisons[k].beyond for k in told if comparisons[k].may_be_even}, error / 2.0)
    verdicts: list[Verdict] = []
    for k, one in enumerate(comparisons):
        if not one.tellable:
            verdicts.append("cannot_tell")
        else:
            verdicts.append("asymmetric" if k in different else "even" if k in even else "not_shown")
    return verdicts


def _holm(tails: dict[int, float], error: float) -> set[int]:
    rejected: set[int] = set()
    for k, tail in sorted(tails.items(), key=lambda item: (item[1], item[0])):
        if tail > error / (len(tails) - len(rejected)):
            break
        rejected.add(k)
    return rejected
