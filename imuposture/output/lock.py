"""One process at a time in a session folder: a lock that the system lets go when its holder dies, however it dies.

The number of the process stands in the file for people; what counts is the lock, so a number used anew misleads nobody.
"""

import contextlib
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from imuposture._errors import SessionError

__all__ = ["LOCK", "FolderLock"]

LOCK = ".lock"
_FAR = 1 << 20  # byte that Windows locks: beyond the text, which others must be able to read


class FolderLock:
    """The right to write into a session folder, held until `release` or the end of the process.

    Parameters
    ----------
    folder : Path
        An existing folder.

    Raises
    ------
    SessionError
        If another process, or another place in this one, holds it; or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        try:
            self._handle = _held(self._path)
            os.truncate(self._handle, 0)
            os.write(self._handle, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            raise SessionError(
                f"{folder} is in use by {_named(self._path)}: stop it first, or choose another folder"
            ) from None
        except OSError as error:
            raise SessionError(f"cannot write {folder}: {error.strerror}; choose another --out") from error

    def release(self) -> None:
        """Let go; a second time does nothing."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(handle)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        if sys.platform != "win32":
            os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _held(path: Path) -> int:
    """Open and lock the file; again if its last holder removed it between the two."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        try:
            _lock(handle)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        # Not lockf: its lock would go as soon as anybody in this process closed the file after a look into it.
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _named(path: Path) -> str:
    try:
        number = path.read_bytes()[:20].decode("ascii").strip()
    except (OSError, ValueError):
        number = ""
    return f"process {number}" if number.isdigit() else "another process"
