"""Device clock -> host clock, from nothing but the instants at which packets arrived; causal.

A packet can only come late: never before its newest sample was measured. So the earliest packets tell the offset of
the two clocks, and the line beneath all of them (slope: the skew) is the estimate. Radios speak at fixed instants, a
connection interval apart; with g, the greatest common divisor of that interval and the packets' own period, the
earliest packets are still up to g late, until the clocks have drifted that far apart (a slip). Where packets meet the
interval in all phases (small g) a Kalman filter on the earliest packet of each second does better than the line; where
they are locked to it, the line alone is bounded.

Moon, Skelly and Towsley 1999 (line beneath); Zhang, Liu and Xia 2002 (convex hull).
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from imuposture._blocks import FloatArray
from imuposture.alignment.lattice import Lattice

__all__ = ["ClockReport", "LinkClock"]

WINDOW_S = 1.0  # of these the earliest packet counts; shorter: more noise in each, longer: later to learn
SKEW_LIMIT = 100e-6  # quartz of a wearable: +-20 typical, +-100 over temperature and age
COUNT_LIMIT = 0.03  # a sensor without a clock runs at a rate of its own, 2 % off at the worst
SKEW_SD = 50e-6  # what is known of a quartz before the first packet
STORED_SD = 3e-6  # of a skew from an earlier session
WANDER = 2e-9  # s/s a square root of a second: warming up by 3e-6 in 5 min
NOISE_S = 1e-3  # s, spread of the earliest packet of a window on top of the phase; host and radio
SLEW = 0.05  # s/s at which the time line takes over what the estimate has learnt: never back, never in a leap
HOST_S = 0.5e-3  # s, share of the host in the bound
UNLOCKED_S = 2.5e-3  # g up to which the Kalman filter may be trusted
REMEMBERED_S = 1200.0  # s of the line beneath; a quartz that warms up follows no line for longer


@dataclass(frozen=True)
class ClockReport:
    """What is known of one segment of a device's clock, at its last packet.

    Attributes
    ----------
    start_s, end_s : float
        Host time of its first and last sample, s.
    offset_s, skew : float
        Host time is device time + offset_s at ``end_s``; skew: s of host time a second of the device's, minus one.
    bound_s : float
        Within which the estimate lies, s, apart from what all packets are late by.
    method : str
        ``"kalman"``, ``"hull"``, ``"first"`` (too little was seen), or that of a fit afterwards.
    interval_s : float or None
        g: spacing of the delays, s, where it could be told from the arrivals; the bound rests on it, or on the
        packets' own period where not.
    slips : int
        Times a locked link was seen to change its phase.
    packets : int
    """

    start_s: float
    end_s: float
    offset_s: float
    skew: float
    bound_s: float
    method: str
    interval_s: float | None
    slips: int
    packets: int

    def asdict(self) -> dict[str, float | int | str | None]:
        """Return it by name, for the manifest."""
        return asdict(self)


class LinkClock:
    """The clock of one device over one segment, as far as its packets tell so far.

    Give each packet to `update`, then ask `times` for its samples: what was given out once stays, and goes up.

    Parameters
    ----------
    skew : float, optional
        What an earlier session or segment found; then it need not be learnt again.
    counted : bool
        Device time is a count of samples at a nominal rate, which may be 2 % off.
    floor_s : float
        Host time that samples must come after: the last one of an earlier segment.

    Attributes
    ----------
    packets, slips : int
        Packets so far, and phase changes of a locked link among them.
    prior : float
        Skew that was known beforehand, 0 if none was.
    method : str
        As in `ClockReport`.
    """

    def __init__(self, skew: float | None = None, *, counted: bool = False, floor_s: float = -np.inf) -> None:
        self._lattice = Lattice()
        self.prior = 0.0 if skew is None else skew
        widest = COUNT_LIMIT if counted else SKEW_LIMIT
        self._limit = widest if skew is None else min(10 * STORED_SD, widest)
        self._skew_sd = (0.3 * COUNT_LIMIT if counted else SKEW_SD) if skew is None else STORED_SD
        self._patience = 3 if counted else 20
        self._floor = floor_s
        self.packets = 0
        self.slips = 0
        self._line = (0.0, 0.0, self.prior)  # device s, offset there, skew
        self._began = self._opened = 0.0  # device s of the first packet, and of the first in this window
        self._best = (0.0, 0.0)  # device s and offset of the window's earliest packet
        self._windows = 0
        self._hull: list[tuple[float, float]] = []
        self._given: tuple[float, float] | None = None  # device s of the last sample given out, and its offset
        self._first_s = self._last_s = 0.0
        self.method = "first"

    def update(self, device_s: float, arrival_s: float) -> None:
        """Take the next packet: the device's time of its newest sample, and its arrival."""
        offset = arrival_s - device_s
        if not self.packets:
            self._begin(device_s, offset)
        self.packets += 1
        if device_s - self._opened >= WINDOW_S:
            self._close()
            self._opened, self._best = device_s, (device_s, offset)
        elif offset - self._best[1] < self._line[2] * (device_s - self._best[0]):
            self._best = (device_s, offset)
        self._lattice.add(device_s, offset - self._line[2] * (device_s - self._began))
        if self.method != "kalman" and offset < self.offset_at(device_s):
            self._line = (device_s, offset, self._line[2])

    def offset_at(self, device_s: float) -> float:
        """Return host time minus device time by the present estimate, s."""
        at, offset, skew = self._line
        return offset + skew * (device_s - at)

    def times(self, device_s: FloatArray) -> FloatArray:
        """Return the host times of the samples of the packet that came last; ascending like ``device_s``, in s."""
        if not len(device_s):
            return device_s
        at, offset, skew = self._line
        target = offset + skew * (device_s - at)
        if self._given is None:
            late = max(self._floor - (float(device_s[0]) + float(target[0])), 0.0)
            self._given = (float(device_s[0]), float(target[0]) + late)
            self._first_s = self._given[0] + self._given[1]
        last, given = self._given
        steady = given + skew * (device_s - last)
        reach = SLEW * (device_s - last)
        offsets = np.minimum(np.maximum(target, steady - reach), steady + reach)
        self._given = (float(device_s[-1]), float(offsets[-1]))
        times: FloatArray = device_s + offsets
        self._last_s = float(times[-1])
        return times

    @property
    def skew(self) -> float:
        """Seconds of the host's a second of the device's, minus one."""
        return self._line[2]

    @property
    def settled(self) -> bool:
        """The skew was learnt well enough to be a prior."""
        return self._windows >= 60 and self.method != "first"

    @property
    def bound_s(self) -> float:
        """Within which the estimate lies, s."""
        whole = 1.25 * self._lattice.g_s + HOST_S
        drifted = abs(self.skew) * (self._line[0] - self._began)
        if self.method == "kalman" and drifted > 2 * self._lattice.g_s:
            return min(whole, HOST_S + 3 * float(np.sqrt(self._p00)))
        return whole

    def report(self) -> ClockReport:
        """Return what is known by now."""
        device, offset = self._given or (0.0, 0.0)
        return ClockReport(
            start_s=self._first_s,
            end_s=self._last_s,
            offset_s=self.offset_at(device) if self.packets else offset,
            skew=self.skew,
            bound_s=self.bound_s,
            method=self.method,
            interval_s=self._lattice.spacing_s,
            slips=self.slips,
            packets=self.packets,
        )

    def _begin(self, device_s: float, offset: float) -> None:
        """Start to learn, at the first packet or where the clock was found to have stepped."""
        self._began = self._opened = device_s
        self._best = (device_s, offset)
        self._line = (device_s, offset, self.prior)
        self._windows, self._hull = 0, []
        self._at, self._offset, self._skew = device_s, offset, self.prior
        self._p00, self._p01, self._p11 = NOISE_S**2, 0.0, self._skew_sd**2
        self.method = "first"

    def _close(self) -> None:
        """Learn from the earliest packet of the window that is over."""
        device, offset = self._best
        self._lattice.judge()
        g = self._lattice.g_s
        self._windows += 1
        self._add_to_hull(device, offset)
        self._filter(device, offset)
        skew, edge = self._beneath(device)
        away = abs(self._offset - edge)
        trusted = self._lattice.known and not self._lattice.locked and away <= 1.25 * g + HOST_S
        self.method = "kalman" if trusted else "hull"
        self._line = (device, self._offset, self._skew) if trusted else (device, edge, skew)

    def _filter(self, device: float, offset: float) -> None:
        """Kalman filter of offset and skew."""
        t = device - self._at
        self._at = device
        self._offset += self._skew * t
        self._p00 += t * (2 * self._p01 + t * self._p11)
        self._p01 += t * self._p11
        self._p11 += WANDER * WANDER * t
        if self._windows == 1:
            self._offset = offset
            return
        total = self._p00 + NOISE_S * NOISE_S
        gain, gain_skew = self._p00 / total, self._p01 / total
        error = offset - self._offset
        self._offset += gain * error
        self._skew += gain_skew * error
        self._p11 -= gain_skew * self._p01
        self._p01 -= gain * self._p01
        self._p00 -= gain * self._p00

    def _add_to_hull(self, device: float, offset: float) -> None:
        """Keep the corners of the line beneath all windows (Andrew's monotone chain)."""
        hull = self._hull
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (y1 - y0) * (device - x1) < (offset - y1) * (x1 - x0):
                break
            hull.pop()
        hull.append((device, offset))
        while len(hull) > 2 and device - hull[1][0] > REMEMBERED_S:
            hull.pop(0)

    def _beneath(self, device: float) -> tuple[float, float]:
        """Return slope and offset of the line that lies beneath all windows, and nearest to them on the whole."""
        hull = self._hull
        slope = self.prior
        middle = 0.5 * (hull[0][0] + device)
        for (x0, y0), (x1, y1) in pairwise(hull):
            if x1 >= middle:
                slope = (y1 - y0) / (x1 - x0)
                break
        slope = min(max(slope, self.prior - self._limit), self.prior + self._limit)
        return slope, min(y + slope * (device - x) for x, y in hull)
