"""One or two opened files -> the recording: notes, windows, and the order in which chunks are handed on."""

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from imuposture._blocks import ImuBlock, Stream
from imuposture._errors import ConfigError
from imuposture.acquisition.readers.probe import OpenFile
from imuposture.acquisition.readers.recording import Recording
from imuposture.acquisition.readers.settings import Settings
from imuposture.acquisition.readers.text import safe_text
from imuposture.acquisition.readers.timing import Elapsed

__all__ = ["assembled"]


def assembled(
    files: Sequence[OpenFile],
    streams: Sequence[tuple[Stream, ...]],
    settings: Settings,
    *,
    format_name: str,
    notes: Sequence[str] = (),
    start: datetime | None = None,
    paths: Sequence[Path] = (),
) -> Recording:
    """Put opened files together; ``streams`` holds each file's streams with their final starts.

    ``paths`` are the data files, where they are not simply the opened ones.

    Raises
    ------
    ConfigError
        If a calibration window begins before the recording.
    """
    every = tuple(stream for one in streams for stream in one)
    begins = min(stream.start_s for stream in every)
    for name, windows in settings.windows.items():
        for window in windows:
            _refuse_outside(settings, name, window, begins, math.inf)
    units = files[0].units
    counts = [file.rows.table.rows for file in files]
    return Recording(
        paths=(*(paths or [file.path for file in files]), *((settings.path,) if settings.path else ())),
        format=format_name,
        streams=every,
        source=lambda: _blocks(files, streams, settings),
        windows=dict(settings.windows),
        placement=settings.placement,
        start=settings.start or start,
        notes=(*(note for file in files for note in file.notes), *_one_sensor(every), *notes),
        units={"acc": units.acc, "gyr": units.gyr},
        rows=None if None in counts else sum(count or 0 for count in counts),
    )


def _one_sensor(streams: Sequence[Stream]) -> tuple[str, ...]:
    if len(streams) == 2:
        return ()
    return (f"one sensor only ({streams[0].role}): inclinations can be given, spinal angles cannot",)


def _blocks(files: Sequence[OpenFile], streams: Sequence[tuple[Stream, ...]], settings: Settings) -> Iterator[ImuBlock]:
    """Hand on the chunk of the file that is behind in time, so that alignment never waits with more than one chunk."""
    clocks = [Elapsed(one[0].tick_s, one[0].wrap_ticks) for one in streams]
    sources = {index: file.chunks() for index, file in enumerate(files)}
    while sources:
        index = min(sources, key=lambda i: streams[i][0].start_s + clocks[i].seconds)
        blocks = next(sources[index], None)
        if blocks is None:
            del sources[index]
            continue
        clocks[index].push(blocks[0].ticks)
        yield from blocks
    begins = min(one[0].start_s for one in streams)
    ends = max(one[0].start_s + clock.seconds for one, clock in zip(streams, clocks, strict=True))
    for name, windows in settings.windows.items():
        for window in windows:
            _refuse_outside(settings, name, window, begins, ends)


def _refuse_outside(settings: Settings, name: str, window: tuple[float, float], begins: float, ends: float) -> None:
    # A second of grace: people round, and a device's clock is not the one on the wall.
    if window[0] < begins - 1 or window[1] > ends + 1:
        until = f" to {ends:g}" if math.isfinite(ends) else ""
        raise ConfigError(
            f"{safe_text(settings.path)}: calibration.{name} = [{window[0]:g}, {window[1]:g}] lies outside the "
            f"recording, which goes from {begins:g}{until} s; windows are in seconds on the recording's own time line"
        )
