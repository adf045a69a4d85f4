"""Golden bits: the rows of a fixed signal, 6-axis and 9-axis, at every instruction set, compiler and release.

tests/test_bits.py says that all ways to compute agree with each other here and now; these hashes say that they agree
with every other machine. The signal is made of integers, so that no library decides a bit of it. After a change that is
meant to change rows: ``IMUPOSTURE_GOLDEN=write python -m pytest tests/test_robust_bits.py``, and say why in the commit.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from interpreters import environment

from imuposture._blocks import PairBlock, SensorRows
from imuposture.filtering import LowPass
from imuposture.fusion import Fusion, fuse, orientation
from imuposture.heading import Heading
from imuposture.kinematics import ANGLES, Kinematics, Spread

GOLDEN = Path(__file__).with_name("golden_bits.json")
LEVELS = ("baseline", "avx2", "avx512")
RATE, ROWS, TURN = 100.0, 6000, 0.5


def signal(seed):
    """Return gyr, acc and mag, (ROWS, 3) each: triangle waves, rests and noise, of whole numbers over powers of two."""
    row = np.arange(ROWS, dtype=np.int64)
    noise = np.cumsum(np.full(9 * ROWS, 1013904223 + seed, np.int64) * 1664525 % 65521) * 48271 % 2147483647 % 256 - 128
    noise = noise.reshape(ROWS, 9) / 2.0**15
    waves = np.stack([np.abs((row * (13 + 2 * k) + 97 * seed) % 1024 - 512) - 256 for k in range(3)], axis=1) / 256.0
    moving = (row // 1000 % 3 > 0)[:, None]
    gyr = moving * (0.25 * waves + [0.0, TURN, 0.0]) + noise[:, :3] + [0.004, -0.002, 0.001]
    acc = moving * waves[:, ::-1] * 0.75 + noise[:, 3:6] + [0.0, 9.75, 0.0]
    magnet = (row // 500 == 9)[:, None] * [8.0, 3.0, -6.0]
    return gyr, acc, turned(moving[:, 0]) + magnet + 16.0 * noise[:, 6:]


def turned(moving):
    """Return a field of (20, -40, 5) uT in a sensor that turns about its upright axis while it moves."""
    half = TURN / RATE / 2.0  # a rational point of the circle: plain arithmetic, row by row
    cosine, sine = (1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)
    x, z, field = 20.0, 5.0, []
    for turning in moving.tolist():
        if turning:
            x, z = cosine * x - sine * z, sine * x + cosine * z
        field.append((x, -40.0, z))
    return np.array(field)


def digest(*arrays):
    """Return the hash of all bits but those of NaN, of which there are many kinds that mean the same."""
    plain = (np.where(np.isnan(array), np.nan, array) for array in arrays)
    return hashlib.sha256(b"".join(array.tobytes() for array in plain)).hexdigest()


def pair():
    """Return heading and angles of two streams, with a gap."""
    flags = np.zeros(ROWS, np.uint8)
    flags[4000:4020] = 1
    blocks = [SensorRows(acc, gyr, None, flags) for gyr, acc, _ in map(signal, (1, 2))]
    upper, lower = fuse([Fusion(RATE), Fusion(RATE)], blocks)
    smooth = LowPass(3.0, RATE).push(np.hstack([block.gyr for block in blocks]), flags)
    time_s = np.arange(ROWS) / RATE
    heading = Heading(RATE, stances=[(0.0, 6.0)]).push(PairBlock(time_s, *blocks), smooth, upper, lower)
    posture = Kinematics(Spread(0.005, 0.05, 0.05, 0.007)).push(time_s, upper, lower, heading, flags)
    return [heading.delta, heading.sd, heading.state, *(getattr(posture, name) for name in ANGLES)]


def hashes():
    """Return the hash of everything, by name."""
    streams = [signal(seed) for seed in range(5)]
    gyr, acc, mag = ([stream[i] for stream in streams] for i in range(3))
    found = {}
    for name in ("default", "vqf"):
        found[f"6-axis {name}"] = digest(*orientation(gyr, acc, rate=RATE, parameters=name))
        found[f"9-axis {name}"] = digest(*orientation(gyr, acc, mag, rate=RATE, parameters=name))
    stage = Fusion(RATE, magnetometer=True)
    north = stage.push(SensorRows(acc[0], gyr[0], mag[0], np.zeros(ROWS, np.uint8)))
    found["9-axis stream"] = digest(north.quat, north.bias, north.rest, north.disturbed, north.inertial, north.delta)
    found["pair"] = digest(*pair())
    return found


def found_at(level):
    """Return the hashes of a fresh interpreter that may use no more than this instruction set."""
    done = subprocess.run(
        [sys.executable, "-c", "import json, test_robust_bits as bits; print(json.dumps(bits.hashes()))"],
        env=environment(IMUPOSTURE_ISA=level),
        capture_output=True,
        text=True,
        check=False,
    )
    if "this processor or build lacks" in done.stderr:
        pytest.skip(f"this processor or build has no {level}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_golden_rows_come_out_of_lanes():
    if os.environ.get("IMUPOSTURE_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(hashes(), indent=4) + "\n", encoding="utf-8")
    assert hashes() == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("level", LEVELS)
def test_the_golden_rows_come_out_of_every_instruction_set(level):
    assert found_at(level) == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_the_signal_is_no_library_s():
    """If this fails, the hashes above say nothing."""
    assert digest(*signal(1)) == "98f0035057dd80a1a243e058903be238569a7fa58abedd190a438a5c44486902"
