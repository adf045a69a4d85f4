"""What comes from outside has to be before compiled code reads it: real numbers, and arrays of one shape and type.

The compiled halves neither check nor raise, so a wrong shape there reads beyond its array. What already fits passes
through untouched; what can be brought into form without loss is; the rest is a `SignalError` that names it.
"""

from dataclasses import fields
from itertools import repeat
from numbers import Real
from operator import attrgetter
from typing import Any, TypeVarTuple, cast

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray, PairBlock, PostureBlock, SensorRows
from imuposture._errors import SignalError
from imuposture._ext import checks as _ext

__all__ = ["LIMIT", "fitting", "flags_of", "floats", "number", "pair_of", "posture_of", "refuse_nonsense", "sound"]

Given = TypeVarTuple("Given")

LIMIT = _ext.LIMIT  # no sensor reaches it in SI units; beyond, squares and sums may overflow
PLAIN = {np.ndarray}
FLOAT, FLAG = np.dtype(np.float64), np.dtype(np.uint8)
COLUMNS = tuple(one.name for one in fields(PostureBlock))
COLUMN_KINDS = b"".join(
    {"upper_q": b"4", "lower_q": b"4", "quality": b"f", "heading_state": b"f"}.get(name, b"1") for name in COLUMNS
)
columns_of = attrgetter(*COLUMNS)


def number(value: object) -> float:
    """Return a real number as a float, and NaN for anything else, so that one comparison refuses both.

    Text, truth values, spans of time, arrays, complex numbers and integers beyond all floats are no real numbers.
    """
    if not isinstance(value, Real) or isinstance(value, bool | np.timedelta64):
        return np.nan
    try:
        return float(value)
    except OverflowError:
        return np.nan


def floats(name: str, values: Any, shape: tuple[int | None, ...]) -> FloatArray:
    """Return real numbers as a C-contiguous float64 array.

    Parameters
    ----------
    name : str
        What to call them in a message.
    values : array_like
        Floats or integers of any size and byte order.
    shape : tuple
        What the array must have; None where any length will do.

    Raises
    ------
    SignalError
        If they are something else, or of another shape.
    """
    plain = type(values) is np.ndarray and values.dtype is FLOAT
    array: FloatArray = values
    if plain and _has_shape(array, shape) and (lies := array.flags).c_contiguous and lies.aligned:
        return array
    if not plain:
        with np.errstate(over="ignore"):  # a long double may be too large; as infinity it is looked at like any other
            array = _array(name, values, "iuf", "real numbers").astype(np.float64)
    _require_shape(name, array, shape)
    return np.require(array, requirements=["C", "ALIGNED"])  # views into bytes may start anywhere


def flags_of(name: str, values: Any, rows: int) -> FlagArray:
    """Return ``rows`` marks as a C-contiguous uint8 array; truth values and integers of one byte will do.

    Raises
    ------
    SignalError
        If they are something else, or not as many.
    """
    plain = type(values) is np.ndarray and values.dtype is FLAG
    array: FlagArray = values
    if plain and array.shape == (rows,) and array.flags.c_contiguous:
        return array
    if not plain:
        given = _array(name, values, "biu", "integers of one byte")
        if given.size and not (given.min() >= 0 and given.max() <= 255):
            raise SignalError(f"{name} must lie between 0 and 255, got {given.min()} to {given.max()}")
        array = given.astype(np.uint8)
    _require_shape(name, array, (rows,))
    return np.ascontiguousarray(array)


def fitting(rows: int, kinds: bytes, names: tuple[str, ...], arrays: tuple[*Given]) -> tuple[*Given]:
    """Return several arrays of as many rows, in the form that compiled code reads.

    Parameters
    ----------
    rows : int
    kinds : bytes
        A character an array: b"1" for numbers (rows,), b"2" to b"9" for (rows, 2) to (rows, 9), b"f" for flags (rows,).
    names : tuple of str
        What to call them in a message.
    arrays : tuple of array_like

    Raises
    ------
    SignalError
        If one is something else, or of another shape.
    """
    if {*map(type, arrays)} == PLAIN and _ext.fit(rows, kinds, arrays):
        return arrays
    return cast(tuple[*Given], tuple(map(_fitting, names, arrays, map(chr, kinds), repeat(rows))))


def _fitting(name: str, array: Any, kind: str, rows: int) -> NDArray[Any]:
    if kind == "f":
        return flags_of(name, array, rows)
    return floats(name, array, (rows,) if kind == "1" else (rows, int(kind)))


def pair_of(pair: PairBlock) -> PairBlock:
    """Return the block with arrays that fit each other.

    Raises
    ------
    SignalError
        If they do not.
    """
    rows = len(floats("time_s", pair.time_s, (None,)))
    upper, lower = pair.upper, pair.lower
    names = ("time_s", "upper acc", "upper gyr", "upper flags", "lower acc", "lower gyr", "lower flags")
    arrays = (pair.time_s, upper.acc, upper.gyr, upper.flags, lower.acc, lower.gyr, lower.flags)
    fit = fitting(rows, b"133f33f", names, arrays)
    mags = tuple(None if one.mag is None else floats("mag", one.mag, (rows, 3)) for one in (upper, lower))
    if fit is arrays and mags[0] is upper.mag and mags[1] is lower.mag:
        return pair
    time_s, upper_acc, upper_gyr, upper_flags, lower_acc, lower_gyr, lower_flags = fit
    return PairBlock(
        time_s,
        SensorRows(upper_acc, upper_gyr, mags[0], upper_flags),
        SensorRows(lower_acc, lower_gyr, mags[1], lower_flags),
    )


def posture_of(posture: PostureBlock) -> PostureBlock:
    """Return the block with columns that fit each other.

    Raises
    ------
    SignalError
        If they do not, or a time is not finite.
    """
    rows = len(floats("time_s", posture.time_s, (None,)))
    given = columns_of(posture)
    fit = fitting(rows, COLUMN_KINDS, COLUMNS, given)
    if not np.isfinite(fit[0]).all():
        raise SignalError("time_s holds NaN or infinity; every row has its instant, gaps too")
    return posture if fit is given else PostureBlock(*fit)


def sound(arrays: tuple[FloatArray, ...]) -> bool:
    """Say whether all numbers of C-contiguous arrays are finite and within `LIMIT`."""
    return _ext.sound(arrays)


def refuse_nonsense(arrays: dict[str, FloatArray], gap: NDArray[np.bool_]) -> None:
    """Look for rows that are no gap, and hold what no sensor gives: a filter would never forget NaN.

    Parameters
    ----------
    arrays : dict of (n,) or (n, k) float64
        By the name they go by in a message.
    gap : (n,) bool

    Raises
    ------
    SignalError
        If a row holds NaN or a value beyond `LIMIT`; names the first.
    """
    if sound(tuple(arrays.values())):
        return
    for name, array in arrays.items():
        good = np.abs(array) <= LIMIT
        wrong = ~(good.reshape(len(array), -1).all(axis=1) | gap)
        if wrong.any():
            row = int(np.argmax(wrong))
            values = f"{name} holds {array[row].tolist()} in row {row}"
            raise SignalError(f"{values}; values must be finite and within {LIMIT:g}: mark rows without any as gaps")


def _array(name: str, values: Any, kinds: str, wanted: str) -> NDArray[Any]:
    if np.ma.is_masked(values):
        raise SignalError(f"{name} holds masked values; fill them, with NaN where nothing was measured")
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise SignalError(f"{name} must be {wanted}, got rows of different lengths") from error
    if array.dtype.kind not in kinds:
        raise SignalError(f"{name} must be {wanted}, got {array.dtype}")
    return array


def _has_shape(array: NDArray[Any], shape: tuple[int | None, ...]) -> bool:
    lengths = array.shape
    if lengths == shape:
        return True
    return len(lengths) == len(shape) and all(want in (None, have) for have, want in zip(lengths, shape, strict=True))


def _require_shape(name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> None:
    if not _has_shape(array, shape):
        wanted = ", ".join("n" if length is None else str(length) for length in shape)
        raise SignalError(f"{name} must have shape ({wanted}{',' * (len(shape) == 1)}), got {array.shape}")
