"""A session, or many of them -> the four tables, read when asked for and with every checksum verified."""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from imuposture._errors import SessionError
from imuposture.output import manifest as _manifest
from imuposture.output.parquet import read, verify
from imuposture.output.schema import arrow_schema, extended

__all__ = ["Result", "Sessions", "open_sessions"]

Status = Literal["memory", "written", "kept"]


class Result:
    """What processing one recording gave.

    Parameters
    ----------
    manifest : dict
        What is known about the session: the content of session.json.
    path : Path, optional
        The session folder; None for a result in memory.
    tables : dict of str to pyarrow.Table, optional
        The tables of a result in memory.
    status : "memory", "written" or "kept"
        ``kept``: the folder was there already, made from the same input with the same settings.

    Attributes
    ----------
    posture, events, windows, summary : pyarrow.Table
        See docs and the metadata of each field; read from the folder at first use.
    """

    def __init__(
        self,
        manifest: dict[str, Any],
        *,
        path: Path | None = None,
        tables: dict[str, pa.Table] | None = None,
        status: Status | None = None,
    ) -> None:
        self.manifest = manifest
        self.path = path
        self.status: Status = status or ("memory" if path is None else "written")
        self._tables = tables or {}

    @cached_property
    def posture(self) -> pa.Table:
        """One row an instant of the grid."""
        return self._table("posture")

    @cached_property
    def events(self) -> pa.Table:
        """Repetitions, posture changes, breaks, gaps: what began and ended."""
        return self._table("events")

    @cached_property
    def windows(self) -> pa.Table:
        """The figures of each window."""
        return self._table("windows")

    @cached_property
    def summary(self) -> pa.Table:
        """The figures of the whole session, with their intervals and verdicts."""
        return self._table("summary")

    def _table(self, name: str) -> pa.Table:
        if self.path is None:
            return self._tables[name]
        return _conformed(read(self.path / f"{name}.parquet", self._seal(self.path, name)), name)

    def _seal(self, path: Path, name: str) -> dict[str, Any]:
        seals = self.manifest.get("tables")
        seal = seals.get(name) if isinstance(seals, dict) else None
        if self.manifest.get("state") in {_manifest.BEGINNING, _manifest.RECORDING}:
            raise SessionError(
                f"{path} is being recorded, or its recorder died; in that case: imuposture recover {path}"
            )
        if not isinstance(seal, dict) or not isinstance(seal.get("rows"), int):
            raise SessionError(f"{path / 'session.json'} does not list the table {name}: the session is not whole")
        return seal

    def verify(self) -> None:
        """Read every table of the folder, checksums verified, and keep none.

        Raises
        ------
        SessionError
            If one is missing or damaged.
        """
        if self.path is None:
            return
        for name in self.manifest.get("tables", {}):
            self.verify_table(name)

    def verify_table(self, name: str) -> None:
        """Read one table of the folder, checksums verified, and keep nothing of it.

        Raises
        ------
        SessionError
            If it is missing or damaged.
        """
        if self.path is not None:
            verify(self.path / f"{name}.parquet", self._seal(self.path, name))

    def __repr__(self) -> str:
        return f"<Result {self.status}: {self.path or 'in memory'}>"


class Sessions:
    """One or many sessions as one: each table with a first column ``session``, the name of the folder.

    Attributes
    ----------
    results : dict of str to Result
        Each session by its name.
    manifests : dict of str to dict
        Each manifest by the name of its session.
    posture, events, windows, summary : pyarrow.Table
        The rows of all sessions, in the order given; read at first use. A column that a session does not have is
        null there.
    """

    def __init__(self, results: dict[str, Result]) -> None:
        self.results = results
        self.manifests = {name: result.manifest for name, result in results.items()}

    @cached_property
    def posture(self) -> pa.Table:
        """One row an instant of the grid of each session."""
        return self._table("posture")

    @cached_property
    def events(self) -> pa.Table:
        """What began and ended in each session."""
        return self._table("events")

    @cached_property
    def windows(self) -> pa.Table:
        """The figures of each window of each session."""
        return self._table("windows")

    @cached_property
    def summary(self) -> pa.Table:
        """The figures of each session as a whole."""
        return self._table("summary")

    def _table(self, name: str) -> pa.Table:
        parts = [_named(getattr(result, name), session) for session, result in self.results.items()]
        extra = {column for part in parts for column in part.schema.names} - {"session"}
        schema = extended(arrow_schema(name), extra)
        schema = schema.insert(0, _SESSION)
        whole = pa.concat_tables(parts, promote_options="default").unify_dictionaries()
        return whole.select(schema.names).cast(schema)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        return f"<Sessions: {', '.join(self.results)}>"


_SESSION = pa.field(
    "session", pa.dictionary(pa.int32(), pa.string()), nullable=False, metadata={"description": "name of the session"}
)


def open_sessions(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Sessions:
    """Open one or many session folders, or all those in a folder.

    Parameters
    ----------
    paths : path-like or iterable of path-like
        Session folders, or folders that hold session folders.

    Returns
    -------
    Sessions
        Their tables, each with a first column ``session``.

    Raises
    ------
    SessionError
        If there is none, a manifest is damaged, or two are the same folder. Damaged tables are refused when they
        are read.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    folders = [folder for path in given for folder in _folders(Path(path))]
    if not folders:
        raise SessionError("no session folder was given; one is a folder that holds session.json")
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise SessionError("a session folder was given twice; give each one once")
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):  # two of the same name: tell them apart by their paths, as given
        names = [folder.as_posix() for folder in folders]
    loaded = [Result(_manifest.load(folder), path=folder, status="kept") for folder in folders]
    return Sessions(dict(zip(names, loaded, strict=True)))


def _folders(path: Path) -> list[Path]:
    if (path / "session.json").exists() or not path.is_dir():
        return [path]
    inside = sorted(p.parent for p in path.glob("*/session.json") if not p.parent.name.startswith("."))
    if not inside:
        raise SessionError(f"{path} is not a session folder and holds none: no session.json in it")
    return inside


def _conformed(table: pa.Table, name: str) -> pa.Table:
    """Return a table with the columns of the fixed schema first, null where an older session has none."""
    schema = extended(arrow_schema(name), set(table.schema.names))
    for field in schema:
        if field.name not in table.schema.names:
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(schema.names).cast(schema)


def _named(table: pa.Table, session: str) -> pa.Table:
    index = pa.repeat(pa.scalar(0, pa.int32()), table.num_rows)
    return table.add_column(0, _SESSION, pa.DictionaryArray.from_arrays(index, pa.array([session])))
