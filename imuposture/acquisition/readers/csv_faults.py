"""The slow second look: which line and which column of a CSV file pyarrow would not read, and what to do about it."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from imuposture._errors import RecordingError
from imuposture.acquisition.readers.text import safe_text

__all__ = ["MISSING", "Fault", "count_lines", "line_of"]

MISSING = ("", "NaN", "nan", "NAN", "NA", "null")  # cells that mean: no sample here
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-?inf(inity)?", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?", re.ASCII)
_LONGEST = 1 << 20  # bytes of a line that are looked at


def count_lines(block: bytes) -> int:
    """Count the lines that are not blank."""
    return sum(1 for line in block.splitlines() if line)


def line_of(path: Path, offset: int, header_line: int, row: int) -> int:
    """Find the line of data row ``row`` (from 0); blank lines hold no row."""
    return next((number for number, _ in islice(_lines(path, offset, header_line), row, None)), header_line)


def _lines(path: Path, offset: int, header_line: int) -> Iterator[tuple[int, bytes]]:
    """Walk the lines that are not blank, with their numbers."""
    with path.open("rb") as file:
        file.seek(offset)
        number = header_line
        while line := file.readline(_LONGEST):
            number += 1
            if line.strip(b"\r\n"):
                yield number, line


@dataclass(frozen=True, slots=True)
class Fault:
    """What a line of the file must look like.

    ``names`` are all columns of the header, ``columns`` those that are read.
    """

    path: Path
    header_line: int
    delimiter: str
    names: Sequence[str]
    columns: Sequence[str]

    def found_in(self, path: Path, offset: int, row: int, reason: str) -> RecordingError:
        """Look from data row ``row`` on for the first bad line; ``reason`` is the fallback message."""
        for number, line in islice(_lines(path, offset, self.header_line), row, None):
            problem = self.problem(line)
            if problem:
                return RecordingError(f"{safe_text(path)}, line {number}{problem}")
        return RecordingError(f"{safe_text(path)}: cannot be read after row {row}: {safe_text(reason)}")

    def problem(self, line: bytes) -> str:
        """Say what is wrong with a line, beginning with its column if there is one; empty when nothing is."""
        if b"\0" in line:
            return ": a NUL byte; the file is binary, UTF-16, or was not closed properly. Export it again as UTF-8 CSV"
        if len(line) >= _LONGEST:
            return f": longer than {_LONGEST} bytes; this is no line of a recording"
        text = line.decode("utf-8", errors="replace").rstrip("\r\n")
        if text.count('"') % 2:
            return ': an open quote (a " without its partner); delete it'
        try:
            cells = next(csv.reader([text], delimiter=self.delimiter), [])
        except csv.Error as error:
            return f": {safe_text(error)}; delete the line or export the file again"
        if len(cells) != len(self.names):
            return self._wrong_length(cells)
        return next(filter(None, map(self._wrong_cell, self.names, cells)), "")

    def _wrong_length(self, cells: Sequence[str]) -> str:
        told = f": {len(cells)} cells where the header names {len(self.names)} columns"
        if self.delimiter == "," and len(cells) > 1.5 * len(self.names):
            return f"{told}; numbers with a decimal comma? Export with decimal points"
        if len(cells) < len(self.names):
            return f"{told}; the line is cut short. Delete it or copy the file again"
        return f"{told}; delete what is too much, or export the file again"

    def _wrong_cell(self, name: str, cell: str) -> str:
        value = cell.strip(" \t")
        if name not in self.columns or value in MISSING or _NUMBER.fullmatch(value):
            return ""
        told = f", column {safe_text(name, 60)}: {safe_text(repr(cell), 60)} is not a number"
        if _DECIMAL_COMMA.fullmatch(value):
            return f"{told} but has a decimal comma; export with decimal points"
        return f"{told}; correct it, or leave the cell empty for a missing sample"
