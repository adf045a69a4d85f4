"""`imuposture scan`, `pair` and `selftest`: which sensors there are, which is worn where, and whether one is sane."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imuposture._cli.telling import FAILED, NO_SENSOR, safe
from imuposture._errors import AcquisitionError, ImuPostureError

if TYPE_CHECKING:
    from imuposture._blocks import Role
    from imuposture.acquisition.ble import About, Address, Found, Radio
    from imuposture.acquisition.ble.pairing import Paired

__all__ = ["line_of", "pair", "scan", "selftest"]

# What each of the commands can do without Bluetooth.
_SCAN_WAY = "to look at virtual sensors instead: imuposture scan --virtual demo"
_PAIR_WAY = "virtual sensors need no pairing: imuposture record --upper virtual:demo --lower virtual:demo"
_SELFTEST_WAY = "to look at a virtual sensor instead: imuposture selftest virtual:demo"


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 300.0), default=5.0, show_default=True, help="Time to listen.")
@click.option("--all", "everything", is_flag=True, help="Show devices that no driver takes, too.")
@click.option("--ask/--no-ask", default=True, help="Connect to each sensor for a moment, for its battery.")
@click.option("--identify", metavar="NAME|ADDRESS", help="Let this sensor blink or buzz, where it can; show no others.")
@click.option("--virtual", metavar="SCRIPT", help="Look at virtual sensors instead of this machine's radio.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def scan(
    *, seconds: float, everything: bool, ask: bool, identify: str | None, virtual: str | None, as_json: bool
) -> int:
    """Show the sensors in range, which driver takes each, and how full they are.

    Names and addresses come from the air and are shown harmless. "never tried" means that the driver was written from
    the maker's pages and has not been tried on hardware yet: `imuposture selftest` is how to change that.
    """
    try:
        if identify is not None:
            return asyncio.run(_identify(identify, seconds, virtual))
        found, told = asyncio.run(_scan(seconds, virtual, ask=ask))
    except ImuPostureError as error:
        return _no_sensor(error, _SCAN_WAY)
    shown = [one for one in found if everything or one.driver is not None]
    if as_json:
        click.echo(json.dumps([_as_data(one, told.get(one.advertisement.address)) for one in shown], indent=2))
    else:
        for one in shown:
            click.echo(line_of(one, told.get(one.advertisement.address)))
    if not shown:
        click.echo(f"no sensor in range that a driver takes, of {len(found)} devices; is it charged and on?", err=True)
    return 0 if shown else NO_SENSOR


async def _scan(seconds: float, virtual: str | None, *, ask: bool) -> "tuple[Sequence[Found], dict[str, About]]":
    """Return what is in range, and what the sensors said when asked, by address."""
    from imuposture.acquisition.ble import scan as listen

    async with _radio(virtual) as radio:
        found = await listen(radio.transport, seconds)
        taken = [one for one in found if one.driver is not None]
        return found, await _asked(radio, taken) if ask else {}


async def _asked(radio: "Radio", found: "Sequence[Found]") -> "dict[str, About]":
    """Ask each sensor what it is, one after the other; one that does not let itself be asked is told of."""
    from imuposture.acquisition.ble import visit

    told: dict[str, About] = {}
    for one in found:
        try:
            told[one.advertisement.address] = await visit(radio, one)
        except AcquisitionError as error:
            click.echo(safe(error, 500), err=True)
    return told


async def _identify(name: str, seconds: float, virtual: str | None) -> int:
    from imuposture.acquisition.ble import blink

    async with _radio(virtual) as radio:
        (found,) = (await _find(radio, {"upper": name}, seconds)).values()
        await blink(radio, found)
    click.echo(f"{line_of(found)}: it blinks or buzzes now")
    return 0


@asynccontextmanager
async def _radio(virtual: str | None) -> "AsyncIterator[Radio]":
    """Give this machine's radio, or that of a virtual world."""
    from imuposture.acquisition.ble import NATIVE, Radio, Transport

    if virtual is None:
        yield Radio(NATIVE)
        return
    from imuposture.acquisition.virtual import open_world

    async with open_world(virtual) as world:
        given = world.transport
        yield Radio(Transport("virtual", given.scanner_kwargs, given.client_kwargs))


def _as_data(found: "Found", about: "About | None") -> dict[str, Any]:
    said, driver = found.advertisement, found.driver
    texts = {name: None if about is None else getattr(about, name) for name in ("model", "serial", "firmware")}
    return {
        "name": None if said.name is None else safe(said.name),
        "address": safe(said.address),
        "rssi_dbm": said.rssi_dbm,
        "driver": None if driver is None else driver.name,
        "verified": None if driver is None else driver.verified,
        "battery_percent": None if about is None else about.battery_percent,
        **{name: None if text is None else safe(text) for name, text in texts.items()},
    }


def line_of(found: "Found", about: "About | None" = None) -> str:
    """Put a sensor on a line, as it may be shown; with what it said when asked."""
    from imuposture.acquisition.ble import shown_name

    driver = found.driver
    tried = "" if driver is None else f" ({f'verified: {safe(driver.verified)}' if driver.verified else 'never tried'})"
    strength = found.advertisement.rssi_dbm
    percent = None if about is None else about.battery_percent
    parts = [
        shown_name(found.advertisement),
        *([] if strength is None else [f"{strength} dBm"]),
        *([] if percent is None else [f"battery {percent} %"]),
        f"{'no driver' if driver is None else driver.title}{tried}",
    ]
    return "  ".join(parts)


@click.command(short_help="Remember which sensor is worn where.")
@click.option("--upper", metavar="NAME|ADDRESS", help="The sensor worn on the upper back.")
@click.option("--lower", metavar="NAME|ADDRESS", help="The sensor worn on the lower back.")
@click.option("--seconds", type=click.FloatRange(0.1, 300.0), default=5.0, show_default=True, help="Time to listen.")
def pair(*, upper: str | None, lower: str | None, seconds: float) -> int:
    """Remember which sensor is upper and which is lower, so that `record` needs no names.

    Without options, shows what is remembered.
    """
    from imuposture.acquisition.ble.pairing import paired, remember

    try:
        given: dict[Role, str] = {}
        if upper is not None:
            given["upper"] = upper
        if lower is not None:
            given["lower"] = lower
        if given:
            remember(asyncio.run(_met(given, seconds)))
        for role, one in paired().items():
            serial = f", serial number {safe(one.serial)}" if one.serial else ""
            click.echo(f"{role}: {safe(one.name or '(no name)')} [{safe(one.address)}], {safe(one.driver)}{serial}")
        if not paired():
            click.echo("nothing is remembered; name the sensors: imuposture pair --upper NAME --lower NAME", err=True)
    except ImuPostureError as error:
        return _no_sensor(error, _PAIR_WAY)
    return 0


async def _met(given: "Mapping[Role, str]", seconds: float) -> "dict[Role, Paired]":
    """Find sensors and ask for their serial numbers."""
    from imuposture.acquisition.ble.pairing import Paired

    met: dict[Role, Paired] = {}
    async with _radio(None) as radio:
        found = await _find(radio, given, seconds)
        told = await _asked(radio, list(found.values()))
    for role, one in found.items():
        said = one.advertisement
        if one.driver is not None:  # `find` refuses what no driver takes
            serial = told[said.address].serial if said.address in told else None
            met[role] = Paired(said.address, said.name, one.driver.name, serial, _place(given[role]).part)
    return met


async def _find(radio: "Radio", given: "Mapping[Role, str]", seconds: float) -> "dict[Role, Found]":
    from imuposture.acquisition.ble import find

    found = await find(radio, {role: _place(name) for role, name in given.items()}, seconds)
    if missing := sorted(set(given) - set(found)):
        raise AcquisitionError(f"{safe(given[missing[0]])} is not in range; `imuposture scan` shows what is")
    return found


def _place(name: str) -> "Address":
    from imuposture.acquisition.ble import parse

    return parse(name if name.startswith("ble:") else f"ble:{name}")


@click.command(short_help="Look at one sensor: is it sane?")
@click.argument("uri")
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=30.0, show_default=True, help="Time to look.")
@click.option("--driver", metavar="NAME|FILE.toml", help="For a sensor that does not say on the air what it is.")
@click.option("--capture", type=click.Path(path_type=Path, dir_okay=False), help="Keep what it sent in this new file.")
def selftest(*, uri: str, seconds: float, driver: str | None, capture: Path | None) -> int:
    """Look at one sensor: rate, counter, units against gravity, axes, drift.

    Leave it lying still for the first half, then turn it slowly about all axes. The capture is what turns "never
    tried" into "verified": send it with the model and firmware of the sensor.
    """
    from imuposture.recording import Wishes
    from imuposture.recording.selftest import selftest as look

    try:
        outcome = asyncio.run(look(uri, seconds, capture=capture, wishes=Wishes().by(driver)))
    except ImuPostureError as error:
        return _no_sensor(error, _SELFTEST_WAY)
    for check in outcome.checks:
        click.echo(safe(f"{check.verdict:8}  {check.name}: {check.words}", 1000))
    if outcome.capture is not None:
        click.echo(f"what it sent: {safe(outcome.capture)}", err=True)
    return 0 if outcome.passed else FAILED


def _no_sensor(error: Exception, way: str) -> int:
    """Say what went wrong; where there is no Bluetooth, with what this command can do without."""
    from imuposture.acquisition.ble.faults import NoBluetoothError

    if isinstance(error, NoBluetoothError):
        error = NoBluetoothError(error.reason, way)
    click.echo(f"error: {safe(error, 2000)}", err=True)
    return NO_SENSOR if isinstance(error, AcquisitionError) else FAILED
