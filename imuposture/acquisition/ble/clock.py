"""The host's clock, and what a host does to it: it sleeps, and it is late."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Clock", "simulated"]


def _boottime_ns() -> int:
    """Read a clock that goes on while the host is suspended; where there is none, the one that never jumps."""
    if sys.platform == "linux":
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":  # there, time.monotonic stops during sleep and CLOCK_MONOTONIC does not
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Clock:
    """Where arrival times come from.

    Attributes
    ----------
    now_ns : callable
        A clock that never jumps, ns; stamps every entry.
    elapsed_ns : callable
        A clock that also counts while the host is suspended, ns; the difference between the two is the sleep.
    """

    now_ns: Callable[[], int] = time.monotonic_ns
    elapsed_ns: Callable[[], int] = _boottime_ns


def simulated(loop_time: Callable[[], float]) -> Clock:
    """Return the clock of an event loop in simulated time, from its ``time``."""

    def now_ns() -> int:
        return round(loop_time() * 1e9)

    return Clock(now_ns, now_ns)
