"""Movements: every repetition of a known train once, in its plane, to its side; nothing that did not happen."""

import numpy as np
import pytest
from metrics_rows import COLUMNS, bend, minimum_jerk, posture, rows_of, train

from imuposture._ext import movements as ext
from imuposture.metrics.segmentation.movements import CHANGE_HOLD_S, Movements, smoothing_weights


def found(angles, rate=50.0, sd=0.0):
    stage = Movements(rate)
    return [*stage.push(posture(angles, rate, sd=sd)), *stage.finish()]


def sides(events):
    """What was counted: kind, plane and whether it went forward or right."""
    return [(e.kind, e.plane, e.side in ("forward", "right")) for e in events]


def truth(plane, amplitudes):
    return [("repetition", COLUMNS[plane], amplitude > 0) for amplitude in amplitudes]


@pytest.mark.parametrize("rate", [25.0, 50.0, 100.0])
@pytest.mark.parametrize("pause", [0.0, 0.5, 2.0])
def test_no_repetition_of_a_train_is_miscounted(rate, pause):
    """10 to 60 degrees in 1 to 6 s, any plane, slouched and twisted rests, coupled 12 to 30 %, noise up to a tenth.

    Small ones take 2 s and more: quicker ones pass for the swing of a stride.
    """
    rng = np.random.default_rng(round(rate + 10 * pause))
    for seed in range(25):
        plane = int(rng.integers(3))
        amplitudes = [float(x) for x in rng.uniform(10, 60, 12) * rng.choice([-1, 1], 12)]
        seconds = rng.uniform(1, 6) if min(map(abs, amplitudes)) > 19 else rng.uniform(2, 6)
        angles = train(
            rate,
            [(amplitude, seconds) for amplitude in amplitudes],
            plane=plane,
            pause=pause,
            hold=float(rng.choice([0, 2])),
            rest=tuple(rng.uniform(-35, 35, 3)),
            coupling=tuple(rng.uniform(0.12, 0.3, 2) * rng.choice([-1, 1], 2)),
            noise=min(map(abs, amplitudes)) / 10 * float(rng.choice([0, 1])),
            seed=seed,
        )
        assert sides(found(angles, rate)) == truth(plane, amplitudes)


@pytest.mark.parametrize("rate", [25.0, 100.0])
def test_sides_that_alternate_through_the_level_without_a_stop(rate):
    rng = np.random.default_rng(5)
    for plane in (0, 1, 2):
        for size in (10.0, 35.0, 60.0):
            cycle, cycles = rng.uniform(4 if size < 19 else 2, 12), 5
            t = np.arange(round(cycles * cycle * rate) + 1) / rate
            angles = np.zeros((len(t) + round(4 * rate), 3))
            angles[round(2 * rate) : round(2 * rate) + len(t), plane] = size * np.sin(2 * np.pi * t / cycle)
            angles[:, (plane + 1) % 3] = 0.3 * angles[:, plane]
            angles += np.array([25.0, -10.0, 15.0]) + size / 15 * rng.standard_normal(angles.shape)
            events = found(angles, rate)
            assert sides(events) == truth(plane, [1, -1] * cycles)
            crossings = 2.0 + cycle / 2 * np.arange(1, 2 * cycles + 1)
            np.testing.assert_allclose([e.end_s for e in events], crossings, atol=0.08 * cycle)


def test_size_start_end_and_speed_of_a_minimum_jerk_bend():
    (event,) = found(train(100.0, [(40.0, 4.0)], rest=(30.0, -5.0, 0.0), coupling=(0.0, 0.25)), 100.0, sd=1.5)
    assert event.amplitude_deg == pytest.approx(40.0, abs=0.1)
    assert event.details["level_deg"] == pytest.approx(-5.0, abs=0.1)
    assert event.details["peak_deg"] == pytest.approx(35.0, abs=0.1)
    assert event.details["held_deg"] == pytest.approx(34.0, abs=1.0)  # median over 0.5 s of a peak without a hold
    assert event.start_s == pytest.approx(3.0, abs=0.5)
    assert event.end_s == pytest.approx(7.0, abs=0.5)
    assert event.start_s + event.details["time_to_peak_s"] == pytest.approx(5.0, abs=0.03)
    assert event.details["peak_speed_degps"] == pytest.approx(1.875 * 40.0 / 2.0, rel=0.02)
    assert event.details["out_of_plane"] == pytest.approx(0.25, abs=0.01)
    assert event.details["coupled_flexion_deg"] == pytest.approx(10.0, abs=0.1)
    assert event.details["sd_deg"] == pytest.approx(1.5)


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_held_end_of_range_is_the_largest_running_median(seed, side):
    """Of the smoothed angle over 0.5 s, however it wavers and spikes at the end of the range, as NumPy has it."""
    shape = bend(100.0, 3.0, 30.0, hold=1.5)
    waver = 1.0 * np.random.default_rng(seed).standard_normal(len(shape) // 10 + 2)
    shape = shape + np.interp(np.arange(len(shape)) / 10, np.arange(len(waver)), waver) * (shape > 20.0)
    shape[200:210] += 4.0
    angles = np.zeros((len(shape) + 600, 3))
    angles[300:-300, 1] = side * shape
    (event,) = [one for one in found(angles, rate=100.0) if one.kind == "repetition"]
    smooth = np.convolve(angles[:, 1], smoothing_weights(10), mode="same")
    medians = np.median(np.lib.stride_tricks.sliding_window_view(smooth, 51), axis=1)
    assert event.details["held_deg"] == pytest.approx(side * np.max(side * medians), abs=1e-9)


def test_a_held_end_of_range_is_read_off_the_hold():
    (event,) = found(train(50.0, [(-30.0, 4.0)], plane=2, hold=2.0))
    assert event.details["held_deg"] == pytest.approx(-30.0, abs=1e-9)


def test_a_slow_drift_of_the_rest_does_not_block_repetitions():
    angles = train(50.0, [(15.0, 2.0), (-15.0, 2.0)] * 20, pause=1.5)
    angles[:, 1] += 0.1 * np.arange(len(angles)) / 50.0  # 14 degrees in all
    assert sides(found(angles)) == truth(1, [1, -1] * 20)


def test_bends_that_never_come_back_to_the_level_count_by_their_turning_points():
    down, up = 60 - 45 * minimum_jerk(50.0, 1), 15 + 45 * minimum_jerk(50.0, 1)
    parts = [np.zeros(150), 60 * minimum_jerk(50.0, 1), *[down, up] * 5, 60 - 60 * minimum_jerk(50.0, 1), np.zeros(150)]
    angles = np.zeros((sum(map(len, parts)), 3))
    angles[:, 0] = np.concatenate(parts)
    events = found(angles)
    assert sides(events) == truth(0, [1] * 6)
    assert [e.amplitude_deg for e in events] == pytest.approx([60, 45, 45, 45, 45, 45], abs=0.5)


def test_a_posture_that_stays_is_a_change_and_the_new_rest():
    slouch = np.concatenate([np.zeros(150), 30 * minimum_jerk(50.0, 1.5)])
    bends = train(50.0, [(20.0, 2.0), (-20.0, 2.0)] * 4, before=2.0, coupling=(0.0, 0.2))
    angles = np.zeros((len(slouch) + len(bends), 3))
    angles[: len(slouch), 0] = slouch
    angles[len(slouch) :] = bends + np.array([30.0, 0.0, 0.0])
    events = found(angles)
    changes = [e for e in events if e.kind == "posture_change"]
    assert [(e.plane, e.side, round(e.amplitude_deg)) for e in changes] == [("flexion", "forward", 30)]
    assert sides([e for e in events if e not in changes]) == truth(1, [1, -1] * 4)


@pytest.mark.parametrize(("held", "kind"), [(CHANGE_HOLD_S - 2, "repetition"), (CHANGE_HOLD_S + 2, "posture_change")])
def test_how_long_decides_between_a_repetition_and_a_change(held, kind):
    assert found(train(50.0, [(30.0, 2.0)], plane=0, hold=held))[0].kind == kind


def test_a_twist_within_a_held_bend_is_a_movement_of_its_own():
    angles = np.zeros((700, 3))
    angles[100:500, 0] = bend(50.0, 2.0, 60.0, 6.0)
    angles[170:244, 2] += bend(50.0, 1.5, 25.0)[:74]
    angles[280:354, 2] -= bend(50.0, 1.5, 25.0)[:74]
    assert sorted(sides(found(angles))) == sorted([*truth(2, [1, -1]), *truth(0, [1])])


@pytest.mark.parametrize("share", [0.95, 1.0, 1.05])
def test_a_movement_between_two_planes_counts_once(share):
    angles = train(50.0, [(30.0, 2.0), (-30.0, 2.0)] * 5, plane=0, coupling=(share, 0.0), noise=0.5)
    assert len(found(angles)) == 10


@pytest.mark.parametrize("missing", [0.08, 0.12, 0.5, 20.0])
def test_a_gap_ends_what_it_cuts_and_nothing_else(missing):
    """The second of four bends is cut at its start; up to 0.1 s are bridged, more abort it."""
    angles = train(100.0, [(40.0, 2.0)] * 4, pause=1.0)
    cut = 650
    rows = round(missing * 100)
    angles = np.concatenate([angles[:cut], np.full((rows, 3), np.nan), angles[cut + (rows if rows < 60 else 0) :]])
    events = found(angles, 100.0)
    kinds = [e.kind for e in events]
    if missing < 0.1:
        assert kinds == ["repetition"] * 4
    elif missing < 1.0:
        assert kinds.count("repetition") == 3
        assert "aborted" in kinds
    else:  # after so long nothing is known of the level, so the first posture is taken as one
        assert kinds[:2] == ["repetition", "aborted"]


def test_a_movement_that_the_recording_cuts_off_does_not_count():
    angles = train(50.0, [(30.0, 2.0)] * 3)
    assert [e.kind for e in found(angles[:500])] == ["repetition", "repetition", "aborted"]
    assert [e.kind for e in found(train(50.0, [(30.0, 2.0)] * 3, before=0.0, after=0.0))] == ["repetition"] * 3


def test_standing_still_sway_and_no_angles_find_nothing():
    rng = np.random.default_rng(3)
    t = np.arange(6000)[:, None] / 50.0
    assert found(2.0 * np.sin(np.array([1.9, 1.3, 0.7]) * t) + 0.3 * rng.standard_normal((6000, 3))) == []
    assert found(np.full((500, 3), np.nan)) == []
    assert found(np.zeros((0, 3))) == []


def test_one_plane_without_angles_does_not_hide_the_others():
    angles = train(50.0, [(30.0, 2.0), (-20.0, 2.0)] * 3)
    angles[:, 2] = np.nan
    stage = Movements(50.0)
    events = [*stage.push(posture(angles, quality=np.zeros(len(angles)))), *stage.finish()]
    assert sides(events) == truth(1, [1, -1] * 3)
    assert "coupled_axial_rotation_deg" not in events[0].details


def test_mirrored_angles_give_mirrored_movements_exactly():
    rng = np.random.default_rng(11)
    amplitudes = rng.uniform(10, 50, 20) * rng.choice([-1, 1], 20)
    angles = train(50.0, [(a, 2.0) for a in amplitudes], pause=0.3, coupling=(0.2, -0.15), noise=0.7)
    mirror = np.array([1.0, -1.0, -1.0])
    swap = {"right": "left", "left": "right"}
    plain, turned = found(angles), found(angles * mirror)
    assert len(plain) == len(turned) == 20
    for one, other in zip(plain, turned, strict=True):
        assert (other.start_s, other.end_s, other.amplitude_deg) == (one.start_s, one.end_s, one.amplitude_deg)
        assert other.side == swap.get(one.side, one.side)
        assert other.details["peak_deg"] == -one.details["peak_deg"]
        assert other.details["coupled_axial_rotation_deg"] == -one.details["coupled_axial_rotation_deg"]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_blocks_do_not_change_the_movements(rows):
    angles = train(50.0, [(30.0, 2.0), (-20.0, 3.0)] * 4, pause=0.2, coupling=(0.3, 0.1), noise=0.5)
    angles[300:340] = np.nan
    block = posture(angles)
    stage = Movements(50.0)
    events = [e for i in range(0, len(block), rows) for e in stage.push(rows_of(block, i, i + rows))]
    assert [*events, *stage.finish()] == found(angles)


def test_smoothing_keeps_parabolas():
    k = np.arange(-4, 5)
    for power in range(4):
        assert smoothing_weights(4) @ k**power == pytest.approx(1.0 if power == 0 else 0.0, abs=1e-12)


def test_more_finds_than_one_call_can_hold_are_all_found():
    """Angles thrown about at random close an excursion every few rows."""
    angles = 40 * np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 400)[:, None].repeat(30, axis=0) * [1, 0, 0]
    assert len(found(angles)) > 100
    assert len(ext.SETTINGS) < ext.STATE_SIZE


@pytest.mark.parametrize("rate", [25.0, 100.0])
@pytest.mark.parametrize("end", [-1.0, 0.0, 1.0])
def test_strides_are_no_repetitions(rate, end):
    """The swing of walking, 14 degrees from end to end, from a level in its middle or at either end."""
    t = np.arange(round(20 * rate)) / rate
    angles = np.zeros((len(t), 3))
    angles[:, 2] = 7.0 * np.sin(2 * np.pi * 0.93 * t) + end * 7.0
    angles[:, 1] = 3.5 * np.sin(2 * np.pi * 0.93 * t + 0.6)
    still = np.zeros((round(3 * rate), 3))
    assert found(np.concatenate([still, angles, still]), rate) == []


def test_who_stands_up_and_bends_soon_bends_forward():
    """From a slouch of 30 degrees up for 5 s, then bends as deep as the slouch was: none of it goes backward."""
    up = 30.0 - 30.0 * minimum_jerk(50.0, 1.5)
    bends = train(50.0, [(30.0, 3.0)] * 3, plane=0, pause=3.0, before=5.0)
    angles = np.concatenate([np.full((500, 3), [30.0, 0, 0]), np.stack([up, 0 * up, 0 * up], axis=1), bends])
    assert sides(found(angles)) == [("posture_change", "flexion", False), *truth(0, [1] * 3)]


@pytest.mark.parametrize("stand", [0.6, 1.5, 6.0])
@pytest.mark.parametrize("slouch", [15.0, 35.0])
def test_who_stands_up_in_a_gap_and_bends_soon_bends_forward(stand, slouch):
    """Slouched for 20 s, nothing for 3 s, upright for a moment, then bends: the slouch is no level any more."""
    bends = train(50.0, [(60.0, 3.0), (45.0, 3.0)], plane=0, pause=1.5, before=stand)
    sat = np.full((1000, 3), [slouch, 0.0, 0.0])
    events = found(np.concatenate([sat, np.full((150, 3), np.nan), bends]))
    assert sides(events) == truth(0, [1, 1])
    assert [e.amplitude_deg for e in events] == pytest.approx([60.0, 45.0], abs=0.5)


def test_what_comes_out_of_a_gap_on_the_move_is_aborted():
    """Standing, a gap of 3 s, first seen half way down a bend: where it began nobody knows."""
    down = bend(50.0, 4.0, 60.0)[50:]
    tail = np.concatenate([down, np.zeros(100), bend(50.0, 4.0, 60.0), np.zeros(150)])
    flexion = np.concatenate([np.zeros(200), np.full(150, np.nan), tail])
    events = found(np.stack([flexion, 0 * flexion, 0 * flexion], axis=1))
    assert [e.kind for e in events][-1] == "repetition"
    assert "repetition" not in [e.kind for e in events][:-1]
    assert events[-1].side == "forward"


def test_a_rest_a_little_off_the_last_one_is_the_next_level():
    """The back settles 6 degrees off after the first bend; later bends start from there."""
    way = minimum_jerk(50.0, 1.0)
    back = train(50.0, [(-12.0, 3.0)] * 2, plane=0, pause=1.5, before=1.5)[:, 0] + 6.0
    flexion = np.concatenate([np.zeros(150), 40.0 * way, 40.0 - 34.0 * way, back])
    events = found(np.stack([flexion, 0 * flexion, 0 * flexion], axis=1))
    assert sides(events) == truth(0, [1, -1, -1])
    assert [e.amplitude_deg for e in events[1:]] == pytest.approx([12.0, 12.0], abs=0.4)


def test_the_held_end_is_the_largest_median_of_half_a_second():
    """Against medians taken one by one, over a bend that trembles and jumps."""
    rng = np.random.default_rng(9)
    for sign in (1.0, -1.0):
        angles = train(100.0, [(sign * 40.0, 4.0)], plane=0, hold=1.0)
        angles[500:600, 0] += sign * rng.choice([0.0, 0.0, -6.0, 4.0], 10).repeat(10)
        (event,) = found(angles, 100.0)
        smooth = np.convolve(angles[:, 0], smoothing_weights(10), "valid")
        medians = np.median(np.lib.stride_tricks.sliding_window_view(smooth, 51), axis=1)
        assert sign * event.details["held_deg"] == pytest.approx((sign * medians).max(), abs=1e-9)
