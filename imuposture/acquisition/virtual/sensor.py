"""A virtual sensor's body: bumble peripheral, clock, FIFO, radio and battery around a `Firmware`.

Everything is driven by timers of the running event loop, so it runs in simulated time as well.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bumble import att, hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from imuposture._errors import ConfigError
from imuposture.acquisition.simulation import SimulatedSensor
from imuposture.acquisition.virtual.counting import Fate, Ledger
from imuposture.acquisition.virtual.faults import Faults, Incident, Randomness
from imuposture.acquisition.virtual.radio import RadioController, RadioLink
from imuposture.acquisition.virtual.samples import Clock, Sampler
from imuposture.acquisition.virtual.wire.firmware import Firmware, Notification, Packet

__all__ = ["VirtualSensor"]

log = logging.getLogger(__name__)
ADVERTISING_MS = 100.0
ATT_HEADER = 3
NOTIFICATION = 0x1B  # ATT opcode; behind 4 bytes of L2CAP header, the second two of which name the channel
PROPERTIES = {
    "read": (Characteristic.Properties.READ, Characteristic.READABLE),
    "write": (Characteristic.Properties.WRITE, Characteristic.WRITEABLE),
    "write-without-response": (Characteristic.Properties.WRITE_WITHOUT_RESPONSE, Characteristic.WRITEABLE),
    "notify": (Characteristic.Properties.NOTIFY, Characteristic.Permissions(0)),
}
REMOTE_USER = hci.HCI_ErrorCode.REMOTE_USER_TERMINATED_CONNECTION_ERROR


@dataclass(slots=True)
class Outgoing:
    """A payload on its way: samples [first, stop) of the ledger are in it, those up to ``done`` are whole with it."""

    notification: Notification
    first: int
    stop: int
    done: int
    leaves_s: float = 0.0
    copy: bool = False
    spoilt: bool = False


@dataclass(slots=True)
class Stream:
    """Samples of one rate and payload, from a moment on."""

    first_s: float  # the sensor's clock at sample 0
    rate_hz: float
    packet_rows: int
    taken: int = 0
    block: Iterator[Packet] | None = None
    block_left: int = 0


class VirtualSensor:
    """One sensor on the air.

    Parameters
    ----------
    link : RadioLink
    firmware : Firmware
    worn : SimulatedSensor
    sampler : Sampler
    faults : Faults
    seed : str
        Root of its dice.

    Attributes
    ----------
    ledger : Ledger
        What became of every sample.
    connections : int
        How often a central connected.
    powered : bool
    """

    def __init__(
        self, link: RadioLink, firmware: Firmware, worn: SimulatedSensor, sampler: Sampler, faults: Faults, seed: str
    ) -> None:
        self.firmware, self.worn, self.faults = firmware, worn, faults
        self.ledger = Ledger()
        self.connections = 0
        self.powered = False
        self._link, self._sampler = link, sampler
        self._dice = Randomness(seed)
        self._loop = asyncio.get_running_loop()
        self._clock = Clock(self._loop.time(), faults.clock_start_s, faults.clock_ppm)
        self._phase = self._dice.uniform()
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fifo: deque[Outgoing] = deque()
        self._in_air: deque[Outgoing | None] = deque()
        self._held: Outgoing | None = None
        self._last_leave_s = 0.0
        self._bursting = 0
        self._stalled_until_s = 0.0
        self._percent, self._percent_since_s = faults.battery_percent, self._loop.time()
        self._connection: Connection | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def address(self) -> str:
        """Bluetooth address."""
        return self.firmware.identity.address

    @property
    def connected(self) -> bool:
        """Whether a central is connected."""
        return self._connection is not None

    # Power

    async def power_on(self) -> None:
        """Switch on: the clock starts anew, nothing is remembered but what is in flash."""
        if self.powered or self.battery_percent() <= 0.0:
            return
        self.powered = True
        self._percent_since_s = self._loop.time()
        self._clock = Clock(self._loop.time(), self.faults.clock_start_s, self.faults.clock_ppm)
        self.firmware.counter_start = self.faults.counter_start
        self.firmware.boot()
        self._controller = RadioController(self.firmware.driver, self._link, self.address)
        self._controller.advertiser.rssi_dbm = self.faults.rssi_dbm
        self._link.tell(self._controller, self._heard)
        self._device = self._make_device()
        await self._device.power_on()
        await self._device.start_advertising(auto_restart=True, own_address_type=hci.OwnAddressType.RANDOM)

    async def power_off(self) -> None:
        """Switch off without a word: the central learns of it by its supervision timeout."""
        if not self.powered:
            return
        self._percent, self.powered = self.battery_percent(), False
        self._controller.lose_links()
        await asyncio.sleep(0)  # bumble tells the host in the next turn of the loop
        self._on_disconnection(0)
        # Stock bumble: power_off() leaves the controller advertising, and it would still accept connections.
        await self._device.stop_advertising()
        await self._device.power_off()
        self._link.remove_controller(self._controller)

    def _make_device(self) -> Device:
        configuration = DeviceConfiguration(
            name=self.firmware.advertised_name,
            address=hci.Address(self.address),
            advertising_interval_min=ADVERTISING_MS,
            advertising_interval_max=ADVERTISING_MS,
        )
        configuration.le_enabled, configuration.classic_enabled = True, False
        device = Device(config=configuration, host=Host(self._controller, AsyncPipeSink(self._controller)))
        device.gatt_server.max_mtu = self.faults.mtu
        self._characteristics: dict[str, Characteristic[Any]] = {}
        device.add_services(
            [self._service(service.uuid, service.characteristics) for service in self.firmware.services]
        )
        device.advertising_data, device.scan_response_data = self._advertisement()
        device.on("connection", self._on_connection)
        return device

    def _service(self, uuid: str, characteristics: Any) -> Service:
        made = []
        for c in characteristics:
            properties, permissions = Characteristic.Properties(0), Characteristic.Permissions(0)
            for name in c.properties:
                properties |= PROPERTIES[name][0]
                permissions |= PROPERTIES[name][1]
            value = CharacteristicValue(read=self._reader(c.uuid), write=self._writer(c.uuid))
            characteristic: Characteristic[Any] = Characteristic(c.uuid, properties, permissions, value)
            characteristic.on("subscription", self._subscription(c.uuid))
            self._characteristics[c.uuid] = characteristic
            made.append(characteristic)
        return Service(uuid, made)

    def _advertisement(self) -> tuple[bytes, bytes]:
        """Return advertising data and scan response, 31 bytes each at most."""
        name = (AdvertisingData.COMPLETE_LOCAL_NAME, self.firmware.advertised_name.encode()[:26])
        first, second = [(AdvertisingData.FLAGS, bytes((0x06,))), name], []
        if self.firmware.company:
            company, data = self.firmware.company
            second.append((AdvertisingData.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little") + data))
        kind = AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS
        second += [(kind, UUID(uuid).to_bytes()) for uuid in self.firmware.advertised_services]
        return bytes(AdvertisingData(first)), bytes(AdvertisingData(second))

    # The central

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self.connections += 1
        connection.on("disconnection", self._on_disconnection)

    def _on_disconnection(self, _reason: int) -> None:
        if self._connection is None:
            return
        self._connection = None
        while self._in_air:
            lost = self._in_air.popleft()
            if lost:
                self.ledger.settle(lost.first, lost.stop, Fate.UNHEARD)
        self.firmware.link_down()
        self._follow()

    def _reader(self, uuid: str) -> Any:
        def read(_connection: Connection) -> bytes:
            self.firmware.battery_percent = self.battery_percent()
            return self.firmware.read(uuid, self.clock_s())

        return read

    def _writer(self, uuid: str) -> Any:
        def write(_connection: Connection, value: bytes) -> None:
            self.firmware.battery_percent = self.battery_percent()
            for reply in self.firmware.write(uuid, bytes(value), self.clock_s()):
                self._notify(reply)
            self._follow()
            if self.firmware.wants_off:
                self.firmware.wants_off = False
                self._spawn(self.power_off())

        return write

    def _subscription(self, uuid: str) -> Any:
        def subscription(_bearer: Any, notify: bool, _indicate: bool) -> None:
            for reply in self.firmware.subscribe(uuid, on=notify):
                self._notify(reply)
            self._follow()

        return subscription

    def clock_s(self) -> float:
        """Return what the sensor's own clock reads."""
        return self._clock.reading(self._loop.time())

    def battery_percent(self) -> float:
        """Return the charge."""
        life = self.faults.battery_life_s
        used = 100.0 * (self._loop.time() - self._percent_since_s) / life if life and self.powered else 0.0
        return max(0.0, self._percent - used)

    # Samples

    def _follow(self) -> None:
        """Do what the firmware wants now: begin, end or change the stream."""
        wanted = self.powered and self.firmware.streaming
        stream = self._stream
        if not wanted:
            self._end_stream()
        elif not stream or (stream.rate_hz, stream.packet_rows) != self._pace():
            rate, rows = self._pace()
            self._stream = Stream(self.clock_s() + 1.0 / rate, rate, rows)
        self._plan()

    def _pace(self) -> tuple[float, int]:
        return self.firmware.rate_hz, self.firmware.packet_rows

    def _end_stream(self) -> None:
        self._stream = None
        for outgoing in self._fifo:
            self.ledger.settle(outgoing.first, outgoing.stop, Fate.UNHEARD)
        self._fifo.clear()

    def _next_packet_s(self, stream: Stream) -> float:
        """Return when the next packet is full, s of the host's clock."""
        return self._clock.host_time(stream.first_s + (stream.taken + stream.packet_rows - 1) / stream.rate_hz)

    def _plan(self) -> None:
        """Set the timer to whatever comes next."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        times = [self._next_packet_s(self._stream)] if self._stream else []
        if self._fifo and self._connection:
            times.append(max(self._fifo[0].leaves_s, self._stalled_until_s))
        if times:
            self._timer = self._loop.call_at(min(times), self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._stream and self._next_packet_s(self._stream) <= now:
            self._take_packet(self._stream)
        while self._fifo and self._connection and now >= max(self._fifo[0].leaves_s, self._stalled_until_s):
            self._transmit(self._fifo.popleft())
        self._plan()

    def _take_packet(self, stream: Stream) -> None:
        ready_s = self._next_packet_s(stream)
        rows = stream.packet_rows
        stream.taken += rows
        if not self._connection:
            self.ledger.take(rows, Fate.UNHEARD)
            stream.block = None
            return
        if not stream.block or not stream.block_left:
            count = stream.taken - rows
            samples = self._sampler.block(self._clock, stream.first_s, stream.rate_hz, count, rows)
            stream.block, stream.block_left = self.firmware.encode(samples, self._room()), len(samples) // rows
        stream.block_left -= 1
        packet = next(stream.block)
        first = self.ledger.take(rows)
        self._queue(packet, first, rows, ready_s)

    def _queue(self, packet: Packet, first: int, rows: int, ready_s: float) -> None:
        """Put a packet into the FIFO, unless the sensor skips it or nobody listens."""
        if not packet.notifications:
            self.ledger.settle(first, first + rows, Fate.UNHEARD)
            return
        if self._skips():
            self.ledger.settle(first, first + rows, Fate.SKIPPED)
            return
        base = packet.touched[0][0]
        leaves_s = self._leave_time(ready_s)
        done = first
        for index, (notification, (begin, stop)) in enumerate(zip(packet.notifications, packet.touched, strict=True)):
            last = index + 1 == len(packet.notifications)
            done = first + rows if last else first + packet.touched[index + 1][0] - base
            self._fifo.append(Outgoing(notification, first + begin - base, first + stop - base, done, leaves_s))
        self._overflow()

    def _skips(self) -> bool:
        if self._bursting:
            self._bursting -= 1
            return True
        if self._dice.happens(self.faults.burst_loss):
            self._bursting = self.faults.burst_length - 1
            return True
        return self._dice.happens(self.faults.loss)

    def _leave_time(self, ready_s: float) -> float:
        """Return when a payload that is ready gets through: order is kept."""
        faults = self.faults
        leaves_s = ready_s
        if faults.interval_s:
            events = (ready_s / faults.interval_s) - self._phase
            leaves_s = (-(-events // 1.0) + self._phase) * faults.interval_s
            while self._dice.happens(min(faults.retransmit, 0.99)):
                leaves_s += faults.interval_s
        self._last_leave_s = max(leaves_s + self._dice.delay(faults.latency_s), self._last_leave_s)
        return self._last_leave_s

    def _overflow(self) -> None:
        while self._fifo and self._fifo[-1].stop - self._fifo[0].first > self.faults.fifo_samples:
            oldest = self._fifo.popleft()
            self.ledger.settle(oldest.first, oldest.stop, Fate.OVERFLOWED)

    # Radio

    def _room(self) -> int:
        return int(self._connection.att_mtu) - ATT_HEADER if self._connection else 20

    def _transmit(self, outgoing: Outgoing) -> None:
        """Send a payload with whatever goes wrong on the way."""
        faults, dice = self.faults, self._dice
        if self._held is None and dice.happens(faults.reorder):
            self._held = outgoing
            return
        data = outgoing.notification.data
        if dice.happens(faults.garbage):
            data = dice.bytes(dice.below(len(data) + 20))
        elif dice.happens(faults.truncate):
            data = data[: dice.below(len(data))]
        outgoing.spoilt = data != outgoing.notification.data or len(data) > self._room()
        self._send(Notification(outgoing.notification.uuid, data), outgoing)
        doubled = faults.doubled_after_reconnect and self.connections > 1
        if doubled or dice.happens(faults.duplicate):
            copy = Outgoing(outgoing.notification, outgoing.first, outgoing.first, outgoing.first, copy=True)
            self._send(Notification(outgoing.notification.uuid, data), copy)
        if self._held:
            held, self._held = self._held, None
            self._send(held.notification, held)

    def _notify(self, notification: Notification) -> None:
        """Send something without samples in it."""
        self._send(notification, None)

    def _send(self, notification: Notification, outgoing: Outgoing | None) -> None:
        connection, characteristic = self._connection, self._characteristics[notification.uuid]
        listening = notification.uuid in self.firmware.subscribed
        if not connection or not listening:
            if outgoing:
                self.ledger.settle(outgoing.first, outgoing.stop, Fate.UNHEARD)
            return
        pdu = att.ATT_Handle_Value_Notification(
            attribute_handle=characteristic.handle, attribute_value=notification.data[: self._room()]
        )
        self._in_air.append(outgoing)
        self._device.gatt_server.send_gatt_pdu(connection, bytes(pdu))

    def _heard(self, data: bytes) -> None:
        """Learn that an L2CAP PDU of this sensor reached the other side."""
        if data[2:5] != bytes((att.ATT_CID, 0, NOTIFICATION)):
            return
        outgoing = self._in_air.popleft()
        if outgoing is None:
            return
        self.ledger.notifications += 1
        self.ledger.copies += outgoing.copy
        if outgoing.spoilt:
            self.ledger.settle(outgoing.first, outgoing.stop, Fate.SPOILT)
        else:
            self.ledger.settle(outgoing.first, outgoing.done, Fate.DELIVERED)

    # Incidents

    async def undergo(self, incident: Incident) -> None:
        """Let something happen to the sensor, now."""
        if incident.kind == "lose_link":
            if self.powered:
                self._controller.lose_links()
        elif incident.kind == "drop_link":
            if self._connection:
                await self._connection.disconnect(REMOTE_USER)
        elif incident.kind == "stall":
            self._stalled_until_s = self._loop.time() + incident.seconds
            self._plan()
        elif incident.kind == "power_off":
            await self.power_off()
        elif incident.kind == "power_on":
            await self.power_on()
        elif incident.kind == "restart":
            await self.power_off()
            await asyncio.sleep(incident.seconds)
            await self.power_on()
        elif incident.kind == "battery":
            await self._set_battery(incident.percent)
        else:
            self.set_faults(self.faults.changed(**incident.values))

    async def _set_battery(self, percent: float) -> None:
        self._percent, self._percent_since_s = percent, self._loop.time()
        if percent <= 0.0:
            await self.power_off()

    def set_faults(self, faults: Faults) -> None:
        """Change the standing faults; a new ``clock_ppm`` counts from now on, a clock's start from the next power-on.

        Raises
        ------
        ConfigError
            If the largest MTU is to change while a link is up.
        """
        if self._connection and faults.mtu != self.faults.mtu:
            raise ConfigError("the MTU is agreed upon when a link is made; change it while none is up")
        if faults.clock_ppm != self.faults.clock_ppm:
            self._clock = self._clock.with_ppm(self._loop.time(), faults.clock_ppm)
            if self._stream:
                self._stream.block = None
        self.faults = faults
        if self.powered:
            self._device.gatt_server.max_mtu = faults.mtu
            self._controller.advertiser.rssi_dbm = faults.rssi_dbm
        self._plan()

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
