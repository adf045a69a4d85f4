"""Repetitions: finished movements in, events and counts a plane and side out."""

from collections.abc import Iterator
from math import sqrt

from imuposture._blocks import PLANES, Event, Figure, MetricBlock, Plane, Side
from imuposture.metrics._context import NO_ANGLES, SIDED_PLANES, MetricContext
from imuposture.metrics._rows import Windows
from imuposture.metrics._sides import SIDES, analysed
from imuposture.metrics._statistics import Z95, Sample, median, median_interval, wilson_bias
from imuposture.metrics.segmentation import Observed
from imuposture.metrics.segmentation.movements import LONGEST_DELAY_S

__all__ = ["Repetitions"]


class Repetitions:
    """Every repetition as an event; how many to which side, and how large.

    A window counts the repetitions that start in it. It is complete `LONGEST_DELAY_S` after its end, when no movement
    that started in it can still be open.
    """

    needs = frozenset({"movements"})

    def __init__(self, context: MetricContext) -> None:
        self._context = context
        self._windows = Windows(context.window_s)
        self._sizes: dict[tuple[Plane, Side], Sample] = {
            (plane, side): Sample() for plane in PLANES for side in SIDES[plane]
        }
        self._aborted = 0
        self._counts: dict[int, dict[tuple[Plane, Side], int]] = {}
        self._next = 0
        self._last_s: float | None = None
        self._analysed = False

    def push(self, seen: Observed) -> MetricBlock:
        """Take finished movements, and the time from the rows."""
        posture = seen.posture
        for _ in self._windows.split(posture.time_s):
            self._last_s = float(posture.time_s[-1])
        self._analysed = self._analysed or analysed(posture)
        return MetricBlock(self._take(seen.movements), tuple(self._complete(LONGEST_DELAY_S)))

    def finish(self, seen: Observed) -> MetricBlock:
        """Give the counts of the session and the last windows."""
        events = self._take(seen.movements)
        return MetricBlock(events, tuple(self._complete(None)), tuple(self._summary()))

    def _take(self, movements: tuple[Event, ...]) -> tuple[Event, ...]:
        events = tuple(event for event in movements if event.kind != "posture_change")
        for event in events:
            if event.kind == "aborted":
                self._aborted += 1
            elif event.plane and event.side and event.amplitude_deg is not None:
                key = (event.plane, event.side)
                self._sizes[key].add(event.amplitude_deg)
                counts = self._counts.setdefault(self._window_of(event.start_s), {})
                counts[key] = counts.get(key, 0) + 1
        return events

    def _window_of(self, time_s: float) -> int:
        number = int((time_s - self._windows.start(0) + 5e-7) // self._context.window_s)
        return max(number, self._next)

    def _complete(self, delay_s: float | None) -> Iterator[Figure]:
        """Yield the counts of windows whose repetitions are all known; of all windows when ``delay_s`` is None."""
        if self._last_s is None:
            return
        while True:
            start, end = self._windows.start(self._next), self._windows.start(self._next + 1)
            if (start > self._last_s) if delay_s is None else (end + delay_s > self._last_s):
                return
            counts = self._counts.pop(self._next, {})
            if self._analysed:
                for plane, side in self._sizes:
                    n = counts.get((plane, side), 0)
                    yield Figure(
                        "repetitions", float(n), "1", "repetitions.count/1", plane, side, n=n, start_s=start, end_s=end
                    )
            self._next += 1

    def _summary(self) -> Iterator[Figure]:
        for (plane, side), sizes in self._sizes.items():
            n = len(sizes)
            value = float(n) if self._analysed else None
            figure = Figure("repetitions", value, "1", "repetitions.count/1", plane, side, n=n)
            yield figure._replace(reason=self._reason())
            if n:
                value, (low, high) = median(sizes.values), self._interval(sizes)
                yield Figure(
                    "repetition_size", value, "deg", "repetitions.size/1", plane, side, low=low, high=high, n=n
                )
        for plane in SIDED_PLANES:
            yield self._bias(plane)
        aborted = float(self._aborted) if self._analysed else None
        figure = Figure("repetitions_aborted", aborted, "1", "repetitions.aborted/1", n=self._aborted)
        yield figure._replace(reason=self._reason())

    def _interval(self, sizes: Sample) -> tuple[float, float] | tuple[None, None]:
        """Return the interval of the median; skin stretches or shrinks all repetitions to a side alike."""
        found, middle = median_interval(sizes.values), median(sizes.values)
        if found is None:
            return None, None
        skin = Z95 * self._context.skin_sd(middle)
        below, above = (abs(end - middle) for end in found)
        return middle - sqrt(below * below + skin * skin), middle + sqrt(above * above + skin * skin)

    def _reason(self) -> str | None:
        return None if self._analysed else NO_ANGLES

    def _bias(self, plane: Plane) -> Figure:
        right, left = len(self._sizes[plane, "right"]), len(self._sizes[plane, "left"])
        figure = count_bias(right, left, plane)
        return figure if self._analysed else figure._replace(reason=NO_ANGLES)


def count_bias(right: int, left: int, plane: Plane) -> Figure:
    """Return (right - left) / (right + left) with its 95 % interval (Wilson 1927)."""
    n = right + left
    if not n:
        return Figure("repetition_bias", None, "1", "repetitions.bias/1", plane, n=0, reason="no repetition")
    low, high = wilson_bias(right, left)
    return Figure(
        "repetition_bias",
        (right - left) / n,
        "1",
        "repetitions.bias/1",
        plane,
        low=low,
        high=high,
        n=n,
    )
