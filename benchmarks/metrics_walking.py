"""Walking: steps, sides and unevenness of real and simulated walkers beside what is wanted of them.

Run ``python benchmarks/metrics_walking.py``; exit code 1 if a goal is missed. One sensor of each recording is used,
worn as it was and told nothing. The constants of the walking metric were set in sight of these recordings: none was
held back, so other people may do worse. The recordings are looked for in ``../shared/data`` beside the repository.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import spearmanr

import imuposture as ip
from imuposture._blocks import FloatArray, MetricBlock
from imuposture.acquisition.simulation.motion import Channel

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TOLERANCE_S = 0.1
LANDED_N = 20.0  # N of vertical force with which a foot is down
OTHERS = ("Sub07", "Sub09", "Sub10")  # people on whom a choice made on the first four is tried; cadence saw them all

WAYS = {"found": "walks found", "known": "walks known (bouts=)", "INDIP": "INDIP against Stereophoto"}
Contact = tuple[float, str]


class Score(NamedTuple):
    """Contacts found and true, those found more than the truth has, those missed, and sides that are right."""

    hits: int = 0
    extra: int = 0
    missed: int = 0
    sides: int = 0

    def plus(self, other: "Score") -> "Score":
        """Return the score of both together."""
        return Score(*(a + b for a, b in zip(self, other, strict=True)))

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.3f} sides {self.side_share:.3f} "
            f"(found {self.hits}, extra {self.extra}, missed {self.missed})"
        )

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / max(2 * self.hits + self.extra + self.missed, 1)

    @property
    def side_share(self) -> float:
        """Share of the contacts found of which the side is right."""
        return self.sides / max(self.hits, 1)


def recorded(path: Path, sensor: str) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    table = pq.read_table(path)
    acc, gyr = (
        np.stack([table.column(f"{sensor}_{kind}_{axis}").to_numpy().astype(float) for axis in "xyz"], axis=1)
        for kind in ("acc", "gyr")
    )
    return gyr, acc, json.loads(table.schema.metadata[b"imuposture_provenance"])


def steps_of(block: MetricBlock) -> list[Contact]:
    return [(event.start_s, str(event.side)) for event in block.events if event.kind == "step"]


def matched(found: Sequence[Contact], true: Sequence[Contact]) -> Score:
    """Pair the nearest first, one to one."""
    near = [(abs(a[0] - b[0]), i, j) for i, a in enumerate(found) for j, b in enumerate(true)]
    left, right, sides = set(range(len(found))), set(range(len(true))), 0
    for distance, i, j in sorted(near):
        if distance <= TOLERANCE_S and i in left and j in right:
            left.remove(i)
            right.remove(j)
            sides += found[i][1] == true[j][1]
    return Score(len(found) - len(left), len(left), len(right), sides)


def contacts(walk: dict[str, list[float]]) -> list[Contact]:
    pairs = zip(walk["ic"], walk["ic_side"], strict=True)
    return [(time, str(side).lower()) for time, side in pairs if not np.isnan(time)]


def in_walks(found: Sequence[Contact], walks: Sequence[dict[str, list[float]]]) -> Score:
    score = Score()
    for walk in walks:
        begin, end = walk["start"][0] - TOLERANCE_S, walk["end"][0] + TOLERANCE_S
        score = score.plus(matched([one for one in found if begin <= one[0] <= end], contacts(walk)))
    return score


def steps() -> bool:
    """Print steps against both reference systems, walks found and walks known, and the systems against each other."""
    print("STEPS inside marked walks, within 0.1 s; goal F1 0.95, sides 0.95")
    print("Test5: straight walks of 10 m in a laboratory; Test11: free, daily tasks with turns, shuffling and pauses")
    totals: dict[tuple[str, str, str], dict[str, Score]] = {}
    for path in sorted((DATA / "mobgap_lowerback").glob("*.parquet")):
        gyr, acc, provenance = recorded(path, "lower_back")
        found = steps_of(ip.gait(gyr, acc, rate=100.0))
        reference = provenance["reference"]
        other = [one for walk in reference["INDIP"] for one in contacts(walk)]
        for name, walks in reference.items():
            bouts = [(walk["start"][0], walk["end"][0]) for walk in walks]
            known = steps_of(ip.gait(gyr, acc, rate=100.0, bouts=bouts))
            scores = {"found": in_walks(found, walks), "known": in_walks(known, walks)}
            if name == "Stereophoto":
                scores["INDIP"] = in_walks(other, walks)
            total = totals.setdefault((path.stem.split("_")[2], path.stem[:5], name), {})
            for way, score in scores.items():
                total[way] = total.get(way, Score()).plus(score)
    good = True
    for (test, walker, name), scores in sorted(totals.items()):
        print(f"  {test} {walker} by {name}")
        for way, score in scores.items():
            print(f"    {WAYS[way]:32s} {score}")
            good &= way != "known" or (score.f1 >= 0.95 and score.side_share >= 0.95)
    return good


def simulated() -> bool:
    """Print steps of simulated work with walking in it against the gait that made them."""
    found = inside = near = sides = true = 0
    for seed in range(10, 18):
        back = ip.simulate("mixed_work", seed=seed, minutes=8)
        gait = back.spine.pose(back.time_s)[:, Channel.GAIT]
        half = 0.5 / back.person.stride_hz  # s from foot to foot: the right one at every second
        made = np.interp(np.arange(0.0, back.time_s[-1], half), back.time_s, gait)
        true += int((made > 0.5).sum())
        for time, side in steps_of(ip.gait(back.lower.gyr, back.lower.acc, rate=100.0)):
            k = round(time / half)
            found += 1
            inside += bool(np.interp(time, back.time_s, gait) > 0.0)
            if abs(time - k * half) <= TOLERANCE_S:
                near += 1
                sides += side == ("left" if k % 2 else "right")
    print(
        f"SIMULATED mixed work, 8 times 8 minutes: {found} steps of {true} in full gait, {inside} in walks, "
        f"{near} within 0.1 s, of these {sides} on the true side"
    )
    return found == inside and sides >= 0.95 * near and near >= 0.95 * true


def plate_cadence(name: str) -> float:
    """Return 120 s by the median steps to either side on the force plates, timed to a fraction of their rows.

    The reference times them to whole rows of 10 ms, which moves its cadence by some tenths of a step a minute.
    """
    table = pq.read_table(DATA / "pearl_gait" / f"{name}.parquet", columns=["grf_left_n", "grf_right_n"])
    landed = []
    for side in ("left", "right"):
        force = table.column(f"grf_{side}_n").to_numpy().astype(float)
        row = np.flatnonzero((force[:-1] <= LANDED_N) & (force[1:] > LANDED_N))
        landed += [(float(k), side) for k in row + (LANDED_N - force[row]) / (force[row + 1] - force[row])]
    steps: dict[str, list[float]] = {"left": [], "right": []}
    for before, after in pairwise(sorted(landed)):
        if before[1] != after[1] and 20.0 < after[0] - before[0] < 150.0:
            steps[after[1]].append((after[0] - before[0]) / 100.0)
    return 120.0 / float(np.median(steps["left"]) + np.median(steps["right"]))


def area(values: FloatArray, labels: NDArray[np.bool_]) -> float:
    more = values[labels][:, None] - values[~labels][None, :]
    return float(np.mean((more > 0) + 0.5 * (more == 0)))


def unevenness() -> bool:
    """Print how a stiff knee shows, and the cadence."""
    reference = json.loads((DATA / "gait_reference.json").read_text(encoding="utf-8"))
    names = [name for name in reference if (DATA / "pearl_gait" / f"{name}.parquet").exists()]
    figures = []
    for name in names:
        gyr, acc, _ = recorded(DATA / "pearl_gait" / f"{name}.parquet", "pelvis")
        block = ip.gait(gyr, acc, rate=100.0)
        figures.append({figure.metric: figure.value for figure in block.summary if figure.plane is None})
    lost = [name for name, figure in zip(names, figures, strict=True) if figure["cadence"] is None]
    asymmetry = np.array([figure["gait_asymmetry"] for figure in figures], dtype=float)
    cadence = np.array([figure["cadence"] for figure in figures], dtype=float)
    plates = [reference[name]["grf"] for name in names]
    stance = np.abs([one["stance_asym"] for one in plates])
    error = np.abs(cadence - [one["cadence"] for one in plates])
    finer = np.abs(np.array([plate_cadence(name) for name in names]) - [one["cadence"] for one in plates])
    other = np.array([name[:5] in OTHERS for name in names], dtype=np.bool_)
    counted = np.array([figure["steps"] for figure in figures], dtype=float) - [one["n_steps"] for one in plates]
    plain = -np.array([reference[name]["imu"]["sym_ratio"] for name in names])
    stiff = np.array(["Stiff" in name for name in names])
    print("STIFF KNEE against normal; goals: AUC 0.93, rank correlation with stance asymmetry 0.85 (size)")
    for method, values in (("gait_asymmetry", asymmetry), ("autocorrelation", plain)):
        rho = spearmanr(values, stance).statistic
        print(f"  {method:16s} AUC {area(values, stiff):.3f} rank correlation {rho:.3f}")
    print(
        f"CADENCE against force plates: mean error {error.mean():.2f}, median {np.median(error):.2f}, largest "
        f"{error.max():.2f} steps/min (goal 0.5); trials lost: {len(lost)} of {len(names)}; steps counted less "
        f"those of the plates: {counted.min():+.0f} to {counted.max():+.0f}"
    )
    print(
        f"  first four people: mean {error[~other].mean():.2f}, largest {error[~other].max():.2f}; others: "
        f"{error[other].mean():.2f}, {error[other].max():.2f}; the plates themselves, timed to a fraction of a row: "
        f"{finer.mean():.2f}, {finer.max():.2f}"
    )
    good = area(asymmetry, stiff) >= 0.93 and spearmanr(asymmetry, stance).statistic >= 0.85
    return bool(good and error.mean() <= 0.5 and not lost)


def main() -> None:
    if not DATA.exists():
        raise SystemExit(f"the recordings are not at {DATA}; see the docstring")
    raise SystemExit(0 if steps() & unevenness() & simulated() else 1)


if __name__ == "__main__":
    main()
