"""The pages of an SQLite file and its write-ahead log -> every row in them that proves itself.

Nothing around a row is taken on trust: not the tree, not the log's checksums (one flipped bit there and SQLite leaves
out all that follows), not even the kind of a page. What looks like a record and carries the right CRC-32 is a row;
rows are never rewritten, so that old and new versions of a page say the same. So a damaged journal gives up no more
than what was hit, and nothing is opened, locked, repaired or executed on the way.

Layout after https://www.sqlite.org/fileformat2.html: section 1.6 (leaf pages), 2.1 (records), 4 (write-ahead log).
"""

import functools
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from imuposture.output.journal_rows import MOST_PAYLOAD, Mark, Row, crc_of_mark, is_whole

__all__ = ["PAGE", "Pages"]

PAGE = 4096  # bytes; what one damaged page can take with it: 60 rows, 0.15 s of two sensors at 200 Hz
_LOG_HEADER, _FRAME_HEADER = 32, 24  # bytes before the first frame, and before the page of each
_LEAF_HEADER = 8
_LOCAL_MOST = PAGE - 35  # bytes of a record that a leaf page holds; the rest is on pages of its own
_LOCAL_LEAST = (PAGE - 12) * 32 // 255 - 23
_WHOLE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # type of a value -> bytes of the whole number
_ENTRY, _MARK = 8, 3  # columns of the two tables
_MOST_ROWS, _MOST_MARKS = 200, 8  # a page has room for 170 rows without payload; of the marks there are three

Value = int | bytes | None
Lookup = Callable[[int], bytes]


class _Frame(NamedTuple):
    place: int  # of its page, in the log
    number: int  # of its page, within the file
    salt: bytes  # of the generation of the log that it belongs to
    ends: bool  # a transaction


class Pages:
    """The pages of a journal, those in its write-ahead log included.

    Parameters
    ----------
    file, log : BinaryIO or None
        Opened for reading; None where there is none.
    """

    def __init__(self, file: BinaryIO | None, log: BinaryIO | None) -> None:
        self._file, self._log = file, log
        self._frames = list(_frames(log)) if log is not None else []
        self._newest = {frame.number: frame.place for frame in self._frames}

    def places(self) -> Iterator[tuple[bool, int]]:
        """Yield the place of each whole page: whether in the log, and its first byte."""
        if self._file is not None:
            yield from ((False, place) for place in range(0, self._file.seek(0, 2) - PAGE + 1, PAGE))
        yield from ((True, frame.place) for frame in self._frames)

    def page(self, place: tuple[bool, int]) -> bytes:
        """Read the page at a place."""
        source = self._log if place[0] else self._file
        return b"" if source is None else _read(source, place[1])

    def rows(self, page: bytes) -> Iterator[Row]:
        """Yield the rows of a page that prove themselves, by their place in it."""
        lookups = (self._newest_page, self._file_page)
        lowest = len(page)
        for at, cell in _cells(page, _MOST_ROWS):
            if at >= lowest:  # where the places of records meet the records
                break
            row = _row_at(page, cell, lookups)
            if row is not None:
                lowest = min(lowest, cell)
                yield row

    def marks(self) -> dict[int, int]:
        """Return the marks of all whole transactions, each with the highest count."""
        marks: dict[int, int] = {}
        pending: dict[int, int] = {}
        salt = b""
        for place in self.places():
            if not place[0]:
                _raise_to(marks, _marks(self.page(place)))
        for frame in self._frames:  # what an unfinished transaction says was never acknowledged
            if frame.salt != salt:
                pending, salt = {}, frame.salt
            _raise_to(pending, _marks(self.page((True, frame.place))))
            if frame.ends:
                _raise_to(marks, pending)
        return marks

    def _newest_page(self, number: int) -> bytes:
        return self.page((True, self._newest[number])) if number in self._newest else self._file_page(number)

    def _file_page(self, number: int) -> bytes:
        return self.page((False, (number - 1) * PAGE)) if number else b""


def _frames(log: BinaryIO) -> Iterator[_Frame]:
    size = log.seek(0, 2)
    for place in range(_LOG_HEADER, size - PAGE - _FRAME_HEADER + 1, PAGE + _FRAME_HEADER):
        log.seek(place)
        header = log.read(_FRAME_HEADER)
        number = int.from_bytes(header[:4], "big")
        yield _Frame(place + _FRAME_HEADER, number, header[8:16], header[4:8] != bytes(4))


def _read(source: BinaryIO, place: int) -> bytes:
    source.seek(place)
    return source.read(PAGE)


def _cells(page: bytes, most: int) -> Iterator[tuple[int, int]]:
    """Yield up to ``most`` places of records, each after the place at which it stands."""
    for at in range(_LEAF_HEADER, min(len(page) - 1, _LEAF_HEADER + 2 * most), 2):
        cell = page[at] << 8 | page[at + 1]
        if _LEAF_HEADER <= cell < len(page):
            yield at, cell


def _marks(page: bytes) -> dict[int, int]:
    """Return the marks of a page that prove themselves."""
    marks: dict[int, int] = {}
    for _, cell in _cells(page, _MOST_MARKS):
        mark = _mark_at(page, cell)
        if mark is not None:
            marks[mark[0]] = mark[1]
    return marks


def _raise_to(marks: dict[int, int], others: dict[int, int]) -> None:
    for mark, count in others.items():
        marks[mark] = max(count, marks.get(mark, 0))


def _row_at(page: bytes, cell: int, lookups: tuple[Lookup, ...]) -> Row | None:
    """Return the row that begins at a place of a page, if it proves itself."""
    try:
        length, start = _varint(page, cell)
        number, start = _varint(page, start)
        if length > MOST_PAYLOAD + 64:
            return None
        if length <= _LOCAL_MOST:
            return _row(number, page[start : start + length])
        rows = (_row(number, _long(page, start, length, lookup)) for lookup in lookups)
        return next(filter(None, rows), None)
    except (IndexError, ValueError):
        return None


def _mark_at(page: bytes, cell: int) -> tuple[int, int] | None:
    """Return the mark and the count that begin at a place of a page, if they prove themselves."""
    try:
        length, start = _varint(page, cell)
        mark, start = _varint(page, start)
        values = _values(page[start : start + length])
    except (IndexError, ValueError):
        return None
    if mark not in set(Mark) or len(values) != _MARK or not isinstance(values[1], int):
        return None
    return (mark, values[1]) if values[2] == crc_of_mark(mark, values[1]) else None


def _long(page: bytes, start: int, length: int, lookup: Lookup) -> bytes:
    """Return the bytes of a record that goes on on further pages."""
    local = _LOCAL_LEAST + (length - _LOCAL_LEAST) % (PAGE - 4)
    local = local if local <= _LOCAL_MOST else _LOCAL_LEAST
    body, following = page[start : start + local], page[start + local : start + local + 4]
    while len(body) < length:
        further = lookup(int.from_bytes(following, "big"))
        if len(further) < PAGE:
            raise ValueError("it goes on where there is no page")
        following, body = further[:4], body + further[4 : 4 + length - len(body)]
    return body


def _row(number: int, body: bytes) -> Row | None:
    """Return the row that a record is: whole numbers, and bytes where the payload is."""
    values = _values(body)
    if len(values) != _ENTRY or values[0] is not None:
        return None
    _, arrival_ns, kind, role, generation, channel, payload, crc32 = values
    if not isinstance(payload, bytes) or not isinstance(crc32, int) or not isinstance(arrival_ns, int):
        return None
    if not (isinstance(kind, int) and isinstance(role, int) and isinstance(generation, int)):
        return None
    if not isinstance(channel, int):
        return None
    row = Row(number, arrival_ns, kind, role, generation, channel, payload, crc32)
    return row if is_whole(row) else None


def _values(body: bytes) -> list[Value]:
    """Take a record apart; raises IndexError or ValueError where it is none of ours."""
    length, parts = _plan(body[: body[0]])  # below 128, as a record of ours has a header of at most 20 bytes
    if length != len(body):
        raise ValueError("its values do not fill it")
    return [
        kind if begin < 0 else body[begin:end] if kind else int.from_bytes(body[begin:end], "big", signed=True)
        for kind, begin, end in parts
    ]


@functools.lru_cache(4096)  # records of one length of payload share a few headers
def _plan(header: bytes) -> tuple[int, list[tuple[int | None, int, int]]]:
    """Return how long a record with this header is, and its values: 1 for bytes, 0 for a whole number, their place.

    A place below 0 means that the header itself holds the value.
    """
    at, end, parts = 1, len(header), list[tuple[int | None, int, int]]()
    while at < len(header):
        kind, at = _varint(header, at)
        if kind == 0:
            parts.append((None, -1, -1))
        elif kind in {8, 9}:
            parts.append((kind - 8, -1, -1))
        elif kind in _WHOLE or (kind >= 12 and kind % 2 == 0):
            length = _WHOLE.get(kind) or (kind - 12) // 2
            parts.append((int(kind >= 12), end, end + length))
            end += length
        else:
            raise ValueError("a type that none of our columns has")
    if len(parts) > _ENTRY:
        raise ValueError("more columns than any of our tables has")
    return end, parts


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """Return the whole number of one to nine bytes at a place, and the place after it."""
    value = 0
    for k in range(8):
        byte = page[at + k]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + k + 1
    return value << 8 | page[at + 8], at + 9
