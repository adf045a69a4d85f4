"""journal.sqlite, or notifications.parquet once closed -> the entries of a session, in order, each one verified.

What was damaged is told, with its place, and never used: either to whoever asks for it, or as an error.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output.journal_pages import Pages
from imuposture.output.journal_rows import Mark, Row, entry_of
from imuposture.output.manifest import CLOSED, load
from imuposture.output.notifications import NOTIFICATIONS, rows_of

__all__ = ["JOURNAL", "LOG", "Damage", "read_entries", "read_rows"]

JOURNAL, LOG = "journal.sqlite", "journal.sqlite-wal"
_MOST_HELD = 1_000_000  # rows in memory at once; pages of a real journal overlap by some hundreds


@dataclass(frozen=True, slots=True)
class Damage:
    """Entries that are lost.

    Attributes
    ----------
    first, last : int
        Their numbers, from 0; ``last`` is None where nobody can tell how many there were, or whether there were any.
    after_ns, before_ns : int or None
        Arrival of the entries before and after them; None where there is none.
    """

    first: int
    last: int | None
    after_ns: int | None
    before_ns: int | None

    def __str__(self) -> str:
        if self.last is None:
            return f"part of the journal is missing: entries from {self.first} on may be lost"
        if self.first == self.last:
            return f"entry {self.first} is damaged"
        return f"entries {self.first} to {self.last} are damaged"


OnDamage = Callable[[Damage], None]


def read_entries(folder: str | os.PathLike[str], on_damage: OnDamage | None = None) -> Iterator[Entry]:
    """Read the entries of a session.

    Parameters
    ----------
    folder : path-like
        The session folder.
    on_damage : callable, optional
        Told of each run of entries that are lost; without it, the first one is an error.

    Yields
    ------
    Entry
        In the order in which they were appended; each one with its CRC-32 verified.

    Raises
    ------
    SessionError
        If there is no journal, it cannot be read, or entries are lost and ``on_damage`` is not given.
    """
    for row in read_rows(Path(folder), on_damage):
        yield entry_of(row)


def read_rows(
    folder: Path, on_damage: OnDamage | None = None, on_count: Callable[[int | None], None] | None = None
) -> Iterator[Row]:
    """Read the rows of a journal, or of the table it became; see `read_entries`.

    Before the first row, ``on_count`` is told how many a journal acknowledged, or None where that is not known.

    Raises
    ------
    SessionError
        As `read_entries`; of a closed session, what was lost before is no error any more.
    """
    if (seal := _sealed(folder)) is not None:
        yield from _checked(rows_of(folder / NOTIFICATIONS, seal), 0, on_damage or _known)
        return
    path = folder / JOURNAL
    with contextlib.ExitStack() as stack:
        try:
            file, log = _opened(path, stack), _opened(folder / LOG, stack)
            if file is None and log is None:
                raise SessionError(f"{folder} holds no {JOURNAL}: nothing was recorded here")
            pages = Pages(file, log)
            end = _end(pages, log)
            if on_count is not None:
                on_count(end)
            yield from _checked(_in_order(pages, path), end, on_damage or _refused(path))
        except OSError as error:
            if isinstance(error, SessionError):
                raise
            raise SessionError(f"{path} cannot be read: {error.strerror}; is the disk failing?") from error


def _sealed(folder: Path) -> dict[str, Any] | None:
    """Return what the manifest says of notifications.parquet; None while the journal counts."""
    try:
        manifest = load(folder)
    except SessionError:
        if (folder / JOURNAL).exists():  # it needs no manifest
            return None
        raise
    tables = manifest.get("tables")
    seal = tables.get("notifications") if isinstance(tables, dict) else None
    return seal if manifest.get("state") == CLOSED and isinstance(seal, dict) else None


def _known(_damage: Damage) -> None:
    """Say nothing: the manifest of a closed session tells what was lost."""


def _opened(path: Path, stack: contextlib.ExitStack) -> BinaryIO | None:
    """Open a regular file, and nothing else: a pipe or a device could make us wait for ever."""
    if path.is_symlink() or not path.is_file():
        return None
    return stack.enter_context(path.open("rb"))


def _refused(path: Path) -> OnDamage:
    def refuse(damage: Damage) -> None:
        raise SessionError(f"{path}: {damage}; imuposture recover keeps all the others")

    return refuse


def _end(pages: Pages, log: BinaryIO | None) -> int | None:
    """Return how many entries were acknowledged; None if that part of the journal is missing."""
    marks = pages.marks()
    merged = Mark.CLOSED in marks or Mark.BEGUN not in marks
    if log is None and not merged:
        return None
    return max((marks[mark] for mark in (Mark.ACKNOWLEDGED, Mark.CLOSED) if mark in marks), default=None)


def _checked(rows: Iterator[Row], end: int | None, on_damage: OnDamage) -> Iterator[Row]:
    """Pass rows on and tell of those that are missing between them, or behind the last one."""
    after, expected = None, 0
    for row in rows:
        if row.number > expected:
            on_damage(Damage(expected, row.number - 1, after, row.arrival_ns))
        after, expected = row.arrival_ns, row.number + 1
        yield row
    if end is None or end > expected:
        on_damage(Damage(expected, None if end is None else end - 1, after, None))


def _in_order(pages: Pages, path: Path) -> Iterator[Row]:
    """Yield the rows of all pages by their numbers, each one once."""
    starts = sorted(_starts(pages))
    held: dict[int, Row] = {}
    done = -1
    for k, (_, place) in enumerate(starts):
        held |= {row.number: row for row in pages.rows(pages.page(place)) if row.number > done}
        until = starts[k + 1][0] if k + 1 < len(starts) else None
        ready = sorted(held) if until is None else sorted(number for number in held if number < until)
        if len(held) - len(ready) > _MOST_HELD:
            raise SessionError(f"{path}: its pages overlap as those of no journal do; it is refused")
        for number in ready:
            yield held.pop(number)
            done = number


def _starts(pages: Pages) -> Iterator[tuple[int, tuple[bool, int]]]:
    """Yield for each page with rows the lowest number of one, and the place of the page."""
    for place in pages.places():
        first = next(pages.rows(pages.page(place)), None)
        if first is not None:
            yield first.number, place
