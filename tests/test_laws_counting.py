"""Counting law: sent = kept + lost, exactly; no gap is filled silently; NaN never enters a filter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from second_spine import ANGLES, RATE, ROLES, angles_of, columns_of, mixed_work

from imuposture import ImuPostureError, Pipeline, RecordingError, process
from imuposture._blocks import ImuBlock, Quality, Stream
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration

FEW = settings(  # without shrinking: an example is a whole recording, and any that fails says enough
    max_examples=10,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
SPINE = [f"{angle}_deg" for angle in ANGLES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("laws")


@pytest.fixture(scope="module")
def calibration(folder):
    return Calibration.fromdict(process(mixed_work(15, 1.0).write(folder / "c.csv")).manifest["calibration"])


def piece(block, first, last):
    return replace(block, ticks=block.ticks[first:last], acc=block.acc[first:last], gyr=block.gyr[first:last])


def flawed(back, drop, twice, late, blank):
    """Return a role's samples with losses, copies, late samples and empty cells, and the rows that remain."""
    order = np.flatnonzero(~drop)
    order = np.sort(np.concatenate([order, order[np.isin(order, twice)]]))
    for row in late:  # exchange with the next one
        order[row], order[row + 1] = order[row + 1], order[row]
    acc = back.acc["upper"].copy()
    acc[blank] = np.nan
    return ImuBlock("upper", back.time_s[order], acc[order], back.gyr["upper"][order])


@pytest.fixture(scope="module")
def short():
    return mixed_work(15, 1.0)


@settings(FEW, max_examples=60)
@given(data=st.data())
def test_sent_is_kept_and_lost(short, data):
    """Losses, copies, and empty cells in any amount; the last sample always comes, or nobody could know."""
    n = 3000
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    drop = rng.random(n) < data.draw(st.sampled_from([0.0, 0.02, 0.2]))
    for _ in range(data.draw(st.integers(0, 3))):
        start = rng.integers(1, n)
        drop[start : start + rng.integers(1, 400)] = True
    drop[[0, -1]] = False
    twice = rng.choice(n, data.draw(st.integers(0, 30)), replace=False)
    blank = np.flatnonzero(rng.random(n) < data.draw(st.sampled_from([0.0, 0.01, 0.1])))
    part = short.keep(np.arange(n))
    block = flawed(part, drop, twice, [], blank)
    alignment = Alignment([Stream("upper", RATE)])
    rows = [alignment.push(piece(block, i, i + 700)) for i in range(0, len(block.ticks), 700)]
    rows.append(alignment.finish())
    counts = alignment.counts()["upper"]
    empty = int(np.count_nonzero(~drop[blank]))
    assert (counts.kept, counts.lost) == (n - int(drop.sum()) - empty, int(drop.sum()) + empty)
    assert counts.empty == empty
    assert counts.duplicate == int(np.count_nonzero(~drop[twice]))
    assert (counts.reordered, counts.restarts) == (0, 0)
    check_gaps(part, drop | np.isin(np.arange(n), blank), rows)


def check_gaps(part, missing, rows):
    """Every instant is there; a missing one is on the line between true neighbours 0.1 s apart at most, or null."""
    time_s = np.concatenate([row.time_s for row in rows])
    np.testing.assert_allclose(time_s, part.time_s, rtol=0, atol=1e-6)
    assert np.isin(part.time_s[~missing], time_s).all()
    acc, flags = (np.concatenate([getattr(row.upper, name) for row in rows]) for name in ("acc", "flags"))
    true = np.flatnonzero(~missing)
    after = np.searchsorted(true, np.arange(len(missing)))
    inside = missing & (after > 0) & (after < len(true))
    left, right = true[np.maximum(after - 1, 0)], true[np.minimum(after, len(true) - 1)]
    bridged = inside & (right - left <= 10)
    gap = missing & ~bridged
    np.testing.assert_array_equal(acc[~missing], part.acc["upper"][~missing])
    assert np.isnan(acc[gap]).all()
    assert (flags[gap] & Quality.GAP).all()
    assert not (flags[~gap] & Quality.GAP).any()
    assert (flags[bridged] & Quality.INTERPOLATED).all()
    assert not (flags[~bridged] & Quality.INTERPOLATED).any()
    weight = ((np.arange(len(missing)) - left) / np.maximum(right - left, 1))[:, None]
    line = part.acc["upper"][left] * (1 - weight) + part.acc["upper"][right] * weight
    np.testing.assert_allclose(acc[bridged], line[bridged], rtol=0, atol=1e-6)


@FEW
@given(late=st.sets(st.integers(1, 600).map(lambda row: 4 * row), max_size=30))
def test_late_samples_are_counted(short, late):
    n = 3000
    block = flawed(short.keep(np.arange(n)), np.zeros(n, bool), [], sorted(late), [])
    alignment = Alignment([Stream("upper", RATE)])
    alignment.push(block)
    counts = alignment.counts()["upper"]
    assert counts.kept + counts.lost == n
    assert (counts.reordered, counts.lost, counts.restarts) == (len(late), len(late), 0)


@settings(FEW, max_examples=6)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_file_with_losses_counts_them_a_sensor(folder, seed):
    """Rows dropped from the file are lost for both sensors, empty cells for their own."""
    back, rng = mixed_work(15, 1.0), np.random.default_rng(seed)
    n = len(back.time_s)
    drop = (rng.random(n) < 0.03) & (back.time_s > 7.0)
    drop[7000 : 7000 + rng.integers(20, 200)] = True
    drop[-1] = False
    blank = {role: (rng.random(n) < 0.02) & (back.time_s > 7.0) for role in ROLES}
    for role in ROLES:
        acc = back.acc[role].copy()
        acc[blank[role], rng.integers(3)] = np.nan
        back = back.changed(role, acc, back.gyr[role])
    result = process(back.keep(~drop).write(folder / "losses.csv"))
    for role, counts in result.manifest["alignment"]["sensors"].items():
        lost = int(np.count_nonzero(drop | blank[role]))
        assert counts["sent"] == n, role
        assert (counts["kept"], counts["lost"]) == (n - lost, lost), role
    posture = result.posture
    time_s = posture["time_s"].to_numpy()
    assert np.isin(back.time_s[~drop], time_s).all()  # the file's own, to the bit
    np.testing.assert_allclose(time_s, back.time_s, rtol=0, atol=1e-6)
    quality, values = posture["quality"].to_numpy(), columns_of(posture, [*SPINE, "upper_forward_deg", "upper_qw"])
    gap = (quality & Quality.GAP) > 0
    assert gap[7005:7010].all()
    assert np.isnan(values[gap]).all()
    assert np.isfinite(values[~gap]).all()
    assert posture["flexion_deg"].null_count == gap.sum()  # null, not NaN


def test_a_step_in_a_gap_never_shows_inside_it(calibration):
    """Before the loss the sensor lies one way, after it another: no row says anything in between."""
    n = 3000
    back = mixed_work(15, 1.0).keep(np.arange(n))
    lost = slice(1500, 1530)
    streams = [Stream(role, RATE) for role in ROLES]
    pipeline = Pipeline(Alignment(streams), calibration)
    rows = []
    for role in ROLES:
        acc = np.tile(np.array([0.0, 9.81, 0.0]), (n, 1))
        acc[lost.start + 15 :] = [4.0, 8.95, 0.0]
        keep = np.r_[: lost.start, lost.stop : n]
        rows.append(pipeline.push(ImuBlock(role, back.time_s[keep], acc[keep], np.zeros((len(keep), 3)))))
    rows.append(pipeline.finish())
    acc = np.concatenate([row.samples.upper.acc for row in rows])
    assert len(acc) == n
    assert np.isnan(acc[lost]).all()
    assert {tuple(row) for row in np.delete(acc, np.r_[lost], axis=0)} == {(0.0, 9.81, 0.0), (4.0, 8.95, 0.0)}
    forward = np.concatenate([row.posture.upper_forward_deg for row in rows])
    assert np.isnan(forward[lost]).all()
    assert np.isfinite(np.delete(forward, np.r_[lost])).all()


@FEW
@given(jitter=st.lists(st.floats(-2.4e-3, 2.4e-3), min_size=40, max_size=40), start=st.floats(0.0, 2e9))
def test_the_times_of_a_file_are_kept_to_the_bit(folder, short, jitter, start):
    """Stamps waver by less than a quarter of the period, so that every sample is told from a lost or repeated one."""
    part = short.keep(np.arange(4000))
    part = replace(part, time_s=start + part.time_s + np.tile(jitter, 100))
    posture = process(part.write(folder / "times.csv", windows=False)).posture
    assert posture["time_s"].to_numpy().tobytes() == part.time_s.tobytes()


@pytest.mark.parametrize("rows", [[1000, 1000, 1001], [1000, 1002, 1001]], ids=["repeated", "reordered"])
def test_a_file_whose_rows_are_not_in_order_is_refused(folder, short, rows):
    """A file can be mended; a live stream cannot (there the same samples are counted)."""
    order = np.concatenate([np.arange(1000), rows, np.arange(1003, len(short.time_s))])
    with pytest.raises(RecordingError, match=r"time_s.*(sort the rows|remove)"):
        process(short.keep(order).write(folder / "order.csv"))


@pytest.mark.parametrize("cell", [np.inf, -np.inf, 1e300])
def test_a_cell_that_is_no_measurement_poisons_nothing(folder, short, cell):
    gyr = short.gyr["upper"].copy()
    gyr[4000, 1] = cell
    path = short.changed("upper", short.acc["upper"], gyr).write(folder / "cell.csv")
    try:
        posture = process(path).posture
    except ImuPostureError:
        return  # a refusal that says why is as good
    assert np.isfinite(angles_of(posture)[4010:]).all()
