"""bleak's side: scanner and client over a bumble central, handed to bleak as ``backend=``.

bleak takes types, not instances, so `backend_types` makes subclasses bound to one central.
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar

from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bleak.uuids import normalize_uuid_str
from bumble import att, core, hci
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration
from bumble.gatt_client import CharacteristicProxy, ServiceProxy
from bumble.gatt_client import Client as GattClient
from bumble.transport import open_transport
from bumble.transport.common import AsyncPipeSink, Transport

from imuposture._errors import AcquisitionError
from imuposture.acquisition.virtual.radio import RadioController, RadioHost, RadioLink

__all__ = ["CENTRAL_ADDRESS", "Central", "ClientBackend", "ScannerBackend", "backend_types"]

log = logging.getLogger(__name__)
CENTRAL_ADDRESS = "F0:F0:F0:F0:F0:F0"
ANSWER_S = 5.0  # within which a world elsewhere must answer
ATT_HEADER = 3  # bytes of a notification or a write that are not payload
PROPERTIES: tuple[tuple[int, CharacteristicPropertyName], ...] = (
    (0x01, "broadcast"),
    (0x02, "read"),
    (0x04, "write-without-response"),
    (0x08, "write"),
    (0x10, "notify"),
    (0x20, "indicate"),
)
T = TypeVar("T")


class Central:
    """A powered bumble device in the central's role, with the locks a real adapter has."""

    def __init__(self, device: Device, transport: Transport | None = None) -> None:
        self.device, self._transport = device, transport
        self.connecting = asyncio.Lock()  # a controller has one pending connection at a time
        self._scanning = asyncio.Lock()
        self._scanners: list[ScannerBackend] = []

    @classmethod
    async def on_link(cls, link: RadioLink, address: str = CENTRAL_ADDRESS) -> "Central":
        """Return a central on a link of this process."""
        controller = RadioController("central", link, address)
        device = Device(config=_configuration(address), host=RadioHost(controller, AsyncPipeSink(controller)))
        await device.power_on()
        return cls(device)

    @classmethod
    async def on_transport(cls, name: str, address: str = CENTRAL_ADDRESS) -> "Central":
        """Return a central whose controller is elsewhere, as ``tcp-client:127.0.0.1:7300``.

        Raises
        ------
        AcquisitionError
            If nobody answers there.
        """
        try:
            async with asyncio.timeout(ANSWER_S):
                transport = await open_transport(name)
                device = Device(config=_configuration(address), host=RadioHost(transport.source, transport.sink))
                await device.power_on()
        except (OSError, core.BaseBumbleError) as error:  # TimeoutError is an OSError
            raise AcquisitionError(f"no virtual world answers at {name!r} ({error}); start one first") from error
        return cls(device, transport)

    async def scan(self, scanner: "ScannerBackend", *, active: bool) -> None:
        """Let one more scanner listen; the radio is shared."""
        async with self._scanning:
            if scanner in self._scanners:
                return
            self.device.on("advertisement", scanner.on_advertisement)
            self._scanners.append(scanner)
            if len(self._scanners) == 1:
                await self.device.start_scanning(active=active, filter_duplicates=False)

    async def stop_scan(self, scanner: "ScannerBackend") -> None:
        """Let a scanner no longer listen."""
        async with self._scanning:
            if scanner not in self._scanners:
                return
            self.device.remove_listener("advertisement", scanner.on_advertisement)
            self._scanners.remove(scanner)
            if not self._scanners:
                await self.device.stop_scanning()

    async def close(self) -> None:
        """Disconnect from everybody and let go of the radio."""
        for connection in list(self.device.connections.values()):
            await connection.disconnect()
        await self.device.power_off()
        if self._transport:
            await self._transport.close()


def _configuration(address: str) -> DeviceConfiguration:
    configuration = DeviceConfiguration(name="central", address=hci.Address(address))
    configuration.le_enabled, configuration.classic_enabled = True, False
    return configuration


def backend_types(central: Central) -> tuple[type["ScannerBackend"], type["ClientBackend"]]:
    """Return scanner and client classes that use this central."""
    scanner = type("VirtualScanner", (ScannerBackend,), {"central": central})
    return scanner, type("VirtualClient", (ClientBackend,), {"central": central})


class ScannerBackend(BaseBleakScanner):
    """What `bleak.BleakScanner` calls."""

    central: ClassVar[Central]

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str,
        **_: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._active = scanning_mode != "passive"
        self._names: dict[str, str] = {}

    def on_advertisement(self, advertisement: Advertisement) -> None:
        """Take one advertisement, scan response included."""
        data = _advertisement_data(advertisement)
        address = advertisement.address.to_string(with_type_qualifier=False)
        if data.local_name:
            self._names[address] = data.local_name
        if not self.is_allowed_uuid(data.service_uuids):
            return
        name = self._names.get(address)
        device = self.create_or_update_device(address, address, name, advertisement.address, data)
        self.call_detection_callbacks(device, data)

    async def start(self) -> None:
        """Listen."""
        self.seen_devices = {}
        await self.central.scan(self, active=self._active)

    async def stop(self) -> None:
        """Stop listening."""
        await self.central.stop_scan(self)


def _advertisement_data(advertisement: Advertisement) -> AdvertisementData:
    name: str | None = None
    uuids: list[str] = []
    makers: dict[int, bytes] = {}
    for kind, value in advertisement.data.ad_structures:
        if kind in (AdvertisingData.COMPLETE_LOCAL_NAME, AdvertisingData.SHORTENED_LOCAL_NAME):
            name = value.decode("utf-8", "replace")
        elif kind in UUID_BYTES:
            size = UUID_BYTES[kind]
            uuids += [_uuid(core.UUID.from_bytes(value[i : i + size])) for i in range(0, len(value) - size + 1, size)]
        elif kind == AdvertisingData.MANUFACTURER_SPECIFIC_DATA and len(value) >= 2:
            makers[int.from_bytes(value[:2], "little")] = bytes(value[2:])
    return AdvertisementData(name, makers, {}, uuids, None, advertisement.rssi, (advertisement,))


UUID_BYTES = {
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
    AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
}


def _uuid(uuid: core.UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-").lower())


class ClientBackend(BaseBleakClient):
    """What `bleak.BleakClient` calls."""

    central: ClassVar[Central]
    preferred_mtu: ClassVar[int] = 517

    def __init__(
        self, address_or_ble_device: BLEDevice | str, services: set[str] | None = None, **options: Any
    ) -> None:
        told = {key: options[key] for key in ("disconnected_callback", "timeout")}
        super().__init__(address_or_ble_device, **told)
        self._wanted = services
        self._connection: Connection | None = None
        self._gatt: GattClient | None = None
        self._subscribers: dict[int, Any] = {}
        known = address_or_ble_device if isinstance(address_or_ble_device, BLEDevice) else None
        self._name = known.name if known else None
        self._peer = known.details if known else hci.Address(self.address)

    @property
    def name(self) -> str:
        """Advertised name, or the address."""
        return self._name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """Negotiated ATT MTU."""
        return int(self._gatt.mtu) if self._gatt else att.ATT_DEFAULT_MTU

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._connection is not None

    async def connect(self, pair: bool, **_: Any) -> None:
        """Connect, exchange the MTU, discover all services.

        Raises
        ------
        TimeoutError
            If that takes longer than the client's time-out, waiting for other connects included.
        BleakError
            If the link breaks meanwhile.
        """
        if self._connection:
            raise BleakError("Already connected")
        if pair:
            log.warning("virtual sensors cannot be paired; connecting without")
        try:
            async with asyncio.timeout(self._timeout):
                async with self.central.connecting:
                    connection = await self._link_up()
                await self._set_up(connection)
        except BaseException:
            await self.disconnect()
            raise

    async def _link_up(self) -> Connection:
        device = self.central.device
        try:
            connection = await device.connect(self._peer, timeout=None)
        except asyncio.CancelledError:
            # device.cancel_connection() does nothing here: bumble has already cleared the flag it looks at.
            await device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            raise
        except core.BaseBumbleError as error:
            raise BleakError(f"connect failed: {error}") from error
        self._connection, self._gatt = connection, connection.gatt_client
        connection.on("disconnection", self._on_disconnection)
        return connection

    async def _set_up(self, connection: Connection) -> None:
        gatt = connection.gatt_client
        try:
            await gatt.request_mtu(self.preferred_mtu)
            self.services = await self._discover(gatt)
        except (asyncio.CancelledError, core.BaseBumbleError) as error:
            if self._connection is None:
                raise BleakError("failed to discover services, device disconnected") from error
            raise

    async def _discover(self, gatt: GattClient) -> BleakGATTServiceCollection:
        found = BleakGATTServiceCollection()
        for service in await gatt.discover_services():
            uuid = _uuid(service.uuid)
            if self._wanted and uuid not in self._wanted:
                continue
            await service.discover_characteristics()
            await self._add_service(found, service, uuid)
        return found

    async def _add_service(self, found: BleakGATTServiceCollection, service: ServiceProxy, uuid: str) -> None:
        shown = BleakGATTService(service, service.handle, uuid)
        found.add_service(shown)
        for c in service.characteristics:
            await c.discover_descriptors()
            names = [name for bit, name in PROPERTIES if int(c.properties) & bit]
            char = BleakGATTCharacteristic(c, c.handle, _uuid(c.uuid), names, self._room, shown)
            found.add_characteristic(char)
            for d in c.descriptors:
                found.add_descriptor(BleakGATTDescriptor(d, d.handle, _uuid(d.type), char))

    def _room(self) -> int:
        return self.mtu_size - ATT_HEADER

    def _on_disconnection(self, reason: int) -> None:
        log.info("%s disconnected, reason 0x%02x", self.address, reason)
        self._connection = self._gatt = self.services = None
        self._subscribers.clear()
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Disconnect, if connected."""
        if self._connection:
            try:
                await self._connection.disconnect()
            except core.BaseBumbleError as error:
                log.debug("%s was gone before it was disconnected: %s", self.address, error)

    async def pair(self, *_: Any, **__: Any) -> None:
        """Refuse: virtual sensors cannot be paired."""
        raise BleakError("virtual sensors cannot be paired; none needs it")

    async def unpair(self) -> None:
        """Refuse: virtual sensors cannot be paired."""
        raise BleakError("virtual sensors cannot be paired; none needs it")

    def _connected(self) -> GattClient:
        if not self._gatt:
            raise BleakError("Not connected")
        return self._gatt

    async def _ask(self, request: Awaitable[T]) -> T:
        """Await an ATT request; its failures in bleak's terms."""
        try:
            return await request
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode(error.error_code)) from error
        except asyncio.CancelledError as error:
            if self._connection is None:  # bumble cancels what is pending when the link breaks
                raise BleakError("disconnected") from error
            raise
        except core.BaseBumbleError as error:
            raise BleakError(str(error)) from error

    async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **_: Any) -> bytearray:
        """Read a characteristic."""
        return bytearray(await self._ask(self._connected().read_value(characteristic.obj)))

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **_: Any) -> bytearray:
        """Read a descriptor."""
        return bytearray(await self._ask(self._connected().read_value(descriptor.obj)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool) -> None:
        """Write a characteristic."""
        await self._ask(self._connected().write_value(characteristic.obj, bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        """Write a descriptor."""
        await self._ask(self._connected().write_value(descriptor.obj, bytes(data), with_response=True))

    async def start_notify(self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_: Any) -> None:
        """Subscribe."""

        def deliver(value: bytes) -> None:
            callback(bytearray(value))

        proxy: CharacteristicProxy[bytes] = characteristic.obj
        await self._ask(self._connected().subscribe(proxy, deliver))
        self._subscribers[characteristic.handle] = deliver

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """Unsubscribe."""
        deliver = self._subscribers.pop(characteristic.handle, None)
        if deliver:
            await self._ask(self._connected().unsubscribe(characteristic.obj, deliver))
