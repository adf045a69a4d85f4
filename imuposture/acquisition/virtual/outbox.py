"""What waits in a sensor to be sent, and what goes wrong with it on the way: FIFO, connection events, damage."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from imuposture.acquisition.virtual.counting import Fate, Ledger
from imuposture.acquisition.virtual.faults import Faults, Randomness
from imuposture.acquisition.virtual.wire.firmware import Notification, Packet

__all__ = ["Outbox", "Outgoing"]

ENDLESS = 0.99  # share of failing connection events beyond which nothing would ever get through


@dataclass(slots=True)
class Outgoing:
    """A payload on its way: samples [first, stop) of the ledger are in it, those before ``done`` are whole with it."""

    notification: Notification
    first: int
    stop: int
    done: int
    leaves_s: float = 0.0
    copy: bool = False
    spoilt: bool = False


class Outbox:
    """Payloads in the order in which they were made.

    Parameters
    ----------
    faults : Faults
    dice : Randomness
    ledger : Ledger
        Told of what is skipped or overflows.
    """

    def __init__(self, faults: Faults, dice: Randomness, ledger: Ledger) -> None:
        self.faults, self._dice, self._ledger = faults, dice, ledger
        self._phase = dice.uniform()
        self._waiting: deque[Outgoing] = deque()
        self._passed_over: Outgoing | None = None
        self._last_s = 0.0
        self._skipping = 0

    def put(self, packet: Packet, first: int, rows: int, ready_s: float) -> None:
        """Take a packet whose samples have the numbers [first, first + rows), complete at ``ready_s``."""
        if self._skips():
            self._ledger.settle(first, first + rows, Fate.SKIPPED)
            return
        leaves_s = self._leave_time(ready_s)
        base = packet.touched[0][0]
        begins = [first + begin - base for begin, _ in packet.touched] + [first + rows]
        for index, notification in enumerate(packet.notifications):
            stop = first + packet.touched[index][1] - base
            self._waiting.append(Outgoing(notification, begins[index], stop, begins[index + 1], leaves_s))
        while self._waiting[-1].stop - self._waiting[0].first > self.faults.fifo_samples:
            oldest = self._waiting.popleft()
            self._ledger.settle(oldest.first, oldest.stop, Fate.OVERFLOWED)

    def _skips(self) -> bool:
        if self._skipping:
            self._skipping -= 1
            return True
        if self._dice.happens(self.faults.burst_loss):
            self._skipping = self.faults.burst_length - 1
            return True
        return self._dice.happens(self.faults.loss)

    def _leave_time(self, ready_s: float) -> float:
        """Return when a payload that is ready gets through: at a connection event, after everything before it."""
        interval_s, leaves_s = self.faults.interval_s, ready_s
        if interval_s:
            event = -((self._phase - ready_s / interval_s) // 1.0)  # the first one not before it
            leaves_s = (event + self._phase) * interval_s
            while self._dice.happens(min(self.faults.retransmit, ENDLESS)):
                leaves_s += interval_s
        self._last_s = max(self._last_s, leaves_s + self._dice.delay(self.faults.latency_s))
        return self._last_s

    def next_s(self) -> float | None:
        """Return when the next payload leaves, s of the host's clock; None if none waits."""
        return self._waiting[0].leaves_s if self._waiting else None

    def leaving(self, now_s: float, room: int) -> Iterator[Outgoing]:
        """Yield what leaves by now as it goes on the air: damaged, doubled, out of order."""
        while self._waiting and self._waiting[0].leaves_s <= now_s:
            outgoing = self._waiting.popleft()
            if self._passed_over is None and self._dice.happens(self.faults.reorder):
                self._passed_over = outgoing
                continue
            yield from self._sent(outgoing, room)
            if self._passed_over:
                late, self._passed_over = self._passed_over, None
                yield from self._sent(late, room)

    def _sent(self, outgoing: Outgoing, room: int) -> Iterator[Outgoing]:
        whole = outgoing.notification
        data = self._damaged(whole.data)
        if data is not whole.data:
            outgoing.notification = Notification(whole.uuid, data)
        outgoing.spoilt = data is not whole.data or len(data) > room
        yield outgoing
        if self._dice.happens(self.faults.duplicate):
            yield self.copied(outgoing)

    def _damaged(self, data: bytes) -> bytes:
        if self._dice.happens(self.faults.garbage):
            return self._dice.bytes(self._dice.below(len(data) + 20))
        if data and self._dice.happens(self.faults.truncate):
            return data[: self._dice.below(len(data))]
        return data

    @staticmethod
    def copied(outgoing: Outgoing) -> Outgoing:
        """Return the same payload once more, which decides nothing about its samples."""
        first = outgoing.first
        return Outgoing(outgoing.notification, first, first, first, outgoing.leaves_s, copy=True)

    def clear(self) -> None:
        """Throw away what waits: there is nobody to send it to."""
        if self._passed_over:
            self._waiting.append(self._passed_over)
            self._passed_over = None
        for outgoing in self._waiting:
            self._ledger.settle(outgoing.first, outgoing.stop, Fate.UNHEARD)
        self._waiting.clear()
