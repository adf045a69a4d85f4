"""`imuposture record` and `recover`: sensors in, a session folder out."""

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imuposture._cli.telling import FAILED, INTERRUPTED, NO_SENSOR, progress_of, put_path, safe, summed_up
from imuposture._errors import AcquisitionError, ConfigError, ImuPostureError

if TYPE_CHECKING:
    from imuposture._blocks import Entry
    from imuposture.calibration import Calibration
    from imuposture.pipeline import Config, Rows
    from imuposture.protocols import Cue
    from imuposture.recording import Outcome, Recorder
    from imuposture.recording.sources import Source

__all__ = ["record", "recover", "tell"]

_TOLD = {
    "up": "connected",
    "streaming": "streaming",
    "stalled": "no data: connecting again",
    "down": "link lost: connecting again",
    "gave_up": "given up",
    "battery": "battery",
}


@click.command()
@click.option("--upper", metavar="URI", help="ble:NAME|ADDRESS[#n], virtual:SCRIPT or file:PATH; else the paired one.")
@click.option("--lower", metavar="URI", help="Likewise; the same virtual script on both is one spine.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The session folder: new, or empty.")
@click.option("--seconds", type=click.FloatRange(0.1), help="From the first pair of samples; else until Ctrl-C.")
@click.option("--calibrate/--no-calibrate", default=True, help="Guide the wearer through a calibration first.")
@click.option("--range-test", is_flag=True, help="Then guide the wearer through a range-of-motion test.")
@click.option("--calibration", metavar="SRC", type=click.Path(path_type=Path), help="Take it from a session instead.")
@click.option("--rate", type=click.FloatRange(1.0, 2000.0), help="Samples a second; else each driver's default.")
@click.option("--magnetometer", is_flag=True, help="Ask for the magnetic field too, and use it for the heading.")
@click.option("--placement", help="Where the sensors sit, as t12_s2.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings, as TOML.")
@click.option("--jsonl", is_flag=True, help="Print every row as it comes, as a line of JSON.")
def record(**options: Any) -> int:
    """Record two sensors live into a session folder.

    Sensors that are lost are sought until the recording ends; what arrived is on the disk within half a second.
    Ctrl-C ends it properly.
    """
    try:
        outcome = _record(**options)
    except KeyboardInterrupt:  # a second Ctrl-C, while the session was made
        return _left(options["out"])
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    except ImuPostureError as error:
        click.echo(f"error: {safe(error, 2000)}", err=True)
        return NO_SENSOR if isinstance(error, AcquisitionError) else FAILED
    for line in outcome.message().splitlines():
        click.echo(safe(line, 2000), err=True)
    if outcome.result is not None:
        for line in summed_up(outcome.result):
            click.echo(f"  {safe(line)}", err=True)
        if not options["jsonl"]:
            put_path(str(outcome.folder))
    return outcome.exit_code


def _left(out: Path | None) -> int:
    """Say what a recording that was interrupted twice left behind."""
    waits = out is not None and any(out.glob("journal*"))
    click.echo(f"Interrupted; nothing is lost: imuposture recover {safe(out)}" if waits else "Interrupted.", err=True)
    return INTERRUPTED


def _record(
    *,
    upper: str | None,
    lower: str | None,
    out: Path | None,
    seconds: float | None,
    calibrate: bool,
    range_test: bool,
    calibration: Path | None,
    rate: float | None,
    magnetometer: bool,
    placement: str | None,
    config: Path | None,
    jsonl: bool,
) -> "Outcome":
    from imuposture.recording import Wishes, source_of
    from imuposture.recording import record as run

    if out is None and not jsonl:
        raise ConfigError("nothing would be kept: give --out FOLDER, or --jsonl to print the rows")
    settings = _settings(config, placement, magnetometer=magnetometer)
    source = source_of(upper, lower, Wishes(rate_hz=rate, magnetometer=settings.magnetometer))
    borrowed = None if calibration is None else _borrowed(calibration)
    printer = _Printer(alone=out is None)
    beginnings = [printer.begin, _guided(source, calibrate and borrowed is None, range_test)]

    def began(recorder: "Recorder") -> None:
        for begin in beginnings:
            begin(recorder)

    return run(
        out=out,
        seconds=seconds,
        config=settings,
        calibration=borrowed,
        source=source,
        readers=[printer.put] if jsonl else [],
        told=tell,
        began=began,
    )


def _settings(path: Path | None, placement: str | None, *, magnetometer: bool) -> "Config":
    from imuposture.pipeline import Config

    config = Config() if path is None else Config.from_toml(path)
    config = dataclasses.replace(config, magnetometer=magnetometer or config.magnetometer)
    return config if placement is None else dataclasses.replace(config, placement=placement)


def _borrowed(path: Path) -> "Calibration":
    from imuposture.calibration import Calibration
    from imuposture.output import manifest

    stored = manifest.load(path).get("calibration")
    if not isinstance(stored, dict):
        raise ConfigError(f"{path}: the session holds no calibration; give another one, or leave --calibration out")
    found = Calibration.fromdict(stored, source=str(path))
    if not found.usable:
        raise ConfigError(f"{path}: its calibration cannot be used: {' '.join(found.verdicts)}")
    return found


def _guided(source: "Source", calibrate: bool, range_test: bool) -> "Callable[[Recorder], None]":
    """Return what starts guided calibration and test; a virtual wearer has a time for the former of their own."""

    def begin(recorder: "Recorder") -> None:
        if calibrate or range_test:
            tasks.append(asyncio.get_running_loop().create_task(_guide(recorder, source, calibrate, range_test)))

    tasks: list[asyncio.Task[None]] = []  # the loop itself holds tasks weakly
    return begin


async def _guide(recorder: "Recorder", source: "Source", calibrate: bool, range_test: bool) -> None:
    from imuposture.protocols import cues_of, guided_calibration, guided_range_of_motion
    from imuposture.recording.prompting import LOOK_S, prompt

    while not recorder.streaming:
        await asyncio.sleep(LOOK_S)
    worlds = getattr(source, "worlds", {})
    cues: Sequence[Cue] = guided_calibration()
    begin_s = None
    for world in worlds.values():
        cues, begin_s = cues_of(world.simulation.windows), world.motion_s
    if calibrate:
        await prompt(recorder, cues, _say, begin_s=begin_s)
    if range_test:
        await prompt(recorder, guided_range_of_motion(), _say)


def _say(text: str) -> None:
    click.echo(text, err=True)


def tell(entry: "Entry", say: Callable[[str], None] | None = None) -> None:
    """Say what became of a link, where people want to know; on standard error, unless told where."""
    if entry.kind != "link":
        return
    told = json.loads(entry.payload)
    if (event := told.get("event")) in _TOLD:
        reason = f" ({safe(told['reason'])})" if told.get("reason") else ""
        text = f"{entry.role or 'both'}: {_TOLD[event]}{reason}"
        click.echo(text, err=True) if say is None else say(text)


class _Printer:
    """Prints rows and events as lines of JSON; what is not known is null.

    Once nobody reads them, a recording that is kept goes on, and one that is not kept has nothing left to do.
    """

    def __init__(self, *, alone: bool) -> None:
        self._alone, self._read = alone, True
        self._stop: Callable[[], object] = lambda: None

    def begin(self, recorder: "Recorder") -> None:
        """Take note of what is to be ended; called in its loop."""
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(recorder.stop)

    def put(self, rows: "Rows") -> None:
        """Print them; called in a thread of the reader's own."""
        from imuposture.output.lines import lines_of

        if not self._read:
            return
        try:
            for line in lines_of(rows.posture, rows.metrics):
                click.echo(line)
        except BrokenPipeError:
            self._read = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
            if self._alone:
                self._stop()
            else:
                click.echo("nobody reads the rows any more; the recording goes on", err=True)


@click.command(short_help="Finish a session whose recorder died.")
@click.argument("session", type=click.Path(path_type=Path, file_okay=False))
def recover(session: Path) -> int:
    """Finish a session whose recorder died; nothing that reached the disk is lost."""
    from imuposture.recording.replaying import recover as mend

    try:
        with progress_of(session.name) as progress:
            found = mend(session, progress)
    except (ImuPostureError, OSError) as error:
        click.echo(f"error: {safe(error, 2000)}", err=True)
        return FAILED
    click.echo(safe(str(found), 2000), err=True)
    if found.result is None:
        return FAILED
    put_path(str(session))
    return 0
