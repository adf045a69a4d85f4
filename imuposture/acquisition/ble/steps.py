"""Carrying out procedures: a driver says what is asked of a sensor and in which order, this does it and keeps time."""

import asyncio
from typing import Protocol

from imuposture._errors import AcquisitionError, DecodeError
from imuposture.acquisition.drivers import (
    Answer,
    Await,
    Decoder,
    Procedure,
    Read,
    Reconnect,
    Reply,
    Step,
    Subscribe,
    Unsubscribe,
    Wait,
    Write,
)

__all__ = ["Hands", "Listener", "carry_out"]


class Hands(Protocol):
    """What can be done with a sensor; every method keeps its own time limit and raises `AcquisitionError`."""

    async def subscribe(self, channel: int) -> None:
        """Turn the notifications of a channel on."""
        ...

    async def unsubscribe(self, channel: int) -> None:
        """Turn them off."""
        ...

    async def write(self, uuid: str, data: bytes, *, response: bool, service: str | None) -> None:
        """Write to a characteristic, of one service where several have it."""
        ...

    async def read(self, channel: int) -> bytes:
        """Read a channel."""
        ...

    async def reconnect(self, after_s: float) -> None:
        """Disconnect and connect again."""
        ...


class Listener:
    """Hears the answers of a sensor while a procedure is under way; has a decoder of its own.

    Parameters
    ----------
    decoder : Decoder
        A new one: that of the walk must see every payload once, also those that nobody waits for.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._unheard: list[tuple[bytes, int]] = []
        self._replies: list[Reply] = []
        self._woken = asyncio.Event()

    def hear(self, payload: bytes, channel: int) -> None:
        """Take what the sensor sent; it is decoded later, as this is called by the radio's callback."""
        self._unheard.append((payload, channel))
        self._woken.set()

    def forget(self) -> None:
        """Forget what was answered before: something new is asked."""
        self._decode()
        self._replies.clear()

    def _decode(self) -> None:
        unheard, self._unheard = self._unheard, []
        for payload, channel in unheard:
            try:
                messages = self._decoder.push(payload, channel)
            except DecodeError:
                continue  # the walk's decoder counts it
            self._replies += [message for message in messages if isinstance(message, Reply)]

    async def reply(self, what: str, timeout_s: float) -> Reply:
        """Wait for an answer of that name.

        Raises
        ------
        TimeoutError
            If it does not come in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._reply(what)
        except TimeoutError:
            raise TimeoutError(f"the sensor did not answer {what!r} within {timeout_s:g} s") from None

    async def _reply(self, what: str) -> Reply:
        while True:
            self._woken.clear()
            self._decode()
            for place, reply in enumerate(self._replies):
                if reply.what == what:
                    return self._replies.pop(place)
            await self._woken.wait()


async def carry_out(procedure: Procedure, hands: Hands, listener: Listener) -> None:
    """Do what a procedure asks, step by step.

    Parameters
    ----------
    procedure : generator
        Of a driver. What goes wrong is thrown into it: TimeoutError where a reply did not come, `AcquisitionError`
        otherwise; it may go on, and if it does not, the error comes out here.
    hands : Hands
    listener : Listener
        Hears what comes meanwhile.
    """
    try:
        step = next(procedure)
        while True:
            try:
                answer = await _do(step, hands, listener)
            except (TimeoutError, AcquisitionError) as error:
                step = procedure.throw(error)
            else:
                step = procedure.send(answer)
    except StopIteration:
        return
    finally:
        procedure.close()


async def _do(step: Step, hands: Hands, listener: Listener) -> Answer:
    match step:
        case Await(what, timeout_s):
            return await listener.reply(what, timeout_s)
        case Wait(seconds):
            await asyncio.sleep(seconds)
            return None
    listener.forget()
    match step:
        case Subscribe(channel):
            await hands.subscribe(channel)
        case Unsubscribe(channel):
            await hands.unsubscribe(channel)
        case Write(uuid, data, response, service):
            await hands.write(uuid, data, response=response, service=service)
        case Read(channel):
            return await hands.read(channel)
        case Reconnect(after_s):
            await hands.reconnect(after_s)
    return None
