"""The session folder of a recording: journal and rows while it goes on, and in the end the session."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from imuposture._blocks import Entry
from imuposture.output import Journal, Result, Spool, close_session
from imuposture.output.walked import Walk
from imuposture.pipeline import Rows, join_blocks

__all__ = ["CloseSession", "EntrySink", "Keeper", "aside"]

LOOK_S = 0.01  # between two looks at work in another thread
T = TypeVar("T")
CloseSession = Callable[
    [Path, Walk, Mapping[str, Any], Spool | None, Callable[[float], None]],
    Result,
]


class EntrySink(Protocol):
    """Where entries are kept: the journal."""

    def append(self, entry: Entry) -> None:
        """Take an entry; never waits long."""
        ...

    def close(self) -> int:
        """Bring the last entries to the disk."""
        ...


class Keeper:
    """What is kept of a recording.

    Parameters
    ----------
    folder : Path
        The session folder, new or empty.
    manifest : mapping
        What is known before the first entry.
    journal, close : callable
        As of `Recorder`.

    Attributes
    ----------
    notes : list of str
        What went wrong and did no harm, for whoever recorded.

    Raises
    ------
    SessionError
        If the session folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Any],
        journal: Callable[[Path, Mapping[str, Any]], EntrySink] = Journal,
        close: CloseSession = close_session,
    ) -> None:
        self._folder, self._close_session = folder, close
        self._journal = journal(folder, manifest)
        self._entries = 0
        self._given_up = threading.Event()
        self._spool: Spool | None = None
        self.notes: list[str] = []
        try:
            self._spool = Spool(folder, manifest, join_blocks)
        except Exception as error:  # no thread to be had, for one; closing takes longer then
            self._note(repr(error))

    def append(self, entry: Entry) -> None:
        """Take an entry, before anything else is done with it.

        Raises
        ------
        SessionError
            If it cannot be kept.
        """
        self._journal.append(entry)
        self._entries += 1

    def write(self, rows: Rows) -> None:
        """Take the rows of the entries so far; what becomes of them, closing will see."""
        if self._spool is not None:
            self._spool.write(rows)

    def without_rows(self) -> None:
        """Say that rows are missing: closing must make all of them from the journal."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.abort("the walk broke off")

    def close(self) -> None:
        """Bring all that came to the disk, and be done; a second time does nothing. Blocks.

        Raises
        ------
        SessionError
            If some of it was lost.
        """
        self.without_rows()
        self._journal.close()

    def session(self, walk: Walk, found: Mapping[str, Any], findings: Mapping[str, Any] | None) -> Result:
        """Make a session of what was kept. Blocks, for long if the journal must be walked.

        Parameters
        ----------
        walk : Walk
            A fresh one.
        found : mapping
            What the recorder found, for the manifest.
        findings : mapping or None
            Those of the live walk; None if it broke off.

        Raises
        ------
        SessionError
            If it cannot be written; the journal is kept then.
        KeyboardInterrupt
            After `give_up`; likewise.
        """
        spool, self._spool = self._spool, None
        try:
            if spool is not None and findings is not None:
                spool.finish(self._entries, findings)
                if spool.failure is not None:
                    self._note(spool.failure)
            self._journal.close()
            return self._close_session(self._folder, walk, found, spool, self._look_up)
        finally:
            if spool is not None:
                spool.abort()

    def _note(self, why: str) -> None:
        self.notes.append(
            f"rows could not be written while recording ({why}); they are made from the journal, which has all"
        )

    def give_up(self) -> None:
        """Leave the session to `imuposture recover`. From any thread."""
        self._given_up.set()

    def _look_up(self, _share: float) -> None:
        if self._given_up.is_set():
            raise KeyboardInterrupt


async def aside(work: Callable[[], T], give_up: Callable[[], None] | None = None) -> T:
    """Do work in a thread while the loop goes on; left early, it is given up first, and waited for.

    Looks whether it is done rather than being told: in simulated time, a loop that waits for a thread runs ahead.
    """
    with ThreadPoolExecutor(1, "imuposture-closing") as pool:
        future = pool.submit(work)
        try:
            while not future.done():
                wait((future,), LOOK_S)
                await asyncio.sleep(0)
        except BaseException:
            if give_up is not None:
                give_up()
            raise
        return future.result()
