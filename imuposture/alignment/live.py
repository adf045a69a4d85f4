"""One live sensor's samples: ticks, unwrapped and counted, then laid on the host's clock by when packets arrived.

What ticks cannot tell, arrivals do: that a clock wrapped while nobody listened, started anew, or stood still. Each of
these begins a new segment, with a clock of its own; nothing is ever fitted across.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from imuposture._blocks import FlagArray, FloatArray, ImuBlock, SensorRows, Stream
from imuposture._errors import SignalError
from imuposture.alignment.clocks import ClockReport, Line, LinkClock
from imuposture.alignment.feed import LATEST_S, REORDER_WINDOW_S, Counts, Feed
from imuposture.alignment.fits import FittedClock
from imuposture.alignment.returns import OFF_S, Aside

__all__ = ["LiveFeed"]

# Members of the compiled clock and counts, as in ext/alignment.pyx.
STARTED, LAST_TICK, OFFSET_TICKS = 0, 1, 2
KEPT, LOST, RESTARTS = 0, 1, 4

QUIET_S = 1.0  # of silence, after which a tick that goes back a little means a restart, not disorder
HOLD_S = 0.75  # a segment's first packets wait so long, until one of them was heard at once
LATE_S = 2.0  # packets that stay this late for as long: the clock stood still while nobody listened


class LiveFeed(Feed):
    """One live sensor's samples.

    Parameters
    ----------
    stream : Stream
        Its ``clock`` is "device" or "count".
    gap_limit_s : float
    skew : float, optional
        Of the device, from an earlier session.
    fits : sequence of FittedClock, optional
        From a first pass over the same packets, a segment each; instead of the causal estimate.
    fit : bool
        This is that first pass: keep what `fits` needs.
    """

    def __init__(
        self,
        stream: Stream,
        gap_limit_s: float,
        skew: float | None = None,
        fits: Sequence[FittedClock] | None = None,
        *,
        fit: bool = False,
    ) -> None:
        super().__init__(stream, gap_limit_s)
        self._counted = stream.clock == "count"
        self._link = LinkClock(skew, counted=self._counted)
        self._fit = fit
        self._found: list[FittedClock] = []
        if fit:
            self._link.windows, self._link.misses = [], []
        self._fits = fits
        self._past: list[ClockReport] = []
        self._last_arrival: float | None = None
        self._last_time = -np.inf
        self._late_since: float | None = None
        self._late_then = 0.0
        self._begin_anew = False
        self._gone_s = -np.inf  # up to here rows have gone out
        self._aside = Aside()
        self._held: list[tuple[ImuBlock, FloatArray, FlagArray]] = []  # the first of a segment, not laid yet
        self._opened = 0.0  # host time of the segment's first packet
        self._estimate_due = False  # what fell out before this segment is still to be counted
        self._late = self._estimated = 0
        self._missed = 0  # of this segment
        self._shares = False
        self.base: LiveFeed | None = None
        self._shift_s = 0.0
        self.first_arrival: float | None = None

    def reconnected(self) -> None:
        """Take note of a new connection: a count of samples begins anew there."""
        self._begin_anew = self._counted and self._last_arrival is not None

    def take(self, block: ImuBlock) -> None:
        """Put the block's samples on the time line; a block is what one notification brought.

        Raises
        ------
        SignalError
            If the block says not when it came.
        """
        if block.arrival_s is None or not abs(block.arrival_s) <= LATEST_S:
            raise SignalError(
                f"a block of {block.role} has arrival_s {block.arrival_s!r}; "
                f"a live {self.stream.clock!r} clock needs the host time of each notification, in s"
            )
        super().take(block)
        self.unlaid()  # the grid asks for none

    def flush(self, now_s: float) -> None:
        """Lay the first samples of a segment, once enough packets came to tell when they were measured."""
        self._return(now_s)
        if self._held and now_s - self._opened >= HOLD_S:
            held, self._held = self._held, []
            for block, device, kept in held:
                self._lay(block, device, kept)

    def sample(self, grid: FloatArray, limit: float) -> SensorRows:
        """Return the sensor's rows at the instants of the grid."""
        if len(grid):
            self._gone_s = float(grid[-1])
        return super().sample(grid, limit)

    def counts(self) -> Counts:
        """Return what happened to the samples so far."""
        kept, lost, duplicate, reordered, restarts = (int(count) for count in self._counts)
        gone = self._empty + self._late
        return Counts(
            kept - gone, lost + gone, self._empty, duplicate, reordered, restarts, self._estimated, self._late
        )

    def clocks(self) -> list[ClockReport]:
        """Return what is known of each segment's clock."""
        if self._last_arrival is None:
            return []
        return [*self._past, self._report()]

    def fits(self) -> list[FittedClock]:
        """Return the clocks of all segments as they look in the end."""
        return [*self._found, FittedClock(self._link)] if self._last_arrival is not None else []

    def _report(self) -> ClockReport:
        if self._fits is not None:
            return self._fits[len(self._past)].report()
        report = self._link.report()
        return replace(report, method="shared") if self._shares else report

    def _put(self, block: ImuBlock, arrival_s: float | None) -> None:
        arrival = float(arrival_s or 0.0)
        if self.first_arrival is None:
            self.first_arrival = self._opened = arrival
        self._return(arrival)
        if self._aside or self._returns(block, arrival):
            self._aside.add(block, arrival, self._lateness(block, arrival))
            self._return(arrival)
        else:
            self._admit(block, arrival)

    def _return(self, now_s: float) -> None:
        """Admit the packets that were put aside, if it is time."""
        if self._aside.over(now_s):
            anew = self._aside.anew()
            for place, (block, arrival) in enumerate(self._aside.clear()):
                self._admit(block, arrival, anew=anew and not place)

    def _admit(self, block: ImuBlock, arrival: float, *, anew: bool = False) -> None:
        """Take a packet; ``anew``: it is known that the clock started anew before."""
        new = self._judge(float(block.ticks[0]), arrival, anew=anew)
        restarts = int(self._counts[RESTARTS])
        device, kept = self._unwrap(block.ticks, 0.0)
        if new or self._counts[RESTARTS] > restarts:
            self._new_segment(arrival)
        taken = np.flatnonzero(kept)
        if len(taken):
            self._link.update(float(device[taken[-1]]), arrival)
            self._count_missed()
        self._last_arrival = arrival
        if arrival - self._opened < HOLD_S:
            self._held.append((block, device, kept))
            return
        self.flush(arrival)
        self._lay(block, device, kept)

    def _lay(self, block: ImuBlock, device: FloatArray, kept: FlagArray) -> None:
        """Lay a packet's samples on the host's clock, and keep them."""
        taken = kept > 0
        if taken.any():
            device[taken] = self._timed(device[taken])
        had = len(self.times)
        self._keep(block, device, kept)
        self._late += int(np.count_nonzero(self._valid[had:] & (self.times[had:] <= self._gone_s)))

    def _timed(self, device: FloatArray) -> FloatArray:
        """Return the host times of a packet's samples."""
        times = self._link.times(device, self._line())
        if self._fits is not None:
            times = np.maximum(self._fits[len(self._past)].times(device), self._last_time)
        if self._estimate_due:
            self._estimate_due = False
            rate = self.stream.rate_hz / (1.0 + self._link.skew)
            missing = max(round((float(times[0]) - self._last_time) * rate) - 1, 0)
            self._counts[LOST] += missing
            self._estimated += missing
        self._last_time = float(times[-1])
        return times

    def _count_missed(self) -> None:
        """Count what a count of samples must have missed, by the arrivals."""
        missed = round(self._link.missed_s * self.stream.rate_hz) - self._missed
        self._missed += missed
        self._counts[LOST] += missed
        self._estimated += missed

    def _line(self) -> Line | None:
        """Return the estimate of the sensor whose clock this one shares, if it still does."""
        base = self.base
        if base is None or base.first_arrival is None:
            return None
        at, offset, skew = base._link.line
        own = self._link.offset_at(at)
        wrap_s = (self.stream.wrap_ticks or 0.0) * self.stream.tick_s
        shift = wrap_s * round((own - offset) / wrap_s) if wrap_s else 0.0
        self._shares = abs(own - offset - shift) < OFF_S
        return (at - shift, offset + shift, skew) if self._shares else None

    def _new_segment(self, arrival: float) -> None:
        """Close the clock and begin another; what the quartz does, it will go on doing."""
        self.flush(np.inf)
        self._opened, self._estimate_due = arrival, True
        self._past.append(self._report())
        if self._fit:
            self._found.append(FittedClock(self._link))
        link = self._link
        skew = link.skew if link.method == "kalman" else link.prior
        self._link = LinkClock(skew, link.skew_sd, counted=self._counted, floor_s=self._last_time)
        if self._fit:
            self._link.windows, self._link.misses = [], []
        self._late_since, self._missed = None, 0

    def _returns(self, block: ImuBlock, arrival: float) -> bool:
        """Tell whether this packet comes after a silence and is late."""
        quiet = self._last_arrival is not None and arrival - self._last_arrival > OFF_S
        return quiet and not self._counted and self._lateness(block, arrival) >= OFF_S

    def _lateness(self, block: ImuBlock, arrival: float) -> float:
        """Return by how much the packet's newest sample is late, s; negative where ticks went back."""
        silence = arrival - (self._last_arrival or 0.0)
        forward, _ = self._forward(float(block.ticks[-1]), arrival, silence)
        return (self._expected(arrival) - forward) * self.stream.tick_s if forward >= 0 else -np.inf

    def _judge(self, first: float, arrival: float, *, anew: bool) -> bool:
        """Tell whether the clock started anew before this tick; put the compiled clock right where ticks mislead."""
        if self._last_arrival is None:
            return False
        silence = arrival - self._last_arrival
        forward, unheard = self._forward(first, arrival, silence)
        if anew or self._begin_anew or self._restarted(forward, arrival, silence):
            self._begin_anew = False
            self._counts[RESTARTS] += 1
            self._clock[STARTED] = 0.0
            return True
        if unheard:
            self._bridge(first, forward)
        return False

    def _forward(self, first: float, arrival: float, silence: float) -> tuple[float, bool]:
        """Return the ticks since the last one, and whether so many of them went unheard that only arrivals can tell."""
        forward = first - float(self._clock[LAST_TICK])
        wrap = self.stream.wrap_ticks
        if wrap is None:
            return forward, False
        forward -= wrap * np.floor(forward / wrap)
        if silence > 0.25 * wrap * self.stream.tick_s:
            forward += wrap * max(round((self._expected(arrival) - forward) / wrap), 0)
            return forward, forward > 0.5 * wrap
        return (forward - wrap if forward > 0.5 * wrap else forward), False

    def _expected(self, arrival: float) -> float:
        """Return how many ticks after the last one a packet is due that arrives now."""
        last = float(self._clock[LAST_TICK] + self._clock[OFFSET_TICKS])
        return (arrival - self._link.offset_at(last * self.stream.tick_s)) / self.stream.tick_s - last

    def _restarted(self, forward: float, arrival: float, silence: float) -> bool:
        """Judge a step of the ticks by the time that has passed."""
        tick_s = self.stream.tick_s
        if forward < 0:
            return -forward * tick_s > REORDER_WINDOW_S or silence > QUIET_S
        if forward == 0:
            return self._counted and silence > QUIET_S
        late = (self._expected(arrival) - forward) * tick_s
        if late < -OFF_S:
            return True
        if late < LATE_S:
            self._late_since = None
            return False
        if self._late_since is None or late < self._late_then - OFF_S:  # it catches up
            self._late_since, self._late_then = arrival, late
        return arrival - self._late_since >= LATE_S

    def _bridge(self, first: float, forward: float) -> None:
        """Make the compiled clock see one step forward where there were whole wraps."""
        wrap = float(self.stream.wrap_ticks or 0.0)
        now = float(self._clock[LAST_TICK] + self._clock[OFFSET_TICKS]) + forward
        before = (first - self._period_ticks) % wrap
        self._clock[LAST_TICK] = before
        self._clock[OFFSET_TICKS] = now - first - (wrap if first < before else 0.0)
