"""Packets that come after a silence and are late: brought late, or told by a clock that started anew.

What was queued while nobody listened comes faster than it was measured, and is less late from packet to packet. A
clock that started anew and shows less than it would have shown is late by the same amount for good. So the first
packets are put aside until it shows; rows wait longer than that for a sensor.
"""

from imuposture._blocks import ImuBlock

__all__ = ["ASIDE_S", "OFF_S", "Aside"]

OFF_S = 0.25  # a clock this much off was started anew; less, and it is taken for a delay
ASIDE_S = 0.75


class Aside:
    """The first packets after a silence, put aside.

    Attributes
    ----------
    packets : list of (ImuBlock, float)
        With their arrivals, s.
    """

    def __init__(self) -> None:
        self.packets: list[tuple[ImuBlock, float]] = []
        self._late: list[float] = []

    def __bool__(self) -> bool:
        return bool(self.packets)

    def add(self, block: ImuBlock, arrival_s: float, late_s: float) -> None:
        """Put a packet aside that is late by so much."""
        self.packets.append((block, arrival_s))
        self._late.append(late_s)

    def over(self, now_s: float) -> bool:
        """Tell whether enough time has passed, or a packet came in time."""
        return bool(self.packets) and (now_s - self.packets[0][1] >= ASIDE_S or min(self._late) < OFF_S)

    def anew(self) -> bool:
        """Tell whether the clock started anew: no packet was in time, and they do not catch up."""
        return len(self._late) > 1 and min(self._late) >= OFF_S and self._late[0] - self._late[-1] < OFF_S

    def clear(self) -> list[tuple[ImuBlock, float]]:
        """Return the packets, and keep none."""
        packets, self.packets, self._late = self.packets, [], []
        return packets
