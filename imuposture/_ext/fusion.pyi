from typing import Any, final

from numpy import float64
from numpy.typing import NDArray

MAX_LANES: int
LIMIT: float

@final
class Tuning:
    def __init__(self, parameters: dict[str, float], rate: float) -> None: ...

@final
class Memory:
    tuning: Tuning
    def __init__(self, tuning: Tuning) -> None: ...

def level_available(level: int) -> bool: ...
def lanes_of(level: int) -> int: ...
def bounded(rows: NDArray[float64]) -> bool: ...
def advance(level: int, streams: list[tuple[Any, ...]]) -> int: ...
