"""Rows -> the tables of a session, in one folder that nobody looks at yet."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from imuposture._blocks import ImuBlock, MetricBlock, PairBlock, PostureBlock
from imuposture._errors import SessionError
from imuposture.output.journal_rows import Row
from imuposture.output.parquet import TableFile
from imuposture.output.schema import arrow_schema
from imuposture.output.tables import EventRows, FigureRows, NotificationRows, PostureRows, SampleRows

__all__ = ["Samples", "Seals", "TableFiles", "TableRows"]

Samples = PairBlock | Sequence[ImuBlock]
Seals = dict[str, dict[str, int | str]]


class TableRows:
    """The rows of all tables on their way into a sink.

    Parameters
    ----------
    manifest : mapping
        Its ``start`` is the instant of the first row.

    Raises
    ------
    SessionError
        If ``start`` is no instant.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        self.posture = PostureRows(_start(manifest))
        self.samples = SampleRows()
        self.notifications = NotificationRows()
        self.events = EventRows()
        self.windows = FigureRows("windows")
        self.summary = FigureRows("summary")

    def push(self, metrics: MetricBlock | None) -> None:
        """Keep what the metrics found."""
        if metrics is not None:
            self.events.push(metrics.events)
            self.windows.push(metrics.windows)
            self.summary.push(metrics.summary)

    def finish(self) -> dict[str, pa.Table]:
        """Return the tables that are whole only at the end."""
        return {"events": self.events.finish(), "windows": self.windows.finish(), "summary": self.summary.finish()}


class TableFiles:
    """The files of all tables while they are written.

    Parameters
    ----------
    folder : Path
    manifest : mapping
        As for `TableRows`.
    tables : sequence of str
        Those that are written as their rows come: "posture", "samples", "notifications".
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any], tables: Sequence[str]) -> None:
        self._folder = folder
        self._rows = TableRows(manifest)
        self._files: dict[str, TableFile] = {}
        self._pool = ThreadPoolExecutor(1, "imuposture-write")
        for table in tables:
            self._start(table, arrow_schema(table))

    @property
    def duration_s(self) -> float:
        """Time from the first posture row to the last, s."""
        return self._rows.posture.duration_s

    def write(self, posture: PostureBlock, metrics: MetricBlock | None = None, samples: Samples | None = None) -> None:
        """Write the next rows; those of a table that is not written are dropped."""
        for batch in self._rows.posture.push(posture) if len(posture) else ():
            self._files["posture"].write(batch)
        if samples is not None and "samples" in self._files:
            for batch in self._rows.samples.push(samples):
                self._files["samples"].write(batch)
        self._rows.push(metrics)

    def note(self, row: Row) -> None:
        """Write the next row of the table ``notifications``."""
        for batch in self._rows.notifications.push(row):
            self._files["notifications"].write(batch)

    def close(self, summary: MetricBlock | None = None) -> Seals:
        """Write what is left, and read all of it back.

        Returns
        -------
        dict
            What `TableFile.close` returned, by table.

        Raises
        ------
        SessionError
            If a file is not on the disk as it was written.
        """
        self._rows.push(summary)
        rows = self._rows
        last = {
            "posture": rows.posture.finish,
            "samples": rows.samples.finish,
            "notifications": rows.notifications.finish,
        }
        for table, file in self._files.items():
            for batch in last[table]():
                file.write(batch)
        for table, whole in rows.finish().items():
            self._start(table, whole.schema)
            self._files[table].write(whole)
        seals = {table: file.close() for table, file in self._files.items()}
        self._pool.shutdown()
        return seals

    def abort(self) -> None:
        """Let go of the files; they are about to be removed."""
        for file in self._files.values():
            file.abort()
        self._pool.shutdown()

    def _start(self, table: str, schema: pa.Schema) -> None:
        self._files[table] = TableFile(self._folder / f"{table}.parquet", schema, self._pool)


def _start(manifest: Mapping[str, Any]) -> datetime | None:
    start = manifest.get("start")
    if isinstance(start, str):
        try:
            start = datetime.fromisoformat(start)
        except ValueError:
            raise SessionError(f"start must be ISO 8601 with an offset, got {start!r}") from None
    if isinstance(start, datetime) and start.tzinfo is None:
        raise SessionError(f"start must have a time zone or offset, got {start.isoformat()}")
    return start
