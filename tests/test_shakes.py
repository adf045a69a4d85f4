"""Sensors held together and shaken: the lag is found to a fraction of a row, and only where they moved as one."""

import numpy as np
import pytest

from imuposture._blocks import PairBlock, Quality, SensorRows
from imuposture._errors import SignalError
from imuposture.alignment import shaken_together

AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])  # the other lies another way in the hand


def motion(time_s: np.ndarray, seed: int) -> np.ndarray:
    """Shaking by hand: a few tones of 1 to 5 Hz about every axis, rad/s."""
    rng = np.random.default_rng(seed)
    rates = np.zeros((len(time_s), 3))
    for axis in range(3):
        for hz, size, phase in zip(rng.uniform(1, 5, 4), rng.uniform(1, 3, 4), rng.uniform(0, 6.3, 4), strict=True):
            rates[:, axis] += size * np.sin(2 * np.pi * hz * time_s + phase)
    return rates


def shaken(lag_s: float, rate: float = 100.0, seconds: float = 10.0, own: float = 0.0, seed: int = 1) -> PairBlock:
    time_s = np.arange(int(seconds * rate)) / rate
    rng = np.random.default_rng(seed)
    noise = np.deg2rad(0.5)
    sides = []
    for side, shift in enumerate((lag_s, 0.0)):
        gyr = (1 - own) * motion(time_s - shift, seed) + own * motion(time_s, 100 + side)
        gyr = gyr @ AXES.T if side else gyr
        gyr += noise * rng.standard_normal(gyr.shape)
        sides.append(SensorRows(gyr, gyr, None, np.zeros(len(gyr), np.uint8)))
    return PairBlock(time_s, *sides)


@pytest.mark.parametrize(
    ("rate", "lag_s"), [(60.0, -0.0314), (60.0, 0.0026), (100.0, 0.0), (100.0, 0.0471), (200.0, 0.0113)]
)
def test_the_lag_is_found(rate, lag_s):
    found = shaken_together(shaken(lag_s, rate))
    assert found.accepted
    assert found.correlation > 0.99
    assert found.seconds == pytest.approx(lag_s, abs=0.5e-3)


def test_motions_of_their_own_are_refused():
    for seed in range(5):
        found = shaken_together(shaken(0.005, own=0.4, seed=seed))
        assert (found.accepted, found.seconds) == (False, 0.0)
        assert "did not move as one" in found.reason


def test_what_cannot_be_judged_is_not():
    still = shaken(0.0)
    rest = SensorRows(*(0.01 * still.upper.gyr,) * 2, None, still.upper.flags)
    assert "hardly moved" in shaken_together(PairBlock(still.time_s, rest, rest)).reason
    still.upper.flags[7] = Quality.SATURATED
    assert "beyond the range" in shaken_together(still).reason
    with pytest.raises(SignalError, match="2 s at least"):
        shaken_together(shaken(0.0, seconds=1.0))
    with pytest.raises(SignalError, match="longest_s must lie between"):
        shaken_together(shaken(0.0), longest_s=7.0)
    assert "longer than looked for" in shaken_together(shaken(0.06), longest_s=0.05).reason
