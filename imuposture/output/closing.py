"""A journal -> the session it is: the tables are written beside it, read back, put in place; only then it is dropped.

Whatever ends this on the way, at whatever moment, the journal is still there or the session is whole, and closing it
once more gives the same rows. What a session is, its manifest says: "recording" until all tables stand under their
names, "closed" from then on.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output import manifest as _manifest
from imuposture.output.files import Seals, TableFiles
from imuposture.output.journal import JOURNAL_FILES
from imuposture.output.journal_reader import Damage, read_rows
from imuposture.output.journal_rows import Row, entry_of
from imuposture.output.lock import LOCK, FolderLock
from imuposture.output.manifest import MANIFEST_PART
from imuposture.output.parquet import sync
from imuposture.output.result import Result
from imuposture.output.spool import SPOOL, STREAMED, Spool
from imuposture.output.walked import Walk, WalkRows

__all__ = ["Recovery", "Walk", "WalkRows", "close_session", "recover"]

log = logging.getLogger(__name__)
WalkOf = Callable[[dict[str, Any]], Walk]
Progress = Callable[[float], None]
_PART = ".closing"
_TOLD_EVERY = 1024  # entries
_MOST_TOLD = 1000  # damaged places that the manifest lists


class _Made(NamedTuple):
    """Tables that are on the disk, and not yet under their names."""

    part: Path
    seals: Seals
    duration_s: float
    findings: Mapping[str, Any]
    entries: int
    lost: Sequence[Damage]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of a session folder.

    Attributes
    ----------
    state : str
        ``"closed already"``, ``"recovered"``, or ``"empty"``: the recorder died before it kept anything.
    result : Result or None
        The session; None of an empty one.
    entries : int
        How many were kept.
    damaged : tuple of Damage
        What was lost.
    """

    state: str
    result: Result | None
    entries: int = 0
    damaged: tuple[Damage, ...] = ()

    def __str__(self) -> str:
        where = "the folder" if self.result is None else self.result.path
        if self.state == "empty":
            return "nothing had been recorded yet; the folder can be removed"
        if self.state == "closed already":
            return f"{where} is closed already, with {self.entries} entries"
        told = [f"{where} was recovered: {self.entries} entries", *map(str, self.damaged[:10])]
        if len(self.damaged) > 10:
            told.append(f"and {len(self.damaged) - 10} more damaged places")
        return "; ".join(told)


def close_session(
    folder: str | os.PathLike[str],
    walk: Walk,
    manifest: Mapping[str, Any] | None = None,
    spool: Spool | None = None,
    progress: Progress | None = None,
) -> Result:
    """Turn a journal into the session it is; one that is closed already is returned as it is.

    Parameters
    ----------
    folder : path-like
        The session folder, which nobody records into any more.
    walk : Walk
        Fresh, set up as the manifest says.
    manifest : mapping, optional
        What the recorder found; added to the manifest, key by key.
    spool : Spool, optional
        Finished. If its rows are those of all entries, they are taken, and nothing is walked.
    progress : callable, optional
        Given the share that is done; what it raises ends the closing, and the journal is kept.

    Returns
    -------
    Result
        The closed session.

    Raises
    ------
    SessionError
        If the folder is in use, holds no session, or the tables cannot be written; the journal is kept then.
    """
    try:
        done = _close(Path(os.path.abspath(folder)), lambda _: walk, manifest or {}, spool, progress)
    finally:
        if spool is not None:
            spool.abort()
    if done.result is None:
        raise SessionError(f"{folder}: {done}")
    return done.result


def recover(
    folder: str | os.PathLike[str], walk_of: Callable[[dict[str, Any]], Walk], progress: Progress | None = None
) -> Recovery:
    """Close a session whose recorder, or whose closing, died.

    Parameters
    ----------
    folder : path-like
        The session folder.
    walk_of : callable
        Given the manifest, returns a fresh walk.
    progress : callable, optional
        Given the share that is done.

    Returns
    -------
    Recovery
        What the folder was, and what was lost; as text, a report in one line.

    Raises
    ------
    SessionError
        If a recorder is at work there (its process is named), it is no session, or it cannot be written.
    """
    return _close(Path(os.path.abspath(folder)), walk_of, {}, None, progress)


def _close(
    folder: Path, walk_of: WalkOf, found: Mapping[str, Any], spool: Spool | None, progress: Progress | None
) -> Recovery:
    if not folder.is_dir() or folder.is_symlink():
        raise SessionError(f"{folder} is not a folder; give the folder of a session")
    with FolderLock(folder), _own_words(folder):
        if {path.name for path in folder.iterdir()} <= {LOCK, MANIFEST_PART}:
            return Recovery("empty", None)
        manifest = _manifest.load(folder)
        if manifest.get("state") == _manifest.BEGINNING:
            return Recovery("empty", None)
        if manifest.get("state") == _manifest.RECORDING:
            made = _from_spool(folder, spool, progress) if spool is not None else None
            made = made or _replayed(folder, manifest, walk_of(manifest), progress)
            _publish(folder, manifest, made, found)
            done = Recovery("recovered", Result(_manifest.load(folder), path=folder), made.entries, tuple(made.lost))
        else:
            told = manifest.get("journal")
            kept = told.get("entries") if isinstance(told, dict) else None
            done = Recovery("closed already", Result(manifest, path=folder, status="kept"), kept or 0)
        _tidy(folder, manifest)
    return done


def _from_spool(folder: Path, spool: Spool, progress: Progress | None) -> _Made | None:
    """Finish the tables that were written while recording; None if they are not whole."""
    files = spool.tables()
    if files is None:
        return None
    counted = _Counted(progress, spool.entries)
    try:
        for row in counted.through(read_rows(folder)):
            files.note(row)
        if counted.entries != spool.entries:
            raise SessionError(f"the journal has {counted.entries} entries, and rows were made of {spool.entries}")
        seals = files.close(spool.metrics())
    except Exception as error:  # whatever it is: the journal decides
        log.warning("rows that were written while recording are not used: %s; the journal is replayed", error)
        spool.abort(str(error))
        return None
    return _Made(spool.part, seals, files.duration_s, spool.findings, counted.entries, ())


def _replayed(folder: Path, manifest: dict[str, Any], walk: Walk, progress: Progress | None) -> _Made:
    """Write the tables from the journal: every entry goes through the walk once more."""
    part = folder / _PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    files = TableFiles(part, manifest, STREAMED)
    lost: list[Damage] = []
    counted = _Counted(progress)
    try:
        for rows in walk.push_all(_noted(counted.through(read_rows(folder, lost.append, counted.expect)), files)):
            _write(files, rows)
        _write(files, walk.finish())
        seals = files.close()
    except BaseException:
        files.abort()
        shutil.rmtree(part, ignore_errors=True)
        raise
    return _Made(part, seals, files.duration_s, walk.findings(), counted.entries, lost)


class _Counted:
    """Counts rows of the journal, and tells how far it is."""

    def __init__(self, progress: Progress | None, expected: int | None = None) -> None:
        self.entries = 0
        self._progress, self._expected = progress, expected

    def expect(self, count: int | None) -> None:
        self._expected = count

    def through(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            if self._progress is not None and self.entries % _TOLD_EVERY == 0:
                self._progress(min(1.0, self.entries / self._expected) if self._expected else 0.0)
            self.entries += 1
            yield row


def _noted(rows: Iterator[Row], files: TableFiles) -> Iterator[Entry]:
    for row in rows:
        files.note(row)
        yield entry_of(row)


def _write(files: TableFiles, rows: WalkRows) -> None:
    files.write(rows.posture, rows.metrics, rows.samples)


def _publish(folder: Path, manifest: dict[str, Any], made: _Made, found: Mapping[str, Any]) -> None:
    """Put the tables in place; then the manifest says that the session is closed."""
    journal = {"entries": made.entries, "damaged": [[damage.first, damage.last] for damage in made.lost[:_MOST_TOLD]]}
    known = {**manifest, "duration_s": made.duration_s, **made.findings, **found}
    whole = _manifest.completed({**known, "journal": journal, "tables": made.seals, "state": _manifest.CLOSED})
    for table in made.seals:
        os.replace(made.part / f"{table}.parquet", folder / f"{table}.parquet")
    sync(folder)
    _manifest.put(folder, whole)


def _tidy(folder: Path, manifest: dict[str, Any]) -> None:
    """Remove what only an open session needs; a session that was made by processing is left alone."""
    if manifest.get("state") not in {_manifest.RECORDING, _manifest.CLOSED}:
        return
    for part in (_PART, SPOOL):
        shutil.rmtree(folder / part, ignore_errors=True)
    for name in (*JOURNAL_FILES, MANIFEST_PART):
        (folder / name).unlink(missing_ok=True)
    sync(folder)


@contextlib.contextmanager
def _own_words(folder: Path) -> Iterator[None]:
    """Say in our own words what could not be written."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SessionError):
            raise
        raise SessionError(
            f"cannot close {folder}: {error.strerror or error}; the journal is kept. Make room, then: "
            f"imuposture recover {folder}"
        ) from error
