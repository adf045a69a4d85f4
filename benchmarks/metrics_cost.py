"""What all metrics cost: 8 h of posture rows at 100 Hz, as batch hands them over and as live does, stage by stage.

Minutes of a simulated working day walk through the pipeline once; its rows, with the measurements of both segments,
then come again and again with their time moved on. Run: ``python benchmarks/metrics_cost.py [--hours N]``; exit code 1
if a goal is missed. Times are of one core, whose host may halve its speed from one minute to the next; so what vqf
takes for both sensors of the same rows, in turns with ours, stands beside them.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from vqf import VQF

import imuposture as ip
from imuposture._blocks import ROLES, ImuBlock, PairBlock, PostureBlock
from imuposture.alignment import Alignment
from imuposture.calibration import calibrate
from imuposture.metrics import BUILT_IN, MetricContext, MetricSet, Observed
from imuposture.metrics._rows import Seconds
from imuposture.metrics.segmentation.activity import Activities
from imuposture.metrics.segmentation.gait import Gait
from imuposture.metrics.segmentation.movements import Movements
from imuposture.metrics.segmentation.profiles import Profiles
from imuposture.pipeline.rows import PIECE, cut_pair, cut_posture, join_pairs

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
    return join_pairs([*(alignment.push(block) for block in blocks), alignment.finish()])


def _cut(block: Block, rows: slice) -> Block:
    return cut_posture(block[0], rows), cut_pair(block[1], rows)


def pieces(part: Block, rows: int, hours: float) -> Iterator[Block]:
    """Yield hours of rows, so many at a time."""
    length, left, moved = len(part[0]), round(hours * 3600 * RATE), 0.0
    cuts = [_cut(part, slice(k, k + rows)) for k in range(0, length, rows)]
    while left > 0:
        for one in cuts:
            posture, segments = one if len(one[0]) <= left else _cut(one, slice(0, left))
            yield replace(posture, time_s=posture.time_s + moved), segments
            left -= len(posture)
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


def filtered(part: Block, hours: float) -> tuple[float, int]:
    """Return CPU seconds that vqf takes for hours of both sensors, 6-axis, and how many rows that were."""
    posture, segments = part
    pairs = [tuple(np.ascontiguousarray(x) for x in (one.gyr, one.acc)) for one in (segments.upper, segments.lower)]
    rounds = max(1, round(hours * 3600.0 * RATE / len(posture)))
    begun = time.process_time()
    for _ in range(rounds):
        for gyr, acc in pairs:
            VQF(1.0 / RATE).updateBatch(gyr, acc)
    return time.process_time() - begun, rounds * len(posture)


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


def stages(part: Block, rows: int, hours: float) -> dict[str, float]:
    """Return CPU seconds that each segmentation takes, and each metric by itself; what metrics share, each pays for."""
    names = ("movements", "profiles", "steps", "seconds")
    spent = dict.fromkeys((*names, *BUILT_IN), 0.0)
    movements, profiles, gait, clock = Movements(RATE), Profiles(RATE), Gait(RATE), Seconds()
    activities = Activities(RATE, clock)
    metrics = {name: BUILT_IN[name](MetricContext(RATE, placement="T12-S2")) for name in BUILT_IN}

    def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
        begun = time.process_time()
        found = work(*given)
        spent[name] += time.process_time() - begun
        return found

    for posture, segments in pieces(part, rows, hours):
        found = timed("profiles", profiles.push, posture, timed("movements", movements.push, posture))
        steps = tuple(timed("steps", gait.push, posture, segments))
        number, starts = clock.push(posture.time_s)
        epochs = timed("seconds", activities.push, posture, number, steps)
        for name, metric in metrics.items():
            timed(name, metric.push, Observed(posture, segments, found, steps, epochs, starts))
    return spent


def breakdown(part: Block, hours: float, rounds: int) -> None:
    """Print what each segmentation and each metric takes, as batch and as live hand rows over; least of the rounds."""
    print(f"{'stage':<22}{'batch, us a row':>18}{'live, us a row':>18}")
    columns = []
    for rows, length in ((PIECE, hours), (LIVE_ROWS, hours / 4.0)):
        runs = [stages(part, rows, length) for _ in range(rounds)]
        columns.append({name: 1e6 * min(run[name] for run in runs) / (3600.0 * RATE * length) for name in runs[0]})
    for name, batch in columns[0].items():
        print(f"{name:<22}{batch:>18.3f}{columns[1][name]:>18.3f}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=8.0)
    parser.add_argument("--minutes", type=float, default=10.0, help="of simulation, which come again and again")
    parser.add_argument("--rounds", type=int, default=3, help="of which the least counts: other work disturbs a run")
    options = parser.parse_args(arguments)
    part, hours, rounds = day_part(options.minutes), options.hours, options.rounds
    breakdown(part, min(hours, 0.25), rounds)
    turns = [(cost(part, PIECE, hours, None), filtered(part, min(hours, 1.0))) for _ in range(rounds)]
    shares = sorted((mine[0] / mine[1]) / (theirs[0] / theirs[1]) for mine, theirs in turns)
    spent, rows = min(mine for mine, _ in turns)
    vqf = min(1e6 * seconds / count for _, (seconds, count) in turns)
    print(f"all metrics, {rows} rows in blocks of {PIECE}: {1e6 * spent / rows:.3f} us a row")
    print(f"vqf for both sensors: {vqf:.3f} us a row; all metrics of that, median of turns: {shares[rounds // 2]:.2f}")
    met = told("CPU for 8 h", spent * 8.0 * 3600.0 * RATE / rows, BATCH_S, "s")
    spent, rows = min(cost(part, LIVE_ROWS, min(hours, 0.25), None) for _ in range(rounds))
    met &= told("live, a second at a time", 1e6 * spent / rows, LIVE_US, "us a row")
    grown = growth(part, hours)
    if grown is not None:
        met &= told(f"memory added over {7 * hours / 8:g} h", grown, GROWTH_MB, "MB")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
