"""What is known only after the last row: how well sensors, calibration and heading did. A part of the manifest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from imuposture._blocks import Quality
from imuposture.pipeline.rows import Rows
from imuposture.pipeline.smoothed import SmoothedPipeline
from imuposture.pipeline.walk import Pipeline

__all__ = ["Findings"]

UNKNOWN, GAP = np.uint8(Quality.HEADING_UNKNOWN), np.uint8(Quality.GAP)
LITTLE_OVERLAP = 0.5  # share of the rows; less looks like files of two recordings


class Findings:
    """Counts rows on their way, and sums up at the end."""

    def __init__(self) -> None:
        self._rows = self._gaps = self._lost = 0  # all, without both sensors, without a heading worth its name

    def counted(self, rows: Rows) -> Rows:
        """Count rows; return them."""
        quality = rows.posture.quality
        self._rows += len(quality)
        self._lost += int(np.count_nonzero(quality & UNKNOWN))
        self._gaps += int(np.count_nonzero(quality & GAP))
        return rows

    def asdict(self, pipeline: Pipeline, notes: Sequence[str]) -> dict[str, Any]:
        """Return what the manifest says of a pipeline that has seen its last row."""
        counts = {role: count.asdict() for role, count in pipeline.alignment.counts().items()}
        return {
            "alignment": {"rate_hz": pipeline.alignment.rate_hz, "sensors": counts},
            "calibration": pipeline.calibration.asdict(),
            "heading": self._heading(pipeline),
            "notes": [*notes, *self._overlap()],
        }

    def _overlap(self) -> list[str]:
        """Say so where the two sensors were hardly ever there together: the files may not belong to each other."""
        share = 1.0 - self._gaps / max(self._rows, 1)
        if share >= LITTLE_OVERLAP:
            return []
        return [f"the sensors are there together in {share:.0%} of the rows; check that the files belong together"]

    def _heading(self, pipeline: Pipeline) -> dict[str, Any]:
        if not pipeline.calibration.usable or len(pipeline.alignment.streams) < 2:
            return {"verdicts": ["relative heading: not estimated without a calibration of both sensors"]}
        smoothed = isinstance(pipeline, SmoothedPipeline)
        sd = float(np.rad2deg(pipeline.heading.states()[1][0]))
        share = self._lost / max(self._rows, 1)
        verdict = f"the sensors' relative heading is known within {sd:.1f} degrees (1 sd) at the end"
        if share > 0:
            verdict += f", not well enough in {share:.0%} of the rows"
        return {
            "verdicts": [verdict],
            "method": f"neutral stance, holds, bends, gait and limits; {'smoothed' if smoothed else 'causal'}",
            "final_sd_deg": sd,
            "unknown_share": share,
        }
