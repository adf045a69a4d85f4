"""Scanning: what is in range, which driver takes it, and which of it is meant by a URI."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from imuposture._blocks import Role
from imuposture._errors import AcquisitionError
from imuposture.acquisition.ble.addresses import Address
from imuposture.acquisition.ble.faults import explained
from imuposture.acquisition.ble.radio import Radio, Sighting
from imuposture.acquisition.ble.transport import NATIVE, Transport
from imuposture.acquisition.drivers import Advertisement, Driver
from imuposture.acquisition.readers.text import safe_text

__all__ = ["Found", "choose_driver", "find", "scan", "shown_name"]

SCAN_S = 5.0
FIND_S = 20.0
SETTLE_S = 1.0  # once a name was found: does another device bear it too?
NAMES_SHOWN = 8

Choose = Callable[[Advertisement], Driver | None]


@dataclass(frozen=True, slots=True)
class Found:
    """A sensor in range.

    Attributes
    ----------
    sighting : Sighting
        The device, for connecting to it, and the best of what it said.
    driver : Driver or None
        The one that takes it; None if no driver knows it.
    """

    sighting: Sighting
    driver: Driver | None

    @property
    def advertisement(self) -> Advertisement:
        """What it says of itself; hostile input."""
        return self.sighting.advertisement


def choose_driver(advertisement: Advertisement) -> Driver | None:
    """Return the driver that takes a sensor, of all that are installed."""
    from imuposture.acquisition.drivers.registry import driver_for

    return driver_for(advertisement, _drivers())


@cache
def _drivers() -> Mapping[str, Driver]:
    from imuposture.acquisition.drivers.registry import drivers

    return drivers()


def shown_name(advertisement: Advertisement) -> str:
    """Return a sensor's name and address as they may be shown."""
    name = safe_text(advertisement.name, 40) if advertisement.name else "(no name)"
    return f"{name} [{safe_text(advertisement.address, 40)}]"


async def scan(
    transport: Transport = NATIVE, seconds: float = SCAN_S, *, choose: Choose = choose_driver
) -> list[Found]:
    """Listen for a while and return what is in range: sensors with a driver first, then by signal strength.

    Parameters
    ----------
    transport : Transport
        This machine's Bluetooth, or that of a virtual world.
    seconds : float
        How long to listen.
    choose : callable
        Given what a sensor says of itself, returns the driver that takes it, or None.

    Returns
    -------
    list of Found
        What sensors say of themselves is hostile input; `shown_name` makes it harmless.

    Raises
    ------
    AcquisitionError
        If there is no Bluetooth that could be used.
    """
    seen: dict[str, Sighting] = {}
    try:
        async with Radio(transport).seeking(lambda sighting: _keep(seen, sighting)):
            await asyncio.sleep(seconds)
    except Exception as error:
        raise explained(error, "scanning") from error
    found = [Found(sighting, choose(sighting.advertisement)) for sighting in seen.values()]
    return sorted(found, key=lambda one: (one.driver is None, -(one.advertisement.rssi_dbm or -999)))


async def find(
    radio: Radio, wanted: Mapping[Role, Address], seconds: float = FIND_S, *, choose: Choose = choose_driver
) -> dict[Role, Found]:
    """Find the sensors that are meant; those that are not in range are left out.

    Raises
    ------
    AcquisitionError
        If none is in range, a name is borne by several, no driver takes one, or there is no Bluetooth.
    """
    seen: dict[str, Sighting] = {}
    try:
        await _listen(radio, wanted, seconds, seen)
    except Exception as error:
        raise explained(error, "looking for the sensors") from error
    sightings = list(seen.values())
    matches = {role: [one for one in sightings if address.meets(one[1])] for role, address in wanted.items()}
    for role, address in wanted.items():
        _refuse_several(role, address, matches[role])
    found = {role: Found(some[0], choose(some[0].advertisement)) for role, some in matches.items() if some}
    if not found:
        raise AcquisitionError(_none_found(wanted, sightings))
    return {role: _with_driver(one) for role, one in found.items()}


async def _listen(radio: Radio, wanted: Mapping[Role, Address], seconds: float, seen: dict[str, Sighting]) -> None:
    """Listen until all are seen, a little longer where a name may be borne by several, or until time is up."""
    complete = asyncio.Event()

    def look(sighting: Sighting) -> None:
        _keep(seen, sighting)
        if all(any(address.meets(one.advertisement) for one in seen.values()) for address in wanted.values()):
            complete.set()

    async with radio.seeking(look):
        try:
            async with asyncio.timeout(seconds):
                await complete.wait()
        except TimeoutError:
            return
        if any(address.is_name for address in wanted.values()):
            await asyncio.sleep(SETTLE_S)


def _keep(seen: dict[str, Sighting], sighting: Sighting) -> None:
    """Keep the newest sighting, with the name and the services of earlier ones: a report may lack them."""
    device, new = sighting
    old = seen.get(new.address)
    if old is not None:
        before = old.advertisement
        new = Advertisement(
            new.address,
            new.name or before.name,
            tuple(dict.fromkeys(before.service_uuids + new.service_uuids)),
            {**before.manufacturer_data, **new.manufacturer_data},
            new.rssi_dbm,
        )
    seen[new.address] = Sighting(device, new)


def _refuse_several(role: Role, address: Address, matches: Sequence[Sighting]) -> None:
    if len(matches) > 1:
        addresses = ", ".join(f"ble:{safe_text(one.advertisement.address, 40)}" for one in matches)
        raise AcquisitionError(f"{role}: {len(matches)} sensors are called {address}; give one of {addresses}")


def _with_driver(found: Found) -> Found:
    if found.driver is None:
        raise AcquisitionError(
            f"{shown_name(found.advertisement)}: no driver takes this sensor; `imuposture scan` shows which do, and "
            "docs/add_a_sensor.md how to describe one"
        )
    return found


def _none_found(wanted: Mapping[Role, Address], seen: Sequence[Sighting]) -> str:
    meant = " and ".join(f"{address} ({role})" for role, address in wanted.items())
    names = [shown_name(one.advertisement) for one in seen if one.advertisement.name][:NAMES_SHOWN]
    others = f"in range: {', '.join(names)}" if names else "nothing with a name is in range"
    return f"{meant}: not found; switch it on, keep it near, disconnect it from other devices; {others}"
