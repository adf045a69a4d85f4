"""One connection of a sensor, from connecting to disconnecting: a generation. A new connection is a new object."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imuposture._blocks import Entry, EntryKind, Role
from imuposture.acquisition.ble.clock import Clock
from imuposture.acquisition.ble.faults import short
from imuposture.acquisition.ble.limits import (
    CONNECT_S,
    DISCONNECT_LOST_S,
    DISCONNECT_S,
    REQUEST_S,
    UNSUBSCRIBE_S,
    LinkError,
    limited,
)
from imuposture.acquisition.ble.queue import EntryQueue
from imuposture.acquisition.ble.steps import Listener
from imuposture.acquisition.ble.transport import Transport
from imuposture.acquisition.drivers import Driver

if TYPE_CHECKING:
    from bleak.backends.characteristic import BleakGATTCharacteristic
    from bleak.backends.device import BLEDevice

__all__ = ["Connection", "Lasting"]

SMALLEST_MTU = 23
ATT_HEADER = 3  # bytes of a notification that are not payload


@dataclass(slots=True)
class Lasting:
    """What outlasts the connections of a device.

    Attributes
    ----------
    acquire : bool
        Which of BlueZ's two ways to notify is used. AcquireNotify is tried first: with StartNotify, a link that is
        lost and found again delivers everything twice (bleak issue 2002). Other systems have one way only.
    settled : bool
        One of them worked; the other would now fail (``InProgress``) until the device is gone.
    stale : int
        Payloads that came when their connection was over; they are dropped.
    """

    acquire: bool = True
    settled: bool = False
    stale: int = 0


class Connection:
    """One connection.

    Parameters
    ----------
    transport : Transport
    device : BLEDevice
        As the scanner saw it.
    generation : int
    driver : Driver
    queue : EntryQueue
    clock : Clock
    lasting : Lasting
        Shared by all connections of a device.
    ended : callable
        Called once, when the link ends without our doing.

    Attributes
    ----------
    listener : Listener or None
        Hears all payloads too, while a procedure is under way.
    last_ns : int
        When the last payload came that may hold samples; before the first, when the connection was made.
    payloads : int
        Of that kind, so far.
    over : bool
    was_open : bool
    revived : bool
        It was subscribed to anew, as it was silent; that is tried once only.
    """

    def __init__(
        self,
        transport: Transport,
        device: "BLEDevice",
        *,
        generation: int,
        driver: Driver,
        queue: EntryQueue,
        clock: Clock,
        lasting: Lasting,
        ended: Callable[[], None],
    ) -> None:
        self.generation = generation
        self.listener: Listener | None = None
        self.last_ns = clock.now_ns()
        self.payloads = 0
        self.over = self.was_open = self.revived = self._is_lost = False
        self._driver, self._queue, self._clock, self._lasting = driver, queue, clock, lasting
        self._ended = ended
        self._takers: dict[int, list[Role]] = {}  # channel -> who wears the IMUs that its payloads are of
        self._client = transport.client(device, self._lost, CONNECT_S)

    async def open(self, seconds: float = CONNECT_S) -> None:
        """Connect; services are looked up anew.

        Raises
        ------
        LinkError
            If it cannot be done in time, or at all.
        """
        await self._ask(self._client.connect(), seconds, "connecting")
        self.was_open = True
        self.last_ns = self._clock.now_ns()

    def mtu(self) -> int:
        """Return the largest ATT packet, as far as it is known: BlueZ does not tell, but a characteristic may."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sizes = [self._client.mtu_size or SMALLEST_MTU]
        for channel in self._takers:
            characteristic = self._client.services.get_characteristic(self._driver.channels[channel].uuid)
            if characteristic is not None:
                sizes.append(characteristic.max_write_without_response_size + ATT_HEADER)
        return max(sizes)

    async def subscribe(self, channel: int, role: Role) -> None:
        """Turn the notifications of a channel on; its payloads become entries of that role too.

        Raises
        ------
        LinkError
            If it cannot be done in time, or at all.
        """
        takers = self._takers.setdefault(channel, [])
        if role not in takers:
            takers.append(role)
        if len(takers) > 1:
            return
        acquire = self._lasting.acquire
        try:
            await self._start_notify(channel, acquire=acquire)
        except LinkError:
            if self.over or self._lasting.settled:
                raise
            acquire = False
            await self._start_notify(channel, acquire=False)
        self._lasting.acquire, self._lasting.settled = acquire, True

    async def unsubscribe(self, channel: int) -> None:
        """Turn the notifications of a channel off, for all that take them."""
        if self._takers.pop(channel, None) is not None:
            await self._ask(self._client.stop_notify(self._uuid(channel)), REQUEST_S, "unsubscribing")

    async def resubscribe(self) -> None:
        """Turn the notifications of all channels that samples come from off, and on again.

        Raises
        ------
        LinkError
            If it cannot be done in time, or at all.
        """
        for channel in self._takers:
            if self._driver.channels[channel].measures:
                await self._ask(self._client.stop_notify(self._uuid(channel)), REQUEST_S, "unsubscribing")
                await self._start_notify(channel, acquire=self._lasting.acquire)

    async def write(self, uuid: str, data: bytes, *, response: bool, service: str | None = None) -> None:
        """Write to a characteristic, of one service where several have it.

        Raises
        ------
        LinkError
            If it cannot be done in time, or at all.
        """
        place = uuid if service is None else self._within(service, uuid)
        await self._ask(self._client.write_gatt_char(place, data, response=response), REQUEST_S, f"writing to {uuid}")

    def _within(self, service: str, uuid: str) -> "BleakGATTCharacteristic":
        """Return the characteristic that a service has under a UUID."""
        found = self._client.services.get_service(service)
        characteristic = None if found is None else found.get_characteristic(uuid)
        if characteristic is None:
            raise LinkError(f"writing to {uuid}: the sensor has none in service {service}")
        return characteristic

    async def read(self, channel: int, role: Role) -> bytes:
        """Read a channel; what was read becomes an entry."""
        uuid = self._uuid(channel)
        payload = bytes(await self._ask(self._client.read_gatt_char(uuid), REQUEST_S, f"reading {uuid}"))
        self._queue.put(self._entry("read", role, channel, payload))
        if self.listener is not None:
            self.listener.hear(payload, channel)
        return payload

    async def peek(self, uuid: str) -> bytes:
        """Read a characteristic that is no channel; empty if the sensor has none, or does not want to."""
        try:
            return bytes(await self._ask(self._client.read_gatt_char(uuid), REQUEST_S, f"reading {uuid}"))
        except LinkError:
            return b""

    async def close(self) -> None:
        """Disconnect, whatever state the link is in; what still comes is stale."""
        for channel in () if self.over else self._takers:
            if not await self._tried(self._client.stop_notify(self._uuid(channel)), UNSUBSCRIBE_S):
                break  # it would not answer the others either
        self.over = True
        await self._tried(self._client.disconnect(), DISCONNECT_LOST_S if self._is_lost else DISCONNECT_S)

    def _uuid(self, channel: int) -> str:
        return self._driver.channels[channel].uuid

    async def _start_notify(self, channel: int, *, acquire: bool) -> None:
        bluez: Any = {"use_start_notify": not acquire}
        work = self._client.start_notify(self._uuid(channel), self._receiver(channel), bluez=bluez)
        await self._ask(work, REQUEST_S, f"subscribing to {self._uuid(channel)}")

    def _receiver(self, channel: int) -> Callable[[object, bytearray], None]:
        """Return what is called with every payload: it stamps and enqueues, nothing else."""
        now_ns, put, roles, generation = self._clock.now_ns, self._queue.put, self._takers[channel], self.generation
        measures = self._driver.channels[channel].measures

        def received(_sender: object, data: bytearray) -> None:
            arrival_ns = now_ns()
            if self.over:
                self._lasting.stale += 1
                return
            payload = bytes(data)
            if measures is True or (measures and measures(payload)):
                self.last_ns = arrival_ns
                self.payloads += 1
            for role in roles:
                put(Entry(arrival_ns, "notification", role, generation, channel, payload))
            if self.listener is not None:
                self.listener.hear(payload, channel)

        return received

    def _entry(self, kind: EntryKind, role: Role, channel: int, payload: bytes) -> Entry:
        return Entry(self._clock.now_ns(), kind, role, self.generation, channel, payload)

    def _lost(self, _client: object) -> None:
        """Take note that the link ended; bleak calls this for our own disconnects too."""
        self._is_lost = True
        if not self.over:
            self.over = True
            self._ended()

    async def _ask(self, work: Any, seconds: float, doing: str) -> Any:
        try:
            return await limited(work, seconds, doing)
        except LinkError:
            raise
        except Exception as error:  # every system has its own: BleakError, OSError, EOFError, errors of D-Bus
            raise LinkError(f"{doing}: {short(error)}") from error

    async def _tried(self, work: Any, seconds: float) -> bool:
        """Do something after which nothing more could be done about a connection anyway; tell whether it worked."""
        try:
            await self._ask(work, seconds, "closing")
        except LinkError:
            return False
        return True
