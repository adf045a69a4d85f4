"""Verdicts: what a calibration is good for, in plain sentences that say what to do."""

import numpy as np

from imuposture._blocks import ROLES
from imuposture.calibration.mounting import Mounting

__all__ = ["FEWEST_BENDS", "judge", "not_calibrated", "one_sensor", "short_stance"]

FEWEST_BENDS = 3
PLANARITY = 0.9
SQUARE_DEG = (80.0, 100.0)  # axis of the bends to the vertical
SPREAD_DEG = 3.0
SIDE_OFFSET_DEG = 10.0
SWAP_DEG = 5.0  # the upper sensor must tilt more than the lower one in a forward bend
USABLE_FACING_SD = np.deg2rad(15.0)
USABLE_PLANARITY = 0.75


def judge(upper: Mounting, lower: Mounting, tilt_more: float) -> tuple[bool, tuple[str, ...]]:
    """Say whether a calibration can be used, and what is doubtful about it.

    Parameters
    ----------
    upper, lower : Mounting
        With what the quality gates saw.
    tilt_more : float
        Degrees by which the upper sensor tilts more than the lower one in the forward bends.
    """
    verdicts = []
    swapped = tilt_more < -SWAP_DEG
    if swapped:
        verdicts.append(
            f"the sensors look swapped: in forward bends 'upper' tilts {-tilt_more:.0f} degrees less than 'lower', it "
            "must tilt more; exchange them (--upper, --lower) and process again"
        )
    elif tilt_more < SWAP_DEG / 2:
        verdicts.append(
            f"in forward bends the upper sensor tilts only {tilt_more:.0f} degrees more than the lower one: "
            "if the back was bent as well as the hips, check that they are not swapped"
        )
    for role, mounting in zip(ROLES, (upper, lower), strict=True):
        verdicts += _doubts(role, mounting.quality)
    vague = max(upper.facing_sd, lower.facing_sd) > USABLE_FACING_SD
    vague |= min(mounting.quality["planarity"] for mounting in (upper, lower)) < USABLE_PLANARITY
    if vague:
        verdicts.append(
            "not calibrated: which way is forward is not known well enough for spinal angles; repeat three to five "
            "slow forward bends straight ahead"
        )
    return not swapped and not vague, tuple(verdicts) or ("good",)


def one_sensor() -> str:
    """Return the verdict on a recording of one sensor."""
    return (
        "only one sensor: its inclination is given, assuming a flat sensor with its z axis to the back; spinal angles "
        "need both"
    )


def short_stance(known_s: float, needed_s: float) -> str:
    """Return the verdict on named neutral windows that hold too little."""
    return (
        f"not calibrated: the neutral windows that the recording names hold {known_s:.1f} s of both sensors, "
        f"{needed_s:g} s are needed; name others in the TOML file, or none, so that they are looked for. Inclinations "
        "assume a flat sensor, its z axis to the back; spinal angles are left out"
    )


def not_calibrated(*, stood_still: bool) -> str:
    """Return the verdict where the movements are missing."""
    lacking = (
        "no forward bends were found after the stance" if stood_still else "no still stance of three seconds was found"
    )
    return (
        f"not calibrated: {lacking}. Stand still for five seconds, then bend forward slowly three to five times; name "
        "the times in the TOML file, or take the calibration of another recording of the same wearing "
        "(--calibration). Inclinations assume a flat sensor, its z axis to the back; spinal angles are left out"
    )


def _doubts(role: str, seen: dict[str, float]) -> list[str]:
    """Return a plain sentence for each quality gate that was missed."""
    doubts = []
    if seen["forward_bends"] < FEWEST_BENDS:
        doubts.append(f"{role}: only {seen['forward_bends']:.0f} forward bend(s), {FEWEST_BENDS} to 5 are needed")
    if seen["planarity"] < PLANARITY:
        doubts.append(
            f"{role}: the bends are not in one plane ({seen['planarity']:.2f} of the rotation, limit "
            f"{PLANARITY}): bend straight forward, slowly"
        )
    if not SQUARE_DEG[0] <= seen["axis_to_vertical_deg"] <= SQUARE_DEG[1]:
        doubts.append(
            f"{role}: the axis of the bends is {seen['axis_to_vertical_deg']:.0f} degrees from the vertical (80 to 100 "
            "expected): stand upright in the neutral stance, do not turn while bending"
        )
    if seen["spread_deg"] > SPREAD_DEG:
        doubts.append(
            f"{role}: the bends differ by {seen['spread_deg']:.1f} degrees in direction (limit {SPREAD_DEG:g}); "
            f"forward is known within {seen['facing_sd_deg']:.1f} degrees: more bends help"
        )
    if abs(seen.get("side_offset_deg", 0.0)) > SIDE_OFFSET_DEG:
        doubts.append(
            f"{role}: side bends and forward bends disagree by {abs(seen['side_offset_deg']):.0f} degrees "
            f"(limit {SIDE_OFFSET_DEG:g}): bend straight to the side"
        )
    return doubts
