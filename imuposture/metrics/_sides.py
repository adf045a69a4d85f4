"""Movements sorted by plane and side: what the left/right figures are made of."""

from math import sqrt

import numpy as np

from imuposture._blocks import PLANES, Event, Plane, PostureBlock, Side
from imuposture.metrics._context import SIDES, MetricContext
from imuposture.metrics._statistics import Sample

__all__ = [
    "SIDES",
    "Half",
    "Halves",
    "analysed",
    "difference_sd",
    "missing_side",
    "skin_difference",
    "skin_sum",
    "with_skin",
]

# Share of what the skin does that the two sides have not in common. Small: trusts that a person's right skin moves as
# the left one does; large: takes it for two persons' skin, and hides differences (benchmarks/metrics_movements.py).
UNLIKE = 0.2


class Half:
    """The repetitions of one plane to one side; all values count to that side."""

    def __init__(self) -> None:
        self.amplitude = Sample()
        self.extreme = Sample()
        self.coupled_flexion = Sample()
        self.sd = Sample()
        self.held: float | None = None

    def __len__(self) -> int:
        return len(self.amplitude)

    @property
    def known(self) -> bool:
        """Whether the angle's standard deviation was known in at least half of the repetitions."""
        return len(self) > 0 and 2 * len(self.sd) >= len(self)


class Halves:
    """All repetitions by plane and side, and what flexion brought along in the other planes."""

    def __init__(self) -> None:
        self._halves = {(plane, side): Half() for plane in PLANES for side in SIDES[plane]}
        self.coupled: dict[Plane, Sample] = {"lateral_bend": Sample(), "axial_rotation": Sample()}
        self.bend_size = Sample()

    def __getitem__(self, key: tuple[Plane, Side]) -> Half:
        return self._halves[key]

    def take(self, movements: tuple[Event, ...]) -> None:
        """Take finished movements; only repetitions count."""
        for event in movements:
            if event.kind == "repetition" and event.plane and event.side and event.amplitude_deg is not None:
                self._take(event, self._halves[event.plane, event.side], event.amplitude_deg)

    def _take(self, event: Event, half: Half, amplitude: float) -> None:
        details = event.details
        sign = 1.0 if event.side in ("forward", "right") else -1.0
        half.amplitude.add(amplitude)
        half.extreme.add(sign * details["peak_deg"])
        if "held_deg" in details:
            held = sign * details["held_deg"]
            half.held = held if half.held is None else max(half.held, held)
        if "sd_deg" in details:
            half.sd.add(details["sd_deg"])
        half.coupled_flexion.add(details.get("coupled_flexion_deg", 0.0))
        if event.plane == "flexion":
            self.bend_size.add(amplitude)
            for plane, sample in self.coupled.items():
                if f"coupled_{plane}_deg" in details:
                    sample.add(details[f"coupled_{plane}_deg"])


def missing_side(right: Half, left: Half) -> str:
    """Say what a comparison of both sides lacks, in words that hold for the mirrored person too."""
    return "repetitions to one side only" if len(right) or len(left) else "no repetition"


def skin_difference(right_deg: float, left_deg: float, context: MetricContext) -> float:
    """Return the error, degrees, that skin brings into right - left of two movements.

    Skin that makes one side look larger does so to the other side as well: what is left of it grows with the
    difference, beside the share that the sides have not in common.
    """
    apart, unlike = context.skin_sd(right_deg - left_deg), UNLIKE * context.skin_sd(1.0)
    return sqrt(apart * apart + unlike * unlike * (right_deg * right_deg + left_deg * left_deg))


def skin_sum(right_deg: float, left_deg: float, context: MetricContext) -> float:
    """Return the error, degrees, that skin brings into right + left: it adds up."""
    return skin_difference(right_deg, -left_deg, context)


def without_skin(rows_sd_deg: float, end_deg: float, context: MetricContext) -> float:
    """Return what is left of the rows' mean error over movements to ``end_deg`` without the skin.

    Counted as at the end of the movement: the way there has less of it, the lean of the trunk adds some.
    """
    skin = context.skin_sd(end_deg)
    return sqrt(max(rows_sd_deg * rows_sd_deg - skin * skin, 0.0))


def with_skin(rows_sd_deg: float, end_deg: float, context: MetricContext) -> float:
    """Return the error at the end of movements, from the rows' mean error over them: not less than that of the skin."""
    return max(rows_sd_deg, context.skin_sd(abs(end_deg)))


def difference_sd(
    right: tuple[float, float], left: tuple[float, float], neutral_sd_deg: float, context: MetricContext
) -> float:
    """Return the shared error of right - left of two ends of range; each is the rows' mean error, and the end.

    Neutral stance and heading enter twice, since they give to one side what they take from the other one; skin gives
    to both, or takes.
    """
    shared = without_skin(*right, context) + without_skin(*left, context)
    skin = skin_difference(right[1], left[1], context)
    return sqrt(4.0 * neutral_sd_deg * neutral_sd_deg + shared * shared + skin * skin)


def analysed(posture: PostureBlock) -> bool:
    """Say whether any row holds a spinal angle."""
    return bool(np.isfinite(posture.flexion_deg).any() or np.isfinite(posture.lateral_bend_deg).any())
