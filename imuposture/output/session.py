"""Rows -> a session folder, or the same tables in memory.

A folder appears whole or not at all: everything is written into a hidden sibling, brought to the disk, read back with
its checksums, and then renamed. Whatever goes wrong before that leaves nothing behind.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from imuposture._blocks import MetricBlock, PostureBlock
from imuposture._errors import SessionError
from imuposture.output import manifest as _manifest
from imuposture.output.files import Samples, TableFiles, TableRows
from imuposture.output.parquet import sync
from imuposture.output.result import Result
from imuposture.output.schema import arrow_schema
from imuposture.output.stored import SCORES

__all__ = ["Memory", "SessionFolder", "find_kept"]

# All that processing writes. A folder that holds anything else holds somebody's work, and is never replaced.
_OWN = {"session.json", "report.html", SCORES} | {
    f"{t}.parquet" for t in ("posture", "events", "windows", "summary", "samples")
}


class Memory:
    """The sink that keeps the tables: same verbs as `SessionFolder`, nothing on disk.

    Parameters
    ----------
    manifest : mapping
        What is known before the first row; see `SessionFolder`.
    """

    def __init__(self, manifest: Mapping[str, Any] | None = None) -> None:
        self._given = dict(manifest or {})
        self._rows = TableRows(self._given)
        self._posture: list[pa.RecordBatch] = []

    def write(self, posture: PostureBlock, metrics: MetricBlock | None = None, samples: Samples | None = None) -> None:
        """Keep the next rows; ``samples`` are not kept."""
        del samples
        self._posture += self._rows.posture.push(posture)
        self._rows.push(metrics or MetricBlock())

    def close(self, summary: MetricBlock | None = None, manifest: Mapping[str, Any] | None = None) -> Result:
        """Keep the last figures and return all tables."""
        self._rows.push(summary or MetricBlock())
        self._posture += self._rows.posture.finish()
        posture = pa.Table.from_batches(self._posture, arrow_schema("posture"))
        tables = {"posture": posture, **self._rows.finish()}
        known = {**self._given, "duration_s": self._rows.posture.duration_s, **(manifest or {})}
        return Result(_manifest.completed(known), tables=tables)

    def abort(self) -> None:
        """Forget the rows."""
        self._posture = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class SessionFolder:
    """The sink that writes a session folder.

    Parameters
    ----------
    path : path-like
        The folder to be; its parents are made.
    manifest : mapping
        What is known before the first row. ``start`` (ISO 8601 with offset, or datetime) is the instant of the
        first row. ``input`` = ``{"paths": [...], "sha256": [...], "format": ...}`` and ``config_hash`` identify the
        work; ``calibration_sha256`` in ``input``, a list as well, when the calibration came from another recording.
    overwrite : bool
        Replace the session that is there. A folder that holds anything else is never replaced.
    samples : bool
        Also write samples.parquet.

    Raises
    ------
    SessionError
        If something stands at ``path`` that may not be replaced, or the folder cannot be written.

    Notes
    -----
    A context manager: left with an exception, or without `close`, it aborts.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        manifest: Mapping[str, Any],
        *,
        overwrite: bool = False,
        samples: bool = False,
    ) -> None:
        self._path, self._overwrite, self._open = Path(os.path.abspath(path)), overwrite, False
        self._given = dict(manifest)
        _refuse_inputs(self._path, manifest)
        if _occupied(self._path) and not overwrite:
            raise SessionError(f"{self._path} exists already; --overwrite replaces it, or choose another --out")
        self._files: TableFiles | None = None
        self._made = _missing_parents(self._path)
        self._part = self._path.parent / f".{self._path.name}.{secrets.token_hex(4)}.partial"
        self._open = True
        with self._all_or_nothing():
            self._part.mkdir(parents=True)
            _manifest.put(self._part, self._completed(self._given))
            self._files = TableFiles(self._part, manifest, ("posture", "samples") if samples else ("posture",))

    def write(self, posture: PostureBlock, metrics: MetricBlock | None = None, samples: Samples | None = None) -> None:
        """Write the next rows; ``samples`` are dropped unless the folder was opened with ``samples=True``.

        Raises
        ------
        SessionError
            If they cannot be written; nothing is left behind then.
        """
        with self._all_or_nothing() as files:
            files.write(posture, metrics, samples)

    def close(self, summary: MetricBlock | None = None, manifest: Mapping[str, Any] | None = None) -> Result:
        """Write the last figures, read everything back, and let the folder appear under its name.

        Parameters
        ----------
        summary : MetricBlock
            What the metrics still held.
        manifest : mapping
            What is known only now; added to the first one, key by key.

        Returns
        -------
        Result
            The session; its tables are read when asked for.

        Raises
        ------
        SessionError
            If a file is not on the disk as it was written, or the name was taken meanwhile; nothing is left then.
        """
        with self._all_or_nothing() as files:
            seals = files.close(summary)
            known = {**self._given, "duration_s": files.duration_s, **(manifest or {}), "tables": seals}
            whole = self._completed(known)
            _manifest.put(self._part, whole)
            self._publish()
        self._open = False
        return Result(whole, path=self._path)

    def abort(self) -> None:
        """Remove all that was written; nothing happens after `close`."""
        if not self._open:
            return
        self._open = False
        if self._files is not None:
            self._files.abort()
        shutil.rmtree(self._part, ignore_errors=True)
        for folder in self._made:
            with contextlib.suppress(OSError):  # somebody else put something into it meanwhile
                folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Any:
        """Abort on any exception, and say what could not be written in our own words."""
        if not self._open:
            raise SessionError(f"{self._path} is closed: open a new SessionFolder")
        try:
            yield self._files
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError) and not isinstance(error, SessionError):
                reason = error.strerror or error
                raise SessionError(
                    f"cannot write {self._path}: {reason}; make room or choose another --out. Nothing was left behind"
                ) from error
            raise

    def _completed(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Complete the manifest, with the paths of the input as seen from the session, so that both may move."""
        source = known.get("input")
        if isinstance(source, Mapping) and "paths" in source:
            paths = [_seen_from(self._path, path) for path in source["paths"]]
            known = {**known, "input": {**source, "paths": paths}}
        return _manifest.completed(known)

    def _publish(self) -> None:
        """Rename the hidden folder to its name; an old session steps aside first, and comes back if that fails."""
        if not _occupied(self._path):
            if self._path.is_dir():
                self._path.rmdir()
            os.rename(self._part, self._path)
        elif not self._overwrite:
            raise SessionError(f"{self._path} was written by somebody else meanwhile; choose another --out")
        else:
            aside = self._part.with_suffix(".old")
            os.rename(self._path, aside)
            try:
                os.rename(self._part, self._path)
            except BaseException:
                os.rename(aside, self._path)
                raise
            shutil.rmtree(aside, ignore_errors=True)
        sync(self._path.parent)


def find_kept(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], *, overwrite: bool = False, samples: bool = False
) -> Result | None:
    """Return the session at ``path`` if it is the answer already; None if ``path`` is free to be written.

    Parameters
    ----------
    path, manifest, overwrite, samples
        As for `SessionFolder`. With ``overwrite`` nothing is kept.

    Raises
    ------
    SessionError
        If another session is there and ``overwrite`` is off, or what is there may not be replaced.
    """
    folder = Path(os.path.abspath(path))
    _refuse_inputs(folder, manifest)
    if not _occupied(folder) or overwrite:
        return None
    there = _manifest.load(folder)
    tables = there.get("tables")
    tables = tables if isinstance(tables, dict) else {}
    whole = bool(tables) and all(_weighs(folder / f"{t}.parquet", s) for t, s in tables.items())
    if whole and _manifest.same_work(there, manifest) and (not samples or "samples" in tables):
        return Result(there, path=folder, status="kept")
    reason = "made from another input or with other settings" if whole else "and not whole"
    raise SessionError(f"{folder} exists already, {reason}; --overwrite replaces it, or choose another --out")


def _weighs(path: Path, seal: Any) -> bool:
    return isinstance(seal, dict) and path.is_file() and path.stat().st_size == seal.get("bytes")


def _occupied(folder: Path) -> bool:
    """Tell whether a session stands at ``folder``; refuse anything that is not one."""
    if not os.path.lexists(folder):
        return False
    if folder.is_symlink() or not folder.is_dir():
        raise SessionError(f"{folder} is not a folder: move it away or choose another --out")
    names = {entry.name for entry in folder.iterdir()}
    if foreign := sorted(names - _OWN):
        raise SessionError(
            f"{folder} holds {foreign[0]!r}, which processing does not write, and is never replaced: "
            "move it away or choose another --out"
        )
    return bool(names)


def _refuse_inputs(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse to write over what is being read."""
    source = manifest.get("input")
    for path in source.get("paths", ()) if isinstance(source, Mapping) else ():
        given = Path(os.path.abspath(path))
        if folder == given or (folder in given.parents and _occupied(folder)):
            raise SessionError(f"{folder} holds the input {given.name!r}: choose another --out")


def _seen_from(folder: Path, path: str) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive on Windows
        return os.path.abspath(path)


def _missing_parents(path: Path) -> list[Path]:
    """Return the folders above ``path`` that do not exist yet, innermost first."""
    return [parent for parent in path.parents if not parent.exists()]
