"""Time stamps of the first minutes -> the nominal rate; ticks -> seconds since the first one."""

import math

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["Elapsed", "nominal_rate", "tick_steps"]

SNAP = 5e-4  # a rate this close (relative) to a whole number of hertz is that number; crystals are within 1e-4
_LONG = 1.5  # steps beyond this multiple of the median hold lost samples
_JITTER = 0.1  # steps that differ from the median by more than this share of it tremble
_SPAN = 16  # steps
_RESET_S = 60.0  # a counter step beyond this is a restart of the counter, not time


def tick_steps(ticks: FloatArray, wrap_ticks: float | None) -> FloatArray:
    """Difference the ticks, modulo the clock's wrap; a step back of a wrapping clock becomes a long one forward."""
    steps: FloatArray = np.diff(ticks)
    return steps if wrap_ticks is None else np.mod(steps, wrap_ticks)


def nominal_rate(steps_s: FloatArray) -> tuple[float, bool]:
    """Find the rate from the steps between samples.

    The median finds the ordinary step, the mean of the ordinary steps its exact length: stamps rounded to
    milliseconds still give 60 Hz, and lost samples do not slow the rate down.

    Parameters
    ----------
    steps_s : (n,) float64, s

    Returns
    -------
    rate : float
        Hz; the whole number if within 0.05 %, 0 if no step is positive.
    even : bool
        False if more than a quarter of the steps are long: stamps of arrival, in bursts. The rate then counts the
        samples over the whole span.
    """
    positive = steps_s[steps_s > 0]
    if not len(positive):
        return 0.0, False
    typical = float(np.median(positive))
    ordinary = positive[positive < _LONG * typical]
    even = len(ordinary) >= 0.75 * len(positive)
    if even and np.percentile(np.abs(ordinary - typical), 75) > _JITTER * typical:
        # Stamps that tremble: long and short steps of the tremble cancel in the span of several.
        spans = np.cumsum(positive)[_SPAN:] - np.cumsum(positive)[:-_SPAN]
        middle = float(np.median(spans)) if len(spans) else typical
        ordinary = spans[np.abs(spans - middle) < 0.1 * middle] / _SPAN if len(spans) else ordinary
    chosen = ordinary if even else positive
    # fsum is exact, so the rate has the same bits on every machine.
    rate = len(chosen) / math.fsum(chosen.tolist())
    whole = round(rate)
    return (float(whole) if abs(rate - whole) <= SNAP * rate else rate), even


class Elapsed:
    """Seconds since a stream's first tick, over wraps and restarts of its counter."""

    def __init__(self, tick_s: float, wrap_ticks: float | None) -> None:
        self.seconds = 0.0
        self._tick_s, self._wrap_ticks, self._last = tick_s, wrap_ticks, math.nan

    def push(self, ticks: FloatArray) -> float:
        """Take the next ticks and return the time of the last one."""
        if len(ticks):
            first = ticks[:1] if math.isnan(self._last) else [self._last]
            steps = tick_steps(np.concatenate((first, ticks)), self._wrap_ticks) * self._tick_s
            self.seconds += float(np.sum(steps[steps < _RESET_S] if self._wrap_ticks else steps))
            self._last = float(ticks[-1])
        return self.seconds
