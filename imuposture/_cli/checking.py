"""`imuposture check`: what is in a file, whether it is sane, and what would be assumed."""

import json
from pathlib import Path

import click

from imuposture._cli.telling import FAILED, described, failure, report
from imuposture._errors import ImuPostureError

__all__ = ["check"]


@click.command()
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
        report([failure(str(recording), error)], None)
        return FAILED
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        for line in described(found):
            click.echo(line)
    return 0


def _verify(folder: Path) -> None:
    from imuposture.output import open_sessions

    for result in open_sessions(folder).results.values():
        result.verify()
