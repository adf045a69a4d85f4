"""Speed in ratios: what imuposture takes beside what a user has today, each pair in one process on one core's time.

The two sides take turns, A B A B; CPU time of all threads counts, and the median of the ratios, since absolute times
move by 30 % with what else the machine does. Importing and the first run of each are left out. From files, both write
the same columns; the script has no metrics, so ours are off, and the figures that say "all metrics" have them on. Ours
does more for its time: calibration, relative heading with its uncertainty, checksums, and files that are read back.
Run ``python benchmarks/speed.py [--only NAME,...] [--rounds N]``; exit code 1 if a ratio is below what it must be.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
from _timing import OTHER_THREADS, Pairs, paired, ratio, stage_times, timed
from memory import write_day
from pyarrow import csv, parquet

import imuposture as ip
from imuposture.fusion import isa_level

STREAM_ROWS = 50_000
Metrics = tuple[str, ...] | None  # None: all


class LeftOutError(Exception):
    """A figure that cannot be had here, and why."""


@dataclass(frozen=True, slots=True)
class Case:
    """A figure: what it is, the ratio it must reach and the one wished for, and how it is measured."""

    name: str
    told: str
    must: float
    wish: float | None
    measure: Callable[["Bench"], tuple[Pairs, int]]  # the pairs, and the samples or rows of a run
    most_ns: float | None = None  # limit for ours in absolute time; told, but only ratios decide


class Bench:
    """What the figures share: the number of rounds, and recordings made once."""

    def __init__(self, rounds: int, minutes: float | None, folder: Path) -> None:
        self.rounds, self.minutes, self.folder = rounds, minutes, folder

    def recordings(self, streams: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Make so many sensors' arrays."""
        from fusion_speed import keep_memory, recording

        keep_memory()
        return [recording(STREAM_ROWS, seed) for seed in range(streams)]

    def file(self, hours: float, kind: str) -> tuple[Path, int]:
        """Write a recording of 19 columns as CSV, or of the 12 signals in single precision as Parquet."""
        hours = hours if self.minutes is None else self.minutes / 60.0
        path = self.folder / f"{hours:g}h" / "work.csv"
        rows = round(hours * 360_000)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_day(path, hours, min(60.0, 60.0 * hours), magnetometer=True)
        if kind == "csv":
            return path, rows
        table = csv.read_csv(path)
        columns = {n: table[n] if n == "time_s" else table[n].cast("float32") for n in table.column_names}
        columns = {name: values for name, values in columns.items() if "mag" not in name}
        (there := path.parent / "parquet" / "work.parquet").parent.mkdir(exist_ok=True)
        parquet.write_table(pa.table(columns), there, compression="zstd")
        shutil.copy(path.with_suffix(".toml"), there.with_suffix(".toml"))
        return there, rows


@contextmanager
def peers(*names: str) -> Iterator[None]:
    """Leave a figure out where a package it is compared with is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in names:
            raise
        raise LeftOutError(f"{error.name} is not installed") from None


def streams(count: int, magnetic: bool, bench: Bench) -> tuple[Pairs, int]:
    with peers("vqf"):
        from fusion_speed import batch
    return batch(bench.recordings(count), magnetic, bench.rounds), count * STREAM_ROWS


def live(count: int, bench: Bench) -> tuple[Pairs, int]:
    with peers("vqf"):
        from fusion_speed import LIVE_ROWS, live
    return live(bench.recordings(count), 10, bench.rounds), count * LIVE_ROWS


def smoothed(magnetic: bool, bench: Bench) -> tuple[Pairs, int]:
    with peers("vqf"):
        from fusion_speed import RATE
        from vqf import offlineVQF
    columns = [list(arrays) for arrays in zip(*bench.recordings(2), strict=True)][: 2 + magnetic]
    none = [] if magnetic else [None]

    def theirs() -> object:
        return [offlineVQF(*rows, *none, 1 / RATE) for rows in zip(*columns, strict=True)]

    return paired(lambda: ip.smoothed_orientation(*columns, rate=RATE), theirs, bench.rounds), 2 * STREAM_ROWS


def arrays(bench: Bench) -> tuple[Pairs, int]:
    with peers("vqf", "scipy"):
        from _chain import chain
    return chain(*bench.recordings(2), bench.rounds), STREAM_ROWS


def ours(path: Path, metrics: Metrics = ()) -> None:
    out = path.parent / "session"
    shutil.rmtree(out, ignore_errors=True)
    ip.process(path, out=out, config=ip.Config(metrics=metrics))


def files(
    hours: float, kind: str, by_hand: bool, bench: Bench, *, metrics: tuple[str, ...] | None = ()
) -> tuple[Pairs, int]:
    with peers("pandas", "vqf", "scipy"):
        from _user_script import user_script
    path, rows = bench.file(hours, kind)
    script = partial(user_script, path, path.parent / "script.out", by_hand=by_hand)
    mine = partial(ours, path, metrics)
    timed(mine)  # imports, page cache
    timed(script)
    return paired(mine, script, max(bench.rounds if hours < 2 else bench.rounds // 2, 1)), rows


CASES = (
    Case("one_stream", "one stream, vqf 6-axis", 1.8, 2.2, partial(streams, 1, False)),
    Case("two_sensors", "two sensors, vqf 6-axis", 3.4, 4.0, partial(streams, 2, False)),
    Case("eight_streams", "eight streams, vqf 6-axis", 6.5, 9.0, partial(streams, 8, False)),
    Case("eight_streams_9axis", "eight streams, vqf 9-axis", 6.0, None, partial(streams, 8, True)),
    Case("smoothed", "two sensors smoothed, offlineVQF", 3.0, 8.0, partial(smoothed, False)),
    Case("smoothed_9axis", "the same, 9-axis", 3.0, 8.0, partial(smoothed, True)),
    Case("chain", "arrays to angles and histograms", 8.0, 10.0, arrays),
    Case("csv_1h", "CSV to session, 1 h", 1.8, 2.5, partial(files, 1.0, "csv", False)),
    Case("csv_1h_by_hand", "the same, rotations by hand", 1.0, None, partial(files, 1.0, "csv", True)),
    Case("csv_8h", "CSV to session, 8 h", 1.8, 2.5, partial(files, 8.0, "csv", False)),
    Case("parquet_1h", "Parquet to session, 1 h", 2.5, 4.0, partial(files, 1.0, "parquet", False)),
    Case("csv_1h_metrics", "CSV, with all metrics, 1 h", 1.0, None, partial(files, 1.0, "csv", False, metrics=None)),
    Case("parquet_1h_metrics", "Parquet, the same", 1.0, None, partial(files, 1.0, "parquet", False, metrics=None)),
    Case("live", "live, packets of 10, one sensor", 1.0, None, partial(live, 1), 350.0),
    Case("live_two", "live, packets of 10, two sensors", 1.0, None, partial(live, 2), 350.0),
)


def run(case: Case, bench: Bench) -> bool:
    """Measure and print one figure; say whether it is as it must be."""
    try:
        pairs, count = case.measure(bench)
    except LeftOutError as reason:
        print(f"{case.name:20} {case.told:34} left out: {reason}", flush=True)
        return True
    mine, theirs = (median(side.cpu for side in turn) * 1e9 / count for turn in zip(*pairs, strict=True))
    reached, every = ratio(pairs, "cpu"), sorted(b.cpu / a.cpu for a, b in pairs)
    wish = "" if case.wish is None else f", wished {case.wish:g}"
    limit = "" if case.most_ns is None else f", at most {case.most_ns:g} ns on a quiet machine"
    if case.most_ns is not None and mine > case.most_ns:
        limit += f": {mine - case.most_ns:.0f} ns over"
    good = reached >= case.must
    print(
        f"{case.name:20} {case.told:34}{mine:8.0f}{theirs:8.0f}{reached:7.2f}  ({every[0]:.2f} to {every[-1]:.2f})"
        f"  must {case.must:g}{wish}{limit}{'' if good else '  MISSED'}",
        flush=True,
    )
    return good


def break_down(bench: Bench) -> None:
    """Print where our time from CSV to the session goes."""
    path, rows = bench.file(1.0, "csv")
    spent = stage_times(partial(ours, path, None), bench.rounds)
    total = sum(spent.values())
    print(f"\n{'CSV to session by stage, CPU time':40}{'ns a row':>12}{'share':>10}")
    for stage, seconds in spent.items():
        print(f"{stage:40}{seconds * 1e9 / rows:12.0f}{seconds / total:10.1%}")
    print(f"{'sum':40}{total * 1e9 / rows:12.0f}\n{OTHER_THREADS!r}: Arrow's CSV parser and the Parquet writer")


def main(arguments: Sequence[str] | None = None) -> int:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join([*names, "stages"]), help=f"of {', '.join(names)}, stages")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, help="length of the files instead of their own, to try things out")
    options = parser.parse_args(arguments)
    asked = options.only.split(",")
    if unknown := set(asked) - {*names, "stages"}:
        parser.error(f"--only {min(unknown)}: choose from {', '.join(names)}, stages")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.rounds, options.minutes, Path(folder))
        print(
            f"CPU time, ns a sample of one sensor, or a row of both; both sides in one process; Arrow may use "
            f"{pa.cpu_count()} threads on both sides; instruction set {isa_level()}; {options.rounds} rounds"
        )
        print(f"{'':55}{'ours':>8}{'theirs':>8}{'ratio':>7}  (lowest to highest)")
        good = [run(case, bench) for case in CASES if case.name in asked]
        if "stages" in asked:
            break_down(bench)
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
