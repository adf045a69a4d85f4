"""A virtual sensor: firmware, worn chip, clock, FIFO, battery and radio in one body.

Timers of the running event loop drive it, and its clock is the only one it looks at: it lives in simulated time too.
"""

import asyncio
import math
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imuposture._errors import ConfigError
from imuposture.acquisition.virtual.counting import Fate, Ledger
from imuposture.acquisition.virtual.faults import Faults, Incident, Randomness
from imuposture.acquisition.virtual.outbox import Outbox, Outgoing
from imuposture.acquisition.virtual.peripheral import Peripheral
from imuposture.acquisition.virtual.radio import RadioLink
from imuposture.acquisition.virtual.samples import Clock, Sampler
from imuposture.acquisition.virtual.wire.firmware import Firmware, Notification, Packet, Samples

__all__ = ["VirtualSensor"]


@dataclass(slots=True)
class Stream:
    """Samples at one pace, from a moment on.

    Attributes
    ----------
    first_s : float
        The sensor's clock at the stream's first sample.
    rate_hz, packet_rows : the pace
    number : int
        Of the stream's first sample since power-on.
    taken : int
        Samples so far.
    packets : iterator of Packet or None
        The rest of the block that is being sent; None if one has to be made.
    room : int
        What a notification could hold when it was made.
    """

    first_s: float
    rate_hz: float
    packet_rows: int
    number: int
    taken: int = 0
    packets: Iterator[Packet] | None = None
    room: int = 0


class VirtualSensor:
    """One sensor on the air, off until `power_on`.

    Parameters
    ----------
    link : RadioLink
    firmware : Firmware
    sampler : Sampler
        What the chip reports.
    faults : Faults
    seed : str
        Root of its dice.

    Attributes
    ----------
    ledger : Ledger
        What became of every sample.
    connections : int
        How often a central connected.
    faults : Faults
        Standing faults; changed by `set_faults`.
    others : mapping of address to VirtualSensor
        Whom it can synchronise with.
    """

    def __init__(self, link: RadioLink, firmware: Firmware, sampler: Sampler, *, faults: Faults, seed: str) -> None:
        self.firmware, self.faults, self.ledger, self.connections = firmware, faults, Ledger(), 0
        self._link, self._sampler = link, sampler
        self._loop = asyncio.get_running_loop()
        self._clock = Clock(self._loop.time(), faults.clock_start_s, faults.clock_ppm)
        self._outbox = Outbox(faults, Randomness(seed), self.ledger)
        self._in_air: deque[Outgoing | None] = deque()
        self._radio: Peripheral | None = None
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stalled_until_s = 0.0
        self._since_power = 0
        self._synced = False
        self.others: Mapping[str, VirtualSensor] = {}
        self._percent, self._percent_at_s = faults.battery_percent, self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Bluetooth address."""
        return self.firmware.identity.address

    @property
    def powered(self) -> bool:
        """Whether it is switched on."""
        return self._radio is not None

    @property
    def linked(self) -> bool:
        """Whether a central is connected."""
        return self._radio is not None and self._radio.linked

    @property
    def clock(self) -> Clock:
        """Its clock against the host's."""
        return self._clock

    def clock_s(self) -> float:
        """Return what the sensor's own clock reads."""
        return self._clock.reading(self._loop.time())

    def battery_percent(self) -> float:
        """Return the charge."""
        life_s = self.faults.battery_life_s
        used = 100.0 * (self._loop.time() - self._percent_at_s) / life_s if life_s and self.powered else 0.0
        return max(0.0, self._percent - used)

    async def power_on(self) -> None:
        """Switch on: the clock starts anew, nothing is remembered but what is in flash. An empty battery cannot."""
        if self.powered or self.battery_percent() <= 0.0:
            return
        self._percent_at_s, self._since_power = self._loop.time(), 0
        self._clock = Clock(self._loop.time(), self.faults.clock_start_s, self.faults.clock_ppm)
        self._synced = False
        self.firmware.counter_start = self.faults.counter_start
        self.firmware.boot()
        mtu, rssi_dbm = self.faults.mtu, self.faults.rssi_dbm
        self._radio = Peripheral(self._link, self.firmware, self, mtu=mtu, rssi_dbm=rssi_dbm)
        self._plan()
        await self._radio.start()

    def power_off(self) -> None:
        """Switch off without a word: the central learns of it by its supervision timeout."""
        if self._radio is None:
            return
        self._percent = self.battery_percent()
        self._radio.vanish()
        self.disconnected()
        self._radio = self._stream = None
        self._plan()

    def begin_script(self, motion_s: float) -> None:
        """Let the wearer's script begin at a host time."""
        self._sampler.motion_s = motion_s
        if self._stream:
            self._stream.packets = None

    # What the central does

    def connected(self) -> None:
        """Take note of a central."""
        self.connections += 1
        self._plan()

    def disconnected(self) -> None:
        """Give up what was on its way to the central."""
        while self._in_air:
            self._lose(self._in_air.popleft())
        self._outbox.clear()
        self.firmware.link_down(self.clock_s())
        self._follow()

    def heard(self) -> None:
        """Enter into the ledger that the oldest notification in the air arrived."""
        outgoing = self._in_air.popleft()
        if outgoing is None:
            return
        self.ledger.notifications += 1
        self.ledger.copies += outgoing.copy
        if outgoing.spoilt:
            self.ledger.settle(outgoing.first, outgoing.stop, Fate.SPOILT)
        else:
            self.ledger.settle(outgoing.first, outgoing.done, Fate.DELIVERED)

    def subscribed(self, uuid: str, *, on: bool) -> None:
        """Hand a subscription to the firmware."""
        self._obey(self.firmware.subscribe(uuid, on=on))

    def asked(self, uuid: str) -> bytes:
        """Return what the firmware has there."""
        self.firmware.battery_percent = self.battery_percent()
        value = self.firmware.read(uuid, self.clock_s())
        self._synchronise()
        return value

    def told(self, uuid: str, data: bytes) -> None:
        """Hand a command to the firmware."""
        self.firmware.battery_percent = self.battery_percent()
        self._obey(self.firmware.write(uuid, data, self.clock_s()))

    def _synchronise(self) -> None:
        """Take over another sensor's clock, if the firmware says that this was agreed upon on the air."""
        root = self.others.get(self.firmware.synced_to or "")
        if root and root is not self and not self._synced:
            self._clock, self._synced = root.clock, True
            self._stream = None
            self._follow()

    def _obey(self, replies: Sequence[Notification]) -> None:
        for reply in replies:
            self._send(reply, None)
        self._follow()
        if self.firmware.wants_off:
            self.firmware.wants_off = False
            self._loop.call_soon(self.power_off)  # after the command was acknowledged

    # Samples

    def _follow(self) -> None:
        """Do what the firmware wants now: begin, end or change the stream."""
        pace = (self.firmware.rate_hz, self.firmware.packet_rows)
        if not (self.powered and self.firmware.streaming):
            self._stream = None
            self._outbox.clear()
        elif self._stream and (self._stream.rate_hz, self._stream.packet_rows) == pace:
            self._stream.packets = None  # what was told may change how samples are packed
        else:
            self._stream = Stream(self.clock_s() + 1.0 / pace[0], *pace, self._since_power)
            self.ledger.begin(self._stream.first_s)
        self._plan()

    def _full_s(self, stream: Stream) -> float:
        """Return when the next packet is full, s of the host's clock."""
        return self._clock.host_time(stream.first_s + (stream.taken + stream.packet_rows - 1) / stream.rate_hz)

    def _sample_s(self) -> float:
        """Return when the next packet of samples is full; never, if there is no stream."""
        return self._full_s(self._stream) if self._stream else math.inf

    def _leave_s(self) -> float:
        """Return when the next payload leaves; never, if none waits."""
        leaves_s = self._outbox.next_s()
        return math.inf if leaves_s is None else max(leaves_s, self._stalled_until_s)

    def _empty_s(self) -> float:
        """Return when the battery will be empty."""
        life_s = self.faults.battery_life_s
        return self._percent_at_s + 0.01 * self._percent * life_s if self.powered and life_s else math.inf

    def _plan(self) -> None:
        """Set the timer to whatever comes next."""
        if self._timer:
            self._timer.cancel()
        next_s = min(self._sample_s(), self._leave_s(), self._empty_s())
        self._timer = None if math.isinf(next_s) else self._loop.call_at(next_s, self._tick)

    def _tick(self) -> None:
        """Do what is due, in the order of its time: a host that was busy must not make the FIFO overflow."""
        now_s = self._loop.time()
        while min(self._sample_s(), self._leave_s()) <= now_s:
            if self._stream and self._sample_s() <= self._leave_s():
                self._take(self._stream)
            else:
                self._transmit(self._leave_s())
        if self.powered and (self._percent <= 0.0 or self._empty_s() <= now_s):
            self.power_off()
            self._percent = 0.0  # also where the arithmetic left a trace of charge
        self._plan()

    def _transmit(self, now_s: float) -> None:
        for outgoing in self._outbox.leaving(now_s, self._radio.room if self._radio else 0):
            self._send(outgoing.notification, outgoing)
            if self.faults.doubled_after_reconnect and self.connections > 1:
                self._send(outgoing.notification, self._outbox.copied(outgoing))

    def _take(self, stream: Stream) -> None:
        """Take the samples of one packet, and put it into the outbox if there is anybody to send it to."""
        ready_s, rows = self._full_s(stream), stream.packet_rows
        stream.taken += rows
        self._since_power += rows
        if self._radio is None or not self._radio.linked or not self.firmware.listened_to:
            self.ledger.take(rows, Fate.UNHEARD)
            stream.packets = None
            return
        packet = next(stream.packets, None) if stream.packets and stream.room == self._radio.room else None
        if packet is None:
            stream.room = self._radio.room
            samples = self._samples(stream, stream.taken - rows)
            stream.packets = self.firmware.encode(samples, stream.room)
            packet = next(stream.packets)
        self._outbox.put(packet, self.ledger.take(rows), rows, ready_s)

    def _samples(self, stream: Stream, taken: int) -> Samples:
        """Return the block that begins with the stream's sample number ``taken``."""
        begin_s = stream.first_s + taken / stream.rate_hz
        rows, number = stream.packet_rows, stream.number + taken
        return self._sampler.block(self._clock, begin_s, rate_hz=stream.rate_hz, number=number, packet_rows=rows)

    def _send(self, notification: Notification, outgoing: Outgoing | None) -> None:
        if self._radio and self._radio.notify(notification):
            self._in_air.append(outgoing)
        else:
            self._lose(outgoing)

    def _lose(self, outgoing: Outgoing | None) -> None:
        if outgoing:
            self.ledger.settle(outgoing.first, outgoing.stop, Fate.UNHEARD)

    # What happens to it

    async def undergo(self, incident: Incident) -> None:
        """Let something happen to the sensor, now."""
        if incident.kind == "lose_link":
            self._spawn(self._lose_link(incident.seconds))
        elif incident.kind == "drop_link":
            if self._radio:
                await self._radio.hang_up()
        elif incident.kind == "stall":
            self._stall(incident.seconds)
        elif incident.kind == "power_off":
            self.power_off()
        elif incident.kind == "power_on":
            await self.power_on()
        elif incident.kind == "restart":
            self.power_off()
            self._spawn(self._restart(incident.seconds))
        elif incident.kind == "battery":
            self._percent, self._percent_at_s = incident.percent, self._loop.time()
            self._loop.call_soon(self._tick)
        else:
            self.set_faults(self.faults.changed(**incident.values))

    def _stall(self, seconds: float) -> None:
        self._stalled_until_s = self._loop.time() + seconds
        if self._radio and seconds:
            self._radio.hold(seconds)
        self._plan()

    async def _lose_link(self, seconds: float) -> None:
        self._stall(seconds)
        await asyncio.sleep(seconds)
        if self._radio:
            self._radio.lose_links()

    async def _restart(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.power_on()

    def set_faults(self, faults: Faults) -> None:
        """Change the standing faults; ``clock_ppm`` counts from now on, a clock's or counter's start from power-on.

        Raises
        ------
        ConfigError
            If the MTU is to change while a link is up.
        """
        if self._radio and self.linked and faults.mtu != self.faults.mtu:
            raise ConfigError("the MTU is agreed upon when a link is made; change it while none is up")
        if faults.clock_ppm != self.faults.clock_ppm:
            self._clock = self._clock.with_ppm(self._loop.time(), faults.clock_ppm)
            if self._stream:
                self._stream.packets = None
        self._percent, self._percent_at_s = self.battery_percent(), self._loop.time()
        self.faults = self._outbox.faults = faults
        if self._radio:
            self._radio.set_radio(mtu=faults.mtu, rssi_dbm=faults.rssi_dbm)
        self._plan()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Switch off for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.power_off()
