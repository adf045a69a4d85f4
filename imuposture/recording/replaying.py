"""What was recorded, walked again: to close a session, to mend one, or to see its rows once more."""

import os
from collections.abc import Callable
from pathlib import Path

from imuposture import output
from imuposture.output import Memory, Recovery, Result, manifest, read_entries
from imuposture.pipeline.remembered import walk_of

__all__ = ["close_session", "recover", "replay"]


def close_session(folder: str | os.PathLike[str]) -> Result:
    """Make a session of a journal that is complete: its entries are walked once more, and the tables written.

    Raises
    ------
    SessionError
        If it cannot be written; the journal is kept then, and `recover` tries again.
    """
    path = Path(folder)
    return output.close_session(path, walk_of(manifest.load(path)))


def recover(folder: str | os.PathLike[str], progress: Callable[[float], None] | None = None) -> Recovery:
    """Finish a session whose recorder died; nothing that reached the disk is lost.

    Parameters
    ----------
    folder : path-like
        The session folder, with its journal.
    progress : callable, optional
        Given the share that is done.

    Returns
    -------
    Recovery
        Its ``result`` is the session; as a text it says what was found.

    Raises
    ------
    SessionError
        If somebody records into it, it is no session, or it cannot be written.
    """
    return output.recover(folder, walk_of, progress)


def replay(folder: str | os.PathLike[str]) -> Result:
    """Walk a closed session's notifications again, in memory: the rows are those it gave live, bit for bit.

    Parameters
    ----------
    folder : path-like
        A session that was recorded. To have its clocks fitted with hindsight, `imuposture.process` it.

    Returns
    -------
    Result
        With all tables, but no folder.

    Raises
    ------
    SessionError
        If it is not a recorded session, or some of what it kept is damaged.
    """
    path = Path(folder)
    known = manifest.load(path)
    walk = walk_of(known)
    with Memory(known) as memory:
        for rows in walk.push_all(read_entries(path)):
            memory.write(rows.posture, rows.metrics)
        last = walk.finish()
        memory.write(last.posture)
        return memory.close(last.metrics, walk.findings())
