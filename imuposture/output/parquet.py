"""Arrow batches <-> one Parquet file, with checksums written, and checked whenever it is read.

Floats are split byte by byte (BYTE_STREAM_SPLIT), whole numbers are stored as differences, text as a dictionary, all
under LZ4: 86 bytes and about 0.3 us a posture row to write. The fastest zstd takes 2 % fewer bytes and a fifth more
time to write, a half more to read; plain values take more of both.
"""

import contextlib
import io
import itertools
import os
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imuposture._errors import SessionError
from imuposture.output.tables import ROW_GROUP

__all__ = ["DAMAGE", "TableFile", "check_seal", "damaged", "read", "sync", "verify"]

_CHUNK = 1 << 18  # bytes read at once
_PAGE = 1 << 19  # bytes a page: what is encoded, compressed and summed while it is still in the cache
_VALUES = ROW_GROUP  # encoded at a time: a page of numbers, so that no room for it has to grow
# What pyarrow raises on a file that is not whole: ArrowInvalid is a ValueError, a wrong page checksum an OSError, an
# encoding or a type that a flipped bit made up a NotImplementedError.
DAMAGE = (OSError, ValueError, TypeError, KeyError, NotImplementedError, pa.ArrowException)


class _Summed(io.BufferedWriter):
    """A file that knows the CRC-32 of what it was given, whatever then happens to that on its way to the disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "w"), _CHUNK)
        self._value = 0

    def write(self, data: Any) -> int:
        """Write ``data`` whole, or raise."""
        self._value = zlib.crc32(data, self._value)
        return super().write(data)

    @property
    def crc32(self) -> str:
        return f"{self._value:08x}"


class TableFile:
    """A Parquet file being written: batches in, row groups out, in a thread of ``pool``.

    At most one batch waits, so that memory stays bounded; what goes wrong in the thread is raised by the next call.
    """

    def __init__(self, path: Path, schema: pa.Schema, pool: ThreadPoolExecutor) -> None:
        self._path, self._pool, self._rows = path, pool, 0
        self._pending: Future[None] | None = None
        self._file = _Summed(path)
        self._writer = pq.ParquetWriter(self._file, schema, **_options(schema))

    def write(self, batch: pa.RecordBatch | pa.Table) -> None:
        """Hand over the next rows."""
        self._wait()
        self._rows += batch.num_rows
        write = self._writer.write_table if isinstance(batch, pa.Table) else self._writer.write_batch
        self._pending = self._pool.submit(write, batch, ROW_GROUP)

    def close(self) -> dict[str, int | str]:
        """Finish the file, bring it to the disk and read all of it back: every byte must be the one that was written.

        Returns
        -------
        dict
            ``rows``, ``bytes`` and ``crc32`` of the file, for the manifest.

        Raises
        ------
        SessionError
            If what is on the disk is not what was written. A full disk may show here first: the writer's own
            ``close`` can return normally after it.
        """
        self._wait()
        self._writer.close()
        seal: dict[str, int | str] = {"rows": self._rows, "bytes": self._file.tell(), "crc32": self._file.crc32}
        self._file.close()
        sync(self._path)
        _check_written(self._path, seal)
        return seal

    def abort(self) -> None:
        """Let go of the file; it is about to be removed."""
        with contextlib.suppress(Exception):  # whatever it is, an earlier error is the one to report
            self._wait()
        with contextlib.suppress(Exception):
            self._writer.close()
        with contextlib.suppress(Exception):
            self._file.close()

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


def read(path: Path, seal: dict[str, Any] | None = None) -> pa.Table:
    """Read a table, every checksum verified.

    Parameters
    ----------
    path : Path
        The Parquet file.
    seal : dict, optional
        What `TableFile.close` returned for it.

    Raises
    ------
    SessionError
        If the file is missing, damaged, or not the one that was written.
    """
    if seal is not None:
        check_seal(path, seal)
    with _opened(path) as file:
        try:
            table = file.read()
        except DAMAGE as error:
            raise damaged(path, error) from error
    if seal is not None:
        _check_count(path, table.num_rows, seal["rows"])
    return table


def verify(path: Path, seal: dict[str, Any]) -> None:
    """Read a file to its end and keep nothing of it; see `read`."""
    check_seal(path, seal)
    _check_pages(path, seal["rows"])


def sync(path: Path) -> None:
    """Bring a file or folder to the disk (folders: where the system can)."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _options(schema: pa.Schema) -> dict[str, Any]:
    encodings = {}
    for field in schema:
        if pa.types.is_floating(field.type):
            encodings[field.name] = "BYTE_STREAM_SPLIT"
        elif pa.types.is_binary(field.type):
            encodings[field.name] = "DELTA_LENGTH_BYTE_ARRAY"
        elif not pa.types.is_string(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
    return {
        "compression": "lz4",
        "data_page_size": _PAGE,
        "write_batch_size": _VALUES,
        "column_encoding": encodings,
        "use_dictionary": [field.name for field in schema if pa.types.is_string(field.type)],
        "write_page_checksum": True,
        # minima of smooth angles let no reader skip anything, and cost a quarter of the time; time and text keep theirs
        "write_statistics": [
            field.name for field in schema if field.name.endswith("_s") or field.name not in encodings
        ],
    }


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise SessionError(f"{path} is missing; process the recording again with --overwrite") from None
    except DAMAGE as error:
        raise damaged(path, error) from error


def _check_written(path: Path, seal: dict[str, Any]) -> None:
    """Read the bytes of a file back; the pages need no look of their own where all bytes are those given to it."""
    check_seal(path, seal)
    with _opened(path) as file:
        _check_count(path, file.metadata.num_rows, seal["rows"])


def _check_pages(path: Path, rows: int) -> None:
    """Read a file back, one column of one row group after the other, so that it takes next to no memory."""
    with _opened(path) as file:
        groups = range(file.num_row_groups)
        try:
            for group, name in itertools.product(groups, file.schema_arrow.names):
                file.read_row_group(group, [name], use_threads=False)
        except DAMAGE as error:
            raise damaged(path, error) from error
        _check_count(path, sum(file.metadata.row_group(group).num_rows for group in groups), rows)


def _check_count(path: Path, count: int, rows: int) -> None:
    if count != rows:
        raise damaged(path, f"{count} rows where {rows} were written")


def check_seal(path: Path, seal: dict[str, Any]) -> None:
    """Compare a file, byte for byte, with what `TableFile.close` returned for it.

    Raises
    ------
    SessionError
        If it is missing, or not the one that was written.
    """
    try:
        size, crc32 = path.stat().st_size, _crc32(path)
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror}; is the session folder whole?") from error
    if size != seal.get("bytes"):
        raise damaged(path, f"{size} bytes where {seal.get('bytes')} were written")
    if crc32 != seal.get("crc32"):
        raise damaged(path, f"its CRC-32 is {crc32} where {seal.get('crc32')} was written")


def _crc32(path: Path) -> str:
    """Return the CRC-32 of a file; page checksums leave out the footer, this does not."""
    value, room = 0, memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(room):
            value = zlib.crc32(room[:size], value)
    return f"{value:08x}"


def damaged(path: Path, reason: object) -> SessionError:
    """Return the error that tells of a damaged file."""
    return SessionError(
        f"{path} is damaged: {reason}. Copy the session again from where it is whole, "
        "or process its recording again with --overwrite"
    )
