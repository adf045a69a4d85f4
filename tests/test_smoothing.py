"""Smoothed orientation: physics, kinship with offlineVQF, laws of symmetry, and the same bits in any company."""

import shutil
import subprocess
from dataclasses import fields, replace

import numpy as np
import pytest
from vqf import offlineVQF
from vqf_reference import Recording, closed_form, read, shared_files, turned_by, wandering

from imuposture import smoothed_orientation
from imuposture._blocks import Quality
from imuposture._errors import ConfigError, SignalError
from imuposture._ext import fusion as _causal
from imuposture._ext import smoothing as _ext
from imuposture.fusion import Fusion, NorthBlock, Parameters, SmoothedFusion, orientation, smooth_fuse, streams

G = 9.81
PROMPT = Parameters(sensor_delay=0.0)  # synthetic rows are as late as their period
LEVELS = [
    pytest.param(
        i, marks=pytest.mark.skipif(not _causal.level_available(i), reason=f"this processor has no {name}"), id=name
    )
    for i, name in enumerate(streams.LEVELS)
]
BOTH = pytest.mark.parametrize("magnetometer", [False, True], ids=["6-axis", "9-axis"])


@pytest.fixture(scope="module")
def recordings():
    """Five different sensors, 40 s each."""
    return [wandering(40, seed=seed) for seed in range(5)]


def columns(block):
    return {field.name: getattr(block, field.name) for field in fields(block)}


def assert_same_bits(block, expected):
    assert type(block) is type(expected)
    for name, values in columns(expected).items():
        np.testing.assert_array_equal(getattr(block, name), values, err_msg=name)


def smoothed(rows, *more, **settings):
    stage = SmoothedFusion(100, magnetometer=rows.mag is not None, **settings)
    for part in (rows, *more):
        stage.push(part)
    return stage.finish()


def without_mag(rows):
    return replace(rows, mag=None)


def tilt(quat):
    """The vertical in the sensor frame."""
    w, x, y, z = quat.T
    return np.stack([2 * (x * z - w * y), 2 * (w * x + y * z), 1 - 2 * (x * x + y * y)], axis=1)


def inclination_error(quat, truth):
    """Angle between verticals, degrees, row by row."""
    return np.degrees(2 * np.arcsin(np.minimum(np.linalg.norm(tilt(quat) - tilt(truth), axis=1) / 2, 1)))


def heading_error(quat, truth):
    """Heading of one orientation against another, rad."""
    w = (quat * truth).sum(axis=1)
    z = truth[:, 0] * quat[:, 3] - quat[:, 0] * truth[:, 3] + truth[:, 1] * quat[:, 2] - quat[:, 1] * truth[:, 2]
    return np.angle(np.exp(2j * np.arctan2(z, w)))


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def restless(seconds=300, rate=50.0, seed=0, bias_dps=(0.6, -0.4, 0.5), lateness=0.0):
    """Turn without a rest and be pushed about: a recording and its true orientation. Rates are means of the period
    that ended ``lateness`` rows before their row; the rest of the rows is as late."""
    rng = np.random.default_rng(seed)
    fine = 4
    t = np.arange(round((seconds + 1) * rate * fine)) / rate / fine
    waves = rng.uniform([0.2, 0.3, 0.0], [0.9, 3.0, 6.0], (3, 4, 3))
    gyr = np.stack([sum(a * np.sin(f * t + p) for a, f, p in axis) for axis in waves], axis=1)
    quat = closed_form(gyr, rate * fine)
    rows = np.arange(fine, len(t) - fine, fine)
    old = rows - round(lateness * fine)
    total = np.cumsum(gyr, axis=0)
    means = (total[old] - total[old - fine]) / fine
    pushes = np.stack([0.8 * np.sin(2 * np.pi * f * t[old] + f) for f in (0.7, 1.1, 1.6)], axis=1)
    w, x, y, z = quat[old].T
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
            [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    acc = np.einsum("ijn,nj->ni", turn, pushes + np.array([0, 0, G]))
    mag = np.einsum("ijn,nj->ni", turn, np.tile([0.0, 18.0, -45.0], (len(rows), 1)))
    noise = rng.standard_normal((3, *acc.shape))
    gyr = means + np.radians(bias_dps) + 0.001 * noise[0]
    return Recording(rate, gyr, acc + 0.02 * noise[1], mag + 0.3 * noise[2]), quat[rows]


# physics


def test_without_gravity_the_closed_form_is_followed():
    gyr = np.tile(np.radians(300) * np.array([2, -1, 2]) / 3, (700, 1))
    known = replace(PROMPT, bias_sigma_start=1e-9, bias_forgetting_time=1e8)
    quat = smoothed_orientation(gyr, np.zeros_like(gyr), rate=100, parameters=known)
    gyr[0] = 0  # it starts from the first row
    assert turned_by(quat, closed_form(gyr, 100)).max() < 1e-9


def test_a_restless_sensor_is_followed_and_its_bias_found():
    recording, truth = restless()
    stage = SmoothedFusion(recording.rate, PROMPT)
    stage.push(without_mag(recording.rows()))
    block = stage.finish()
    causal = Fusion(recording.rate).push(without_mag(recording.rows()))
    errors = [rms(inclination_error(one.quat, truth)) for one in (block, causal)]
    assert errors[0] < 0.15
    assert errors[0] < 0.5 * errors[1]
    drift = heading_error(block.quat, truth)
    assert np.degrees(np.unwrap(drift).std()) < 3
    assert not block.rest.any()
    worst = np.abs(block.bias - np.radians([0.6, -0.4, 0.5])).max(axis=0)
    assert np.degrees(worst).max() < 0.1  # from the very first row on
    assert np.degrees(np.abs(causal.bias[0] - np.radians([0.6, -0.4, 0.5]))).max() > 0.3


@pytest.mark.parametrize("late", [0.0, 0.5, 1.0])
def test_lateness_is_taken_out(late):
    recording, truth = restless(60, lateness=late, bias_dps=(0, 0, 0))
    signals = recording.gyr, recording.acc
    aware, unaware = (
        rms(
            inclination_error(
                smoothed_orientation(
                    *signals, rate=recording.rate, parameters=replace(PROMPT, sensor_delay=told / recording.rate)
                ),
                truth,
            )[200:-200]
        )
        for told in (late, 1 - late if late != 0.5 else 0)
    )
    assert aware < 0.12
    assert unaware > 2 * aware


def test_bias_of_a_still_sensor_is_known_from_the_first_row():
    bias = np.radians([0.8, -1.2, 0.5])
    count = 6000
    still = Recording(100, np.tile(bias, (count, 1)), np.tile([0.0, G, 0.0], (count, 1)), None)
    block = smoothed(still.rows())
    assert block.rest.all()
    np.testing.assert_allclose(block.bias, np.tile(bias, (count, 1)), atol=np.radians(0.01))
    assert turned_by(block.quat, np.tile(block.quat[0], (count, 1))).max() < 0.2


def test_x_points_east_and_y_north():
    field, heading = np.array([0.0, 20.0, -40.0]), np.radians(70)
    c, s = np.cos(heading), np.sin(heading)
    mag = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ field
    gyr, acc = np.zeros((200, 3)), np.tile([0, 0, G], (200, 1))
    quat = smoothed_orientation(gyr, acc, np.tile(mag, (200, 1)), rate=100)
    np.testing.assert_allclose(quat, np.tile([np.cos(heading / 2), 0, 0, np.sin(heading / 2)], (200, 1)), atol=1e-12)


def test_a_magnet_hardly_turns_the_heading():
    recording, truth = restless(120, seed=3, bias_dps=(0.2, 0.1, -0.3))
    near = slice(2500, 3500)
    recording.mag[near] += [25.0, -10.0, 20.0]
    stage = SmoothedFusion(recording.rate, PROMPT, magnetometer=True)
    stage.push(recording.rows())
    block = stage.finish()
    assert isinstance(block, NorthBlock)
    assert np.degrees(np.abs(heading_error(block.quat, truth))).max() < 2
    assert block.disturbed[near].mean() > 0.9
    assert block.disturbed[: near.start].mean() < 0.02
    stage = SmoothedFusion(recording.rate, PROMPT)
    stage.push(without_mag(recording.rows()))
    np.testing.assert_array_equal(block.inertial, stage.finish().quat)
    turned = np.angle(np.exp(1j * (heading_error(block.quat, block.inertial) - block.delta)))
    assert np.abs(turned).max() < 1e-9


def test_the_heading_is_followed_through_many_turns_of_drift():
    """Without a bias filter that could learn it, the gyroscope's heading drifts by whole turns."""
    recording, truth = restless(400, rate=20.0, bias_dps=(0, 0, 0))
    up = tilt(truth)
    recording.gyr += np.radians(4.0) * up
    deaf = replace(PROMPT, bias_sigma_start=1e-9, bias_forgetting_time=1e8)
    quat = smoothed_orientation(*recording.signals, rate=recording.rate, parameters=deaf)
    assert np.degrees(np.abs(heading_error(quat, truth)))[400:-400].max() < 3


# kinship with offlineVQF


@pytest.mark.parametrize("seed", [1, 2])
def test_inclination_is_that_of_offline_vqf(seed):
    recording = wandering(120, seed=seed)
    theirs = offlineVQF(recording.gyr, recording.acc, None, 1 / recording.rate)
    quat = smoothed_orientation(recording.gyr, recording.acc, rate=recording.rate, parameters="vqf")
    apart = inclination_error(quat, theirs["quat6D"])
    assert apart[600:-600].max() < 0.02  # ends: which of the two passes of the low-pass comes first
    assert apart.max() < 0.5
    assert np.degrees(np.unwrap(heading_error(quat, theirs["quat6D"])).std()) < 0.1
    block = smoothed(without_mag(recording.rows()), parameters="vqf")
    np.testing.assert_allclose(block.bias, theirs["bias"], rtol=0, atol=np.radians(0.01))  # a line from knot to knot
    assert (
        np.mean(block.rest != theirs["restDetected"]) < 0.005
    )  # going back, ours turns with the rate of the row behind


@pytest.mark.parametrize("file", shared_files("broad"))
def test_no_worse_than_offline_vqf_on_optical_benchmark(file):
    import pyarrow.parquet as pq

    recording = read(file, "imu", 2000 / 7)
    table = pq.read_table(file)
    truth = np.stack([table[f"imu_ref_q{axis}"].to_numpy() for axis in "wxyz"], axis=1).astype(float)
    known = np.isfinite(truth).all(axis=1) & (table["movement"].to_numpy() > 0.5)
    theirs = offlineVQF(*recording.signals, 1 / recording.rate)["quat9D"]
    mine = smoothed_orientation(*recording.signals, rate=recording.rate)
    scores = [
        (rms(inclination_error(q[known], truth[known])), rms(turned_by(q[known], truth[known]))) for q in (mine, theirs)
    ]
    assert scores[0][0] < scores[1][0] + 0.05
    assert scores[0][1] < scores[1][1] + 0.3


# symmetry


@pytest.mark.parametrize("axes", [(1, -1, 1), (-1, 1, 1)], ids=["y", "x"])
def test_a_mirrored_motion_gives_the_mirrored_orientation_exactly(axes):
    recording = wandering(20, seed=4)
    mirror = np.array(axes)
    quat = smoothed_orientation(recording.gyr, recording.acc, rate=100)
    mirrored = smoothed_orientation(-mirror * recording.gyr, mirror * recording.acc, rate=100)
    np.testing.assert_array_equal(mirrored, quat * np.array([1, *(-mirror)]))


def test_a_mirrored_motion_in_the_same_field_faces_the_mirrored_way():
    recording = wandering(60, seed=4)
    mirror = np.array([-1.0, 1.0, 1.0])
    block = smoothed(recording.rows())
    turned = Recording(100, -mirror * recording.gyr, mirror * recording.acc, mirror * recording.mag)
    mirrored = smoothed(turned.rows())
    np.testing.assert_allclose(mirrored.quat, block.quat * [1, 1, -1, -1], atol=1e-9)
    np.testing.assert_allclose(mirrored.delta, -block.delta, atol=1e-9)
    np.testing.assert_array_equal(mirrored.disturbed, block.disturbed)


def test_a_constant_signal_gives_a_constant_orientation():
    acc = np.tile(G * np.array([0.6, 0.0, 0.8]), (3000, 1))
    quat = smoothed_orientation(np.zeros((3000, 3)), acc, rate=100)
    np.testing.assert_allclose(quat, np.tile(quat[0], (3000, 1)), atol=1e-12)
    np.testing.assert_allclose(tilt(quat[:1]), acc[:1] / G, atol=1e-12)


def test_time_reversed_gives_the_same_orientations():
    """The rate of a row turns from the row before; reversed, from the row after."""
    recording, _ = restless(200, seed=5)
    recording.gyr[0] = 0
    back = np.vstack([np.zeros((1, 3)), -recording.gyr[:0:-1]])
    quat = smoothed_orientation(recording.gyr, recording.acc, rate=recording.rate, parameters=PROMPT)
    again = smoothed_orientation(back, recording.acc[::-1], rate=recording.rate, parameters=PROMPT)[::-1]
    assert inclination_error(again, quat)[500:-500].max() < 0.03
    assert inclination_error(again, quat).max() < 1.0  # at the ends the averages are one-sided
    turned = np.unwrap(heading_error(again, quat)[500:-500])
    assert np.degrees(np.ptp(turned)) < 0.03


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
