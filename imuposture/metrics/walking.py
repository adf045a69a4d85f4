"""Walking: steps in, how often, how regular and how even the gait is out.

Only strides inside steady walking count, so that turning round in a kitchen is no asymmetry of a gait.
"""

from collections.abc import Iterator
from functools import partial
from math import floor, hypot, isnan, sqrt

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Event, Figure, FloatArray, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_ANGLES, MetricContext
from imuposture.metrics._rows import Windows
from imuposture.metrics._statistics import Z95, Uncertain
from imuposture.metrics.segmentation import Observed, gait_cycle
from imuposture.metrics.segmentation.gait import GAIT_DELAY_S, Step, Stretch, Stride
from imuposture.metrics.segmentation.gait_walks import STRETCH

__all__ = ["Walking"]

AXES = ("vertical", "forward", "sideways")
TOGETHER = 40  # strides averaged at a time. Small: noise counts as unevenness; large: a change of speed blurs the mean
FEWEST_RANKED = 6  # values whose smallest and largest hold the median in 95 % and more
FEWEST = 3  # strides that tell their mean from their scatter
BIN_S = 0.001  # s, width of the bins of step times
SAME_S = 0.001  # s within which two instants are the same contact
NO_LOWER = "no acceleration of the lower sensor"
NO_WALK = "no steady walking of four strides and more"
RANGE_FIGURES: tuple[tuple[str, Plane], ...] = (
    ("gait_range", "flexion"),
    ("gait_range", "lateral_bend"),
    ("gait_range", "axial_rotation"),
    ("gait_pelvis_range", "flexion"),
    ("gait_pelvis_range", "lateral_bend"),
)


class Walking:
    """Steps with their side, walks, and the figures of a gait; the lower sensor alone is enough for most of them."""

    needs = frozenset({"steps"})

    def __init__(self, context: MetricContext) -> None:
        self._window_s = context.window_s
        self._windows = Windows(context.window_s)
        self._counts: dict[int, list[float]] = {}  # steps, strides and seconds by window
        self._next = 0
        self._last_s: float | None = None
        self._measured = False
        self._walks = self._steps = 0
        self._walked_s = 0.0
        self._walk: _Walk | None = None
        self._whole = _Gait()

    def push(self, seen: Observed) -> MetricBlock:
        """Take steps; give them, and the walks and windows that ended."""
        for _ in self._windows.split(seen.posture.time_s[:1]):
            pass
        if len(seen.posture):
            self._last_s = float(seen.posture.time_s[-1])
            lower = seen.segments.lower.acc if seen.segments is not None else np.empty((0, 3))
            self._measured = self._measured or bool(np.isfinite(lower[:, 0]).any())
        return MetricBlock(tuple(self._taken(seen.steps)), tuple(self._complete(GAIT_DELAY_S)))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give what is open, and the figures of the session."""
        events = [*self._taken(seen.steps), *self._ended()]
        return MetricBlock(tuple(events), tuple(self._complete(None)), tuple(self._summary()))

    def _taken(self, steps: tuple[Step, ...]) -> Iterator[Event]:
        for step in steps:
            if self._walk is None or step.walk != self._walk.number:
                yield from self._ended()
                self._walk = _Walk(step)
            count = self._counts.setdefault(self._window_of(step.time_s), [0.0, 0.0, 0.0])
            count[0] += 1.0
            count[2] += step.time_s - self._walk.end_s
            if step.stride is not None and step.stride.steady:
                count[1] += 1.0
            self._walk.take(step)
            self._steps += 1
            yield Event("step", step.time_s, step.time_s, side=step.side)

    def _ended(self) -> Iterator[Event]:
        walk, self._walk = self._walk, None
        if walk is None:
            return
        if walk.steps >= STRETCH:
            walk.gait.close()
            self._whole.merge(walk.gait)
        self._walks += 1
        self._walked_s += walk.end_s - walk.start_s
        yield Event("walk", walk.start_s, walk.end_s, details=walk.details())

    def _window_of(self, time_s: float) -> int:
        return max(int((time_s - self._windows.start(0) + 5e-7) // self._window_s), self._next)

    def _complete(self, delay_s: float | None) -> Iterator[Figure]:
        """Yield the counts of windows whose steps are all known; of all windows when ``delay_s`` is None."""
        while self._last_s is not None:
            start, end = self._windows.start(self._next), self._windows.start(self._next + 1)
            if (start > self._last_s) if delay_s is None else (end + delay_s > self._last_s):
                return
            steps, _, seconds = self._counts.pop(self._next, [0.0, 0.0, 0.0])
            if self._measured:
                new = partial(Figure, start_s=start, end_s=end, n=int(steps))
                yield new("steps", steps, "1", "walking.steps/1")
                yield new("minutes_walking", seconds / 60.0, "min", "walking.minutes/1")
            self._next += 1

    def _summary(self) -> Iterator[Figure]:
        reason = None if self._measured else NO_LOWER
        counts = (("steps", self._steps, "walking.steps/1"), ("walks", self._walks, "walking.walks/1"))
        for name, count, definition in counts:
            yield Figure(name, float(count) if self._measured else None, "1", definition, n=count, reason=reason)
        minutes = self._walked_s / 60.0 if self._measured else None
        yield Figure("minutes_walking", minutes, "min", "walking.minutes/1", n=self._walks, reason=reason)
        yield from self._whole.figures(reason or NO_WALK)


class _Walk:
    """A walk that is open."""

    def __init__(self, first: Step) -> None:
        self.number = first.walk
        self.start_s = self.end_s = first.time_s
        self.gait = _Gait()
        self.steps = 0

    def take(self, step: Step) -> None:
        if step.stride is not None and step.stride.steady:
            self.gait.add_stride(step.stride, step.side, step.time_s - self.end_s)
        if step.stretch is not None:
            self.gait.add_stretch(step.stretch)
        self.steps += 1
        self.end_s = step.time_s

    def details(self) -> dict[str, float]:
        """Return the columns of its event."""
        gait, steps = self.gait, float(self.steps)
        if self.steps < STRETCH:
            return {"steps": steps}
        values = {
            "steps": steps,
            "cadence_spm": gait.cadence()[0],
            "step_regularity": gait.step_regularity[0].value,
            "stride_regularity": gait.stride_regularity[0].value,
            "harmonic_ratio": gait.ratios[0].value,
            "gait_asymmetry": gait.asymmetry(),
            "step_time_difference_s": gait.step_difference.value,
        }
        return {name: value for name, value in values.items() if value is not None}


class _Mean:
    """Weighted mean with its standard error, in constant memory."""

    def __init__(self) -> None:
        self.n = 0
        self._weight = self._sum = self._squares = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        self.n += 1
        self._weight += weight
        self._sum += weight * value
        self._squares += weight * value * value

    def merge(self, other: "_Mean") -> None:
        self.n += other.n
        self._weight += other._weight
        self._sum += other._sum
        self._squares += other._squares

    @property
    def value(self) -> float | None:
        return self._sum / self._weight if self._weight > 0.0 else None

    def interval(self) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % interval of the mean; none of fewer than two."""
        if self.n < 2 or self.value is None:
            return None, None
        spread = max(self._squares / self._weight - self.value * self.value, 0.0)
        return Uncertain(self.value, sqrt(spread / (self.n - 1)), self.n - 1).interval()


class _Times:
    """Step times of one foot, in bins."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._n = 0

    def add(self, seconds: float) -> None:
        k = int(seconds / BIN_S)
        self._bins[k] = self._bins.get(k, 0) + 1
        self._n += 1

    def merge(self, other: "_Times") -> None:
        for k, n in other._bins.items():
            self._bins[k] = self._bins.get(k, 0) + n
        self._n += other._n

    def median(self) -> float:
        bins = sorted(self._bins.items())
        return 0.5 * (_ranked((self._n - 1) // 2, bins) + _ranked(self._n // 2, bins))

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the median (order statistics); none of few."""
        if self._n < FEWEST_RANKED:
            return None
        bins = sorted(self._bins.items())
        rank = floor((self._n - Z95 * sqrt(self._n)) / 2.0)
        return _ranked(rank, bins), _ranked(self._n - 1 - rank, bins)


def _ranked(rank: int, bins: list[tuple[int, int]]) -> float:
    """Return a time by its rank: those of a bin are taken as spread evenly over it."""
    for k, inside in bins:
        if rank < inside:
            return (k + (rank + 0.5) / inside) * BIN_S
        rank -= inside
    raise IndexError(rank)


class _Powers:
    """Strides that begin with one foot, averaged: the power of what they have in common, by harmonic."""

    def __init__(self) -> None:
        self.n = 0
        self._sum = np.zeros((3, gait_cycle.HARMONICS), np.complex128)
        self._squares = np.zeros((3, gait_cycle.HARMONICS))

    def add(self, spectrum: NDArray[np.complex128], power: FloatArray) -> None:
        k = spectrum.shape[1]
        self.n += 1
        self._sum[:, :k] += spectrum
        self._squares[:, :k] += power

    def mirrored(self) -> tuple[float, float]:
        """Return the power that is mirrored half a stride later and that is not, times strides; scatter is taken off.

        The mean of n strides still holds 1/n of their scatter, which would count as unevenness in short walks.
        """
        mean = self._sum / self.n
        power = mean.real**2 + mean.imag**2
        scatter = (self._squares / self.n - power) / (self.n - 1)
        own, other = gait_cycle.mirrored(power - scatter)
        return self.n * own, self.n * max(other, 0.0)


class _Gait:
    """What the strides of a walk, or of all walks, come to."""

    def __init__(self) -> None:
        self._times: dict[Side, _Times] = {"right": _Times(), "left": _Times()}
        self._strides = 0
        self._counted_s = -np.inf  # contact that ends the last step whose time was counted
        self.step_regularity = [_Mean() for _ in AXES]
        self.stride_regularity = [_Mean() for _ in AXES]
        self.ratios = [_Mean() for _ in AXES]
        self.improved = [_Mean() for _ in AXES]
        self.ranges = [_Mean() for _ in RANGE_FIGURES]
        self.step_difference = _Mean()
        self._open: dict[Side, _Powers] = {"right": _Powers(), "left": _Powers()}
        self._powers = (0.0, 0.0)
        self._averaged = 0

    def add_stride(self, stride: Stride, side: Side, last_step_s: float) -> None:
        """Take a steady stride that began and ended with ``side``, the step to its end being ``last_step_s`` long."""
        seconds = stride.end_s - stride.start_s
        self._count(stride, side, last_step_s, seconds - last_step_s)
        if stride.spectrum is None:  # every second stride: the others hold the same steps once more
            return
        difference = last_step_s - (seconds - last_step_s)
        self.step_difference.add(difference if side == "right" else -difference)
        for mean, value in zip(self.ranges, stride.ranges, strict=True):
            if not isnan(value):
                mean.add(value)
        power = stride.spectrum.real**2 + stride.spectrum.imag**2
        for axis, (amplitudes, powers) in enumerate(zip(np.sqrt(power).tolist(), power.tolist(), strict=True)):
            sideways = axis == 2
            ratio = gait_cycle.harmonic_ratio(amplitudes, sideways=sideways)
            improved = gait_cycle.improved_harmonic_ratio(powers, sideways=sideways)
            if ratio is not None and improved is not None:
                self.ratios[axis].add(ratio)
                self.improved[axis].add(improved)
        self._open[side].add(stride.spectrum, power)
        if self._open[side].n >= TOGETHER:
            self._average(side)

    def _count(self, stride: Stride, side: Side, last_step_s: float, first_step_s: float) -> None:
        """Count the steps of a stride, each once: a step belongs to two strides."""
        self._strides += 1
        if stride.end_s - last_step_s > self._counted_s + SAME_S:
            self._times["left" if side == "right" else "right"].add(first_step_s)
        self._times[side].add(last_step_s)
        self._counted_s = stride.end_s

    def add_stretch(self, stretch: Stretch) -> None:
        """Take the regularity of some strides in a row."""
        for axis in range(3):
            self.step_regularity[axis].add(stretch.step[axis], stretch.strides)
            self.stride_regularity[axis].add(stretch.stride[axis], stretch.strides)

    def close(self) -> None:
        """Average what is open."""
        for side in self._open:
            self._average(side)

    def _average(self, side: Side) -> None:
        powers, self._open[side] = self._open[side], _Powers()
        if powers.n >= FEWEST:
            own, other = powers.mirrored()
            self._powers = (self._powers[0] + own, self._powers[1] + other)
            self._averaged += powers.n

    def merge(self, walk: "_Gait") -> None:
        """Add a walk that was closed."""
        for side, times in self._times.items():
            times.merge(walk._times[side])
        self._strides += walk._strides
        for mine, theirs in zip(self._means(), walk._means(), strict=True):
            mine.merge(theirs)
        self._powers = (self._powers[0] + walk._powers[0], self._powers[1] + walk._powers[1])
        self._averaged += walk._averaged

    def _means(self) -> list[_Mean]:
        regular = [*self.step_regularity, *self.stride_regularity]
        return [*regular, *self.ratios, *self.improved, *self.ranges, self.step_difference]

    def asymmetry(self) -> float | None:
        """Return the share of power that is not mirrored half a stride later, percent."""
        own, other = self._powers
        return 100.0 * other / (own + other) if own > 0.0 else None

    def cadence(self) -> tuple[float | None, float | None, float | None, int]:
        """Return steps a minute from the median step of either foot, its 95 % interval, and the strides."""
        if not self._strides:
            return None, None, None, 0
        right, left = self._times["right"], self._times["left"]
        seconds = right.median() + left.median()
        in_right, in_left = right.interval(), left.interval()
        if in_right is None or in_left is None:
            return 120.0 / seconds, None, None, self._strides
        below, above = (hypot(a - right.median(), b - left.median()) for a, b in zip(in_right, in_left, strict=True))
        return 120.0 / seconds, 120.0 / (seconds + above), 120.0 / (seconds - below), self._strides

    def figures(self, reason: str) -> Iterator[Figure]:
        """Yield the figures; ``reason`` is why there are none."""
        cadence, low, high, strides = self.cadence()
        why = reason if cadence is None else None
        yield Figure("cadence", cadence, "1/min", "walking.cadence/2", low=low, high=high, n=strides, reason=why)
        regularities = (("step_regularity", self.step_regularity), ("stride_regularity", self.stride_regularity))
        for name, means in regularities:
            for axis, mean in zip(AXES, means, strict=True):
                yield _figure(f"{name}_{axis}", mean, "1", f"walking.{name}/1", reason)
        for name, means, unit in (
            ("harmonic_ratio", self.ratios, "1"),
            ("improved_harmonic_ratio", self.improved, "%"),
        ):
            for axis, mean in zip(AXES, means, strict=True):
                yield _figure(f"{name}_{axis}", mean, unit, f"walking.{name}/1", reason)
        value = self.asymmetry()
        why = reason if value is None else None
        yield Figure("gait_asymmetry", value, "%", "walking.asymmetry/1", n=self._averaged, reason=why)
        yield _figure("step_time_difference", self.step_difference, "s", "walking.step_time_difference/1", reason)
        without = NO_ANGLES if strides else reason
        for (name, plane), mean in zip(RANGE_FIGURES, self.ranges, strict=True):
            figure = _figure(name, mean, "deg", "walking.range/1", without)
            yield figure._replace(plane=plane)


def _figure(name: str, mean: _Mean, unit: str, definition: str, reason: str) -> Figure:
    low, high = mean.interval()
    why = reason if mean.value is None else None
    return Figure(name, mean.value, unit, definition, low=low, high=high, n=mean.n, reason=why)
