"""Fusion: rows of one sensor in, its orientation against gravity (and north) out, block after block.

The filter is VQF (Laidig and Seel 2023). The gyroscope is integrated; the acceleration, averaged in the nearly inertial
frame that gives, says where up is; how fast that correction has to go, and what the gyroscope reads at rest, tell its
bias. A magnetometer only ever adds an angle about the vertical. Streams side by side are lanes of the same recursion:
every stream gives the same rows alone, beside others, in any cuts and on any processor, bit for bit.

A stream goes through a `Fusion`, several at once through `fuse` (`streams`); whole recordings have a shortcut
(`recordings`), and a variant that uses the future too (`smoothing`); every tuning number is explained in `parameters`.
"""

from imuposture.fusion.parameters import Parameters
from imuposture.fusion.recordings import orientation
from imuposture.fusion.smoothing import SmoothedFusion, smooth_fuse, smoothed_orientation
from imuposture.fusion.streams import Fusion, NorthBlock, fuse, isa_level

__all__ = [
    "Fusion",
    "NorthBlock",
    "Parameters",
    "SmoothedFusion",
    "fuse",
    "isa_level",
    "orientation",
    "smooth_fuse",
    "smoothed_orientation",
]
