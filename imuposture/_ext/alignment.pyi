import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FlagArray, FloatArray

def unwrap(
    ticks: FloatArray,
    wrap: float,
    tick_s: float,
    shift_s: float,
    period: float,
    window: float,
    restart: float,
    clock: FloatArray,
    times: FloatArray,
    kept: FlagArray,
    counts: NDArray[np.int64],
) -> None: ...
def lay_grid(times: FloatArray, period: float, grid_state: FloatArray, grid: FloatArray) -> int: ...

SEEN: int

def find_faults(
    acc: FloatArray,
    gyr: FloatArray,
    acc_scale: float,
    gyr_scale: float,
    saturated: int,
    repeated: int,
    seen: FloatArray,
    flags: FlagArray,
) -> None: ...
