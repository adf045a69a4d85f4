"""Rows -> the tables of a session while it is still recorded, so that closing it need not walk its journal again.

A convenience, and never more: the journal has all that came. Whatever goes wrong here (a full disk, one that stands
still) ends the spool alone; what it wrote is removed, and closing replays the journal.
"""

import contextlib
import errno
import json
import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, TextIO

from imuposture._blocks import Event, Figure, MetricBlock
from imuposture.output.files import TableFiles
from imuposture.output.walked import WalkRows

__all__ = ["SPOOL", "STREAMED", "Spool"]

log = logging.getLogger(__name__)
SPOOL = ".rows"  # hidden in the session folder
STREAMED = ("posture", "samples", "notifications")
LEAST_FREE = 64 << 20  # bytes; what is left then is the journal's
MOST_WAITING = 4096  # blocks: half a minute of two sensors at 60 Hz, 30 MB
_AT_ONCE = 256  # blocks that wake the thread before its time
_INTERVAL_S = 1.0  # small blocks cost more than the rows in them, so they are written a second at a time
_PATIENCE_S = 60.0
_FOUND = "found.jsonl"
_values_of = attrgetter(*(field.name for field in fields(Event)))


class Spool:
    """Rows on their way into hidden tables of the session folder, in a thread of its own; memory is bounded.

    Parameters
    ----------
    folder : path-like
        The session folder; its journal has been begun.
    manifest : mapping
        Of the session; its ``start`` is the instant of the first row.
    join : callable
        Makes one block of several (`imuposture.pipeline.join_blocks`).

    Attributes
    ----------
    entries : int
        Whose rows these are, once it is finished; the first so many of the journal.
    findings : dict
        What the walk found, for the manifest.

    Notes
    -----
    Nothing here raises because of the disk.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        manifest: Mapping[str, Any],
        join: Callable[[Sequence[Any]], WalkRows],
    ) -> None:
        self.entries, self.findings = 0, dict[str, Any]()
        self.part = Path(os.path.abspath(folder)) / SPOOL
        self._manifest, self._join = dict(manifest), join
        self._waiting = deque[WalkRows]()  # appended to by one thread, taken from by the other
        self._wake, self._ending, self._finished = threading.Event(), False, False
        self._failure: str | None = None
        self._files: TableFiles | None = None
        self._found: TextIO | None = None
        self._thread = threading.Thread(target=self._write, name="imuposture-rows", daemon=True)
        self._thread.start()

    @property
    def failure(self) -> str | None:
        """Why there are no rows; None while all is well."""
        return self._failure

    def write(self, rows: WalkRows) -> None:
        """Take the next rows; never waits."""
        if self._failure is not None or self._ending:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._fail(f"the disk did not take {MOST_WAITING} blocks of rows in time")
            return
        self._waiting.append(rows)
        if len(self._waiting) >= _AT_ONCE:
            self._wake.set()

    def finish(self, entries: int, findings: Mapping[str, Any]) -> None:
        """Write what waits; nothing more will come. Blocks for a moment.

        Parameters
        ----------
        entries : int
            How many were walked, all that the walk still held included.
        findings : mapping
            What the walk found.
        """
        self.entries, self.findings = entries, dict(findings)
        self._stop()
        self._finished = self._failure is None

    def tables(self) -> TableFiles | None:
        """Return the tables, still open, or None if they are not whole."""
        return self._files if self._finished and self._failure is None else None

    def metrics(self) -> MetricBlock:
        """Read back what the metrics found."""
        with (self.part / _FOUND).open(encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines]
        return MetricBlock(
            tuple(Event(*one) for events, _, _ in found for one in events),
            tuple(Figure(*one) for _, windows, _ in found for one in windows),
            tuple(Figure(*one) for _, _, summary in found for one in summary),
        )

    def abort(self, why: str = "it is not wanted") -> None:
        """Remove what is still in the hidden folder; harmless once its tables were put in place."""
        finished, self._finished = self._finished, False
        if self._failure is None:
            self._failure = why
        self._stop()
        if finished:  # the thread ended well, and left this to us
            self._remove()

    def _stop(self) -> None:
        self._ending = True
        self._wake.set()
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._fail(f"the disk did not answer within {_PATIENCE_S:g} s")

    def _fail(self, why: str) -> None:
        if self._failure is None:
            self._failure = why
            log.warning("rows are no longer written while recording (%s); the journal keeps all that comes", why)
        self._wake.set()

    def _write(self) -> None:
        """Write what has gathered, again and again (the spool's thread)."""
        try:
            self.part.mkdir()
            self._files = TableFiles(self.part, self._manifest, STREAMED)
            self._found = (self.part / _FOUND).open("w", encoding="utf-8")
            while not self._ending and self._failure is None:
                self._wake.wait(_INTERVAL_S)
                self._wake.clear()
                self._put()
            self._put()
            self._found.close()
        except Exception as error:  # anything: the journal is what counts
            self._fail(getattr(error, "strerror", None) or repr(error))
        if self._failure is not None:
            self._remove()

    def _put(self) -> None:
        blocks = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not blocks or self._failure is not None or self._files is None or self._found is None:
            return
        if shutil.disk_usage(self.part).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, f"less than {LEAST_FREE >> 20} MB are free")
        rows = self._join(blocks)
        self._files.write(rows.posture, None, rows.samples)
        self._found.writelines(_lines_of(rows.metrics))

    def _remove(self) -> None:
        """Give the space back, which the journal may need."""
        self._waiting.clear()
        for file in (self._files, self._found):
            with contextlib.suppress(Exception):
                if isinstance(file, TableFiles):
                    file.abort()
                elif file is not None:
                    file.close()
        shutil.rmtree(self.part, ignore_errors=True)


def _lines_of(found: MetricBlock) -> Iterator[str]:
    """Put what metrics found on a line; floats come back from text as the same bits."""
    if found.events or found.windows or found.summary:
        events: Iterable[Any] = map(_values_of, found.events)
        yield json.dumps([list(events), found.windows, found.summary], default=lambda number: number.item()) + "\n"
