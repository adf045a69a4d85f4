"""Heading: how the two sensors' earth frames belong together, without a magnetometer, and how sure that is.

Gravity keeps the inclination of each sensor; about the vertical each only integrates its gyroscope, so the angle
between them drifts: upright it is the error of the axial rotation, bent over that of the lateral bend. The filter
(ext/pair_filter.h) learns both gyroscopes' biases from poses that are held and sees the heading itself in bends, where
both segments turn about one axis. Nothing in it says that a wearer is straight on average.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from imuposture._blocks import FloatArray, HeadingBlock, OrientationBlock, PairBlock
from imuposture._checks import fitting, flags_of, floats, number, refuse_nonsense, sound
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import heading as _ext

__all__ = ["Heading", "HeadingSettings", "HeadingState", "SmoothedHeading"]

STEP_S = 0.5
NO_ROWS = np.empty(0)
NO_STEPS = np.empty((0, _ext.PairFilter.step_members()))
INPUTS = (
    *("upper.quat", "lower.quat", "upper gyr", "lower gyr", "smooth"),
    *("upper acc", "lower acc", "upper.bias", "lower.bias"),
)
FURTHEST = 100.0  # rad; an angle beyond this is one in degrees
LEAST, MOST = 1e-9, 1e6  # of any setting; beyond, squares of it say nothing and their quotients are not numbers


class HeadingState(enum.IntEnum):
    """What of the filter's knowledge is freshest."""

    UNKNOWN = 0
    RESET = 1
    HELD = 2
    LEARNT = 3
    DRIFTING = 4


@dataclass(frozen=True)
class HeadingSettings:
    """Tuning of the relative heading; angles in degrees here, because people set them.

    Attributes
    ----------
    initial_sd_deg : float
        First guess that the wearer does not twist. Matters only until the neutral stance.
    bias_sd_dps, bias_unknown_dps, bias_walk_dps : float
        What the stance leaves unknown of a gyroscope's bias, and what of a sensor without a stance, deg/s; the bias's
        random walk, deg/s per root second. Small trusts what was learnt for longer.
    delta_walk_deg : float
        deg per root second: scale errors and inclination errors while moving.
    stance_sd_deg : float
        Sway over half a second of the neutral stance.
    hold_tilt_deg, hold_turn_deg, hold_twist_deg : float
        A pose is held while no sensor leaves its inclination, or turns beyond its bias, by more, nor the two against
        each other. Large gives more and worse holds.
    hold_tilt_sd_deg, hold_common_sd_deg, hold_relative_sd_deg : float
        What drifts of the inclination error, of the whole body's turn and of the spine's twist amount to over a hold.
    hold_lean : float
        Whoever sways away slowly turns slowly as well: share of the way both inclinations went during the hold that is
        added to the latter two. Small trusts holds of a restless wearer.
    hold_sway_sd_deg : float
        Sway of each sensor about the pose, which a straight line through the hold averages out.
    hold_shortest_s, hold_longest_s : float
    bend_rate_dps, bend_coherence : float
        Levelled rate of both segments that counts as a bend, and how alike the two must be (0..1).
    bend_sd_deg : float
        Off-plane share of an episode of a bend. Its episodes, down and up again, share most of it, and the filter takes
        them for independent: so more than the 6 degrees that single bends scatter. Small trusts the bends.
    bend_longest_s : float
        Longer bends count as several.
    hinge_rate_dps, hinge_still, hinge_coherence : float
        Levelled rate of one segment that counts as turning on the other, the share of it that the other may turn, and
        how alike the axes of one episode must be (0..1). A large share takes bends for hinges.
    hinge_sd_deg, hinge_walk_deg, hinge_unsure_deg : float
        How far single episodes are off the axis of their plane, that axis's random walk, deg per root second, and how
        unsure of each other heading and axis may be before it is learnt anew.
    motion_bias_sd_dps, rest_bias_sd_dps : float
        What half a second of the orientation filters' own biases counts, in motion and at rest, where no stance told
        the biases. Small follows their first guesses.
    coupling_sd_deg, coupling_walk_deg : float
        This person's own coupling angles in bends, and their random walk, deg per root second. The walk is the floor of
        the heading's standard deviation over hours.
    gait_acc : float
        m/s2; rms of the vertical acceleration of both sensors, and twice that of the level one, from which on steps
        push both.
    gait_coherence : float
        How alike the two level accelerations must be (0..1).
    gait_seconds, gait_sd_deg : float
        Length of a stretch of gait, and how far the directions in which it pushes both segments scatter.
    gait_coupling_sd_deg, gait_walk_deg : float
        This person's own angle between these directions, learnt from nothing, and its random walk, deg per root second.
    limit_deg, limit_sd_deg : float
        Axial rotation of the thoracolumbar spine hardly exceeds this.
    magnetic_sd_deg, magnetic_offset_sd_deg, magnetic_walk_deg : float
        Error of half a second of both magnetic headings, their offset by iron near the sensors, and its random walk,
        deg per root second, from place to place. Small trusts the magnetometers.
    gap_rate_dps, gap_most_deg : float
        What the wearer may twist while rows are missing.
    slew_s : float
        Corrections reach the rows with this time constant, without jumps.
    """

    initial_sd_deg: float = 15.0
    bias_sd_dps: float = 0.1
    bias_unknown_dps: float = 1.0
    bias_walk_dps: float = 0.0017
    delta_walk_deg: float = 0.02
    stance_sd_deg: float = 1.5
    hold_tilt_deg: float = 1.5
    hold_turn_deg: float = 2.0
    hold_twist_deg: float = 1.0
    hold_tilt_sd_deg: float = 0.3
    hold_common_sd_deg: float = 0.38
    hold_relative_sd_deg: float = 0.12
    hold_lean: float = 0.25
    hold_sway_sd_deg: float = 0.15
    hold_shortest_s: float = 3.0
    hold_longest_s: float = 30.0
    bend_rate_dps: float = 11.0
    bend_coherence: float = 0.92
    bend_sd_deg: float = 9.0
    bend_longest_s: float = 3.0
    coupling_sd_deg: float = 0.8
    coupling_walk_deg: float = 0.012
    gait_acc: float = 0.3
    gait_coherence: float = 0.3
    gait_seconds: float = 5.0
    gait_sd_deg: float = 5.0
    gait_coupling_sd_deg: float = 90.0
    gait_walk_deg: float = 0.05
    limit_deg: float = 50.0
    limit_sd_deg: float = 8.0
    magnetic_sd_deg: float = 20.0
    magnetic_offset_sd_deg: float = 10.0
    magnetic_walk_deg: float = 1.0
    gap_rate_dps: float = 15.0
    gap_most_deg: float = 25.0
    hinge_rate_dps: float = 10.0
    hinge_still: float = 0.2
    hinge_coherence: float = 0.92
    hinge_sd_deg: float = 9.0
    hinge_walk_deg: float = 0.012
    hinge_unsure_deg: float = 12.0
    motion_bias_sd_dps: float = 3.0
    rest_bias_sd_dps: float = 0.3
    slew_s: float = 1.0

    def __post_init__(self) -> None:
        for member in fields(self):
            value = getattr(self, member.name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not LEAST < value < MOST:
                raise ConfigError(f"{member.name} must be more than 0 and less than {MOST:g}, got {value!r}")


class Heading:
    """Relative heading of two sensors, causal.

    Parameters
    ----------
    rate_hz : float
        Rate of the rows.
    settings : HeadingSettings
    stances : sequence of (start, end)
        s of session time in which the wearer stood neutrally, from the calibration.
    bias : (6,) float64, rad/s, optional
        Mean rates of the upper and the lower gyroscope in the stance, segment axes; None where there was none: then
        what the orientation filters learn of their biases is used.
    facing_sd : float
        rad; what the facings of the two mountings may differ from each other, from the calibration.
    neutral_sd : float
        rad; how well the wearer returns to the neutral stance. Matters where there are several stances: their mean is
        zero, and each differs from it; a single one is zero by definition.

    Raises
    ------
    ConfigError
        If the rate is not positive, or another number makes no sense.
    SignalError
        If ``bias`` is not six rates.
    """

    def __init__(
        self,
        rate_hz: float,
        settings: HeadingSettings | None = None,
        stances: Sequence[tuple[float, float]] = (),
        *,
        bias: FloatArray | None = None,
        facing_sd: float = 0.1,
        neutral_sd: float = 0.0,
    ) -> None:
        rate, facing, neutral = number(rate_hz), number(facing_sd), number(neutral_sd)
        if not 0 < rate < MOST:
            raise ConfigError(f"rate must be more than 0 and less than {MOST:g} Hz, got {rate_hz!r}")
        if not (0 <= facing <= np.pi and 0 <= neutral <= np.pi):
            given = f"{facing_sd!r} and {neutral_sd!r}"
            raise ConfigError(f"facing_sd and neutral_sd must lie between 0 and pi rad, got {given}")
        self._stances = _spans(stances)
        settings = settings or HeadingSettings()
        self._step_rows = max(1, round(STEP_S * rate))
        if bias is None:
            settings = replace(settings, bias_sd_dps=max(settings.bias_sd_dps, settings.bias_unknown_dps))
        first = np.zeros(6) if bias is None else floats("bias", bias, (6,))
        refuse_nonsense({"bias": first[None, :]}, np.zeros(1, np.bool_))
        told = facing, neutral, float(len(self._stances)), float(bias is not None)
        self._filter = _ext.PairFilter(_members(settings, rate, told), first)

    def push(
        self,
        pair: PairBlock,
        smooth: FloatArray,
        upper: OrientationBlock,
        lower: OrientationBlock,
        *,
        magnetic: FloatArray | None = None,
        hidden: FloatArray | None = None,
    ) -> HeadingBlock:
        """Relate the next rows.

        Parameters
        ----------
        pair : PairBlock
            Rows in segment frames.
        smooth : (n, 6) float64, rad/s
            Their angular rates, low-passed: upper, then lower.
        upper, lower : OrientationBlock
            Their orientations by gravity and gyroscope alone, each in an earth frame of its own.
        magnetic : (n,) float64, rad, optional
            The heading by magnetometers, NaN where the field cannot be trusted.
        hidden : (n,) float64, rad^2, optional
            By how much rows that hide a turn make the heading less sure (`imuposture.doubt`).

        Returns
        -------
        HeadingBlock
            NaN and an infinite standard deviation where a sensor has no row.

        Raises
        ------
        SignalError
            If an array is of another shape or type, or a row that is no gap holds NaN or infinity. The filter has not
            moved then.
        """
        return self._push(pair, smooth, upper, lower, NO_STEPS, magnetic=magnetic, hidden=hidden)[0]

    def _push(
        self,
        pair: PairBlock,
        smooth: FloatArray,
        upper: OrientationBlock,
        lower: OrientationBlock,
        steps: FloatArray,
        *,
        magnetic: FloatArray | None,
        hidden: FloatArray | None,
    ) -> tuple[HeadingBlock, int]:
        """Run the filter; with room in ``steps``, tell how many it completed."""
        rows = len(floats("time_s", pair.time_s, (None,)))
        worn = (pair.upper.gyr, pair.lower.gyr, smooth, pair.upper.acc, pair.lower.acc)
        inputs = fitting(rows, b"443363333", INPUTS, (upper.quat, lower.quat, *worn, upper.bias, lower.bias))
        if not sound(inputs):
            refuse_nonsense(dict(zip(INPUTS, inputs, strict=True)), np.isnan(inputs[0][:, 0] + inputs[1][:, 0]))
        rests = flags_of("upper.rest", upper.rest, rows), flags_of("lower.rest", lower.rest, rows)
        north = np.full(rows, np.nan) if magnetic is None else floats("magnetic", magnetic, (rows,))
        if magnetic is not None and (np.abs(north) > FURTHEST).any():
            raise SignalError(f"magnetic must lie within {FURTHEST:g} rad, or be NaN where the field is not trusted")
        unsure = NO_ROWS if hidden is None else floats("hidden", hidden, (rows,))
        if hidden is not None and not (unsure >= 0).all():
            raise SignalError("hidden must be 0 rad^2 or more in every row")
        delta, sd, state = np.empty(rows), np.empty(rows), np.empty(rows, np.uint8)
        stance = np.zeros(rows, np.uint8)
        for start, end in self._stances:
            stance[(pair.time_s >= start) & (pair.time_s < end)] = 1
        count = self._filter.push(*inputs, *rests, north, stance, unsure, delta, sd, state, steps)
        return HeadingBlock(delta, sd, state), count

    def states(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the filter's states and their standard deviations.

        Heading, rad; bias of the upper and of the lower gyroscope, rad/s, segment axes; this person's coupling angle in
        forward and in side bends, rad; offset of the magnetic headings, rad; azimuths of two hinge axes, rad.
        """
        return self._filter.states()


class SmoothedHeading(Heading):
    """Relative heading of two sensors, acausal: every row knows what was measured later.

    For recordings, never live. `push` takes the rows of `Heading.push` and keeps what the smoother needs (about 3 kB a
    second); `finish` gives the heading of all rows. Method: fixed-interval smoother of Rauch, Tung and Striebel
    (1965) over the steps of the causal filter.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._blocks: list[HeadingBlock] = []
        self._steps: list[FloatArray] = []

    def push(
        self,
        pair: PairBlock,
        smooth: FloatArray,
        upper: OrientationBlock,
        lower: OrientationBlock,
        *,
        magnetic: FloatArray | None = None,
        hidden: FloatArray | None = None,
    ) -> HeadingBlock:
        """Take the next rows, as `Heading.push` does; return none."""
        steps = np.empty((len(pair) // self._step_rows + 2, NO_STEPS.shape[1]))
        block, count = self._push(pair, smooth, upper, lower, steps, magnetic=magnetic, hidden=hidden)
        self._blocks.append(block)
        self._steps.append(steps[:count])
        return HeadingBlock(np.empty(0), np.empty(0), np.empty(0, np.uint8))

    def finish(self) -> HeadingBlock:
        """Return the heading of all rows."""
        blocks = self._blocks or [HeadingBlock(np.empty(0), np.empty(0), np.empty(0, np.uint8))]
        delta = np.concatenate([block.delta for block in blocks])
        sd = np.concatenate([block.sd for block in blocks])
        steps = np.concatenate([*self._steps, NO_STEPS])
        results = np.empty((len(steps), 3))
        _ext.smoothed(steps, results)
        _ext.correct(steps, results, self._step_rows, delta, sd)
        return HeadingBlock(delta, sd, np.concatenate([block.state for block in blocks]))


def _spans(stances: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    try:
        spans = tuple((number(start), number(end)) for start, end in stances)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"stances must be pairs of times in s, got {stances!r}") from error
    if not np.isfinite(np.array(spans)).all():
        raise ConfigError(f"stances must be pairs of times in s, got {stances!r}")
    return spans


def _members(settings: HeadingSettings, rate_hz: float, told: tuple[float, ...]) -> FloatArray:
    """Return pair_settings: row period, rows a step, the settings in SI in their order, then what was told."""
    members = [1.0 / rate_hz, float(max(1, round(STEP_S * rate_hz)))]
    for member in fields(settings):
        if member.name == "bias_unknown_dps":  # takes the place of bias_sd_dps
            continue
        value = getattr(settings, member.name)
        members.append(float(np.deg2rad(value)) if member.name.endswith(("_deg", "_dps")) else value)
    return np.array([*members, *told])
