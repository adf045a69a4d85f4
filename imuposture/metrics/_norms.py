"""Published ranges of motion, read from norms.toml, for the placement they were measured at."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from imuposture._blocks import Plane, Side
from imuposture.metrics._placement import is_lumbar

__all__ = ["Published", "published_ranges", "published_sem"]

Z90 = 1.6448536269514722  # normal quantile of 0.95


@dataclass(frozen=True, slots=True)
class Published:
    """A published range; ``value`` is None, with a ``reason``, where it cannot be compared."""

    source: str
    value: float | None
    reason: str | None = None


def published_ranges(placement: str, plane: Plane, side: Side, age_years: float | None) -> Iterator[Published]:
    """Yield what each source says about a range, degrees.

    Parameters
    ----------
    placement : str
        Sources hold for the placement they measured; others are refused.
    plane, side
    age_years : float or None
        None: not known; sources by age are refused.
    """
    for entry in _tables()["range"]:
        ends = entry.get(plane, {}).get(side)
        if ends is None:
            continue
        name = str(entry["source"])
        if not is_lumbar(placement):
            yield Published(name, None, "measured over the lumbar spine (T12 or L1 to the sacrum), not this placement")
        elif "ages" not in entry:
            yield Published(name, float(ends[0]))
        elif age_years is None:
            yield Published(name, None, "published by age: give age_years")
        elif not entry["ages"][0] <= age_years <= entry["ages"][1]:
            yield Published(name, None, "published for {:g} to {:g} years".format(*entry["ages"]))
        else:
            young, old = entry["ages"]
            share = (age_years - young) / (old - young)
            yield Published(name, ends[0] + share * (ends[1] - ends[0]))


def published_sem(placement: str) -> tuple[float, str] | None:
    """Return the standard error of measurement of a range from test to test, degrees, and its source; or None."""
    if not is_lumbar(placement):
        return None
    entry = _tables()["repeat"][0]
    return float(entry["mdc90"]) / (Z90 * 2.0**0.5), str(entry["source"])


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("imuposture.metrics").joinpath("norms.toml").read_text(encoding="utf-8"))
