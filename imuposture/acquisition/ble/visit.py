"""Visiting a sensor: a short connection to ask who it is and how full its battery, or to let it blink."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from imuposture._errors import AcquisitionError, DecodeError
from imuposture.acquisition.ble.clock import Clock
from imuposture.acquisition.ble.connection import Connection, Lasting
from imuposture.acquisition.ble.faults import explained
from imuposture.acquisition.ble.limits import STOP_S, limited
from imuposture.acquisition.ble.queue import EntryQueue
from imuposture.acquisition.ble.radio import Radio
from imuposture.acquisition.ble.scanning import Found, shown_name
from imuposture.acquisition.ble.steps import Listener, carry_out
from imuposture.acquisition.drivers import Driver, Procedure, Settings, Status

__all__ = ["About", "blink", "visit"]

# Characteristics of the Bluetooth SIG that most sensors have: what is told, where, and whether as a text.
_BATTERY = "00002a19-0000-1000-8000-00805f9b34fb"
_TEXTS = {
    "model": "00002a24-0000-1000-8000-00805f9b34fb",
    "serial": "00002a25-0000-1000-8000-00805f9b34fb",
    "firmware": "00002a26-0000-1000-8000-00805f9b34fb",
}
_LONGEST = 64  # characters kept of a text


@dataclass(frozen=True, slots=True)
class About:
    """What a sensor says of itself when asked; hostile input like its name. None: it does not say.

    Attributes
    ----------
    battery_percent : int or None
    model, serial, firmware : str or None
    """

    battery_percent: int | None = None
    model: str | None = None
    serial: str | None = None
    firmware: str | None = None


async def visit(radio: Radio, found: Found, clock: Clock | None = None) -> About:
    """Connect to a sensor that a driver takes, ask it what it is, and disconnect.

    The battery is that of the standard characteristic or, where there is none, what the driver's own question brings.

    Raises
    ------
    AcquisitionError
        If it cannot be connected to, or takes too long.
    """
    driver, queue = _driver_of(found), EntryQueue()
    async with _visiting(radio, found, queue, clock, f"asking {shown_name(found.advertisement)} what it is") as sensor:
        texts = {name: _text(await sensor.peek(uuid)) for name, uuid in _TEXTS.items()}
        battery = await sensor.peek(_BATTERY)
        percent = battery[0] if battery and battery[0] <= 100 else None
        if percent is None and (steps := driver.battery()) is not None:
            with suppress(TimeoutError, AcquisitionError):  # who it is matters more
                await _carried_out(steps, sensor, driver)
            percent = _percent(driver, queue)
        return About(percent, **texts)


async def blink(radio: Radio, found: Found, clock: Clock | None = None) -> None:
    """Let a sensor show which one it is.

    Raises
    ------
    AcquisitionError
        If it cannot, or cannot be connected to.
    """
    driver = _driver_of(found)
    steps = driver.identify()
    if steps is None:
        raise AcquisitionError(f"{shown_name(found.advertisement)} cannot blink; move it, and see whose data move")
    async with _visiting(
        radio, found, EntryQueue(), clock, f"letting {shown_name(found.advertisement)} blink"
    ) as sensor:
        await _carried_out(steps, sensor, driver)


def _driver_of(found: Found) -> Driver:
    if found.driver is None:
        raise AcquisitionError(
            f"{shown_name(found.advertisement)}: no driver takes this sensor; there is nothing to ask"
        )
    return found.driver


@asynccontextmanager
async def _visiting(
    radio: Radio, found: Found, queue: EntryQueue, clock: Clock | None, doing: str
) -> AsyncIterator[Connection]:
    """Be connected to a sensor, with the radio to oneself."""
    connection = Connection(
        radio.transport,
        found.sighting.device,
        generation=1,
        driver=_driver_of(found),
        queue=queue,
        clock=clock or Clock(),
        lasting=Lasting(),
        ended=lambda: None,
    )
    try:
        async with radio.connecting():
            await connection.open()
            try:
                yield connection
            finally:
                await connection.close()
    except Exception as error:
        raise explained(error, doing) from error


async def _carried_out(steps: Procedure, connection: Connection, driver: Driver) -> None:
    listener = connection.listener = Listener(driver.decoder(Settings("upper")))
    await limited(carry_out(steps, _Hands(connection), listener), 2 * STOP_S, "asking")


def _percent(driver: Driver, queue: EntryQueue) -> int | None:
    """Return the battery that a sensor told last."""
    decoder, percent = driver.decoder(Settings("upper")), None
    for entry in queue.drain():
        with suppress(DecodeError):
            for message in decoder.push(entry.payload, entry.channel):
                if isinstance(message, Status) and message.what == "battery":
                    percent = message.values.get("percent")
    return round(percent) if isinstance(percent, int | float) and 0 <= percent <= 100 else None


class _Hands:
    """The hands of a procedure that nobody's samples depend on."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.unsubscribe = connection.unsubscribe
        self.write = connection.write

    async def subscribe(self, channel: int) -> None:
        await self._connection.subscribe(channel, "upper")

    async def read(self, channel: int) -> bytes:
        return await self._connection.read(channel, "upper")

    async def reconnect(self, after_s: float) -> None:
        raise AcquisitionError(f"a sensor that blinks is not connected to again (after {after_s:g} s)")


def _text(raw: bytes) -> str | None:
    return raw.decode("utf-8", "replace").strip("\x00 ")[:_LONGEST] or None
