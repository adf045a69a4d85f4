"""Arrow columns of floats -> NumPy arrays."""

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Column", "Columns", "array_of"]

Column = NDArray[np.float64] | NDArray[np.float32]  # as the file holds it: rows are float64 once they are gathered
Columns = dict[str, Column]


def array_of(column: pa.Array) -> Column:
    """View a column of float64 or float32 as an array, nulls as NaN.

    Arrow's own ``to_numpy`` imports pandas where it is installed, half a second for nothing.
    """
    if not len(column):
        return np.empty(0)
    whole = column.fill_null(math.nan) if column.null_count else column
    kind = np.dtype(whole.type.to_pandas_dtype())
    return np.frombuffer(whole.buffers()[1], kind, len(whole), kind.itemsize * whole.offset)
