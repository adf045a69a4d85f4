import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray

SECOND: tuple[str, ...]
SETTINGS: tuple[str, ...]
SUMS: int

def advance(
    index: NDArray[np.int64],
    quat: FloatArray,
    forward: FloatArray,
    flexion: FloatArray,
    lean: FloatArray,
    motion: FloatArray,
    settings: FloatArray,
    state: FloatArray,
    found: FloatArray,
) -> int: ...
def close(settings: FloatArray, state: FloatArray, found: FloatArray) -> int: ...
def votes(line: FloatArray, around: int, found: FloatArray) -> None: ...
