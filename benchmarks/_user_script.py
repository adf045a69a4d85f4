"""The script a careful user writes today: pandas, vqf, scipy, Parquet. What `benchmarks/speed.py` compares with.

Nothing in it is slow on purpose: the C engine of pandas, the C++ batch call of vqf, vectorised scipy. The product of
rotations is a third of its time, so a user who writes that in NumPy by hand is compared with as well.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation
from vqf import VQF

from imuposture._blocks import FloatArray

__all__ = ["user_script"]

RATE = 100.0
ANGLES = ["flexion", "lateral_bend", "axial_rotation"]


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, engine="c")


def arrays(table: pd.DataFrame, sensor: str) -> tuple[FloatArray, FloatArray]:
    """Return the angular rate and the acceleration of a sensor, (n, 3) contiguous each."""
    columns = ([f"{sensor}_{kind}_{axis}" for axis in "xyz"] for kind in ("gyr", "acc"))
    gyr, acc = (np.ascontiguousarray(table[names], dtype=np.float64) for names in columns)
    return gyr, acc


def fuse(gyr: FloatArray, acc: FloatArray) -> FloatArray:
    quat: FloatArray = VQF(1 / RATE).updateBatch(gyr, acc)["quat6D"]
    return quat


def relate(upper: FloatArray, lower: FloatArray) -> Rotation:
    return Rotation.from_quat(lower, scalar_first=True).inv() * Rotation.from_quat(upper, scalar_first=True)


def cardan(relative: Rotation) -> FloatArray:
    return relative.as_euler("ZXY", degrees=True)


def cardan_by_hand(upper: FloatArray, lower: FloatArray) -> FloatArray:
    """Return what `cardan` of `relate` does."""
    (a, b, c, d), (e, f, g, h) = lower.T, upper.T
    w, x = a * e + b * f + c * g + d * h, a * f - b * e - c * h + d * g
    y, z = a * g + b * h - c * e - d * f, a * h - b * g + c * f - d * e
    first = np.arctan2(2 * (w * z - x * y), 1 - 2 * (x * x + z * z))
    second = np.arcsin(np.clip(2 * (y * z + w * x), -1, 1))
    third = np.arctan2(2 * (w * y - x * z), 1 - 2 * (x * x + y * y))
    return np.degrees(np.stack([first, second, third], axis=1))


def smooth(angles: FloatArray) -> FloatArray:
    filtered: FloatArray = sosfiltfilt(butter(4, 5.0, fs=RATE, output="sos"), angles, axis=0)
    return filtered


def measure(time_s: FloatArray, angles: FloatArray) -> tuple[FloatArray, FloatArray, pd.DataFrame]:
    """Exposure: a two-dimensional histogram, percentiles, and means and spreads a minute."""
    histogram, _, _ = np.histogram2d(angles[:, 0], angles[:, 1], bins=[36, 36], range=[[-90, 90], [-90, 90]])
    percentiles = np.percentile(angles, [5, 10, 50, 90, 95], axis=0)
    minutes = pd.DataFrame(angles, columns=ANGLES).groupby((time_s // 60).astype(int)).agg(["mean", "std", "max"])
    return histogram, percentiles, minutes


def inclinations(quat: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return how far a segment leans forward and to its side, degrees: its vertical seen from the earth."""
    w, x, y, z = quat.T
    forward = np.arctan2(2 * (w * y - x * z), 2 * (y * z + w * x))
    side = -np.arcsin(np.clip(1 - 2 * (x * x + y * y), -1, 1))
    return np.degrees(forward), np.degrees(side)


def posture(time_s: FloatArray, upper: FloatArray, lower: FloatArray, angles: FloatArray) -> pd.DataFrame:
    """Make the columns of posture.parquet, in its types; how sure the angles are is a guess, the same for all rows."""
    columns = {"time_s": time_s}
    for name, quat in (("upper", upper), ("lower", lower)):
        columns |= {f"{name}_q{c}": quat[:, k].astype(np.float32) for k, c in enumerate("wxyz")}
    columns |= {f"{name}_deg": angles[:, k] for k, name in enumerate(ANGLES)}
    for name, quat in (("upper", upper), ("lower", lower)):
        columns[f"{name}_forward_deg"], columns[f"{name}_side_deg"] = inclinations(quat)
    columns["trunk_inclination_deg"] = 0.5 * (columns["upper_forward_deg"] + columns["lower_forward_deg"])
    guessed = [*ANGLES, *(f"{name}_{way}" for name in ("upper", "lower") for way in ("forward", "side"))]
    columns |= {f"{name}_sd_deg": np.full(len(time_s), 2.0, np.float32) for name in guessed}
    return pd.DataFrame(columns | {name: np.zeros(len(time_s), np.uint8) for name in ("quality", "heading_state")})


def user_script(path: Path, out: Path, *, by_hand: bool = False) -> None:
    """Turn a recording into angles and exposure figures, with the posture rows in a Parquet file."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)
    time_s = table["time_s"].to_numpy()
    upper, lower = (fuse(*arrays(table, sensor)) for sensor in ("upper", "lower"))
    angles = smooth(cardan_by_hand(upper, lower) if by_hand else cardan(relate(upper, lower)))
    measure(time_s, angles)
    posture(time_s, upper, lower, angles).to_parquet(out)
