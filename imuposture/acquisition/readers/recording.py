"""The recording: what a reader makes of one or two files, before its rows are read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from imuposture._blocks import ImuBlock, Role, Stream
from imuposture.acquisition.readers.settings import Settings

__all__ = ["Reader", "Recording", "SourceFile"]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that passed the checks of its first minutes; the rest is checked while it streams.

    Attributes
    ----------
    paths : tuple of Path
        Every file that decides the rows or the windows: data files first, then the TOML, if there is one.
    format : str
        For example ``"plain CSV"``.
    streams : tuple of Stream
        One or two; the order of the blocks of a chunk.
    source : callable
        Opens the rows from their beginning; use `blocks`.
    windows : dict of lists of (start, end)
        Calibration windows in seconds of session time; keys neutral, flexion, lateral, rotation.
    placement : str or None
        Where the sensors were worn, as the TOML says.
    start : datetime or None
        Wall-clock time (with zone) of session time 0, or of the first sample of a file with a device counter.
    notes : tuple of str
        Every assumption that was made, in words.
    units : dict
        Units in which ``acc`` and ``gyr`` stand in the file.
    rows : int or None
        Number of rows where the file tells it without being read.
    """

    paths: tuple[Path, ...]
    format: str
    streams: tuple[Stream, ...]
    source: Callable[[], Iterator[ImuBlock]] = field(repr=False)
    windows: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    placement: str | None = None
    start: datetime | None = None
    notes: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    rows: int | None = None

    def blocks(self) -> Iterator[ImuBlock]:
        """Read the rows, in SI units, chunk by chunk, one block a sensor; may be called again.

        Raises
        ------
        RecordingError
            When a row is reached that cannot be trusted, or a calibration window lies beyond the last row.
        """
        return self.source()


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file (or session folder) to open.

    Attributes
    ----------
    path : Path
    role : "upper", "lower" or None
        The sensor whose rows it holds; None when the file itself must say.
    head : bytes
        Its first bytes, at most 64 KiB; empty for a folder.
    """

    path: Path
    role: Role | None = None
    head: bytes = field(default=b"", repr=False)


@runtime_checkable
class Reader(Protocol):
    """A file format; found by `sniff`, registered in the entry-point group ``imuposture.readers``."""

    name: str

    def sniff(self, path: Path, head: bytes, /) -> bool:
        """Say whether this reader is the one to open, or to refuse, a file that begins with ``head``."""
        ...

    def open(self, files: Sequence[SourceFile], settings: Settings, /) -> Recording:
        """Open one file, or the upper and the lower sensor's files.

        Raises
        ------
        RecordingError
            If a file is not a recording that can be trusted.
        ConfigError
            If the settings contradict it.
        """
        ...
