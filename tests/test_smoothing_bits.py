"""Smoothed orientation: the same bits in any cut and lane, gaps that stay gaps, and input that is refused."""

import shutil
import subprocess
from dataclasses import fields, replace

import numpy as np
import pytest
from restless_sensor import PROMPT, G, heading_error, inclination_error, restless, rms, smoothed, tilt, without_mag
from same_bits import BOTH, LEVELS, assert_same_bits, columns
from vqf_reference import Recording, turned_by, wandering

from imuposture import smoothed_orientation
from imuposture._blocks import Quality
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import smoothing as _ext
from imuposture.fusion import NorthBlock, Parameters, SmoothedFusion, orientation, smooth_fuse, streams


@pytest.fixture(scope="module")
def recordings():
    """Five different sensors, 40 s each."""
    return [wandering(40, seed=seed) for seed in range(5)]


# the same bits


@BOTH
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_cuts_do_not_change_a_bit(recordings, rows, magnetometer):
    whole = recordings[0].rows(slice(0, 2500))
    whole = whole if magnetometer else without_mag(whole)
    parts = [
        replace(whole, **{k: v[i : i + rows] for k, v in columns(whole).items() if v is not None})
        for i in range(0, 2500, rows)
    ]
    assert_same_bits(smoothed(*parts), smoothed(whole))


@BOTH
@pytest.mark.parametrize("level", LEVELS)
def test_lanes_and_instruction_sets_do_not_change_a_bit(recordings, level, magnetometer, monkeypatch):
    rng = np.random.default_rng(1)
    gaps = [np.repeat(rng.random(400) < share, 10) for share in (0.2, 0.0, 0.05, 0.0, 0.5)]
    lengths = [4000, 3999, 2500, 4000, 777]
    rows = [one.rows(slice(0, n), gap) for one, gap, n in zip(recordings, gaps, lengths, strict=True)]
    rows = rows if magnetometer else list(map(without_mag, rows))
    monkeypatch.setattr(streams, "LEVEL", 0)
    alone = [smoothed(one) for one in rows]
    monkeypatch.setattr(streams, "LEVEL", level)
    for count in (1, 2, 3, 5):
        stages = [SmoothedFusion(100, magnetometer=magnetometer) for _ in range(count)]
        for stage, one in zip(stages, rows, strict=False):
            stage.push(one)
        for block, expected in zip(smooth_fuse(stages), alone, strict=False):
            assert_same_bits(block, expected)


def test_lists_of_recordings_give_what_each_gives_alone(recordings):
    lengths = [4000, 10, 0, 1, 777]
    parts = [[signal[:n] for signal in one.signals] for one, n in zip(recordings, lengths, strict=True)]
    gyr, acc, mag = (list(arrays) for arrays in zip(*parts, strict=True))
    for quat, g, a in zip(smoothed_orientation(gyr, acc, rate=100), gyr, acc, strict=True):
        np.testing.assert_array_equal(quat, smoothed_orientation(g, a, rate=100))
    for quat, one in zip(smoothed_orientation(gyr, acc, mag, rate=100), parts, strict=True):
        np.testing.assert_array_equal(quat, smoothed_orientation(*one, rate=100))
        assert quat.shape == (len(one[0]), 4)
    assert smoothed_orientation([], [], rate=100) == []


@pytest.mark.parametrize("rate", [1.0, 10.0, 1000.0])
def test_any_rate_and_length_gives_unit_quaternions(rate):
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 5, 300):
        gyr, acc, mag = rng.normal(0, [[[1.0]], [[G]], [[40.0]]], (3, count, 3))
        quat = smoothed_orientation(gyr, acc, mag, rate=rate)
        assert np.abs(np.linalg.norm(quat, axis=1) - 1).max() < 1e-12


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")
def test_no_pass_fuses_multiply_and_add():
    code = subprocess.run(["objdump", "-d", _ext.__file__], capture_output=True, text=True, check=True).stdout
    assert "mulpd" in code
    assert not any(name in code for name in ("fmadd", "fnmadd", "fmsub"))


def test_the_compiled_half_knows_every_parameter():
    assert len(fields(Parameters)) == _ext.PARAMETERS


# gaps and missing measurements


def test_gaps_hold_nothing_and_what_follows_starts_anew():
    acc, gyr = np.tile([0.0, 0, G], (4000, 1)), np.tile(np.radians([0, 0, 1.0]), (4000, 1))
    acc[3000:] = [0, G, 0]  # it has been laid on its side meanwhile
    gaps = np.zeros(4000, bool)
    gaps[2900:3000] = True
    block = smoothed(Recording(100, gyr, acc, None).rows(gaps=gaps))
    assert np.isnan(block.quat[gaps]).all()
    assert np.isnan(block.bias[gaps]).all()
    assert not block.rest[gaps].any()
    assert block.rest[2899]
    np.testing.assert_allclose(tilt(block.quat[2899:2900]), [[0, 0, 1]], atol=1e-12)
    np.testing.assert_allclose(tilt(block.quat[3000:3001]), [[0, 1, 0]], atol=5e-4)
    np.testing.assert_allclose(block.bias[~gaps], np.tile(np.radians([0, 0, 1.0]), (3900, 1)), atol=np.radians(0.01))
    w, x, y, z = block.quat[2899]
    rolled = np.array([[w - x, w + x, y + z, z - y]]) / np.sqrt(2)  # by 90 degrees about x, the shortest way there
    assert turned_by(block.quat[3000:3001], rolled).max() < 0.2


def test_the_north_is_found_again_behind_a_gap():
    recording, truth = restless(120, seed=6, bias_dps=(0.1, 0.1, 0.1))
    gaps = np.zeros(len(truth), bool)
    gaps[2000:2600] = True  # 12 s in which it turned
    stage = SmoothedFusion(recording.rate, PROMPT, magnetometer=True)
    stage.push(recording.rows(gaps=gaps))
    block = stage.finish()
    assert np.isnan(block.delta[gaps]).all()
    assert not block.disturbed[gaps].any()
    error = np.degrees(np.abs(heading_error(block.quat[~gaps], truth[~gaps])))
    assert error.max() < 6
    assert rms(error) < 1.5


@pytest.mark.parametrize("gap", [slice(0, 50), slice(3950, 4000), slice(0, 4000)], ids=["first", "last", "all"])
def test_gaps_at_the_ends_are_gaps(recordings, gap):
    gaps = np.zeros(4000, bool)
    gaps[gap] = True
    block = smoothed(recordings[0].rows(gaps=gaps))
    np.testing.assert_array_equal(np.isnan(block.quat).all(axis=1), gaps)
    np.testing.assert_array_equal(np.isnan(block.delta), gaps)


def test_missing_measurements_are_none(recordings):
    recording = recordings[0]
    acc, zeros, nans = recording.acc.copy(), recording.mag.copy(), recording.mag.copy()
    acc[::3], acc[:20], acc[-300:] = 0, 0, 0
    zeros[::3], nans[::3] = 0, np.nan
    blocks = [smoothed(replace(recording, acc=acc, mag=mag).rows()) for mag in (zeros, nans)]
    assert_same_bits(*blocks)
    full = smoothed(recording.rows())
    apart = inclination_error(blocks[0].quat, full.quat)
    assert apart[:-300].max() < 0.5
    assert apart.max() < 2


# verbs, and what is refused


def test_push_keeps_and_finish_gives_and_forgets(recordings):
    stage = SmoothedFusion(100, magnetometer=True)
    block = stage.push(recordings[0].rows())
    assert isinstance(block, NorthBlock)
    assert len(block.quat) == len(block.delta) == 0
    assert len(stage.finish().quat) == 4000
    assert len(stage.finish().quat) == 0


def test_rows_may_change_after_they_were_pushed(recordings):
    rows = recordings[0].rows()
    expected = smoothed(rows)
    stage = SmoothedFusion(100, magnetometer=True)
    stage.push(rows)
    rows.gyr[:], rows.acc[:], rows.flags[:] = 1, 1, 1
    assert_same_bits(stage.finish(), expected)


BAD = [
    ({"gyr": np.zeros((3, 2))}, r"gyr must be \(n, 3\) real numbers, got shape \(3, 2\)"),
    ({"acc": np.zeros((4, 3))}, "same number of rows, got 3, 4, 3"),
    ({"acc": [["a", "b", "c"]] * 3}, "acc must be .* real numbers"),
    ({"acc": [[0, 0, 1], [0, np.nan, 1], [0, 0, 1]]}, "acc holds .* in row 1"),
    ({"gyr": np.full((3, 3), 1e12)}, "gyr holds .* in row 0; values must be finite and within 1e\\+09"),
    ({"mag": [[0, 0, 1], [0, 0, 1], [0, np.inf, 1]]}, "mag holds .* in row 2"),
    ({"gyr": [np.zeros((3, 3))]}, "lists of recordings must be equally long"),
    ({"rate": 0}, "rate must lie between 1 and 20000 Hz"),
    ({"rate": None}, "rate must lie between 1 and 20000 Hz"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_wrong_input_is_refused(wrong, message):
    with pytest.raises(SignalError, match=message):
        smoothed_orientation(**({"gyr": np.zeros((3, 3)), "acc": np.ones((3, 3)), "rate": 100} | wrong))


def test_unknown_parameters_are_refused():
    with pytest.raises(ConfigError, match="choose 'default' or 'vqf'"):
        SmoothedFusion(100, "VQF")


def test_misfits_are_refused_and_nothing_is_kept(recordings):
    rows = recordings[0].rows()
    stage = SmoothedFusion(100, magnetometer=True)
    with pytest.raises(SignalError, match="each stream once"):
        smooth_fuse([stage, stage])
    with pytest.raises(SignalError, match="rows hold no mag"):
        stage.push(without_mag(rows))
    with pytest.raises(SignalError, match="flags must be"):
        stage.push(replace(rows, flags=rows.flags[:-1]))
    acc = rows.acc.copy()
    acc[7, 1] = np.nan
    with pytest.raises(SignalError, match=r"acc holds .* in row 7.*Quality\.GAP"):
        stage.push(replace(rows, acc=acc))
    assert len(stage.finish().quat) == 0
    assert Quality.GAP == 1  # what ext/smoothing.h calls SMOOTHING_GAP


def test_it_is_not_the_causal_filter(recordings):
    recording = recordings[0]
    smooth = smoothed_orientation(recording.gyr, recording.acc, rate=100)
    assert turned_by(smooth, orientation(recording.gyr, recording.acc, rate=100)).max() > 0.1
