import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray

def arctangent(y: float, x: float) -> float: ...
def add(
    x: FloatArray,
    sd: FloatArray,
    keep: FlagArray,
    limits: FloatArray,
    signs: FloatArray,
    dead_band: float,
    width: float,
    sums: FloatArray,
    running: FloatArray,
    counts: NDArray[np.int64],
    bins: NDArray[np.int64],
    filled: NDArray[np.int64],
) -> None: ...
def bouts(
    time: FloatArray,
    angles: FloatArray,
    tolerance: float,
    shortest: float,
    state: FloatArray,
    found: FloatArray,
    count: NDArray[np.intp],
) -> None: ...
