"""Entries -> journal.sqlite while recording: what was acknowledged is on the disk, whatever happens to us then.

`Journal.append` only puts a row into a queue; a thread of its own writes what has gathered, one transaction at most
every half second. SQLite in WAL mode with ``synchronous=FULL``: a transaction that returned has been through fsync, so
that entries survive not only the end of this process (NORMAL or OFF would do for that) but also the loss of power.
Each row carries its number and a CRC-32 over all of its fields, so that a reader need not trust the file around it.
"""

import contextlib
import itertools
import os
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output import manifest as _manifest
from imuposture.output.journal_pages import PAGE
from imuposture.output.journal_reader import JOURNAL, LOG
from imuposture.output.journal_rows import Mark, Row, crc_of_mark, row_of
from imuposture.output.lock import LOCK, FolderLock
from imuposture.output.manifest import MANIFEST, MANIFEST_PART
from imuposture.output.parquet import sync

__all__ = ["APPLICATION_ID", "JOURNAL_FILES", "JOURNAL_VERSION", "Journal"]

JOURNAL_FILES = (JOURNAL, LOG, f"{JOURNAL}-shm", f".{JOURNAL}.partial", f".{JOURNAL}.partial-journal")
APPLICATION_ID = 0x494D_5550  # "IMUP", where `file` and SQLite's own tools look
JOURNAL_VERSION = 1  # user_version of the file
SPACE = 64 << 20  # bytes that must be free: ten minutes of two sensors at 200 Hz take 25 MB, and as much when closed
MOST_WAITING = 32 << 20  # bytes of memory; at two sensors of 200 Hz a disk may stand still for four minutes
_ROW_BYTES = 300  # of memory a waiting row takes beside its payload
_AT_ONCE = 64  # rows a statement: the thread gives Python's lock away once a statement, and must win it back
_TABLES = """
CREATE TABLE entries (number INTEGER PRIMARY KEY, arrival_ns INTEGER NOT NULL, kind INTEGER NOT NULL,
    role INTEGER NOT NULL, generation INTEGER NOT NULL, channel INTEGER NOT NULL, payload BLOB NOT NULL,
    crc32 INTEGER NOT NULL);
CREATE TABLE marks (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, crc32 INTEGER NOT NULL);
"""


class Journal:
    """The sink of everything a radio brings, as a context manager.

    Parameters
    ----------
    folder : path-like
        The session folder to be: new, or empty. Its manifest is written first.
    manifest : mapping
        What is known before the first entry.
    interval_s : float
        Entries wait at most this long for their transaction, s.
    on_acknowledged : callable, optional
        Called in the journal's thread, with `acknowledged`, whenever that has grown.

    Raises
    ------
    SessionError
        If the folder is in use or holds anything, cannot be written, or too little space is free.

    Notes
    -----
    `append` belongs to one thread, that of the event loop; it never blocks. Whatever goes wrong in the journal's
    thread is raised by the next `append`, `flush` and `close`; what was acknowledged until then is kept.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        manifest: Mapping[str, Any],
        *,
        interval_s: float = 0.5,
        on_acknowledged: Callable[[int], None] | None = None,
    ) -> None:
        self.folder = Path(os.path.abspath(folder))
        self._interval_s, self._told = interval_s, on_acknowledged
        self._waiting = deque[Row]()  # appended to by one thread, taken from by the other
        self._batch: list[Row] = []  # taken, and not yet on the disk
        self._taken = self._written = 0  # bytes; each counted by one thread only, so that `append` needs no lock
        self._appended = self._acknowledged = self._refused = 0
        self._changed, self._hurry, self._ending, self._closed = threading.Condition(), threading.Event(), False, False
        self._error: SessionError | None = None
        self._lock = _claimed(self.folder)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            undo.callback(_emptied, self.folder)
            try:
                self._database = undo.enter_context(contextlib.closing(self._begun(manifest)))
            except (OSError, sqlite3.Error) as error:
                if isinstance(error, SessionError):
                    raise
                reason = getattr(error, "strerror", None) or error
                raise SessionError(
                    f"cannot begin a recording in {self.folder}: {reason}; make room or choose another --out"
                ) from error
            undo.pop_all()
        self._file = (self.folder / JOURNAL).stat()
        self._thread = threading.Thread(target=self._write, name="imuposture-journal", daemon=True)
        self._thread.start()

    @property
    def appended(self) -> int:
        """Entries taken."""
        return self._appended

    @property
    def acknowledged(self) -> int:
        """Entries that are on the disk: the first so many of those appended."""
        return self._acknowledged

    @property
    def refused(self) -> int:
        """Entries that were not taken, as the disk had stood still for too long and memory is bounded."""
        return self._refused

    @property
    def pressure(self) -> float:
        """Share of the memory for waiting entries that is taken; at 1 entries are refused."""
        return (self._taken - self._written) / MOST_WAITING

    def append(self, entry: Entry) -> None:
        """Take an entry; it is on the disk once `acknowledged` counts it.

        Raises
        ------
        SessionError
            If it is not an entry, the journal is closed or could not be written, or too many entries wait already;
            this one is then not taken.
        """
        if self._error is not None or self._ending:
            raise self._refusal()
        if self._taken - self._written > MOST_WAITING:
            self._refused += 1
            raise SessionError(
                f"the disk of {self.folder} does not answer: {self._appended - self._acknowledged} entries wait, "
                f"{self._refused} more were refused; is it asleep, full or disconnected?"
            )
        row = row_of(self._appended, entry)
        self._taken += len(row.payload) + _ROW_BYTES
        self._waiting.append(row)
        self._appended += 1

    def flush(self, timeout_s: float = 30.0) -> int:
        """Wait until everything appended so far is on the disk.

        Blocks; of an event loop, call it in a thread.

        Returns
        -------
        int
            `acknowledged`.

        Raises
        ------
        SessionError
            If that is not so after ``timeout_s``, or cannot be any more.
        """
        self._hurry.set()
        return self.wait_acknowledged(self._appended, timeout_s)

    def wait_acknowledged(self, count: int, timeout_s: float = 30.0) -> int:
        """Wait until ``count`` entries are on the disk; see `flush`.

        Raises
        ------
        SessionError
            If that is not so after ``timeout_s``, or cannot be any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._acknowledged >= count or self._error is not None, timeout_s)
            if self._error is not None:
                raise self._refusal()
            if self._acknowledged < count:
                raise SessionError(
                    f"the disk of {self.folder} did not take {count - self._acknowledged} entries within "
                    f"{timeout_s:g} s; is it asleep, full or disconnected?"
                )
            return self._acknowledged

    def close(self, timeout_s: float = 60.0) -> int:
        """Bring the last entries to the disk and let go of the folder; a second time does nothing.

        Returns
        -------
        int
            `acknowledged`.

        Raises
        ------
        SessionError
            If entries were lost; those acknowledged are kept.
        """
        if self._closed:
            return self._acknowledged
        self._ending = True
        self._hurry.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise SessionError(f"the disk of {self.folder} did not answer within {timeout_s:g} s; it is left as it is")
        self._closed = True
        try:
            if self._error is not None and _is_full(self._error.__cause__):
                self._try_again()
            _merge(self._database, self.folder, self._acknowledged)
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error
        finally:
            self._lock.release()
        if self._error is not None:
            raise self._refusal()
        return self._acknowledged

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SessionError:
            if error is None:  # else the first error is the one to report
                raise

    def _begun(self, manifest: Mapping[str, Any]) -> sqlite3.Connection:
        """Make manifest and journal; nobody takes the one for a recording before the other is there."""
        self._check_space()
        _manifest.put(self.folder, _manifest.completed({**manifest, "state": _manifest.BEGINNING}))
        database = _created(self.folder / JOURNAL)
        try:
            _manifest.put(self.folder, _manifest.completed({**manifest, "state": _manifest.RECORDING}))
        except BaseException:
            database.close()
            raise
        return database

    def _write(self) -> None:
        """Write what has gathered, again and again (the journal's thread)."""
        try:
            while not self._ending:
                # From begin to begin of a transaction: a slow disk makes entries wait long enough by itself.
                due = time.monotonic() + self._interval_s
                self._commit()
                self._hurry.wait(max(0.0, due - time.monotonic()))
                self._hurry.clear()
            self._commit()
        except Exception as error:  # anything: it must reach whoever appends
            with self._changed:
                self._error = self._failure(error)
                self._error.__cause__ = error
                self._changed.notify_all()

    def _commit(self) -> None:
        """Bring all that waits to the disk in one transaction."""
        self._batch += [self._waiting.popleft() for _ in range(len(self._waiting))]
        rows = self._batch
        if not rows:
            return
        self._check_file()
        with self._database:  # commits, or rolls back
            self._database.execute("BEGIN IMMEDIATE")
            for begin in range(0, len(rows), _AT_ONCE):
                some = rows[begin : begin + _AT_ONCE]
                places = ",".join(["(?,?,?,?,?,?,?,?)"] * len(some))
                self._database.execute(f"INSERT INTO entries VALUES {places}", list(itertools.chain(*some)))
            _mark(self._database, Mark.ACKNOWLEDGED, rows[-1].number + 1)
        self._batch = []
        self._acknowledge(rows)

    def _acknowledge(self, rows: list[Row]) -> None:
        self._written += sum(len(row.payload) + _ROW_BYTES for row in rows)
        with self._changed:
            self._acknowledged += len(rows)
            self._changed.notify_all()
        if self._told is not None:
            self._told(self._acknowledged)

    def _try_again(self) -> None:
        """Write once more what a full disk had no room for; somebody may have made some since."""
        try:
            self._commit()
        except (OSError, sqlite3.Error):
            return
        self._error = None

    def _check_file(self) -> None:
        """Refuse to write into a file that nobody can find any more: its folder was removed or replaced."""
        if not os.path.samestat(os.stat(self.folder / JOURNAL), self._file):
            raise SessionError(f"{self.folder / JOURNAL} was replaced while recording")

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < SPACE:
            raise SessionError(
                f"{self.folder}: {free >> 20} MB are free, and ten minutes of recording need {SPACE >> 20} MB: "
                "make room or choose another --out"
            )

    def _failure(self, error: Exception) -> SessionError:
        reason = getattr(error, "strerror", None) or error
        return SessionError(
            f"cannot write {self.folder / JOURNAL}: {reason}. {self._acknowledged} of {self._appended} entries are "
            f"kept; make room or reconnect the disk, then: imuposture recover {self.folder}"
        )

    def _refusal(self) -> SessionError:
        if self._error is None:
            return SessionError(f"{self.folder} is closed: open a new Journal")
        again = SessionError(str(self._error))
        again.__cause__ = self._error.__cause__
        return again


def _claimed(folder: Path) -> FolderLock:
    """Make the folder if need be, lock it, and make sure that nothing is in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SessionError(f"cannot make the folder {folder}: {error.strerror}; choose another --out") from error
    lock = FolderLock(folder)
    if there := sorted(path.name for path in folder.iterdir() if path.name != LOCK):
        lock.release()
        raise SessionError(
            f"{folder} holds {there[0]!r}; a recording begins in a new or empty folder: choose another --out, "
            f"or, if a recorder died here: imuposture recover {folder}"
        )
    return lock


def _emptied(folder: Path) -> None:
    """Remove what a recording that could not begin has made, so that the next one can."""
    for name in (*JOURNAL_FILES, MANIFEST, MANIFEST_PART):
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _created(path: Path) -> sqlite3.Connection:
    """Make the journal; it has its tables and first mark before it has its name."""
    part = path.with_name(f".{path.name}.partial")
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as database:
        for pragma in (f"page_size={PAGE}", f"application_id={APPLICATION_ID}", f"user_version={JOURNAL_VERSION}"):
            database.execute(f"PRAGMA {pragma}")
        database.executescript(_TABLES)
        _mark(database, Mark.ACKNOWLEDGED, 0)
    os.replace(part, path)
    database = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    for pragma in (
        "locking_mode=EXCLUSIVE",  # nobody else writes, and no shared memory file is needed
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=1",  # of macOS, where fsync alone stops at the cache of the disk
        "checkpoint_fullfsync=1",
    ):
        database.execute(f"PRAGMA {pragma}")
    _mark(database, Mark.BEGUN, 0)
    database.execute("PRAGMA wal_checkpoint")  # so that the mark is there even if the log should get lost
    sync(path.parent)
    sync(path.parent.parent)
    return database


def _merge(database: sqlite3.Connection, folder: Path, count: int) -> None:
    """Close the journal, which merges its log into the file, and leave a mark that tells this from a lost log.

    Where the disk is too full for the mark, there may be room once the log is gone.
    """
    with contextlib.closing(database), contextlib.suppress(sqlite3.Error):
        _mark(database, Mark.CLOSED, count)
        return
    if not (folder / LOG).exists():
        there = f"{(folder / JOURNAL).as_uri()}?mode=rw"  # never a new file
        with contextlib.closing(sqlite3.connect(there, uri=True, isolation_level=None)) as again:
            _mark(again, Mark.CLOSED, count)


def _mark(database: sqlite3.Connection, mark: Mark, count: int) -> None:
    database.execute("REPLACE INTO marks VALUES (?, ?, ?)", (mark, count, crc_of_mark(mark, count)))


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
