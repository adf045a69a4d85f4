"""The radio that all links share: one scanner, which is silent while one of them connects; one connects at a time.

Scanning and connecting at once, or connecting twice at once, ends in ``InProgress`` and aborted connections on more
than one system, so there is a lock. A link that looks for its sensor holds no lock, only a place among the seekers:
however long one sensor is away, the other can come back at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from imuposture.acquisition.ble.limits import RADIO_S, limited
from imuposture.acquisition.ble.transport import Transport
from imuposture.acquisition.drivers import Advertisement

if TYPE_CHECKING:
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

__all__ = ["Radio", "Sighting"]

TURN_S = 0.3  # what everybody may take, however much others want it
SCANNER_S = 10.0  # after which a scanner is replaced when somebody begins to seek


class Sighting(NamedTuple):
    """A device that was seen on the air, and what it said."""

    device: "BLEDevice"
    advertisement: Advertisement


class Radio:
    """One adapter, as several links use it.

    Parameters
    ----------
    transport : Transport
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._wanted = asyncio.Event()
        self._connecting = asyncio.Lock()
        self._waiting = 0
        self._turning = asyncio.Lock()
        self._quiet = False
        self._scanner: Any = None
        self._since = 0.0
        self._seekers: dict[object, Callable[[Sighting], None]] = {}

    async def find(self, wanted: Callable[[Advertisement], bool], seconds: float) -> Sighting | None:
        """Listen until a wanted device is seen; None if it was not in time."""
        found: asyncio.Future[Sighting] = asyncio.get_running_loop().create_future()

        def look(sighting: Sighting) -> None:
            if not found.done() and wanted(sighting.advertisement):
                found.set_result(sighting)

        async with self.seeking(look):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await found
        return None

    @asynccontextmanager
    async def seeking(self, look: Callable[[Sighting], None]) -> AsyncIterator[None]:
        """Listen, and call ``look`` with everything that is seen."""
        key = object()
        self._seekers[key] = look
        self._count()
        try:
            await self._turn()
            yield
        finally:
            del self._seekers[key]
            self._count()
            await self._turn_if_possible()

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Have the radio to oneself: nobody else connects, nobody scans."""
        self._waiting += 1
        self._count()
        try:
            await self._connecting.acquire()
        finally:
            self._waiting -= 1
            self._count()
        try:
            self._quiet = True
            await self._turn_if_possible()
            yield
        finally:
            self._quiet = False
            self._connecting.release()
            await self._turn_if_possible()

    async def wanted_by_others(self) -> None:
        """Wait until somebody else seeks or wants to connect; whoever only tries his luck then gives way."""
        await asyncio.sleep(TURN_S)
        await self._wanted.wait()

    def _count(self) -> None:
        if self._waiting or self._seekers:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def _turn_if_possible(self) -> None:
        """Turn the scanner, and leave it to those who seek to find out that it does not work."""
        with suppress(Exception):
            await self._turn()

    async def _turn(self) -> None:
        """Turn the scanner on or off, as somebody seeks or nobody."""
        async with self._turning:
            wanted = bool(self._seekers) and not self._quiet
            now = asyncio.get_running_loop().time()
            # An adapter that was off and on again no longer scans, and nobody says so.
            if self._scanner is not None and (not wanted or now - self._since > SCANNER_S):
                scanner, self._scanner = self._scanner, None
                with suppress(Exception):
                    await limited(scanner.stop(), RADIO_S, "stopping the scan")
            if wanted and self._scanner is None:
                scanner = self.transport.scanner(self._seen)
                await limited(scanner.start(), RADIO_S, "starting to scan")
                self._scanner, self._since = scanner, now

    def _seen(self, device: "BLEDevice", data: "AdvertisementData") -> None:
        sighting = Sighting(device, _advertisement(device, data))
        for look in list(self._seekers.values()):
            look(sighting)


def _advertisement(device: "BLEDevice", data: "AdvertisementData") -> Advertisement:
    return Advertisement(
        address=device.address,
        name=data.local_name or device.name,
        service_uuids=tuple(uuid.lower() for uuid in data.service_uuids),
        manufacturer_data={company: bytes(told) for company, told in data.manufacturer_data.items()},
        rssi_dbm=data.rssi,
    )
