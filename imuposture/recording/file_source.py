"""A recording, played as if it were live: ``file:PATH``."""

import asyncio
import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from imuposture._blocks import Entry, FloatArray, ImuBlock, Role
from imuposture._errors import ConfigError
from imuposture.acquisition.ble import Clock, EntryQueue
from imuposture.acquisition.readers import Recording, open_recording
from imuposture.pipeline import LiveSensor
from imuposture.pipeline.file_driver import FileDriver, packed
from imuposture.recording.outcome import SensorTally
from imuposture.recording.wishes import Wishes

__all__ = ["FileSource"]

ROWS = 4  # a payload


class _Packet(NamedTuple):
    at_s: float  # since the recording's beginning
    order: int
    role: Role
    payload: bytes


class FileSource:
    """A recording as a source.

    Parameters
    ----------
    uris : mapping of role to str
        The same for both sensors: a file that holds both, or a TOML that names two.
    wishes : Wishes
    clock : Clock
    speed : float
        How much faster than it was.

    Raises
    ------
    ConfigError
        If two recordings are named.
    RecordingError
        If it cannot be trusted.
    """

    def __init__(self, uris: Mapping[Role, str], wishes: Wishes, clock: Clock, speed: float = 1.0) -> None:
        paths = {uri.partition(":")[2] for uri in uris.values()}
        if len(paths) > 1:
            raise ConfigError(
                "two recordings cannot be played together: write a TOML with [recording] upper = ..., lower = ..., and "
                "give file:THAT.toml for both"
            )
        self._path = Path(paths.pop())
        self._roles, self._wishes, self._clock, self._speed = tuple(uris), wishes, clock, speed
        self.sensors: Mapping[Role, LiveSensor] = {}
        self._recording: Recording | None = None
        self._queue: EntryQueue | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, queue: EntryQueue) -> None:
        """Open the file.

        Raises
        ------
        ConfigError
            If it holds none of the sensors that are wanted.
        """
        self._queue = queue
        self._recording = open_recording(self._path, magnetometer=self._wishes.magnetometer)
        self.sensors = {
            stream.role: LiveSensor(FileDriver(stream), self._wishes.settings(stream.role))
            for stream in self._recording.streams
            if stream.role in self._roles
        }
        if not self.sensors:
            raise ConfigError(f"{self._path} holds no {' or '.join(self._roles)} sensor")

    def start(self) -> None:
        """Begin to play."""
        self._task = asyncio.create_task(self._play(), name="file")

    async def ended(self) -> None:
        """Wait for the end of the file."""
        if self._task is not None:
            await asyncio.wait([self._task])
            self._task.result()

    async def close(self, *, polite: bool = True) -> None:
        """Stop playing."""
        del polite
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the file."""
        recording = self._recording
        paths = [] if recording is None else [path.as_posix() for path in recording.paths]
        sensors = {
            role: {"driver": "file", "rate_hz": one.driver.default_rate_hz} for role, one in self.sensors.items()
        }
        return {"input": {"format": "live from a file", "paths": paths}, "sensors": sensors}

    def tallies(self) -> dict[Role, SensorTally]:
        """Return that nothing was lost: a file has no link."""
        return dict.fromkeys(self.sensors, SensorTally(connections=1))

    async def _play(self) -> None:
        assert self._recording is not None
        assert self._queue is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        for packet in _packets(self._recording):
            if packet.role not in self.sensors:
                continue
            wait_s = began + packet.at_s / self._speed - loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            self._queue.put(Entry(self._clock.now_ns(), "notification", packet.role, 1, 0, packet.payload))


def _packets(recording: Recording) -> Iterator[_Packet]:
    """Yield the rows of all streams in the order of their time, a few at a time."""
    begin = min(stream.start_s for stream in recording.streams)
    rows = dict.fromkeys((stream.role for stream in recording.streams), 0)
    streams = {stream.role: stream for stream in recording.streams}
    waiting: list[_Packet] = []
    for order, block in enumerate(_small(recording.blocks())):
        stream = streams[block.role]
        rows[block.role] += len(block.ticks)
        # Of clocks that wrap, rows tell the time as well; losses make such a file play a little faster.
        at_s = stream.start_s - begin + rows[block.role] / stream.rate_hz
        heapq.heappush(waiting, _Packet(at_s, order, block.role, packed(block)))
        known = min(streams[role].start_s - begin + count / streams[role].rate_hz for role, count in rows.items())
        while waiting and waiting[0].at_s <= known:
            yield heapq.heappop(waiting)
    while waiting:
        yield heapq.heappop(waiting)


def _small(blocks: Iterator[ImuBlock]) -> Iterator[ImuBlock]:
    for block in blocks:
        for first in range(0, len(block.ticks), ROWS):
            part = slice(first, first + ROWS)
            yield ImuBlock(
                block.role,
                block.ticks[part],
                block.acc[part],
                block.gyr[part],
                _cut(block.mag, part),
                None if block.flags is None else block.flags[part],
                _cut(block.quat, part),
            )


def _cut(array: FloatArray | None, part: slice) -> FloatArray | None:
    return None if array is None else array[part]
