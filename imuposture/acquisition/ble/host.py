"""Watching this machine: it may be suspended, or too busy to listen."""

import asyncio
from collections.abc import Callable

from imuposture.acquisition.ble.clock import Clock

__all__ = ["watch_host"]

CHECK_S = 0.5
LIMIT_S = 1.0


async def watch_host(clock: Clock, slept: Callable[[float], None], late: Callable[[float], None]) -> None:
    """Run until cancelled, and tell what the host went through.

    Parameters
    ----------
    clock : Clock
    slept : callable
        Called with the seconds that the host was suspended: links are gone then, whatever the system says.
    late : callable
        Called with the seconds by which the loop came late, though awake: arrival times of that while are late, too.
    """
    now, elapsed = clock.now_ns(), clock.elapsed_ns()
    while True:
        await asyncio.sleep(CHECK_S)
        now_before, elapsed_before = now, elapsed
        now, elapsed = clock.now_ns(), clock.elapsed_ns()
        awake_s = (now - now_before) * 1e-9
        asleep_s = (elapsed - elapsed_before) * 1e-9 - awake_s
        if asleep_s > LIMIT_S:
            slept(asleep_s)
        elif awake_s - CHECK_S > LIMIT_S:
            late(awake_s - CHECK_S)
