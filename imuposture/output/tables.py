"""Blocks of rows -> Arrow record batches of the fixed tables.

Batches are cut at a fixed number of rows, not where the blocks end, and events and windows are put in order at the
end: the same recording gives the same tables, and the same files byte for byte, however it was cut into blocks.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imuposture._blocks import ROLES, Event, Figure, FloatArray, ImuBlock, PairBlock, PostureBlock
from imuposture._errors import PluginError
from imuposture.output.journal_rows import KINDS, SIDES, Row
from imuposture.output.schema import arrow_schema, extended

__all__ = ["ROW_GROUP", "Batches", "EventRows", "FigureRows", "NotificationRows", "PostureRows", "SampleRows"]

# Rows a row group: below 36 Ki files grow and reading slows, above it is flat; 64 Ki is 11 min at 100 Hz and 11 MB.
ROW_GROUP = 65_536
MOST_PAYLOADS = 16 << 20  # bytes of payload a row group
Batches = Iterator[pa.RecordBatch]
Columns = dict[str, NDArray[Any]]


class _Buffer:
    """Columns of a table filled from slices of any length and handed out in batches of ``ROW_GROUP`` rows."""

    def __init__(self, table: str) -> None:
        self.schema = arrow_schema(table)
        self._rows = 0
        self._columns: Columns = {}

    def push(self, columns: Columns) -> Batches:
        """Take the rows of ``columns`` (missing ones are null); yield each batch they complete."""
        begin, end = 0, len(next(iter(columns.values())))
        while begin < end:
            if not self._columns:
                self._columns = {name: np.empty(ROW_GROUP, self._dtype(name)) for name in columns}
            take = min(end - begin, ROW_GROUP - self._rows)
            for name, values in columns.items():
                self._columns[name][self._rows : self._rows + take] = values[begin : begin + take]
            self._rows, begin = self._rows + take, begin + take
            if self._rows == ROW_GROUP:
                yield from self.finish()

    def finish(self) -> Batches:
        """Yield what is left, if anything."""
        if self._rows:
            arrays = [self._array(field) for field in self.schema]
            self._rows, self._columns = 0, {}
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _dtype(self, name: str) -> Any:
        kind = self.schema.field(name).type
        return np.dtype(np.int64) if pa.types.is_timestamp(kind) else np.dtype(kind.to_pandas_dtype())

    def _array(self, field: pa.Field) -> pa.Array:
        if field.name not in self._columns:
            return pa.nulls(self._rows, field.type)
        return _from_numbers(self._columns[field.name][: self._rows], field.type)


class PostureRows:
    """Posture blocks -> batches of the posture table.

    Parameters
    ----------
    start : datetime or None
        Instant of the first row, with a time zone; None leaves the column ``timestamp`` null.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._buffer = _Buffer("posture")
        self._start_us = None if start is None else _microseconds(start)
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def duration_s(self) -> float:
        """Time from the first row to the last, s."""
        return 0.0 if self._first_s is None else self._last_s - self._first_s

    def push(self, block: PostureBlock) -> Batches:
        """Take the rows of ``block``; yield each batch they complete."""
        columns: Columns = {f.name: getattr(block, f.name) for f in fields(block) if not f.name.endswith("_q")}
        for role in ROLES:
            quat: FloatArray = getattr(block, f"{role}_q")
            columns |= {f"{role}_q{c}": quat[:, k] for k, c in enumerate("wxyz")}
        if len(block):
            self._first_s = float(block.time_s[0]) if self._first_s is None else self._first_s
            self._last_s = float(block.time_s[-1])
        if self._start_us is not None:
            since = np.rint((block.time_s - (self._first_s or 0.0)) * 1e6).astype(np.int64)
            columns["timestamp"] = self._start_us + since
        return self._buffer.push(columns)

    def finish(self) -> Batches:
        """Yield what is left, if anything."""
        return self._buffer.finish()


class SampleRows:
    """Samples of both sensors -> batches of the samples table, each batch of one sensor only."""

    def __init__(self) -> None:
        self._buffers = {role: _Buffer("samples") for role in ROLES}

    def push(self, samples: PairBlock | Sequence[ImuBlock]) -> Batches:
        """Take the next samples; the ticks of an `ImuBlock` must be seconds of session time."""
        for block in _sensors(samples) if isinstance(samples, PairBlock) else samples:
            for batch in self._buffers[block.role].push(_sample_columns(block)):
                yield _with_role(batch, block.role)

    def finish(self) -> Batches:
        """Yield what is left of each sensor, if anything."""
        for role, buffer in self._buffers.items():
            for batch in buffer.finish():
                yield _with_role(batch, role)


class NotificationRows:
    """Rows of the journal -> batches of the table ``notifications``."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._bytes = 0
        self._schema = arrow_schema("notifications")

    def push(self, row: Row) -> Batches:
        """Take the next row; yield the batch it completes."""
        self._rows.append(row)
        self._bytes += len(row.payload)
        if len(self._rows) == ROW_GROUP or self._bytes > MOST_PAYLOADS:
            yield from self.finish()

    def finish(self) -> Batches:
        """Yield what is left, if anything."""
        if not self._rows:
            return
        columns = dict(zip(Row._fields, zip(*self._rows, strict=True), strict=True))
        columns["kind"] = tuple(KINDS[kind] for kind in columns["kind"])
        columns["role"] = tuple(SIDES[role] for role in columns["role"])
        self._rows, self._bytes = [], 0
        arrays = [_from_list(columns[field.name], field.type) for field in self._schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=self._schema)


class FigureRows:
    """Figures -> the table ``windows`` (in the order of time) or ``summary`` (in the order of the metrics)."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._rows: list[Figure] = []

    def push(self, rows: Sequence[Figure]) -> None:
        """Keep the figures."""
        self._rows += rows

    def finish(self) -> pa.Table:
        """Return the whole table."""
        rows = self._rows if self._table == "summary" else sorted(self._rows, key=_figure_order)
        schema = arrow_schema(self._table)
        columns = dict(zip(Figure._fields, zip(*rows, strict=True), strict=True)) if rows else {}
        return _table({name: columns.get(name, ()) for name in schema.names}, schema)


class EventRows:
    """Events -> the table ``events``; details outside the fixed schema become further nullable columns."""

    def __init__(self) -> None:
        self._fixed = {field.name for field in fields(Event)}
        self._rows: list[Event] = []

    def push(self, rows: Sequence[Event]) -> None:
        """Keep the events.

        Raises
        ------
        PluginError
            If a detail has the name of a column that every event has.
        """
        for row in rows:
            if clash := row.details.keys() & self._fixed:
                raise PluginError(f"event {row.kind!r} has a detail named {min(clash)!r}, which is a column of its own")
        self._rows += rows

    def finish(self) -> pa.Table:
        """Return the whole table, in the order of time."""
        rows = sorted(self._rows, key=_event_order)
        schema = extended(arrow_schema("events"), {name for row in rows for name in row.details})
        columns = {name: [row.details.get(name) for row in rows] for name in schema.names if name not in self._fixed}
        columns |= {name: list(map(attrgetter(name), rows)) for name in schema.names if name in self._fixed}
        return _table(columns, schema)


# The keys make the order of rows independent of the blocks they came in. Written out, since an hour has 5000 of them.
def _event_order(row: Event) -> tuple[float | str, ...]:
    return row.start_s, row.end_s, row.kind, row.plane or "", row.side or ""


def _figure_order(row: Figure) -> tuple[float | str, ...]:
    when = row.start_s or 0.0, row.end_s or 0.0
    return *when, row.metric, row.definition, row.unit, row.plane or "", row.side or ""


def _table(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([_from_list(columns[f.name], f.type) for f in schema], schema=schema)


def _from_list(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return a column of text or numbers; None is null."""
    if pa.types.is_floating(kind):
        return _from_numbers(np.array(values, kind.to_pandas_dtype()), kind)  # None becomes NaN, and that null
    present = np.array([value is not None for value in values], bool) if None in values else None
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        texts = _encoded(values) if pa.types.is_string(kind) else [value or b"" for value in values]
        offsets = np.fromiter(itertools.accumulate(map(len, texts), initial=0), np.int32, len(texts) + 1)
        return pa.Array.from_buffers(
            kind, len(values), [_bitmap(present), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))]
        )
    numbers = values if present is None else [0 if value is None else value for value in values]
    return _from_numbers(np.array(numbers, kind.to_pandas_dtype()), kind, present)


def _encoded(texts: Sequence[str | None]) -> list[bytes]:
    """Return texts as UTF-8, each different one encoded once: an hour has thousands, of some dozens of kinds."""
    known = {text: (text or "").encode() for text in set(texts)}
    return [known[text] for text in texts]


def _from_numbers(values: NDArray[Any], kind: pa.DataType, present: NDArray[np.bool_] | None = None) -> pa.Array:
    """Return a column of numbers; a float that is not finite is null, so that no tool averages it.

    From buffers, since ``pyarrow.array`` imports pandas where it is installed: half a second, for nothing.
    """
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        present = finite if present is None else finite & present
    return pa.Array.from_buffers(kind, len(values), [_bitmap(present), pa.py_buffer(values)])


def _bitmap(present: NDArray[np.bool_] | None) -> pa.Buffer | None:
    if present is None or present.all():
        return None
    return pa.py_buffer(np.packbits(present, bitorder="little"))


def _sensors(pair: PairBlock) -> tuple[ImuBlock, ImuBlock]:
    upper, lower, t = pair.upper, pair.lower, pair.time_s
    return (
        ImuBlock("upper", t, upper.acc, upper.gyr, upper.mag, upper.flags, upper.quat),
        ImuBlock("lower", t, lower.acc, lower.gyr, lower.mag, lower.flags, lower.quat),
    )


def _sample_columns(block: ImuBlock) -> Columns:
    rows = len(block.ticks)
    mag = np.full((rows, 3), np.nan) if block.mag is None else block.mag
    columns: Columns = {"time_s": block.ticks}
    for k, axis in enumerate("xyz"):
        columns[f"acc_{axis}_mps2"] = block.acc[:, k]
        columns[f"gyr_{axis}_radps"] = block.gyr[:, k]
        columns[f"mag_{axis}_ut"] = mag[:, k]
    columns["flags"] = np.zeros(rows, np.uint8) if block.flags is None else block.flags
    quat = np.full((rows, 4), np.nan) if block.quat is None else block.quat
    columns |= {f"sensor_q{c}": quat[:, k] for k, c in enumerate("wxyz")}
    return columns


def _with_role(batch: pa.RecordBatch, role: str) -> pa.RecordBatch:
    index = batch.schema.get_field_index("role")
    return batch.set_column(index, batch.schema.field("role"), _from_list([role] * len(batch), pa.string()))


def _microseconds(instant: datetime) -> int:
    """Return whole microseconds since 1970 UTC; integers, since a float of them has no room for the last digit."""
    since = instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
