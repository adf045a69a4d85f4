"""How closely two sensors agree after how long, over simulated links: a table a kind of clock.

Run: python benchmarks/clocks.py [PAIRS [SECONDS]]. An hour of sixty pairs takes half an hour.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from clock_simulator import LOCKED, OPEN, Link, packets, track

from imuposture.alignment import LinkClock

INSTANTS = (10.0, 60.0, 600.0, 3600.0)


def table(links: Mapping[str, Link], pairs: int, seconds: float) -> None:
    instants = [instant for instant in INSTANTS if instant <= seconds]
    print(f"{'p95 (max) ms; share covered by the bound':42}" + "".join(f"{f'{at:g} s':>24}" for at in instants))
    for name, link in links.items():
        tracks = [
            [track(LinkClock(), packets(link, instants[-1] + 1, 1000 * seed + side), instants) for side in (0, 1)]
            for seed in range(pairs)
        ]
        apart = np.abs([upper.error_s - lower.error_s for upper, lower in tracks]) * 1e3
        bound = np.max([[side.bound_s for side in pair] for pair in tracks], axis=1) * 1e3
        cells = [
            f"{np.percentile(apart[:, k], 95):.2f} ({apart[:, k].max():.2f}) {np.mean(apart[:, k] <= bound[:, k]):.0%}"
            for k in range(len(instants))
        ]
        print(f"{name:42}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    pairs, seconds = (int(sys.argv[1]) if len(sys.argv) > 1 else 60, float(sys.argv[2]) if len(sys.argv) > 2 else 3600)
    for links in (OPEN, LOCKED):
        table(links, pairs, seconds)
        print()
