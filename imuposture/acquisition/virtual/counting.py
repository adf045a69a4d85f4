"""What became of every sample: sent = kept + lost, exactly."""

import enum
from collections import Counter

__all__ = ["Fate", "Ledger"]


class Fate(enum.IntEnum):
    """What became of a sample."""

    PENDING = 0  # in the FIFO or on its way
    DELIVERED = 1  # whole, in notifications that reached the host
    SKIPPED = 2  # its payload was never sent (`Faults.loss`, `Faults.burst_loss`)
    OVERFLOWED = 3  # dropped from a full FIFO
    UNHEARD = 4  # nobody was connected or listened, or the link broke while it was in the air
    SPOILT = 5  # its payload arrived cut short, as garbage, or too long for the MTU


class Ledger:
    """Every sample a sensor ever took, by number, and its fate.

    Attributes
    ----------
    streams : list of int
        Number of the first sample of each stream: within one, the sensor's clock runs on evenly.
    begun_s : list of float
        What the sensor's clock read at each of these.
    notifications : int
        Payloads with samples in them that reached the host, copies included.
    copies : int
        How many of those were sent once more than needed.
    """

    def __init__(self) -> None:
        self._fates = bytearray()
        self._totals: Counter[Fate] = Counter()
        self.streams: list[int] = []
        self.begun_s: list[float] = []
        self.notifications = 0
        self.copies = 0

    def __len__(self) -> int:
        return len(self._fates)

    def begin(self, clock_s: float = 0.0) -> None:
        """Begin a stream, whose first sample is taken when the sensor's clock reads ``clock_s``."""
        self.streams.append(len(self._fates))
        self.begun_s.append(clock_s)

    def take(self, rows: int, fate: Fate = Fate.PENDING) -> int:
        """Enter samples that were just taken; return the number of the first."""
        first = len(self._fates)
        self._fates += bytes((fate,)) * rows
        self._totals[fate] += rows
        return first

    def settle(self, first: int, stop: int, fate: Fate) -> None:
        """Decide on samples that are pending; a decision stands."""
        for number in range(first, stop):
            if self._fates[number] == Fate.PENDING:
                self._fates[number] = fate
                self._totals[Fate.PENDING] -= 1
                self._totals[fate] += 1

    def count(self, fate: Fate) -> int:
        """Return how many samples have that fate."""
        return self._totals[fate]

    def fates(self) -> bytes:
        """Return the fate of every sample, one byte each, in the order in which they were taken."""
        return bytes(self._fates)
