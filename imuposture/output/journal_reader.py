"""journal.sqlite -> the entries of a session, in their order, each one verified.

What was damaged is told, with its place, and never used: either to whoever asks for it, or as an error.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imuposture._blocks import Entry
from imuposture._errors import SessionError
from imuposture.output.journal_pages import Pages
from imuposture.output.journal_rows import Row, trusted

__all__ = ["JOURNAL", "LOG", "Damage", "read_entries", "read_rows"]

JOURNAL, LOG = "journal.sqlite", "journal.sqlite-wal"
_MOST_HELD = 1_000_000  # rows in memory at once; pages of a real journal overlap by some hundreds


@dataclass(frozen=True, slots=True)
class Damage:
    """Entries that are lost.

    Attributes
    ----------
    first, last : int
        Their numbers, from 0.
    after_ns, before_ns : int or None
        Arrival of the entries before and after them; None where there is none.
    """

    first: int
    last: int
    after_ns: int | None
    before_ns: int | None

    def __str__(self) -> str:
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
        entry = trusted(row)
        if entry is not None:  # as it always is: nothing else is read
            yield entry


def read_rows(folder: Path, on_damage: OnDamage | None = None) -> Iterator[Row]:
    """Read the rows of a journal; see `read_entries`.

    Raises
    ------
    SessionError
        As `read_entries`.
    """
    path = folder / JOURNAL
    with contextlib.ExitStack() as stack:
        try:
            file, log = _opened(path, stack), _opened(folder / LOG, stack)
            if file is None and log is None:
                raise SessionError(f"{folder} holds no {JOURNAL}: nothing was recorded here, or it is closed already")
            pages = Pages(file, log)
            yield from _checked(_in_order(pages, path), pages.count(), path, on_damage or _refused(path))
        except OSError as error:
            if isinstance(error, SessionError):
                raise
            raise SessionError(f"{path} cannot be read: {error.strerror}; is the disk failing?") from error


def _opened(path: Path, stack: contextlib.ExitStack) -> BinaryIO | None:
    """Open a regular file, and nothing else: a pipe or a device could make us wait for ever."""
    if path.is_symlink() or not path.is_file():
        return None
    return stack.enter_context(path.open("rb"))


def _refused(path: Path) -> OnDamage:
    def refuse(damage: Damage) -> None:
        raise SessionError(f"{path}: {damage}; imuposture recover keeps all the others")

    return refuse


def _checked(rows: Iterator[Row], count: int, path: Path, on_damage: OnDamage) -> Iterator[Row]:
    """Pass rows on and tell of those that are missing between them, or behind the last one."""
    after, expected = None, 0
    for row in rows:
        if row.number > expected:
            on_damage(Damage(expected, row.number - 1, after, row.arrival_ns))
        after, expected = row.arrival_ns, row.number + 1
        yield row
    if count > expected:
        on_damage(Damage(expected, count - 1, after, None))
    if not expected and not count and not _is_database(path):
        raise SessionError(f"{path} is no journal, or damaged beyond recovery: no entry could be found in it")


def _is_database(path: Path) -> bool:
    with contextlib.ExitStack() as stack:
        file = _opened(path, stack)
        return file is not None and file.read(16) == b"SQLite format 3\0"


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
