"""The air: bumble's virtual controller and link, mended where bleak, BlueZ or a test would stumble over them.

bumble 0.0.236 has no stable interface here, so each repair has a test that fails on the stock class.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bumble import hci, ll
from bumble.controller import Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import TransportSink

__all__ = ["RadioController", "RadioHost", "RadioLink"]

TIMED_OUT = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
Heard = Callable[[bytes], None]
Flight = tuple[Controller, Controller, Connection, bytes]  # sender, receiver, the sender's connection, L2CAP PDU


@dataclass
class ScannableAdvertisement(ll.AdvInd):
    """An advertisement that brings along what a scan request would be answered, and how strong it is."""

    scan_response: bytes = b""
    rssi_dbm: int = -50


class Advertiser(LegacyAdvertiser):
    """Stock: a scan response that was set is never sent, and all sensors are equally far away."""

    controller: "RadioController"
    rssi_dbm = -50

    def start(self) -> None:
        """Advertise from now on, as long as there is power."""
        if not self.controller.gone:
            super().start()

    def send_advertising_data(self) -> None:
        """Send one advertisement."""
        if self.enabled:
            pdu = ScannableAdvertisement(self.address, self.advertising_data, self.scan_response_data, self.rssi_dbm)
            self.controller.send_advertising_pdu(pdu)


class RadioController(Controller):
    """A controller that can cancel a connection attempt, answers scans, and does not claim what it cannot do.

    Parameters
    ----------
    name : str
        For logs.
    link : RadioLink
    address : str
        Public and, once the device is powered, random static address.
    source, sink : of the host
        What the host sends comes from ``source``, what it is told goes to ``sink``.
    """

    link: "RadioLink"
    gone = False
    # 27, the stock value, cuts every notification into pieces, each with its own event.
    le_acl_data_packet_length = 251

    def __init__(
        self,
        name: str,
        link: "RadioLink",
        address: str,
        source: object | None = None,
        sink: TransportSink | None = None,
    ) -> None:
        super().__init__(name, host_source=source, host_sink=sink, link=link, public_address=address)
        self.advertiser = Advertiser(self)
        self.le_legacy_advertiser = self.advertiser
        # Stock: claims both, but never sends the enhanced event that a kernel then waits for (bumble issue 841).
        self.le_features &= ~(hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Cancel. Stock: answers SUCCESS and goes on trying, so that every later connect is disallowed."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        # Core specification 4.E.7.8.13: the attempt ends with Connection Complete, status 0x02, after the answer.
        asyncio.get_running_loop().call_soon(self.send_hci_packet, _cancelled(pending.peer_address))
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        """Begin anew. Stock: does nothing, so that a host that died keeps its links and its scan for ever."""
        for connection in list(self.le_connections.values()):
            self._lose_at_peer(connection)
        self.le_connections.clear()
        self.advertiser.stop()
        self.le_scan_enable, self.pending_le_connection = False, None
        return super().on_hci_reset_command(command)

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        """Report an advertisement. Stock: the scan response is the advertisement again, at -50 dBm."""
        if self.le_scan_enable and isinstance(pdu, ScannableAdvertisement):
            kinds = hci.HCI_LE_Advertising_Report_Event.EventType
            self._report(pdu, kinds.ADV_IND, pdu.data)
            if self.le_scan_type == hci.HCI_LE_Set_Scan_Parameters_Command.ACTIVE_SCANNING:
                self._report(pdu, kinds.SCAN_RSP, pdu.scan_response)
        wanted = self.pending_le_connection
        if wanted and wanted.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, pdu: ScannableAdvertisement, kind: int, data: bytes) -> None:
        event = hci.HCI_LE_Advertising_Report_Event
        address = pdu.advertiser_address
        report = event.Report(
            event_type=kind, address_type=address.address_type, address=address, data=data, rssi=pdu.rssi_dbm
        )
        self.send_hci_packet(event([report]))

    def lose_links(self) -> None:
        """Let every connection end as by supervision timeout (0x08) on both sides: nobody said goodbye."""
        for connection in list(self.le_connections.values()):
            self._lose_at_peer(connection)
            self.on_le_disconnected(connection, TIMED_OUT)

    def vanish(self) -> None:
        """Lose all power: others learn of it by their supervision timeout; the own host is answered, but not told.

        Stock: a device that is powered off goes on advertising, and accepts connections.
        """
        self.gone = True
        self.advertiser.stop()
        for connection in list(self.le_connections.values()):
            self._lose_at_peer(connection)
        self.le_connections.clear()
        self.link.remove_controller(self)

    def _lose_at_peer(self, connection: Connection) -> None:
        peer = self.link.find_le_controller(connection.peer_address)
        theirs = peer.le_connections.get(connection.self_address) if peer else None
        if peer and theirs:
            peer.on_le_disconnected(theirs, TIMED_OUT)

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        """Send data, as long as there is power."""
        if not self.gone:
            super().on_hci_acl_data_packet(packet)

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Take data at once. Stock: describes each packet for a log that nobody keeps, a third of all its work."""
        if isinstance(packet, hci.HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        else:
            super().on_hci_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Tell the host, likewise without describing it."""
        if self.host:
            asyncio.get_running_loop().call_soon(self.host.on_packet, bytes(packet))


class RadioHost(Host):
    """A host that does not describe data packets for a log that nobody keeps."""

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Take what comes from the controller."""
        if isinstance(packet, hci.HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        elif isinstance(packet, hci.HCI_Number_Of_Completed_Packets_Event):
            self.on_hci_number_of_completed_packets_event(packet)
        else:
            super().on_hci_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        """Send something to the controller."""
        if isinstance(packet, hci.HCI_AclDataPacket) and self.hci_sink:
            self.hci_sink.on_packet(bytes(packet))
        else:
            super().send_hci_packet(packet)


class RadioLink(LocalLink):
    """The air between controllers: everything happens in a fixed order, can be held up, and a sender may listen."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # bumble left it without types
        # Stock: a set, in whose order (that of memory addresses) events happen, so that no two runs are alike.
        self._air: list[Controller] = []
        self.controllers = self._air  # type: ignore[assignment]  # bumble only adds, removes and iterates
        self._heard: dict[Controller, Heard] = {}
        self._held: dict[Controller, list[Flight]] = {}

    def add_controller(self, controller: Controller) -> None:
        """Bring a controller into range."""
        self._air.append(controller)

    def remove_controller(self, controller: Controller) -> None:
        """Take a controller out of range, or off; one that is not there stays so."""
        if controller in self._air:
            self._air.remove(controller)
        self._heard.pop(controller, None)
        self._held.pop(controller, None)

    def tell(self, controller: Controller, heard: Heard) -> None:
        """Call ``heard`` with every L2CAP PDU of a controller at the moment in which it reaches the other side."""
        self._heard[controller] = heard

    def hold(self, controller: Controller) -> None:
        """Let nothing through to or from a controller, though its links stay up."""
        self._held.setdefault(controller, [])

    def release(self, controller: Controller) -> None:
        """Let everything through that was held up, in order."""
        for flight in self._held.pop(controller, ()):
            self._take_off(*flight)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,  # noqa: ARG002  # always LE here
        data: bytes,
    ) -> None:
        """Carry data to the other side.

        Stock: in the name of the sender's current random address. BlueZ connects from its public address and sets
        another random one for scanning; so everything it sends is lost, and service discovery never ends.
        """
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection and receiver:
            self._take_off(sender_controller, receiver, connection, data)

    def _take_off(self, sender: Controller, receiver: Controller, connection: Connection, data: bytes) -> None:
        for end in (sender, receiver):
            if end in self._held:
                self._held[end].append((sender, receiver, connection, data))
                return
        asyncio.get_running_loop().call_soon(self._arrive, sender, receiver, connection, data)

    def _arrive(self, sender: Controller, receiver: Controller, connection: Connection, data: bytes) -> None:
        if sender.le_connections.get(connection.peer_address) is not connection:
            return  # the link broke while this was in the air
        if connection.self_address in receiver.le_connections:
            receiver.on_link_acl_data(connection.self_address, PhysicalTransport.LE, data)
            if sender in self._heard:
                self._heard[sender](data)


def _cancelled(peer: hci.Address) -> hci.HCI_LE_Connection_Complete_Event:
    return hci.HCI_LE_Connection_Complete_Event(
        status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
        connection_handle=0,
        role=hci.Role.CENTRAL,
        peer_address_type=peer.address_type,
        peer_address=peer,
        connection_interval=0,
        peripheral_latency=0,
        supervision_timeout=0,
        central_clock_accuracy=0,
    )
