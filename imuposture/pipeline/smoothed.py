"""The walk with hindsight: both filters that drift give way to smoothers, so that every row knows what came later."""

from collections.abc import Iterator, Sequence

import numpy as np

from imuposture._blocks import FloatArray, HeadingBlock, MetricBlock, OrientationBlock, PairBlock, Role
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration
from imuposture.doubt import Doubt
from imuposture.fusion import NorthBlock, SmoothedFusion, smooth_fuse
from imuposture.heading import SmoothedHeading
from imuposture.pipeline.config import Config
from imuposture.pipeline.rows import Rows, cut_pair, pieces
from imuposture.pipeline.walk import Pipeline, doubted, no_heading, northern

__all__ = ["SmoothedPipeline"]


class SmoothedPipeline(Pipeline):
    """The walk of `imuposture.pipeline.Pipeline` for recordings, acausal: `push` gives no rows, `rest` all of them.

    It holds the recording until then, about 1 GB for 8 hours of two sensors at 100 Hz. Orientations come from
    `imuposture.fusion.SmoothedFusion`, the relative heading from `imuposture.heading.SmoothedHeading`; calibration,
    angles and metrics are the same.
    """

    heading: SmoothedHeading

    def __init__(self, alignment: Alignment, calibration: Calibration, config: Config | None = None) -> None:
        super().__init__(alignment, calibration, config, heading=SmoothedHeading)
        self._smoothers = [SmoothedFusion(one.rate_hz, one.parameters, one.magnetometer) for one in self._fusions]
        self._kept: list[PairBlock] = []

    def walk(self, samples: PairBlock) -> Rows:
        """Keep aligned rows; return none."""
        pair = self.calibration.apply(samples)
        none = [stage.push(rows) for stage, rows in zip(self._smoothers, self._worn(pair), strict=True)]
        self._kept.append(samples)
        nothing = cut_pair(samples, slice(0))
        posture = self.kinematics.push(nothing.time_s, *self._both(none, 0), no_heading(0), np.empty(0, np.uint8))
        return Rows(nothing, posture, MetricBlock())

    def finish(self) -> Rows:
        """Keep the rows that still waited; return none, nor figures, which the rows that `rest` gives are for."""
        return self.walk(self.alignment.finish())

    def rest(self) -> Iterator[Rows]:
        """Yield all rows, a piece at a time."""
        blocks = smooth_fuse(self._smoothers)
        tilts = self._doubts_ahead()
        for (part, samples), tilt in zip(self._parts(), tilts, strict=True):
            pair = self.calibration.apply(samples)
            past, hidden = doubted(self._doubts, pair)
            tilt |= {role: _larger(past[role], tilt[role]) for role in past}
            self._relative(pair, *self._oriented(blocks, part), hidden)
        heading = self.heading.finish()
        for (part, samples), tilt in zip(self._parts(), tilts, strict=True):
            pair = self.calibration.apply(samples)
            both = self._oriented(blocks, part)
            related = _cut_heading(heading, part) if self._relates else no_heading(len(pair))
            posture = self._angles(pair, both, northern(related, *both), tilt)
            yield Rows(samples, posture, self.metrics.push(posture, pair))

    def _doubts_ahead(self) -> list[dict[Role, FloatArray | None]]:
        """Say how sure each piece is before rows that hide a turn: an average over both sides bends both alike."""
        doubts = {role: Doubt(self.alignment.rate_hz) for role in self._doubts}
        tilts = []
        for _, samples in reversed(list(self._parts())):
            backwards = cut_pair(self.calibration.apply(samples), slice(None, None, -1))
            tilt, _ = doubted(doubts, backwards)
            tilts.append({role: None if one is None else one[::-1] for role, one in tilt.items()})
        return tilts[::-1]

    def _parts(self) -> Iterator[tuple[slice, PairBlock]]:
        """Yield pieces of what was kept, and where their rows are."""
        first = 0
        for kept in self._kept:
            for piece in pieces(kept):
                yield slice(first, first + len(piece)), piece
                first += len(piece)

    def _oriented(self, blocks: Sequence[OrientationBlock], part: slice) -> tuple[OrientationBlock, OrientationBlock]:
        return self._both([_cut(block, part) for block in blocks], part.stop - part.start)


def _larger(one: FloatArray | None, other: FloatArray | None) -> FloatArray | None:
    if one is None or other is None:
        return other if one is None else one
    return np.maximum(one, other)


def _cut(block: OrientationBlock, part: slice) -> OrientationBlock:
    plain = block.quat[part], block.bias[part], block.rest[part], block.disturbed[part]
    if isinstance(block, NorthBlock):
        return NorthBlock(*plain, block.inertial[part], block.delta[part])
    return OrientationBlock(*plain)


def _cut_heading(block: HeadingBlock, part: slice) -> HeadingBlock:
    return HeadingBlock(block.delta[part], block.sd[part], block.state[part])
