import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray

STATE_SIZE: int
FOUND: tuple[str, ...]
SETTINGS: tuple[str, ...]

def advance(
    time: FloatArray,
    angle: FloatArray,
    sd: FloatArray,
    weights: FloatArray,
    settings: FloatArray,
    state: FloatArray,
    window: FloatArray,
    recent: FloatArray,
    found: FloatArray,
    count: NDArray[np.intp],
    first: int,
) -> None: ...
