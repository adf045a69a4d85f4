"""Movements sorted by plane and side: what the left/right figures are made of."""

import numpy as np

from imuposture._blocks import PLANES, Event, Plane, PostureBlock, Side
from imuposture.metrics._context import SIDES
from imuposture.metrics._statistics import Sample

__all__ = ["SIDES", "Half", "Halves", "analysed", "missing_side"]


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


def analysed(posture: PostureBlock) -> bool:
    """Say whether any row holds a spinal angle."""
    return bool(np.isfinite(posture.flexion_deg).any() or np.isfinite(posture.lateral_bend_deg).any())
