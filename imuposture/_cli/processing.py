"""`imuposture process`: recordings in, session folders out."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imuposture._cli.comparing import opened_diary, write_tasks
from imuposture._cli.telling import FAILED, PARTLY, Failure, failure, progress_of, put_path, report, safe, summed_up
from imuposture._errors import ConfigError, ImuPostureError

if TYPE_CHECKING:
    from imuposture import Config, Result

__all__ = ["process"]


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


@click.command(short_help="Turn recordings into session folders.")
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
@click.option(
    "--clocks",
    type=click.Choice(["causal", "fit"]),
    help="fit: lay the clocks of a session that was recorded live by all that arrived, not by what had so far.",
)
@click.option(
    "--shaken",
    nargs=2,
    type=float,
    metavar="BEGIN END",
    help="When both sensors were shaken together, s: to even out their lag.",
)
@click.option("--samples", is_flag=True, help="Copy the samples into the session.")
@click.option("--overwrite", is_flag=True, help="Replace sessions that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print figures and verdicts as one JSON list.")
@click.option("--diary", type=click.Path(path_type=Path, dir_okay=False), help="Who did what when: OUT/tasks.parquet.")
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
    clocks: str | None,
    shaken: tuple[float, float] | None,
    samples: bool,
    overwrite: bool,
    as_json: bool,
    diary: Path | None,
    errors: Path | None,
) -> int:
    """Turn recordings or sessions into session folders.

    Prints the path of each session. One that was made from the same input with the same settings is kept.
    """
    jobs = _jobs(inputs, upper, lower, out)
    _refuse_errors_file(errors, out)
    chosen = {"placement": placement, "smoothed": smoothed or None, "clocks": clocks, "shaken_s": shaken}
    settings = _config(config, {name: value for name, value in chosen.items() if value is not None})
    known = None if diary is None else opened_diary(diary)
    options = {"config": settings, "calibration": calibration, "overwrite": overwrite, "samples": samples}
    done, failures = _work(jobs, options, as_json=as_json)
    if known is not None and len(failures) < len(jobs):
        failures += write_tasks([Path(one["path"]) for one in done if one["path"]], known, out)
    report(failures, errors)
    return 0 if not failures else FAILED if len(failures) == len(jobs) else PARTLY


def _work(jobs: Sequence[Job], options: dict[str, Any], *, as_json: bool) -> tuple[list[dict[str, Any]], list[Failure]]:
    """Do one job after the other, and print what became of each."""
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
            put_path(str(outcome.path))
    if as_json:
        click.echo(json.dumps(done, indent=2, allow_nan=False))
    return done, failures


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
                f"{safe(other.name)} and {safe(job.name)} would both be written to {safe(job.out)}; "
                "rename one, or process them into different --out folders"
            )
        if job.recording is not None and job.recording.resolve() == job.out.resolve():
            raise click.UsageError(f"{safe(job.name)} would be written over itself; choose another --out")
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
        raise click.UsageError(f"--errors {safe(path)} lies inside --out; name a file elsewhere")
    if not folder.is_dir():
        raise click.UsageError(f"--errors {safe(path)}: there is no such folder; make it first")


def _config(path: Path | None, chosen: dict[str, Any]) -> "Config":
    """Return the settings of a file, with what the command line says in their place."""
    from imuposture import Config

    try:
        return dataclasses.replace(Config() if path is None else Config.from_toml(path), **chosen)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _run(job: Job, options: dict[str, Any]) -> "Result | Failure":
    """Process one recording; what goes wrong with it must not stop the others."""
    from imuposture import process as run

    try:
        with progress_of(job.name) as progress:
            return run(job.recording, upper=job.upper, lower=job.lower, out=job.out, progress=progress, **options)
    except (ImuPostureError, OSError) as error:
        return failure(job.name, error)


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
    click.echo(f"{safe(job.name)} -> {safe(result.path)}", err=True)
    for line in summed_up(result):
        click.echo(f"  {safe(line)}", err=True)
