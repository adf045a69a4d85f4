"""The queue between the radio and everything else: bounded, and never silent about what it could not take."""

import asyncio
import json
from collections import deque

from imuposture._blocks import Entry, Role

__all__ = ["EntryQueue"]

USUAL_LIMIT = 120_000  # entries: two sensors at 200 Hz for 5 minutes, some 30 MB


class EntryQueue:
    """Entries in the order of their arrival.

    Payloads that find the queue full are lost and counted, and the next batch ends with a link entry
    ``{"event": "overflow", "lost": n}`` a sensor. Link events and commands always find room: they are few.

    Parameters
    ----------
    limit : int
        Payloads held at most.
    """

    def __init__(self, limit: int = USUAL_LIMIT) -> None:
        self._limit = limit
        self._entries: deque[Entry] = deque()
        self._filled = asyncio.Event()
        self._closed = False
        self._untold: dict[Role | None, tuple[int, Entry]] = {}
        self.lost: dict[Role | None, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Take an entry; costs a few microseconds and never waits. To be called in the thread of the event loop."""
        if len(self._entries) >= self._limit and entry.kind in ("notification", "read"):
            self._lose(entry)
        else:
            self._entries.append(entry)
        self._filled.set()

    def tell(self, arrival_ns: int, role: Role | None, generation: int, event: str, **values: object) -> None:
        """Put a link event, with plain values that say more of it."""
        payload = json.dumps({"event": event, **values}, sort_keys=True).encode()
        self.put(Entry(arrival_ns, "link", role, generation, 0, payload))

    def close(self) -> None:
        """Let `get` return what is left, and then nothing more."""
        self._closed = True
        self._filled.set()

    async def get(self) -> list[Entry]:
        """Wait for entries and return all there are; an empty list once the queue is closed and empty."""
        while not self._entries and not self._untold and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        return self.drain()

    def drain(self) -> list[Entry]:
        """Return all entries there are, without waiting."""
        untold, self._untold = self._untold, {}
        batch = list(self._entries)
        self._entries.clear()
        for role, (count, last) in untold.items():
            payload = json.dumps({"event": "overflow", "lost": count}, sort_keys=True).encode()
            # Time never runs backwards from entry to entry.
            arrival_ns = max(last.arrival_ns, batch[-1].arrival_ns) if batch else last.arrival_ns
            batch.append(Entry(arrival_ns, "link", role, last.generation, 0, payload))
        return batch

    def _lose(self, entry: Entry) -> None:
        self.lost[entry.role] = self.lost.get(entry.role, 0) + 1
        count, _ = self._untold.get(entry.role, (0, entry))
        self._untold[entry.role] = (count + 1, entry)
