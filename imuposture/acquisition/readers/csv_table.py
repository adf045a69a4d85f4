"""CSV columns of numbers, streamed through pyarrow; a slow second look says where a file went wrong.

The file is cut into blocks of whole lines here and each block is handed to ``pyarrow.csv.read_csv``: so the NUL, quote
and last-line checks see every byte, a fault is known to lie in one block, and memory is bounded by one block.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from imuposture._errors import RecordingError
from imuposture.acquisition.readers import csv_faults
from imuposture.acquisition.readers.arrays import Columns, array_of
from imuposture.acquisition.readers.text import safe_text

__all__ = ["BLOCK_BYTES", "CsvTable", "Header", "parse_header"]

BLOCK_BYTES = 8 << 20  # about 65 000 rows of two sensors
_PARSE_BYTES = 1 << 19  # parsed at once: what stays in the cache until its numbers are made
_MAX_LINE_BYTES = 1 << 20
_MAX_COLUMNS = 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Header:
    """The line that names the columns.

    Attributes
    ----------
    names : tuple of str, without surrounding blanks
    delimiter : ``,``, ``;`` or tab
    line : int, its number in the file, from 1
    end : int, offset of the first byte after it
    """

    names: tuple[str, ...]
    delimiter: str
    line: int
    end: int


def parse_header(path: Path, head: bytes, line: int = 1) -> Header:
    """Read the header in line ``line`` of a file that begins with ``head``.

    Raises
    ------
    RecordingError
        If the line is not UTF-8, too long, has two columns of one name, or is the only line of the file.
    """
    start = 0
    for _ in range(line - 1):
        start = head.index(b"\n", start) + 1
    end = head.find(b"\n", start) + 1
    if not end:
        raise RecordingError(f"{safe_text(path)}, line {line}: the header does not end within {len(head)} bytes")
    names, delimiter = _split(path, line, head[start:end].removeprefix(_BOM if start == 0 else b""))
    twice = sorted({name for name in names if name and names.count(name) > 1}) if len(names) <= _MAX_COLUMNS else []
    if twice:
        raise RecordingError(
            f"{safe_text(path)}, line {line}: column {safe_text(twice[0], 60)} is there twice; keep the right one"
        )
    if len(names) > _MAX_COLUMNS:
        raise RecordingError(f"{safe_text(path)}, line {line}: {len(names)} columns; at most {_MAX_COLUMNS} are read")
    return Header(names, delimiter, line, end)


def _split(path: Path, line: int, raw: bytes) -> tuple[tuple[str, ...], str]:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{safe_text(path)}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8 text (Latin-1?); "
            "save the file as UTF-8"
        ) from None
    delimiter = max(",;\t", key=text.count)
    return tuple(cell.strip() for cell in next(csv.reader([text], delimiter=delimiter), [])), delimiter


@dataclass(slots=True)
class CsvTable:
    """Chosen columns of a CSV file.

    Attributes
    ----------
    path : Path
    header : Header
    columns : sequence of str
        The columns to read; all of them are in the header.
    """

    path: Path
    header: Header
    columns: Sequence[str]
    rows: int | None = field(default=None, init=False)

    def chunks(self) -> Iterator[Columns]:
        """Yield the columns, about 65 000 rows at a time; an empty cell is NaN.

        Raises
        ------
        RecordingError
            Naming line and column, at the first line that is not what the header promises.
        """
        row = 0
        for block in self._blocks():
            table = self._parsed(block, row)
            if table is not None:
                yield {
                    name: np.concatenate([array_of(chunk) for chunk in table.column(name).chunks])
                    for name in self.columns
                }
                row += table.num_rows

    def where(self, row: int) -> str:
        """Name the place of data row ``row`` (from 0) for a message."""
        return f"line {csv_faults.line_of(self.path, self.header.end, self.header.line, row)}"

    def _blocks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                raise RecordingError(
                    f"{safe_text(self.path)}: the last line does not end with a line end, so its last number may be "
                    "cut off; was the copy interrupted? Copy the file again or delete its last line"
                )
            file.seek(self.header.end)
            while block := file.read(BLOCK_BYTES):
                yield block if block.endswith(b"\n") else block + file.readline(_MAX_LINE_BYTES)

    def _parsed(self, block: bytes, row: int) -> pa.Table | None:
        """Give a block of lines to pyarrow; ``row`` is the number of the block's first data row."""
        if block.isspace():
            return None
        reason = "NUL bytes" if b"\0" in block else "" if block.endswith(b"\n") else "a line without end"
        if not reason:
            try:
                table = arrow_csv.read_csv(pa.BufferReader(block), *self._options())
                # An open quote in a column that is not read would swallow the lines after it in silence.
                if b'"' not in block or table.num_rows == csv_faults.count_lines(block):
                    return table
                reason = "an open quote"
            except (pa.ArrowException, UnicodeDecodeError) as error:
                reason = str(error)
        fault = csv_faults.Fault(self.path, self.header.line, self.header.delimiter, self.header.names, self.columns)
        raise fault.found_in(self.path, self.header.end, row, reason)

    def _options(self) -> tuple[arrow_csv.ReadOptions, arrow_csv.ParseOptions, arrow_csv.ConvertOptions]:
        # Columns nobody reads may share a name (two empty ones, say), which pyarrow would not keep apart.
        names = [name if name in self.columns else f"\0{i}" for i, name in enumerate(self.header.names)]
        return (
            # Threads would share the work of one, and make a fifth more of it.
            arrow_csv.ReadOptions(column_names=names, block_size=_PARSE_BYTES, use_threads=False),
            arrow_csv.ParseOptions(delimiter=self.header.delimiter),
            arrow_csv.ConvertOptions(
                column_types={name: pa.float64() for name in self.columns},
                include_columns=list(self.columns),
                null_values=list(csv_faults.MISSING),
            ),
        )
