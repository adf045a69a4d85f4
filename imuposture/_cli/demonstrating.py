"""`imuposture demo`: the whole way from two sensors to a session, without hardware, beside the truth."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imuposture._cli.recording import tell
from imuposture._cli.sensors import line_of
from imuposture._cli.telling import FAILED, NO_SENSOR, put_path, safe
from imuposture._errors import AcquisitionError, ImuPostureError

if TYPE_CHECKING:
    from imuposture.acquisition.ble import Found
    from imuposture.recording.demonstration import Demonstration, Figure

__all__ = ["demo"]


@click.command(short_help="Record two virtual sensors, and compare with the truth.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="The session folder; else a new one in out/."
)
def demo(out: Path | None) -> int:
    """Record two virtual sensors on a simulated back, and hold the session against the truth.

    Takes about a minute and no hardware. The radio is simulated; scanning, connecting, losing a link and recording are
    not. Ends with 0 if all figures are within their limits.
    """
    out = out or _new(Path("out"))
    try:
        shown = asyncio.run(_demonstrate(out))
    except KeyboardInterrupt:
        raise click.Abort from None
    except (ImuPostureError, OSError) as error:
        click.echo(f"error: {safe(error, 2000)}", err=True)
        return NO_SENSOR if isinstance(error, AcquisitionError) else FAILED
    for line in shown.outcome.message().splitlines():
        click.echo(safe(line, 2000), err=True)
    for line in _table(shown.figures) if shown.figures else ():
        click.echo(line, err=True)
    click.echo(_verdict(shown), err=True)
    if shown.outcome.result is not None:
        put_path(str(shown.outcome.folder))
    return 0 if shown.passed else FAILED


def _new(parent: Path) -> Path:
    """Return a folder that is not there yet."""
    names = itertools.chain(["demo"], (f"demo_{number}" for number in itertools.count(2)))
    return next(parent / name for name in names if not (parent / name).exists())


async def _demonstrate(out: Path) -> "Demonstration":
    from imuposture.recording.demonstration import demonstrate

    begun = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"{time.monotonic() - begun:5.1f} s  {text}", err=True)

    def saw(found: "Sequence[Found]") -> None:
        for one in found:
            say(f"in range: {line_of(one)}")

    say("Two virtual sensors are put on a simulated back; scanning.")
    return await demonstrate(out, saw=saw, say=say, told=lambda entry: tell(entry, say))


def _table(figures: "Sequence[Figure]") -> list[str]:
    """Put figures under each other, with the truth beside them."""
    rows = [("", "found", "truth", "may differ by", "")]
    rows += [
        (
            f"{figure.name}{f', {figure.unit}' if figure.unit else ''}",
            f"{figure.found:.4g}",
            f"{figure.true:.4g}",
            f"{figure.limit:.4g}",
            "" if figure.good else "OFF",
        )
        for figure in figures
    ]
    name, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = []
    for title, *cells in rows:
        shown = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append(f"  {title:<{name}}  {'  '.join(shown)}".rstrip())
    return lines


def _verdict(shown: "Demonstration") -> str:
    """Say whether it is well, and what is off."""
    off = [figure.name for figure in shown.figures if not figure.good]
    if not shown.figures:
        return "There is no whole session to hold against the truth."
    if off:
        return f"Off: {'; '.join(off)}."
    return "All figures are within their limits." if shown.passed else "The recording did not end well; see above."
