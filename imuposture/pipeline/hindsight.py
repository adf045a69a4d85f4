"""Better times for a whole recording: clocks fitted to all that arrived, and sensors that were shaken together.

Both need what came later, so neither is live, nor ever the default; the configuration names them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from imuposture._blocks import ImuBlock, PairBlock
from imuposture._errors import ConfigError
from imuposture.acquisition.readers import Recording
from imuposture.alignment import Alignment, shaken_together
from imuposture.output import manifest, read_entries
from imuposture.pipeline.remembered import walk_of
from imuposture.pipeline.rows import cut_pair, join_pairs

__all__ = ["refitted", "unlagged"]


def refitted(recording: Recording) -> Recording:
    """Return a live session's samples on clocks that are fitted to the whole of it.

    Parameters
    ----------
    recording : Recording
        The session, opened by its reader: its samples lie where they were put while it was recorded.

    Raises
    ------
    ConfigError
        If it is no session that was recorded live.
    SessionError
        If some of what it kept is damaged.
    """
    folder = recording.paths[0].parent
    known = manifest.load(folder) if (folder / manifest.MANIFEST).is_file() else {}
    if known.get("state") != manifest.CLOSED or recording.paths[0].suffix != ".parquet":
        raise ConfigError(
            f"clocks can be fitted where arrivals are known, in a session that was recorded live; {recording.paths[0]} "
            "is none: leave clocks = 'fit' out"
        )
    pairs = _fitted_rows(folder, known)
    begin_s = float(pairs[0].time_s[0]) if pairs else 0.0
    return replace(
        recording,
        streams=tuple(replace(stream, start_s=begin_s) for stream in recording.streams),
        source=lambda: _blocks(recording, pairs),
        notes=(*recording.notes, "the sensors' clocks were fitted to the whole session"),
    )


def _fitted_rows(folder: Path, known: Mapping[str, Any]) -> list[PairBlock]:
    """Walk the session for its clocks, and again with them."""
    first = walk_of(known, clocks="gather")
    for _ in first.aligned(read_entries(folder)):
        pass
    pairs = walk_of(known, clocks=first.alignment.fits()).aligned(read_entries(folder))
    return [pair for pair in pairs if len(pair)]


def _blocks(recording: Recording, pairs: list[PairBlock]) -> Iterator[ImuBlock]:
    for pair in pairs:
        for stream in recording.streams:
            rows = pair.upper if stream.role == "upper" else pair.lower
            mag = rows.mag if stream.magnetometer else None
            yield ImuBlock(stream.role, pair.time_s, rows.acc, rows.gyr, mag, rows.flags, rows.quat)


def unlagged(
    recording: Recording, begin_s: float, end_s: float, gap_limit_s: float
) -> tuple[Recording, dict[str, Any]]:
    """Move the upper sensor's times by the lag that shaking both sensors together shows, if it shows one.

    Parameters
    ----------
    recording : Recording
    begin_s, end_s : float
        When they were held together and shaken, in seconds of the recording's own time.
    gap_limit_s : float
        As of `Config`.

    Returns
    -------
    recording : Recording
        With a note that says what was done; its times are as they were where the lag is not to be trusted.
    found : dict
        The lag as `imuposture.alignment.Lag` has it, for the manifest.

    Raises
    ------
    ConfigError
        If there is one sensor only, or no rows in that time.
    SignalError
        If the time is too short.
    """
    if len(recording.streams) < 2:
        raise ConfigError("shaken_s compares two sensors, and the recording has one: leave it out")
    pair = _between(recording, begin_s, end_s, gap_limit_s)
    if not len(pair):
        raise ConfigError(f"shaken_s: there are no rows from {begin_s:g} to {end_s:g} s; give times of the recording")
    lag = shaken_together(pair)
    told = f"of shaking from {begin_s:g} to {end_s:g} s: r = {lag.correlation:.3f}"
    if not lag.accepted:
        return replace(recording, notes=(*recording.notes, f"lag {told}; not applied: {lag.reason}")), asdict(lag)
    streams = tuple(
        replace(one, start_s=one.start_s - lag.seconds) if one.role == "upper" else one for one in recording.streams
    )
    note = f"the upper sensor's times were moved by {-lag.seconds * 1e3:+.2f} ms, the lag {told}"
    return replace(recording, streams=streams, notes=(*recording.notes, note)), asdict(lag)


def _between(recording: Recording, begin_s: float, end_s: float, gap_limit_s: float) -> PairBlock:
    """Return the aligned rows of a time."""
    alignment, found = Alignment(recording.streams, gap_limit_s), list[PairBlock]()
    for block in recording.blocks():
        pair = alignment.push(block)
        first, stop = np.searchsorted(pair.time_s, (begin_s, end_s))
        found.append(cut_pair(pair, slice(int(first), int(stop))))
        if len(pair) and pair.time_s[-1] > end_s:
            break
    return join_pairs(found)
