"""What was recorded, walked again: to close a session, to mend one, or to see its rows once more."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from imuposture import output
from imuposture._blocks import Role
from imuposture._errors import ConfigError
from imuposture.alignment import FittedClock
from imuposture.output import Memory, Recovery, Result, manifest, read_entries
from imuposture.recording.walks import walk_of

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


def replay(folder: str | os.PathLike[str], *, clocks: Literal["causal", "fit"] = "causal") -> Result:
    """Walk a closed session's notifications again, in memory: the rows are those it gave live, bit for bit.

    Parameters
    ----------
    folder : path-like
        A session that was recorded.
    clocks : "causal" or "fit"
        How the sensors' clocks are laid on the host's: by what was known at each row, as live, or by a fit to the
        whole recording (Moon, Skelly and Towsley 1999). The second gives better times, and so other rows; the
        manifest names it.

    Returns
    -------
    Result
        With all tables, but no folder.

    Raises
    ------
    ConfigError
        If there is no such way.
    SessionError
        If it is not a recorded session, or some of what it kept is damaged.
    """
    if clocks not in ("causal", "fit"):
        raise ConfigError(f"clocks must be 'causal' or 'fit', got {clocks!r}")
    path = Path(folder)
    known = manifest.load(path)
    walk = walk_of(known, clocks="causal" if clocks == "causal" else _fitted(path, known))
    with Memory({**known, "clock_fit": clocks}) as memory:
        for rows in walk.push_all(read_entries(path)):
            memory.write(rows.posture, rows.metrics)
        last = walk.finish()
        memory.write(last.posture)
        return memory.close(last.metrics, walk.findings())


def _fitted(path: Path, known: Mapping[str, Any]) -> Mapping[Role, Sequence[FittedClock]]:
    """Walk a session once for its clocks alone."""
    walk = walk_of(known, clocks="gather")
    for _ in walk.push_all(read_entries(path)):
        pass
    walk.finish()
    return walk.alignment.fits()
