"""Sessions and a diary -> exposure by task, wearer and group, with what differs between and within wearers.

An occasion is one task in one session: all its entries together. Only usable rows count, with the sensors worn.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from imuposture._blocks import Figure, FloatArray, PostureBlock, Quality
from imuposture._errors import ConfigError
from imuposture.metrics import THRESHOLDS, MetricContext, MetricSet
from imuposture.output import Result, Sessions, counted_rows, open_sessions, put_table, rate_of
from imuposture.scoring.diary import Diary, Entry, read_diary
from imuposture.scoring.variance import Components, one_way

__all__ = ["ByTask", "by_task"]

METRICS = ("exposure", "classes")
NOT_WORN = ("not_worn",)  # kinds of event in which nothing counts
LEAD_S = 0.5  # s before an entry that are known to be another task; what looks back must not look there
LONGEST_WINDOW_S = 86_400.0
SUMMED = ("min", "deg min")  # units of what grows with the time spent: no mean over occasions of different length
SHORTEST_MIN = 1.0  # usable minutes below which an occasion says nothing

_Span = tuple[float, float]


class Occasion(NamedTuple):
    """One task in one session."""

    task: str
    group: str | None
    wearer: str
    session: str
    minutes: float
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class ByTask:
    """Exposure by task.

    Attributes
    ----------
    occasions : pyarrow.Table
        Every figure of every occasion.
    tasks : pyarrow.Table
        Mean of every figure by task: over all wearers (``group`` and ``wearer`` null), over each group, and of each
        wearer, with variances between and within wearers.
    notes : list of str
        What was left out, and why.
    """

    occasions: pa.Table
    tasks: pa.Table
    notes: list[str]

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write ``tasks.parquet`` and ``occasions.parquet`` into a folder; return their paths.

        Raises
        ------
        SessionError
            If they cannot be written.
        """
        tables = {"tasks": self.tasks, "occasions": self.occasions}
        return [put_table(Path(folder) / f"{name}.parquet", table) for name, table in tables.items()]


def by_task(
    sessions: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Sessions,
    diary: str | os.PathLike[str] | Diary,
    *,
    thresholds: tuple[str, ...] = THRESHOLDS,
) -> ByTask:
    """Count exposure by task, wearer and group.

    Parameters
    ----------
    sessions : path, paths or Sessions
    diary : path or Diary
        Who did what when, see `read_diary`.
    thresholds : tuple of str
        Threshold sets whose classes are counted.

    Returns
    -------
    ByTask

    Raises
    ------
    ConfigError
        If the diary cannot be read without doubt, or fits no session.
    SessionError
        If a session is missing or damaged.
    """
    known = diary if isinstance(diary, Diary) else read_diary(diary)
    opened = sessions if isinstance(sessions, Sessions) else open_sessions(sessions)
    found: list[Occasion] = []
    notes: list[str] = []
    for name, result in opened.results.items():
        occasions = list(_occasions(name, result, known, thresholds))
        if not occasions:
            notes.append(f"{name}: no entry of the diary falls into it")
        for occasion in occasions:
            if occasion.minutes >= SHORTEST_MIN:
                found.append(occasion)
            else:
                notes.append(f"{name}: {occasion.task}: left out, {60.0 * occasion.minutes:.0f} usable seconds only")
    if not found:
        raise ConfigError(f"{known.path}: no task of the diary has a usable minute in any session ({'; '.join(notes)})")
    return ByTask(_occasion_table(found), _task_table(found), notes)


def _occasions(name: str, result: Result, diary: Diary, thresholds: tuple[str, ...]) -> Iterator[Occasion]:
    entries = diary.of(name.rsplit("/", 1)[-1])
    if not entries:
        return
    rate, rows = rate_of(result), counted_rows(result)
    context = MetricContext(rate, window_s=LONGEST_WINDOW_S, thresholds=thresholds)
    tasks = {entry.task: MetricSet(context, METRICS) for entry in entries}
    spans: dict[str, list[_Span]] = {}
    worn: list[_Span] = _not_worn(result)
    for posture in rows:
        if not len(posture):
            continue
        if not spans:
            spans = _spans(name, result, entries, float(posture.time_s[0]))
        for task, metrics in tasks.items():
            metrics.push(_during(posture, spans[task], worn))
    for task, metrics in tasks.items():
        figures = metrics.finish().summary
        minutes = next(figure.value or 0.0 for figure in figures if figure.metric == "minutes_usable")
        if minutes > 0.0:
            yield Occasion(task, entries[0].group, entries[0].wearer, name, minutes, figures)


def _spans(name: str, result: Result, entries: Sequence[Entry], first_s: float) -> dict[str, list[_Span]]:
    """Return the spans of session time of each task."""
    offset = 0.0
    if entries[0].instants:
        start = result.manifest.get("start")
        if not isinstance(start, str):
            raise ConfigError(f"{name} does not know when it began; write the diary in seconds of the session")
        offset = first_s - (datetime.fromisoformat(start) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    found: dict[str, list[_Span]] = {entry.task: [] for entry in entries}
    for entry in entries:
        found[entry.task].append((entry.start + offset, entry.end + offset))
    return found


def _not_worn(result: Result) -> list[_Span]:
    events = result.events
    columns = [events.column(name).to_pylist() for name in ("kind", "start_s", "end_s")]
    return [(start, end) for kind, start, end in zip(*columns, strict=True) if kind in NOT_WORN]


def _inside(time: FloatArray, spans: Sequence[_Span], lead: float = 0.0) -> NDArray[np.bool_]:
    inside = np.zeros(len(time), np.bool_)
    for start, end in spans:
        inside[np.searchsorted(time, start - lead) : np.searchsorted(time, end)] = True
    return inside


def _during(posture: PostureBlock, spans: Sequence[_Span], not_worn: Sequence[_Span]) -> PostureBlock:
    """Return the rows of a task, and as gaps those that just precede it or in which nobody wore the sensors."""
    time = posture.time_s
    rows = _inside(time, spans, LEAD_S)
    counts = (_inside(time, spans) & ~_inside(time, not_worn))[rows]
    part: dict[str, Any] = {f.name: getattr(posture, f.name)[rows] for f in fields(posture)}
    part["quality"] = np.where(counts, part["quality"], part["quality"] | Quality.GAP.value).astype(np.uint8)
    return replace(posture, **part)


def _told(occasion: Occasion) -> Iterator[Figure]:
    return (f for f in occasion.figures if f.value is not None and f.metric != "minutes_lost")


_WHO = [pa.field("task", pa.string(), False), pa.field("group", pa.string()), pa.field("wearer", pa.string())]
_WHAT = [pa.field(name, pa.string(), name in ("plane", "side")) for name in ("metric", "plane", "side", "unit")]
_DEFINITION = pa.field("definition", pa.string(), False)
_OCCASION_FIELDS = [*_WHO, pa.field("session", pa.string(), False), *_WHAT, pa.field("value", pa.float64())]
OCCASIONS = pa.schema([*_OCCASION_FIELDS, pa.field("n", pa.int64()), _DEFINITION])
_NUMBERS = [pa.field(name, pa.float64()) for name in ("mean", "low", "high", "variance_between", "variance_within")]
_COUNTS = [pa.field(name, pa.int64()) for name in ("wearers", "occasions")]
TASKS = pa.schema([*_WHO, *_WHAT, *_NUMBERS, *_COUNTS, _DEFINITION, pa.field("reason", pa.string())])


def _occasion_table(occasions: Sequence[Occasion]) -> pa.Table:
    rows = [
        {"task": o.task, "group": o.group, "wearer": o.wearer, "session": o.session, **_plain(f), "n": f.n}
        for o in occasions
        for f in _told(o)
    ]
    return pa.Table.from_pylist(rows, OCCASIONS)


def _plain(figure: Figure) -> dict[str, Any]:
    names = ("metric", "plane", "side", "unit", "value", "definition")
    return {name: getattr(figure, name) for name in names}


def _task_table(occasions: Sequence[Occasion]) -> pa.Table:
    rows = []
    for task in sorted({o.task for o in occasions}):
        mine = [o for o in occasions if o.task == task]
        rows += _means(task, None, None, mine)
        for group in sorted({o.group for o in mine if o.group is not None}):
            rows += _means(task, group, None, [o for o in mine if o.group == group])
        for wearer in sorted({o.wearer for o in mine}):
            own = [o for o in mine if o.wearer == wearer]
            rows += _means(task, own[0].group, wearer, own)
    return pa.Table.from_pylist(rows, TASKS)


def _means(task: str, group: str | None, wearer: str | None, occasions: Sequence[Occasion]) -> list[dict[str, Any]]:
    values: dict[tuple[Any, ...], dict[str, list[float]]] = {}
    for occasion in occasions:
        for figure in _told(occasion):
            if figure.unit not in SUMMED and figure.value is not None:
                key = (figure.metric, figure.plane, figure.side, figure.unit, figure.definition)
                values.setdefault(key, {}).setdefault(occasion.wearer, []).append(figure.value)
    rows = []
    for (metric, plane, side, unit, definition), wearers in values.items():
        what = {"metric": metric, "plane": plane, "side": side, "unit": unit, "definition": definition}
        who = {"task": task, "group": group, "wearer": wearer}
        rows.append({**who, **what, **_numbers(one_way(list(wearers.values())), wearers)})
    return rows


def _numbers(found: Components, wearers: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "variance_between": found.between,
        "variance_within": found.within,
        "wearers": len(wearers),
        "occasions": sum(map(len, wearers.values())),
        "reason": found.reason,
    }
