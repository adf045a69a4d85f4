"""A journal -> the session it is: the tables are written beside it, read back, put in place; only then it is dropped.

Whatever ends this on the way, at whatever moment, the journal is still there or the session is whole, and closing it
once more gives the same rows. What a session is, its manifest says: "recording" until all tables stand under their
names, "closed" from then on.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from imuposture._blocks import Entry, MetricBlock, PostureBlock
from imuposture._errors import SessionError
from imuposture.output import manifest as _manifest
from imuposture.output.files import Samples, TableFiles
from imuposture.output.journal import JOURNAL_FILES
from imuposture.output.journal_reader import Damage, read_rows
from imuposture.output.journal_rows import entry_of
from imuposture.output.lock import LOCK, FolderLock
from imuposture.output.manifest import MANIFEST_PART
from imuposture.output.parquet import sync
from imuposture.output.result import Result

__all__ = ["Recovery", "Walk", "WalkRows", "close_session", "recover"]

WalkOf = Callable[[dict[str, Any]], "Walk"]
_PART = ".closing"
_STREAMED = ("posture", "samples", "notifications")
_MOST_TOLD = 1000  # damaged places that the manifest lists


class WalkRows(Protocol):
    """What the walk gives for an entry; `imuposture.pipeline.Rows` is one."""

    @property
    def samples(self) -> Samples:
        """Samples of both sensors."""
        ...

    @property
    def posture(self) -> PostureBlock:
        """Rows of the grid."""
        ...

    @property
    def metrics(self) -> MetricBlock:
        """What the metrics found."""
        ...


class Walk(Protocol):
    """What turns entries into rows; `imuposture.pipeline.LivePipeline` is one. The same entries give the same rows."""

    def push(self, entry: Entry, /) -> WalkRows:
        """Take the next entry."""
        ...

    def finish(self) -> WalkRows:
        """Return what still waited."""
        ...

    def findings(self) -> Mapping[str, Any]:
        """Return what is known only at the end, for the manifest."""
        ...


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


def close_session(folder: str | os.PathLike[str], walk: Walk, manifest: Mapping[str, Any] | None = None) -> Result:
    """Turn a journal into the session it is; one that is closed already is returned as it is.

    Parameters
    ----------
    folder : path-like
        The session folder, which nobody records into any more.
    walk : Walk
        Fresh, set up as the manifest says.
    manifest : mapping, optional
        What the recorder found; added to the manifest, key by key.

    Returns
    -------
    Result
        The closed session.

    Raises
    ------
    SessionError
        If the folder is in use, holds no session, or the tables cannot be written; the journal is kept then.
    """
    done = _close(Path(os.path.abspath(folder)), lambda _: walk, manifest or {})
    if done.result is None:
        raise SessionError(f"{folder}: {done}")
    return done.result


def recover(folder: str | os.PathLike[str], walk_of: Callable[[dict[str, Any]], Walk]) -> Recovery:
    """Close a session whose recorder, or whose closing, died.

    Parameters
    ----------
    folder : path-like
        The session folder.
    walk_of : callable
        Given the manifest, returns a fresh walk.

    Returns
    -------
    Recovery
        What the folder was, and what was lost; as text, a report in one line.

    Raises
    ------
    SessionError
        If a recorder is at work there (its process is named), it is no session, or it cannot be written.
    """
    return _close(Path(os.path.abspath(folder)), walk_of, {})


def _close(folder: Path, walk_of: WalkOf, found: Mapping[str, Any]) -> Recovery:
    if not folder.is_dir() or folder.is_symlink():
        raise SessionError(f"{folder} is not a folder; give the folder of a session")
    with FolderLock(folder), _own_words(folder):
        if {path.name for path in folder.iterdir()} <= {LOCK, MANIFEST_PART}:
            return Recovery("empty", None)
        manifest = _manifest.load(folder)
        if manifest.get("state") == _manifest.BEGINNING:
            return Recovery("empty", None)
        if manifest.get("state") == _manifest.RECORDING:
            entries, lost = _written(folder, manifest, walk_of(manifest), found)
            done = Recovery("recovered", Result(_manifest.load(folder), path=folder), entries, tuple(lost))
        else:
            told = manifest.get("journal")
            kept = told.get("entries") if isinstance(told, dict) else None
            done = Recovery("closed already", Result(manifest, path=folder, status="kept"), kept or 0)
        _tidy(folder, manifest)
    return done


def _written(folder: Path, manifest: dict[str, Any], walk: Walk, found: Mapping[str, Any]) -> tuple[int, list[Damage]]:
    """Write the tables from the journal, and put them in place."""
    part = folder / _PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    files = TableFiles(part, manifest, _STREAMED)
    try:
        lost: list[Damage] = []
        entries = _walked(folder, walk, files, lost.append)
        seals = files.close()
    except BaseException:
        files.abort()
        shutil.rmtree(part, ignore_errors=True)
        raise
    journal = {"entries": entries, "damaged": [[damage.first, damage.last] for damage in lost[:_MOST_TOLD]]}
    known = {**manifest, "duration_s": files.duration_s, **walk.findings(), **found}
    whole = _manifest.completed({**known, "journal": journal, "tables": seals, "state": _manifest.CLOSED})
    for table in seals:
        os.replace(part / f"{table}.parquet", folder / f"{table}.parquet")
    sync(folder)
    _manifest.put(folder, whole)
    return entries, lost


def _walked(folder: Path, walk: Walk, files: TableFiles, on_damage: Callable[[Damage], None]) -> int:
    """Send every entry through the walk; return how many there were."""
    entries = 0
    for row in read_rows(folder, on_damage):
        files.note(row)
        _write(files, walk.push(entry_of(row)))
        entries += 1
    _write(files, walk.finish())
    return entries


def _write(files: TableFiles, rows: WalkRows) -> None:
    files.write(rows.posture, rows.metrics, rows.samples)


def _tidy(folder: Path, manifest: dict[str, Any]) -> None:
    """Remove what only an open session needs; a session that was made by processing is left alone."""
    if manifest.get("state") not in {_manifest.RECORDING, _manifest.CLOSED}:
        return
    shutil.rmtree(folder / _PART, ignore_errors=True)
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
