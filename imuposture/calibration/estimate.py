"""The estimate: a neutral stance, forward bends and, where there are any, side bends -> mounting and verdicts.

Steps and gates follow the functional calibrations of Kong et al. 2016 (Sensors 16:2011) and the review of Pacher et al.
2020 (Sensors 20:3322): the vertical of a segment from the stance, its facing from the principal axis of the bends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from imuposture._blocks import ROLES, FloatArray, PairBlock, Role
from imuposture._checks import number, pair_of
from imuposture._errors import SignalError
from imuposture.calibration.mounting import Calibration, Mounting, Window
from imuposture.calibration.movements import FRAME_S, STANCE_S, Bend, Frames, Stance, bends, stance, stances
from imuposture.calibration.vectors import about, angle, cross, dot, mean, median, spread, unit, within
from imuposture.calibration.verdicts import FEWEST_BENDS, judge, not_calibrated, one_sensor, short_stance

__all__ = ["calibrate"]

FASTEST_HZ = 20_000.0  # as in `imuposture.fusion`; beyond, a unit is wrong
LOOK_AHEAD_S = 90.0  # forward bends are looked for this long after a stance, side bends this long after them
PAUSE_S = 10.0  # bends further apart belong to different sets
SHORTEST_PIECE_S = 1.0  # of a named neutral window that is in pieces
SAME_STANCE = 8.0  # degrees of inclination between two neutral stances of a person, at most
SMALLEST_FORWARD, SMALLEST_SIDE = 20.0, 9.0  # degrees of the upper sensor
SMALLEST_OWN = 5.0  # degrees; a sensor that hardly tilts in a side bend says nothing about its facing
ASSUMED_NEUTRAL_SD = 2.0  # degrees; people return to their stance within about this
ASSUMED_DF = 4  # degrees of freedom that this counts as: as three stances. Small: trusts them; large: hears them little
MOST_STANCES = 40  # stances looked at: the calibration comes early
OFF_PLANE = 0.08  # rad of each sensor's direction in single bends: people are about 12 % off the plane they mean, ...
OFF_PLANE_WEIGHT = 4  # ... bends' worth of trust in that beside the scatter seen, which few bends give badly
FACING_FLOOR = np.deg2rad(1.0)  # what repetition does not average out: coupled motion of this person
SIDE_FLOOR = np.deg2rad(2.0)  # side bends are coupled with rotation
NOMINAL_FORWARD = np.array([0.0, 0.0, -1.0])  # a flat sensor lies with its back on the skin: forward is its -z


@dataclass(frozen=True)
class _Movements:
    """What a calibration rests on."""

    neutral: Stance
    windows: dict[str, tuple[Window, ...]]
    forward: list[Bend]
    side: list[Bend]
    found: bool


def calibrate(pair: PairBlock, rate_hz: float, windows: Mapping[str, Sequence[Window]] | None = None) -> Calibration:
    """Find the mounting of both sensors.

    Parameters
    ----------
    pair : PairBlock
        Rows of both sensors in their own frames, with the calibration movements in them.
    rate_hz : float
        Rate of the rows.
    windows : mapping, optional
        ``neutral``, ``flexion`` and, optionally, ``lateral``: lists of (start, end) in s of session time. Without
        ``neutral`` the stance and the movements after it are found in the rows.

    Returns
    -------
    Calibration
        Not usable, with a verdict that says what to do, where the movements do not carry it.

    Raises
    ------
    SignalError
        If the arrays do not fit each other, or the rate is not a positive number.
    """
    rate, pair = number(rate_hz), pair_of(pair)
    if not 0 < rate <= FASTEST_HZ:
        raise SignalError(f"rate must be more than 0 and at most {FASTEST_HZ:g} Hz, got {rate_hz!r}")
    frames = Frames.of(pair, rate)
    if any(np.isnan(acc[:, 0]).all() for acc in (frames.upper_acc, frames.lower_acc)):
        return _nominal(frames, None, one_sensor())
    named = {name: tuple(spans) for name, spans in (windows or {}).items() if spans}
    if "neutral" in named:
        known = [_known_s(frames, window) for window in named["neutral"]]
        if sum(known) < STANCE_S - FRAME_S / 2:
            return _nominal(frames, None, short_stance(sum(known), STANCE_S))
        clear = tuple(
            window for window, seconds in zip(named["neutral"], known, strict=True) if seconds >= SHORTEST_PIECE_S
        )
        named["neutral"] = clear or named["neutral"]
    movements = _named(pair, frames, named) if "neutral" in named else _found(pair, frames, named)
    if movements is None or not movements.forward:
        return _nominal(frames, movements, not_calibrated(stood_still=movements is not None))
    return _judge(frames, movements)


def _named(pair: PairBlock, frames: Frames, windows: Mapping[str, tuple[Window, ...]]) -> _Movements:
    """Take the movements from the windows that the recording names."""
    neutral = _together([stance(frames, *_span(frames, window)) for window in windows["neutral"]])
    if "flexion" not in windows:
        found = _after(pair, frames, neutral)
        return _Movements(neutral, dict(windows), *(found or ([], [])), found=False)
    inside = {
        name: [
            bend for window in windows.get(name, ()) for bend in bends(pair, frames, neutral, *_span(frames, window))
        ]
        for name in ("flexion", "lateral")
    }
    forward = _alike([bend for bend in inside["flexion"] if bend.upper_deg >= SMALLEST_FORWARD])
    side = _sideways(inside["lateral"], forward)
    return _Movements(neutral, dict(windows), forward, side, found=False)


def _found(pair: PairBlock, frames: Frames, windows: Mapping[str, tuple[Window, ...]]) -> _Movements | None:
    """Take the first stance that a set of large forward bends follows; else every forward bend from the first on."""
    still = stances(frames)[:MOST_STANCES]
    sets = [(neutral, found) for neutral in still if (found := _after(pair, frames, neutral))]
    largest = max((median([bend.upper_deg for bend in found[0]]) for _, found in sets), default=0.0)
    for first, found in sets:
        if median([bend.upper_deg for bend in found[0]]) >= 0.7 * largest:
            again = _returns(first, found, still)
            neutral = _together(again)
            seen = _after(pair, frames, neutral) or found  # the same bends, from the mean stance
            return _Movements(neutral, _windows(frames, again, seen, windows), *seen, found=True)
    for neutral in still[:1]:
        everything = bends(pair, frames, neutral, neutral.last, len(frames.start))
        forward = _alike([bend for bend in everything if bend.upper_deg >= 1.5 * SMALLEST_FORWARD])
        side = _sideways(everything, forward)
        return _Movements(neutral, _windows(frames, [neutral], (forward, side), windows), forward, side, found=True)
    return None


def _together(stretches: Sequence[Stance]) -> Stance:
    """Return the mean of several stances, at the place of the first."""
    return Stance(
        stretches[0].first,
        stretches[0].last,
        unit(mean([s.upper_up for s in stretches])),
        unit(mean([s.lower_up for s in stretches])),
        mean([s.upper_rate for s in stretches]),
        mean([s.lower_rate for s in stretches]),
    )


def _returns(first: Stance, found: tuple[list[Bend], list[Bend]], still: Sequence[Stance]) -> list[Stance]:
    """Return the stances of the calibration: the first, and those between and soon after the bends that are like it.

    People return to their neutral stance within a few degrees; the mean of several is the better zero.
    """
    end = max(bend.last for set_ in found for bend in set_) + round(PAUSE_S / FRAME_S)
    near = within(SAME_STANCE)
    return [first] + [
        later
        for later in still
        if first.last <= later.first <= end
        and dot(later.upper_up, first.upper_up) > near
        and dot(later.lower_up, first.lower_up) > near
    ]


def _after(pair: PairBlock, frames: Frames, neutral: Stance) -> tuple[list[Bend], list[Bend]] | None:
    """Return the set of forward bends that follows a stance, and the side bends after it."""
    ahead = round(LOOK_AHEAD_S / FRAME_S)
    candidates = bends(pair, frames, neutral, neutral.last, min(neutral.last + 2 * ahead, len(frames.start)))
    tall = [bend for bend in candidates if bend.upper_deg >= SMALLEST_FORWARD and bend.first < neutral.last + ahead]
    forward = _first_set(_alike(tall))
    if len(forward) < FEWEST_BENDS or _both_ways(forward, tall):
        return None
    side, end = [], forward[-1].last
    for bend in _sideways([bend for bend in candidates if bend.first >= end], forward):
        if (bend.first - end) * FRAME_S > PAUSE_S:
            break
        side.append(bend)
        end = bend.last
    return forward, side


def _first_set(forward: list[Bend]) -> list[Bend]:
    """Return the first run of at least three bends without a long pause, or all of them."""
    run: list[Bend] = forward[:1]
    for before, bend in pairwise(forward):
        if (bend.first - before.last) * FRAME_S > PAUSE_S:
            if len(run) >= FEWEST_BENDS:
                return run
            run = []
        run.append(bend)
    return run if len(run) >= FEWEST_BENDS else forward


def _both_ways(forward: list[Bend], candidates: list[Bend]) -> bool:
    """Say whether as much was bent the other way among them: then they are side bends."""
    facing = _facing(forward, "upper")
    first, last = forward[0].first, forward[-1].last + round(PAUSE_S / FRAME_S)
    against = [b for b in candidates if first <= b.first <= last and dot(b.upper_lean, facing) < -0.7]
    return sum(b.upper_deg**2 for b in against) > 0.3 * sum(b.upper_deg**2 for b in forward)


def _alike(candidates: list[Bend]) -> list[Bend]:
    """Return the bends that lean where most go: people bend forwards further and more often than sideways."""
    near = within(35.0)

    def companions(seed: Bend) -> list[Bend]:
        return [
            bend
            for bend in candidates
            if dot(bend.upper_lean, seed.upper_lean) > near and bend.upper_deg >= 0.4 * seed.upper_deg
        ]

    return max(
        (companions(seed) for seed in candidates), key=lambda set_: sum(b.upper_deg**2 for b in set_), default=[]
    )


def _sideways(candidates: list[Bend], forward: list[Bend]) -> list[Bend]:
    """Return the bends whose lean is about square to the forward one."""
    if not forward:
        return []
    facing = _facing(forward, "upper")
    flat = within(55.0)
    return [
        bend
        for bend in candidates
        if bend.upper_deg >= SMALLEST_SIDE and abs(dot(bend.upper_lean, facing)) < flat and bend not in forward
    ]


def _judge(frames: Frames, movements: _Movements) -> Calibration:
    """Estimate both mountings and say how good they are."""
    upper, lower = (_mounting(movements, role) for role in ROLES)
    tilt_more = median([bend.upper_deg - bend.lower_deg for bend in movements.forward])
    usable, verdicts = judge(upper, lower, tilt_more)
    segment, spine = _neutral_spread(frames, movements, upper, lower)
    return Calibration(
        usable,
        upper,
        lower,
        movements.windows,
        movements.found,
        segment,
        verdicts,
        own_spinal_sd_deg=spine,
    )


def _mounting(movements: _Movements, role: Role) -> Mounting:
    up: FloatArray = getattr(movements.neutral, f"{role}_up")
    forward = movements.forward
    facing = _facing(forward, role)
    offsets = [angle(facing, getattr(bend, f"{role}_lean"), up) for bend in forward]
    variance = _variance(offsets, forward, role) + FACING_FLOOR**2
    quality = {
        "forward_bends": float(len(forward)),
        "planarity": median([getattr(bend, f"{role}_planarity") for bend in forward]),
        "axis_to_vertical_deg": median([getattr(bend, f"{role}_square_deg") for bend in forward]),
        "spread_deg": float(np.rad2deg(spread(offsets))),
        "tilt_deg": median([getattr(bend, f"{role}_deg") for bend in forward]),
    }
    aside = _side_offset(movements.side, role, facing, up)
    if aside is not None:
        offset, side_variance = aside
        quality |= {"side_bends": float(len(movements.side)), "side_offset_deg": float(np.rad2deg(offset))}
        share = variance / (variance + side_variance)
        facing = about(facing, up, share * offset)
        variance = variance * side_variance / (variance + side_variance)
    anterior = unit(facing - dot(facing, up) * up)
    axes = np.stack([anterior, up, cross(anterior, up)])
    sd = float(np.sqrt(variance))
    return Mounting(
        axes, sd, getattr(movements.neutral, f"{role}_rate"), quality | {"facing_sd_deg": float(np.rad2deg(sd))}
    )


def _facing(forward: list[Bend], role: Role) -> FloatArray:
    """Return the mean direction of the forward bends, each bend counted by its size."""
    return unit(mean([getattr(bend, f"{role}_lean") * getattr(bend, f"{role}_deg") for bend in forward]))


def _side_offset(side: list[Bend], role: Role, facing: FloatArray, up: FloatArray) -> tuple[float, float] | None:
    """Return by how much the side bends would turn the facing, rad, and the variance of that.

    Right and left are averaged apart and then together, so that unequal numbers do not pull; one side alone says
    nothing, because its coupling with the other planes would count as mounting.
    """
    right = cross(facing, up)
    clear = [bend for bend in side if getattr(bend, f"{role}_deg") >= SMALLEST_OWN]
    means, variances = [], []
    for direction in (right, -right):
        those = [bend for bend in clear if dot(getattr(bend, f"{role}_lean"), direction) > 0]
        if not those:
            return None
        angles = [angle(direction, getattr(bend, f"{role}_lean"), up) for bend in those]
        means.append(sum(angles) / len(angles))
        variances.append(_variance(angles, those, role))
    return (means[0] + means[1]) / 2, (variances[0] + variances[1]) / 4 + SIDE_FLOOR**2


def _neutral_spread(
    frames: Frames, movements: _Movements, upper: Mounting, lower: Mounting
) -> tuple[float, float | None]:
    """Return the scatter of the named stances in degrees, or what is assumed where there is only one.

    Of the upper segment, and of the spine: what the upper segment leans more than the lower one. Three stances may
    happen to be alike, so what people are known to return within counts towards the second.
    """
    spans = movements.windows["neutral"]
    if len(spans) < 2:
        return ASSUMED_NEUTRAL_SD, None
    stretches = [stance(frames, *_span(frames, window)) for window in spans]
    above = [stretch.upper_up - movements.neutral.upper_up for stretch in stretches]
    below = [stretch.lower_up - movements.neutral.lower_up for stretch in stretches]
    spine = [upper.turned(a) - lower.turned(b) for a, b in zip(above, below, strict=True)]
    segment = sum(dot(a, a) for a in above) / (len(above) - 1) / 2  # two planes share it
    known, told = ASSUMED_DF * np.deg2rad(ASSUMED_NEUTRAL_SD) ** 2, sum(dot(a, a) for a in spine)
    pooled = (known + told) / (ASSUMED_DF + 2 * (len(spine) - 1))
    count = float(np.sqrt(len(spans)))
    return max(float(np.rad2deg(np.sqrt(segment))), 0.5) / count, float(np.rad2deg(np.sqrt(pooled))) / count


def _nominal(frames: Frames, movements: _Movements | None, verdict: str) -> Calibration:
    """Return the assumption that is left without bends: upright in the stance, sensor flat with its -z forward."""
    still = movements.neutral if movements else next(iter(stances(frames)), None)
    mountings = {role: _nominal_mounting(frames, still, role) for role in ROLES}
    windows = movements.windows if movements else {}
    return Calibration(
        usable=False,
        upper=mountings["upper"],
        lower=mountings["lower"],
        windows=windows,
        found=True,
        neutral_sd_deg=ASSUMED_NEUTRAL_SD,
        verdicts=(verdict,),
    )


def _nominal_mounting(frames: Frames, still: Stance | None, role: Role) -> Mounting:
    acc: FloatArray = getattr(frames, f"{role}_acc")
    known = acc[~np.isnan(acc[:, 0])]
    if still is not None:
        up: FloatArray = getattr(still, f"{role}_up")
    else:
        up = unit(mean(known)) if len(known) else np.array([0.0, 1.0, 0.0])
    ahead = NOMINAL_FORWARD if abs(dot(NOMINAL_FORWARD, up)) < 0.9 else np.array([1.0, 0.0, 0.0])
    anterior = unit(ahead - dot(ahead, up) * up)
    rate: FloatArray = np.zeros(3) if still is None else getattr(still, f"{role}_rate")
    return Mounting(np.stack([anterior, up, cross(anterior, up)]), float(np.pi / 2), rate)


def _windows(
    frames: Frames,
    neutral: Sequence[Stance],
    found: tuple[list[Bend], list[Bend]],
    named: Mapping[str, tuple[Window, ...]],
) -> dict[str, tuple[Window, ...]]:
    """Return the found movements as windows of session time."""

    def window(first: int, last: int) -> Window:
        return float(frames.time_s[first]), float(frames.time_s[min(last, len(frames.time_s) - 1)])

    windows = {**named, "neutral": tuple(window(stretch.first, stretch.last) for stretch in neutral)}
    for name, bends_ in zip(("flexion", "lateral"), found, strict=True):
        if bends_:
            windows[name] = (window(bends_[0].first, bends_[-1].last),)
    return windows


def _span(frames: Frames, window: Window) -> tuple[int, int]:
    """Return the frames that lie in a window."""
    first, last = np.searchsorted(frames.time_s, window)
    return int(first), int(last)


def _known_s(frames: Frames, window: Window) -> float:
    """Return how long both sensors are known in a window."""
    first, last = _span(frames, window)
    whole = ~np.isnan(frames.upper_acc[first:last, 0] + frames.lower_acc[first:last, 0])
    return int(np.count_nonzero(whole)) * FRAME_S


def _variance(angles: Sequence[float], set_: list[Bend], role: Role) -> float:
    """Return the variance of the mean direction: what was seen and what people are known to do, weighed together.

    The off-plane part is a share of the whole movement, so that the sensor that tilts less gets the worse direction.
    """
    shares = [max(bend.upper_deg, bend.lower_deg) / getattr(bend, f"{role}_deg") for bend in set_]
    known = OFF_PLANE**2 * sum(share * share for share in shares) / len(shares)
    seen = spread(angles) ** 2 * (len(angles) - 1)
    return float((OFF_PLANE_WEIGHT * known + seen) / (OFF_PLANE_WEIGHT + len(angles) - 1) / len(angles))
