"""Opening files of unknown origin: only regular ones, and never more than was asked for."""

import stat
from pathlib import Path

from imuposture._errors import ConfigError, RecordingError
from imuposture.acquisition.readers.text import safe_text

__all__ = ["HEAD_BYTES", "PARQUET_MAGIC", "SMALL_BYTES", "read_head", "read_small"]

PARQUET_MAGIC = b"PAR1"
HEAD_BYTES = 65_536
SMALL_BYTES = 1_000_000  # bytes of a settings file or manifest; real ones have a few thousand


def read_head(path: Path) -> bytes:
    """Read the first 64 KiB of a data file.

    Raises
    ------
    RecordingError
        If it does not exist, cannot be read, is not a regular file, or is empty.
    """
    try:
        head = _read(path, HEAD_BYTES)
    except FileNotFoundError:
        raise RecordingError(f"{safe_text(path)}: no such file; check the name and the folder") from None
    except (OSError, ValueError) as error:
        raise RecordingError(f"{safe_text(path)}: cannot be read: {_reason(error)}") from None
    if not head:
        raise RecordingError(f"{safe_text(path)}: empty, 0 bytes; was the export or the copy interrupted?")
    return head


def read_small(path: Path) -> bytes:
    """Read a whole settings file.

    Raises
    ------
    ConfigError
        If it cannot be read, is not a regular file, or has more than a megabyte.
    """
    try:
        data = _read(path, SMALL_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{safe_text(path)}: cannot be read: {_reason(error)}") from None
    if len(data) > SMALL_BYTES:
        raise ConfigError(f"{safe_text(path)}: longer than {SMALL_BYTES} bytes, which no settings file needs")
    return data


def _read(path: Path, length: int) -> bytes:
    """Read from a regular file only: a named pipe or a device could make us wait for ever."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a regular file; give a recording (CSV, Parquet, TOML) or a session folder")
    with path.open("rb") as file:
        return file.read(length)


def _reason(error: Exception) -> str:
    return safe_text(getattr(error, "strerror", None) or error)
