from imuposture._blocks import FloatArray

def posture(
    upper: FloatArray,
    lower: FloatArray,
    delta: FloatArray,
    delta_sd: FloatArray,
    sds: FloatArray,
    angles: FloatArray,
    wide: bool,
) -> None: ...
