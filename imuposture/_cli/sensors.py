"""`imuposture scan`, `pair` and `selftest`: which sensors there are, which is worn where, and whether one is sane."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imuposture._cli.telling import FAILED, NO_SENSOR, safe
from imuposture._errors import AcquisitionError, ImuPostureError

if TYPE_CHECKING:
    from imuposture.acquisition.ble import Found

__all__ = ["line_of", "pair", "scan", "selftest"]


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 300.0), default=5.0, show_default=True, help="Time to listen.")
@click.option("--all", "everything", is_flag=True, help="Show devices that no driver takes, too.")
@click.option("--virtual", metavar="SCRIPT", help="Look at virtual sensors instead of this machine's radio.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def scan(*, seconds: float, everything: bool, virtual: str | None, as_json: bool) -> int:
    """Show the sensors in range, and which driver takes each.

    Names and addresses come from the air and are shown harmless. "never tried" means that the driver was written from
    the maker's pages and has not been tried on hardware yet: `imuposture selftest` is how to change that.
    """
    try:
        found = asyncio.run(_scan(seconds, virtual))
    except ImuPostureError as error:
        return _no_sensor(error)
    shown = [one for one in found if everything or one.driver is not None]
    if as_json:
        click.echo(json.dumps([_as_data(one) for one in shown], indent=2))
    else:
        for one in shown:
            click.echo(line_of(one))
    if not shown:
        click.echo(f"no sensor in range that a driver takes, of {len(found)} devices; is it charged and on?", err=True)
    return 0 if shown else NO_SENSOR


async def _scan(seconds: float, virtual: str | None) -> "Sequence[Found]":
    from imuposture.acquisition.ble import Transport
    from imuposture.acquisition.ble import scan as listen

    if virtual is None:
        return await listen(seconds=seconds)
    from imuposture.acquisition.virtual import VirtualWorld

    async with VirtualWorld(virtual) as world:
        return await listen(Transport("virtual", world.transport.scanner_kwargs, {}), seconds)


def _as_data(found: "Found") -> dict[str, Any]:
    said, driver = found.advertisement, found.driver
    return {
        "name": None if said.name is None else safe(said.name),
        "address": safe(said.address),
        "rssi_dbm": said.rssi_dbm,
        "driver": None if driver is None else driver.name,
        "verified": None if driver is None else driver.verified,
    }


def line_of(found: "Found") -> str:
    """Put a sensor on a line, as it may be shown."""
    from imuposture.acquisition.ble import shown_name

    driver = found.driver
    tried = "" if driver is None else f" ({f'verified: {safe(driver.verified)}' if driver.verified else 'never tried'})"
    strength = found.advertisement.rssi_dbm
    return (
        f"{shown_name(found.advertisement)}  {'' if strength is None else f'{strength} dBm  '}"
        f"{'no driver' if driver is None else driver.title}{tried}"
    )


@click.command(short_help="Remember which sensor is worn where.")
@click.option("--upper", metavar="NAME|ADDRESS", help="The sensor worn on the upper back.")
@click.option("--lower", metavar="NAME|ADDRESS", help="The sensor worn on the lower back.")
@click.option("--seconds", type=click.FloatRange(0.1, 300.0), default=5.0, show_default=True, help="Time to listen.")
def pair(*, upper: str | None, lower: str | None, seconds: float) -> int:
    """Remember which sensor is upper and which is lower, so that `record` needs no names.

    Without options, shows what is remembered.
    """
    from imuposture.acquisition.ble.pairing import Paired, paired, remember

    try:
        given = {role: name for role, name in (("upper", upper), ("lower", lower)) if name is not None}
        if given:
            found = asyncio.run(_find(given, seconds))
            remember(
                {
                    role: Paired(one.advertisement.address, one.advertisement.name, one.driver.name)  # type: ignore[union-attr]  # `find` refuses what no driver takes
                    for role, one in found.items()
                }
            )
        for role, one in paired().items():
            click.echo(f"{role}: {safe(one.name or '(no name)')} [{safe(one.address)}], {safe(one.driver)}")
        if not paired():
            click.echo("nothing is remembered; name the sensors: imuposture pair --upper NAME --lower NAME", err=True)
    except ImuPostureError as error:
        return _no_sensor(error)
    return 0


async def _find(given: dict[Any, str], seconds: float) -> "dict[Any, Found]":
    from imuposture.acquisition.ble import NATIVE, Radio, find, parse

    wanted = {role: parse(name if name.startswith("ble:") else f"ble:{name}") for role, name in given.items()}
    found = await find(Radio(NATIVE), wanted, seconds)
    if missing := sorted(set(given) - set(found)):
        raise AcquisitionError(f"{safe(given[missing[0]])} is not in range; `imuposture scan` shows what is")
    return found


@click.command(short_help="Look at one sensor: is it sane?")
@click.argument("uri")
@click.option("--seconds", type=click.FloatRange(1.0, 3600.0), default=30.0, show_default=True, help="Time to look.")
@click.option("--capture", type=click.Path(path_type=Path, dir_okay=False), help="Keep what it sent in this new file.")
def selftest(*, uri: str, seconds: float, capture: Path | None) -> int:
    """Look at one sensor: rate, counter, units against gravity, axes, drift.

    Leave it lying still for the first half, then turn it slowly about all axes. The capture is what turns "never
    tried" into "verified": send it with the model and firmware of the sensor.
    """
    from imuposture.recording.selftest import selftest as look

    try:
        outcome = asyncio.run(look(uri, seconds, capture=capture))
    except ImuPostureError as error:
        return _no_sensor(error)
    for check in outcome.checks:
        click.echo(safe(f"{check.verdict:8}  {check.name}: {check.words}", 1000))
    if outcome.capture is not None:
        click.echo(f"what it sent: {safe(outcome.capture)}", err=True)
    return 0 if outcome.passed else FAILED


def _no_sensor(error: Exception) -> int:
    click.echo(f"error: {safe(error, 2000)}", err=True)
    return NO_SENSOR if isinstance(error, AcquisitionError) else FAILED
