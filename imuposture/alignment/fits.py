"""Device clock -> host clock once a whole segment is known: what came later helps, too. Acausal, for recordings only.

The same two ways as live, with hindsight: a Kalman smoother on the earliest packet of each second, or on locked links
the middle of all lines through the gates before and after each instant.
"""

from dataclasses import replace

import numpy as np

from imuposture._blocks import FloatArray
from imuposture.alignment.clocks import HOST_S, ClockReport, LinkClock, kalman_step
from imuposture.alignment.corridor import Corridor

__all__ = ["FittedClock"]

NODE_S = 10.0  # s between the instants at which a locked clock is fitted; between them it is a straight line
SIDE_S = 1200.0  # s of gates on either side of them


class FittedClock:
    """The clock of one device over one segment, from all its packets.

    Parameters
    ----------
    link : LinkClock
        What followed the segment live, with its ``windows``.
    """

    def __init__(self, link: LinkClock) -> None:
        self._live = link.report()
        windows = np.array(link.windows or [(0.0, link.offset_at(0.0))])
        self._missed = np.array(link.misses or np.empty((0, 2))).reshape(-1, 2)
        if link.method == "hull" and len(windows) > 1:
            self._method, self._spread = "hull, with hindsight", 0.0
            self._nodes, self._offsets = self._through_gates(windows, link)
        elif link.method == "kalman":
            self._method, self._spread = "kalman, with hindsight", self._live.bound_s
            self._nodes, self._offsets = windows[:, 0], _smoothed(windows, link)
        else:
            self._method, self._spread = link.method, self._live.bound_s
            self._nodes, self._offsets = np.array([0.0]), np.array([link.offset_at(0.0)])
        self._skew = link.skew if len(self._nodes) < 2 else self._slope(0, -1)

    def times(self, device_s: FloatArray) -> FloatArray:
        """Return the host times of samples.

        Parameters
        ----------
        device_s : (n,) float64
            Device times, s.

        Returns
        -------
        (n,) float64
            Host times, s.
        """
        device_s = device_s + self._missed_by(device_s)
        nodes, offsets = self._nodes, self._offsets
        if len(nodes) < 2:
            at = np.zeros(len(device_s), np.int64)
            slope: FloatArray | float = self._skew
        else:
            at = np.clip(np.searchsorted(nodes, device_s) - 1, 0, len(nodes) - 2)
            slope = (offsets[at + 1] - offsets[at]) / (nodes[at + 1] - nodes[at])
        times: FloatArray = device_s + (offsets[at] + slope * (device_s - nodes[at]))
        return times

    def report(self) -> ClockReport:
        """Return how it was found."""
        bound = min(self._live.bound_s, 2 * self._spread + HOST_S) if self._spread else self._live.bound_s
        return replace(self._live, skew=self._skew, method=self._method, bound_s=bound)

    def _missed_by(self, device_s: FloatArray) -> FloatArray:
        """Return what a count of samples had missed before each of them, s."""
        missed = np.zeros(len(device_s))
        for at, size in self._missed:
            missed[device_s > at] += size
        return missed

    def _slope(self, first: int, last: int) -> float:
        return float((self._offsets[last] - self._offsets[first]) / (self._nodes[last] - self._nodes[first]))

    def _through_gates(self, windows: FloatArray, link: LinkClock) -> tuple[FloatArray, FloatArray]:
        """Return the middle of all lines through the gates around each node."""
        count = max(int((windows[-1, 0] - windows[0, 0]) / NODE_S) + 1, 2)
        nodes = np.linspace(windows[0, 0], windows[-1, 0], count)
        offsets = np.empty(count)
        for node in range(count):
            near = windows[np.abs(windows[:, 0] - nodes[node]) <= SIDE_S]
            corridor = Corridor(link.prior, link.limit, link.bend)
            for device, offset in near:
                corridor.add(float(device), float(offset), link.skew)
            low, high, _ = corridor.around(float(nodes[node]), link.g_s)
            offsets[node] = 0.5 * (low + high)
            self._spread = max(self._spread, 0.5 * (high - low))
        return nodes, offsets


def _smoothed(windows: FloatArray, link: LinkClock) -> FloatArray:
    """Rauch, Tung and Striebel's smoother over the same filter; two states, written out."""
    count = len(windows)
    ahead, after = np.empty((count, 5)), np.empty((count, 5))  # offset, skew, and their covariance
    state = (float(windows[0, 1]), link.prior, *link.first_covariance)
    ahead[0] = after[0] = state
    for row in range(1, count):
        step = float(windows[row, 0] - windows[row - 1, 0])
        before, state = kalman_step(state, step, float(windows[row, 1]), link.wander)
        ahead[row], after[row] = before, state
    smooth = after[:, :2].copy()
    for row in range(count - 2, -1, -1):
        step = windows[row + 1, 0] - windows[row, 0]
        _, _, p00, p01, p11 = after[row]
        _, _, a00, a01, a11 = ahead[row + 1]
        det = a00 * a11 - a01 * a01
        c00, c01 = p00 + step * p01, p01  # covariance times the transposed transition
        c10, c11 = p01 + step * p11, p11
        error = smooth[row + 1] - ahead[row + 1, :2]
        first, second = (a11 * error[0] - a01 * error[1]) / det, (a00 * error[1] - a01 * error[0]) / det
        smooth[row, 0] += c00 * first + c01 * second
        smooth[row, 1] += c10 * first + c11 * second
    return np.ascontiguousarray(smooth[:, 0])
