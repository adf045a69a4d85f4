"""A recorder on two fake sensors, to be played with."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_bleak import FakeAir, FakeSensor, clock, run
from fake_driver import FakeDriver, sample

from imuposture import SessionError
from imuposture._blocks import Entry
from imuposture.pipeline import Rows
from imuposture.recording import Outcome, Recorder, Wishes
from imuposture.recording.radio_source import Native, RadioSource

ONE, TWO = "AA:00:00:00:00:01", "AA:00:00:00:00:02"
URIS = {"upper": "ble:IMU 1", "lower": "ble:IMU 2"}


class FakeJournal:
    """Keeps entries in memory; may be full."""

    def __init__(self, room: int | None = None) -> None:
        self.entries: list[Entry] = []
        self.closed = False
        self._room = room

    def append(self, entry: Entry) -> None:
        if self._room is not None and len(self.entries) >= self._room:
            raise SessionError("cannot write journal.sqlite: no space left")
        self.entries.append(entry)

    def close(self) -> int:
        self.closed = True
        return len(self.entries)


class Stage:
    """Two fake sensors, a recorder on them, and what became of it."""

    def __init__(self, **more: Any) -> None:
        self.sensors = [FakeSensor(ONE, "IMU 1"), FakeSensor(TWO, "IMU 2")]
        self.air = FakeAir(*self.sensors)
        self.journal = FakeJournal(more.pop("room", None))
        self.rows: list[Rows] = []
        self.failing = [more.pop("failing")] if "failing" in more else []
        self.more = more
        self.driver = FakeDriver()
        self.recorder: Recorder

    async def play(self, story: Callable[["Stage"], Any] | None = None) -> Outcome:
        streams = [asyncio.ensure_future(one.stream(60.0, sample)) for one in self.sensors]
        wishes = Wishes(choose=lambda _: self.driver, find_s=5.0)
        source = RadioSource(Native(URIS, self.air.transport()), wishes, clock())
        keep: dict[str, Any] = {}
        if "folder" not in self.more:
            keep = {"folder": Path("nowhere"), "journal": lambda *_: self.journal, "close": lambda *_: "a session"}
        self.recorder = Recorder(source, clock=clock(), takers=[*self.failing, self.rows.append], **keep, **self.more)
        task = asyncio.ensure_future(self.recorder.run())
        if story is not None:
            await story(self)
        try:
            return await task
        finally:
            for one in streams:
                one.cancel()
            await asyncio.gather(*streams, return_exceptions=True)


def played(story: Callable[[Stage], Any] | None = None, **more: Any) -> tuple[Stage, Outcome]:
    stage = Stage(**more)
    return stage, run(stage.play(story))
