"""All lines that a device's clock may follow: below the earliest packet of every window, and no further than g below.

On a link that is locked to its radio's instants the earliest packets are up to g late, always alike, until the clocks
have drifted by as much. What can be said for certain is that the true line passes through every window's gate; the
middle of where such lines are now is the estimate, half their spread its bound. It narrows with every slip.
"""

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["Corridor"]

MERGED = 4  # windows a gate: in so many even a bad link has a packet that was heard at once
GATES = 900  # an hour
BLUR_S = 1e-3  # s by which the host blurs the earliest packet of a window
SLOPES = 16  # looked at where the extremes lie between the feasible slopes
TURNS = 16  # halvings; the skew is known to 3e-9 then


class Corridor:
    """The gates of one clock segment.

    Parameters
    ----------
    skew, limit : float
        The slopes looked at lie within ``limit`` of ``skew``.
    bend : float
        s/s by which the clock leaves its line, warming up and cooling down.
    """

    def __init__(self, skew: float, limit: float, bend: float) -> None:
        self._lowest, self._highest = skew - limit, skew + limit
        self._guess = skew
        self._bend = bend
        self._gates: list[tuple[float, float]] = []
        self._recent: list[tuple[float, float]] = []  # windows that make no gate yet

    def add(self, device_s: float, offset_s: float, skew: float) -> float:
        """Take the earliest packet of the next window; ``skew``: as it seems to be.

        Returns
        -------
        float
            By how much this gate's offset differs from that before, s; 0 while a gate is not complete.
        """
        self._recent.append((device_s, offset_s))
        if len(self._recent) < MERGED:
            return 0.0
        self._gates.append(min(self._recent, key=lambda window: window[1] - skew * window[0]))
        self._recent.clear()
        del self._gates[:-GATES]
        return self._gates[-1][1] - self._gates[-2][1] if len(self._gates) > 1 else 0.0

    def around(self, device_s: float, g_s: float) -> tuple[float, float, float]:
        """Return the same as `now` for an instant in the middle of the gates."""
        self.now(device_s, g_s)
        points = np.array(self._gates + self._recent)
        gates = len(self._gates) or len(points)
        span = _Span(points[:, 0] - device_s, points[:, 1], gates, g_s + 2 * BLUR_S, self._bend)
        slowest = span.last_feasible(self._guess, self._lowest)
        fastest = span.last_feasible(self._guess, self._highest)
        slopes = [slowest + (fastest - slowest) * k / SLOPES for k in range(SLOPES + 1)]
        return min(map(span.lowest, slopes)), max(map(span.highest, slopes)), self._guess

    def now(self, device_s: float, g_s: float) -> tuple[float, float, float]:
        """Return the lowest and the highest offset at an instant, s, and the skew in the middle."""
        while True:
            points = np.array(self._gates + self._recent)
            gates = len(self._gates) or len(points)
            span = _Span(points[:, 0] - device_s, points[:, 1], gates, g_s + 2 * BLUR_S, self._bend)
            guess = span.any_feasible(self._guess, self._lowest, self._highest)
            if guess is not None or not self._gates:
                break
            del self._gates[: (len(self._gates) + 1) // 2]  # no one line passes through all gates
        guess = self._guess if guess is None else guess
        slowest = span.last_feasible(guess, self._lowest)
        fastest = span.last_feasible(guess, self._highest)
        self._guess = 0.5 * (slowest + fastest)
        return span.lowest(slowest), span.highest(fastest), self._guess


class _Span:
    """Offsets now that a slope allows: from ``lowest`` to ``highest``; none where these have changed places."""

    def __init__(self, ages: FloatArray, offsets: FloatArray, gates: int, width: float, bend: float) -> None:
        self._ages = ages
        self._gate_ages = ages[:gates]
        self._upper = offsets + bend * np.abs(ages)
        self._lower = offsets[:gates] - width - bend * np.abs(self._gate_ages)

    def highest(self, slope: float) -> float:
        return float((self._upper - slope * self._ages).min())

    def lowest(self, slope: float) -> float:
        return float((self._lower - slope * self._gate_ages).max())

    def width(self, slope: float) -> float:
        """Concave in the slope."""
        return self.highest(slope) - self.lowest(slope)

    def any_feasible(self, guess: float, low: float, high: float) -> float | None:
        if self.width(guess) >= 0:
            return guess
        for _ in range(TURNS):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            wide = self.width(left), self.width(right)
            if max(wide) >= 0:
                return left if wide[0] >= wide[1] else right
            if wide[0] < wide[1]:
                low = left
            else:
                high = right
        return None

    def last_feasible(self, inside: float, end: float) -> float:
        """Return the feasible slope nearest to ``end``."""
        if self.width(end) >= 0:
            return end
        for _ in range(TURNS):
            middle = 0.5 * (inside + end)
            if self.width(middle) >= 0:
                inside = middle
            else:
                end = middle
        return inside
