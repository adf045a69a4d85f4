"""Parquet columns of numbers, streamed batch by batch with their page checksums verified."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from imuposture._errors import RecordingError
from imuposture.acquisition.readers.arrays import Columns, array_of
from imuposture.acquisition.readers.table import MAX_ROWS
from imuposture.acquisition.readers.text import safe_text

__all__ = ["ParquetTable", "batches", "column_names", "opened_parquet"]

BATCH_ROWS = 16_384  # what the next stages make of so many rows stays in the cache
_MAX_FOOTER_ELEMENTS = 1_000_000  # a real footer has a few thousand strings and containers


def opened_parquet(path: Path) -> parquet.ParquetFile:
    """Open a file and check its size and names before any page is read.

    Raises
    ------
    RecordingError
        If it is no whole Parquet file, has too many rows (a small file can unpack to billions), or a column twice.
    """
    try:
        file = parquet.ParquetFile(
            path,
            page_checksum_verification=True,
            thrift_string_size_limit=_MAX_FOOTER_ELEMENTS,
            thrift_container_size_limit=_MAX_FOOTER_ELEMENTS,
        )
        names = file.schema_arrow.names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _broken(path, error) from None
    if file.metadata.num_rows > MAX_ROWS:
        raise RecordingError(f"{safe_text(path)}: {file.metadata.num_rows} rows; at most {MAX_ROWS} are read. Split it")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(names) <= 1024 else names[:1]
    if twice:
        raise RecordingError(f"{safe_text(path)}: column {safe_text(twice[0], 60)} is there twice; keep the right one")
    return file


def column_names(path: Path) -> list[str]:
    """Name the columns of a Parquet file."""
    with opened_parquet(path) as file:
        return list(file.schema_arrow.names)


@dataclass(slots=True)
class ParquetTable:
    """Chosen columns of a Parquet file."""

    path: Path
    columns: Sequence[str]
    rows: int | None = field(init=False)

    def __post_init__(self) -> None:
        with opened_parquet(self.path) as file:
            self.rows = file.metadata.num_rows
            for name in self.columns:
                kind = file.schema_arrow.field(name).type
                if not is_number(kind):
                    raise RecordingError(
                        f"{safe_text(self.path)}, column {safe_text(name, 60)}: is {safe_text(kind, 60)}, not a "
                        "number; write it as float64 or float32"
                    )

    def chunks(self) -> Iterator[Columns]:
        """Yield the columns, `BATCH_ROWS` rows at a time; a null is NaN.

        Raises
        ------
        RecordingError
            If a page is damaged.
        """
        for batch in batches(self.path, self.columns):
            yield {name: array_of(batch.column(name)) for name in self.columns}

    def where(self, row: int) -> str:
        """Name the place of a row (from 0) for a message."""
        return f"row {row + 1}"


def batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Stream chosen columns, at most `BATCH_ROWS` at a time: floats as they are, whole numbers as float64, nulls too.

    Raises
    ------
    RecordingError
        If a page is damaged, or holds a whole number that float64 cannot.
    """
    with opened_parquet(path) as file:
        # Threads that decode a column each for so few rows wait for each other, and no sooner end.
        stream = file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False)
        try:
            while (batch := next(stream, None)) is not None:
                if batch.num_rows:
                    yield pa.record_batch([_floats(column) for column in batch.columns], names=batch.schema.names)
        except (pa.ArrowException, OSError) as error:
            raise _broken(path, error) from None


def _floats(column: pa.Array) -> pa.Array:
    # The safe cast refuses a whole number beyond 2**53. What is gathered into rows of float64 needs no cast of its own.
    ready = not is_number(column.type) or pa.types.is_float64(column.type) or pa.types.is_float32(column.type)
    return column if ready else column.cast(pa.float64())


def is_number(kind: pa.DataType) -> bool:
    """Tell the types that are read: text and dictionaries can unpack to any size, and are no measurements."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _broken(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{safe_text(path)}: not a whole, undamaged Parquet file ({safe_text(error, 200)}); copy or export it again"
    )
