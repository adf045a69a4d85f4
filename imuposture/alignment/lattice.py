"""How far apart the delays of packets stand: g, the lattice that a radio's fixed instants force on them.

Packets are ready every P seconds and leave at instants C apart (the connection interval, which nobody tells). Delays
modulo g = gcd(P, C) are all the same then, but for what the host adds; g divides P. So the largest P / k on whose
lattice nearly all delays lie is g. The host blurs them by a millisecond or two: below about 4 ms no lattice can be told
from none, and none is needed.
"""

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["Lattice"]

ENOUGH = 60  # packets; fewer make lattices of chance
LATEST = 240  # packets that are looked at; a drift of 100 ppm blurs them by less than the host does
FINEST_S = 4e-3
WIDEST_S = 0.4
BINS = 24
BLUR_S = 3e-3  # s, of the host


class Lattice:
    """The delays of the last packets of one link."""

    def __init__(self) -> None:
        self._devices: list[float] = []
        self._delays: list[float] = []
        self.packet_s: float | None = None
        self.spacing_s: float | None = None
        self.locked = False

    @property
    def known(self) -> bool:
        """Enough packets came to tell."""
        return len(self._delays) >= ENOUGH

    @property
    def g_s(self) -> float:
        """What the bound must allow for: the spacing, the finest that could be told, or where unknown, a packet."""
        if self.spacing_s is not None:
            return self.spacing_s
        if self.known:
            return min(FINEST_S, self.packet_s or FINEST_S)
        return min(self.packet_s or WIDEST_S, WIDEST_S)

    def add(self, device_s: float, delay_s: float) -> None:
        """Take the delay of the next packet, on whatever scale."""
        self._devices.append(device_s)
        self._delays.append(delay_s)

    def judge(self) -> None:
        """Look for the lattice of the last packets."""
        del self._devices[:-LATEST], self._delays[:-LATEST]
        if not self.known:
            return
        steps = np.diff(np.array(self._devices))
        self.packet_s = float(np.sort(steps)[len(steps) // 4])  # losses make steps longer, never shorter
        delays = np.array(self._delays)
        self.spacing_s = _spacing(delays, self.packet_s)
        self.locked = self.spacing_s is not None


def _spacing(delays: FloatArray, packet_s: float) -> float | None:
    """Return the largest P / k on whose lattice the delays lie, or None."""
    found: float | None = None
    divisor = 1
    while packet_s / divisor >= FINEST_S:
        spacing = packet_s / divisor
        on_lattice, chance = _share(delays, spacing)
        if spacing <= WIDEST_S and on_lattice >= 0.5 * (1.0 + chance):
            found = spacing
            break
        divisor += 1
    return found


def _share(delays: FloatArray, spacing: float) -> tuple[float, float]:
    """Return the share of the delays in the fullest stretch of the lattice's cell, and the share by chance."""
    width = max(1, min(round(max(BLUR_S / spacing, 1 / 6) * BINS), BINS // 2))
    cells = delays / spacing
    bins = np.minimum(((cells - np.floor(cells)) * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    around = np.concatenate([counts, counts[:width]])
    fullest = max(int(around[first : first + width].sum()) for first in range(BINS))
    return fullest / len(delays), width / BINS
