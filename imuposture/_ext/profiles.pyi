from imuposture._blocks import FloatArray

FOUND: tuple[str, ...]
SETTINGS: tuple[str, ...]

def describe(
    away: FloatArray,
    first: int,
    last: int,
    settings: FloatArray,
    basis: FloatArray,
    gain: float,
    cosine: FloatArray,
    work: FloatArray,
    found: FloatArray,
) -> None: ...
def jerk(angle: FloatArray, settings: FloatArray, basis: FloatArray, gain: float, work: FloatArray) -> float: ...
def sparc(speed: FloatArray, settings: FloatArray, cosine: FloatArray, work: FloatArray) -> float: ...
