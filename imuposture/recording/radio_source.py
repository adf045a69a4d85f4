"""Sensors on the air, this machine's or a virtual one, as a source."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from imuposture._blocks import Role
from imuposture._errors import AcquisitionError
from imuposture.acquisition.ble import Address, Clock, EntryQueue, Found, Link, Radio, Transport, find, parse
from imuposture.acquisition.ble.host import watch_host
from imuposture.acquisition.drivers import Driver
from imuposture.pipeline import LiveSensor
from imuposture.pipeline.remembered import facts_of
from imuposture.recording.outcome import SensorTally
from imuposture.recording.wishes import Wishes

__all__ = ["Airs", "Native", "RadioSource"]


class Airs(Protocol):
    """The air, or the airs, that sensors are in."""

    async def enter(self) -> dict[Role, tuple[Transport, Address]]:
        """Make them ready; return for each role where its sensor is and which it is."""
        ...

    async def leave(self) -> None:
        """Be done with them."""
        ...


class Native:
    """The radio of this machine, or one that was made elsewhere.

    Parameters
    ----------
    uris : mapping of role to str
    transport : Transport
    """

    def __init__(self, uris: Mapping[Role, str], transport: Transport) -> None:
        self._places = {role: (transport, parse(uri)) for role, uri in uris.items()}

    async def enter(self) -> dict[Role, tuple[Transport, Address]]:
        """Return where the sensors are."""
        return self._places

    async def leave(self) -> None:
        """Do nothing; the air stays."""


class RadioSource:
    """One or two sensors on the air.

    Parameters
    ----------
    airs : Airs
    wishes : Wishes
    clock : Clock

    Attributes
    ----------
    sensors : mapping of role to LiveSensor
    links : list of Link
    """

    def __init__(self, airs: Airs, wishes: Wishes, clock: Clock) -> None:
        self.sensors: Mapping[Role, LiveSensor] = {}
        self.links: list[Link] = []
        self._airs, self._wishes, self._clock = airs, wishes, clock
        self._places: dict[Role, tuple[Transport, Address]] = {}
        self._found: dict[Role, Found] = {}
        self._queue: EntryQueue | None = None
        self._watch: asyncio.Task[None] | None = None
        self._entered = False

    @property
    def worlds(self) -> Mapping[str, Any]:
        """The virtual worlds that the sensors are worn in, by name; they know the truth. None around real sensors."""
        return getattr(self._airs, "worlds", {})

    async def open(self, queue: EntryQueue) -> None:
        """Find the sensors; one that is not there is taken for one of the other's kind, and sought on.

        Raises
        ------
        AcquisitionError
            If none is there, or no driver takes one.
        """
        self._queue = queue
        self._entered = True
        self._places = await self._airs.enter()
        radios = {id(transport): Radio(transport) for transport, _ in self._places.values()}
        await self._look(radios)
        self.sensors = {role: self._sensor(role) for role in self._places}
        for transport, address, roles in self._peripherals():
            seats = [self.sensors[role].settings for role in roles]
            found = self._found.get(roles[0])
            sighting = None if found is None else found.sighting
            driver = self.sensors[roles[0]].driver
            self.links.append(
                Link(radios[id(transport)], driver, seats, queue, self._clock, address=address, sighting=sighting)
            )

    def start(self) -> None:
        """Connect, in tasks of the running loop."""
        for link in self.links:
            link.start()
        self._watch = asyncio.create_task(watch_host(self._clock, self._slept, self._late), name="host")

    async def ended(self) -> None:
        """Wait for ever: sensors have no end of their own."""
        await asyncio.Event().wait()

    async def close(self, *, polite: bool = True) -> None:
        """Stop the streams, disconnect, and leave the air; both sensors at once."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(link.stop(polite=polite) for link in self.links))
        if self._entered:
            self._entered = False
            await self._airs.leave()

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the sensors; addresses are hashed with a salt of this session."""
        salt = secrets.token_hex(8)
        return {"sensors": {role: self._facts(role, salt) for role in self.sensors}}

    def tallies(self) -> dict[Role, SensorTally]:
        """Return what the links went through."""
        return {
            role: SensorTally(
                connections=link.connections,
                losses=link.losses,
                stale=link.stale,
                state=link.state,
                reason=link.reason,
            )
            for link in self.links
            for role in link.roles
        }

    async def _look(self, radios: Mapping[int, Radio]) -> None:
        """Find what is there; the airs are searched at the same time."""
        searches = []
        for key, radio in radios.items():
            wanted = {role: address for role, (transport, address) in self._places.items() if id(transport) == key}
            searches.append(find(radio, wanted, self._wishes.find_s, choose=self._wishes.choose))
        for found in await asyncio.gather(*searches):
            self._found |= found

    def _sensor(self, role: Role) -> LiveSensor:
        driver = self._driver(role)
        settings = self._wishes.settings(role, self._places[role][1].part)
        driver.stream(settings)  # refuses what the sensor cannot do before anything is recorded
        return LiveSensor(driver, settings)

    def _driver(self, role: Role) -> Driver:
        """Return the driver of a sensor; of one that is not there yet, that of the other."""
        found = self._found.get(role) or next(iter(self._found.values()))
        if found.driver is None:
            raise AcquisitionError(f"{role}: no driver takes this sensor")
        return found.driver

    def _peripherals(self) -> list[tuple[Transport, Address, list[Role]]]:
        """Return one entry a peripheral, with the roles of the IMUs on it."""
        merged: dict[tuple[int, str], tuple[Transport, Address, list[Role]]] = {}
        for role, (transport, address) in self._places.items():
            found = self._found.get(role)
            who = address.text.casefold() if found is None else found.advertisement.address
            merged.setdefault((id(transport), who), (transport, address, []))[2].append(role)
        _refuse_twice(merged.values(), self._places)
        return list(merged.values())

    def _facts(self, role: Role, salt: str) -> dict[str, Any]:
        sensor, found = self.sensors[role], self._found.get(role)
        facts = facts_of(sensor)
        if found is not None:
            digest = hashlib.sha256((salt + found.advertisement.address).encode()).hexdigest()
            facts |= {"address_salt": salt, "address_sha256": digest}
        return facts

    def _slept(self, seconds: float) -> None:
        self._tell("suspended", seconds)
        for link in self.links:
            link.renew(f"the host slept for {seconds:.0f} s")

    def _late(self, seconds: float) -> None:
        self._tell("host_late", seconds)

    def _tell(self, event: str, seconds: float) -> None:
        if self._queue is not None:
            self._queue.tell(self._clock.now_ns(), None, 0, event, seconds=round(seconds, 3))


def _refuse_twice(peripherals: Any, places: Mapping[Role, tuple[Transport, Address]]) -> None:
    for _, address, roles in peripherals:
        if len(roles) > 1 and len({places[role][1].part for role in roles}) < len(roles):
            raise AcquisitionError(
                f"{address} cannot be worn in two places: give two sensors, or one with several IMUs as {address}#0 "
                f"and {address}#1"
            )
