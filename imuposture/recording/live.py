"""Record and stream: what a program calls."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from imuposture._blocks import Entry
from imuposture.acquisition.ble import NATIVE, Clock, Transport
from imuposture.pipeline import Config, Rows
from imuposture.pipeline.commands import Command
from imuposture.recording.feed import Feed, Reader
from imuposture.recording.outcome import Ending, Outcome
from imuposture.recording.recorder import Recorder
from imuposture.recording.sources import Source, source_of
from imuposture.recording.wishes import Wishes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imuposture.calibration import Calibration

__all__ = ["Live", "ended_by_signals", "record", "record_async", "stream"]

SIGNALS: dict[str, Ending] = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}
Path_ = str | os.PathLike[str]


def record(
    upper: str | None = None,
    lower: str | None = None,
    out: Path_ | None = None,
    *,
    seconds: float | None = None,
    readers: Sequence[Callable[[Rows], None]] = (),
    began: Callable[[Recorder], None] | None = None,
    **more: Any,
) -> Outcome:
    """Record until the time is up, or Ctrl-C, SIGTERM or SIGHUP.

    Parameters
    ----------
    upper, lower : str, optional
        URIs: ``ble:NAME|ADDRESS[#n]``, ``virtual:SCRIPT`` or ``file:PATH``; without any, the sensors that were paired.
    out : path, optional
        The session folder, new or empty; without one nothing is kept.
    seconds : float, optional
        Length, from the first samples of both sensors.
    readers : sequence of callable
        Each called with all rows, in a thread of its own; rows that one is too slow for are dropped and counted.
    began : callable, optional
        Called with the recorder before anything happens: it takes commands (`Recorder.command`) and `Recorder.stop`.
    **more
        As `record_async`.

    Returns
    -------
    Outcome
        Its ``exit_code`` and ``message()`` say what happened.

    Raises
    ------
    AcquisitionError
        If no sensor is found, or there is no Bluetooth.
    ConfigError
        If a URI or a setting makes no sense.
    SessionError
        If the session folder cannot be made.
    """
    threads = [Reader(reader) for reader in readers]

    async def work() -> Outcome:
        def begin(recorder: Recorder) -> None:
            handling.enter_context(ended_by_signals(recorder))
            if began is not None:
                began(recorder)

        with ExitStack() as handling:
            takers = [thread.feed.put for thread in threads]
            return await record_async(upper, lower, out, seconds=seconds, takers=takers, began=begin, **more)

    try:
        outcome = asyncio.run(work())
    finally:
        for thread in threads:
            thread.close()
    failed = [f"a reader of live rows failed: {thread.error}" for thread in threads if thread.error is not None]
    dropped = sum(thread.feed.dropped for thread in threads)
    return replace(outcome, dropped=dropped, notes=(*outcome.notes, *failed))


async def record_async(
    upper: str | None = None,
    lower: str | None = None,
    out: Path_ | None = None,
    *,
    seconds: float | None = None,
    config: Config | None = None,
    calibration: "Calibration | None" = None,
    wishes: Wishes | None = None,
    takers: Sequence[Callable[[Rows], None]] = (),
    told: Callable[[Entry], None] | None = None,
    began: Callable[[Recorder], None] | None = None,
    transport: Transport = NATIVE,
    clock: Clock | None = None,
    source: Source | None = None,
) -> Outcome:
    """Record in the running loop, without looking at signals; see `record`.

    Parameters
    ----------
    upper, lower, out, seconds
        As in `record`.
    config : Config, optional
    calibration : Calibration, optional
        Of the same wearing; without one, commands make it.
    wishes : Wishes, optional
        What is wanted of the sensors: rate, magnetometer, options of their drivers.
    takers : sequence of callable
        Called with all rows, in the loop: they must be quick.
    told : callable, optional
        Called with link and command entries, in the loop.
    began : callable, optional
        Called with the recorder before anything happens.
    transport : Transport
    clock : Clock, optional
    source : Source, optional
        Instead of URIs.

    Raises
    ------
    AcquisitionError
        If no sensor is found, or there is no Bluetooth.
    ConfigError
        If a URI or a setting makes no sense.
    SessionError
        If the session folder cannot be made.
    """
    clock = clock or Clock()
    recorder = Recorder(
        source or source_of(upper, lower, wishes, transport=transport, clock=clock),
        config=config,
        calibration=calibration,
        seconds=seconds,
        folder=None if out is None else Path(out),
        takers=takers,
        told=told,
        clock=clock,
    )
    if began is not None:
        began(recorder)
    return await recorder.run()


@contextmanager
def ended_by_signals(recorder: Recorder) -> "Iterator[None]":
    """Let signals end the recording; each a second time, without waiting for the sensors."""
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}

    def handler(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(recorder.stop, SIGNALS[signal.Signals(number).name])

    if threading.current_thread() is threading.main_thread():
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Live:
    """Rows while they are recorded: ``async for rows in stream(...)``.

    The radio has a loop and a thread of its own, so that whoever takes the rows may be slow, or stop for a while:
    rows may then be dropped, and are counted; nothing of the recording is.

    Parameters
    ----------
    limit : int
        Blocks of rows that wait at most.
    threaded : bool
        False keeps everything in the caller's loop.
    **settings
        As `record_async`.

    Attributes
    ----------
    outcome : Outcome or None
        Once it is over.
    """

    def __init__(self, *, limit: int = 4000, threaded: bool = True, **settings: Any) -> None:
        self.outcome: Outcome | None = None
        self._settings, self._threaded = settings, threaded
        self._feed = Feed(limit, self._wake)
        self._recorder: Recorder | None = None
        self._loops: tuple[asyncio.AbstractEventLoop, asyncio.AbstractEventLoop] | None = None
        self._filled = asyncio.Event()
        self._error: BaseException | None = None
        self._unwanted = False

    @property
    def dropped(self) -> int:
        """Rows that were dropped, as nobody took them in time."""
        return self._feed.dropped

    def command(self, command: Command) -> None:
        """Let the walk obey a command (`imuposture.pipeline.commands`)."""
        if self._recorder is not None:
            self._recorder.command(command)

    def stop(self) -> None:
        """End the recording; the rows that are left still come. From any thread."""
        if self._recorder is not None and self._loops is not None:
            with suppress(RuntimeError):  # it is over, and the radio's loop closed
                self._loops[1].call_soon_threadsafe(self._recorder.stop)

    async def __aiter__(self) -> AsyncIterator[Rows]:
        run = self._in_thread() if self._threaded else self._work()
        task = asyncio.create_task(run)
        here = asyncio.get_running_loop()
        self._loops = (here, here) if not self._threaded else self._loops or (here, here)
        try:
            while not self._feed.ended:
                self._filled.clear()
                while (rows := self._feed.take()) is not None:
                    yield rows
                if not self._feed.ended:
                    await self._filled.wait()
        finally:
            self._unwanted = True
            self.stop()
            await asyncio.wait([task])
        task.result()
        if self._error is not None:
            raise self._error

    async def _in_thread(self) -> None:
        here = asyncio.get_running_loop()
        done = asyncio.Event()
        ready = threading.Event()

        def run() -> None:
            with suppress(RuntimeError), asyncio.Runner() as runner:
                self._loops = (here, runner.get_loop())
                ready.set()
                runner.run(self._work())
            here.call_soon_threadsafe(done.set)

        threading.Thread(target=run, name="imuposture-radio", daemon=True).start()
        ready.wait()
        await done.wait()

    async def _work(self) -> None:
        def began(recorder: Recorder) -> None:
            self._recorder = recorder
            if self._unwanted:
                recorder.stop()

        try:
            self.outcome = await record_async(takers=[self._feed.put], began=began, **self._settings)
        except BaseException as error:
            self._error = error
        finally:
            self._feed.end()

    def _wake(self) -> None:
        if self._loops is not None:
            with suppress(RuntimeError):  # the caller's loop may be closed by now
                self._loops[0].call_soon_threadsafe(self._filled.set)


def stream(upper: str | None = None, lower: str | None = None, **settings: Any) -> Live:
    """Stream rows of two sensors: ``async for rows in stream(upper, lower)``.

    Parameters
    ----------
    upper, lower : str, optional
        URIs, as in `record`.
    **settings
        As `Live` and `record_async`; ``out`` also records a session.

    Returns
    -------
    Live
        To be iterated over; a block of rows comes with every packet that completes some.

    Raises
    ------
    AcquisitionError
        While iterating: if no sensor is found, or there is no Bluetooth.
    ConfigError
        While iterating: if a URI or a setting makes no sense.

    Examples
    --------
    >>> async def watch():
    ...     live = stream("virtual:demo", "virtual:demo", seconds=10)
    ...     async for rows in live:
    ...         for time_s, lean in zip(rows.posture.time_s, rows.posture.trunk_inclination_deg):
    ...             print(f"{time_s:.2f} s: {lean:.1f} deg")
    ...     print(live.outcome.message())
    >>> asyncio.run(watch())  # doctest: +SKIP
    """
    return Live(upper=upper, lower=lower, **settings)
