"""Interpreters that tests start: they import the same build of the package, and the tests' own modules."""

import os
from pathlib import Path

import imuposture


def environment(**more: str) -> dict[str, str]:
    """Return ours with a path that leads to both, whatever Python itself puts first (PYTHONSAFEPATH: nothing)."""
    folders = [str(Path(imuposture.__file__).parents[1]), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))} | more
