"""Asymmetry: rows and finished movements in, what differs between left and right out, and what can be said about it.

Two families of figures. Those measured from the neutral stance (means, doses, extremes) take over every lean of that
stance; they are "own_neutral" by definition id and never called even. Those counted from each repetition's own start
(sizes, counts) are free of it; coupled motion is not, because a lean in the stance tilts the axis of the bends.
Nowhere is anything assumed to average to zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np

from imuposture._blocks import Figure, FloatArray, MetricBlock, Plane, PostureBlock, Verdict
from imuposture.metrics._context import NO_ROWS, SIDED_PLANES, MetricContext
from imuposture.metrics._sides import Half, Halves, missing_side, skin_difference, skin_sum
from imuposture.metrics._statistics import (
    Comparison,
    Uncertain,
    difference,
    judge,
    symmetry_angle,
    t_quantile,
    t_tail,
)
from imuposture.metrics._tally import Span, Tally, WindowTallies
from imuposture.metrics.range_of_motion import angle_sd, range_difference
from imuposture.metrics.repetitions import count_bias
from imuposture.metrics.segmentation import Observed

__all__ = ["Asymmetry"]

FEWEST_MINUTES = 0.5  # min of usable rows below which a mean posture says nothing
FEWEST_A_SIDE = 3  # repetitions to each side below which sizes say nothing (ranges: mean of all valid, at least 3)
FEWEST_COUNTED = 10  # repetitions in a plane below which their sides say nothing
CLAIMS = 10  # verdicts a report
# "Forward" is wrong for both sensors, and the bends of a calibration take a habit of this person for forward. Small:
# leaves that habit out; large: overlooks twists that came later (benchmarks/metrics_movements.py).
FACINGS = 1.8
EVEN_BIAS = 0.2  # a count bias within plus and minus this (40 to 60 % to one side) is even
NO_SD = "the standard deviation of the angle is not known"
FLOOR_SEM = 2.0  # percent indices need both sides above this many standard errors (docs/metrics.md, asymmetry.index)

COLUMNS = {"lateral_bend": "lateral_bend_deg", "axial_rotation": "axial_rotation_deg"}


@dataclass(frozen=True, slots=True)
class _Claim:
    """A figure that waits for its verdict."""

    figure: Figure
    comparison: Comparison
    reason: str | None = None  # why nothing can be told
    least: float | None = None  # the least that this recording would show, in the unit of the figure
    margin: float | None = None  # even within plus and minus this


class Asymmetry:
    """Left/right figures with intervals, and verdicts that are corrected over the report."""

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._halves = Halves()
        self._tallies = WindowTallies(context, _tallies(context))

    def push(self, seen: Observed) -> MetricBlock:
        """Take rows and finished movements; give the windows that ended."""
        posture = seen.posture
        self._halves.take(seen.movements)
        skin = self._skin(posture)
        columns = {
            "lateral_bend": (posture.lateral_bend_deg, _without(posture.lateral_bend_sd_deg, skin), seen.usable),
            "axial_rotation": (posture.axial_rotation_deg, _without(posture.axial_rotation_sd_deg, skin), seen.facing),
        }
        ended = self._tallies.push(posture.time_s, columns)
        return MetricBlock(windows=tuple(figure for window in ended for figure in self._window(window)))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the last window, and the figures of the session with their verdicts."""
        self._halves.take(seen.movements)
        windows = tuple(figure for window in self._tallies.finish() for figure in self._window(window))
        claims = list(self._claims())
        verdicts = judge([claim.comparison for claim in claims], self._context.report_error)
        judged = [
            claim.figure._replace(verdict=verdict, reason=_reason(claim, verdict))
            for claim, verdict in zip(claims, verdicts, strict=True)
        ]
        others = (*map(_detectable, claims), *self._sums(), *self._posture_figures(), *self._indices())
        return MetricBlock(windows=windows, summary=(*judged, *others))

    def _skin(self, posture: PostureBlock) -> FloatArray:
        """Return what skin does to the angles of each row, squared."""
        flexion, bend, rotation = posture.flexion_deg, posture.lateral_bend_deg, posture.axial_rotation_deg
        share = self._context.skin_sd(1.0)
        return share * share * (flexion * flexion + bend * bend + rotation * rotation)

    def _window(self, window: Span) -> Iterator[Figure]:
        for plane in SIDED_PLANES:
            if window.tallies[plane].n:
                yield self._mean(window, plane)
                yield from self._times(window, plane)

    def _claim(self, figure: Figure, found: Uncertain | None, margin: float | None, why: str | None) -> _Claim:
        """Return what waits for a verdict, or ``why`` nothing can be told; without ``margin`` it is never even."""
        if found is None or why is not None:
            return _Claim(figure, Comparison(1.0, 1.0, may_be_even=False, tellable=False), why)
        beyond = 1.0 if margin is None else found.beyond(margin)
        comparison = Comparison(found.differs(), beyond, may_be_even=margin is not None, tellable=True)
        return _Claim(figure, comparison, least=found.detectable(self._strictest()), margin=margin)

    def _strictest(self) -> float:
        """Return the level at which the first of all verdicts of a report is given (Holm 1979)."""
        return 1.0 - 0.5 * self._context.report_error / CLAIMS

    def _sums(self) -> Iterator[Figure]:
        for plane in SIDED_PLANES:
            right, left = self._sides(plane)
            name, definition, n = "size_sum", "asymmetry.size_sum/1", len(right) + len(left)
            if not (len(right) and len(left)):
                yield Figure(name, None, "deg", definition, plane, n=n, reason=missing_side(right, left))
                continue
            found = self._both(right, left, sign=1.0)
            yield _with_interval(Figure(name, found.value, "deg", definition, plane, n=n), found)

    def _claims(self) -> Iterator[_Claim]:
        for plane in SIDED_PLANES:
            yield self._mean_claim(plane)
            yield self._range_claim(plane)
            yield self._size_claim(plane)
            yield self._count_claim(plane)
            yield self._coupling_claim(plane)

    def _mean_claim(self, plane: Plane) -> _Claim:
        tally = self._tallies.whole.tallies[plane]
        found = self._uncertain_mean(plane, tally)
        why = NO_ROWS if not tally.n else self._uncalibrated()
        if why is None and tally.minutes < FEWEST_MINUTES:
            why = f"less than {FEWEST_MINUTES:g} minutes of usable rows"
        if why is None and found is None:
            why = NO_SD
        return self._claim(self._mean(self._tallies.whole, plane), found, None, why)

    def _uncertain_mean(self, plane: Plane, tally: Tally) -> Uncertain | None:
        """Return the mean angle; its error is one draw of neutral stance, mounting and heading, however many rows.

        What skin adds on the way to one side it takes on the way to the other: left is what it does to the mean.
        """
        if not tally.n or tally.mean_sd is None:
            return None
        neutral, shared, skin = self._context.neutral_sd(plane), tally.mean_sd, self._context.skin_sd(tally.mean)
        error = sqrt(neutral * neutral + shared * shared + skin * skin)
        return Uncertain(tally.mean, error, self._context.shared_df(plane))

    def _mean(self, span: Span, plane: Plane) -> Figure:
        tally = span.tallies[plane]
        value, found = tally.mean if tally.n else None, self._uncertain_mean(plane, tally)
        low, high = found.interval() if found else (None, None)
        definition, why = "asymmetry.mean/1@own_neutral", None if tally.n else NO_ROWS
        return span.figure()("mean_angle", value, "deg", definition, plane, low=low, high=high, n=tally.n, reason=why)

    def _range_claim(self, plane: Plane) -> _Claim:
        right, left = self._sides(plane)
        found = range_difference(right, left, self._context, plane) if len(right) and len(left) else None
        definition = f"asymmetry.range/1@own_neutral,{self._context.placement}"
        return self._sided("asymmetry_of_range", definition, plane, found, None)

    def _size_claim(self, plane: Plane) -> _Claim:
        found = self._size_difference(plane)
        margin = self._context.even_within_deg
        definition = f"asymmetry.size/1@even_within_{margin:g}deg"
        return self._sided("asymmetry_of_size", definition, plane, found, margin)

    def _size_difference(self, plane: Plane) -> Uncertain | None:
        right, left = self._sides(plane)
        return self._both(right, left, sign=-1.0) if len(right) and len(left) else None

    def _both(self, right: Half, left: Half, sign: float) -> Uncertain:
        """Return right - left (``sign`` +1: right + left) of the mean sizes, each from its own start.

        What stays shared: skin and clothing, and forward bends that a wrong facing turns sideways, one side's size
        taking what the other's gives.
        """
        sizes = right.amplitude.mean, left.amplitude.mean
        skin = skin_difference(*sizes, self._context) if sign < 0.0 else skin_sum(*sizes, self._context)
        leaked = (right.coupled_flexion.mean - sign * left.coupled_flexion.mean) * self._facing_rad()
        return difference(right.amplitude, left.amplitude, sqrt(skin * skin + leaked * leaked), sign)

    def _facing_rad(self) -> float:
        return self._context.facing_sd_deg * pi / 180.0

    def _sided(self, name: str, definition: str, plane: Plane, found: Uncertain | None, margin: float | None) -> _Claim:
        right, left = self._sides(plane)
        value = found.value if found else None
        figure = Figure(name, value, "deg", definition, plane, n=len(right) + len(left))
        why = missing_side(right, left) if found is None else self._uncalibrated()
        if why is None and min(len(right), len(left)) < FEWEST_A_SIDE:
            why = f"fewer than {FEWEST_A_SIDE} repetitions to a side"
        if why is None and not (right.known and left.known):
            why = NO_SD
        return self._claim(_with_interval(figure, found), found, margin, why)

    def _uncalibrated(self) -> str | None:
        return None if self._context.calibrated else "no calibration"

    def _count_claim(self, plane: Plane) -> _Claim:
        right, left = (len(half) for half in self._sides(plane))
        figure = count_bias(right, left, plane)._replace(
            metric="asymmetry_of_count",
            definition=f"asymmetry.count/1@even_within_{EVEN_BIAS:g}",
        )
        n = right + left
        why = self._uncalibrated()
        if n < FEWEST_COUNTED:
            why = why or f"fewer than {FEWEST_COUNTED} repetitions"
        if why:
            return self._claim(figure, None, EVEN_BIAS, why)
        bias = (right - left) / n
        inside = EVEN_BIAS - abs(bias)
        beyond = 0.5 * _normal_tail(inside * sqrt(n / (1.0 - EVEN_BIAS * EVEN_BIAS))) if inside > 0.0 else 1.0
        comparison = Comparison(_normal_tail(bias * sqrt(n)), beyond, may_be_even=True, tellable=True)
        least = t_quantile(float("inf"), self._strictest()) / sqrt(n)
        return _Claim(figure, comparison, least=min(least, 1.0), margin=EVEN_BIAS)

    def _coupling_claim(self, plane: Plane) -> _Claim:
        sample, found = self._halves.coupled[plane], None
        definition = "asymmetry.coupling/1@own_neutral"  # a lean in the stance tilts the axis that bends are about
        if len(sample):
            bend = self._halves.bend_size.mean
            soft, leaked = self._context.skin_sd(bend), FACINGS * bend * self._facing_rad()
            found = sample.with_shared(sqrt(soft * soft + leaked * leaked))
        value = found.value if found else None
        figure = Figure("coupled_in_flexion", value, "deg", definition, plane, n=len(sample))
        why = self._uncalibrated()
        if len(sample) < FEWEST_A_SIDE:
            why = why or f"fewer than {FEWEST_A_SIDE} forward or backward bends"
        return self._claim(_with_interval(figure, found), found, None, why)

    def _posture_figures(self) -> Iterator[Figure]:
        for plane in SIDED_PLANES:
            tally = self._tallies.whole.tallies[plane]
            yield Figure("minutes_usable", tally.minutes, "min", "asymmetry.minutes_usable/1", plane, n=tally.n)
            if tally.n:
                middle = tally.quantiles([0.5])[0]
                found = self._uncertain_mean(plane, tally)
                figure = Figure("median_angle", middle, "deg", "asymmetry.median/1@own_neutral", plane, n=tally.n)
                yield _with_interval(figure, replace(found, value=middle) if found else None)
            yield from self._times(self._tallies.whole, plane)

    def _times(self, span: Span, plane: Plane) -> Iterator[Figure]:
        band = f"@own_neutral,beyond_{self._context.dead_band_deg:g}deg"
        new, tally = span.figure(), span.tallies[plane]
        known, why = tally.n > 0, None if tally.n else NO_ROWS
        for side, minutes, dose in (
            ("right", tally.minutes_right, tally.dose_right),
            ("left", tally.minutes_left, tally.dose_left),
        ):
            value = minutes if known else None
            yield new("time_to_side", value, "min", f"asymmetry.time/1{band}", plane, side, n=tally.n, reason=why)
            value = dose if known else None
            yield new("dose_to_side", value, "deg min", f"asymmetry.dose/1{band}", plane, side, n=tally.n, reason=why)

    def _indices(self) -> Iterator[Figure]:
        for plane in SIDED_PLANES:
            halves = self._sides(plane)
            means = [half.amplitude.mean for half in halves]
            errors = [half.amplitude.with_shared(self._context.skin_sd(half.amplitude.mean)).error for half in halves]
            yield from _percentages(plane, "size", means, errors, halves)
            means = [half.extreme.mean for half in halves]
            neutral = self._context.neutral_sd(plane)
            errors = [
                half.extreme.with_shared(sqrt(neutral * neutral + angle_sd(half, self._context) ** 2)).error
                for half in halves
            ]
            yield from _percentages(plane, "range", means, errors, halves)

    def _sides(self, plane: Plane) -> tuple[Half, Half]:
        return self._halves[plane, "right"], self._halves[plane, "left"]


def _without(sd: FloatArray, skin: FloatArray) -> FloatArray:
    """Return standard deviations without what skin, squared, has in them."""
    rest: FloatArray = np.sqrt(np.maximum(sd * sd - skin, 0.0))
    return rest


def _tallies(context: MetricContext) -> dict[str, Tally]:
    return {plane: Tally(context.rate_hz, dead_band=context.dead_band_deg) for plane in SIDED_PLANES}


def _reason(claim: _Claim, verdict: Verdict) -> str | None:
    """Say why the verdict is what it is."""
    figure, unit = claim.figure, "" if claim.figure.unit == "1" else f" {claim.figure.unit}"
    if verdict == "cannot_tell" or figure.value is None:
        return claim.reason
    if verdict == "even":
        return f"a difference of {claim.margin:g}{unit} or more can be ruled out"
    size, shown = f"{abs(figure.value):.2g}{unit}", f"{claim.least:.2g}{unit}" if claim.least is not None else "unknown"
    if verdict == "asymmetric":
        return f"{size}: no difference can be ruled out"
    return f"{size}, while this recording would show {shown}"


def _detectable(claim: _Claim) -> Figure:
    """Return what difference the recording could have shown."""
    figure, name = claim.figure, claim.figure.metric.removeprefix("asymmetry_of_")
    suffix = "@own_neutral" if "own_neutral" in figure.definition else ""
    why = claim.reason or (None if claim.least is not None else "the spread of the repetitions is not known")
    definition = f"asymmetry.detectable/1{suffix}"
    return Figure(f"detectable_{name}", claim.least, figure.unit, definition, figure.plane, n=figure.n, reason=why)


def _normal_tail(z: float) -> float:
    return t_tail(z, float("inf")) if z else 1.0


def _with_interval(figure: Figure, found: Uncertain | None) -> Figure:
    if found is None:
        return figure
    low, high = found.interval()
    return figure._replace(low=low, high=high)


def _percentages(
    plane: Plane, of: str, means: list[float], errors: list[float], halves: tuple[Half, Half]
) -> Iterator[Figure]:
    """Yield the percent indices; null where a side is missing or not above its floor, since they explode there."""
    n = len(halves[0]) + len(halves[1])
    right, left = means
    why = None if all(len(half) for half in halves) else missing_side(*halves)
    if why is None and not all(
        mean > FLOOR_SEM * error and mean > 0.0 for mean, error in zip(means, errors, strict=True)
    ):
        why = f"a side is not above its floor of {FLOOR_SEM:g} standard errors, where percentages explode"
    told = why is None
    values = {
        "symmetry_index": 200.0 * (right - left) / (right + left) if told else None,
        "symmetry_angle": symmetry_angle(right, left) if told else None,
        "right_of_left": 100.0 * right / left if told else None,
    }
    suffix = "@own_neutral" if of == "range" else ""
    for name, value in values.items():
        yield Figure(f"{name}_of_{of}", value, "%", f"asymmetry.{name}/1{suffix}", plane, n=n, reason=why)
