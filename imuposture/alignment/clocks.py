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

import numpy as np

from imuposture._blocks import FloatArray
from imuposture.alignment.corridor import Corridor
from imuposture.alignment.lattice import Lattice

__all__ = ["HOST_S", "ClockReport", "Line", "LinkClock", "State", "kalman_step"]

Line = tuple[float, float, float]  # device s, host time minus device time there in s, skew
State = tuple[float, float, float, float, float]  # offset, skew, and the three entries of their covariance

WINDOW_S = 1.0  # of these the earliest packet counts; shorter: more noise in each, longer: later to learn
SKEW_LIMIT = 100e-6  # quartz of a wearable: +-20 typical, +-100 over temperature and age
COUNT_LIMIT = 0.03  # a sensor without a clock runs at a rate of its own, 2 % off at the worst
SKEW_SD = 50e-6  # what is known of a quartz before the first packet
STORED_SD = 3e-6  # of a skew from an earlier session
WANDER = 3e-8  # s/s a square root of a second: 0.5e-6 in 5 min
COUNT_WANDER = 1e-6  # of the oscillator inside a motion sensor
BEND = 0.5e-6  # s/s by which the clock leaves its line over a quarter of an hour
COUNT_BEND = 20e-6
NOISE_S = 1e-3  # s, spread of the earliest packet of a window on top of the phase; host and radio
SLEW = 0.05  # s/s at which the time line takes over what the estimate has learnt: never back, never in a leap
COUNT_WINDOWS = 3
STEP_S = 10e-3  # s; earliest packets further off than this and g: the clock stepped, or the host stood still
HOST_S = 0.5e-3  # s, share of the host in the bound
UNLOCKED_S = 2.5e-3  # g up to which the Kalman filter may be trusted


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
    steps : int
        Times the device's clock leapt, and all was learnt anew.
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
    steps: int
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
    skew_sd : float
        How well ``skew`` is known.
    counted : bool
        Device time is a count of samples at a nominal rate, which may be 2 % off.
    floor_s : float
        Host time that samples must come after: the last one of an earlier segment.

    Attributes
    ----------
    packets, slips, steps : int
        Packets so far, phase changes of a locked link among them, and leaps of the device's clock.
    missed_s : float
        Of counts of samples: time that the count must have missed, as later packets are later for good, s.
    windows, misses : list or None
        Device time and offset of each window's earliest packet, and of each miss of a count when and by how much,
        where somebody set them to lists.
    limit, bend, wander : float
        How far the skew may be from ``prior``, how far the clock leaves its line, s/s, and how its skew goes astray.
    prior : float
        Skew that was known beforehand, 0 if none was.
    method : str
        As in `ClockReport`.
    """

    def __init__(
        self,
        skew: float | None = None,
        skew_sd: float = STORED_SD,
        *,
        counted: bool = False,
        floor_s: float = -np.inf,
    ) -> None:
        self._lattice = Lattice(0.0)
        self.prior = 0.0 if skew is None else skew
        widest = COUNT_LIMIT if counted else SKEW_LIMIT
        self._skew_sd = (0.3 * COUNT_LIMIT if counted else SKEW_SD) if skew is None else skew_sd
        self.limit = widest if skew is None else min(max(10 * STORED_SD, 3 * skew_sd), widest)
        self._patience = 4 if counted else 20
        self._counted = counted
        self._floor = floor_s
        self.packets = 0
        self.slips = self.steps = 0
        self.missed_s = 0.0
        self.windows: list[tuple[float, float]] | None = None
        self.misses: list[tuple[float, float]] | None = None
        self._suspects: list[tuple[float, float, float]] = []
        self._line: Line = (0.0, 0.0, self.prior)
        self._began = self._opened = 0.0  # device s of the first packet, and of the first in this window
        self._best = (0.0, 0.0)  # device s and offset of the window's earliest packet
        self._windows = 0
        self.bend = COUNT_BEND if counted else BEND
        self.wander = COUNT_WANDER if counted else WANDER
        self._corridor = self._new_corridor()
        self._spread = np.inf
        self._edge, self._edge_at = 0.0, 0.0
        self._given: tuple[float, float] | None = None  # device s of the last sample given out, and its offset
        self._first_s = self._last_s = 0.0
        self.method = "first"

    def update(self, device_s: float, arrival_s: float) -> None:
        """Take the next packet: the device's time of its newest sample, and its arrival."""
        device_s += self.missed_s
        offset = arrival_s - device_s
        if not self.packets:
            self._begin(device_s, offset)
        self.packets += 1
        if device_s - self._opened >= WINDOW_S:
            self._close()
            self._opened, self._best = device_s, (device_s, arrival_s - device_s)
        elif offset - self._best[1] < self._line[2] * (device_s - self._best[0]):
            self._best = (device_s, offset)
        self._lattice.add(device_s, arrival_s, self._line[2])
        if self.method == "first" and offset < self.offset_at(device_s):
            self._line = (device_s, offset, self._line[2])

    def offset_at(self, device_s: float) -> float:
        """Return host time minus device time by the present estimate, s."""
        at, offset, skew = self._line
        return offset + skew * (device_s - at)

    def times(self, device_s: FloatArray, line: Line | None = None) -> FloatArray:
        """Return the host times of a packet's samples, and let them stand.

        Parameters
        ----------
        device_s : (n,) float64
            Device times of the samples of the packet that came last, ascending, s.
        line : Line, optional
            To be followed instead of one's own, where another sensor has the same clock.

        Returns
        -------
        (n,) float64
            Host times, s: later than all before them, and never in a leap.
        """
        if not len(device_s):
            return device_s
        device_s = device_s + self.missed_s
        at, offset, skew = line or self._line
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
    def line(self) -> Line:
        """The estimate: offset and skew at an instant of the device."""
        return self._line

    @property
    def skew(self) -> float:
        """Seconds of the host's a second of the device's, minus one."""
        return self._line[2]

    @property
    def skew_sd(self) -> float:
        """How well the skew is known, where it could be learnt: windows do not err independently, hence the factor."""
        learnt = max(4 * float(np.sqrt(self._state[4])), STORED_SD)
        return min(learnt, self._skew_sd) if self.method == "kalman" else self._skew_sd

    @property
    def g_s(self) -> float:
        """Spacing of the delays that must be allowed for, s."""
        return self._lattice.g_s

    @property
    def first_covariance(self) -> tuple[float, float, float]:
        """Of offset and skew before the first packet."""
        return NOISE_S * NOISE_S, 0.0, self._skew_sd * self._skew_sd

    @property
    def bound_s(self) -> float:
        """Within which the estimate lies, s."""
        whole = 1.25 * self._lattice.g_s + HOST_S
        if self._counted:
            return 1.25 * (self._lattice.packet_s or self._lattice.g_s) + HOST_S
        if self.method == "hull":
            return min(whole, 2 * self._spread + HOST_S)  # twice: against another sensor's, likewise
        drifted = abs(self.skew) * (self._line[0] - self._began)
        if self.method == "kalman" and drifted > 2 * self._lattice.g_s:
            return min(whole, UNLOCKED_S + 3 * float(np.sqrt(self._state[2])))
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
            steps=self.steps,
            packets=self.packets,
        )

    def _begin(self, device_s: float, offset: float) -> None:
        """Start to learn, at the first packet or where the clock was found to have stepped."""
        self._began = self._opened = device_s
        self._best = (device_s, offset)
        self._line = (device_s, offset, self.prior)
        self._windows, self._corridor = 0, self._new_corridor()
        self._lattice = Lattice(device_s)
        self._edge, self._edge_at = offset, device_s
        self._at, self._state = device_s, (offset, self.prior, *self.first_covariance)
        self.method = "first"

    def _new_corridor(self) -> Corridor:
        return Corridor(self.prior, self.limit, self.bend)

    def _close(self) -> None:
        """Take the window that is over, unless it is far off; then wait and see whether the next ones are too."""
        device, offset = self._best
        self._lattice.judge()
        excess = offset - self.offset_at(device)
        allowed = 1.25 * self._lattice.g_s + STEP_S
        if self.method == "first" or abs(excess) <= allowed:
            self._suspects.clear()
            self._learn(device, offset)
            return
        if self._suspects and (excess > 0) != (self._suspects[-1][2] > 0):
            self._suspects.clear()
        self._suspects.append((device, offset, excess))
        if len(self._suspects) >= (self._patience if excess > 0 else 2):
            self._step()

    def _step(self) -> None:
        """Believe that the clock has stepped: a count of samples missed some; any other begins anew."""
        suspects, self._suspects = self._suspects, []
        sizes = sorted(abs(suspect[2]) for suspect in suspects)
        packet = self._lattice.packet_s
        missed = 0.0
        if not self._counted or packet is None:
            self.steps += 1
            self._begin(*suspects[0][:2])
            suspects = suspects[1:]
        elif suspects[-1][2] > 0 and sizes[-1] - sizes[0] < STEP_S:  # a loss is a step; what grows is a rate
            missed = round(sizes[len(sizes) // 2] / packet) * packet
            if self.misses is not None:
                self.misses.append((suspects[0][0] - self.missed_s - WINDOW_S, missed))
            self.missed_s += missed
        for device, offset, _ in suspects:
            self._learn(device + missed, offset - missed)

    def _learn(self, device: float, offset: float) -> None:
        """Learn from the earliest packet of a window."""
        g = self._lattice.g_s
        self._windows += 1
        if self.windows is not None:
            self.windows.append((device, offset))
        self._filter(device, offset)
        jump = self._corridor.add(device, offset, self._state[1])
        if self._lattice.locked and abs(jump) > 0.6 * g:
            self.slips += 1
        steepest = self.prior + self.limit
        self._edge = min(self._edge + steepest * (device - self._edge_at), offset)
        self._edge_at = device
        # A count runs at a rate of its own and slips too fast to be locked; its rate has to be learnt at once.
        if not self._lattice.known and not (self._counted and self._windows >= COUNT_WINDOWS):
            return
        if self._counted or (not self._lattice.locked and abs(self._state[0] - self._edge) <= 1.25 * g + HOST_S):
            self.method, self._line = "kalman", (device, self._state[0], self._state[1])
            return
        low, high, skew = self._corridor.now(device, g)
        self.method, self._line = "hull", (device, 0.5 * (low + high), skew)
        self._spread = 0.5 * (high - low)

    def _filter(self, device: float, offset: float) -> None:
        """Let the Kalman filter take a window."""
        if self._windows == 1:
            self._at, self._state = device, (offset, self.prior, *self.first_covariance)
            return
        _, self._state = kalman_step(self._state, device - self._at, offset, self.wander)
        self._at = device


def kalman_step(state: State, step: float, measured: float, wander: float) -> tuple[State, State]:
    """Move offset and skew on, and take what was measured.

    Parameters
    ----------
    state : State
    step : float
        Since the last measurement, s.
    measured : float
        Offset, s.
    wander : float
        By how much the skew goes astray, s/s a square root of a second.

    Returns
    -------
    tuple of State
        Before and after the measurement.
    """
    offset, skew, p00, p01, p11 = state
    offset += skew * step
    p00 += step * (2 * p01 + step * p11)
    p01 += step * p11
    p11 += wander * wander * step
    before = (offset, skew, p00, p01, p11)
    total = p00 + NOISE_S * NOISE_S
    gain, gain_skew = p00 / total, p01 / total
    error = measured - offset
    after = (
        offset + gain * error,
        skew + gain_skew * error,
        p00 - gain * p00,
        p01 - gain * p01,
        p11 - gain_skew * p01,
    )
    return before, after
