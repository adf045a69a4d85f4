"""Counting law on the air: sent = kept + lost over drops, losses, wraps and restarts; gaps as long as they were."""

import os
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from clock_simulator import Link, Packets, packets

from imuposture._blocks import ImuBlock, Quality, Stream
from imuposture.alignment import Alignment, Counts

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))
DROPS = 1000 if SOAK else 50
EVERY_S = 8.0  # between two drops, on average
RATE, SAMPLES = 60.0, 4
TICK_S = 1e-6
SAME_CLOCK_S = 0.3  # a clock that shows this little else than it should is taken for the same one (0.25 s)
GOOD = Link(RATE, SAMPLES, 0.015, lost=0.0)


@dataclass
class Story:
    """Notifications as they came: number of the first sample of each, its arrival; and what was sent between them."""

    came: Packets
    order: np.ndarray  # of packets, as they were handed on; some twice, some late
    again: np.ndarray  # places in ``order`` that are duplicates
    late: np.ndarray  # places that are behind a later packet


def story(seed: int, lost: float, drops: int, *, disorder: bool = True) -> Story:
    """Drop the link now and then for 0.4 to 10 s, lose packets, hand some on twice and exchange some."""
    rng = np.random.default_rng(seed)
    seconds = drops * EVERY_S + 10
    came = packets(replace(GOOD, lost=lost), seconds, seed)
    keep = np.ones(len(came.number), np.bool_)
    for start in rng.uniform(8, seconds - 12, drops):
        end = start + rng.choice([rng.uniform(0.4, 2.0), rng.uniform(2.0, 10.0)])
        keep &= (came.true_s < start) | (came.true_s > end)
    came = Packets(came.device_s[keep], came.arrival_s[keep], came.true_s[keep], came.number[keep], came.skew)
    count = len(came.number)
    order, again, late = np.arange(count), [], []
    if disorder:
        chosen = rng.choice(np.arange(5, count - 5, 3), count // 50, replace=False)
        late = chosen[::2][np.diff(came.number)[chosen[::2]] == 1]  # these change places with the next one
        order[late], order[late + 1] = late + 1, late
        twice = np.sort(chosen[1::2])
        order = np.insert(order, twice + 1, order[twice])
        again = twice + 1 + np.arange(len(twice))
    return Story(came, order, np.array(again, int), np.array(late, int))


def ramp(number: np.ndarray) -> np.ndarray:
    return np.stack([number, 2.0 * number, 3.0 - number], axis=1)


def blocks(told: Story, wrap: float | None, first_tick: float, reboot=()) -> list[ImuBlock]:
    """Pack the packets as a decoder would: ticks of each sample, from the newest one's device time back."""
    out = []
    arrivals = np.maximum.accumulate(told.came.arrival_s[told.order])  # out of order means late, never early
    for place, arrival in zip(told.order, arrivals, strict=True):
        number = SAMPLES * told.came.number[place] + np.arange(SAMPLES)
        ticks = np.round(first_tick + number * 1e6 / RATE)
        for at, tick in reboot:
            ticks = np.where(number >= at, np.round(tick + (number - at) * 1e6 / RATE), ticks)
        ticks = ticks if wrap is None else ticks % wrap
        values = ramp(number.astype(float))
        out.append(ImuBlock("upper", ticks, values, values, arrival_s=float(arrival)))
    return out


def walk(stream: Stream, given: list[ImuBlock], **kwargs) -> tuple[Counts, np.ndarray, np.ndarray, np.ndarray]:
    alignment = Alignment([stream], **kwargs)
    rows = [*map(alignment.push, given), alignment.finish()]
    parts = [[r.time_s for r in rows], [r.upper.acc[:, 0] for r in rows], [r.upper.flags for r in rows]]
    return alignment.counts()["upper"], *(np.concatenate(part) for part in parts)


def runs(marked: np.ndarray) -> list[tuple[int, int]]:
    """Return start and length of each run of marks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def missing_of(told: Story) -> np.ndarray:
    """Mark the samples between the first and the last that never came, or came too late."""
    there = np.setdiff1d(told.came.number, told.came.number[told.late])
    sent = np.arange(SAMPLES * told.came.number[0], SAMPLES * (told.came.number[-1] + 1))
    return ~np.isin(sent // SAMPLES, there)


def check_gaps(told: Story, flags: np.ndarray) -> None:
    """As many long gaps in the rows as among the samples, and each as long within one.

    Between the neighbours of a gap of n samples lie n + 1 periods, and so many instants of a grid that meets neither.
    """
    long = [length + 1 for _, length in runs(missing_of(told)) if length >= 6]  # neighbours more than 0.1 s apart
    found = [length for _, length in runs((flags & Quality.GAP) > 0)]
    assert len(found) == len(long)
    assert max(abs(np.array(found) - np.array(long)), default=0) <= 1


@pytest.mark.parametrize("wrap", [None, 2.0**32, 2.0**24], ids=["endless", "71 min", "17 s"])
@pytest.mark.parametrize("lost", [0.0, 0.05, 0.2])
def test_every_sample_is_kept_or_lost(wrap, lost):
    """Device clocks; one of them wraps every 17 s, some of it unheard."""
    told = story(7, lost, max(DROPS // 9, 5))
    stream = Stream("upper", RATE, tick_s=TICK_S, wrap_ticks=wrap, clock="device")
    counts, _, value, flags = walk(stream, blocks(told, wrap, 2.0**32 - 20e6))
    missing = missing_of(told)
    assert (counts.kept, counts.lost) == (np.count_nonzero(~missing), np.count_nonzero(missing))
    assert (counts.restarts, counts.estimated, counts.late, counts.empty) == (0, 0, 0, 0)
    assert counts.duplicate + counts.reordered == SAMPLES * (len(told.again) + len(told.late))
    check_gaps(told, flags)
    known = value[np.isfinite(value)]
    assert (np.diff(known) > 0).all()  # nothing twice, nothing backwards


def reboots(told: Story, chosen: list[int], first_tick: float, where: str, rng) -> list[tuple[int, float]]:
    """Let the device show another tick after each of these drops: its first sample's, and where."""
    reboot, begun, tick = [], 0, first_tick
    for k in chosen:
        last, number = (SAMPLES * int(told.came.number[at]) for at in (k, k + 1))
        would_show, gap = tick + (number - begun) * 1e6 / RATE, (number - last) * 1e6 / RATE
        shows = would_show
        while abs(shows - would_show) < SAME_CLOCK_S * 1e6:  # nobody could tell
            shows = rng.uniform(0, {"at zero": 0.2e6, "while away": gap, "anywhere": 2.0**32 - 200e6}[where])
        reboot.append((number, shows))
        begun, tick = number, shows
    return reboot


@pytest.mark.parametrize("where", ["at zero", "while away", "anywhere"])
@pytest.mark.parametrize("seed", range(DROPS // 10))
def test_a_restart_is_found_and_what_fell_out_is_estimated(seed, where):
    """The device restarts in some of the drops: as they end, some time before, or to show any tick whatever."""
    rng = np.random.default_rng(seed)
    told = story(seed, 0.02, 10, disorder=False)
    drops = [int(k) for k in np.flatnonzero(np.diff(told.came.number) > 30)]
    chosen = sorted(rng.choice(drops, min(3, len(drops)), replace=False))
    reboot = reboots(told, chosen, 100e6, where, rng)
    stream = Stream("upper", RATE, tick_s=TICK_S, wrap_ticks=2.0**32, clock="device")
    counts, time_s, _, flags = walk(stream, blocks(told, 2.0**32, 100e6, reboot))
    gaps = sum(SAMPLES * int(told.came.number[k + 1] - told.came.number[k] - 1) for k in chosen)
    missing = missing_of(told)
    assert counts.restarts == len(chosen)
    assert counts.kept == np.count_nonzero(~missing)
    assert abs(counts.estimated - gaps) <= len(chosen)
    assert counts.lost - counts.estimated == np.count_nonzero(missing) - gaps
    check_gaps(told, flags)
    assert (np.diff(time_s) > 0).all()
    assert counts.late == 0


@pytest.mark.parametrize("seed", range(DROPS // 10))
def test_what_was_queued_while_the_link_stood_still_is_no_restart(seed):
    """Packets of seconds come at once or twice as fast as they were measured: too late for rows, but counted."""
    rng = np.random.default_rng(seed)
    came = packets(replace(GOOD, lost=0.02), 120.0, seed)
    told, arrival_s = Story(came, np.arange(len(came.number)), np.array([], int), np.array([], int)), came.arrival_s
    for start in (20.0, 50.0, 80.0):
        end, speed = start + rng.uniform(0.5, 6.0), rng.choice([2.0, 5.0, 50.0])
        queued = end + (came.true_s - start) / speed
        arrival_s[:] = np.where(came.true_s > start, np.maximum(arrival_s, queued), arrival_s)
    stream = Stream("upper", RATE, tick_s=TICK_S, wrap_ticks=2.0**32, clock="device")
    counts, time_s, _, _ = walk(stream, blocks(told, 2.0**32, 100e6))
    missing = missing_of(told)
    assert (counts.restarts, counts.estimated) == (0, 0)
    assert counts.kept + counts.late == np.count_nonzero(~missing)
    assert counts.kept + counts.lost == len(missing)
    assert (np.diff(time_s) > 0).all()


@pytest.mark.parametrize("seed", range(DROPS // 10))
def test_of_a_mere_count_arrivals_tell_what_drops_cost(seed):
    """No clock and no counter: the decoder counts what comes, from zero after every drop; its rate is 1.5 % off."""
    told = story(seed, 0.0, 10, disorder=False)
    edges = [0, *(int(k) + 1 for k in np.flatnonzero(np.diff(told.came.number) > 1)), len(told.came.number)]
    stream = Stream("upper", RATE / 1.015, tick_s=1.015 / RATE, clock="count")
    alignment, rows = Alignment([stream]), []
    arrivals = told.came.arrival_s
    for start, end in pairwise(edges):
        alignment.reconnected("upper")
        for k in range(start, end):
            ticks = SAMPLES * (k - start) + np.arange(SAMPLES, dtype=float)
            values = ramp(SAMPLES * told.came.number[k] + np.arange(SAMPLES, dtype=float))
            rows.append(alignment.push(ImuBlock("upper", ticks, values, values, arrival_s=float(arrivals[k]))))
    rows.append(alignment.finish())
    counts, missing = alignment.counts()["upper"], missing_of(told)
    assert counts.kept == SAMPLES * len(told.came.number)
    assert counts.lost == counts.estimated
    assert abs(counts.lost - np.count_nonzero(missing)) <= 1.5 * (len(edges) - 2)
    assert counts.restarts == len(edges) - 2
    assert (np.diff(np.concatenate([r.time_s for r in rows])) > 0).all()
