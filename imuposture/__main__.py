"""The command line: files and sensors in, session folders out.

Standard output is data, standard error is for people. Exit codes: 0 all went well, 1 everything failed, 2 wrong usage,
3 no sensor, 4 some inputs failed, 130 interrupted. Nothing heavy is imported before a command needs it.
"""

import logging
import signal
import sys
from typing import NoReturn

import click

from imuposture import __version__
from imuposture._cli.checking import check
from imuposture._cli.comparing import score, trend
from imuposture._cli.demonstrating import demo
from imuposture._cli.processing import process
from imuposture._cli.recording import record, recover
from imuposture._cli.sensors import pair, scan, selftest
from imuposture._cli.telling import INTERRUPTED


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imuposture")
def cli() -> None:
    """Two motion sensors on a back: spinal angles, left/right balance, and how sure they are.

    For research, education and training; not a medical device.
    """


for command in (check, demo, pair, process, record, recover, scan, score, selftest, trend):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, _stop)
    logging.getLogger("bumble").setLevel(logging.CRITICAL)  # it speaks of every packet into a link that is lost
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


if __name__ == "__main__":
    main()
