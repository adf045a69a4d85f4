"""LowPass: same rows however the recording is cut, the textbook response, a fresh start after a gap."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt, sosfilt_zi

from imuposture import SignalError
from imuposture.filtering import LowPass

RATE = 100.0


@pytest.fixture
def sway() -> np.ndarray:
    """20 s of three-axis sway: slow lean plus tremor, (2000, 3), degrees."""
    t = np.arange(2000) / RATE
    rng = np.random.default_rng(7)
    lean = np.stack([5 * np.sin(0.3 * t), 2 * np.cos(0.2 * t), 0.1 * t], axis=1)
    return lean + 0.2 * rng.standard_normal(lean.shape)


def whole(rows: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), np.uint8)


@pytest.mark.parametrize("rows", [1, 7, 2000], ids=["sample", "notification", "recording"])
def test_blocks_do_not_change_the_result(sway, rows):
    stage = LowPass(5, RATE)
    pieces = [stage.push(sway[i : i + rows], whole(sway[i : i + rows])) for i in range(0, len(sway), rows)]
    np.testing.assert_array_equal(np.concatenate(pieces), LowPass(5, RATE).push(sway, whole(sway)))


@pytest.mark.parametrize("cutoff", [0.05, 1.0, 5.0, 30.0, 49.0])
def test_agrees_with_scipy(sway, cutoff):
    sos = butter(2, cutoff, fs=RATE, output="sos")
    expected = np.stack([sosfilt(sos, c, zi=sosfilt_zi(sos) * c[0])[0] for c in sway.T], axis=1)
    np.testing.assert_allclose(LowPass(cutoff, RATE).push(sway, whole(sway)), expected, rtol=0, atol=1e-10)


def test_standing_still_stays_still():
    still = np.tile([0.0, 0.0, 9.81], (50, 1))
    np.testing.assert_allclose(LowPass(5, RATE).push(still, whole(still)), still, atol=1e-12)


def test_a_gap_is_a_fresh_start_and_stays_a_gap(sway):
    gap = whole(sway)
    gap[100:130] = 1
    holed = np.where(gap[:, None] > 0, np.nan, sway)
    out = LowPass(5, RATE).push(holed, gap)
    assert np.isnan(out[100:130]).all()
    assert np.isfinite(out[130:]).all()
    np.testing.assert_array_equal(out[130:], LowPass(5, RATE).push(sway[130:], whole(sway[130:])))


@pytest.mark.parametrize("cutoff", [0, 50, 80, -1, np.nan])
def test_cutoff_must_be_below_half_the_rate(cutoff):
    with pytest.raises(SignalError, match="between 0 and 50 Hz"):
        LowPass(cutoff, RATE)


def test_channels_must_not_change(sway):
    stage = LowPass(5, RATE)
    stage.push(sway, whole(sway))
    with pytest.raises(SignalError, match="keep 3 channels, got 2"):
        stage.push(sway[:, :2], whole(sway))
