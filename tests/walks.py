"""Recordings in memory through the pipeline: any full scales, cuts and damages, no files."""

from dataclasses import dataclass, fields, replace

import numpy as np
from second_spine import Back

from imuposture._blocks import ROLES, ImuBlock, PostureBlock, Stream
from imuposture.alignment import Alignment
from imuposture.calibration import calibrate
from imuposture.pipeline import Config, Pipeline
from imuposture.pipeline.rows import join_pairs, join_postures
from imuposture.processing import SmoothedPipeline

SPINE = ("flexion_deg", "lateral_bend_deg", "axial_rotation_deg")
INCLINATIONS = ("upper_forward_deg", "upper_side_deg", "lower_forward_deg", "lower_side_deg")


@dataclass(frozen=True)
class Tape:
    """What both sensors said: samples by role, and what is known about the streams."""

    blocks: dict[str, ImuBlock]
    rate: float = 100.0
    gyr_full_scale: float | None = None
    acc_full_scale: float | None = None

    def __repr__(self):
        return f"<Tape of {[len(block.ticks) for block in self.blocks.values()]} rows>"

    def streams(self):
        magnetic = {role: block.mag is not None for role, block in self.blocks.items()}
        scales = {"acc_full_scale": self.acc_full_scale, "gyr_full_scale": self.gyr_full_scale}
        return [Stream(role, self.rate, magnetometer=magnetic[role], **scales) for role in self.blocks]

    def only(self, *roles):
        return replace(self, blocks={role: self.blocks[role] for role in roles})

    def changed(self, change):
        """Return the tape with other samples: ``change(role, block)`` gives them."""
        return replace(self, blocks={role: change(role, block) for role, block in self.blocks.items()})

    def keep(self, rows):
        return self.changed(lambda _, block: part_of(block, rows))

    def without(self, first, last, *roles):
        """Return the tape with rows lost, by all sensors or only these."""
        rows = {role: np.r_[0:first, last : len(block.ticks)] for role, block in self.blocks.items()}
        return self.changed(lambda role, block: part_of(block, rows[role]) if role in (roles or ROLES) else block)

    def mirrored(self, axis):
        """Return the tape of the mirrored person: in the sensors' frames, by a plane across this axis."""
        sign = np.where(np.arange(3) == axis, -1.0, 1.0)
        return self.changed(lambda _, block: replace(block, acc=sign * block.acc, gyr=-sign * block.gyr))

    def clipped(self, scale, *roles):
        """Return the tape as gyroscopes of this range would have made it, rad/s."""
        held = roles or ROLES
        return self.changed(
            lambda role, block: replace(block, gyr=np.clip(block.gyr, -scale, scale)) if role in held else block
        )


def taped(back, *, scales=False):
    """Tape the recording of either simulator; ``scales`` tells the ranges of the sensors."""
    if isinstance(back, Back):
        return Tape({role: ImuBlock(role, back.time_s, back.acc[role], back.gyr[role]) for role in ROLES})
    sensors = {"upper": back.upper, "lower": back.lower}
    blocks = {role: ImuBlock(role, back.time_s, one.acc, one.gyr, one.mag) for role, one in sensors.items()}
    known = back.streams()[0]
    ranges = (known.gyr_full_scale, known.acc_full_scale) if scales else (None, None)
    return Tape(blocks, back.rate_hz, *ranges)


def part_of(block, rows):
    mag = None if block.mag is None else block.mag[rows]
    return ImuBlock(block.role, block.ticks[rows], block.acc[rows], block.gyr[rows], mag)


def aligned(tape):
    """Return all rows of the tape on one grid."""
    alignment = Alignment(tape.streams())
    pairs = [alignment.push(block) for block in tape.blocks.values()]
    return joined([*pairs, alignment.finish()])


def calibrated(tape, windows):
    known = {name: spans for name, spans in windows.items() if name in ("neutral", "flexion", "lateral")}
    return calibrate(aligned(tape), tape.rate, known)


def cut(tape, rows):
    """Return the blocks of the tape in pieces of so many rows (0: whole), the sensors in turn."""
    longest = max(len(block.ticks) for block in tape.blocks.values())
    firsts = range(0, longest, rows or longest)
    return [part_of(block, slice(k, k + firsts.step)) for k in firsts for block in tape.blocks.values()]


def walked(tape, calibration, config=None, rows=0):
    """Return the pipeline and the posture rows it makes of a tape, cut into pieces of so many rows."""
    config = config or Config()
    kind = SmoothedPipeline if config.smoothed else Pipeline
    pipeline = kind(Alignment(tape.streams()), calibration, config)
    parts = [pipeline.push(block).posture for block in cut(tape, rows)]
    parts.append(pipeline.walk(pipeline.alignment.finish()).posture)
    parts += [part.posture for part in pipeline.rest()]
    return pipeline, joined(parts)


def joined(parts):
    """Join blocks of rows."""
    return join_postures(parts) if isinstance(parts[0], PostureBlock) else join_pairs(parts)


def columns(posture, names=SPINE):
    return np.stack([getattr(posture, name) for name in names], axis=1)


def deviations(posture, names=SPINE):
    return columns(posture, [name.replace("_deg", "_sd_deg") for name in names])


def identical(one: PostureBlock, other: PostureBlock) -> list[str]:
    """Return the columns in which two walks differ by a bit."""
    return [m.name for m in fields(one) if getattr(one, m.name).tobytes() != getattr(other, m.name).tobytes()]
