"""What a simulated person's movements to both sides are like in the long run, and the figures that follow from that.

Nobody repeats a movement exactly, and an interval "from repetitions" is a statement on how somebody moves, not only on
the movements seen: `habits` is its truth. `made` is what was really done while sensors looked.
"""

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

import imuposture as ip
from imuposture._blocks import Event, FloatArray
from imuposture.acquisition.simulation import Person
from imuposture.acquisition.simulation import actions as do

__all__ = ["SIDED", "Truths", "habits", "made", "uneven"]

SIDED = ("lateral_bend", "axial_rotation")
USUAL_DEG = {"lateral_bend": 24.0, "axial_rotation": 34.0}  # of the spine, in movements to be compared
SHARES: dict[do.Lateral, float] = {"right": 0.5, "left": -0.5}  # of a difference of sides
PELVIS = dict(zip(("flexion", *SIDED), Person().pelvis_share, strict=True))
Truths = dict[tuple[str, str, str | None], float]


def uneven(apart: Mapping[str, float]) -> list[do.Action]:
    """Return a script of side bends and twists of which the spine's share differs by so much, right - left.

    The bends and twists of the calibration differ as the others do: nobody is even for the time of a calibration.
    """
    bends: dict[do.Lateral, do.Action] = {}
    twists: dict[do.Lateral, do.Action] = {}
    for side in SHARES:
        size = {plane: _size(apart, plane, side) / (1.0 - PELVIS[plane]) for plane in SIDED}
        bends[side] = do.side_bend(size["lateral_bend"], side, seconds=3.5, hold=1.2, rest=1.2)
        twists[side] = do.twist(size["axial_rotation"], side, seconds=3.5, hold=1.2, rest=1.2)
    script = [do.stand(6, neutral=True), do.stand(1), do.during("flexion", [do.bend(60, reps=4)])]
    script += [do.stand(5, neutral=True), do.during("lateral", 3 * [bends["right"]] + 3 * [bends["left"]])]
    script += [do.stand(5, neutral=True), do.during("rotation", 2 * [twists["right"]] + 2 * [twists["left"]])]
    script.append(do.stand(2))
    for k in range(8):
        for side in ("right", "left") if k % 2 else ("left", "right"):
            script += [bends[side], twists[side]]
    return [*script, do.stand(3.0)]


def _size(apart: Mapping[str, float], plane: str, side: do.Lateral) -> float:
    return USUAL_DEG[plane] + SHARES[side] * apart[plane]


def habits(back: ip.Simulation, apart: Mapping[str, float]) -> Truths:
    """Return the true figures of the person who was asked for `uneven` movements."""
    wider = float(np.exp(0.5 * back.person.variability**2))  # mean of a factor whose logarithm is normal
    truths: Truths = {}
    for plane in SIDED:
        means = {side: wider * _size(apart, plane, side) for side in SHARES}
        medians = {side: _size(apart, plane, side) for side in SHARES}
        rests = {side: sum(_starts(back, plane, side)) / len(_starts(back, plane, side)) for side in SHARES}
        truths |= _sided(plane, means, medians, {side: rests[side] + means[side] for side in SHARES})
    return truths | _rows(back)


def made(back: ip.Simulation) -> Truths:
    """Return the true figures of the movements that were made."""
    truths: Truths = {}
    for plane in SIDED:
        sizes = {side: [event.amplitude_deg or 0.0 for event in _made(back, plane, side)] for side in SHARES}
        means = {side: float(np.mean(sizes[side])) for side in SHARES}
        medians = {side: float(np.median(sizes[side])) for side in SHARES}
        ends = {side: float(np.mean(np.add(_starts(back, plane, side), sizes[side]))) for side in SHARES}
        truths |= _sided(plane, means, medians, ends)
    return truths | _rows(back)


def _sided(
    plane: str,
    means: Mapping[do.Lateral, float],
    medians: Mapping[do.Lateral, float],
    ends: Mapping[do.Lateral, float],
) -> Truths:
    """Return figures of both sides from mean and median sizes and mean ends of range."""
    truths: Truths = {
        ("asymmetry_of_size", plane, None): means["right"] - means["left"],
        ("size_sum", plane, None): means["right"] + means["left"],
        ("size_median_difference", plane, None): medians["right"] - medians["left"],
    }
    for name in ("range", "tested_range"):
        truths[f"{name}_difference", plane, None] = ends["right"] - ends["left"]
        truths[f"{name}_sum", plane, None] = ends["right"] + ends["left"]
    for side in SHARES:
        truths["repetition_size", plane, side] = medians[side]
        truths["range_of_motion", plane, side] = truths["tested_range", plane, side] = ends[side]
    return truths


def _rows(back: ip.Simulation) -> Truths:
    """Return figures of whole recordings, which no habit changes: counted from the anatomical zero."""
    truths: Truths = {}
    for plane in SIDED:
        angle = _angle(back, plane)
        coupled = defaultdict[str, list[float]](list)
        for event in back.movements:
            if event.plane == "flexion":
                there = np.searchsorted(back.time_s, [event.start_s, (event.details or {})["peak_s"]])
                coupled[plane].append(float(angle[there[1]] - angle[there[0]]))
        truths["mean_angle", plane, None] = float(angle.mean())
        truths["median_angle", plane, None] = float(np.median(angle))
        truths["coupled_in_flexion", plane, None] = float(np.mean(coupled[plane]))
    return truths


def _made(back: ip.Simulation, plane: str, side: str) -> list[Event]:
    return [event for event in back.movements if (event.plane, event.side) == (plane, side)]


def _starts(back: ip.Simulation, plane: str, side: str) -> list[float]:
    """Return the true angles, + to that side, that movements to a side started from."""
    sign, angle = 1.0 if side == "right" else -1.0, _angle(back, plane)
    times = [event.start_s for event in _made(back, plane, side)]
    return [float(x) for x in sign * angle[np.searchsorted(back.time_s, times)]]


def _angle(back: ip.Simulation, plane: str) -> FloatArray:
    angle: FloatArray = getattr(back, f"{plane}_deg")
    return angle
