"""The bumble half of a virtual sensor: advertising, GATT server and link around a `Firmware`."""

import asyncio
from typing import Any, Protocol

from bumble import att, hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.transport.common import AsyncPipeSink

from imuposture.acquisition.virtual.radio import RadioController, RadioHost, RadioLink
from imuposture.acquisition.virtual.wire.firmware import Firmware, Notification
from imuposture.acquisition.virtual.wire.firmware import Service as ServiceLayout

__all__ = ["Peripheral", "PeripheralOwner"]

ADVERTISING_MS = 100.0
ADVERTISED_BYTES = 31
SIG_BASE = "-0000-1000-8000-00805f9b34fb"
ATT_HEADER = 3  # bytes of a notification that are not payload
NOTIFICATION_HEAD = bytes((att.ATT_CID, 0, 0x1B))  # L2CAP channel and ATT opcode, behind two bytes of length
HUNG_UP = hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR
PROPERTIES = {
    "read": (Characteristic.Properties.READ, Characteristic.READABLE),
    "write": (Characteristic.Properties.WRITE, Characteristic.WRITEABLE),
    "write-without-response": (Characteristic.Properties.WRITE_WITHOUT_RESPONSE, Characteristic.WRITEABLE),
    "notify": (Characteristic.Properties.NOTIFY, Characteristic.Permissions(0)),
}


class PeripheralOwner(Protocol):
    """Who is told what the central does."""

    def connected(self) -> None:
        """Learn that a central connected."""

    def disconnected(self) -> None:
        """Learn that it is gone."""

    def heard(self) -> None:
        """Learn that the next notification reached it."""

    def subscribed(self, uuid: str, *, on: bool) -> None:
        """Learn that it turned notifications on or off."""

    def asked(self, uuid: str) -> bytes:
        """Return what it reads."""

    def told(self, uuid: str, data: bytes) -> None:
        """Learn what it wrote."""


class Peripheral:
    """A powered radio with a GATT server; made when the sensor is switched on, thrown away when it goes off.

    Parameters
    ----------
    link : RadioLink
    firmware : Firmware
        Says what is advertised and served.
    owner : PeripheralOwner
    mtu : int
        Largest ATT MTU that is agreed to.
    rssi_dbm : int
    """

    def __init__(self, link: RadioLink, firmware: Firmware, owner: PeripheralOwner, *, mtu: int, rssi_dbm: int) -> None:
        self._link, self._firmware, self._owner = link, firmware, owner
        self._controller = RadioController(firmware.driver, link, firmware.identity.address)
        self._controller.advertiser.rssi_dbm = rssi_dbm
        link.tell(self._controller, self._on_pdu_heard)
        self._characteristics: dict[str, Characteristic[Any]] = {}
        self._connection: Connection | None = None
        self._device = self._make_device()
        self._device.gatt_server.max_mtu = mtu

    @property
    def linked(self) -> bool:
        """Whether a central is connected."""
        return self._connection is not None

    @property
    def room(self) -> int:
        """Bytes that a notification can hold."""
        return int(self._connection.att_mtu) - ATT_HEADER if self._connection else att.ATT_DEFAULT_MTU - ATT_HEADER

    async def start(self) -> None:
        """Be found."""
        await self._device.power_on()
        await self._device.start_advertising(auto_restart=True, own_address_type=hci.OwnAddressType.RANDOM)

    def vanish(self) -> None:
        """Be without power from now on."""
        self._connection = None
        self._controller.vanish()

    def lose_links(self) -> None:
        """Lose the central by supervision timeout."""
        self._controller.lose_links()

    async def hang_up(self) -> None:
        """Disconnect in an orderly way."""
        if self._connection:
            await self._connection.disconnect(HUNG_UP)

    def hold(self, seconds: float) -> None:
        """Let nothing through for some time, though the link stays up."""
        self._link.hold(self._controller)
        asyncio.get_running_loop().call_later(seconds, self._link.release, self._controller)

    def set_radio(self, *, mtu: int, rssi_dbm: int) -> None:
        """Change what the next connection gets, and how strong the sensor is heard."""
        self._device.gatt_server.max_mtu = mtu
        self._controller.advertiser.rssi_dbm = rssi_dbm

    def notify(self, notification: Notification) -> bool:
        """Send a notification, cut to what fits; return whether it went on the air."""
        connection = self._connection
        if connection is None or notification.uuid not in self._firmware.subscribed:
            return False
        handle = self._characteristics[notification.uuid].handle
        value = notification.data[: self.room]
        pdu = bytes(att.ATT_Handle_Value_Notification(attribute_handle=handle, attribute_value=value))
        self._device.gatt_server.send_gatt_pdu(connection, pdu)
        return True

    def _make_device(self) -> Device:
        configuration = DeviceConfiguration(
            name=self._firmware.advertised_name,
            address=hci.Address(self._firmware.identity.address),
            advertising_interval_min=ADVERTISING_MS,
            advertising_interval_max=ADVERTISING_MS,
        )
        configuration.le_enabled, configuration.classic_enabled = True, False
        device = Device(config=configuration, host=RadioHost(self._controller, AsyncPipeSink(self._controller)))
        device.add_services([self._service(layout) for layout in self._firmware.services])
        device.advertising_data, device.scan_response_data = _advertised(self._firmware)
        device.on("connection", self._on_connection)
        return device

    def _service(self, layout: ServiceLayout) -> Service:
        return Service(layout.uuid, [self._characteristic(c.uuid, c.properties) for c in layout.characteristics])

    def _characteristic(self, uuid: str, names: tuple[str, ...]) -> Characteristic[Any]:
        properties, permissions = Characteristic.Properties(0), Characteristic.Permissions(0)
        for name in names:
            properties |= PROPERTIES[name][0]
            permissions |= PROPERTIES[name][1]
        value = CharacteristicValue(
            read=lambda _: self._owner.asked(uuid),
            write=lambda _, data: self._owner.told(uuid, bytes(data)),
        )
        made: Characteristic[Any] = Characteristic(uuid, properties, permissions, value)
        made.on("subscription", lambda _, notify, indicate: self._owner.subscribed(uuid, on=notify or indicate))
        self._characteristics[uuid] = made
        return made

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        connection.on("disconnection", self._on_disconnection)
        self._owner.connected()

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = None
        self._owner.disconnected()

    def _on_pdu_heard(self, pdu: bytes) -> None:
        if pdu[2:5] == NOTIFICATION_HEAD:
            self._owner.heard()


def _advertised(firmware: Firmware) -> tuple[bytes, bytes]:
    """Return advertising data and scan response of at most 31 bytes each: the name first, as in most sensors."""
    name = firmware.advertised_name.encode()[: ADVERTISED_BYTES - 5]
    first = AdvertisingData([(AdvertisingData.FLAGS, b"\x06"), (AdvertisingData.COMPLETE_LOCAL_NAME, name)])
    more = [_listed(uuid) for uuid in firmware.advertised_services]
    if firmware.company:
        company, data = firmware.company
        more.append((AdvertisingData.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little") + data))
    return bytes(first), bytes(AdvertisingData(more))


def _listed(uuid: str) -> tuple[AdvertisingData.Type, bytes]:
    """Return a service as it is advertised: the short form where the Bluetooth SIG gave one."""
    if uuid.endswith(SIG_BASE):
        kind = AdvertisingData.Type.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS
        return kind, bytes.fromhex(uuid[4:8])[::-1]
    return AdvertisingData.Type.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, UUID(uuid).to_bytes()
