"""notifications.parquet -> the rows of the journal it was made from, each one verified again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute

from imuposture._errors import SessionError
from imuposture.output.journal_rows import KINDS, MOST_PAYLOAD, SIDES, Row, is_whole
from imuposture.output.parquet import DAMAGE, check_seal, damaged
from imuposture.output.schema import arrow_schema

__all__ = ["NOTIFICATIONS", "rows_of"]

NOTIFICATIONS = "notifications.parquet"
_AT_ONCE = 4096  # rows
_MOST_GROUP = 256 << 20  # bytes of a row group, unpacked; ours have some 20 MB
_MOST_NAMES = 100_000  # strings and containers of a footer


def rows_of(path: Path, seal: dict[str, Any] | None) -> Iterator[Row]:
    """Read the rows back.

    Parameters
    ----------
    path : Path
    seal : dict or None
        What the manifest says of the file.

    Yields
    ------
    Row
        In the order of the file.

    Raises
    ------
    SessionError
        If the file is missing or damaged, is not the one that was written, or holds what no journal does.
    """
    if seal is not None:
        check_seal(path, seal)
    try:
        with pq.ParquetFile(
            path,
            page_checksum_verification=True,
            thrift_string_size_limit=_MOST_NAMES,
            thrift_container_size_limit=_MOST_NAMES,
        ) as file:
            _check_shape(path, file)
            for batch in file.iter_batches(_AT_ONCE, columns=list(Row._fields)):
                yield from _rows(path, batch)
    except DAMAGE as error:
        if isinstance(error, SessionError):
            raise
        raise damaged(path, error) from error


def _check_shape(path: Path, file: pq.ParquetFile) -> None:
    """Refuse a file that would unpack to more than any journal holds, or to something else."""
    known = arrow_schema("notifications")
    for name in Row._fields:
        if name not in file.schema_arrow.names or file.schema_arrow.field(name).type != known.field(name).type:
            raise damaged(path, f"column {name} is not there, or not of type {known.field(name).type}")
    groups = (file.metadata.row_group(k) for k in range(file.metadata.num_row_groups))
    if any(group.total_byte_size > _MOST_GROUP for group in groups):
        raise damaged(path, f"a row group unpacks to more than {_MOST_GROUP >> 20} MB")


def _rows(path: Path, batch: pa.RecordBatch) -> Iterator[Row]:
    columns = [batch.column(name) for name in Row._fields]
    longest = compute.max(compute.binary_length(batch.column("payload"))).as_py()
    if longest is not None and longest > MOST_PAYLOAD:
        raise damaged(path, f"a payload of {longest} bytes, where at most {MOST_PAYLOAD} are kept")
    for values in zip(*(column.to_pylist() for column in columns), strict=True):
        row = _row(values)
        if row is None or not is_whole(row):
            raise damaged(path, f"the row of entry {values[0]} is not the one that was written")
        yield row


def _row(values: tuple[Any, ...]) -> Row | None:
    number, arrival_ns, kind, role, *rest = values
    if kind not in KINDS or role not in SIDES or None in {number, arrival_ns, *rest}:
        return None
    return Row(number, arrival_ns, KINDS.index(kind), SIDES.index(role), *rest)
