"""One sensor's samples on the session's time line, as far as they are still needed."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray, ImuBlock, Quality, SensorRows, Stream
from imuposture._checks import fitting, flags_of, floats, number, refuse_nonsense, sound
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import alignment as _ext

__all__ = ["LATEST_S", "LONGEST_GAP_S", "REORDER_WINDOW_S", "SLACK", "Counts", "Feed", "checked", "nothing"]

REORDER_WINDOW_S = 2.0  # a sample this late came out of order; later still, the sensor's clock has started anew
LONGEST_GAP_S = 2 * 3600.0  # rows of a gap are written out; beyond this it is two recordings
RATE_LIMITS = (1.0, 20_000.0)  # Hz, as in `imuposture.fusion`
GAP, INTERPOLATED = np.uint8(Quality.GAP), np.uint8(Quality.INTERPOLATED)
SATURATED, DUPLICATE = Quality.SATURATED.value, Quality.DUPLICATE_OR_REORDERED.value
LATEST_S = 1e10  # s; a clock that counts from 1970 stands at 1.8e9
SLACK = 1e-6  # s; decimal time stamps this near to each other are one instant, and a gap this near to the limit is it


@dataclass(frozen=True)
class Counts:
    """What happened to one sensor's samples: sent = kept + lost, exactly.

    Attributes
    ----------
    kept : int
        Samples that became rows or helped to interpolate them.
    lost, empty : int
        Samples that never came (by the stream's own clock) or came empty; of these, ``empty`` came empty.
    duplicate, reordered : int
        Samples dropped because their tick was there already, or because a later one was (then they count as lost too).
    restarts : int
        Times the sensor's clock started anew.
    estimated : int
        Of the lost, those that no tick tells of, only the time between arrivals: over a restart, and of sensors that
        have no clock.
    late : int
        Of the lost, those that came when their rows had already gone out without them.
    """

    kept: int
    lost: int
    empty: int
    duplicate: int
    reordered: int
    restarts: int
    estimated: int = 0
    late: int = 0

    def asdict(self) -> dict[str, int]:
        """Return the counts by name, with ``sent``."""
        return {"sent": self.kept + self.lost, **asdict(self)}


class Feed:
    """One sensor's samples on the session time line, as far as they are still needed."""

    def __init__(self, stream: Stream, gap_limit_s: float) -> None:
        self.stream = stream
        self._period_ticks = 1.0 / (stream.rate_hz * stream.tick_s)
        self._restart_ticks = gap_limit_s / stream.tick_s + self._period_ticks
        self._clock = np.zeros(5)
        self._counts = np.zeros(5, np.int64)
        self._seen = np.zeros(_ext.SEEN)
        self._acc_range, self._gyr_range = _usable(stream.acc_full_scale), _usable(stream.gyr_full_scale)
        self._empty = 0
        self._shift_s: float | None = None
        self._has_mag: bool | None = None
        self.latest: float | None = None
        self.times = np.empty(0)
        self._unlaid = np.empty(0)
        self._valid = np.empty(0, np.bool_)
        self._acc = self._gyr = np.empty((0, 3))
        self._mag: FloatArray | None = None
        self._quat: FloatArray | None = None  # from the first block on that has it
        self._flags = np.empty(0, np.uint8)

    def take(self, block: ImuBlock) -> None:
        """Put the block's samples on the time line, without those that are duplicate or late.

        Raises
        ------
        SignalError
            If the block's arrays do not fit each other, or what came before.
        """
        arrival_s = block.arrival_s
        block = _tidied(block, self.stream.tick_s)
        if not len(block.ticks):
            return
        if self._has_mag not in (None, block.mag is not None):
            raise SignalError(f"mag of {block.role} comes or goes between blocks; give NaN where it is missing")
        self._has_mag = block.mag is not None
        self._put(block, arrival_s)

    def flush(self, now_s: float) -> None:
        """Lay what was held back, if its time has come."""

    def _put(self, block: ImuBlock, arrival_s: float | None) -> None:
        """Put a block that is in order on the time line."""
        del arrival_s  # these ticks are time already
        if self._shift_s is None:
            self._shift_s = self.stream.start_s - block.ticks[0] * self.stream.tick_s
        self._keep(block, *self._unwrap(block.ticks, self._shift_s))

    def _keep(self, block: ImuBlock, times: FloatArray, kept: FlagArray) -> None:
        """Keep the samples that are taken (``kept``: 0 dropped, 1 taken, 2 first after a drop)."""
        flags = np.zeros(len(times), np.uint8) if block.flags is None else block.flags
        take: slice | NDArray[np.bool_] = slice(None)
        if np.count_nonzero(kept != 1):
            flags[kept == 2] |= DUPLICATE
            take = kept > 0
        acc, gyr, flags = block.acc[take], block.gyr[take], flags[take]
        mag = None if block.mag is None else block.mag[take]
        valid = _without_nan(acc, gyr)
        self._empty += len(valid) - int(np.count_nonzero(valid))
        self._find_faults(acc, gyr, flags)
        times = times[take]
        if block.quat is not None or self._quat is not None:
            self._keep_quat(None if block.quat is None else block.quat[take], len(times))
        if len(times):
            self.latest = float(times[-1])
        self._unlaid = _joined(self._unlaid, times)
        self.times = _joined(self.times, times)
        self._valid = _joined(self._valid, valid)
        self._acc = _joined(self._acc, acc)
        self._gyr = _joined(self._gyr, gyr)
        if mag is not None:
            self._mag = mag if self._mag is None else _joined(self._mag, mag)
        self._flags = _joined(self._flags, flags)

    def _keep_quat(self, quat: FloatArray | None, rows: int) -> None:
        """Keep what the sensor reckons of these samples; NaN of those before and between that it says nothing of."""
        held = np.full((len(self.times), 4), np.nan) if self._quat is None else self._quat
        self._quat = _joined(held, np.full((rows, 4), np.nan) if quat is None else quat)

    def _unwrap(self, ticks: FloatArray, shift_s: float) -> tuple[FloatArray, FlagArray]:
        stream = self.stream
        times, kept = np.empty(len(ticks)), np.empty(len(ticks), np.uint8)
        window = REORDER_WINDOW_S / stream.tick_s
        _ext.unwrap(
            ticks,
            stream.wrap_ticks or 0.0,
            stream.tick_s,
            shift_s,
            self._period_ticks,
            window,
            self._restart_ticks,
            self._clock,
            times,
            kept,
            self._counts,
        )
        return times, kept

    def _find_faults(self, acc: FloatArray, gyr: FloatArray, flags: FlagArray) -> None:
        """Mark samples that ran into a range or repeat the one before."""
        _ext.find_faults(acc, gyr, self._acc_range, self._gyr_range, SATURATED, DUPLICATE, self._seen, flags)

    @property
    def _magnetic(self) -> bool:
        """Rows hold ``mag``, also those before the first block that has it."""
        return self.stream.magnetometer or self._mag is not None

    def unlaid(self) -> FloatArray:
        """Return the times of the samples that came since the last call."""
        times, self._unlaid = self._unlaid, np.empty(0)
        return times

    def horizon(self, limit: float) -> float:
        """Return up to which instant nothing that is still to come can change a row."""
        if self.latest is None:
            return -np.inf
        last = _last(self._valid)
        bridged = last >= 0 and self.latest - self.times[last] <= limit
        return float(self.times[last]) if bridged else self.latest

    def sample(self, grid: FloatArray, limit: float) -> SensorRows:
        """Return the sensor's rows at the instants of the grid, and forget what lies before the last of them."""
        if not len(grid):
            return nothing(0, mag=self._magnetic)
        rows = self._exact(grid) or self._interpolated(grid, limit)
        last = _last(self._valid[: int(np.searchsorted(self.times, grid[-1], side="right"))])
        self._forget(last if last >= 0 else int(np.searchsorted(self.times, grid[-1])))
        return rows

    def _exact(self, grid: FloatArray) -> SensorRows | None:
        """Return the samples themselves, if they lie on the grid one by one: no search, no copy."""
        first = int(np.searchsorted(self.times, grid[0]))
        own = slice(first, first + len(grid))
        if not np.array_equal(self.times[own], grid) or not self._valid[own].all():
            return None
        mag = None if self._mag is None else self._mag[own]
        quat = None if self._quat is None else self._quat[own]
        return SensorRows(self._acc[own], self._gyr[own], mag, self._flags[own], quat)

    def _interpolated(self, grid: FloatArray, limit: float) -> SensorRows:
        valid = self._valid.nonzero()[0]
        if not len(valid):
            return nothing(len(grid), mag=self._magnetic)
        times = self.times[valid]
        after = np.minimum(times.searchsorted(grid - SLACK), len(times) - 1)
        exact = np.abs(times[after] - grid) <= SLACK
        before = np.where(exact, after, np.maximum(after - 1, 0))
        start, end = times[before], times[after]
        width = end - start
        known = exact | ((start <= grid) & (grid <= end) & (width <= limit))
        weight = np.where(exact, 0.0, (grid - start) / np.where(width > 0, width, 1.0))[:, None]
        left, right = valid[before], valid[after]
        flags = np.where(known, self._flags[left] | self._flags[right], GAP)
        flags |= (known & ~exact & (width > 1.5 / self.stream.rate_hz)) * INTERPOLATED
        blank = None if np.count_nonzero(known) == len(known) else ~known

        def line(rows: FloatArray) -> FloatArray:
            values = rows[left]
            values += weight * (rows[right] - values)
            if blank is not None:
                values[blank] = np.nan
            return values

        mag = None if self._mag is None else line(self._mag)
        quat = None
        if self._quat is not None:
            near = np.where(grid - self.times[left] <= self.times[right] - grid, left, right)
            quat = self._nearest(grid, near, known)
        return SensorRows(line(self._acc), line(self._gyr), mag, flags, quat)

    def _nearest(self, grid: FloatArray, near: NDArray[np.intp], known: NDArray[np.bool_]) -> FloatArray:
        """Return what the sensor itself reckoned of the sample nearest to each row, if it is near: no mixture."""
        assert self._quat is not None
        close = known & (np.abs(self.times[near] - grid) <= 0.5 / self.stream.rate_hz + SLACK)
        return np.where(close[:, None], self._quat[near], np.nan)

    def _forget(self, rows: int) -> None:
        self.times, self._valid, self._flags = self.times[rows:], self._valid[rows:], self._flags[rows:]
        self._acc, self._gyr = self._acc[rows:], self._gyr[rows:]
        self._mag = None if self._mag is None else self._mag[rows:]
        self._quat = None if self._quat is None else self._quat[rows:]

    def counts(self) -> Counts:
        """Return what happened to the samples so far."""
        kept, lost, duplicate, reordered, restarts = (int(count) for count in self._counts)
        return Counts(kept - self._empty, lost + self._empty, self._empty, duplicate, reordered, restarts)


def _usable(full_scale: float | None) -> float:
    return np.inf if full_scale is None else 0.98 * full_scale


def _joined(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([first, second]) if len(first) else second


def _last(marked: NDArray[np.bool_]) -> int:
    """Return the place of the last mark, or -1."""
    if len(marked) and marked[-1]:  # as nearly always
        return len(marked) - 1
    back = int(np.argmax(marked[::-1])) if len(marked) else 0
    return len(marked) - 1 - back if len(marked) and marked[len(marked) - 1 - back] else -1


def _without_nan(acc: FloatArray, gyr: FloatArray) -> NDArray[np.bool_]:
    """Tell the rows that hold no NaN."""
    if sound((acc, gyr)):
        return np.ones(len(acc), np.bool_)
    valid: NDArray[np.bool_] = ~np.isnan(acc[:, 0] + acc[:, 1] + acc[:, 2] + gyr[:, 0] + gyr[:, 1] + gyr[:, 2])
    return valid


def checked(stream: Stream) -> Stream:
    """Return the stream with its numbers as plain floats, if they make sense together.

    Raises
    ------
    ConfigError
        If they do not.
    """
    rate, tick, start = number(stream.rate_hz), number(stream.tick_s), number(stream.start_s)
    low, high = RATE_LIMITS
    if not low <= rate <= high:
        raise ConfigError(f"rate of {stream.role} must lie between {low:g} and {high:g} Hz, got {stream.rate_hz!r}")
    if not 0 < tick <= LONGEST_GAP_S or not abs(start) <= LATEST_S:
        given = f"tick_s {stream.tick_s!r} and start_s {stream.start_s!r}"
        raise ConfigError(f"{stream.role} must tick in more than 0 s and start within {LATEST_S:g} s, got {given}")
    wrap = None if stream.wrap_ticks is None else number(stream.wrap_ticks)
    if wrap is not None and not 1 / (rate * tick) < wrap < np.inf:
        raise ConfigError(f"wrap_ticks of {stream.role} must exceed a sample's, got {stream.wrap_ticks!r}")
    scales = (stream.acc_full_scale, stream.gyr_full_scale)
    acc, gyr = (None if scale is None else number(scale) for scale in scales)
    if not all(scale is None or scale > 0 for scale in (acc, gyr)):
        raise ConfigError(f"full scales of {stream.role} must be more than 0 or None, got {scales}")
    clock = replace(stream, rate_hz=rate, tick_s=tick, start_s=start, wrap_ticks=wrap)
    return replace(clock, acc_full_scale=acc, gyr_full_scale=gyr)


def _tidied(block: ImuBlock, tick_s: float) -> ImuBlock:
    """Return the block's arrays in the form that everything below relies on, or say why that cannot be."""
    ticks = floats(f"ticks of {block.role}", block.ticks, (None,))
    rows = len(ticks)
    if not (np.abs(ticks) <= LATEST_S / tick_s).all():
        raise SignalError(f"ticks of {block.role} must be finite and within {LATEST_S:g} s; mend its time stamps")
    names = tuple(f"{name} of {block.role}" for name in ("acc", "gyr", "mag"))
    given = (block.acc, block.gyr) if block.mag is None else (block.acc, block.gyr, block.mag)
    vectors = fitting(rows, b"333"[: len(given)], names, given)
    if not sound(vectors):  # NaN marks an empty sample
        for name, array in zip(names, vectors, strict=False):
            refuse_nonsense({name: array}, np.isnan(array).any(axis=1))
    flags = np.zeros(rows, np.uint8)
    if block.flags is not None:
        flags = flags_of(f"flags of {block.role}", block.flags, rows).copy()
    mag = vectors[2] if len(vectors) == 3 else None
    quat = None if block.quat is None else _tidied_quat(block.role, block.quat, rows)
    return ImuBlock(block.role, ticks, vectors[0], vectors[1], mag, flags, quat)


def _tidied_quat(role: str, quat: FloatArray, rows: int) -> FloatArray:
    """Return a sensor's own orientations; what is none (beyond +-2, or not finite) is NaN."""
    given = floats(f"quat of {role}", quat, (rows, 4))
    with np.errstate(invalid="ignore"):
        sane = np.asarray((np.abs(given) <= 2.0).all(axis=1))
    return given if sane.all() else np.where(sane[:, None], given, np.nan)


def nothing(rows: int, *, mag: bool = False) -> SensorRows:
    """Return rows of a sensor that is not there."""
    blank = np.full((rows, 3), np.nan)
    return SensorRows(blank, blank, blank if mag else None, np.full(rows, GAP))
