"""How long anything may take. Every await on a radio is under one of these: some of bleak's own never end."""

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from imuposture._errors import AcquisitionError

__all__ = [
    "CONNECT_S",
    "CONNECT_UNSEEN_S",
    "DISCONNECT_LOST_S",
    "DISCONNECT_S",
    "RADIO_S",
    "REQUEST_S",
    "START_S",
    "STOP_S",
    "UNSUBSCRIBE_S",
    "LinkError",
    "limited",
    "until",
]

CONNECT_S = 15.0  # the system's own discovery of services is in it; bleak's default is 30 s
CONNECT_UNSEEN_S = 5.0  # to one that no scan has seen; whoever has seen theirs goes first
DISCONNECT_S = 5.0  # may hang for 20 s on a link that is half lost
DISCONNECT_LOST_S = 0.3  # of a link that is gone already: only to tidy up, before it is sought again
RADIO_S = 5.0  # to start and stop the scanner
REQUEST_S = 5.0  # a read, a write, a subscription
START_S = 90.0  # a whole start procedure; the synchronisation of two sensors takes some 15 s
UNSUBSCRIBE_S = 1.0  # when closing; the link may be half dead
STOP_S = 5.0  # a whole stop procedure

Result = TypeVar("Result")


class LinkError(AcquisitionError):
    """What was asked of the radio did not come about: too late, or the link ended meanwhile."""


async def limited(work: Awaitable[Result], seconds: float, doing: str) -> Result:
    """Wait for something for so long, and no longer.

    Raises
    ------
    LinkError
        If it takes longer; or if it was cancelled by others than our caller, as some systems do with requests that
        are under way when a link ends.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise  # somebody else's
        raise LinkError(f"{doing}: no answer within {seconds:g} s") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LinkError(f"{doing}: the link ended meanwhile") from error


async def until(work: Coroutine[Any, Any, None], end: Coroutine[Any, Any, object]) -> None:
    """Do something until it is done, or the other is; then it is cancelled. What it raises comes out here."""
    task, waiter = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait((task, waiter), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        if not task.done():
            task.cancel()
            with suppress(Exception):
                await asyncio.wait([task])
    if not task.cancelled():
        task.result()
