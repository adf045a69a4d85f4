"""Other people's recordings: BROAD, the Song rig, Pearl's gait, and two without any truth.

They are read where they lie, ``../shared/data`` beside the repository, and never copied into it; what they are, their
licences and anchors stand in the README there.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _scores import (
    HingeScore,
    OrientationScore,
    RelativeScore,
    apart_deg,
    hinge_score,
    orientation_score,
    relative_score,
    rotation,
)
from scipy.spatial.transform import Rotation
from vqf import VQF

import imuposture as ip
from imuposture._blocks import FlagArray, FloatArray, OrientationBlock, PairBlock, SensorRows
from imuposture.filtering import LowPass
from imuposture.fusion import Fusion, Parameters, SmoothedFusion
from imuposture.heading import Heading, HeadingSettings, SmoothedHeading
from imuposture.pipeline import Config

__all__ = ["DATA", "Trial", "broad", "ideas", "pearl", "smoke", "song", "trials"]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SAME_DEG = 1e-6  # parameters="vqf" reproduces the vqf package within this
WORSE_DEG = 0.3  # no trial may lose more than this by our parameters
TUNED_ON = ("01", "05", "09", "15", "25", "29", "33")  # trials on which the numbers of ours were chosen
IDEAS = ("sensor_delay", "field_standing_time", "mag_turn_time")  # what ours adds; zero turns it off
BROAD_METHODS = ("ours default 9", "ours vqf 9", "vqf 9", "ours default 6", "ours vqf 6", "vqf 6")
BROAD_LEGEND = """\
BROAD: orientation of one sensor against optical truth; RMSE over the rows in motion, degrees: total, heading,
inclination; of 6-axis without one constant heading. apart: largest difference, 9- and 6-axis, between ours with the
parameters of vqf and vqf itself."""
SONG_LEGEND = """\
SONG RIG: angle between two sensors against a shaft encoder, RMSE in degrees, first minute / all 25 minutes; the axis is
not given. ours, vqf: each sensor alone. heading: our relative heading on top, told nothing; smoothed: both smoothers;
sd: what each says of its heading at the end, where nobody told it how the two stand to begin with."""
SONG_GOALS = {"pitch_medium": (2.0, 2.0), "roll_slow": (2.0, 2.0), "roll_fast": (4.0, 2.5)}  # degrees; else no worse
PEARL_LEGEND = """\
PEARL GAIT: torso against pelvis, RMS difference in degrees to the vendor's 9-axis filter, which is no truth: total,
axial, tilt. The torso accelerometers read 10.8 to 11.7 m/s2 at rest; the field is that of a treadmill. with heading,
smoothed: 6-axis, told that the vendor has calibrated the gyroscopes and how both face in the first second."""
PEARL_GOAL = 3.5  # degrees


class Trial:
    """A table of the collection: columns by name, triples and quaternions by their prefix."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._table = pq.read_table(path)
        self.rate = 1.0 / float(np.median(np.diff(self.column("t"))))

    @property
    def sensors(self) -> list[str]:
        """Names of its sensors."""
        return [name.removesuffix("_acc_x") for name in self._table.column_names if name.endswith("_acc_x")]

    def column(self, name: str) -> FloatArray:
        values: FloatArray = self._table[name].to_numpy().astype(np.float64)
        return values

    def rows(self, prefix: str, axes: str = "xyz") -> FloatArray:
        return np.stack([self.column(f"{prefix}{axis}") for axis in axes], axis=1)


def trials(folder: str, count: int | None = None) -> Iterator[Trial]:
    """Yield the trials of a folder of the collection, all or the first ones."""
    for path in sorted((DATA / folder).glob("*.parquet"))[:count]:
        yield Trial(path)


def _flags(gyr: FloatArray) -> FlagArray:
    return np.zeros(len(gyr), np.uint8)


def _fused(trial: Trial, sensor: str, parameters: str | Parameters, magnetic: bool = False) -> OrientationBlock:
    gyr, acc = trial.rows(f"{sensor}_gyr_"), trial.rows(f"{sensor}_acc_")
    mag = trial.rows(f"{sensor}_mag_") if magnetic else None
    return Fusion(trial.rate, parameters, magnetic).push(SensorRows(acc, gyr, mag, _flags(gyr)))


def _vqf(trial: Trial, sensor: str, magnetic: bool = False) -> dict[str, FloatArray]:
    rows = [np.ascontiguousarray(trial.rows(f"{sensor}_{kind}_")) for kind in ("gyr", "acc", "mag")[: 2 + magnetic]]
    found: dict[str, FloatArray] = VQF(1.0 / trial.rate).updateBatch(*rows)
    return found


def broad(count: int | None = None) -> bool:
    """Print the scores of BROAD; return whether ``parameters="vqf"`` is vqf, and the default set better."""
    print(BROAD_LEGEND)
    print(f"{'':34}" + "".join(f"{method:>17}" for method in BROAD_METHODS) + "    apart    rest differs")
    scores, same = {}, True
    for trial in trials("broad", count):
        row, apart, rest = _broad_trial(trial)
        same &= max(apart) <= SAME_DEG and not rest
        scores[trial.name[:2]] = row
        print(f"{trial.name[:33]:34}{_broad_line(row)}   {apart[0]:.0e} {apart[1]:.0e} {rest:4} rows", flush=True)
    held_out = scores.keys() - set(TUNED_ON)
    for what, chosen in (("mean", scores.keys()), ("tuned on", scores.keys() & set(TUNED_ON)), ("held out", held_out)):
        if chosen:
            print(f"{f'{what}, {len(chosen)} trials':34}{_broad_line(_means([scores[number] for number in chosen]))}")
    mean = _means(list(scores.values()))
    drift = ", ".join(f"{m} {s.drift_deg_min:.2f}" for m, s in zip(BROAD_METHODS[3:], mean[3:], strict=True))
    print(f"heading drift, deg/min: {drift}")
    better = mean[0].total < mean[2].total and mean[0].inclination < mean[2].inclination
    better &= all(row[0].total - row[2].total <= WORSE_DEG for row in scores.values())
    better |= count is not None  # a few trials say little
    print(f'goal: parameters="vqf" within {SAME_DEG:g} deg of vqf, rest equal: {"reached" if same else "MISSED"}')
    print(f"goal: ours below vqf, no trial worse by {WORSE_DEG:g} deg: {'reached' if better else 'MISSED'}")
    return same and better


def _means(rows: Sequence[Sequence[OrientationScore]]) -> list[OrientationScore]:
    return [OrientationScore(*np.mean([row[k] for row in rows], axis=0)) for k in range(len(rows[0]))]


def ideas(count: int | None = None) -> bool:
    """Print what BROAD loses without one of the ideas of the default set, and what each alone gives to vqf."""
    print("IDEAS: BROAD, 9-axis, mean RMSE in degrees: total, inclination; worst trial's total against vqf")
    vqf, ours = Parameters.named("vqf"), Parameters()
    sets = {"vqf": vqf, **{f"vqf and {idea}": replace(vqf, **{idea: getattr(ours, idea)}) for idea in IDEAS}}
    sets |= {"default": ours, **{f"default without {idea}": replace(ours, **{idea: 0.0}) for idea in IDEAS}}
    scores: dict[str, list[OrientationScore]] = {name: [] for name in sets}
    for trial in trials("broad", count):
        truth, moving = trial.rows("imu_ref_q", "wxyz"), trial.column("movement") > 0.5
        for name, parameters in sets.items():
            quat = _fused(trial, "imu", parameters, magnetic=True).quat
            scores[name].append(orientation_score(quat, truth, moving, trial.rate))
    for name, found in scores.items():
        (mean,) = _means([[score] for score in found])
        worst = max(score.total - other.total for score, other in zip(found, scores["vqf"], strict=True))
        print(f"{name:40}{mean.total:7.2f}{mean.inclination:7.2f}{worst:+8.2f}")
    return True


def _broad_trial(trial: Trial) -> tuple[list[OrientationScore], tuple[float, float], int]:
    """Return the scores by method, how far ours("vqf") and vqf are apart (9-axis, 6-axis), and unequal rest flags."""
    theirs = _vqf(trial, "imu", magnetic=True)
    mine = {(p, m): _fused(trial, "imu", p, m) for p in ("default", "vqf") for m in (True, False)}
    nine = [mine["default", True].quat, mine["vqf", True].quat, theirs["quat9D"]]
    six = [mine["default", False].quat, mine["vqf", False].quat, theirs["quat6D"]]
    truth, moving = trial.rows("imu_ref_q", "wxyz"), trial.column("movement") > 0.5
    scores = [orientation_score(quat, truth, moving, trial.rate) for quat in (*nine, *six)]
    apart = float(apart_deg(nine[1], nine[2]).max()), float(apart_deg(six[1], six[2]).max())
    return scores, apart, int(np.count_nonzero(mine["vqf", False].rest != theirs["restDetected"]))


def _broad_line(scores: Sequence[OrientationScore]) -> str:
    nine = [(s.total, s.heading, s.inclination) for s in scores[:3]]
    six = [(s.aligned_total, s.aligned_heading, s.inclination) for s in scores[3:]]
    return "".join(f"{t:7.2f}{h:5.2f}{i:5.2f}" for t, h, i in (*nine, *six))


def song(count: int | None = None) -> bool:
    """Print the scores of two cheap 6-axis chips on a shaft, without a magnetometer and without any rest."""
    print(SONG_LEGEND)
    print(f"{'':16}{'ours':>14}{'heading':>14}{'sd':>7}{'smoothed':>14}{'sd':>7}{'vqf':>14}   goals of the two")
    good = True
    for trial in trials("song_two_imu_encoder", count):
        encoder, gyr = trial.column("encoder_deg"), trial.rows("child_gyr_")
        alone = [_fused(trial, sensor, "default").quat for sensor in ("parent", "child")]
        causal, smoothed = (_Rig(trial, "parent", "child").related(smoothed=late) for late in (False, True))
        theirs = [_vqf(trial, sensor)["quat6D"] for sensor in ("parent", "child")]
        one, two, three, four = (
            hinge_score(*pair, encoder, gyr) for pair in (alone, causal.quats, smoothed.quats, theirs)
        )
        goals = [goal or one.whole for goal in SONG_GOALS.get(trial.name, (None, None))]
        good &= two.whole <= goals[0] and three.whole <= goals[1]
        print(
            f"{trial.name:16}{_minutes(one)}{_minutes(two)}{causal.sd_deg[-1]:7.0f}{_minutes(three)}"
            f"{smoothed.sd_deg[-1]:7.0f}{_minutes(four)}   {goals[0]:.1f}, {goals[1]:.1f}",
            flush=True,
        )
    return good


def _minutes(score: HingeScore) -> str:
    return f"{f'{score.first_minute:.1f} / {score.whole:.1f}':>14}"


class Related(NamedTuple):
    """Orientations of parent and child in one earth frame, and how sure their relation is, degrees."""

    quats: tuple[FloatArray, FloatArray]
    sd_deg: FloatArray


class _Rig:
    """Two sensors whose relative heading is to be found; the parent takes the place of the lower one.

    Any frame whose Y is up at the start serves as a segment frame; ``facing`` turns the child's about it.
    """

    def __init__(self, trial: Trial, parent: str, child: str, facing: float = 0.0) -> None:
        self.rate = trial.rate
        self.rows, self.turns = [], []
        for sensor, angle in ((child, facing), (parent, 0.0)):
            gyr, acc = trial.rows(f"{sensor}_gyr_"), trial.rows(f"{sensor}_acc_")
            upright, _ = Rotation.align_vectors([0.0, 1.0, 0.0], acc[: round(trial.rate)].mean(axis=0))
            turn = Rotation.from_rotvec([0.0, angle, 0.0]) * upright
            self.turns.append(turn)
            self.rows.append(SensorRows(turn.apply(acc), turn.apply(gyr), None, _flags(gyr)))

    def related(self, *, smoothed: bool = False, **heading: Any) -> Related:
        """Run filters or smoothers; ``heading`` is what `Heading` is told."""
        upper, lower = (self._oriented(one, smoothed=smoothed) for one in self.rows)
        pair = PairBlock(np.arange(len(self.rows[0].gyr)) / self.rate, *self.rows)
        gap = self.rows[0].flags | self.rows[1].flags
        smooth = LowPass(Config().smoothing_hz, self.rate).push(np.hstack([one.gyr for one in self.rows]), gap)
        stage = SmoothedHeading(self.rate, **heading) if smoothed else Heading(self.rate, **heading)
        found = stage.push(pair, smooth, upper, lower)
        if isinstance(stage, SmoothedHeading):
            found = stage.finish()
        level = Rotation.from_rotvec(np.outer(found.delta, [0.0, 0.0, 1.0]))
        child = level * rotation(upper.quat) * self.turns[0]
        both = (rotation(lower.quat) * self.turns[1]).as_quat(scalar_first=True), child.as_quat(scalar_first=True)
        return Related(both, np.degrees(found.sd))

    def _oriented(self, rows: SensorRows, *, smoothed: bool) -> OrientationBlock:
        if not smoothed:
            return Fusion(self.rate).push(rows)
        stage = SmoothedFusion(self.rate)
        stage.push(rows)
        return stage.finish()


def pearl(count: int | None = None) -> bool:
    """Print how torso against pelvis in gait differs from what the vendor's 9-axis filter says."""
    print(PEARL_LEGEND)
    methods = ("ours 6-axis", "with heading", "smoothed", "vqf 6-axis", "ours 9-axis", "vqf 9-axis")
    scores = []
    for trial in trials("pearl_gait", count):
        vendor = [trial.rows(f"{sensor}_ref_q", "wxyz") for sensor in ("pelvis", "torso")]
        rig = _Rig(trial, "pelvis", "torso", _facing(trial, vendor))
        told = {"bias": np.zeros(6), "settings": HeadingSettings(initial_sd_deg=3.0)}
        pairs = [
            [_fused(trial, sensor, "default").quat for sensor in ("pelvis", "torso")],
            rig.related(**told).quats,
            rig.related(smoothed=True, **told).quats,
            [_vqf(trial, sensor)["quat6D"] for sensor in ("pelvis", "torso")],
            [_fused(trial, sensor, "default", magnetic=True).quat for sensor in ("pelvis", "torso")],
            [_vqf(trial, sensor, magnetic=True)["quat9D"] for sensor in ("pelvis", "torso")],
        ]
        scores.append([relative_score(*pair, *vendor, trial.rate) for pair in pairs])
    means = {name: RelativeScore(*np.mean([row[k] for row in scores], axis=0)) for k, name in enumerate(methods)}
    for method, mean in means.items():
        print(f"{method:14}{mean.total:8.2f}{mean.axial:8.2f}{mean.tilt:8.2f}   mean of {len(scores)} trials")
    print(f"goal: axial with heading {means['with heading'].axial:.2f} <= {PEARL_GOAL:g}")
    return means["with heading"].axial <= PEARL_GOAL


def _facing(trial: Trial, vendor: list[FloatArray]) -> float:
    """Return by what the torso's frame has to be turned about its Y, so that both face alike in the first second."""
    second = round(trial.rate)
    headings = []
    for sensor, quats in zip(("pelvis", "torso"), vendor, strict=True):
        upright, _ = Rotation.align_vectors([0.0, 1.0, 0.0], trial.rows(f"{sensor}_acc_")[:second].mean(axis=0))
        known = quats[:second][np.isfinite(quats[:second]).all(axis=1)]
        x, y, _ = (rotation(known).mean() * upright.inv()).apply([1.0, 0.0, 0.0])
        headings.append(np.arctan2(y, x))
    return float(headings[1] - headings[0])


def smoke(count: int | None = None) -> bool:
    """Process real recordings without truth from end to end, and print what came of them."""
    print("SMOKE: real recordings without truth, processed from end to end")
    for trial in trials("qmt_full_body", count):
        _process(trial, {"upper": "upper_back", "lower": "lower_back"})
    for trial in trials("mobgap_lowerback", count):
        _process(trial, {"lower": trial.sensors[0]})
    return True


def _process(trial: Trial, sensors: dict[str, str]) -> None:
    columns = {"time_s": trial.column("t")}
    for role, sensor in sensors.items():
        for kind in ("acc", "gyr"):
            columns |= {f"{role}_{kind}_{axis}": trial.column(f"{sensor}_{kind}_{axis}") for axis in "xyz"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.parquet"
        pq.write_table(pa.table(columns), path)
        result = ip.process(path)
    lean = result.posture["trunk_inclination_deg"].to_numpy()
    known = np.isfinite(result.posture["flexion_deg"].to_numpy().astype(np.float64)).mean()
    print(
        f"{trial.name:40}{result.posture.num_rows:8} rows, {known:4.0%} with spinal angles, trunk inclination "
        f"{np.nanpercentile(lean, 5):.1f} to {np.nanpercentile(lean, 95):.1f} deg (p5, p95), {result.events.num_rows} "
        f"events; {' '.join(result.manifest['calibration']['verdicts'])[:120]}",
        flush=True,
    )
