"""Speed of the orientation filter against the vqf package: paired, in one process, as CPU time and ratio.

Absolute times move by 30 % with what else the machine does; ratios of runs that follow one another hardly do. So the
two sides take turns, A B A B, and the median of the ratios counts. Both sides get the same arrays and keep all their
orientations; the price of fresh memory, which is the system's, is kept out.

Run ``python benchmarks/fusion_speed.py [--rows N] [--rounds N]``; exit code 1 if a goal is missed.
"""

import argparse
import contextlib
import ctypes
from statistics import median

import numpy as np
from _timing import Pairs, paired, ratio
from vqf import VQF

from imuposture._blocks import FloatArray, SensorRows
from imuposture.fusion import Fusion, fuse, isa_level, orientation

RATE = 100.0
LIVE_ROWS = 20_000  # of a sensor
# name: streams, magnetometer, ratio to reach on AVX2
CASES = {
    "one stream": (1, False, 1.8),
    "two sensors": (2, False, 3.4),
    "four streams": (4, False, 6.5),
    "eight streams": (8, False, 6.5),
    "one stream, 9-axis": (1, True, 1.8),
    "eight streams, 9-axis": (8, True, 6.0),
}
Recording = tuple[FloatArray, FloatArray, FloatArray]


def recording(rows: int, seed: int) -> Recording:
    """Wander about a body's rates of turn: gyr, acc and mag of a sensor with bias and noise, (rows, 3) each."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(rows) / RATE
    rate = np.stack([sum(a * np.sin(f * time_s + p) for a, f, p in rng.uniform(0.1, 2, (4, 3))) for _ in range(3)], 1)
    rate *= 0.3 * (np.sin(0.05 * time_s) > -0.5)[:, None]  # now and then it rests
    zero = np.zeros((rows, 3))
    quat = orientation(rate, zero, rate=RATE)
    w, x, y, z = quat.T
    up = np.stack([2 * (x * z - w * y), 2 * (w * x + y * z), 1 - 2 * (x * x + y * y)], axis=1)
    north = np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=1)
    acc = 9.81 * up + 0.05 * rng.standard_normal((rows, 3))
    mag = 18 * north - 45 * up + 0.4 * rng.standard_normal((rows, 3))
    return rate + rng.normal(0, 0.006, 3) + 0.001 * rng.standard_normal((rows, 3)), acc, mag


def keep_memory() -> None:
    """Tell glibc to hand out freed memory again: page faults cost up to 60 ns a row, and vary."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


def batch(recordings: list[Recording], magnetic: bool, rounds: int) -> Pairs:
    """Time whole recordings side by side against vqf's, one after the other."""
    gyr, acc, mag = (list(arrays) for arrays in zip(*recordings, strict=True))

    def ours() -> object:
        return orientation(gyr, acc, mag if magnetic else None, rate=RATE, parameters="vqf")

    def theirs() -> object:
        if magnetic:
            return [VQF(1 / RATE).updateBatch(g, a, m)["quat9D"] for g, a, m in recordings]
        return [VQF(1 / RATE).updateBatch(g, a)["quat6D"] for g, a, _ in recordings]

    return paired(ours, theirs, rounds)


def live(recordings: list[Recording], rows: int, rounds: int) -> Pairs:
    """Time sensors in blocks of so many rows against vqf in the same blocks."""
    flags = np.zeros(rows, dtype=np.uint8)
    parts = [slice(i, i + rows) for i in range(0, LIVE_ROWS, rows)]
    blocks = [[SensorRows(acc[part], gyr[part], None, flags) for gyr, acc, _ in recordings] for part in parts]
    filters = [Fusion(RATE, "vqf") for _ in recordings]
    others = [VQF(1 / RATE) for _ in recordings]

    def ours() -> None:
        for pair in blocks:
            fuse(filters, pair) if len(pair) > 1 else filters[0].push(pair[0])

    def theirs() -> None:
        for pair in blocks:
            for other, one in zip(others, pair, strict=True):
                other.updateBatch(one.gyr, one.acc)

    return paired(ours, theirs, rounds)


def _line(pairs: Pairs, samples: int) -> str:
    ours, theirs = (median(side.cpu for side in run) * 1e9 / samples for run in zip(*pairs, strict=True))
    return f"{ours:12.0f}{theirs:8.0f}{ratio(pairs, 'cpu'):8.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="rows of a recording")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    keep_memory()
    recordings = [recording(options.rows, seed) for seed in range(8)]
    print(f"instruction set {isa_level()}; ns a sample of one sensor, CPU time, medians of {options.rounds}")
    print(f"{'':24}{'imuposture':>12}{'vqf':>8}{'ratio':>8}{'goal':>8}")
    missed = 0
    for name, (streams, magnetic, goal) in CASES.items():
        pairs = batch(recordings[:streams], magnetic, options.rounds)
        missed += ratio(pairs, "cpu") < goal
        print(f"{name:24}{_line(pairs, streams * options.rows)}{goal:8.1f}")
    for streams, rows in ((1, 10), (2, 10), (2, 100)):
        pairs = live(recordings[:streams], rows, options.rounds)
        print(f"{f'{streams} live, blocks of {rows}':24}{_line(pairs, streams * LIVE_ROWS)}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
