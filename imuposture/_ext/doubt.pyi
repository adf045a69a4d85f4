from imuposture._blocks import FlagArray, FloatArray

def doubt(
    gyr: FloatArray,
    flags: FlagArray,
    clipped: int,
    stale: int,
    least: float,
    period: float,
    memory: float,
    state: FloatArray,
    tilt: FloatArray,
    turn: FloatArray,
) -> None: ...
