"""An hour of two sensors from CSV to figures and Parquet: `imuposture.process` against the script a user has today.

Both sides read the same file in this one process, A B A B, and the median of the ratios counts. Importing is left out
on both sides, as is the first run of each; CPU time counts every thread. Ours does more for its time: calibration,
relative heading with its uncertainty, movements, left/right figures, checksums, and a file that is read back. Run:
``python benchmarks/speed.py [--minutes N] [--rounds N]``; exit code 1 if the goal is missed.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import pyarrow as pa
from _timing import OTHER_THREADS, Times, paired, ratio, stage_times, timed
from _user_script import user_script

import imuposture as ip
from imuposture.fusion import isa_level

GOAL = 1.0  # times the speed of the script


def write_recording(folder: Path, minutes: float) -> Path:
    """Simulate mixed work and write it with 19 columns: time, and acc, gyr and mag of both sensors."""
    sensor = ip.SensorModel(magnetometer=True)
    return ip.simulate("mixed_work", seed=1, minutes=minutes, upper=sensor, lower=sensor).write(folder / "work.csv")


def ours(path: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    ip.process(path, out=out)


def compare(path: Path, rounds: int, rows: int) -> float:
    """Print both sides and return how many times faster ours is than the script, in CPU time."""
    mine = partial(ours, path, path.parent / "session")
    script = partial(user_script, path, path.parent / "script.parquet")
    print(f"{'ns a row, median':40}{'imuposture':>12}{'script':>10}{'ratio':>8}   (lowest to highest ratio)")
    ratios = []
    for name, theirs in (("script", script), ("script, rotations by hand", partial(script, by_hand=True))):
        for side in (mine, theirs):
            timed(side)  # imports, page cache
        pairs = paired(mine, theirs, rounds)
        ratios.append(ratio(pairs, "cpu"))
        for clock, unit in (("cpu", "CPU"), ("wall", "wall")):
            print(_line(f"{name}: {unit}", pairs, clock, rows), flush=True)
    return ratios[0]


def _line(name: str, pairs: Sequence[tuple[Times, Times]], clock: str, rows: int) -> str:
    mine, theirs = (median(getattr(side, clock) for side in run) * 1e9 / rows for run in zip(*pairs, strict=True))
    ratios = sorted(getattr(b, clock) / getattr(a, clock) for a, b in pairs)
    return f"{name:40}{mine:12.0f}{theirs:10.0f}{median(ratios):8.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def break_down(path: Path, rounds: int, rows: int) -> None:
    """Print where our time goes."""
    spent = stage_times(partial(ours, path, path.parent / "session"), rounds)
    total = sum(spent.values())
    print(f"\n{'imuposture by stage, CPU time':40}{'ns a row':>12}{'share':>10}")
    for stage, seconds in spent.items():
        print(f"{stage:40}{seconds * 1e9 / rows:12.0f}{seconds / total:10.1%}")
    print(f"{'sum':40}{total * 1e9 / rows:12.0f}\n{OTHER_THREADS!r}: Arrow's CSV parser and the Parquet writer")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="length of the recording")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = write_recording(Path(folder), options.minutes)
        rows = round(options.minutes * 6000)
        print(
            f"{options.minutes:g} min, {rows} rows of 19 columns, {path.stat().st_size / rows:.0f} bytes a row; both "
            f"sides in one process; Arrow may use {pa.cpu_count()} threads on both sides (CSV ours, Parquet theirs), "
            f"ours one more to write; instruction set {isa_level()}; {options.rounds} rounds"
        )
        reached = compare(path, options.rounds, rows)
        break_down(path, options.rounds, rows)
    print(f"\ngoal: at most the script's CPU time, ratio >= {GOAL:g}: {'reached' if reached >= GOAL else 'MISSED'}")
    return 0 if reached >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
