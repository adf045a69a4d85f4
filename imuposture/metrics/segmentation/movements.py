"""Movements: rows of three spinal angles in, finished movements out, each in one plane.

A movement leaves the level at which the back rests and comes back to it. One that does not come back is a change of
posture, and where it stays is the new level. The level is the last held posture, not zero: who sits slouched and
twisted and bends sideways from there still does repetitions.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from math import inf, isfinite

import numpy as np

from imuposture._blocks import PLANES, Event, FloatArray, PostureBlock, Side
from imuposture._ext import movements as _ext
from imuposture.metrics._rows import GAP, HEADING_UNKNOWN

__all__ = ["LONGEST_DELAY_S", "Movements"]

SMOOTH_S = 0.1  # s, half the smoothing window and the longest bridged gap. Small: noise; large: flattens quick peaks.
HELD_S = 0.5  # s, an end of range counts as held for this long (docs/metrics.md, range_of_motion)

# The thresholds of the recursion. Degrees marked "noise" are multiples of the standard deviation of the smoothed angle,
# measured as it goes; they matter only in noisy data. Sources: Metrics that follow hysteresis segmentation take 5 and
# 3 degrees and 10 to 15 % of the range; the others were set on synthetic trains (tests/test_metrics_movements.py).
START_DEG, START_NOISE = 5.0, 7.0  # an excursion opens beyond this. Small: counts sway; large: loses small movements
INNER_DEG, INNER_NOISE = 1.5, 1.5  # at the level. Small: late ends; large: early ends and late starts
BAND_DEG, BAND_SHARE = 3.0, 0.1  # near enough to the level to be back, degrees and share of the amplitude
RETURN_SHARE = 0.5  # share of the amplitude below which the way back has begun. Small: misses turning points
RISE_SHARE = 0.25  # share of the amplitude by which a turning point off the level must be left to count as one
BOUNCE_DEG = 2.0  # degrees by which a turning point near the level must be left
DWELL_S = 0.5  # s near the level after which an excursion is over though the level was not reached
HOLD_DEG, HOLD_NOISE = 2.0, 4.0  # a posture is held while it stays this close to where it was first seen
SETTLE_S = 0.25  # s after the first row over which the first level is averaged. Small: noisy; large: blurs early starts
REST_HOLD_S = 1.0  # s held at rest after which the level follows. Small: follows slow bends; large: lags behind drift
REST_DEG = 10.0  # degrees from the level (or RISE_SHARE) within which somebody who is held on the way back is back
CHANGE_HOLD_S = 8.0  # s held away from the level after which it was a change of posture, no repetition
# s likewise, where the posture is within START_DEG of the neutral stance or half as far from it as the level: somebody
# stood up. Small: slow returns to upright are lost; large: while someone stands for less, bends count backwards.
UPRIGHT_HOLD_S = 4.0
STAY_S = 12.0  # s beyond half the peak after which it was one as well, though other movements shook it
LONGEST_S = 30.0  # s after which an excursion that neither came back nor was held is a change of posture as well
SLOW_S = 3.0  # s, time constant of the mean that becomes the level where nothing was held
NOISE_S = 10.0  # s over which the noise is measured
SHORTEST_S = 0.5  # s, anything shorter is a jolt
# Smaller and quicker than both is a swing. A stride takes 0.9 to 1.3 s and turns the spine by 5 to 15 degrees from end
# to end, all of it to one side where the level lies at the other end. Small: steps count; large: quick work is lost.
SWING_DEG, SWING_S = 18.0, 1.3

# Two excursions in different planes are one movement where the larger one moved at least this share of the smaller
# one's amplitude while that lasted. Small: a twist in a held bend is lost; large: coupled motion counts twice.
SAME_SHARE = 0.5
LONGEST_DELAY_S = 75.0  # s from start to report, at most: CHANGE_HOLD_S to open, LONGEST_S itself, LONGEST_S waiting
ROWS_FOUND = 64

KINDS = ("repetition", "posture_change", "aborted")
SIDES: tuple[tuple[Side, Side], ...] = (("forward", "backward"), ("right", "left"), ("right", "left"))


@dataclass(frozen=True, slots=True)
class _Excursion:
    """What one plane did; the same movement may be an excursion in all three."""

    event: Event
    plane: int
    opened_s: float
    closed_s: float
    size: float
    moved: tuple[float, float, float]


class Movements:
    """Causal segmentation of the spinal angles.

    Parameters
    ----------
    rate_hz : float
        Rows a second.

    Notes
    -----
    Events are of the kinds ``repetition`` (came back), ``posture_change`` (did not) and ``aborted`` (cut off by a gap
    of more than 0.1 s or by the end of the recording). Their details: ``level_deg`` (angle at the start),
    ``peak_deg`` and ``held_deg`` (largest angle, and largest median over 0.5 s), ``time_to_peak_s``,
    ``mean_speed_degps``, ``peak_speed_degps``, ``out_of_plane`` (largest movement in another plane as a share of the
    amplitude), ``coupled_<plane>_deg`` (signed movement of the two other planes from start to peak), ``sd_deg``
    (mean standard deviation of the angle; left out where unknown). A plane without rows is left out.

    Recursion and thresholds: hysteresis segmentation (docs/metrics.md, "Movements").
    """

    def __init__(self, rate_hz: float) -> None:
        half = max(1, round(SMOOTH_S * rate_hz))
        median = 2 * max(1, round(HELD_S * rate_hz / 2)) + 1
        self._weights = smoothing_weights(half)
        self._settings = _settings(rate_hz, self._weights[half])
        self._state = np.zeros((3, _ext.STATE_SIZE))
        self._window = np.zeros((7, 2, 2 * half + 1))
        self._recent = np.zeros((3, 2, median))
        self._found = np.zeros((ROWS_FOUND, len(_ext.FOUND)))
        self._count = np.zeros(3, dtype=np.intp)
        self._pending: deque[_Excursion] = deque()
        self._known: deque[_Excursion] = deque()
        self._half = half
        self._last_s = 0.0

    def push(self, posture: PostureBlock) -> tuple[Event, ...]:
        """Take the next rows.

        Parameters
        ----------
        posture : PostureBlock

        Returns
        -------
        tuple of Event
            Movements that became certain, in the order in which they ended.
        """
        if not len(posture):
            return ()
        time = np.ascontiguousarray(posture.time_s, dtype=np.float64)
        angle = np.stack([posture.flexion_deg, posture.lateral_bend_deg, posture.axial_rotation_deg])
        sd = np.stack([posture.flexion_sd_deg, posture.lateral_bend_sd_deg, posture.axial_rotation_sd_deg])
        angle[:, (posture.quality & GAP) != 0] = np.nan
        sd[2, (posture.quality & HEADING_UNKNOWN) != 0] = np.nan
        self._last_s = float(time[-1])
        return self._feed(time, angle, sd)

    def finish(self) -> tuple[Event, ...]:
        """End the recording: what was nearly back at rest counts, anything else that is open is aborted.

        Returns
        -------
        tuple of Event
        """
        rows = self._half + 1  # as many missing rows as end an excursion
        nothing = np.full((3, rows), np.nan)
        return self._feed(np.full(rows, self._last_s), nothing, nothing)

    def _feed(self, time: FloatArray, angle: FloatArray, sd: FloatArray) -> tuple[Event, ...]:
        done = 0
        while done < len(time):
            _ext.advance(
                time,
                angle,
                sd,
                self._weights,
                self._settings,
                self._state,
                self._window,
                self._recent,
                self._found,
                self._count,
                done,
            )
            done = int(self._count[0])
            for row in self._found[: self._count[1]].tolist():
                self._admit(_excursion(dict(zip(_ext.FOUND, row, strict=True))))
        return tuple(self._settled())

    def _admit(self, excursion: _Excursion) -> None:
        """Queue an excursion; jolts and swings are dropped."""
        lasted = excursion.event.end_s - excursion.event.start_s
        swing = lasted < SWING_S and excursion.size < SWING_DEG
        if excursion.event.kind == KINDS[0] and (swing or lasted < SHORTEST_S):
            return
        self._pending.append(excursion)
        self._known.append(excursion)

    def _settled(self) -> list[Event]:
        """Return the movements of which no open excursion can still turn out to be the larger part.

        What is decided depends on rows only, never on when it is asked: excursions that opened after this one had
        closed do not count, and as long as an earlier one is open, this one and all behind it wait.
        """
        earliest = min((opened for mode, opened in self._state[:, :2].tolist() if mode != 0.0), default=inf)
        events = []
        while self._pending and earliest > self._pending[0].closed_s:
            excursion = self._pending.popleft()
            if not any(_is_part(excursion, other) for other in self._near(excursion)):
                events.append(excursion.event)
        return events

    def _near(self, excursion: _Excursion) -> Iterator[_Excursion]:
        """Yield what may overlap ``excursion``, and forget what closed too long before it, and so before all later."""
        while self._known[0].closed_s < excursion.closed_s - LONGEST_DELAY_S:
            self._known.popleft()
        return takewhile(lambda other: other.closed_s <= excursion.closed_s + LONGEST_DELAY_S, self._known)


def smoothing_weights(half: int) -> FloatArray:
    """Return the weights of a local least-squares parabola at its middle (Savitzky and Golay 1964), (2 half + 1,)."""
    k = np.arange(-half, half + 1, dtype=np.float64)
    norm = (2 * half + 3) * (2 * half + 1) * (2 * half - 1)
    weights: FloatArray = 3.0 * (3 * half * half + 3 * half - 1 - 5.0 * k * k) / norm
    return weights


def _settings(rate_hz: float, central: float) -> FloatArray:
    # From the residual of the fit to the noise of the fit: variances are as central to 1 - central.
    noise = float(np.sqrt(central / (1.0 - central))) if central < 1.0 else 0.0
    pairs = ((START_DEG, START_NOISE), (INNER_DEG, INNER_NOISE), (HOLD_DEG, HOLD_NOISE))
    quiet = min(deg / (times * noise) for deg, times in pairs) if noise else np.inf
    values = {
        "rate_hz": rate_hz,
        "start_deg": START_DEG,
        "start_noise": START_NOISE * noise,
        "inner_deg": INNER_DEG,
        "inner_noise": INNER_NOISE * noise,
        "band_deg": BAND_DEG,
        "band_share": BAND_SHARE,
        "return_share": RETURN_SHARE,
        "rise_share": RISE_SHARE,
        "bounce_deg": BOUNCE_DEG,
        "dwell_s": DWELL_S,
        "hold_deg": HOLD_DEG,
        "hold_noise": HOLD_NOISE * noise,
        "settle_s": SETTLE_S,
        "rest_hold_s": REST_HOLD_S,
        "rest_deg": REST_DEG,
        "change_hold_s": CHANGE_HOLD_S,
        "upright_hold_s": UPRIGHT_HOLD_S,
        "stay_s": STAY_S,
        "longest_s": LONGEST_S,
        "slow_share": 1.0 / (SLOW_S * rate_hz + 1.0),
        "noise_rows": NOISE_S * rate_hz,
        "quiet": 0.99 * quiet * quiet,
    }
    return np.array([values[name] for name in _ext.SETTINGS])


def _excursion(found: dict[str, float]) -> _Excursion:
    plane = int(found["plane"])
    kind = KINDS[int(found["kind"])]
    end_angle = found["level"] if kind == "posture_change" else found["peak_x"]
    size = abs(end_angle - found["base"])
    moved = [0.0, 0.0, 0.0]
    moved[(plane + 1) % 3], moved[(plane + 2) % 3] = found["most_a"], found["most_b"]
    right = end_angle > found["base"] if kind == "posture_change" else found["side"] > 0.0
    event = Event(
        kind=kind,
        start_s=found["start_t"],
        end_s=found["end_t"],
        plane=PLANES[plane],
        side=SIDES[plane][0 if right else 1],
        amplitude_deg=size,
        details=_details(found, plane, size, max(moved)),
    )
    reach = max(size, abs(found["peak_x"] - found["base"]))
    return _Excursion(event, plane, found["opened_t"], found["closed_t"], reach, (moved[0], moved[1], moved[2]))


def _details(found: dict[str, float], plane: int, size: float, off_plane: float) -> dict[str, float]:
    lasted = max(found["end_t"] - found["start_t"], 1e-9)
    reach = abs(found["peak_x"] - found["base"])
    # The other planes are compared with the last row at the level, where this one had already moved a little.
    seen = abs(found["peak_x"] - found["mark_x"])
    whole = reach / seen if seen > 0.0 else 1.0
    details = {
        "level_deg": found["base"],
        "peak_deg": found["peak_x"],
        "held_deg": found["held"],
        "time_to_peak_s": found["peak_t"] - found["start_t"],
        "mean_speed_degps": found["path"] / lasted,
        "peak_speed_degps": found["fastest"],
        "out_of_plane": whole * off_plane / size if size > 0.0 else np.nan,
        f"coupled_{PLANES[(plane + 1) % 3]}_deg": whole * found["at_peak_a"],
        f"coupled_{PLANES[(plane + 2) % 3]}_deg": whole * found["at_peak_b"],
        "sd_deg": found["sd"],
    }
    return {name: float(value) for name, value in details.items() if isfinite(value)}


def _is_part(small: _Excursion, large: _Excursion) -> bool:
    """Say whether ``small`` is the share in another plane of the movement ``large``."""
    if large.plane == small.plane or (large.size, -large.plane) <= (small.size, -small.plane):
        return False
    overlap = large.event.start_s < small.event.end_s and small.event.start_s < large.event.end_s
    return overlap and large.opened_s <= small.closed_s and small.moved[large.plane] >= SAME_SHARE * small.size
