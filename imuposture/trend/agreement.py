"""The same people measured several times -> how well the measurements agree."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from imuposture._errors import SignalError

__all__ = ["Agreement", "agreement"]

FEWEST_PEOPLE, FEWEST_TIMES = 3, 2


@dataclass(frozen=True, slots=True)
class Agreement:
    """Intraclass correlations of Shrout and Fleiss (1979), and the standard error of one measurement.

    Attributes
    ----------
    icc1, icc2, icc3 : float
        Of one measurement: times taken as different ones for everybody, as a random sample, as these and no others.
    icc1k, icc2k, icc3k : float
        The same of the mean of all times.
    sem : float
        Standard error of one measurement, in the unit of the values, without what all people share from time to time.
    people, times : int
    """

    icc1: float
    icc2: float
    icc3: float
    icc1k: float
    icc2k: float
    icc3k: float
    sem: float
    people: int
    times: int


def agreement(values: ArrayLike) -> Agreement:
    """Return how well repeated measurements of the same people agree.

    Parameters
    ----------
    values : (people, times) array_like, in any unit

    Returns
    -------
    Agreement

    Raises
    ------
    SignalError
        If there are fewer than three people or two times, a value is missing, or all are the same.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < FEWEST_PEOPLE or table.shape[1] < FEWEST_TIMES:
        raise SignalError(
            f"agreement needs {FEWEST_PEOPLE} people or more, {FEWEST_TIMES} times each or more, got {table.shape}"
        )
    if not np.isfinite(table).all():
        raise SignalError("agreement needs every value; leave out people who miss one")
    (n, k), grand = table.shape, table.mean()
    people = k * float(np.sum((table.mean(axis=1) - grand) ** 2)) / (n - 1)
    times = n * float(np.sum((table.mean(axis=0) - grand) ** 2)) / (k - 1)
    whole = float(np.sum((table - grand) ** 2))
    within = (whole - people * (n - 1)) / (n * (k - 1))
    rest = max(0.0, (whole - people * (n - 1) - times * (k - 1)) / ((n - 1) * (k - 1)))
    if people <= 0.0:
        raise SignalError("all people have the same mean: no correlation between them can be told")
    return Agreement(
        icc1=(people - within) / (people + (k - 1) * within),
        icc2=(people - rest) / (people + (k - 1) * rest + k * (times - rest) / n),
        icc3=(people - rest) / (people + (k - 1) * rest),
        icc1k=(people - within) / people,
        icc2k=(people - rest) / (people + (times - rest) / n),
        icc3k=(people - rest) / people,
        sem=sqrt(rest),
        people=n,
        times=k,
    )
