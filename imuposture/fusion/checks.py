"""What rows have to be before the filter takes them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imuposture._blocks import FloatArray
from imuposture._checks import floats
from imuposture._errors import SignalError
from imuposture._ext import fusion as _ext

__all__ = ["refuse_nonsense", "vectors"]


def vectors(gyr: ArrayLike, acc: ArrayLike, mag: ArrayLike | None) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return float64 rows, equally many, (n, 3) each.

    Raises
    ------
    SignalError
        If there are no such rows in them.
    """
    arrays = {}
    for name, values in (("gyr", gyr), ("acc", acc), ("mag", gyr if mag is None else mag)):
        try:
            array = np.asarray(values)
        except ValueError as error:
            raise SignalError(f"{name} must be (n, 3) real numbers, got rows of different lengths") from error
        if array.ndim != 2 or array.shape[1] != 3 or array.dtype.kind not in "iuf":
            raise SignalError(f"{name} must be (n, 3) real numbers, got shape {array.shape} of {array.dtype}")
        arrays[name] = floats(name, values if np.ma.isMaskedArray(values) else array, (None, 3))
    counts = [len(array) for array in arrays.values()]
    if len(set(counts)) > 1:
        raise SignalError(f"gyr, acc and mag must have the same number of rows, got {', '.join(map(str, counts))}")
    return arrays["gyr"], arrays["acc"], None if mag is None else arrays["mag"]


def refuse_nonsense(arrays: dict[str, FloatArray], valid: NDArray[np.bool_], remedy: str) -> None:
    """Look for what no sensor gives.

    Parameters
    ----------
    arrays : dict of (n, 3) float64
        Rows, by the name they go by in a message.
    valid : (n,) bool
        Rows that count.
    remedy : str
        What to do about it, for the message.

    Raises
    ------
    SignalError
        If a valid row holds NaN or a value beyond the limit; names the first.
    """
    for name, array in arrays.items():
        wrong = valid & ~(np.abs(array) <= _ext.LIMIT).all(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            values = f"{name} holds {array[row].tolist()} in row {row}"
            raise SignalError(f"{values}; values must be finite and within {_ext.LIMIT:g}: {remedy}")
