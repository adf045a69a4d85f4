"""Orientation filter: physics, agreement with vqf, and the same bits in any cut, lane, thread and instruction set."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace

import numpy as np
import pytest
from same_bits import BOTH, LEVELS, assert_same_bits, columns
from vqf_reference import assert_agrees_with_vqf, closed_form, read, shared_files, turned_by, wandering

from imuposture._blocks import Quality, SensorRows
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import fusion as _ext
from imuposture.fusion import Fusion, Parameters, fuse, isa_level, orientation, streams

G = 9.81


@pytest.fixture(scope="module")
def recordings():
    """Eight different sensors, 40 s each: longer than all averages settle."""
    return [wandering(40, seed=seed) for seed in range(8)]


def joined(blocks):
    parts = [columns(block) for block in blocks]
    return type(blocks[0])(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def tilt(quat):
    """The vertical in the sensor frame."""
    w, x, y, z = quat.T
    return np.stack([2 * (x * z - w * y), 2 * (w * x + y * z), 1 - 2 * (x * x + y * y)], axis=1)


# physics


NO_BIAS = replace(Parameters(), bias_sigma_start=1e-9, bias_forgetting_time=1e8, sensor_delay=0.0)


@pytest.mark.parametrize("rate", [10.0, 25.0, 100.0, 1000.0])
@pytest.mark.parametrize("degrees_per_second", [0.5, 300, 2005])
def test_constant_rotation_follows_the_closed_form(rate, degrees_per_second):
    """At 10 and 25 Hz the fastest is beyond the short series for a turn of one period."""
    axis = np.array([2, -1, 2]) / 3
    gyr = np.tile(np.radians(degrees_per_second) * axis, (500, 1))
    quat = orientation(gyr, np.zeros_like(gyr), rate=rate, parameters=NO_BIAS)
    assert turned_by(quat, closed_form(gyr, rate)).max() < 1e-9


def test_a_late_sensor_is_carried_on_to_now():
    """Rows that are three periods late, of a turn that hardly changes meanwhile."""
    rate, late = 1000.0, 3
    t = np.arange(5000)[:, None] / rate
    gyr = 3 * np.sin(t * [1.0, 1.7, 2.3] + [0, 1, 2])
    truth = closed_form(gyr, rate)
    rows, none = np.vstack([np.zeros((late, 3)), gyr[:-late]]), np.zeros((5000, 3))
    plain, ahead = (
        turned_by(orientation(rows, none, rate=rate, parameters=replace(NO_BIAS, sensor_delay=delay)), truth)[
            late:
        ].max()
        for delay in (0.0, late / rate)
    )
    assert plain > 0.5
    assert ahead < 0.01


@pytest.mark.parametrize("degrees", [0, 30, -75, 120, 179.9, 180])
def test_inclination_comes_from_gravity_at_once(degrees):
    up = np.array([np.sin(np.radians(degrees)), 0, np.cos(np.radians(degrees))])
    quat = orientation(np.zeros((3, 3)), np.tile(G * up, (3, 1)), rate=100)
    np.testing.assert_allclose(tilt(quat[:1]), [up], atol=1e-12)
    np.testing.assert_allclose(tilt(quat), np.tile(up, (3, 1)), atol=1e-5)  # the first correction looks like a bias


def test_bias_of_a_still_sensor_is_learnt():
    bias = np.radians([0.8, -1.2, 0.5])
    still = SensorRows(np.tile([0.0, G, 0.0], (6000, 1)), np.tile(bias, (6000, 1)), None, np.zeros(6000, np.uint8))
    block = Fusion(100).push(still)
    assert block.rest[200:].all()
    assert not block.rest[:149].any()  # rest needs 1.5 s
    np.testing.assert_allclose(block.bias[-1], bias, atol=np.radians(0.001))


def test_bias_is_learnt_in_motion_too():
    recording = wandering(120, seed=3)
    recording.gyr += np.radians([0.5, 0, 0])
    plain = Fusion(100).push(wandering(120, seed=3).rows())
    block = Fusion(100).push(recording.rows())
    np.testing.assert_allclose(block.bias[-1] - plain.bias[-1], np.radians([0.5, 0, 0]), atol=np.radians(0.02))


def test_x_points_east_and_y_north():
    field = np.array([0.0, 20.0, -40.0])  # north and down, as on the northern hemisphere
    heading = np.radians(70)  # the sensor's x axis, counted from east
    c, s = np.cos(heading), np.sin(heading)
    mag = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ field
    gyr, acc = np.zeros((200, 3)), np.tile([0, 0, G], (200, 1))
    quat = orientation(gyr, acc, np.tile(mag, (200, 1)), rate=100)
    np.testing.assert_allclose(quat[-1], [np.cos(heading / 2), 0, 0, np.sin(heading / 2)], atol=1e-12)


def test_heading_is_there_at_once_even_in_a_fast_turn():
    gyr, acc = np.tile([0, 0, 20.0], (2, 1)), np.tile([0, 0, G], (2, 1))
    quat = orientation(gyr, acc, [[18.0, 0, -45], [18 * np.cos(0.2), -18 * np.sin(0.2), -45]], rate=100)
    east = np.degrees(2 * np.arctan2(quat[:, 3], quat[:, 0]))  # of x, which points north in the first row
    np.testing.assert_allclose(east, 90 + np.degrees([0.04, 0.24]), atol=1e-9)  # both 2 ms on


def test_a_magnet_is_noticed_and_inclination_never_cares():
    recording = wandering(60, seed=1)
    north = Fusion(100, magnetometer=True).push(recording.rows())
    without = Fusion(100).push(recording.rows())
    np.testing.assert_array_equal(north.inertial, without.quat)
    np.testing.assert_allclose(tilt(north.quat), tilt(without.quat), atol=1e-14)
    assert north.disturbed[2500:2900].mean() > 0.9
    assert north.disturbed[-500:].mean() < 0.1


def test_a_magnet_that_passes_first_turns_the_heading_little():
    """Rest in a clean field, then a magnet is moved about, before any motion has made that field the reference."""
    seconds = np.arange(3000) / 100
    acc, gyr = np.tile([0, 0, G], (3000, 1)), np.zeros((3000, 3))
    mag = np.tile([0.0, 18, -45], (3000, 1))
    passing = (seconds > 15) & (seconds < 25)
    wave = 5 * seconds[passing]
    mag[passing] += 40 * np.stack([1 + np.sin(wave), 0.3 * np.sin(wave), -0.5 - 0.5 * np.cos(wave)], axis=1)
    used, ours = (
        np.degrees(2 * np.abs(orientation(gyr, acc, mag, rate=100, parameters=parameters)[:, 3]).max())
        for parameters in (replace(Parameters(), field_standing_time=0.0), Parameters())
    )
    assert used > 10
    assert ours < 1


def test_a_late_magnetometer_harms_less_in_fast_turns():
    """Whirled about the vertical, a magnetometer that answers 20 ms late points 11.5 degrees behind."""
    rate, late = 100.0, 2
    speed = np.where(np.arange(6000) < 2000, 0.0, 10.0)
    angle = np.cumsum(speed) / rate
    gyr, acc = speed[:, None] * [0, 0, 1.0], np.tile([0, 0, G], (6000, 1))
    mag = np.stack([18 * np.sin(angle), 18 * np.cos(angle), np.full(6000, -45.0)], axis=1)
    mag[late:] = mag[:-late].copy()
    truth = closed_form(gyr, rate)
    known = replace(NO_BIAS, field_first_time=0.5)
    behind = [
        turned_by(orientation(gyr, acc, mag, rate=rate, parameters=parameters), truth)[2500]
        for parameters in (replace(known, mag_turn_time=0.0), known)
    ]
    assert behind[0] > 3
    assert behind[1] < behind[0] / 2


def test_length_stays_one_for_a_week():
    """A week at 1 Hz of the largest steps there are does as many, and worse, roundings as a day at 100 Hz."""
    rng = np.random.default_rng(5)
    steps = 7 * 24 * 3600
    gyr = rng.uniform(-30, 30, (steps, 3))
    quat = orientation(gyr, rng.normal(0, G, (steps, 3)), rate=1.0)
    assert np.abs(np.linalg.norm(quat, axis=1) - 1).max() < 1e-12


def test_falling_freely_or_measuring_nothing_does_no_harm():
    acc = np.zeros((50, 3))
    acc[10:30:2], acc[11:31:2] = [0, 0, G], [0, 0, -G]  # averages of exactly nothing
    block = Fusion(100).push(SensorRows(acc, np.zeros((50, 3)), None, np.zeros(50, np.uint8)))
    assert np.isfinite(np.column_stack([block.quat, block.bias])).all()


@pytest.mark.parametrize("axes", [(1, -1, 1), (-1, 1, 1)], ids=["y", "x"])
def test_a_mirrored_motion_gives_the_mirrored_orientation_exactly(axes):
    recording = wandering(20, seed=4)
    mirror = np.array(axes)
    quat = orientation(recording.gyr, recording.acc, rate=100)
    mirrored = orientation(-mirror * recording.gyr, mirror * recording.acc, rate=100)
    np.testing.assert_array_equal(mirrored, quat * np.array([1, *(-mirror)]))


# agreement with vqf


@pytest.mark.parametrize("file", shared_files("broad"))
def test_agrees_with_vqf_on_optical_benchmark(file):
    assert_agrees_with_vqf(read(file, "imu", 2000 / 7))


@pytest.mark.parametrize("sensor", ["child", "parent"])
@pytest.mark.parametrize("file", shared_files("song_two_imu_encoder"))
def test_agrees_with_vqf_on_cheap_sensors(file, sensor):
    assert_agrees_with_vqf(read(file, sensor, 100.0))


@pytest.mark.parametrize(("rate", "speed"), [(10.0, 1), (10.0, 15), (25.6, 5), (100.0, 1), (833.0, 10)])
def test_agrees_with_vqf_on_simulated_motion(rate, speed):
    assert_agrees_with_vqf(wandering(5000 / rate + 30, rate, seed=2, speed=speed))


def test_agrees_with_vqf_through_long_and_repeated_disturbances():
    """Patience with a disturbed field runs out after 60 s, and is earned back by undisturbed time."""
    recording = wandering(400, rate=25.0, seed=7)
    seconds = np.arange(len(recording.mag)) / recording.rate
    disturbed = ((seconds > 30) & (seconds < 110)) | ((seconds > 130) & (seconds % 20 < 13) & (seconds < 300))
    recording.mag[disturbed] += 20 * np.sin(seconds[disturbed])[:, None]
    assert_agrees_with_vqf(recording)


def test_agrees_with_vqf_where_measurements_are_missing():
    recording = wandering(60, seed=6)
    rng = np.random.default_rng(6)
    recording.acc[rng.random(6000) < 0.1] = 0
    recording.mag[rng.random(6000) < 0.3] = 0
    assert_agrees_with_vqf(recording)


# the same bits


@BOTH
@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_cuts_do_not_change_a_bit(recordings, rows, magnetometer):
    recording = recordings[0]
    whole = Fusion(100, magnetometer=magnetometer).push(recording.rows())
    stage = Fusion(100, magnetometer=magnetometer)
    count = 1500 if rows == 1 else 4000
    cuts = [stage.push(recording.rows(slice(i, min(i + rows, count)))) for i in range(0, count, rows)]
    assert_same_bits(joined(cuts), type(whole)(*(values[:count] for values in columns(whole).values())))


@BOTH
@pytest.mark.parametrize("level", LEVELS)
def test_lanes_and_instruction_sets_do_not_change_a_bit(recordings, level, magnetometer, monkeypatch):
    monkeypatch.setattr(streams, "LEVEL", 0)
    alone = [Fusion(100, magnetometer=magnetometer).push(recording.rows()) for recording in recordings]
    monkeypatch.setattr(streams, "LEVEL", level)
    for count in (1, 2, 3, 4, 5, 8):
        filters = [Fusion(100, magnetometer=magnetometer) for _ in range(count)]
        blocks = fuse(filters, [recording.rows() for recording in recordings[:count]])
        for block, expected in zip(blocks, alone, strict=False):
            assert_same_bits(block, expected)


@BOTH
def test_gaps_in_one_stream_do_not_touch_the_other(recordings, magnetometer):
    rng = np.random.default_rng(1)
    gaps = [np.repeat(rng.random(400) < share, 10) for share in (0.2, 0.0, 0.05)]
    rows = [recording.rows(gaps=gap) for recording, gap in zip(recordings, gaps, strict=False)]
    alone = [Fusion(100, magnetometer=magnetometer).push(one) for one in rows]
    together = fuse([Fusion(100, magnetometer=magnetometer) for _ in rows], rows)
    for block, expected in zip(together, alone, strict=True):
        assert_same_bits(block, expected)


def test_streams_of_different_kind_and_length_go_together(recordings):
    settings = [(100.0, False), (50.0, False), (100.0, True), (100.0, False)]
    rows = [recording.rows(slice(0, 500 * i)) for i, recording in enumerate(recordings[:4])]
    together = fuse([Fusion(rate, magnetometer=mag) for rate, mag in settings], rows)
    for block, one, (rate, mag) in zip(together, rows, settings, strict=True):
        assert_same_bits(block, Fusion(rate, magnetometer=mag).push(one))


def test_lists_of_recordings_refill_their_lanes(recordings):
    lengths = [4000, 10, 0, 3999, 2500, 1, 2049, 777]
    parts = [[signal[:n] for signal in recording.signals] for recording, n in zip(recordings, lengths, strict=True)]
    gyr, acc, mag = zip(*parts, strict=True)
    for quat, g, a in zip(orientation(gyr, acc, rate=100), gyr, acc, strict=True):
        np.testing.assert_array_equal(quat, orientation(g, a, rate=100))
    for quat, one in zip(orientation(list(gyr), acc, mag, rate=100), parts, strict=True):
        np.testing.assert_array_equal(quat, orientation(*one, rate=100))
    assert orientation([], [], rate=100) == []


def test_threads_do_not_change_a_bit(recordings):
    def work(recording):
        stage = Fusion(100)
        return joined([stage.push(recording.rows(slice(i, i + 50))) for i in range(0, 4000, 50)])

    with ThreadPoolExecutor(2) as pool:
        for block, recording in zip(pool.map(work, recordings), recordings, strict=True):
            assert_same_bits(block, work(recording))


@pytest.mark.skipif(shutil.which("objdump") is None, reason="objdump is not installed")
def test_no_kernel_fuses_multiply_and_add():
    code = subprocess.run(["objdump", "-d", _ext.__file__], capture_output=True, text=True, check=True).stdout
    assert "mulpd" in code
    assert "fmadd" not in code
    assert "fnmadd" not in code
    assert "fmsub" not in code


# gaps


def test_after_a_gap_inclination_is_there_and_bias_and_heading_carry_on():
    acc, gyr = np.tile([0.0, 0, G], (4000, 1)), np.tile(np.radians([0, 0, 1.0]), (4000, 1))
    acc[3000:] = [0, G, 0]  # it has been laid on its side meanwhile
    flags = np.zeros(4000, np.uint8)
    flags[2900:3000], acc[2900:3000], gyr[2900:3000] = Quality.GAP | Quality.INTERPOLATED, np.nan, np.nan
    block = Fusion(100).push(SensorRows(acc, gyr, None, flags))
    assert np.isnan(block.quat[2900:3000]).all()
    assert np.isnan(block.bias[2900:3000]).all()
    assert block.rest[2899]
    assert not block.rest[2900:3149].any()
    np.testing.assert_allclose(tilt(block.quat[3000:3001]), [[0, 1, 0]], atol=1e-7)  # what is left of the bias, 2 ms on
    np.testing.assert_allclose(block.bias[3000], block.bias[2899], atol=np.radians(0.02))
    w, x, y, z = block.quat[2899]
    rolled = np.array([[w - x, w + x, y + z, z - y]]) / np.sqrt(2)  # by 90 degrees about x, the shortest way there
    assert turned_by(block.quat[3000:3001], rolled).max() < 0.2


def test_a_missing_magnetometer_row_is_no_measurement(recordings):
    recording = recordings[0]
    zeros, nans = recording.mag.copy(), recording.mag.copy()
    zeros[::3], nans[::3] = 0, np.nan
    blocks = [Fusion(100, magnetometer=True).push(replace(recording, mag=mag).rows()) for mag in (zeros, nans)]
    assert_same_bits(*blocks)


# what is refused


BAD = [
    ({"gyr": np.zeros((3, 2))}, r"gyr must be \(n, 3\) real numbers, got shape \(3, 2\)"),
    ({"gyr": np.zeros(3)}, r"got shape \(3,\)"),
    ({"acc": np.zeros((4, 3))}, "same number of rows, got 3, 4, 3"),
    ({"acc": [["a", "b", "c"]] * 3}, "acc must be .* real numbers"),
    ({"gyr": [[1, 2, 3], [1, 2]]}, "different lengths"),
    ({"acc": [[0, 0, 1], [0, np.nan, 1], [0, 0, 1]]}, "acc holds .* in row 1"),
    ({"gyr": np.full((3, 3), 1e12)}, "gyr holds .* in row 0; values must be finite and within 1e\\+09"),
    ({"mag": [[0, 0, 1], [0, 0, 1], [0, np.inf, 1]]}, "mag holds .* in row 2"),
    ({"gyr": np.ones((3, 3), complex)}, "complex128"),
    ({"gyr": [np.zeros((3, 3))]}, "lists of recordings must be equally long"),
]


@pytest.mark.parametrize(("wrong", "message"), BAD)
def test_wrong_arrays_are_refused(wrong, message):
    with pytest.raises(SignalError, match=message):
        orientation(**({"gyr": np.zeros((3, 3)), "acc": np.ones((3, 3)), "rate": 100} | wrong))


@pytest.mark.parametrize("rate", [0, -0.01, 0.01, 1e6, np.nan, np.inf, None, "100"])
def test_wrong_rates_are_refused(rate):
    with pytest.raises(SignalError, match="rate must lie between 1 and 20000 Hz"):
        orientation(np.zeros((3, 3)), np.ones((3, 3)), rate=rate)


@pytest.mark.parametrize("parameters", ["VQF", None, {"acc_tau": 3}])
def test_unknown_parameters_are_refused(parameters):
    with pytest.raises(ConfigError, match="choose 'default' or 'vqf'"):
        Fusion(100, parameters)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, "3"])
def test_impossible_parameters_are_refused(value):
    with pytest.raises(ConfigError, match="acc_tau must be a positive number"):
        Parameters(acc_tau=value)
    if value != 0:  # off
        with pytest.raises(ConfigError, match="sensor_delay must be a positive number"):
            Parameters(sensor_delay=value)


def test_nan_without_a_gap_is_refused_and_moves_nothing(recordings):
    stage, untouched = Fusion(100), Fusion(100)
    rows = recordings[0].rows(slice(0, 20))
    acc = rows.acc.copy()
    acc[7, 1] = np.nan
    with pytest.raises(SignalError, match=r"acc holds .* in row 7.*Quality\.GAP"):
        stage.push(replace(rows, acc=acc))
    assert_same_bits(stage.push(rows), untouched.push(rows))


def test_misfits_between_filters_and_rows_are_refused(recordings):
    stage, rows = Fusion(100), recordings[0].rows()
    with pytest.raises(SignalError, match="one block of rows for each filter"):
        fuse([stage, stage], [rows, rows])
    with pytest.raises(SignalError, match="rows hold no mag"):
        Fusion(100, magnetometer=True).push(replace(rows, mag=None))
    with pytest.raises(SignalError, match="flags must"):
        stage.push(replace(rows, flags=rows.flags[:-1]))
    with pytest.raises(SignalError, match="flags must"):
        stage.push(replace(rows, flags=None))


def test_other_number_types_and_strides_are_accepted(recordings):
    gyr, acc = (signal.astype(np.float32) for signal in recordings[0].signals[:2])
    expected = orientation(gyr.astype(float), acc.astype(float), rate=100)
    np.testing.assert_array_equal(orientation(gyr, acc, rate=100), expected)
    np.testing.assert_array_equal(orientation(np.asfortranarray(gyr), acc.tolist(), rate=np.float32(100)), expected)
    rows = SensorRows(acc, np.repeat(gyr, 2, axis=0)[::2], None, np.zeros(2 * len(gyr), np.uint8)[::2])
    np.testing.assert_array_equal(Fusion(100).push(rows).quat, expected)


def test_inputs_are_left_alone_and_no_rows_are_fine(recordings):
    rows = recordings[0].rows()
    before = [np.copy(array) for array in astuple(rows)]
    stage = Fusion(100, magnetometer=True)
    assert len(stage.push(recordings[0].rows(slice(0, 0))).quat) == 0
    assert_same_bits(stage.push(rows), Fusion(100, magnetometer=True).push(rows))
    for array, copy in zip(astuple(rows), before, strict=True):
        np.testing.assert_array_equal(array, copy)


# choice of the instruction set


def run_with_isa(isa):
    script = "from imuposture.fusion import isa_level; print(isa_level())"
    environment = os.environ | {"IMUPOSTURE_ISA": isa}
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("level", LEVELS)
def test_environment_forces_an_instruction_set(level):
    name = streams.LEVELS[level]
    assert run_with_isa(name).stdout.strip() == name


@pytest.mark.parametrize(
    "isa", ["sse9", *(name for i, name in enumerate(streams.LEVELS) if not _ext.level_available(i))]
)
def test_an_instruction_set_that_is_not_there_is_an_error(isa):
    result = run_with_isa(isa)
    assert result.returncode != 0
    assert f"ConfigError: IMUPOSTURE_ISA asks for '{isa}'" in result.stderr


def test_the_best_instruction_set_is_the_default():
    assert os.environ.get("IMUPOSTURE_ISA") or _ext.level_available(streams.LEVELS.index(isa_level()))
