from typing import final

from numpy import float64, uint8
from numpy.typing import NDArray

MAX_STREAMS: int
BIN_DOUBLES: int
ROOM_DOUBLES: int
PARAMETERS: int

@final
class Tuning:
    def __init__(self, parameters: dict[str, float], rate: float, smoothing: dict[str, float]) -> None: ...

@final
class Stream:
    def __init__(
        self,
        gyr: NDArray[float64],
        acc: NDArray[float64],
        mag: NDArray[float64] | None,
        flags: NDArray[uint8],
        quat: NDArray[float64],
        bias: NDArray[float64],
        rest: NDArray[uint8],
        learnt: NDArray[float64],
        knots: NDArray[float64],
        room: NDArray[float64],
        disturbed: NDArray[uint8] | None,
        inertial: NDArray[float64] | None,
        delta: NDArray[float64] | None,
        bins: NDArray[float64] | None,
    ) -> None: ...

def smooth(tuning: Tuning, level: int, streams: list[Stream]) -> None: ...
