"""The vqf package as the filter's oracle, and the recordings on which the two are compared."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from vqf import VQF

from imuposture._blocks import SensorRows
from imuposture.fusion import Fusion, NorthBlock

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass
class Recording:
    """One sensor: (n, 3) each, rad/s, m/s2, uT or None."""

    rate: float
    gyr: np.ndarray
    acc: np.ndarray
    mag: np.ndarray | None

    def rows(self, part: slice = slice(None), gaps: np.ndarray | None = None) -> SensorRows:
        """As the pipeline would hand them on; rows in ``gaps`` (bool) hold NaN and Quality.GAP."""
        flags = np.zeros(len(self.gyr), np.uint8) if gaps is None else gaps.astype(np.uint8)
        arrays = [None if a is None else np.where(flags[:, None] == 1, np.nan, a) for a in self.signals]
        gyr, acc, mag = (None if a is None else a[part] for a in arrays)
        return SensorRows(acc=acc, gyr=gyr, mag=mag, flags=flags[part])

    @property
    def signals(self) -> tuple:
        return self.gyr, self.acc, self.mag


def turned_by(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between orientations (n, 4), degrees; exact for tiny ones, where 2 arccos(a . b) is not."""
    difference = np.minimum(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return np.degrees(4 * np.arcsin(np.minimum(difference / 2, 1)))


def assert_agrees_with_vqf(recording: Recording) -> None:
    """Within 1e-6 degrees, with the same flags, 6-axis and, where there is a magnetometer, 9-axis."""
    ours = Fusion(recording.rate, "vqf").push(recording.rows())
    theirs = VQF(1 / recording.rate).updateBatch(recording.gyr, recording.acc)
    assert turned_by(ours.quat, theirs["quat6D"]).max() < 1e-6
    np.testing.assert_array_equal(ours.rest, theirs["restDetected"])
    np.testing.assert_allclose(ours.bias, theirs["bias"], rtol=0, atol=1e-12)
    if recording.mag is None:
        return
    ours = Fusion(recording.rate, "vqf", magnetometer=True).push(recording.rows())
    theirs = VQF(1 / recording.rate).updateBatch(*recording.signals)
    assert isinstance(ours, NorthBlock)
    assert turned_by(ours.quat, theirs["quat9D"]).max() < 1e-6
    assert turned_by(ours.inertial, theirs["quat6D"]).max() < 1e-6
    assert np.abs(np.angle(np.exp(1j * (ours.delta - theirs["delta"])))).max() < 1e-8
    np.testing.assert_array_equal(ours.rest, theirs["restDetected"])
    np.testing.assert_array_equal(ours.disturbed, theirs["magDistDetected"])


def wandering(seconds: float, rate: float = 100.0, seed: int = 0, speed: float = 1.0) -> Recording:
    """A sensor that turns, rests, and passes a magnet; with bias and noise. ``speed`` scales the rates of turn."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    waves = rng.uniform(0.2, 3.0, (3, 4, 3))
    gyr = np.stack([sum(a * np.sin(f * t + p) for a, f, p in axis) for axis in waves], axis=1)
    gyr *= speed * 0.4 * (np.sin(2 * np.pi * t / 12) > -0.5)[:, None]
    w, x, y, z = closed_form(gyr, rate).T
    up = np.stack([2 * (x * z - w * y), 2 * (w * x + y * z), 1 - 2 * (x * x + y * y)], axis=1)
    north = np.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], axis=1)
    noise = rng.standard_normal((3, len(t), 3))
    mag = 18 * north - 45 * up + 0.3 * noise[2]
    mag[round(0.4 * len(t)) : round(0.5 * len(t))] += [15.0, -10.0, 20.0]
    return Recording(rate, gyr + rng.normal(0, 0.006, 3) + 0.002 * noise[0], 9.81 * up + 0.03 * noise[1], mag)


def closed_form(gyr: np.ndarray, rate: float) -> np.ndarray:
    """Integrate rates of turn, each constant for one period: q <- q exp(gyr / rate / 2)."""
    angle = np.linalg.norm(gyr, axis=1, keepdims=True) / rate
    steps = np.hstack([np.cos(angle / 2), gyr / rate / 2 * np.sinc(angle / 2 / np.pi)])
    quat, out = np.array([1.0, 0, 0, 0]), np.empty((len(gyr), 4))
    for i, (w, x, y, z) in enumerate(steps):
        right = np.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]])
        out[i] = quat = right @ quat
    return out


def shared_files(folder: str) -> list:
    """Parameters for a test: the recordings of a folder, or one that skips."""
    files = sorted((SHARED / folder).glob("*.parquet"))
    missing = pytest.param(None, marks=pytest.mark.skip(reason=f"no recordings in {SHARED / folder}"))
    return [pytest.param(file, id=file.stem) for file in files] or [missing]


def read(file: Path, sensor: str, rate: float) -> Recording:
    """Read a sensor of a shared recording."""
    import pyarrow.parquet as pq

    table = pq.read_table(file)

    def vectors(kind: str) -> np.ndarray | None:
        names = [f"{sensor}_{kind}_{axis}" for axis in "xyz"]
        if names[0] not in table.column_names:
            return None
        return np.stack([table[name].to_numpy() for name in names], axis=1).astype(float)

    return Recording(rate, vectors("gyr"), vectors("acc"), vectors("mag"))
