"""The whole package against a second spine: true angles, honest standard deviations, signs, swapped sensors, gaps."""

import numpy as np
import pyarrow.csv
import pytest
from second_spine import (
    ANGLES,
    PERFECT,
    RATE,
    STANCE,
    STATUE,
    Choreography,
    Sensor,
    angles_of,
    columns_of,
    mixed_work,
    record,
)

from imuposture import Config, process
from imuposture._blocks import Quality

SEEDS = range(12)
MINUTES = 6.0
NO_SKIN = Config(soft_tissue_sd_deg=0.0)  # the second spine has none
LARGEST_RMSE = dict(zip(ANGLES, (1.5, 4.0, 6.0), strict=True))  # degrees


def cut_off(rows):
    """Return ``rows`` without those of the stance."""
    return rows[round(STANCE[1] * RATE) :]


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """Mixed work of several people: (errors, standard deviations), each (n, 3) degrees, a person."""
    folder = tmp_path_factory.mktemp("worked")
    results = []
    for seed in SEEDS:
        back = mixed_work(seed, MINUTES)
        posture = process(back.write(folder / f"{seed}.csv"), config=NO_SKIN).posture
        errors = angles_of(posture) - back.truth()
        results.append((cut_off(errors), cut_off(columns_of(posture, [f"{angle}_sd_deg" for angle in ANGLES]))))
    return results


@pytest.mark.parametrize("angle", ANGLES)
def test_angles_are_true(worked, angle):
    plane = ANGLES.index(angle)
    rmse = [np.sqrt(np.mean(errors[:, plane] ** 2)) for errors, _ in worked]
    assert max(rmse) <= LARGEST_RMSE[angle]


@pytest.mark.parametrize("angle", ANGLES)
def test_standard_deviations_are_honest(worked, angle):
    plane = ANGLES.index(angle)
    inside = [np.mean(np.abs(errors[:, plane]) <= sds[:, plane]) for errors, sds in worked]
    # with a single stance and six minutes, rotation is claimed with more caution than it turns out to need
    assert 0.53 <= np.mean(inside) <= (0.93 if angle == "axial_rotation" else 0.83)


@pytest.mark.parametrize("angle", ANGLES)
def test_standard_deviations_hold_at_two(worked, angle):
    """A sd that is too small shows at its double first: 95 % lie within."""
    plane = ANGLES.index(angle)
    inside = [np.mean(np.abs(errors[:, plane]) <= 2.0 * sds[:, plane]) for errors, sds in worked]
    assert np.mean(inside) >= 0.90


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_windows_that_nobody_named_are_found(tmp_path, seed):
    back = mixed_work(seed, 4.0)
    result = process(back.write(tmp_path / "work.csv", windows=False))
    found = result.manifest["calibration"]
    assert found["usable"]
    assert found["windows_found"]
    stance = found["windows"]["neutral"][0]
    true_start, true_end = back.windows["flexion"][0]
    assert STANCE[0] <= stance[0] < stance[1] <= true_start + 1.0
    assert all(true_start - 2.0 <= a < b <= true_end + 2.0 for a, b in found["windows"]["flexion"])
    rmse = np.sqrt(np.mean(cut_off(angles_of(result.posture) - back.truth(tuple(stance))) ** 2, axis=0))
    assert (rmse <= list(LARGEST_RMSE.values())).all()


def test_inclinations_are_true(tmp_path):
    back = mixed_work(3, 4.0)
    posture = process(back.write(tmp_path / "work.csv")).posture
    for name, truth in back.inclinations().items():
        error = cut_off(columns_of(posture, [name])[:, 0] - truth)
        assert np.sqrt(np.mean(error**2)) <= 2.0, name


def test_perfect_sensors_on_a_statue_give_perfect_angles(tmp_path):
    back = mixed_work(5, 3.0, PERFECT, STATUE)
    posture = process(back.write(tmp_path / "statue.csv")).posture
    rmse = np.sqrt(np.mean(cut_off(angles_of(posture) - back.truth()) ** 2, axis=0))
    assert (rmse <= [0.3, 0.5, 1.0]).all()


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """A statue that takes one posture after the other: name -> mean row while it is held."""
    poses = {
        "forward": ("flexion", {"flexion": 30.0, "pelvis_forward": 10.0}),
        "right": ("lateral_bend", {"lateral_bend": 20.0, "pelvis_side": 5.0}),
        "left": ("lateral_bend", {"lateral_bend": -20.0, "pelvis_side": -5.0}),
        "turned_right": ("axial_rotation", {"axial_rotation": 25.0}),
        "turned_left": ("axial_rotation", {"axial_rotation": -25.0}),
    }
    still = Choreography(1, STATUE)
    still.calibrate()
    held = {}
    for name, (_, heights) in poses.items():
        still.step(0.5, 3.0, **heights)
        held[name] = (still.now - 2.5, still.now)
        still.step(0.5, 2.0, **{channel: -height for channel, height in heights.items()})
    back = record(still, 1, Sensor(0.0, 0.0, 0.0, 0.0))
    posture = process(back.write(tmp_path_factory.mktemp("posed") / "posed.csv")).posture
    names = [*(f"{angle}_deg" for angle in ANGLES), *back.inclinations(), "trunk_inclination_deg"]
    rows = columns_of(posture, names)
    return {
        name: dict(zip(names, rows[round(a * RATE) : round(b * RATE)].mean(axis=0), strict=True))
        for name, (a, b) in held.items()
    }


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        ("forward", {"flexion_deg": 30, "upper_forward_deg": 40, "lower_forward_deg": 10, "lateral_bend_deg": 0}),
        ("right", {"lateral_bend_deg": 20, "upper_side_deg": 25, "lower_side_deg": 5, "flexion_deg": 0}),
        ("left", {"lateral_bend_deg": -20, "upper_side_deg": -25, "lower_side_deg": -5, "axial_rotation_deg": 0}),
        ("turned_right", {"axial_rotation_deg": 25, "flexion_deg": 0, "lateral_bend_deg": 0, "upper_side_deg": 0}),
        ("turned_left", {"axial_rotation_deg": -25, "flexion_deg": 0, "lateral_bend_deg": 0, "lower_side_deg": 0}),
    ],
)
def test_signs_are_forward_and_right(posed, pose, expected):
    assert {name: posed[pose][name] for name in expected} == pytest.approx(expected, abs=1.0)


def test_a_trunk_that_leans_forward_is_positive(posed):
    assert 10.0 < posed["forward"]["trunk_inclination_deg"] < 40.0


@pytest.mark.parametrize("windows", [True, False], ids=["named", "found"])
@pytest.mark.parametrize("seed", range(3))
def test_swapped_sensors_are_detected(tmp_path, seed, windows):
    back = mixed_work(seed, 1.5)
    acc, gyr = ({"upper": rows["lower"], "lower": rows["upper"]} for rows in (back.acc, back.gyr))
    swapped = back.changed("upper", acc["upper"], gyr["upper"]).changed("lower", acc["lower"], gyr["lower"])
    calibration = process(swapped.write(tmp_path / "swapped.csv", windows=windows)).manifest["calibration"]
    assert not calibration["usable"]
    assert any("swap" in verdict for verdict in calibration["verdicts"])
    calibration = process(back.write(tmp_path / "right.csv", windows=windows)).manifest["calibration"]
    assert calibration["usable"]
    assert not any("swap" in verdict for verdict in calibration["verdicts"])


@pytest.mark.parametrize("seed", range(3))
def test_a_one_sided_worker_stays_one_sided(tmp_path, seed):
    choreography = Choreography(seed)
    choreography.calibrate()
    choreography.step(0.5, axial_rotation=5.0)  # turned to the right all day, and working to the right
    choreography.work(60.0 * MINUTES, lean=12.0)
    back = record(choreography, seed)
    posture = process(back.write(tmp_path / "one_sided.csv")).posture
    found, true = (cut_off(angles)[:, 2].mean() for angles in (angles_of(posture), back.truth()))
    assert true > 3.0
    assert abs(found - true) <= 3.0


def test_angles_are_true_again_after_a_gap(tmp_path):
    back = mixed_work(2, 3.0)
    lost = (back.time_s > 100.0) & (back.time_s < 104.0)
    posture = process(back.keep(~lost).write(tmp_path / "gap.csv")).posture
    errors = angles_of(posture) - back.truth()
    assert np.isnan(errors[lost]).all()
    assert (posture["quality"].to_numpy()[lost] & Quality.GAP.value).all()
    after = back.time_s > 110.0
    assert (np.sqrt(np.mean(errors[after] ** 2, axis=0)) <= list(LARGEST_RMSE.values())).all()
    sds = columns_of(posture, ["axial_rotation_sd_deg"])[:, 0]
    assert sds[lost.nonzero()[0][-1] + 2] >= sds[lost.nonzero()[0][0] - 2]  # nobody saw whether the back turned


def test_every_movement_is_counted_once(tmp_path):
    choreography = Choreography(4)
    choreography.calibrate()
    for side in (1, -1, 1, 1, -1, 1, 1, -1):
        choreography.bend(55.0)
        choreography.side_bend(22.0 * side)
        choreography.twist(25.0 * side)
    back = record(choreography, 4)
    events = process(back.write(tmp_path / "counted.csv")).events.to_pylist()
    counts = {("flexion", "forward"): 12, ("lateral_bend", "right"): 8, ("lateral_bend", "left"): 6}
    counts |= {("axial_rotation", "right"): 5, ("axial_rotation", "left"): 3}
    found = [(event["plane"], event["side"]) for event in events if event["kind"] == "repetition"]
    assert {kind: found.count(kind) for kind in counts} == counts
    assert len(found) == sum(counts.values())


@pytest.mark.parametrize("windows", [True, False], ids=["named", "found"])
def test_one_sensor_has_inclinations_and_no_spine(tmp_path, windows):
    back = mixed_work(1, 1.5)
    path = back.write(tmp_path / "one.csv", windows=windows)
    names = [name for name in back.table().column_names if not name.startswith("lower")]
    pyarrow.csv.write_csv(back.table().select(names), path)
    posture = process(path).posture
    assert posture["flexion_deg"].null_count == len(posture)
    assert posture["lower_forward_deg"].null_count == len(posture)
    assert posture["upper_forward_deg"].null_count == 0
