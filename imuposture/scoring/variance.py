"""Values of several wearers, several each -> their mean, and how much they differ between and within wearers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from imuposture.metrics._statistics import t_quantile

__all__ = ["Components", "one_way"]

ONE_WEARER = "one wearer: nothing is known about others"
ONE_EACH = "one occasion a wearer: what differs between and within wearers cannot be told apart"


@dataclass(frozen=True, slots=True)
class Components:
    """A one-way random effects model; None where the values do not carry it.

    Attributes
    ----------
    mean : float
    low, high : float or None
        95 % interval of the mean over wearers like these.
    between, within : float or None
        Variance of the wearers' own means, and of the occasions of one wearer, in squared units.
    reason : str or None
        Why something is None.
    """

    mean: float
    low: float | None
    high: float | None
    between: float | None
    within: float | None
    reason: str | None


def one_way(groups: Sequence[Sequence[float]]) -> Components:
    """Return mean and variance components of unbalanced groups, by the method of moments.

    With MS the mean squares between and within k groups of n_i values, N in all: within = MS_w, and between =
    (MS_b - MS_w) / n_0 with n_0 = (N - sum n_i^2 / N) / (k - 1), not below 0 (Searle, Casella and McCulloch 1992). The
    mean weighs each group by 1 / (between + within / n_i); its interval is Student's with k - 1 degrees of freedom.

    Parameters
    ----------
    groups : sequence of sequences of float
        The values of each wearer; at least one of at least one.
    """
    groups = [group for group in groups if len(group)]
    total, k = sum(len(group) for group in groups), len(groups)
    means = [sum(group) / len(group) for group in groups]
    within = None
    if total > k:
        squares = sum((x - mean) ** 2 for group, mean in zip(groups, means, strict=True) for x in group)
        within = squares / (total - k)
    if k < 2:
        return Components(means[0], None, None, None, within, ONE_WEARER)
    if within is None:
        mean = sum(means) / k
        error = sqrt(sum((x - mean) ** 2 for x in means) / (k - 1) / k)
        return Components(*_interval(mean, error, k), None, None, ONE_EACH)
    grand = sum(sum(group) for group in groups) / total
    square = sum(len(group) * (mean - grand) ** 2 for group, mean in zip(groups, means, strict=True)) / (k - 1)
    size = (total - sum(len(group) ** 2 for group in groups) / total) / (k - 1)
    between = max(0.0, (square - within) / size)
    spread = [between + within / len(group) for group in groups]
    if min(spread) <= 0.0:  # no spread at all: every value the same
        return Components(grand, grand, grand, between, within, None)
    weights = [1.0 / one for one in spread]
    mean = sum(w * x for w, x in zip(weights, means, strict=True)) / sum(weights)
    return Components(*_interval(mean, sqrt(1.0 / sum(weights)), k), between, within, None)


def _interval(mean: float, error: float, k: int) -> tuple[float, float, float]:
    """Return the mean and the bounds of its 95 % interval."""
    half = t_quantile(k - 1) * error
    return mean, mean - half, mean + half
