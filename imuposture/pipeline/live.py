"""The walk from what a radio brings: entries in, rows out.

It is a pure function of its entries, so that a replay of the journal gives the rows of the live session again, bit for
bit.
Until a calibration was asked for and found good, rows carry inclinations only, and are marked so.
"""

from collections.abc import Mapping
from typing import Any

from imuposture._blocks import ROLES, Entry, Event, MetricBlock, PairBlock, PostureBlock, Role
from imuposture._errors import ConfigError, DecodeError
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration, calibrate
from imuposture.pipeline.commands import Mark, Pause, command_of
from imuposture.pipeline.config import Config
from imuposture.pipeline.findings import Findings
from imuposture.pipeline.guide import Guide, Pauses
from imuposture.pipeline.links import Link, LiveSensor
from imuposture.pipeline.rows import Rows, join_metrics, join_pairs, join_postures, join_rows, no_rows, pieces
from imuposture.pipeline.walk import Pipeline

__all__ = ["LivePipeline", "LiveSensor"]

METRICS_S = 1.0  # rows that metrics are given at once: packets would cost them more than the rows in them
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
    ) -> None:
        wrong = [role for role, sensor in sensors.items() if sensor.settings.role != role]
        if not sensors or wrong:
            raise ConfigError(f"one or two sensors with settings of their role are needed, got {sorted(sensors)}")
        self.config = config or Config()
        streams = [sensors[role].driver.stream(sensors[role].settings) for role in ROLES if role in sensors]
        self.alignment = Alignment(streams, self.config.gap_limit_s)
        self._links = {role: Link(sensor) for role, sensor in sensors.items()}
        self._origin_ns: int | None = None
        self._findings = Findings()
        self._pipeline: Pipeline | None = None
        self._first: list[PairBlock] = []
        self._guide = Guide(self.alignment.rate_hz)
        self._pauses = Pauses()
        self._metrics = _Metered(round(METRICS_S * self.alignment.rate_hz))
        self._notes: list[str] = []
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
        """Take the next entry; return the rows that are now known.

        Raises
        ------
        SignalError
            If a sensor's clock jumps further than the longest gap.
        """
        if self._origin_ns is None:
            self._origin_ns = entry.arrival_ns
        now = (entry.arrival_ns - self._origin_ns) * 1e-9
        events: list[Event] = []
        if entry.kind == "command":
            events += self._obey(entry, now)
        link = None if entry.role is None else self._links.get(entry.role)
        if link is None:
            return _with_events(self._walk(self.alignment.advance(now)), events)
        events += link.changed(entry, now)
        pairs = [self.alignment.push(block) for block in link.decoded(entry, now)]
        return _with_events(self._walk(join_pairs(pairs or [self.alignment.advance(now)])), events)

    def finish(self) -> Rows:
        """Return the rows and figures that still waited."""
        rows = self._walk(self.alignment.finish(), last=True)
        if self._pipeline is None:
            return rows
        return Rows(rows.samples, rows.posture, join_metrics(rows.metrics, self._metrics.finish(self._pipeline)))

    def findings(self) -> dict[str, Any]:
        """Return what is known only after the last row, for the manifest."""
        links = {role: link.asdict() for role, link in self._links.items()}
        if self._pipeline is None:
            return {"links": links, "notes": [*self._notes, "no sensor sent a row"]}
        found = self._findings.asdict(self._pipeline, self._notes)
        found["alignment"]["clocks"] = self.alignment.clocks()
        return {**found, "links": links}

    def _walk(self, pair: PairBlock, *, last: bool = False) -> Rows:
        """Walk aligned rows; where a guided calibration ended, go on with it."""
        pair = self._pauses.without(pair)
        self._guide.hold(pair)
        rows = self._begun(pair, last=last)
        result = self._guide.result(last=last)
        return rows if result is None else self._calibrated(rows, *result)

    def _begun(self, pair: PairBlock, *, last: bool) -> Rows:
        """Walk aligned rows; the very first wait until gravity can be told from them."""
        if self._pipeline is None:
            self._first.append(pair)
            pair = join_pairs(self._first)
            if not len(pair) or (len(pair) < FIRST_S * self.alignment.rate_hz and not last):
                return no_rows()
            self._first = []
            self._pipeline = Pipeline(self.alignment, calibrate(pair, self.alignment.rate_hz), self.config)
        rows = no_rows()
        for piece in pieces(pair):
            posture = self._pipeline.posture(piece)
            found = self._metrics.push(self._pipeline, posture)
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
            self._notes.append(f"a command at {now:.1f} s was not obeyed: {error}")
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
        self._held: list[PostureBlock] = []

    def push(self, pipeline: Pipeline, posture: PostureBlock) -> MetricBlock:
        self._held.append(posture)
        return MetricBlock() if sum(map(len, self._held)) < self._rows else self._found(pipeline)

    def finish(self, pipeline: Pipeline) -> MetricBlock:
        return join_metrics(self._found(pipeline), pipeline.metrics.finish())

    def _found(self, pipeline: Pipeline) -> MetricBlock:
        held, self._held = self._held, []
        return pipeline.metrics.push(join_postures(held)) if held else MetricBlock()


def _with_events(rows: Rows, events: list[Event]) -> Rows:
    if not events:
        return rows
    return Rows(rows.samples, rows.posture, join_metrics(rows.metrics, MetricBlock(tuple(events))))
