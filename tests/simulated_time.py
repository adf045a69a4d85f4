"""An event loop whose clock jumps to the next timer as soon as nothing else is to be done.

Minutes of streaming take seconds, and always the same course. Nothing in it may wait for the outside: no sockets,
threads or subprocesses; whoever looks at a clock looks at ``loop.time()``.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Selector(selectors.SelectSelector):
    """Never waits: lets the loop's clock run ahead by the time that it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set: in simulated time this would last for ever")
        self.now_s += max(0.0, timeout)
        return ready


class SimulatedTimeLoop(asyncio.SelectorEventLoop):
    """`asyncio` in simulated time, from 0 s on."""

    def __init__(self) -> None:
        self._simulated = Selector()
        super().__init__(self._simulated)
        self._clock_resolution = 1e-9  # of the simulated clock, not of the machine's

    def time(self) -> float:
        return self._simulated.now_s


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in simulated time, as `asyncio.run` does in real time."""
    with asyncio.Runner(loop_factory=SimulatedTimeLoop) as runner:
        return runner.run(work)
