"""`imuposture score` and `imuposture trend`: sessions that are there, looked at anew."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imuposture._cli.telling import FAILED, Failure, failure, put_path, report, safe
from imuposture._errors import ConfigError, ImuPostureError

if TYPE_CHECKING:
    from imuposture.scoring import ByTask, Diary, Score
    from imuposture.trend import Trends
    from imuposture.trend.following import Trend

__all__ = ["opened_diary", "score", "trend", "write_tasks"]

# Of the figures by task, those that fit a screen; all of them stand in the tables.
SHOWN = ("inclination_p50", "inclination_p90", "share_above_20deg", "share_above_60deg", "share_overall_red")


@click.command(short_help="Count sessions under other thresholds, or by task.")
@click.argument("sessions", metavar="SESSION...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--thresholds", metavar="SET", help="A set by its id, or an own one (TOML).")
@click.option("--against", metavar="SET", help="A second set to compare with.")
@click.option("--diary", type=click.Path(path_type=Path, dir_okay=False), help="Who did what when (CSV): by task.")
@click.option("--save", is_flag=True, help="Write scores.parquet into each session, and leave its other files alone.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="With --diary: folder for tasks.parquet.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON.")
def score(
    *,
    sessions: tuple[Path, ...],
    thresholds: str | None,
    against: str | None,
    diary: Path | None,
    save: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Count the postures of sessions under a set of thresholds, or by the tasks of a diary.

    A trunk score is one part of the method it comes from, never the method's score.
    """
    _refuse_contradictions(thresholds, against, diary, save=save, out=out)
    try:
        if diary is not None:
            return _score_tasks(sessions, diary, (thresholds,) if thresholds else None, out, as_json=as_json)
        return _score_sessions(sessions, thresholds or "", against, save=save, as_json=as_json)
    except (ImuPostureError, OSError) as error:
        if isinstance(error, ConfigError):
            raise click.UsageError(safe(str(error), 2000)) from error
        report([failure(str(sessions[0]), error)], None)
        return FAILED


def _refuse_contradictions(
    thresholds: str | None, against: str | None, diary: Path | None, *, save: bool, out: Path | None
) -> None:
    if diary is None and thresholds is None:
        from imuposture.metrics import known_sets

        raise click.UsageError(f"name a set: --thresholds SET, one of {', '.join(known_sets())}, or a file in TOML")
    if diary is not None and (against or save):
        raise click.UsageError("--diary goes with --thresholds and --out, not with --against or --save")
    if diary is None and out is not None:
        raise click.UsageError("--out goes with --diary; --save writes into the sessions")
    if out is not None and not out.is_dir():
        raise click.UsageError(f"--out {safe(out)}: there is no such folder; make it first")


def _score_sessions(
    sessions: Sequence[Path], thresholds: str, against: str | None, *, save: bool, as_json: bool
) -> int:
    from imuposture.output import open_sessions
    from imuposture.scoring import score as run

    done = []
    for name, result in open_sessions(sessions).results.items():
        scored = run(result, thresholds, against=against, save=save)
        done.append(_as_data(name, scored))
        if not as_json:
            for line in _lines(name, scored):
                click.echo(safe(line, 500))
    if as_json:
        click.echo(json.dumps(done, indent=2, allow_nan=False))
    return 0


def _as_data(name: str, scored: "Score") -> dict[str, Any]:
    crossing = [
        {"class": a, "against_class": b, "minutes": minutes} for (a, b), minutes in (scored.crossing or {}).items()
    ]
    return {"session": name, "figures": scored.table.to_pylist(), "crossing": crossing}


def _lines(name: str, scored: "Score") -> Iterator[str]:
    """Put a score on lines: the figures of each set, then what the two call differently."""
    both = [(scored.thresholds, scored.figures)]
    if scored.against is not None:
        both.append((scored.against, scored.against_figures))
    for thresholds, figures in both:
        yield f"{name}, {thresholds.id} (version {thresholds.version}; {thresholds.source})"
        for figure in figures:
            value = "unknown" if figure.value is None else f"{figure.value:.2f}"
            why = f"  ({figure.reason})" if figure.reason else ""
            yield f"  {figure.metric:<44}{value:>10} {figure.unit if figure.unit != '1' else ''}{why}".rstrip()
        yield from (f"  note: {text}" for text in thresholds.disclosed)
    if scored.against is not None:
        yield from _crossed(scored)


def _crossed(scored: "Score") -> Iterator[str]:
    if scored.crossing is None or scored.against is None:
        yield "the two cannot be crossed: one of them does not combine its rules to one class a row"
        return
    yield f"minutes that {scored.thresholds.id} and {scored.against.id} call"
    for (a, b), minutes in scored.crossing.items():
        if minutes:
            yield f"  {a:<20}{b:<20}{minutes:>10.2f} min"


def _score_tasks(
    sessions: Sequence[Path], diary: Path, thresholds: tuple[str, ...] | None, out: Path | None, *, as_json: bool
) -> int:
    from imuposture.metrics import THRESHOLDS
    from imuposture.scoring import by_task

    found = by_task(list(sessions), diary, thresholds=thresholds or THRESHOLDS)
    written = [] if out is None else found.write(out)
    if as_json:
        click.echo(json.dumps({"tasks": found.tasks.to_pylist(), "notes": found.notes}, indent=2, allow_nan=False))
        return 0
    _tell_tasks(found)
    for path in written:
        put_path(str(path))
    return 0


def opened_diary(path: Path) -> "Diary":
    """Read a diary before anything else is done: a mistake in it should not show after an hour of work."""
    from imuposture.scoring import read_diary

    try:
        return read_diary(path)
    except ConfigError as error:
        raise click.UsageError(safe(str(error), 2000)) from error


def write_tasks(sessions: Sequence[Path], diary: "Diary", out: Path) -> list[Failure]:
    """Sum sessions up by task into ``out``; what goes wrong is one more failure."""
    from imuposture.scoring import by_task

    try:
        found = by_task(list(sessions), diary)
        found.write(out)
    except (ImuPostureError, OSError) as error:
        return [failure(str(diary.path), error)]
    _tell_tasks(found)
    return []


def _tell_tasks(found: "ByTask") -> None:
    """Sum exposure by task up for the person at the terminal."""
    for row in found.tasks.to_pylist():
        if row["metric"] not in SHOWN or row["plane"] is not None:
            continue
        who = row["wearer"] or row["group"] or "all"
        between = "" if row["low"] is None else f" ({row['low']:.1f} to {row['high']:.1f})"
        count = f"{row['wearers']} wearers, {row['occasions']} occasions"
        value = f"{row['metric'].replace('_', ' ')} {row['mean']:.1f}{between} {row['unit']}"
        click.echo(safe(f"{row['task']}, {who}: {value}, {count}", 500), err=True)
    for note in found.notes:
        click.echo(f"note: {safe(note, 500)}", err=True)


@click.command(short_help="Tell what changed over many sessions.")
@click.argument("sessions", metavar="SESSION...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--metric", "metrics", multiple=True, help="A figure to follow; may be given more than once.")
@click.option("--baseline", default=5, show_default=True, help="Sessions at the beginning to compare with.")
@click.option("--planned", default=7.0, show_default=True, help="Days a week that were planned.")
@click.option("--least-hours", default=6.0, show_default=True, help="Usable hours that make a day count.")
@click.option("--by-wearer", is_flag=True, help="Each SESSION is the folder of a wearer: how well figures repeat.")
@click.option("--in-order", is_flag=True, help="Take the sessions as given, one a day.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def trend(
    *,
    sessions: tuple[Path, ...],
    metrics: tuple[str, ...],
    baseline: int,
    planned: float,
    least_hours: float,
    by_wearer: bool,
    in_order: bool,
    as_json: bool,
) -> int:
    """Tell what changed over the sessions of one wearer: beyond what that wearer varies, or not shown.

    No trend is told from fewer than 8 sessions.
    """
    from imuposture.trend import trends

    try:
        if by_wearer:
            return _tell_repeated(sessions, metrics, as_json=as_json)
        found = trends(
            list(sessions),
            metrics=metrics or None,
            baseline=baseline,
            planned_a_week=planned,
            least_hours=least_hours,
            in_order=in_order,
        )
    except ConfigError as error:
        raise click.UsageError(safe(str(error), 2000)) from error
    except (ImuPostureError, OSError) as error:
        report([failure(str(sessions[0]), error)], None)
        return FAILED
    if as_json:
        click.echo(json.dumps(found.asdict(), indent=2, allow_nan=False))
        return 0
    for line in (*map(_trend_line, found.figures), *_kept_lines(found)):
        click.echo(safe(line, 500))
    return 0


def _tell_repeated(folders: Sequence[Path], metrics: Sequence[str], *, as_json: bool) -> int:
    """Tell how well figures repeat over the sessions of several wearers."""
    from imuposture.trend import repeatability

    found = repeatability({str(folder): folder for folder in folders}, metrics=metrics or None)
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found], indent=2, allow_nan=False))
        return 0
    for one in found:
        name = " ".join(part.replace("_", " ") for part in (one.metric, one.plane, one.side) if part)
        told = f"cannot tell: {one.reason}"
        if one.icc2 is not None:
            told = f"ICC(2,1) {one.icc2:.2f}, ICC(3,1) {one.icc3:.2f}, SEM {one.sem:.3g}, MDC {one.mdc:.3g} {one.unit}"
        click.echo(safe(f"{name}: {told} ({one.wearers} wearers, {one.times} sessions each)", 500))
    return 0


def _trend_line(one: "Trend") -> str:
    name = " ".join(part.replace("_", " ") for part in (one.metric, one.plane, one.side) if part)
    parts = [f"{name}: {one.first:.4g} -> {one.latest:.4g} {one.unit if one.unit != '1' else ''}".rstrip()]
    if one.slope is not None:
        parts.append(f"{one.slope:+.3g} a week ({one.slope_low:.3g} to {one.slope_high:.3g}), p {one.p:.3f}")
    if one.change is not None:
        words = "really changed" if one.changed == "changed" else "no change shown"
        parts.append(f"{words}: {one.change:+.3g} against {one.mdc:.3g} that this wearer varies")
    if one.left_limits is not None:
        parts.append(f"average left its limits at {one.left_limits}")
    if one.reason is not None:
        parts.append(f"cannot tell: {one.reason}")
    return "; ".join(parts)


def _kept_lines(found: "Trends") -> Iterator[str]:
    days = found.diligence
    if days is not None:
        yield (
            f"days: {days.counted} of {days.planned:.0f} planned ({days.share:.0f} %); longest streak "
            f"{days.longest_streak}, latest {days.latest_streak}; {days.weeks_kept} of {days.weeks} weeks kept"
        )
    for account in found.accounts:
        plane = account.plane.replace("_", " ")
        yield f"{plane}: dose right {account.dose_right:.0f}, left {account.dose_left:.0f} deg min"
        if account.owes is not None:
            yield f"  equal after {account.minutes:.0f} min to the {account.owes}, 10 degrees beyond the dead band"
        if account.fewer is not None:
            yield f"  by count, after {account.repetitions} more repetitions to the {account.fewer}"
    if found.accounts:
        yield "  (arithmetic, not advice: a dose counts posture, not load)"
    yield from (f"note: {note}" for note in found.notes)
