"""Fields of a packet: where numbers stand in bytes, and what they mean.

A field is a run of numbers of one type. Those called acc, gyr, mag and quat become columns of the rows; others may
be named as time or counter, be required to have a value, or be told as they are.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import pi
from typing import Literal

import numpy as np

from imuposture._blocks import FloatArray
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers.declarative.quantities import Parameter, Parameters, Quantity, quantity
from imuposture.acquisition.drivers.declarative.tables import LONGEST_PAYLOAD, Table

__all__ = ["UNITS", "VECTORS", "Convert", "Field", "Number", "fields_of"]

Number = int | float
MOST_FIELDS, MOST_NUMBERS = 64, 64
FIELD_KEYS = (
    *("name", "type", "count", "skip", "at", "key", "mask", "shift", "scale", "offset", "unit", "axes"),
    *("order", "conjugate", "missing", "full_scale"),
)
VECTORS = {"acc": 3, "gyr": 3, "mag": 3, "quat": 4}
# g is the standard one; firmware that divides by a local or rounded one says so with g(9.81) or g(9.8).
UNITS: Mapping[str, Mapping[str, float]] = {
    "acc": {"m/s2": 1.0, "g": 9.80665, "mg": 9.80665e-3, "g(9.81)": 9.81, "mg(9.81)": 9.81e-3, "g(9.8)": 9.8},
    "gyr": {"rad/s": 1.0, "mrad/s": 1e-3, "deg/s": pi / 180, "mdeg/s": pi / 180e3},
    "mag": {"uT": 1.0, "nT": 1e-3, "mT": 1e3, "G": 100.0, "mG": 0.1},
    "quat": {"1": 1.0},
}
LARGEST = {"acc": 1e4, "gyr": 1e3, "mag": 1e5, "quat": 2.0}  # SI; beyond, it is not what the layout says
ONE, NOTHING = Quantity(1.0), Quantity(0.0)
_TYPE = re.compile(r"(?:([iu])(8|16|24|32|40|48|56|64)|(f)(16|32|64))(le|be)?")
_STRUCT = {"i8": "b", "i16": "h", "i32": "i", "i64": "q", "f16": "e", "f32": "f", "f64": "d"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Field:
    """A run of numbers. ``name`` is None for bytes or columns that are skipped; ``at`` a fixed place, else the next."""

    name: str | None
    kind: str  # i, u or f; empty in text
    width: int  # bytes of a number; 1 (a column) in text
    big: bool
    count: int
    at: int | None = None
    key: str | None = None
    mask: int | None = None
    shift: int = 0
    scale: Quantity = ONE
    offset: Quantity = NOTHING
    unit: float = 1.0
    axes: tuple[int, ...] = (1, 2, 3)
    order: str = "wxyz"
    conjugate: bool = False
    missing: float | None = None
    full_scale: Quantity | None = None

    @property
    def size(self) -> int:
        """Bytes (columns of text) that it takes."""
        return self.width * self.count

    def read(self, data: bytes, at: int) -> list[Number]:
        """Return its numbers as sent, from a place that is there."""
        code = _STRUCT.get(self.kind.replace("u", "i") + str(8 * self.width))
        values: Sequence[Number]
        if code:
            code = code.upper() if self.kind == "u" else code
            values = struct.unpack_from(f"{'>' if self.big else '<'}{self.count}{code}", data, at)
        else:
            ends = range(at + self.width, at + self.size + 1, self.width)
            order: Literal["big", "little"] = "big" if self.big else "little"
            values = [int.from_bytes(data[end - self.width : end], order, signed=self.kind == "i") for end in ends]
        if self.mask is None:
            return list(values)
        return [(int(value) & self.mask) >> self.shift for value in values]


class Convert:
    """Numbers of a field as sent -> SI, for given parameters."""

    def __init__(self, field: Field, parameters: Parameters) -> None:
        self._field = field
        self._factor = field.scale.of(parameters) * field.unit
        self._offset = field.offset.of(parameters) * field.unit
        self.full_scale = None if field.full_scale is None else abs(field.full_scale.of(parameters) * field.unit)

    def scalar(self, raw: Number) -> Number:
        """Convert a number that is no vector; a whole number without scale stays whole and exact."""
        if self._factor == 1.0 and self._offset == 0.0:
            return raw
        return raw * self._factor + self._offset

    def rows(self, raw: Sequence[Number]) -> FloatArray:
        """Convert the numbers of whole vectors to rows: (n, 3), or (n, 4) w-first of quaternions.

        Raises
        ------
        DecodeError
            If one is infinite or far beyond what any sensor measures; NaN is a missing number.
        """
        field = self._field
        sent = np.array(raw, dtype=np.float64).reshape(-1, field.count)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers that the next lines refuse
            values = sent * self._factor + self._offset
        if field.missing is not None:
            values[sent == field.missing] = np.nan
        name = field.name or ""
        if np.any(np.abs(values) > LARGEST[name]):
            raise DecodeError(f"{name} is beyond {LARGEST[name]:g}, which no sensor measures; is the layout right?")
        return self._quaternions(values) if name == "quat" else self._turned(values)

    def _turned(self, values: FloatArray) -> FloatArray:
        """Put the axes into their order; (1, 2, 3) is the order in which they are sent."""
        axes = self._field.axes
        if axes == (1, 2, 3):
            return values
        return np.stack([values[:, abs(axis) - 1] * (1.0 if axis > 0 else -1.0) for axis in axes], axis=1)

    def _quaternions(self, sent: FloatArray) -> FloatArray:
        """Order as w, x, y, z, add a w that was not sent, turn round; NaN where the sum of squares is far from 1."""
        field = self._field
        columns = {letter: sent[:, place] for place, letter in enumerate(field.order)}
        x, y, z = columns["x"], columns["y"], columns["z"]
        vector = x * x + y * y + z * z
        w = columns["w"] if "w" in columns else np.sqrt(np.maximum(1.0 - vector, 0.0))
        sign = -1.0 if field.conjugate else 1.0
        found = np.stack([w, sign * x, sign * y, sign * z], axis=1)
        length = w * w + vector
        found[~((length > 0.8) & (length < 1.2))] = np.nan  # not ready yet, or no orientation at all
        return found


def fields_of(table: Table, key: str, known: Mapping[str, Parameter], text: bool = False) -> tuple[Field, ...]:
    """Read an array of fields; those of ``text`` are columns and have no type.

    Raises
    ------
    ConfigError
        If one is not what a field may be, or two have the same name.
    """
    tables = table.tables(key, FIELD_KEYS, MOST_FIELDS)
    fields = tuple(_field(item, known, text) for item in tables)
    names = [field.name for field in fields if field.name]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise table.wrong(key, f"two fields are called {twice}; a field with count = 3 holds three numbers")
    return fields


def _field(table: Table, known: Mapping[str, Parameter], text: bool) -> Field:
    if "skip" in table:
        if "name" in table:
            raise table.wrong("skip", "bytes that are skipped have no name; leave one of the two")
        return Field(None, "", 1, False, table.integer("skip", 1, LONGEST_PAYLOAD))
    table.required("name") if text else table.required("name", "type")
    name = table.text("name", longest=40)
    if not _NAME.fullmatch(name):
        raise table.wrong("name", "must be of small letters, digits and _, and begin with a letter")
    kind, width, big = ("", 1, False) if text else _type(table)
    order = _order(table, name)
    count = table.integer("count", 1, MOST_NUMBERS, len(order) if name == "quat" else VECTORS.get(name, 1))
    wanted = len(order) if name == "quat" else VECTORS.get(name, count)
    if count != wanted:
        raise table.wrong("count", f"{name} has {wanted} numbers, not {count}")
    for stray in {"axes", "order", "conjugate", "full_scale"} - _own_keys(name):
        if stray in table:
            raise table.wrong(stray, f"means nothing for {name}; leave it out")
    mask, shift = _mask(table, kind)
    return Field(
        *(name, kind, width, big, count),
        at=table.integer("at", 0, LONGEST_PAYLOAD) if "at" in table else None,
        key=table.text("key", longest=40) if "key" in table else None,
        mask=mask,
        shift=shift,
        scale=quantity(table, "scale", known, 1.0),
        offset=quantity(table, "offset", known, 0.0),
        unit=_unit(table, name),
        axes=_axes(table),
        order=order,
        conjugate=table.flag("conjugate", False),
        missing=table.number("missing", -1e15, 1e15) if "missing" in table else None,
        full_scale=quantity(table, "full_scale", known) if "full_scale" in table else None,
    )


def _own_keys(name: str) -> set[str]:
    if name == "quat":
        return {"order", "conjugate"}
    return {"axes", "full_scale"} if name in VECTORS else set()


def _type(table: Table) -> tuple[str, int, bool]:
    found = _TYPE.fullmatch(table.text("type", longest=8))
    if not found or (found[5] is None and found[2] != "8"):
        raise table.wrong(
            "type", 'must be as "u8", "i16le", "u24be", "f32le": i, u (8 to 64 bits) or f (16, 32, 64), then le or be'
        )
    return found[1] or found[3], int(found[2] or found[4]) // 8, found[5] == "be"


def _mask(table: Table, kind: str) -> tuple[int | None, int]:
    if "mask" not in table and "shift" not in table:
        return None, 0
    if kind != "u":
        raise table.wrong("mask", "bits are taken of whole numbers without sign only; give the field a type u8 to u64")
    return table.integer("mask", 1, 2**63 - 1, 2**63 - 1), table.integer("shift", 0, 63, 0)


def _unit(table: Table, name: str) -> float:
    if name not in UNITS:
        table.text("unit", "", 20)  # for the reader of the profile only
        return 1.0
    known = UNITS[name]
    if name == "quat":
        table.choice("unit", known, "1")
    elif "unit" not in table:
        raise table.wrong("unit", f"is missing; give one of {', '.join(known)}")
    return known[table.choice("unit", known, "1")]


def _order(table: Table, name: str) -> str:
    if name != "quat":
        return "wxyz"
    orders = [*("".join(order) for order in permutations("wxyz")), *("".join(order) for order in permutations("xyz"))]
    order = table.text("order", "wxyz", 8)
    if order not in orders:
        raise table.wrong("order", 'must be w, x, y, z as they are sent, as "xyzw"; "xyz" if w is not sent')
    return order


def _axes(table: Table) -> tuple[int, ...]:
    """Read axes = ["-y", "x", "z"]: which of the numbers sent, called x, y, z, is the sensor's x, y and z."""
    raw = table.raw("axes") if "axes" in table else ["x", "y", "z"]
    words = {
        f"{sign}{axis}": (place if sign != "-" else -place) for place, axis in enumerate("xyz", 1) for sign in "+-"
    }
    words |= {axis: place for place, axis in enumerate("xyz", 1)}
    listed = raw if isinstance(raw, list) and len(raw) == 3 and all(isinstance(word, str) for word in raw) else []
    found = tuple(words.get(word, 0) for word in listed)
    if sorted(map(abs, found)) != [1, 2, 3]:
        raise table.wrong("axes", 'must be three of x, y, z with or without -, each once, as ["-y", "x", "z"]')
    return found
