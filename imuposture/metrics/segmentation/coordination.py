"""How pelvis and spine share a bend: lumbopelvic rhythm and vector coding."""

from itertools import pairwise
from math import atan2, degrees, isfinite, nan

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["BINS", "bins", "coupling_angles", "mean_direction", "shared", "thirds"]

EARLY = 0.38  # share of a phase in which a pelvis-dominant bend shows (BMC Musculoskelet Disord 2017 18:465)
LEAST_TRUNK_DEG = 15.0  # a third of less than this is too small to be shared out
# Chang et al. 2008: sectors of 45 degrees about the axes and diagonals; here named by the segment that moves.
BINS = ("lumbar", "in_phase", "pelvic", "anti_phase")


def shared(lumbar: FloatArray, pelvis: FloatArray) -> dict[str, float]:
    """Return how spine and pelvis shared the way out of a bend.

    Parameters
    ----------
    lumbar, pelvis : (n,) float64, degrees
        Flexion of the spine and forward inclination of the pelvis in the same rows, evenly in time.

    Returns
    -------
    dict
        ``pelvis_deg``: the way of the pelvis. ``lumbar_share``: the spine's share in the way of the trunk, whole and
        in the ``_first``, ``_middle`` and ``_last`` third of that way (Laird et al. 2016). ``coupling_deg`` and
        ``coupling_early_deg``: mean coupling angle of the whole phase and of its first 38 %, 0 spine alone, 45 alike,
        90 pelvis alone. What cannot be said is left out.
    """
    way = float(lumbar[-1] - lumbar[0] + pelvis[-1] - pelvis[0])
    if not (np.isfinite(pelvis).all() and abs(way) >= 1.0):
        return {}
    angles = coupling_angles(lumbar, pelvis)
    found = {"pelvis_deg": float(pelvis[-1] - pelvis[0]), "lumbar_share": float(lumbar[-1] - lumbar[0]) / way}
    names = ("first", "middle", "last")
    found |= {f"lumbar_share_{name}": x for name, x in zip(names, thirds(lumbar, pelvis), strict=True)}
    found["coupling_deg"] = mean_direction(angles)
    found["coupling_early_deg"] = mean_direction(angles[: max(1, round(EARLY * len(angles)))])
    return {name: value for name, value in found.items() if isfinite(value)}


def coupling_angles(lumbar: FloatArray, pelvis: FloatArray) -> FloatArray:
    """Return atan2(change of the pelvis, change of the spine) from row to row, radians from -pi to pi.

    Vector coding (Chang et al. 2008). Not the difference of two angles, which other programs call by that name.
    """
    angles: FloatArray = np.arctan2(np.diff(pelvis), np.diff(lumbar))
    return angles


def mean_direction(angles: FloatArray) -> float:
    """Return the mean of directions, degrees from -180 to 180: a plain mean lies wherever the circle was cut."""
    east, north = float(np.cos(angles).sum()), float(np.sin(angles).sum())
    return degrees(atan2(north, east)) if east or north else nan


def bins(angles: FloatArray) -> tuple[float, ...]:
    """Return the share of coupling angles (radians) in each of `BINS`."""
    sector = np.floor((np.degrees(angles) + 22.5) / 45.0).astype(np.int64) % 4
    shares: list[float] = (np.bincount(sector, minlength=4) / len(angles)).tolist()
    return tuple(shares)


def thirds(lumbar: FloatArray, pelvis: FloatArray) -> tuple[float, float, float]:
    """Return the spine's share in each third of the way of the trunk; NaN where that way is too short."""
    trunk = lumbar + pelvis
    way = float(trunk[-1] - trunk[0])
    if abs(way) < LEAST_TRUNK_DEG:
        return nan, nan, nan
    gone = np.maximum.accumulate((trunk - trunk[0]) / way)
    at = [0, *(int(row) for row in gone.searchsorted((1.0 / 3.0, 2.0 / 3.0))), len(trunk) - 1]
    first, middle, last = (
        float((lumbar[b] - lumbar[a]) / (trunk[b] - trunk[a])) if trunk[b] != trunk[a] else nan for a, b in pairwise(at)
    )
    return first, middle, last
