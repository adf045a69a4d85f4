"""The common grid: both sensors' samples in, rows of one instant each out."""

from collections.abc import Mapping, Sequence

import numpy as np

from imuposture._blocks import ROLES, FloatArray, ImuBlock, PairBlock, Role, SensorRows, Stream
from imuposture._checks import number
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import alignment as _ext
from imuposture.alignment.clocks import ClockReport
from imuposture.alignment.feed import LATEST_S, LONGEST_GAP_S, SLACK, Counts, Feed, checked, nothing
from imuposture.alignment.fits import FittedClock
from imuposture.alignment.live import LiveFeed

__all__ = ["Alignment"]

WAIT_S = 1.0  # a host stands still for 0.2 s now and then, and a link is given up after 0.4 s or more


class Alignment:
    """Both streams onto one grid.

    Parameters
    ----------
    streams : sequence of Stream
        One or two, of different roles.
    gap_limit_s : float
        Longest distance between true neighbours that interpolation may bridge.
    wait_s : float
        How long rows of live streams wait for a sensor that has fallen silent.
    skews : mapping, optional
        Role -> skew of the sensor's clock as an earlier session found it (`ClockReport.skew`).
    fits : mapping, optional
        Role -> clocks of its segments, from a first pass over the same blocks; then these rather than what could be
        known live give the times.
    fit : bool
        This is that first pass: keep what `fits` needs.
    shared_clock : bool
        The sensors were synchronised, so that both show one time: one estimate serves both, as long as they agree.

    Raises
    ------
    ConfigError
        If there is no stream, a role comes twice, or a limit is not positive.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        gap_limit_s: float = 0.1,
        *,
        wait_s: float = WAIT_S,
        skews: Mapping[Role, float] | None = None,
        fits: Mapping[Role, Sequence[FittedClock]] | None = None,
        fit: bool = False,
        shared_clock: bool = False,
    ) -> None:
        roles = [stream.role for stream in streams]
        if not roles or len(set(roles)) != len(roles):
            raise ConfigError(f"one or two streams of different roles are needed, got {roles}")
        limit = _span("gap limit", gap_limit_s)
        self._limit = limit + SLACK
        self._wait = _span("wait", wait_s)
        self._feeds = {
            stream.role: _feed(checked(stream), limit, skews or {}, fits or {}, fit=fit) for stream in streams
        }
        if shared_clock:
            _share(self._feeds)
        self._leader = min(self._feeds.values(), key=lambda feed: (feed.stream.rate_hz, feed.stream.role))
        self.streams = tuple(self._feeds[role].stream for role in ROLES if role in self._feeds)
        self.rate_hz = self._leader.stream.rate_hz
        self._period = 1.0 / self.rate_hz
        self._laid: FloatArray | None = None  # instant of the grid that was laid last, and where it was due
        self._pending = np.empty(0)  # instants laid, but not yet known for both sensors
        self._live = any(isinstance(feed, LiveFeed) for feed in self._feeds.values())
        self._now = -np.inf
        self._start: float | None = None  # first instant of a live grid
        self._next = 0  # number of the instant that comes next

    def push(self, block: ImuBlock) -> PairBlock:
        """Take the next rows of one sensor.

        Parameters
        ----------
        block : ImuBlock
            Rows of one sensor, in the order of arrival; of a live stream, those of one notification.

        Returns
        -------
        PairBlock
            The rows that are now known for both sensors; may be none, and may be more than came in.

        Raises
        ------
        SignalError
            If the block is of a sensor that was not announced, its arrays do not fit each other, or its clock jumps
            further than the longest gap.
        """
        if block.role not in self._feeds:
            raise SignalError(f"no stream was announced for {block.role!r}, only for {sorted(self._feeds)}")
        self._feeds[block.role].take(block)
        if self._live and block.arrival_s is not None:
            self._now = max(self._now, block.arrival_s)
        return self._emit(finished=False)

    def advance(self, now_s: float) -> PairBlock:
        """Let time pass on the host; return the rows that need not wait any longer for a sensor that is silent.

        Parameters
        ----------
        now_s : float
            On the scale of `ImuBlock.arrival_s`; of any entry, whatever its kind.

        Raises
        ------
        SignalError
            If it is no time.
        """
        if not abs(number(now_s)) <= LATEST_S:
            raise SignalError(f"now_s must be finite and within {LATEST_S:g} s, got {now_s!r}")
        self._now = max(self._now, float(now_s))
        return self._emit(finished=False)

    def reconnected(self, role: Role) -> None:
        """Take note that a sensor was connected anew: counts of samples begin at zero there."""
        feed = self._feeds.get(role)
        if isinstance(feed, LiveFeed):
            feed.reconnected()

    def finish(self) -> PairBlock:
        """Return the rows that still waited for a neighbour."""
        return self._emit(finished=True)

    def counts(self) -> dict[Role, Counts]:
        """Return what happened to each sensor's samples so far."""
        return {role: feed.counts() for role, feed in self._feeds.items()}

    def clocks(self) -> dict[Role, list[ClockReport]]:
        """Return what is known of each live sensor's clock so far, a segment each."""
        return {role: feed.clocks() for role, feed in self._feeds.items() if isinstance(feed, LiveFeed)}

    def fits(self) -> dict[Role, list[FittedClock]]:
        """Return each live sensor's clocks as they look in the end, for a second pass over the same blocks."""
        return {role: feed.fits() for role, feed in self._feeds.items() if isinstance(feed, LiveFeed)}

    def _emit(self, *, finished: bool) -> PairBlock:
        for feed in self._feeds.values():
            feed.flush(np.inf if finished else self._now)
        grid = self._steady(finished=finished) if self._live else self._followed(finished=finished)
        rows = {role: self._rows(role, grid) for role in ROLES}
        return PairBlock(grid, rows["upper"], rows["lower"])

    def _rows(self, role: Role, grid: FloatArray) -> SensorRows:
        if role not in self._feeds:
            return nothing(len(grid))
        return self._feeds[role].sample(grid, self._limit)

    def _steady(self, *, finished: bool) -> FloatArray:
        """Return the next instants of a grid that runs on the host's clock, whatever the sensors do."""
        if not finished and self._start is None and self._now - self._begun() < self._wait:
            return np.empty(0)
        starts = [float(feed.times[0]) for feed in self._feeds.values() if len(feed.times)]
        if self._start is None:
            if not starts:
                return np.empty(0)
            self._start = min(starts)
        horizon = self._finish_line() if finished else self._horizon()
        last = int(np.floor((horizon - self._start) * self.rate_hz + SLACK)) if np.isfinite(horizon) else -1
        if last < self._next:
            return np.empty(0)
        first = max(self._next, last - int(LONGEST_GAP_S * self.rate_hz))
        self._next = last + 1
        return self._start + np.arange(first, last + 1, dtype=np.float64) * self._period

    def _begun(self) -> float:
        """Return since when rows wait for the last sensor to come; long ago if none is missing."""
        if all(feed.latest is not None for feed in self._feeds.values()):
            return -np.inf
        first = [feed.first_arrival for feed in self._feeds.values() if isinstance(feed, LiveFeed)]
        return min((arrival for arrival in first if arrival is not None), default=np.inf)

    def _horizon(self) -> float:
        """Return up to where rows are known for both sensors, or no longer waited for."""
        known = min(feed.horizon(self._limit) for feed in self._feeds.values())
        return max(known, self._now - self._wait)

    def _finish_line(self) -> float:
        return max((feed.latest for feed in self._feeds.values() if feed.latest is not None), default=-np.inf)

    def _followed(self, *, finished: bool) -> FloatArray:
        """Return the next instants of a grid that follows the leader's own stamps, known for both sensors."""
        self._lay_grid(finished=finished)
        horizon = np.inf if finished else min(feed.horizon(self._limit) for feed in self._feeds.values())
        known = int(np.searchsorted(self._pending, horizon, side="right"))
        grid, self._pending = self._pending[:known], self._pending[known:]
        return grid

    def _lay_grid(self, *, finished: bool) -> None:
        """Lay the instants up to the leader's last sample; before its first and after its last those of the other."""
        if not finished and any(feed.latest is None for feed in self._feeds.values()):
            return
        times = {role: feed.unlaid() for role, feed in self._feeds.items()}[self._leader.stream.role]
        others = [feed for feed in self._feeds.values() if feed is not self._leader and feed.latest is not None]
        if self._laid is None:
            starts = [float(feed.times[0]) for feed in self._feeds.values() if len(feed.times)]
            if not starts:
                return
            first = float(times[0]) if len(times) else starts[0]
            before = first - (round((first - min(starts)) / self._period) + 1) * self._period
            self._laid = np.array([before, before])
        if finished:
            end = float(times[-1]) if len(times) else float(self._laid[0])
            alone = max((round((feed.latest - end) / self._period) for feed in others if feed.latest), default=0)
            if alone > LONGEST_GAP_S / self._period + 2 * max(len(feed.times) for feed in self._feeds.values()):
                raise _jump(end + alone * self._period)
            times = np.concatenate([times, end + self._period * np.arange(1, alone + 1)])
        if len(times):
            self._lay(times, self._laid)

    def _lay(self, times: FloatArray, laid: FloatArray) -> None:
        span = float(times[-1] - laid[0])
        if not span <= LONGEST_GAP_S + 2 * self._period * len(times):
            raise _jump(float(times[-1]))
        room = np.empty(int(2 * span / self._period) + len(times) + 2)
        count = _ext.lay_grid(times, self._period, laid, room)
        self._pending = np.concatenate([self._pending, room[:count]]) if len(self._pending) else room[:count]


def _feed(
    stream: Stream,
    limit: float,
    skews: Mapping[Role, float],
    fits: Mapping[Role, Sequence[FittedClock]],
    *,
    fit: bool,
) -> Feed:
    if stream.clock == "host":
        return Feed(stream, limit)
    return LiveFeed(stream, limit, skews.get(stream.role), fits.get(stream.role), fit=fit)


def _share(feeds: Mapping[Role, Feed]) -> None:
    """Let the lower sensor follow the upper's clock."""
    upper, lower = feeds.get("upper"), feeds.get("lower")
    if isinstance(upper, LiveFeed) and isinstance(lower, LiveFeed):
        lower.base = upper


def _span(name: str, value: float) -> float:
    seconds = number(value)
    if not 0 < seconds < LONGEST_GAP_S:
        raise ConfigError(f"{name} must be more than 0 s and less than {LONGEST_GAP_S:g} s, got {value!r}")
    return seconds


def _jump(time_s: float) -> SignalError:
    return SignalError(
        f"time jumps to {time_s:g} s; the longest gap in one recording is {LONGEST_GAP_S / 3600:g} h: "
        "split the recording there, or mend its time stamps"
    )
