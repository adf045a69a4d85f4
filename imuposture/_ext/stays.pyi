import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray

def classify(
    x: FloatArray,
    keep: FlagArray,
    cuts: FloatArray,
    above: FloatArray,
    levels: NDArray[np.int8],
    absolute: bool,
    margin: float,
    state: NDArray[np.int8],
    codes: NDArray[np.int8],
) -> None: ...
def stays(
    time: FloatArray,
    codes: NDArray[np.int8],
    longest_step: float,
    edges: FloatArray,
    state: FloatArray,
    rows: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None: ...
def holds(
    time: FloatArray,
    x: FloatArray,
    other: FloatArray,
    tolerance: float,
    shortest: float,
    longest_step: float,
    state: FloatArray,
    found: FloatArray,
    count: NDArray[np.intp],
) -> None: ...
def rolls(quat: FloatArray, flattest: float, out: FloatArray, facing: FloatArray) -> None: ...
def sweeps(
    time: FloatArray,
    x: FloatArray,
    swing: float,
    longest_step: float,
    state: FloatArray,
    found: FloatArray,
    count: NDArray[np.intp],
) -> None: ...
