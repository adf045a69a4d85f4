"""How things are put to people and programs: escaped, in words, on lines."""

import csv
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from imuposture import Result

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "NO_SENSOR",
    "PARTLY",
    "Failure",
    "described",
    "failure",
    "progress_of",
    "put_path",
    "report",
    "safe",
    "summed_up",
]

FAILED, NO_SENSOR, PARTLY, INTERRUPTED = 1, 3, 4, 130
QUIET_S = 1.5  # s; work shorter than this shows no progress bar
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run a cell that begins so (CWE-1236)


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """An input that could not be processed, and why."""

    name: str
    kind: str
    message: str


def failure(name: str, error: Exception) -> Failure:
    """Return what to report of an error."""
    return Failure(name, type(error).__name__, str(error) or type(error).__name__)


def put_path(path: str) -> None:
    """Print a path as it is for a program, and harmless for a terminal."""
    click.echo(safe(path, len(path)) if sys.stdout.isatty() else os.fsencode(path))


@contextmanager
def progress_of(name: str) -> Iterator[Callable[[float], None] | None]:
    """Give a callback that draws a bar on a terminal, once the work turns out to be long."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    begun = time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(safe(name).replace("[", r"\["), total=1.0, visible=False)
        yield lambda share: bar.update(task, completed=share, visible=time.monotonic() - begun > QUIET_S)


def summed_up(result: "Result") -> Iterator[str]:
    """Sum a session up, a line at a time."""
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
    untold = [row for row in rows if row["verdict"] == "cannot_tell"]
    for why in dict.fromkeys(row["reason"] for row in untold):
        names = ", ".join(_words(row["metric"], row["plane"]) for row in untold if row["reason"] == why)
        yield f"cannot tell: {names}" + (f" ({safe(why)})" if why else "")


def _with_interval(row: dict[str, Any]) -> str:
    bounds = f" ({_number(row['low'])} to {_number(row['high'])})" if row["low"] is not None else ""
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    return f"{_number(row['value'])}{bounds}{unit}"


def _words(*names: str | None) -> str:
    return " ".join(name.replace("_", " ") for name in names if name)


def described(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Put what is in a recording on lines of name and value."""
    for key, value in found.items():
        name = f"{indent}{safe(key).replace('_', ' ')}"
        if isinstance(value, dict):
            yield f"{name}:" if value else f"{name}: none"
            yield from described(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{name}: {'' if value else 'none'}".rstrip()
            yield from (f"{indent}  {safe(item)}" for item in value)
        else:
            yield f"{name}: {safe(_number(value))}"


def _number(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{value} {unit}" for value, unit in parts if value) or "0 s"


def report(failures: Sequence[Failure], path: Path | None) -> None:
    """Write the table of errors: a line an input on standard error, or a CSV file."""
    for failure in failures if path is None else ():
        click.echo(f"error: {safe(failure.name)}: {safe(failure.message, 2000)}", err=True)
    if path is None:
        return
    with click.open_file(str(path), "w", encoding="utf-8", atomic=True) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["input", "error", "message"])
        table.writerows([_cell(text) for text in dataclasses.astuple(failure)] for failure in failures)
    if failures:
        click.echo(f"{len(failures)} failed; see {safe(path)}", err=True)


def _cell(text: str) -> str:
    return f"'{safe(text, 2000)}" if text.startswith(_FORMULA) else safe(text, 2000)


def safe(value: object, limit: int = 300) -> str:
    """Return a text that no terminal takes for a command, cut to ``limit`` characters."""
    from imuposture.acquisition.readers.text import safe_text

    return safe_text(value, limit)
