"""What is in a recording, in words and numbers: the answer of ``imuposture check``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imuposture._blocks import ImuBlock, Stream
from imuposture.acquisition.readers.recording import Recording
from imuposture.acquisition.readers.timing import Elapsed

__all__ = ["describe"]


def describe(recording: Recording) -> dict[str, Any]:
    """Read a recording to its end and sum it up, ready for JSON.

    Returns
    -------
    dict
        ``format``, ``paths``, ``placement``, ``start``, ``duration_s``, ``units``, ``windows``, ``notes``, and
        ``sensors``: a role each with ``sensor``, ``rate_hz``, ``rows``, ``missing`` (rows without a whole sample),
        ``start_s``, ``end_s`` and ``magnetometer``.

    Raises
    ------
    RecordingError, ConfigError
        If the recording cannot be trusted to its end.
    """
    tallies = {stream.role: _Tally(stream) for stream in recording.streams}
    for block in recording.blocks():
        tallies[block.role].add(block)
    ends = [tally.end_s for tally in tallies.values()]
    return {
        "format": recording.format,
        "paths": [str(path) for path in recording.paths],
        "placement": recording.placement,
        "start": recording.start.isoformat() if recording.start else None,
        "duration_s": max(ends) - min(stream.start_s for stream in recording.streams),
        "units": dict(recording.units),
        "windows": {name: [list(window) for window in windows] for name, windows in recording.windows.items()},
        "notes": list(recording.notes),
        "sensors": {role: tally.summary() for role, tally in tallies.items()},
    }


@dataclass(slots=True)
class _Tally:
    stream: Stream
    rows: int = 0
    missing: int = 0
    magnetometer: bool = False
    clock: Elapsed = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Elapsed(self.stream.tick_s, self.stream.wrap_ticks)

    @property
    def end_s(self) -> float:
        return self.stream.start_s + self.clock.seconds

    def add(self, block: ImuBlock) -> None:
        self.rows += len(block.ticks)
        self.missing += int((np.isnan(block.acc).any(axis=1) | np.isnan(block.gyr).any(axis=1)).sum())
        self.magnetometer |= block.mag is not None
        self.clock.push(block.ticks)

    def summary(self) -> dict[str, Any]:
        return {
            "sensor": self.stream.sensor,
            "rate_hz": self.stream.rate_hz,
            "rows": self.rows,
            "missing": self.missing,
            "start_s": self.stream.start_s,
            "end_s": self.end_s,
            "magnetometer": self.magnetometer,
        }
