"""The command line: files in, session folders out.

Standard output is data, standard error is for people. Exit codes: 0 all went well, 1 everything failed, 2 wrong usage,
4 some inputs failed, 130 interrupted. Nothing heavy is imported before a command needs it.
"""

import csv
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from imuposture import __version__
from imuposture._errors import ConfigError, ImuPostureError

if TYPE_CHECKING:
    from imuposture import Config, Result

FAILED, USAGE, PARTLY, INTERRUPTED = 1, 2, 4, 130
QUIET_S = 1.5  # s; work shorter than this shows no progress bar
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run a cell that begins so (CWE-1236)


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One recording to process: a file or folder, or one file a sensor."""

    out: Path
    recording: Path | None = None
    upper: Path | None = None
    lower: Path | None = None

    @property
    def name(self) -> str:
        """What the user gave, for messages."""
        return " and ".join(str(path) for path in (self.recording, self.upper, self.lower) if path is not None)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An input that could not be processed, and why."""

    name: str
    kind: str
    message: str


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imuposture")
def cli() -> None:
    """Two motion sensors on a back: spinal angles, left/right balance, and how sure they are.

    For research, education and training; not a medical device.
    """


@cli.command()
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Sessions go to OUT/STEM/."
)
@click.option("--upper", type=click.Path(path_type=Path), help="File of the upper sensor, in place of INPUT.")
@click.option("--lower", type=click.Path(path_type=Path), help="File of the lower sensor, in place of INPUT.")
@click.option(
    "--calibration", metavar="SRC", type=click.Path(path_type=Path), help="Take it from a session or recording."
)
@click.option("--placement", help="Where the sensors sit; overrides what the recording says.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="Settings, as TOML.")
@click.option("--smoothed", is_flag=True, help="Let every row know what was measured later; takes 1 GB for 8 hours.")
@click.option("--samples", is_flag=True, help="Copy the samples into the session.")
@click.option("--overwrite", is_flag=True, help="Replace sessions that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print figures and verdicts as one JSON list.")
@click.option("--errors", type=click.Path(path_type=Path, dir_okay=False), help="Write the table of errors here (CSV).")
def process(
    *,
    inputs: tuple[Path, ...],
    out: Path,
    upper: Path | None,
    lower: Path | None,
    calibration: Path | None,
    placement: str | None,
    config: Path | None,
    smoothed: bool,
    samples: bool,
    overwrite: bool,
    as_json: bool,
    errors: Path | None,
) -> int:
    """Turn recordings or sessions into session folders.

    Prints the path of each session. One that was made from the same input with the same settings is kept.
    """
    jobs = _jobs(inputs, upper, lower, out)
    _refuse_errors_file(errors, out)
    settings = _config(config, placement, smoothed=smoothed)
    options = {"config": settings, "calibration": calibration, "overwrite": overwrite, "samples": samples}
    done: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for job in jobs:
        outcome = _run(job, options)
        if isinstance(outcome, Failure):
            failures.append(outcome)
            done.append({"input": job.name, "path": None, "status": "failed", "error": outcome.message})
            continue
        _tell(job, outcome)
        done.append(_as_data(job, outcome))
        if not as_json:
            _put_path(str(outcome.path))
    if as_json:
        click.echo(json.dumps(done, indent=2, allow_nan=False))
    _report(failures, errors)
    return 0 if not failures else FAILED if len(failures) == len(jobs) else PARTLY


@cli.command()
@click.argument("recording", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def check(recording: Path, as_json: bool) -> int:
    """Tell what is in a recording or session, whether it is sane, and what would be assumed."""
    from imuposture.acquisition.readers import describe, open_recording

    try:
        if (recording / "session.json").exists():
            _verify(recording)
        found = describe(open_recording(recording))
    except (ImuPostureError, OSError) as error:
        _report([_failure(str(recording), error)], None)
        return FAILED
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        for line in _described(found):
            click.echo(line)
    return 0


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, _stop)
    try:
        code = cli.main(prog_name="imuposture", standalone_mode=False)
    except click.Abort:
        click.echo("Interrupted; nothing was left half-written.", err=True)
        code = INTERRUPTED
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    sys.exit(code or 0)


def _stop(number: int, _: object) -> NoReturn:
    """Leave through the context managers, so that nothing half-written stays."""
    sys.exit(128 + number)


def _jobs(inputs: Sequence[Path], upper: Path | None, lower: Path | None, out: Path) -> list[Job]:
    """Return what to process, and refuse what would write twice to one place or over its own input."""
    sensor = upper or lower
    if bool(inputs) == (sensor is not None):
        raise click.UsageError("give recordings, or --upper FILE and --lower FILE, and not both")
    if sensor is not None:
        return [Job(out / _stem(sensor), None, upper, lower)]
    jobs = [Job(out / _stem(path), path) for path in inputs]
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.out.name.casefold(), job)  # some file systems do not tell a from A
        if other is not job:
            raise click.UsageError(
                f"{_safe(other.name)} and {_safe(job.name)} would both be written to {_safe(job.out)}; "
                "rename one, or process them into different --out folders"
            )
        if job.recording is not None and job.recording.resolve() == job.out.resolve():
            raise click.UsageError(f"{_safe(job.name)} would be written over itself; choose another --out")
    return jobs


def _stem(path: Path) -> str:
    """Return the name of the session: that of a folder, or of a file without its ending."""
    whole = Path(os.path.abspath(path))
    return whole.name if whole.is_dir() else whole.stem


def _refuse_errors_file(path: Path | None, out: Path) -> None:
    """Refuse a table of errors that could not be written in the end, or would lie among the sessions."""
    if path is None:
        return
    folder = path.resolve().parent
    if out.resolve() in (folder, *folder.parents):
        raise click.UsageError(f"--errors {_safe(path)} lies inside --out; name a file elsewhere")
    if not folder.is_dir():
        raise click.UsageError(f"--errors {_safe(path)}: there is no such folder; make it first")


def _config(path: Path | None, placement: str | None, *, smoothed: bool) -> "Config":
    from imuposture import Config

    try:
        config = Config() if path is None else Config.from_toml(path)
        if smoothed:
            config = dataclasses.replace(config, smoothed=True)
        return config if placement is None else dataclasses.replace(config, placement=placement)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _run(job: Job, options: dict[str, Any]) -> "Result | Failure":
    """Process one recording; what goes wrong with it must not stop the others."""
    from imuposture import process as run

    try:
        with _progress(job.name) as progress:
            return run(job.recording, upper=job.upper, lower=job.lower, out=job.out, progress=progress, **options)
    except (ImuPostureError, OSError) as error:
        return _failure(job.name, error)


def _put_path(path: str) -> None:
    """Print a path as it is for a program, and harmless for a terminal."""
    click.echo(_safe(path, len(path)) if sys.stdout.isatty() else os.fsencode(path))


def _failure(name: str, error: Exception) -> Failure:
    return Failure(name, type(error).__name__, str(error) or type(error).__name__)


def _verify(folder: Path) -> None:
    from imuposture.output import open_sessions

    for result in open_sessions(folder).results.values():
        result.verify()


@contextmanager
def _progress(name: str) -> Iterator[Callable[[float], None] | None]:
    """Give a callback that draws a bar on a terminal, once the work turns out to be long."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    begun = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(_safe(name).replace("[", r"\["), total=1.0, visible=False)
        yield lambda share: bar.update(task, completed=share, visible=time.monotonic() - begun > QUIET_S)


def _as_data(job: Job, result: "Result") -> dict[str, Any]:
    """Return what a program wants to know of a session without opening it."""
    calibration = result.manifest.get("calibration")
    return {
        "input": job.name,
        "path": str(result.path),
        "status": result.status,
        "duration_s": result.manifest.get("duration_s"),
        "calibration": calibration.get("verdicts", []) if isinstance(calibration, dict) else [],
        "notes": result.manifest.get("notes", []),
        "verdicts": [figure for figure in result.summary.to_pylist() if figure["verdict"] is not None],
        "summary": result.summary.to_pylist(),
    }


def _tell(job: Job, result: "Result") -> None:
    """Sum a session up for the person at the terminal."""
    click.echo(f"{_safe(job.name)} -> {_safe(result.path)}", err=True)
    for line in _summed_up(result):
        click.echo(f"  {_safe(line)}", err=True)


def _summed_up(result: "Result") -> Iterator[str]:
    known = result.manifest
    if result.status == "kept":
        made = known.get("software", {}).get("version", "unknown")
        yield f"kept as it is: same input and settings, made by version {made}; --overwrite makes it again"
    yield f"duration: {_duration(known.get('duration_s') or 0.0)}"
    for name in ("calibration", "heading"):
        yield from (f"{name}: {told}" for told in _told(known.get(name)))
    yield from _losses(known.get("alignment"))
    yield from _figures(result.summary.to_pylist())
    yield from (f"note: {note}" for note in known.get("notes", []))


def _told(value: object) -> Iterator[str]:
    """Put a part of the manifest in words: its verdicts where it has some, else its plain figures."""
    if not isinstance(value, dict):
        return
    if "usable" in value:
        yield "usable" if value["usable"] else "not usable"
    yield from map(str, value.get("verdicts", []))
    if "verdicts" not in value:
        plain = [(key, item) for key, item in value.items() if isinstance(item, str | int | float)]
        yield ", ".join(f"{_words(key)} {_number(item)}" for key, item in plain)


def _losses(alignment: object) -> Iterator[str]:
    sensors = alignment.get("sensors") if isinstance(alignment, dict) else None
    for role, counts in sensors.items() if isinstance(sensors, dict) else ():
        yield f"samples, {role}: " + ", ".join(
            f"{count} {_words(what)}" for what, count in counts.items() if count or what in {"kept", "lost"}
        )


def _figures(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Put the ranges of a plane on one line, with right - left, and each verdict on one of its own."""
    planes = dict.fromkeys(row["plane"] for row in rows if row["metric"] == "range_of_motion")
    for plane in planes:
        mine = [row for row in rows if row["plane"] == plane]
        sides = [f"{row['side']} {_number(row['value'])}" for row in mine if row["metric"] == "range_of_motion"]
        between = [f"right - left {_with_interval(row)}" for row in mine if row["metric"] == "range_difference"]
        yield f"range of motion, {_words(plane)}: {', '.join(sides)} deg" + "".join(f"; {text}" for text in between)
    for row in rows:
        if row["verdict"] in {"asymmetric", "even", "not_shown"}:
            yield f"{_words(row['verdict'])}: {_words(row['metric'], row['plane'])} {_with_interval(row)}"
    if untold := [_words(row["metric"], row["plane"]) for row in rows if row["verdict"] == "cannot_tell"]:
        yield f"cannot tell: {', '.join(untold)}"


def _with_interval(row: dict[str, Any]) -> str:
    bounds = f" ({_number(row['low'])} to {_number(row['high'])})" if row["low"] is not None else ""
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    return f"{_number(row['value'])}{bounds}{unit}"


def _words(*names: str | None) -> str:
    return " ".join(name.replace("_", " ") for name in names if name)


def _described(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Put what is in a recording on lines of name and value."""
    for key, value in found.items():
        name = f"{indent}{_safe(key).replace('_', ' ')}"
        if isinstance(value, dict):
            yield f"{name}:" if value else f"{name}: none"
            yield from _described(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{name}: {'' if value else 'none'}".rstrip()
            yield from (f"{indent}  {_safe(item)}" for item in value)
        else:
            yield f"{name}: {_safe(_number(value))}"


def _number(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def _report(failures: Sequence[Failure], path: Path | None) -> None:
    """Write the table of errors: a line an input on standard error, or a CSV file."""
    for failure in failures if path is None else ():
        click.echo(f"error: {_safe(failure.name)}: {_safe(failure.message, 2000)}", err=True)
    if path is None:
        return
    with click.open_file(str(path), "w", encoding="utf-8", atomic=True) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["input", "error", "message"])
        table.writerows([_cell(text) for text in dataclasses.astuple(failure)] for failure in failures)
    if failures:
        click.echo(f"{len(failures)} failed; see {_safe(path)}", err=True)


def _cell(text: str) -> str:
    return f"'{_safe(text, 2000)}" if text.startswith(_FORMULA) else _safe(text, 2000)


def _safe(value: object, limit: int = 300) -> str:
    from imuposture.acquisition.readers.text import safe_text

    return safe_text(value, limit)


if __name__ == "__main__":
    main()
