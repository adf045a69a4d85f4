"""Other people's recordings: BROAD, the Song rig, Pearl's gait, and two without any truth.

They are read where they lie, ``../shared/data`` beside the repository, and never copied into it; what they are, their
licences and anchors stand in the README there.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

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
from imuposture.fusion import Fusion, Parameters
from imuposture.heading import Heading
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
SONG RIG: angle between two sensors against a shaft encoder, RMSE in degrees, first minute / all 25 minutes.
with heading: our stage for the relative heading on top; it is made for segments that bend together, here one stands."""
PEARL_LEGEND = """\
PEARL GAIT: torso against pelvis, RMS difference in degrees to the vendor's 9-axis filter, which is no truth: total,
axial, tilt. The torso accelerometers read 10.8 to 11.7 m/s2 at rest; the field is that of a treadmill."""


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
    print(f"{'':16}{'ours':>16}{'with heading':>18}{'vqf':>16}   reported heading sd at the end")
    for trial in trials("song_two_imu_encoder", count):
        encoder, gyr = trial.column("encoder_deg"), trial.rows("child_gyr_")
        alone = [_fused(trial, sensor, "default").quat for sensor in ("parent", "child")]
        *related, sd = _related(trial, "parent", "child")
        theirs = [_vqf(trial, sensor)["quat6D"] for sensor in ("parent", "child")]
        scores: list[HingeScore] = [hinge_score(*pair, encoder, gyr) for pair in (alone, related, theirs)]
        cells = (f"{score.first_minute:.1f} / {score.whole:.1f}" for score in scores)
        print("{:16}{:>16}{:>18}{:>16}   {:.0f}".format(trial.name, *cells, sd), flush=True)
    return True


def _related(trial: Trial, parent: str, child: str) -> tuple[FloatArray, FloatArray, float]:
    """Run our relative heading on two sensors; return both orientations and the final standard deviation, degrees.

    Any frame whose Y is up at the start serves as a segment frame.
    """
    rows, turns = [], []
    for sensor in (child, parent):
        gyr, acc = trial.rows(f"{sensor}_gyr_"), trial.rows(f"{sensor}_acc_")
        up = acc[: round(trial.rate)].mean(axis=0)
        turn, _ = Rotation.align_vectors([0.0, 1.0, 0.0], up)
        turns.append(turn)
        rows.append(SensorRows(turn.apply(acc), turn.apply(gyr), None, _flags(gyr)))
    upper, lower = (Fusion(trial.rate).push(one) for one in rows)
    pair = PairBlock(np.arange(len(gyr)) / trial.rate, *rows)
    smooth = LowPass(Config().smoothing_hz, trial.rate).push(np.hstack([rows[0].gyr, rows[1].gyr]), _flags(gyr))
    stage = Heading(trial.rate)
    heading = stage.push(pair, smooth, upper, lower)
    turned = Rotation.from_rotvec(np.outer(heading.delta, [0.0, 0.0, 1.0])) * rotation(upper.quat) * turns[0]
    still = rotation(lower.quat) * turns[1]
    quats = [q.as_quat(scalar_first=True) for q in (still, turned)]
    return quats[0], quats[1], float(np.degrees(heading.sd[-1]))


def pearl(count: int | None = None) -> bool:
    """Print how torso against pelvis in gait differs from what the vendor's 9-axis filter says."""
    print(PEARL_LEGEND)
    methods = ("ours 6-axis", "vqf 6-axis", "ours 9-axis", "vqf 9-axis")
    scores = []
    for trial in trials("pearl_gait", count):
        pairs = [
            [_fused(trial, sensor, "default").quat for sensor in ("pelvis", "torso")],
            [_vqf(trial, sensor)["quat6D"] for sensor in ("pelvis", "torso")],
            [_fused(trial, sensor, "default", magnetic=True).quat for sensor in ("pelvis", "torso")],
            [_vqf(trial, sensor, magnetic=True)["quat9D"] for sensor in ("pelvis", "torso")],
        ]
        vendor = [trial.rows(f"{sensor}_ref_q", "wxyz") for sensor in ("pelvis", "torso")]
        scores.append([relative_score(*pair, *vendor, trial.rate) for pair in pairs])
    for k, method in enumerate(methods):
        mean = RelativeScore(*np.mean([row[k] for row in scores], axis=0))
        print(f"{method:14}{mean.total:8.2f}{mean.axial:8.2f}{mean.tilt:8.2f}   mean of {len(scores)} trials")
    return True


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
