"""Visiting a sensor: a short connection to ask who it is and how full its battery, or to let it blink."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imuposture._errors import AcquisitionError
from imuposture.acquisition.ble.clock import Clock
from imuposture.acquisition.ble.connection import Connection, Lasting
from imuposture.acquisition.ble.faults import explained
from imuposture.acquisition.ble.limits import REQUEST_S, STOP_S, limited
from imuposture.acquisition.ble.queue import EntryQueue
from imuposture.acquisition.ble.radio import Radio
from imuposture.acquisition.ble.scanning import Found, shown_name
from imuposture.acquisition.ble.steps import Listener, carry_out
from imuposture.acquisition.drivers import Settings

if TYPE_CHECKING:
    from bleak import BleakClient

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


async def visit(radio: Radio, found: Found) -> About:
    """Connect, ask a sensor what it is, and disconnect.

    Raises
    ------
    AcquisitionError
        If it cannot be connected to.
    """
    try:
        async with radio.connecting():
            client = radio.transport.client(found.sighting.device, lambda _: None, REQUEST_S)
            await limited(client.connect(), 3 * REQUEST_S, "connecting")
            try:
                texts = {name: _text(await _read(client, uuid)) for name, uuid in _TEXTS.items()}
                battery = await _read(client, _BATTERY)
                return About(battery[0] if battery and battery[0] <= 100 else None, **texts)
            finally:
                await limited(client.disconnect(), REQUEST_S, "disconnecting")
    except Exception as error:
        raise explained(error, f"asking {shown_name(found.advertisement)} what it is") from error


async def blink(radio: Radio, found: Found, clock: Clock | None = None) -> None:
    """Let a sensor show which one it is.

    Raises
    ------
    AcquisitionError
        If it cannot, or cannot be connected to.
    """
    driver = found.driver
    procedure = None if driver is None else driver.identify()
    if driver is None or procedure is None:
        raise AcquisitionError(f"{shown_name(found.advertisement)} cannot blink; move it, and see whose data move")
    connection = Connection(
        radio.transport,
        found.sighting.device,
        generation=1,
        driver=driver,
        queue=EntryQueue(),
        clock=clock or Clock(),
        lasting=Lasting(),
        ended=lambda: None,
    )
    listener = connection.listener = Listener(driver.decoder(Settings("upper")))
    try:
        async with radio.connecting():
            await connection.open()
            try:
                await limited(carry_out(procedure, _Hands(connection), listener), 2 * STOP_S, "blinking")
            finally:
                await connection.close()
    except Exception as error:
        raise explained(error, f"letting {shown_name(found.advertisement)} blink") from error


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


async def _read(client: "BleakClient", uuid: str) -> bytes:
    """Read a characteristic; empty if the sensor has none, or does not want to."""
    try:
        return bytes(await limited(client.read_gatt_char(uuid), REQUEST_S, "reading"))
    except Exception:
        return b""


def _text(raw: bytes) -> str | None:
    return raw.decode("utf-8", "replace").strip("\x00 ")[:_LONGEST] or None
