"""Rows of a recording are handed out live: a slow reader holds nobody up, and whoever leaves ends it."""

import asyncio
import threading
import time
from typing import Any, ClassVar

import pytest
from fake_bleak import FakeAir, clock, run
from fake_driver import sample
from recorder_stage import URIS, Stage

from imuposture import AcquisitionError
from imuposture.acquisition.ble import EntryQueue
from imuposture.recording import Live, Wishes, stream
from imuposture.recording.feed import Feed, Reader
from imuposture.recording.radio_source import Native, RadioSource


def block(rows: int = 1) -> Any:
    return type("Fake", (), {"posture": range(rows)})()


def test_a_slow_reader_loses_the_oldest_rows_and_they_are_counted():
    feed = Feed(limit=3)
    for count in range(5):
        feed.put(block(count + 1))
    feed.end()
    assert feed.dropped == 1 + 2
    assert [len(feed.take().posture) for _ in range(3)] == [3, 4, 5]  # type: ignore[union-attr]
    assert feed.ended


def test_a_reader_that_hangs_or_fails_holds_nobody_up():
    hung = threading.Event()
    reader = Reader(lambda rows: hung.wait(5.0) and None, limit=10)
    began = time.monotonic()
    for _ in range(1000):
        reader.feed.put(block())
    assert time.monotonic() - began < 1.0
    hung.set()
    reader.close()
    assert reader.feed.dropped >= 980

    def fail(rows: Any) -> None:
        raise ValueError("no")

    failing = Reader(fail)
    failing.feed.put(block())
    failing.close()
    assert isinstance(failing.error, ValueError)


def test_stream_hands_out_rows_and_ends_when_nobody_wants_more():
    async def work() -> None:
        stage = Stage()
        streams = [asyncio.ensure_future(one.stream(60.0, sample)) for one in stage.sensors]
        source = RadioSource(Native(URIS, stage.air.transport()), Wishes(choose=lambda _: stage.driver), clock())
        live = Live(threaded=False, source=source, clock=clock())
        rows = live.__aiter__()
        count = 0
        async for one in rows:
            count += len(one.posture)
            if count > 200:
                break
        await rows.aclose()  # type: ignore[attr-defined]
        assert live.outcome is not None
        assert live.outcome.ending == "asked"
        assert all(one.client is None for one in stage.sensors)
        for one in streams:
            one.cancel()
        await asyncio.gather(*streams, return_exceptions=True)

    run(work())


@pytest.mark.parametrize("threaded", [True, False])
def test_a_stream_that_is_left_at_once_ends(threaded):
    async def work() -> Live:
        live = Live(upper="virtual:demo", lower="virtual:demo", threaded=threaded)
        rows = live.__aiter__()
        first = asyncio.ensure_future(rows.__anext__())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        return live

    live = asyncio.run(work())
    assert live.outcome is not None
    assert live.outcome.rows == 0


def test_stopping_a_stream_that_is_over_does_nothing():
    class Ending:  # a source without a radio, over at once
        sensors: ClassVar[dict[str, Any]] = {}

        async def open(self, queue: EntryQueue) -> None:
            raise AcquisitionError("no sensor")

        async def close(self, *, polite: bool = True) -> None: ...

    async def work() -> None:
        live = Live(source=Ending())
        with pytest.raises(AcquisitionError, match="no sensor"):
            async for _ in live:
                pass
        live.stop()  # the radio's loop is closed by now

    asyncio.run(work())


def test_stream_raises_what_went_wrong():
    async def work() -> None:
        air = FakeAir()
        air.scan_error = FileNotFoundError(2, "No such file or directory")
        source = RadioSource(Native(URIS, air.transport()), Wishes(), clock())
        with pytest.raises(AcquisitionError, match=r"no Bluetooth can be used on this machine .*virtual:demo"):
            async for _ in stream(source=source, clock=clock(), threaded=False):
                pass

    run(work())
