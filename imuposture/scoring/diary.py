"""A diary (CSV) -> who did what when. Strict: what could be read in two ways is refused, with its line."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from imuposture._errors import ConfigError

__all__ = ["Diary", "Entry", "read_diary"]

REQUIRED = ("wearer", "start", "end", "task")
OPTIONAL = ("group", "session")
_MOST = 64 << 20  # bytes
_LONGEST = 200  # characters of a name


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the diary.

    ``start`` and ``end`` are instants, seconds since 1970 UTC, or seconds of session time where ``instants`` is False.
    """

    line: int
    wearer: str
    task: str
    start: float
    end: float
    instants: bool
    group: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Diary:
    """What the wearers did.

    Attributes
    ----------
    path : Path
    entries : tuple of Entry
        By wearer and start.
    """

    path: Path
    entries: tuple[Entry, ...]

    @property
    def wearers(self) -> list[str]:
        """All wearers, by name."""
        return sorted({entry.wearer for entry in self.entries})

    def of(self, session: str) -> tuple[Entry, ...]:
        """Return the entries of a session: those that name it, else those of its wearer.

        A session is its wearer's when its name is the wearer's, or that with anything behind ``_``, ``-`` or a blank;
        every session is, when the diary knows only one.

        Raises
        ------
        ConfigError
            If the diary does not say whose session it is, or names two wearers.
        """
        if any(entry.session is not None for entry in self.entries):
            named = tuple(entry for entry in self.entries if entry.session == session)
            if len({entry.wearer for entry in named}) > 1:
                raise ConfigError(f"{self.path}: the session '{session}' has two wearers; a session has one")
            return named
        known = self.wearers
        mine = [w for w in known if session == w or session.startswith((f"{w}_", f"{w}-", f"{w} "))]
        if not mine and len(known) == 1:
            mine = known
        if not mine:
            raise ConfigError(
                f"{self.path}: nobody knows who wore the session '{session}' (wearers: {', '.join(known)}); "
                "begin its name with the wearer's, or add a column session"
            )
        wearer = max(mine, key=len)
        return tuple(entry for entry in self.entries if entry.wearer == wearer)


def read_diary(path: str | os.PathLike[str]) -> Diary:
    """Read a diary: CSV in UTF-8 with the columns wearer, start, end, task, and if you like group and session.

    Parameters
    ----------
    path : path-like
        ``start`` and ``end`` are ISO 8601 with an offset (``2026-03-02T08:00:00+01:00``), or, all of them, seconds of
        session time.

    Returns
    -------
    Diary

    Raises
    ------
    ConfigError
        If it cannot be read without doubt: unknown or missing columns, times without an offset or in two kinds, an end
        before its start, entries of one wearer that overlap. The message names the line.
    """
    path = Path(path)
    entries = list(_entries(path, _text(path)))
    if not entries:
        raise ConfigError(f"{path}: the diary has no line below its header; write one a task")
    if len({entry.instants for entry in entries}) > 1:
        raise ConfigError(f"{path}: some times are instants and some seconds of the session; write all of one kind")
    entries.sort(key=lambda entry: (entry.session or "", entry.wearer, entry.start))
    _refuse_overlaps(path, entries)
    _refuse_two_groups(path, entries)
    return Diary(path, tuple(entries))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST:
            raise ConfigError(f"{path}: more than {_MOST >> 20} MB is no diary; name the right file")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the diary is not UTF-8; save it as CSV in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: the diary cannot be read ({error.strerror})") from error


def _entries(path: Path, text: str) -> Iterator[Entry]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _require_columns(path, names)
        for row in reader:
            if any(cell.strip() for cell in row):
                yield _entry(path, reader.line_num, names, row)
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: not CSV ({error})") from error


def _require_columns(path: Path, names: Sequence[str]) -> None:
    choice = f"known are {', '.join(REQUIRED)} and, if you like, {', '.join(OPTIONAL)}"
    if unknown := [name for name in names if name not in REQUIRED + OPTIONAL]:
        raise ConfigError(f"{path}: the diary has a column {unknown[0]!r}; {choice}, separated by commas")
    if missing := [name for name in REQUIRED if name not in names]:
        raise ConfigError(f"{path}: the diary has no column {missing[0]!r}; {choice}")
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: the diary has a column twice; {choice}")


def _entry(path: Path, line: int, names: Sequence[str], row: Sequence[str]) -> Entry:
    where = f"{path}, line {line}"
    if len(row) != len(names):
        raise ConfigError(f"{where}: {len(row)} cells under {len(names)} columns; quote texts that hold a comma")
    cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
    for name in ("wearer", "task"):
        if not cells[name]:
            raise ConfigError(f"{where}: {name} is empty; name it")
    for name in ("wearer", "task", *OPTIONAL):
        if len(cells.get(name, "")) > _LONGEST or not cells.get(name, "").isprintable():
            raise ConfigError(f"{where}: {name} must be at most {_LONGEST} printable characters")
    (start, instants), (end, other) = (_time(where, name, cells[name]) for name in ("start", "end"))
    if instants != other:
        raise ConfigError(f"{where}: start and end must be of one kind, got {cells['start']!r} and {cells['end']!r}")
    if not start < end:
        raise ConfigError(f"{where}: end {cells['end']} is not after start {cells['start']}")
    group, session = cells.get("group") or None, cells.get("session") or None
    if "session" in names and session is None:
        raise ConfigError(f"{where}: session is empty; name it, or leave the column out")
    return Entry(line, cells["wearer"], cells["task"], start, end, instants, group, session)


def _time(where: str, name: str, text: str) -> tuple[float, bool]:
    """Return a time and whether it is an instant."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if not 0.0 <= seconds < 1e9:
            raise ConfigError(f"{where}: {name} must be seconds of the session, 0 or more, got {text!r}")
        return seconds, False
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{where}: {name} must be like 2026-03-02T08:00:00+01:00, or seconds of the session, got {text!r}"
        ) from None
    if instant.tzinfo is None:
        raise ConfigError(f"{where}: {name} {text!r} has no time zone; add its offset, e.g. {text}+01:00")
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds(), True


def _refuse_overlaps(path: Path, entries: Sequence[Entry]) -> None:
    for one, next_one in pairwise(entries):
        same = (one.wearer, one.session) == (next_one.wearer, next_one.session)
        if same and next_one.start < one.end:
            first, second = sorted((one.line, next_one.line))
            raise ConfigError(
                f"{path}, lines {first} and {second}: '{one.task}' and '{next_one.task}' of {one.wearer} overlap; "
                "end one where the other begins"
            )


def _refuse_two_groups(path: Path, entries: Sequence[Entry]) -> None:
    groups: dict[str, Entry] = {}
    for entry in entries:
        other = groups.setdefault(entry.wearer, entry)
        if other.group != entry.group:
            raise ConfigError(
                f"{path}, lines {other.line} and {entry.line}: {entry.wearer} is in two groups; a wearer has one"
            )
