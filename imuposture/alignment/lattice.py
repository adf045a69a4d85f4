"""How far apart the delays of packets stand: g, the lattice that a radio's fixed instants force on them.

Packets are ready every P seconds and leave at instants C apart (the connection interval, which nobody tells). Delays
modulo g = gcd(P, C) are all the same then, but for what the host adds; g divides P. So the largest P / k on whose
lattice nearly all delays lie is g. The host blurs them by a millisecond or two: below about 4 ms no lattice can be told
from none, and none is needed.
"""

import numpy as np

from imuposture._blocks import FloatArray

__all__ = ["Lattice"]

ENOUGH = 64  # packets; fewer make lattices of chance
LATEST = 240  # packets that are looked at; a drift of 100 ppm blurs them by less than the host does
FINEST_S = 4e-3
WIDEST_S = 0.4
DENSE = 0.55  # share of the delays that must stand on a lattice, of those that chance does not put there
BURST_S = 5e-3  # packets so near to each other waited together: only the first tells of the radio
PATIENCE = 15  # windows; longer than what is looked at
BLUR_S = 3e-3  # s within which the host hands on most of what came at one instant


class Lattice:
    """The delays of the last packets of one link.

    Parameters
    ----------
    device_s : float
        The device's time at the first packet.

    Attributes
    ----------
    packet_s : float or None
        Period of the packets.
    spacing_s : float or None
        g, where there is a lattice.
    known : bool
        Enough packets came to tell.
    """

    def __init__(self, device_s: float) -> None:
        self._delays: list[float] = []
        self._origin = self._device = device_s
        self._arrival = -np.inf
        self.packet_s: float | None = None
        self.spacing_s: float | None = None
        self.known = False
        self._wider = self._finer = 0  # times in a row that another spacing was found

    @property
    def locked(self) -> bool:
        """The delays stand apart: the link is locked to the radio's instants, or nearly so."""
        return self.spacing_s is not None

    @property
    def g_s(self) -> float:
        """What the bound must allow for: the spacing, the finest that could be told, or where unknown, a packet."""
        if self.spacing_s is not None:
            return self.spacing_s
        packet = WIDEST_S if self.packet_s is None else min(self.packet_s, WIDEST_S)
        return min(FINEST_S, packet) if self.known else packet

    def add(self, device_s: float, arrival_s: float, skew: float) -> None:
        """Take the next packet; ``skew``: of the device's clock, as far as it is known."""
        step = device_s - self._device
        if step > 0.0 and (self.packet_s is None or step < self.packet_s):
            self.packet_s = step  # losses make steps longer, never shorter
        self._device = device_s
        if arrival_s - self._arrival > BURST_S:
            self._delays.append(arrival_s - device_s - skew * (device_s - self._origin))
            self._arrival = arrival_s

    def judge(self) -> None:
        """Look for the lattice of the last packets."""
        del self._delays[:-LATEST]
        if len(self._delays) < ENOUGH or self.packet_s is None:
            return
        found = _spacing(np.array(self._delays), self.packet_s)
        # That it is wider than thought must be heeded soon; a stall of the host may blur it for a while.
        self._wider = self._wider + 1 if (found or 0.0) > 1.01 * (self.spacing_s or 0.0) else 0
        self._finer = self._finer + 1 if (found or 0.0) < 0.99 * (self.spacing_s or 0.0) else 0
        if not self.known or self._wider >= 2 or self._finer >= PATIENCE:
            self.spacing_s = found
            self._wider = self._finer = 0
        self.known = True


def _spacing(delays: FloatArray, packet_s: float) -> float | None:
    """Return the largest P / k on whose lattice the delays lie, or None."""
    found: float | None = None
    divisor = 1
    while packet_s / divisor >= FINEST_S:
        spacing = packet_s / divisor
        on_lattice, chance = _share(delays, spacing)
        if spacing <= WIDEST_S and on_lattice >= chance + DENSE * (1.0 - chance):
            found = spacing
            break
        divisor += 1
    return found


def _share(delays: FloatArray, spacing: float) -> tuple[float, float]:
    """Return the share of the delays in the fullest stretch of the lattice's cell, and the share by chance."""
    width = min(BLUR_S, 0.5 * spacing)
    cells = delays / spacing
    places = np.sort((cells - np.floor(cells)) * spacing)
    around = np.concatenate([places, places + spacing])
    last = np.searchsorted(around, places + width)
    fullest = int((last - np.arange(len(places))).max())
    return fullest / len(places), width / spacing
