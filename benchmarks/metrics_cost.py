"""What all metrics cost: 8 h of posture rows at 100 Hz, as batch hands them over and as live does, metric by metric.

Minutes of a simulated working day walk through the pipeline once; its rows, with the measurements of both segments,
then come again and again with their time moved on. Run: ``python benchmarks/metrics_cost.py [--hours N]``; exit code 1
if a goal is missed. Times are of one core.
"""

import argparse
import gc
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import imuposture as ip
from imuposture._blocks import ROLES, ImuBlock, PairBlock, PostureBlock, SensorRows
from imuposture.alignment import Alignment
from imuposture.calibration import calibrate
from imuposture.metrics import BUILT_IN, MetricContext, MetricSet, Observed
from imuposture.pipeline.rows import PIECE

BATCH_S = 3.0  # s of CPU for 8 h
LIVE_US = 20.0  # us a row, a second at a time
GROWTH_MB = 20.0  # that a working day may add to the memory once warm: movements keep 8 bytes a figure, no rows
LIVE_ROWS = 100
RATE = 100.0
Block = tuple[PostureBlock, PairBlock]


def day_part(minutes: float) -> Block:
    """Return the rows of some minutes of mixed work, and of both segments."""
    back = ip.simulate("mixed_work", seed=1, minutes=minutes)
    streams = back.streams()
    sensors = {"upper": back.upper, "lower": back.lower}
    blocks = [ImuBlock(role, back.time_s, sensors[role].acc, sensors[role].gyr) for role in ROLES]
    known = {name: spans for name, spans in back.windows.items() if name in ("neutral", "flexion", "lateral")}
    calibration = calibrate(_aligned(Alignment(streams), blocks), RATE, known)
    alignment = Alignment(streams)
    return ip.Pipeline(alignment, calibration).posture(_aligned(alignment, blocks))


def _aligned(alignment: Alignment, blocks: Sequence[ImuBlock]) -> PairBlock:
    return joined([*(alignment.push(block) for block in blocks), alignment.finish()])


def joined(parts: Sequence[Any]) -> Any:
    """Join blocks of rows; blocks within blocks too."""
    values = {}
    for member in fields(parts[0]):
        inner = [getattr(part, member.name) for part in parts]
        if inner[0] is None:
            values[member.name] = None
        else:
            values[member.name] = np.concatenate(inner) if isinstance(inner[0], np.ndarray) else joined(inner)
    return type(parts[0])(**values)


def rows_of(block: Any, rows: slice) -> Any:
    """Return some rows of a block; blocks within blocks too."""
    values = {}
    for member in fields(block):
        inner = getattr(block, member.name)
        nested = isinstance(inner, SensorRows)
        values[member.name] = None if inner is None else rows_of(inner, rows) if nested else inner[rows]
    return type(block)(**values)


def pieces(part: Block, rows: int, hours: float) -> Iterator[Block]:
    """Yield hours of rows, so many at a time."""
    posture, segments = part
    length, left, moved = len(posture), round(hours * 3600 * RATE), 0.0
    cuts = [
        (rows_of(posture, slice(k, k + rows)), rows_of(segments, slice(k, k + rows))) for k in range(0, length, rows)
    ]
    while left > 0:
        for one, both in cuts:
            take = min(left, len(one))
            whole = (one, both) if take == len(one) else tuple(rows_of(x, slice(0, take)) for x in (one, both))
            yield replace(whole[0], time_s=whole[0].time_s + moved), whole[1]
            left -= take
            if left <= 0:
                return
        moved += length / RATE


def cost(part: Block, rows: int, hours: float, names: Sequence[str] | None) -> tuple[float, int]:
    """Return CPU seconds that the metrics take, the making of blocks left out, and how many rows they saw."""
    metrics, spent, count = MetricSet(MetricContext(RATE, placement="T12-S2"), names), 0.0, 0
    for posture, segments in pieces(part, rows, hours):
        begun = time.process_time()
        metrics.push(posture, segments)
        spent += time.process_time() - begun
        count += len(posture)
    begun = time.process_time()
    metrics.finish()
    return spent + time.process_time() - begun, count


def growth(part: Block, hours: float) -> float | None:
    """Return what the metrics add to the resident size after the first eighth, MB; None where nobody tells."""
    if not Path("/proc/self/statm").exists():
        return None
    metrics, seen, before = MetricSet(MetricContext(RATE)), 0.0, 0.0
    for posture, segments in pieces(part, PIECE, hours):
        metrics.push(posture, segments)
        seen += len(posture) / RATE / 3600.0
        if not before and seen >= hours / 8.0:
            before = _resident_mb()
    return _resident_mb() - before


def _resident_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def told(name: str, value: float, goal: float, unit: str) -> bool:
    met = value <= goal
    print(f"{name}: {value:.2f} {unit} (goal: at most {goal:g}: {'reached' if met else 'MISSED'})")
    return met


def alone(part: Block, rows: int, hours: float, name: str) -> float:
    """Return CPU seconds that one metric takes for its rows, without the segmentation of movements."""
    seen = [Observed(posture, segments, ()) for posture, segments in pieces(part, rows, hours)]
    metric = BUILT_IN[name](MetricContext(RATE, placement="T12-S2"))
    begun = time.process_time()
    for one in seen:
        metric.push(one)
    return time.process_time() - begun


def breakdown(part: Block, hours: float, rounds: int) -> None:
    """Print what each metric takes, as batch and as live hand rows over; the least of some rounds."""
    print(f"{'metric':<22}{'batch, us a row':>18}{'live, us a row':>18}")
    for name in ("movements", *BUILT_IN):
        line = f"{name:<22}"
        for rows, length in ((PIECE, hours), (LIVE_ROWS, hours / 4.0)):
            runs = (
                cost(part, rows, length, [])[0] if name == "movements" else alone(part, rows, length, name)
                for _ in range(rounds)
            )
            line += f"{1e6 * min(runs) / (3600.0 * RATE * length):>18.3f}"
        print(line)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--minutes", type=float, default=10.0, help="of simulation, which come again and again")
    parser.add_argument("--rounds", type=int, default=3, help="of which the least counts: other work disturbs a run")
    options = parser.parse_args(arguments)
    part, hours, rounds = day_part(options.minutes), options.hours, options.rounds
    breakdown(part, min(hours, 0.25), rounds)
    spent, rows = min(cost(part, PIECE, hours, None) for _ in range(rounds))
    print(f"all metrics, {rows} rows in blocks of {PIECE}: {1e6 * spent / rows:.3f} us a row")
    met = told("CPU for 8 h", spent * 8.0 * 3600.0 * RATE / rows, BATCH_S, "s")
    spent, rows = min(cost(part, LIVE_ROWS, min(hours, 0.25), None) for _ in range(rounds))
    met &= told("live, a second at a time", 1e6 * spent / rows, LIVE_US, "us a row")
    grown = growth(part, hours)
    if grown is not None:
        met &= told(f"memory added over {7 * hours / 8:g} h", grown, GROWTH_MB, "MB")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
