"""`imuposture check`: what is in a file, whether it is sane, and what would be assumed or done."""

import json
from pathlib import Path
from typing import Any

import click

from imuposture._cli.telling import FAILED, described, failure, report
from imuposture._errors import ImuPostureError

__all__ = ["check"]


@click.command(short_help="Tell what is in a file, and whether it is sane.")
@click.argument("recording", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def check(recording: Path, as_json: bool) -> int:
    """Tell what is in a recording, a session or the profile of a sensor, and whether it is sane.

    Of a recording, also what would be assumed; of a profile (TOML), what its driver would do.
    """
    try:
        found = _found(recording)
    except (ImuPostureError, OSError) as error:
        report([failure(str(recording), error)], None)
        return FAILED
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        for line in described(found):
            click.echo(line)
    return 0


def _found(path: Path) -> dict[str, Any]:
    from imuposture.acquisition.drivers.declarative import describe_profile, is_profile
    from imuposture.acquisition.readers import describe, open_recording

    if path.suffix == ".toml" and is_profile(path):
        return describe_profile(path)
    if (path / "session.json").exists():
        _verify(path)
    return describe(open_recording(path))


def _verify(folder: Path) -> None:
    from imuposture.output import open_sessions

    for result in open_sessions(folder).results.values():
        result.verify()
