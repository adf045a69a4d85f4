"""Arrow columns of float64 -> NumPy arrays."""

import math

import numpy as np
import pyarrow as pa

from imuposture._blocks import FloatArray

__all__ = ["array_of"]


def array_of(column: pa.Array) -> FloatArray:
    """View a float64 column as an array, nulls as NaN.

    Arrow's own ``to_numpy`` imports pandas where it is installed, half a second for nothing.
    """
    if not len(column):
        return np.empty(0)
    whole = column.fill_null(math.nan) if column.null_count else column
    return np.frombuffer(whole.buffers()[1], np.float64, len(whole), 8 * whole.offset)
