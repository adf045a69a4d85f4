from imuposture._blocks import FlagArray, FloatArray

class PairFilter:
    def __init__(self, settings: FloatArray, bias: FloatArray) -> None: ...
    @staticmethod
    def step_members() -> int: ...
    @staticmethod
    def members() -> int: ...
    def states(self) -> tuple[tuple[float, ...], tuple[float, ...]]: ...
    def push(
        self,
        upper_quat: FloatArray,
        lower_quat: FloatArray,
        upper_gyr: FloatArray,
        lower_gyr: FloatArray,
        smooth: FloatArray,
        upper_acc: FloatArray,
        lower_acc: FloatArray,
        upper_bias: FloatArray,
        lower_bias: FloatArray,
        upper_rest: FlagArray,
        lower_rest: FlagArray,
        magnetic: FloatArray,
        stance: FlagArray,
        hidden: FloatArray,
        delta: FloatArray,
        sd: FloatArray,
        state: FlagArray,
        steps: FloatArray,
    ) -> int: ...

def smoothed(steps: FloatArray, results: FloatArray) -> None: ...
def correct(steps: FloatArray, results: FloatArray, step_rows: int, delta: FloatArray, sd: FloatArray) -> None: ...
