"""Link: one sensor's connection, kept for ever until told to stop.

    seek -> connect -> start -> stream -+-> (lost, host slept) -> close -> seek ...
                                        +-> (stalled) -> resubscribe, once a connection -+-> stream
                                        |                                                +-> close -> seek ...
                                        +-> stop: stop procedure, unsubscribe, disconnect

What becomes of it is told as link entries; each connection is a generation, from 1 on.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from heapq import heapify, heappop, heappush

from imuposture._blocks import Role
from imuposture.acquisition.ble.addresses import Address
from imuposture.acquisition.ble.clock import Clock
from imuposture.acquisition.ble.connection import Connection, Lasting
from imuposture.acquisition.ble.faults import explained, short
from imuposture.acquisition.ble.limits import CONNECT_UNSEEN_S, START_S, STOP_S, LinkError, limited, until
from imuposture.acquisition.ble.queue import EntryQueue
from imuposture.acquisition.ble.radio import Radio, Sighting
from imuposture.acquisition.ble.steps import Listener, carry_out
from imuposture.acquisition.drivers import Advertisement, Driver, Polling, Procedure, Settings

__all__ = ["Link"]

SILENCE_S = 1.75  # without a sample; checked every CHECK_S, so that a stall is found within 2 s
POLL_S = 5.0  # for a question while the sensor streams
REVIVE_S = 0.45  # for subscribing anew and for the first sample then; a new link is sought within 0.5 s
FIRST_SILENCE_S = 4.0  # until the first payload: some sensors take their time
CHECK_S = 0.2
LOOK_S = 0.02  # whether samples come again
LATE_S = 1.0  # a check that is this late says that the host was busy, not that the sensor was silent
UNSEEN_EVERY = 3  # attempts; the others connect only to a sensor that is on the air
SEEK_S = 5.0  # an attempt: how long it listens for the sensor
PAUSES_S = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)  # before the 1st, 2nd ... attempt; the last for all later ones


class Link:
    """One peripheral, and the IMUs on it that are worn.

    Parameters
    ----------
    radio : Radio
        Shared by all links.
    driver : Driver
    seats : sequence of Settings
        One an IMU that is worn; several for IMUs on one peripheral.
    queue : EntryQueue
    clock : Clock
    address : Address
        Which sensor is meant; once one was seen, it stays that one.
    sighting : Sighting, optional
        If it was seen just now.

    Attributes
    ----------
    state : str
        ``"seeking"``, ``"connecting"``, ``"starting"``, ``"streaming"``, ``"silent"``, ``"closing"`` or ``"closed"``.
    generation : int
    connections, losses : int
        Links that were made; links that were lost, or fell silent.
    reason : str
        Why the last connection ended or the last attempt failed.
    """

    def __init__(
        self,
        radio: Radio,
        driver: Driver,
        seats: Sequence[Settings],
        queue: EntryQueue,
        clock: Clock,
        *,
        address: Address,
        sighting: Sighting | None = None,
    ) -> None:
        self.driver = driver
        self.seats = tuple(seats)
        self.state = "seeking"
        self.generation = self.connections = self.losses = 0
        self.reason = ""
        self._radio, self._queue, self._clock = radio, queue, clock
        self._address = address
        self._sighting = sighting
        self._device = None if sighting is None else sighting.device
        self._lasting = Lasting()
        self._connection: Connection | None = None
        self._disturbed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def roles(self) -> tuple[Role, ...]:
        """Who wears the sensor."""
        return tuple(seat.role for seat in self.seats)

    @property
    def stale(self) -> int:
        """Payloads that came from connections that were over; they were dropped."""
        return self._lasting.stale

    def start(self) -> None:
        """Begin, in a task of the running loop."""
        self._task = asyncio.create_task(self._live(), name=f"link {'+'.join(self.roles)}")

    async def stop(self, *, polite: bool = True) -> None:
        """End: let the sensor stop its stream, and disconnect.

        Parameters
        ----------
        polite : bool
            False leaves the sensor streaming, and is faster.
        """
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if polite and self._connection is not None and not self._connection.over:
            await self._bid_farewell()
        await self._close("stopped")
        self.state = "closed"

    def renew(self, reason: str) -> None:
        """Give the present connection up and make a new one: the host slept, for example."""
        if self.state in ("starting", "streaming", "silent"):
            self._disturb(reason)

    # What is asked of a sensor goes through these: see `steps.Hands`.

    async def reconnect(self, after_s: float) -> None:
        """Disconnect because the driver wants it so, and connect again."""
        listener = self._present().listener
        await self._close("asked for by the driver")
        await asyncio.sleep(after_s)
        await self._connect(await self._sought(1))
        self._present().listener = listener

    async def _live(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S)) - 1])
            self._tell("connecting" if not self.generation else "reconnecting", attempt=attempt)
            try:
                await self._attempt(attempt)
            except Exception as error:
                # Whatever it was, also a driver's own mistake: the other sensor goes on, and this one is tried again.
                self.reason = short(explained(error, "connecting"))
                self._tell("failed", attempt=attempt, reason=self.reason)
            if self._connection is not None and self._connection.payloads and self.state in ("streaming", "silent"):
                attempt = 0
            await self._close(self.reason)

    async def _attempt(self, attempt: int) -> None:
        """Connect, start, and stay until something ends it."""
        sighting = await self._sought(attempt)
        self._disturbed.clear()
        await self._connect(sighting)
        await until(self._start(), self._disturbed.wait())
        if self._disturbed.is_set():
            raise LinkError(self.reason)
        self.state = "streaming"
        self._tell("streaming", mtu=self._present().mtu(), min_mtu=self.driver.min_mtu)
        asking = asyncio.create_task(self._ask_on(), name=f"questions to {'+'.join(self.roles)}")
        try:
            await self._watch(self._present())
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    async def _sought(self, attempt: int) -> Sighting | None:
        """Return the sensor as it is on the air now; None: not seen, but worth an attempt all the same."""
        sighting, self._sighting = self._sighting, None
        if sighting is not None:
            return sighting
        self.state = "seeking"
        found = await self._radio.find(self._wanted, SEEK_S)
        # A system that still holds the old link hides the sensor from scans, but connects to it.
        if found is None and (attempt % UNSEEN_EVERY or self._device is None):
            raise LinkError(f"not seen for {SEEK_S:g} s: out of range, or switched off?")
        return found

    def _wanted(self, advertisement: Advertisement) -> bool:
        if self._device is not None:
            return advertisement.address == self._device.address
        return self._address.meets(advertisement) and self.driver.matches(advertisement)

    async def _connect(self, sighting: Sighting | None) -> None:
        """Connect; to one that was not seen only until somebody else wants the radio."""
        self.state = "connecting"
        async with self._radio.connecting():
            if sighting is not None:
                self._device = sighting.device
            self.generation += 1
            connection = self._connection = self._new_connection()
            if sighting is not None:
                await connection.open()
            else:
                await until(connection.open(CONNECT_UNSEEN_S), self._radio.wanted_by_others())
            if not connection.was_open:
                raise LinkError("gave way to the other sensor")
            self.connections += 1
            self.state = "starting"
            self._tell("up", driver=self.driver.name)

    def _new_connection(self) -> Connection:
        if self._device is None:
            raise LinkError("the sensor was never seen")
        return Connection(
            self._radio.transport,
            self._device,
            generation=self.generation,
            driver=self.driver,
            queue=self._queue,
            clock=self._clock,
            lasting=self._lasting,
            ended=self._lost,
        )

    def _lost(self) -> None:
        self._disturb("link lost")

    async def _start(self) -> None:
        for seat in self.seats:
            await self._carry_out(self.driver.start(seat), seat, START_S)

    async def _carry_out(self, procedure: Procedure, seat: Settings, seconds: float) -> None:
        listener = Listener(self.driver.decoder(seat))
        self._present().listener = listener
        try:
            await limited(carry_out(procedure, _Seat(self, seat.role), listener), seconds, "setting the sensor up")
        finally:
            if self._connection is not None:
                self._connection.listener = None

    async def _ask_on(self) -> None:
        """Ask what the driver wants asked while the sensor streams, each at its period, one after the other."""
        if not isinstance(self.driver, Polling):
            return
        driver, loop = self.driver, asyncio.get_running_loop()
        begun = loop.time()
        periods = [(seat, n, every_s) for seat in self.seats for n, (every_s, _) in enumerate(driver.polls(seat))]
        due = [(begun + every_s, place) for place, (_, _, every_s) in enumerate(periods)]
        heapify(due)
        while due:
            at, place = heappop(due)
            seat, number, every_s = periods[place]
            await asyncio.sleep(max(0.0, at - loop.time()))
            try:
                await self._carry_out(driver.polls(seat)[number][1], seat, POLL_S)
            except Exception as error:  # samples matter more than any answer
                self._tell("not_answered", reason=short(error))
            heappush(due, (max(at + every_s, loop.time()), place))

    async def _watch(self, connection: Connection) -> None:
        """Stay until the link is lost, or nothing came for too long."""
        rate_hz = min(self.driver.stream(seat).rate_hz for seat in self.seats)
        silence_s = max(SILENCE_S, 2.5 / rate_hz)
        answers = connection.payloads
        connection.last_ns = before = self._clock.now_ns()
        while not self._disturbed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._disturbed.wait()
            now = self._clock.now_ns()
            if now - before > (CHECK_S + LATE_S) * 1e9:
                connection.last_ns = now  # what came meanwhile may still be on its way to us
            before = now
            allowed = silence_s if connection.payloads > answers else max(FIRST_SILENCE_S, silence_s)
            if now - connection.last_ns > allowed * 1e9 and not self._disturbed.is_set():
                self._lose(f"no data for {(now - connection.last_ns) * 1e-9:.1f} s", "stalled")
                if not await self._revived(connection):
                    return
                before = self._clock.now_ns()

    async def _revived(self, connection: Connection) -> bool:
        """Subscribe anew on a link that is up and silent, once; tell whether samples come again."""
        if connection.revived or self._disturbed.is_set():
            return False
        self.state, connection.revived, had = "silent", True, connection.payloads
        with suppress(LinkError, TimeoutError):
            async with asyncio.timeout(REVIVE_S):
                await connection.resubscribe()
                while connection.payloads == had:
                    await asyncio.sleep(LOOK_S)
        if connection.payloads == had or connection.over:
            return False
        self.state, self.reason = "streaming", ""
        self._tell("resumed")
        return True

    def _disturb(self, reason: str) -> None:
        """End what the present connection is used for."""
        if not self._disturbed.is_set():
            self._disturbed.set()
            self._lose(reason, "down")

    def _lose(self, reason: str, event: str) -> None:
        self.losses += self.state != "silent"  # it was lost before
        self.reason = reason
        self._tell(event, reason=reason)

    async def _bid_farewell(self) -> None:
        """Let the sensor stop its stream; one that does not listen is left alone."""
        self.state = "closing"
        for seat in self.seats:
            try:
                await self._carry_out(self.driver.stop(seat), seat, STOP_S)
            except Exception as error:
                self.reason = short(error)
                self._tell("not_stopped", reason=self.reason)

    async def _close(self, reason: str) -> None:
        """Be rid of the connection, if there is one."""
        connection = self._connection
        if connection is None:
            return
        told = connection.was_open and not connection.over
        await connection.close()
        self._connection = None
        if told:
            self._tell("closed", reason=reason)

    def _present(self) -> Connection:
        if self._connection is None:
            raise LinkError("there is no connection")
        return self._connection

    def _tell(self, event: str, **values: object) -> None:
        now = self._clock.now_ns()
        for role in self.roles:
            self._queue.tell(now, role, self.generation, event, **values)


class _Seat:
    """The hands of one IMU's procedure: the link's connection, whichever it is, on behalf of a role."""

    def __init__(self, link: Link, role: Role) -> None:
        self._link, self._role = link, role

    async def subscribe(self, channel: int) -> None:
        await self._link._present().subscribe(channel, self._role)

    async def unsubscribe(self, channel: int) -> None:
        await self._link._present().unsubscribe(channel)

    async def write(self, uuid: str, data: bytes, *, response: bool, service: str | None) -> None:
        await self._link._present().write(uuid, data, response=response, service=service)

    async def read(self, channel: int) -> bytes:
        return await self._link._present().read(channel, self._role)

    async def reconnect(self, after_s: float) -> None:
        await self._link.reconnect(after_s)
