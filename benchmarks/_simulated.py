"""Half hours of simulated work through the public `imuposture.process`, beside what vqf alone makes of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _scores import PLANES, SpineErrors, cardan, rotation, spine_errors, twist
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from vqf import VQF

import imuposture as ip
from imuposture._blocks import FloatArray

__all__ = ["CALIBRATIONS", "SCENARIOS", "SETTLED_S", "Outcome", "Scenario", "outcomes"]

SETTLED_S = 40.0  # the wearer is still calibrating before; not scored
STRAPPED = ip.SensorModel(mounting_deg=30.0)  # bias 0.4 deg/s, walk 0.002 deg/s per root second: the simulator's own


CALIBRATIONS = ("named", "found")  # the recording names its calibration movements, or they have to be found in it


@dataclass(frozen=True, slots=True)
class Scenario:
    """Sensors of a kind, and the RMSE asked of flexion, lateral bend and axial rotation with them, degrees."""

    name: str
    sensor: ip.SensorModel
    goal_rmse: tuple[float, float, float] | None = None


SCENARIOS = (
    Scenario("no soft tissue", replace(STRAPPED, soft_tissue_deg=0.0), (1.5, 2.5, 3.5)),
    Scenario("simulator's own sensors: 1 deg of soft tissue", STRAPPED),
    Scenario("2 deg of soft tissue", replace(STRAPPED, soft_tissue_deg=2.0), (2.0, 4.0, 6.0)),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One recording: what ours and what vqf alone got wrong, and the true mean angles (3,), degrees."""

    ours: SpineErrors
    vqf: SpineErrors | None
    truth_mean_deg: FloatArray
    usable: bool


def outcomes(
    scenario: Scenario, script: str, seeds: range, minutes: float, folder: Path, *, config: ip.Config
) -> Iterator[dict[str, Outcome]]:
    """Simulate one recording after the other, and process and score it with either calibration."""
    for seed in seeds:
        back = ip.simulate(script, seed=seed, minutes=minutes, upper=scenario.sensor, lower=scenario.sensor)
        paths = {how: folder / f"{how}.parquet" for how in CALIBRATIONS}
        yield {
            how: _outcome(back, ip.process(back.write(path, windows=how == "named"), config=config))
            for how, path in paths.items()
        }


def _outcome(back: ip.Simulation, result: ip.Result) -> Outcome:
    calibration = result.manifest["calibration"]
    truth = back.counted_from(_stance(back, calibration["windows"].get("neutral", [])))
    angles = np.stack(list(truth))
    scored = back.time_s >= SETTLED_S
    columns = {name: result.posture[name].to_numpy().astype(np.float64) for name in result.posture.column_names[1:]}
    estimate = np.stack([columns[f"{plane}_deg"] for plane in PLANES])
    told = np.stack([columns[f"{plane}_sd_deg"] for plane in PLANES])
    found = [estimate, told, angles]
    ours = spine_errors(*(rows[:, scored] for rows in found), truth.lower_q[scored])
    theirs = None
    if calibration["usable"]:
        alone = vqf_angles(back, calibration, angles)
        blank = np.full_like(alone, np.nan)
        theirs = spine_errors(*(rows[:, scored] for rows in (alone, blank, angles)), truth.lower_q[scored])
    return Outcome(ours, theirs, angles[:, scored].mean(axis=1), calibration["usable"])


def _stance(back: ip.Simulation, used: list[list[float]]) -> NDArray[np.intp]:
    """Return the rows from which the truth is counted: the true stances as far as the calibration used them.

    Nobody stands the same way twice, so a calibration that finds one stance of three counts from that one. A stance
    that is none (somebody who sat still) is not let off: then all true stances count.
    """
    time = back.time_s

    def inside(windows: Iterable[Iterable[float]]) -> NDArray[np.bool_]:
        rows: NDArray[np.bool_] = np.any([(time >= a - 1e-6) & (time < b - 1e-6) for a, b in windows], axis=0)
        return rows

    true = inside(back.windows["neutral"])
    both = true & inside(used) if used else true
    return np.flatnonzero(both if both.any() else true)


def vqf_angles(back: ip.Simulation, calibration: dict[str, Any], truth_deg: FloatArray) -> FloatArray:
    """Return the spinal angles (3, n) that each sensor alone gives with vqf, 6-axis.

    They get more than a user has: the segment frames of our calibration, and the true relative heading in its last
    stance.
    """
    segments = []
    for role, sensor in (("upper", back.upper), ("lower", back.lower)):
        quat = VQF(1.0 / back.rate_hz).updateBatch(np.ascontiguousarray(sensor.gyr), np.ascontiguousarray(sensor.acc))
        to_sensor = Rotation.from_matrix(np.array(calibration[role]["axes"]).T)
        segments.append(rotation(quat["quat6D"]) * to_sensor)
    upper, lower = segments
    start, end = back.windows["neutral"][-1]  # the last one of the calibration: the filters have settled
    stance = (back.time_s >= start) & (back.time_s < end)
    off = twist((lower[stance] * cardan(truth_deg[:, stance]) * upper[stance].inv()).mean())[0]
    relative = lower.inv() * Rotation.from_rotvec([0.0, 0.0, off]) * upper
    z, x, y = relative.as_euler("ZXY", degrees=True).T
    return np.stack([-z, x, -y])
