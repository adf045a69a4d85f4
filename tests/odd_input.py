"""What people hand over instead of a float64 array or a rate: strategies for tests/test_robust_entries.py."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

ROWS = 24
DTYPES = ["f4", "f2", "g", "i1", "i4", "u1", "u8", "?", ">f8", ">i2", "c16", "G", "U4", "S3", "O", "m8[s]"]
EXTREMES = [np.nan, np.inf, -np.inf, 1e300, -1e154, 1e10, 1e9, 1e-320, 5e-324, -0.0]
NO_ARRAY = [
    None,
    3,
    1.5,
    True,
    "abc",
    b"abc",
    {},
    [],
    [[1, 2, 3], [1, 2]],
    [["a", "b", "c"]] * ROWS,
    [None] * ROWS,
    object(),
]


def good(width: int, seed: int = 0) -> np.ndarray:
    """Return what the entry wants: (ROWS, width), or (ROWS,) for a width of 1."""
    shape = (ROWS,) if width == 1 else (ROWS, width)
    return np.random.default_rng(seed).normal(size=shape)


def laid_out(array: np.ndarray) -> list[object]:
    """Return the same numbers in other arrangements, all of which hold them truly."""
    readonly = array.copy()
    readonly.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + array.tobytes(), offset=1).reshape(array.shape)
    return [
        array.tolist(),
        tuple(array),
        np.asfortranarray(array),
        np.repeat(array, 2, axis=0)[::2],
        array[::-1][::-1],
        readonly,
        unaligned,
        array.astype(">f8"),
        array.astype("g"),
        np.ma.masked_array(array),
        memoryview(np.ascontiguousarray(array)),
    ]


def misshapen(array: np.ndarray) -> list[object]:
    """Return arrays that do not fit."""
    return [
        array[:0],
        array[:-1],
        array[None],
        array.ravel()[: len(array) - 1],
        np.zeros((len(array), 9)),
        np.zeros((0, 0)),
        np.array(1.0),
        np.zeros(len(array), dtype=[("x", "f8"), ("y", "f8")]),
        np.ma.masked_array(array, mask=array > 0),
        (row for row in array),
    ]


def one_of(draw: st.DrawFn, things: list[object]) -> object:
    """Draw one of them, which need not be hashable."""
    return things[draw(st.integers(0, len(things) - 1))]


@st.composite
def odd_arrays(draw: st.DrawFn, width: int) -> object:
    """Draw something for an array of ``width`` columns, seldom what is wanted."""
    array = good(width, draw(st.integers(0, 3)))
    kind = draw(st.sampled_from(["dtype", "layout", "shape", "value", "none", "any"]))
    if kind == "dtype":
        dtype = draw(st.sampled_from(DTYPES))
        return np.zeros(array.shape, dtype) if dtype == "m8[s]" else (10 * array).round().clip(0).astype(dtype)
    if kind == "layout":
        return one_of(draw, laid_out(array))
    if kind == "shape":
        return one_of(draw, misshapen(array))
    if kind == "value":
        array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from(EXTREMES))
        return np.full_like(array, array.flat[0]) if draw(st.booleans()) else array
    if kind == "none":
        return one_of(draw, NO_ARRAY)
    return draw(hnp.arrays(hnp.scalar_dtypes() | hnp.unicode_string_dtypes(), hnp.array_shapes(min_dims=0, min_side=0)))


NUMBERS = [
    *EXTREMES,
    *[0, -1, -100.0, 0.99, 20001, 10**400, -(10**400), True, None, "100", b"1", 1j, object(), [100], {}],
    *[np.float32(100), np.int64(100), np.array(100.0), np.array([100.0]), np.timedelta64(1, "s"), np.bool_(True)],
    *[Fraction(201, 2), Decimal(100), np.longdouble("1e4000"), np.str_("100"), np.complex128(100)],
]
odd_numbers = st.sampled_from(NUMBERS) | st.floats() | st.integers() | st.text(max_size=4)
