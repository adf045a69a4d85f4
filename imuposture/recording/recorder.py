"""The recorder: entries of a source -> journal first, then the walk, then whoever wants rows.

One loop does it all: callbacks of the radio stamp and enqueue, one task takes what is in the queue. Whatever ends a
recording, the same steps follow: sensors are stopped, the queue is emptied, the walk and the journal are closed.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imuposture._blocks import Entry, Role
from imuposture._errors import ImuPostureError, SessionError
from imuposture.acquisition.ble import Clock, EntryQueue
from imuposture.calibration import Calibration
from imuposture.output import Journal, Result, close_session
from imuposture.pipeline import Config, LivePipeline, LiveSensor, Rows
from imuposture.pipeline.commands import Command, entry_of
from imuposture.pipeline.links import ENDING
from imuposture.recording.keeping import CloseSession, EntrySink, Keeper, aside
from imuposture.recording.outcome import Ending, Outcome, SensorTally
from imuposture.recording.sources import Source

__all__ = ["Recorder"]

log = logging.getLogger(__name__)
PATIENCE_S = 30.0  # after the first samples of one sensor, the time that was asked for runs, with or without the other
MISUNDERSTOOD = 0.05  # share of payloads; more is told
AT_ONCE_S = 0.001  # of work before the radio's callbacks get their turn


class Recorder:
    """One recording, from looking for the sensors to the closed session.

    Parameters
    ----------
    source : Source
    config : Config, optional
    calibration : Calibration, optional
        Of the same wearing; without one, commands make it.
    seconds : float, optional
        Length, from the first samples of both sensors; None: until told to stop.
    folder : Path, optional
        The session folder, new or empty; None: nothing is kept.
    journal : callable
        Given folder and manifest, opens the journal.
    close : callable
        Given folder, a fresh walk, what was found, the rows so far (a `Spool`) and what to call on the way, makes a
        session of the journal.
    takers : sequence of callable
        Called with every block of rows, in the loop: they must be quick (`imuposture.recording.feed`).
    told : callable, optional
        Called with every link and command entry, to keep people informed.
    clock : Clock, optional
        The one the source has.

    Attributes
    ----------
    walk : LivePipeline or None
        Once the sensors are known.
    closing : bool
        A session is being made of the journal; that may take a while, and may be left to `imuposture recover`.
    """

    def __init__(
        self,
        source: Source,
        *,
        config: Config | None = None,
        calibration: Calibration | None = None,
        seconds: float | None = None,
        folder: Path | None = None,
        journal: Callable[[Path, Mapping[str, Any]], EntrySink] = Journal,
        close: CloseSession = close_session,
        takers: Sequence[Callable[[Rows], None]] = (),
        told: Callable[[Entry], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.walk: LivePipeline | None = None
        self._source, self._config, self._calibration = source, config or Config(), calibration
        self._seconds, self._open_journal, self._close_session = seconds, journal, close
        self._folder, self._takers, self._told = folder, list(takers), told
        self._fresh: Callable[[], LivePipeline] | None = None
        self.closing = False
        self._clock = clock or Clock()
        self._queue = EntryQueue()
        self._keeper: Keeper | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Future[Ending] | None = None
        self._stopped_early: Ending | None = None
        self._polite = True
        self._cut: dict[Role, str] = {}
        self._early: list[Command] = []
        self._closing: asyncio.Task[None] | None = None
        self._began_ns: int | None = None
        self._first_ns: int | None = None
        self._last_ns = 0
        self._ended_ns: int | None = None
        self._payloads: dict[Role, int] = {}
        self._rows = 0
        self._broken = False
        self._notes: list[str] = []

    @property
    def streaming(self) -> bool:
        """Whether the time that was asked for runs: both sensors have sent samples, or one for long enough."""
        return self._began_ns is not None

    async def run(self) -> Outcome:
        """Record until the time is up or somebody says stop.

        Raises
        ------
        AcquisitionError
            If no sensor is found, or there is no Bluetooth; nothing was recorded then.
        SessionError
            If the session folder cannot be made.
        """
        self._loop = asyncio.get_running_loop()
        self._stop = self._loop.create_future()
        if self._stopped_early is not None:
            self._stop.set_result(self._stopped_early)
        self._refuse_used_folder()
        try:
            await self._before_stop(self._source.open(self._queue))
            if not self._stop.done():
                self._begin(self._source.sensors)
                for command in self._early:
                    self._enter(command)
                self._source.start()
                return await self._recorded()
            return Outcome(self._stop.result())
        finally:
            await self._let_go()
            if self._keeper is not None:
                with suppress(ImuPostureError):  # of a second closing, which does nothing, or of what was told already
                    self._keeper.close()

    def stop(self, ending: Ending = "asked", *, polite: bool = True) -> None:
        """End the recording; a second time, or not politely: without waiting for the sensors.

        To be called in the thread of the loop; from others, by its ``call_soon_threadsafe``.
        """
        if self._stop is None:  # before it began
            self._stopped_early = self._stopped_early or ending
            return
        if self.closing and self._keeper is not None:  # nothing is lost that `recover` does not bring back
            self._keeper.give_up()
        self._polite = self._polite and polite and not self._stop.done()
        if not self._stop.done():
            self._stop.set_result(ending)
        if not self._polite and self._closing is not None:
            self._closing.cancel()

    def command(self, command: Command) -> None:
        """Let the walk obey a command, and the journal keep it. From any thread; its time is that of its arrival."""
        if self._loop is None:
            self._early.append(command)
        else:
            self._loop.call_soon_threadsafe(self._enter, command)

    def _enter(self, command: Command) -> None:
        self._queue.put(entry_of(command, self._clock.now_ns()))

    def _refuse_used_folder(self) -> None:
        """Say so before sensors are sought; the journal looks again, more closely."""
        if self._folder is not None and self._folder.is_dir() and any(self._folder.iterdir()):
            raise SessionError(
                f"{self._folder} is not empty; a recording begins in a new folder: choose another --out, or, if a "
                f"recorder died here: imuposture recover {self._folder}"
            )

    async def _before_stop(self, work: Any) -> None:
        """Do something, unless somebody says stop before it is done."""
        assert self._stop is not None
        task = asyncio.ensure_future(work)
        await asyncio.wait((task, self._stop), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    def _begin(self, sensors: Mapping[Role, LiveSensor]) -> None:
        self._fresh = lambda: LivePipeline(sensors, self._config, self._calibration)
        self.walk = self._fresh()
        if self._folder is not None:
            self._keeper = Keeper(self._folder, self._manifest(), self._open_journal, self._close_session)

    def _manifest(self) -> dict[str, Any]:
        """Return what is known before the first entry; enough to walk the journal again."""
        now = datetime.now(UTC).astimezone()
        return {
            "input": {"format": "live"},
            "start": now.isoformat(timespec="milliseconds"),
            "time_zone": str(now.tzinfo),
            "placement": self._config.placement,
            "config": self._config.asdict(),
            "config_hash": self._config.hash(),
            **({} if self._calibration is None else {"calibration_given": self._calibration.asdict()}),
            **self._source.facts(),
        }

    async def _recorded(self) -> Outcome:
        """Record until the end; then close everything in order, whatever the end was."""
        assert self._stop is not None
        pump = asyncio.create_task(self._pump(), name="entries")
        ended = asyncio.create_task(self._source.ended(), name="source")
        await asyncio.wait((pump, ended, self._stop), return_when=asyncio.FIRST_COMPLETED)
        ending: Ending = "end of the source"
        if self._stop.done():
            ending = self._stop.result()
        elif (error := _error_of(pump) or _error_of(ended)) is not None:
            ending = "disk" if isinstance(error, SessionError) else "fault"
            self._notes.append(str(error))
        tallies = self._source.tallies()
        self._ended_ns = self._clock.now_ns()
        self._queue.tell(self._ended_ns, None, 0, ENDING, reason=ending)
        ended.cancel()
        await asyncio.wait([ended])
        await self._let_go()
        self._queue.close()
        with suppress(Exception):  # told above, or it ends well
            await pump
        return await self._closed(ending, tallies)

    async def _let_go(self) -> None:
        """Let go of the sensors, politely while nobody is in a hurry."""
        if self._polite:
            self._closing = asyncio.create_task(self._source.close())
            await asyncio.wait([self._closing])
            if not self._closing.cancelled():
                self._closing.result()
                return
        await self._source.close(polite=False)

    async def _pump(self) -> None:
        """Take what is in the queue, for ever."""
        while entries := await self._queue.get():
            deadline = time.monotonic() + AT_ONCE_S
            for entry in entries:
                self._take(entry)
                if time.monotonic() > deadline:
                    await asyncio.sleep(0)
                    deadline = time.monotonic() + AT_ONCE_S

    def _take(self, entry: Entry) -> None:
        """Journal first: what rows were made of is kept, whatever happens to the rows."""
        if self._keeper is not None:
            self._keeper.append(entry)
        self._count(entry)
        if entry.kind in ("link", "command"):
            self._tell(entry)
        if self.walk is not None and not self._broken:
            with self._going_on():
                self._give(self.walk.push(entry))

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Go on recording even if a mistake of ours ends the walk: what comes is kept."""
        try:
            yield
        except Exception as error:
            log.exception("the walk broke off")
            self._broken = True
            words = f"{type(error).__name__}: {error}"
            self._notes.append(f"the live rows broke off ({words}): a mistake of imuposture; all that came is kept")
            if self._keeper is not None:
                self._keeper.without_rows()

    def _tell(self, entry: Entry) -> None:
        told = json.loads(entry.payload) if entry.kind == "link" else {}
        if entry.role is not None and told.get("mtu", 0) < told.get("min_mtu", 0):
            sizes = f"packets of {told['mtu']} bytes, and the sensor needs {told['min_mtu']}"
            self._cut[entry.role] = (
                f": the link carries {sizes}, so they are cut; another adapter or system may do better"
            )
        if self._told is not None:
            self._told(entry)

    def _give(self, rows: Rows) -> None:
        found = rows.metrics
        if not len(rows.posture) and not (found.events or found.windows or found.summary):
            return
        self._rows += len(rows.posture)
        if self._keeper is not None:
            self._keeper.write(rows)
        for take in tuple(self._takers):
            try:
                take(rows)
            except Exception as error:
                self._takers.remove(take)
                self._notes.append(f"somebody who took live rows failed, and got no more: {error!r}")

    def _count(self, entry: Entry) -> None:
        """Count payloads, and let the time run once both sensors have sent some."""
        self._last_ns = entry.arrival_ns
        role = entry.role
        if role is None or entry.kind not in ("notification", "read"):
            return
        self._payloads[role] = self._payloads.get(role, 0) + 1
        if self._began_ns is None and entry.kind == "notification":
            self._first_ns = self._first_ns or entry.arrival_ns
            waited_s = (entry.arrival_ns - self._first_ns) * 1e-9
            if set(self._payloads) == set(self._source.sensors) or waited_s > PATIENCE_S:
                self._begin_time(entry.arrival_ns)

    def _begin_time(self, now_ns: int) -> None:
        self._began_ns = now_ns
        if self._seconds is not None and self._loop is not None:
            self._loop.call_later(self._seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        if self._stop is not None and not self._stop.done():
            self._stop.set_result("time is up")

    async def _closed(self, ending: Ending, tallies: Mapping[Role, SensorTally]) -> Outcome:
        """Close walk and journal, and say what is there now."""
        if self.walk is not None and not self._broken:
            with self._going_on():
                self._give(await aside(self.walk.finish))
            self._notes += [*self.walk.faults, *self._misunderstood()]
        result = await self._session(ending)
        end_ns = self._ended_ns or self._last_ns
        began = end_ns if self._began_ns is None else self._began_ns
        return Outcome(
            ending,
            folder=self._folder,
            result=result,
            recoverable=self._keeper is not None and result is None,
            seconds=(end_ns - began) * 1e-9,
            sensors=self._tallied(tallies),
            rows=self._rows,
            notes=tuple(self._notes),
            broken=self._broken,
        )

    def _misunderstood(self) -> list[str]:
        """Say so where most of what a sensor sent was not understood."""
        if self.walk is None or self._broken:
            return []
        links = self.walk.findings().get("links", {})
        return [
            f"{role}: {link['rejected']} of {link['payloads']} payloads were not understood{self._cut.get(role, '')}"
            for role, link in links.items()
            if link["rejected"] > MISUNDERSTOOD * link["payloads"]
        ]

    async def _session(self, ending: Ending) -> Result | None:
        """Make a session of the journal; if that fails, or takes somebody too long, it can be recovered."""
        keeper, fresh = self._keeper, self._fresh
        if keeper is None or fresh is None or self.walk is None:
            return None
        findings = None if self._broken else self.walk.findings()
        found = {"recording": {"ending": ending, "overflowed": self._queue.lost}}
        self.closing = True
        try:
            return await aside(lambda: keeper.session(fresh(), found, findings), keeper.give_up)
        except Exception as error:
            self._notes.append(str(error) if isinstance(error, ImuPostureError) else f"closing failed: {error!r}")
        except KeyboardInterrupt:
            self._notes.append("closing was interrupted")
        finally:
            self.closing = False
            self._notes += keeper.notes
        return None

    def _tallied(self, tallies: Mapping[Role, SensorTally]) -> dict[Role, SensorTally]:
        told = {} if self.walk is None else self.walk.statuses()
        return {
            role: replace(
                tally,
                payloads=self._payloads.get(role, 0),
                overflowed=self._queue.lost.get(role, 0),
                battery_percent=_percent(told.get(role, {})),
            )
            for role, tally in tallies.items()
        }


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _percent(statuses: Mapping[str, Mapping[str, object]]) -> float | None:
    percent = statuses.get("battery", {}).get("percent")
    return float(percent) if isinstance(percent, int | float) else None
