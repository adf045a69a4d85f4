"""Arrays of two sensors to angles and histograms, nothing read and nothing written: ours, and vqf, scipy and NumPy."""

from functools import partial

import numpy as np
from _timing import Pairs, paired
from fusion_speed import RATE, Recording
from scipy.spatial.transform import Rotation
from vqf import VQF

from imuposture._blocks import FloatArray, HeadingBlock, SensorRows
from imuposture.fusion import Fusion, fuse
from imuposture.kinematics import Kinematics, Spread
from imuposture.metrics._tally import BIN, NO_SD, REACH, Tally
from imuposture.pipeline.rows import PIECE

__all__ = ["chain", "our_chain", "their_chain"]

SPREAD = Spread(0.005, 0.05, 0.05, 0.007)
BINS = 2 * round(REACH / BIN) + 1


def our_chain(upper: Recording, lower: Recording) -> tuple[FloatArray, list[Tally]]:
    """Return the spinal angles, (3, n), and the tally of each; sds and inclinations are computed as well."""
    rows = len(upper[0])
    filters = [Fusion(RATE, "vqf") for _ in range(2)]
    kinematics, tallies = Kinematics(SPREAD), [Tally(RATE) for _ in range(3)]
    angles = np.empty((3, rows))
    for first in range(0, rows, PIECE):
        part = slice(first, min(first + PIECE, rows))
        count = part.stop - first
        nothing, flags = np.zeros(count), np.zeros(count, np.uint8)
        sensors = [SensorRows(acc[part], gyr[part], None, flags) for gyr, acc, _ in (upper, lower)]
        heading = HeadingBlock(nothing, nothing, flags)
        posture = kinematics.push(nothing, *fuse(filters, sensors), heading, flags)
        keep = np.ones(count, np.uint8)
        found = (posture.flexion_deg, posture.lateral_bend_deg, posture.axial_rotation_deg)
        for tally, angle, room in zip(tallies, found, angles, strict=True):
            tally.add(angle, NO_SD, keep)
            room[part] = angle
    return angles, tallies


def their_chain(upper: Recording, lower: Recording) -> tuple[FloatArray, list[FloatArray]]:
    """Return the spinal angles, (n, 3), and the histogram of each."""
    quats = (VQF(1 / RATE).updateBatch(gyr, acc)["quat6D"] for gyr, acc, _ in (upper, lower))
    above, below = (Rotation.from_quat(quat, scalar_first=True) for quat in quats)
    angles = (below.inv() * above).as_euler("ZXY", degrees=True)
    edge = 0.5 * BINS * BIN
    return angles, [np.histogram(column, BINS, (-edge, edge))[0] for column in angles.T]


def chain(upper: Recording, lower: Recording, rounds: int) -> Pairs:
    """Time both in turns."""
    return paired(partial(our_chain, upper, lower), partial(their_chain, upper, lower), rounds)
