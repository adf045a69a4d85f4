"""Feeds: rows to whoever wants them live. Bounded: a slow reader loses the oldest rows, counted, and harms nobody."""

import threading
from collections import deque
from collections.abc import Callable

from imuposture.pipeline import Rows

__all__ = ["Feed", "Reader"]

MOST_BLOCKS = 4000  # some 20 s of two sensors at 100 Hz, and 20 MB


class Feed:
    """Rows on their way from the walk to one reader, in any thread.

    Parameters
    ----------
    limit : int
        Blocks held at most.
    filled : callable, optional
        Called, by the thread that puts, when there is something to take after there was nothing, and at the end.
    """

    def __init__(self, limit: int = MOST_BLOCKS, filled: Callable[[], None] | None = None) -> None:
        self.dropped = 0
        self._limit, self._told = limit, filled
        self._blocks: deque[Rows] = deque()
        self._changed = threading.Condition()
        self._ended = False

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will come, and all was taken."""
        with self._changed:
            return self._ended and not self._blocks

    def put(self, rows: Rows) -> None:
        """Add rows; never waits. Those that have waited longest go, if there is no room."""
        with self._changed:
            if len(self._blocks) >= self._limit:
                self.dropped += len(self._blocks.popleft().posture)
            self._blocks.append(rows)
            first = len(self._blocks) == 1
            self._changed.notify()
        if first and self._told is not None:
            self._told()

    def end(self) -> None:
        """Say that nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._told is not None:
            self._told()

    def take(self) -> Rows | None:
        """Return the oldest rows that wait; None if there are none."""
        with self._changed:
            return self._blocks.popleft() if self._blocks else None

    def wait(self) -> Rows | None:
        """Wait for rows and return the oldest; None once nothing more will come. Blocks its thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended)
            return self._blocks.popleft() if self._blocks else None


class Reader:
    """A function that wants all rows, in a thread of its own: it may be slow, or block on a pipe.

    Parameters
    ----------
    take : callable
        Called with every block of rows. If it raises, it gets no more, and the recording goes on.
    limit : int
        Blocks held for it at most.
    """

    def __init__(self, take: Callable[[Rows], None], limit: int = MOST_BLOCKS) -> None:
        self.feed = Feed(limit)
        self.error: Exception | None = None
        self._take = take
        self._thread = threading.Thread(target=self._run, name="imuposture-reader", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> None:
        """Say that nothing more will come, and give it a moment for what waits."""
        self.feed.end()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (rows := self.feed.wait()) is not None:
            try:
                self._take(rows)
            except Exception as error:
                self.error = error
                return
