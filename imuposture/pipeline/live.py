"""The walk from what a radio brings: entries in, rows out.

It is a pure function of its entries, so that a replay of the journal gives the rows of the live session again, bit for
bit.
Until a calibration was asked for and found good, rows carry inclinations only, and are marked so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from imuposture._blocks import ROLES, Entry, Event, ImuBlock, MetricBlock, PairBlock, PostureBlock, Role
from imuposture._errors import ConfigError, DecodeError, SignalError
from imuposture.alignment import Alignment, FittedClock
from imuposture.calibration import Calibration, calibrate
from imuposture.pipeline.commands import Mark, Pause, command_of
from imuposture.pipeline.config import Config
from imuposture.pipeline.findings import Findings
from imuposture.pipeline.guide import Guide, Pauses
from imuposture.pipeline.links import ENDING, Link, LiveSensor, event_of
from imuposture.pipeline.rows import (
    PIECE,
    Rows,
    cut_pair,
    join_metrics,
    join_pairs,
    join_postures,
    join_rows,
    no_rows,
    pieces,
)
from imuposture.pipeline.walk import Pipeline

__all__ = ["LivePipeline", "LiveSensor"]

Clocks = Literal["causal", "gather"] | Mapping[Role, Sequence[FittedClock]]
METRICS_S = 1.0  # rows that metrics are given at once: packets would cost them more than the rows in them
MOST_TOLD = 20  # entries that could not be walked
FIRST_S = 0.5  # rows from whose gravity the upright is assumed, until a calibration tells


class LivePipeline:
    """Entries in the order of their arrival -> posture rows.

    Parameters
    ----------
    sensors : mapping of role to LiveSensor
        One or two.
    config : Config, optional
    calibration : Calibration, optional
        Of the same wearing, valid from the first row on; without one, commands make it.
    clocks : "causal", "gather" or the fits of a walk that gathered
        How sensors' clocks are laid on the host's: by what was known at each row; the same, keeping what a fit of the
        whole recording needs (`imuposture.alignment.Alignment.fits`); or by such a fit.

    Attributes
    ----------
    alignment : Alignment
    faults : list of str
        Why entries could not be walked, the first few; the walk goes on without them.

    Raises
    ------
    ConfigError
        If there is no sensor, one has settings of another role, or the configuration is for whole recordings.
    """

    def __init__(
        self,
        sensors: Mapping[Role, LiveSensor],
        config: Config | None = None,
        calibration: Calibration | None = None,
        *,
        clocks: Clocks = "causal",
    ) -> None:
        wrong = [role for role, sensor in sensors.items() if sensor.settings.role != role]
        if not sensors or wrong:
            raise ConfigError(f"one or two sensors with settings of their role are needed, got {sorted(sensors)}")
        self.config = config or Config()
        if self.config.clocks != "causal" or self.config.shaken_s is not None:
            raise ConfigError("clocks = 'fit' and shaken_s are for whole recordings: use `process`, or leave them out")
        streams = [sensors[role].driver.stream(sensors[role].settings) for role in ROLES if role in sensors]
        fits = None if isinstance(clocks, str) else clocks
        self.alignment = Alignment(streams, self.config.gap_limit_s, fits=fits, fit=clocks == "gather")
        self._links = {role: Link(sensor) for role, sensor in sensors.items()}
        self._origin_ns: int | None = None
        self._end_s = np.inf
        self._findings = Findings()
        self._pipeline: Pipeline | None = None
        self._waiting: list[PairBlock] = []
        self._waiting_rows = 0
        self._first = no_rows().samples
        self._guide = Guide(self.alignment.rate_hz)
        self._pauses = Pauses()
        self._metrics = _Metered(round(METRICS_S * self.alignment.rate_hz))
        self._notes: list[str] = []
        self.faults: list[str] = []
        self._n_faults = 0
        if calibration is not None:
            self._pipeline = Pipeline(self.alignment, calibration, self.config)

    @property
    def calibration(self) -> Calibration | None:
        """The calibration in use; None before the first rows."""
        return None if self._pipeline is None else self._pipeline.calibration

    def statuses(self) -> dict[Role, dict[str, dict[str, object]]]:
        """Return the last of each kind of thing that each sensor said of itself, such as its battery."""
        return {role: dict(link.statuses) for role, link in self._links.items()}

    def push(self, entry: Entry) -> Rows:
        """Take the next entry; return the rows that are now known."""
        events = self._take(entry)
        rows = self._walk(self._aligned())
        return _with_events(rows, events)

    def push_all(self, entries: Iterable[Entry]) -> Iterator[Rows]:
        """Take entries that are all there already, and yield the same rows in larger blocks: for replays."""
        events: list[Event] = []
        for entry in entries:
            if entry.kind == "command" or self._waiting_rows >= PIECE:
                yield _with_events(self._walk(self._aligned()), events)
                events = []
            events += self._take(entry)
        yield _with_events(self._walk(self._aligned()), events)

    def aligned(self, entries: Iterable[Entry]) -> Iterator[PairBlock]:
        """Take all entries there are, and yield the aligned samples of both sensors alone: nothing is walked."""
        for entry in entries:
            if entry.kind == "command" or self._waiting_rows >= PIECE:
                yield self._pauses.without(self._aligned())
            self._take(entry)
        self._wait_for(self.alignment.finish())
        yield self._pauses.without(self._aligned())

    def finish(self) -> Rows:
        """Return the rows and figures that still waited."""
        self._wait_for(self.alignment.finish())
        rows = self._walk(self._aligned(), last=True)
        if self._pipeline is None:
            return rows
        return Rows(rows.samples, rows.posture, join_metrics(rows.metrics, self._metrics.finish(self._pipeline)))

    def findings(self) -> dict[str, Any]:
        """Return what is known only after the last row, for the manifest."""
        links = {role: link.asdict() for role, link in self._links.items()}
        if self._pipeline is None:
            return {"links": links, "notes": [*self._told(), "no sensor sent a row"]}
        found = self._findings.asdict(self._pipeline, self._told())
        clocks = self.alignment.clocks()
        found["alignment"]["clocks"] = {role: [one.asdict() for one in told] for role, told in clocks.items()}
        return {**found, "links": links}

    def _told(self) -> list[str]:
        faults = [f"{self._n_faults} entries could not be walked: {'; '.join(self.faults)}"] if self.faults else []
        return [*self._notes, *faults]

    def _take(self, entry: Entry) -> list[Event]:
        """Decode and align what an entry holds, or obey it; the rows wait to be walked."""
        if self._origin_ns is None:
            self._origin_ns = entry.arrival_ns
        now = (entry.arrival_ns - self._origin_ns) * 1e-9
        if entry.kind == "link" and entry.role is None and event_of(entry) == ENDING:
            self._end_s = min(self._end_s, now)
        if entry.kind == "command":
            events = self._obey(entry, now)
            self._wait_for(self.alignment.advance(now))
            return events
        events, blocks = self._received(entry, now)
        for block in blocks:
            try:
                self._wait_for(self.alignment.push(block))
            except SignalError as error:  # a recording must not end because a sensor's clock went mad
                self._fault(f"{entry.role} at {now:.1f} s: {error}")
        if not blocks:
            self._wait_for(self.alignment.advance(now))
        return events

    def _received(self, entry: Entry, now: float) -> tuple[list[Event], list[ImuBlock]]:
        """Return what a sensor's entry holds."""
        if entry.role is None or entry.role not in self._links:
            return [], []
        link = self._links[entry.role]
        if link.is_new(entry):
            self.alignment.reconnected(entry.role)
        return link.taken(entry, now)

    def _fault(self, told: str) -> None:
        self._n_faults += 1
        if len(self.faults) < MOST_TOLD:
            self.faults.append(told)

    def _wait_for(self, pair: PairBlock) -> None:
        """Let rows wait to be walked; none after the end, however long sensors take to be let go."""
        if len(pair) and pair.time_s[-1] > self._end_s:
            pair = cut_pair(pair, slice(int(np.searchsorted(pair.time_s, self._end_s, side="right"))))
        if len(pair):
            self._waiting.append(pair)
            self._waiting_rows += len(pair)

    def _aligned(self) -> PairBlock:
        """Return the rows that wait."""
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        return join_pairs(waiting) if waiting else no_rows().samples

    def _walk(self, pair: PairBlock, *, last: bool = False) -> Rows:
        """Walk aligned rows; where a guided calibration ended, those after it with the new one.

        The row after which it changes is that of the last step's end, however rows are cut into blocks.
        """
        pair = self._pauses.without(pair)
        end = self._guide.end_s
        done = len(pair) if end is None else int(np.searchsorted(pair.time_s, end)) + 1
        self._guide.hold(cut_pair(pair, slice(done)))
        rows = self._begun(cut_pair(pair, slice(done)), last=last)
        result = self._guide.result() if done <= len(pair) or last else None
        if result is not None:
            rows = self._calibrated(rows, *result)
        return rows if done >= len(pair) else join_rows(rows, self._walk(cut_pair(pair, slice(done, None)), last=last))

    def _begun(self, pair: PairBlock, *, last: bool) -> Rows:
        """Walk aligned rows; the very first wait until gravity can be told from them."""
        if self._pipeline is None:
            self._first = join_pairs([self._first, pair])
            wanted = round(FIRST_S * self.alignment.rate_hz)
            if not len(self._first) or (len(self._first) < wanted and not last):
                return no_rows()
            pair, self._first = self._first, no_rows().samples
            first = calibrate(cut_pair(pair, slice(wanted)), self.alignment.rate_hz)
            self._pipeline = Pipeline(self.alignment, first, self.config)
        rows = no_rows()
        for piece in pieces(pair) if len(pair) else ():
            posture, segments = self._pipeline.posture(piece)
            found = self._metrics.push(self._pipeline, posture, segments)
            rows = join_rows(rows, self._findings.counted(Rows(piece, posture, found)))
        return rows

    def _calibrated(self, rows: Rows, calibration: Calibration, held: PairBlock) -> Rows:
        """Go on with a new calibration, and with what filters learn from the rows it was made of.

        The summary counts from here on; of what was before, events and windows stay.
        """
        self._notes += [f"guided calibration: {verdict}" for verdict in calibration.verdicts]
        if not calibration.usable:
            return rows
        if self._pipeline is not None:
            found = self._metrics.finish(self._pipeline)
            before = join_metrics(rows.metrics, MetricBlock(found.events, found.windows))
            rows = Rows(rows.samples, rows.posture, before)
        self._pipeline = Pipeline(self.alignment, calibration, self.config)
        for piece in pieces(held):
            self._pipeline.settle(piece)
        return rows

    def _obey(self, entry: Entry, now: float) -> list[Event]:
        try:
            command = command_of(entry)
        except DecodeError as error:
            self._fault(f"a command at {now:.1f} s was not obeyed: {error}")
            return []
        if isinstance(command, Mark):
            return [Event("mark", now, now)]
        if isinstance(command, Pause):
            return self._pauses.change(command, now)
        self._guide.change(command, now)
        return []


class _Metered:
    """Rows on their way into the metrics, a second of them at a time."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._waiting = 0
        self._held: list[tuple[PostureBlock, PairBlock]] = []

    def push(self, pipeline: Pipeline, posture: PostureBlock, segments: PairBlock) -> MetricBlock:
        self._held.append((posture, segments))
        self._waiting += len(posture)
        return MetricBlock() if self._waiting < self._rows else self._found(pipeline)

    def finish(self, pipeline: Pipeline) -> MetricBlock:
        return join_metrics(self._found(pipeline), pipeline.metrics.finish())

    def _found(self, pipeline: Pipeline) -> MetricBlock:
        if not self._held:
            return MetricBlock()
        postures, segments = zip(*self._held, strict=True)
        self._held, self._waiting = [], 0
        return pipeline.metrics.push(join_postures(postures), join_pairs(segments))


def _with_events(rows: Rows, events: list[Event]) -> Rows:
    if not events:
        return rows
    return Rows(rows.samples, rows.posture, join_metrics(rows.metrics, MetricBlock(tuple(events))))
