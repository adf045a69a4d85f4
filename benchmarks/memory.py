"""Memory of a day: two sensors at 100 Hz for 24 hours through the command line, and its largest resident size.

A simulated hour is written again and again with its time moved on, so that a day of CSV needs no day of simulation;
where two hours meet the back jumps, which is nothing to memory. Run: ``python benchmarks/memory.py [--hours N]``; needs
two gigabytes of room for temporary files; exit code 1 if the limit is broken.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

import imuposture as ip

LIMIT_MB = 600.0
# The system counts what a process held before it became another one, so the one that measures must be small itself.
LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=sys.stderr, check=False).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
size = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([code, size, used.ru_utime + used.ru_stime, time.monotonic() - start]))
"""


def write_day(path: Path, hours: float, hour_min: float = 60.0, *, magnetometer: bool = False) -> int:
    """Write a plain recording, one part of ``hour_min`` minutes at a time; return its rows."""
    sensor = ip.SensorModel(mounting_deg=30.0, magnetometer=magnetometer)
    part = path.with_name("hour.csv")
    ip.simulate("mixed_work", seed=1, minutes=hour_min, upper=sensor, lower=sensor).write(part)
    part.with_suffix(".toml").rename(path.with_suffix(".toml"))  # the calibration is that of the first hour
    table, rows = csv.read_csv(part), round(hours * 360_000)
    written = 0
    with path.open("wb") as file:
        file.write((",".join(table.column_names) + "\n").encode())
        while written < rows:
            rest = table.slice(0, rows - written)
            now = pa.array([round((written + k) / 100.0, 2) for k in range(len(rest))])
            csv.write_csv(rest.set_column(0, "time_s", now), file, csv.WriteOptions(include_header=False))
            written += len(rest)
    part.unlink()
    return rows


def measured(command: Sequence[str]) -> tuple[int, float, float, float]:
    """Run a command; return its exit code, its largest resident size in MB, and its CPU and wall time, s."""
    run = subprocess.run([sys.executable, "-c", LAUNCHER, *command], stdout=subprocess.PIPE, check=True, text=True)
    code, size, cpu, wall = json.loads(run.stdout)
    return code, size / 1e6, cpu, wall


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "day.csv", Path(folder) / "out"
        rows = write_day(path, options.hours, min(60.0, 60.0 * options.hours))
        print(f"{options.hours:g} h, {rows} rows of 13 columns, {path.stat().st_size / 1e6:.0f} MB of CSV")
        code, size, cpu, wall = measured([sys.executable, "-m", "imuposture", "process", str(path), "--out", str(out)])
        session = out / path.stem
        if code or not (session / "posture.parquet").is_file():
            print(f"imuposture process failed with exit code {code}")
            return 1
        _, base, _, _ = measured([sys.executable, "-m", "imuposture", "--help"])
        print(f"imuposture process: {wall:.1f} s on the wall, {cpu:.1f} s of CPU ({cpu * 1e9 / rows:.0f} ns a row)")
        print(f"posture.parquet: {(session / 'posture.parquet').stat().st_size / 1e6:.0f} MB")
        print(f"largest resident size {size:.0f} MB ({base:.0f} MB of it before the first file is opened)")
        print(f"goal: at most {LIMIT_MB:g} MB: {'reached' if size <= LIMIT_MB else 'MISSED'}")
    return 0 if size <= LIMIT_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
