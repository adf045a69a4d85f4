"""Profiles of movements: closed forms of smoothness and coordination, whatever is held, mirrored or cut."""

from math import isnan

import numpy as np
import pytest
from metrics_rows import cut, minimum_jerk, posture, train

from imuposture.metrics import MetricContext, MetricSet
from imuposture.metrics.segmentation.coordination import bins, coupling_angles, mean_direction, shared, thirds
from imuposture.metrics.segmentation.smoothness import describe, ldlj, sparc


def bell(rows):
    """Speed of a minimum-jerk movement."""
    s = np.linspace(0.0, 1.0, rows)
    return 30.0 * s * s * (1.0 - s) ** 2


def reference_sparc(speed, rate, cut=10.0, threshold=0.05, padding=4):
    """As published (Balasubramanian et al. 2015), by numpy."""
    bins = int(2 ** (np.ceil(np.log2(len(speed))) + padding))
    frequency = np.arange(0, rate, rate / bins)
    amplitude = np.abs(np.fft.fft(speed, bins))
    amplitude /= amplitude.max()
    inside = amplitude[frequency <= cut]
    above = np.flatnonzero(inside >= threshold)
    inside = inside[above[0] : above[-1] + 1]
    return -np.sum(np.sqrt((1.0 / (len(inside) - 1)) ** 2 + np.diff(inside) ** 2))


@pytest.mark.parametrize("rate", [50.0, 100.0, 200.0])
def test_spectral_arc_length_of_minimum_jerk(rate):
    for seconds in (1, 2, 4):
        assert -1.41 <= sparc(bell(round(rate * seconds)), rate) <= -1.395
    chain = [sparc(np.concatenate([bell(round(rate))] * k), rate) for k in (2, 3, 5)]
    assert chain == pytest.approx([-2.25, -2.70, -3.30], abs=0.15 if rate == 50.0 else 0.03)


def test_less_smooth_is_more_negative():
    """The sign: some programs print it the other way."""
    assert sparc(np.concatenate([bell(100)] * 3), 100.0) < sparc(bell(300), 100.0) < 0.0


@pytest.mark.parametrize("rows", [13, 50, 100, 777])
def test_spectral_arc_length_is_the_published_one(rows):
    speed = np.abs(np.random.default_rng(rows).normal(0, 1, rows)) * bell(rows)
    for rate in (40.0, 50.0, 60.0):
        assert sparc(speed, rate) == pytest.approx(reference_sparc(speed, rate), rel=1e-9)
    assert isnan(sparc(np.zeros(rows), 50.0))


@pytest.mark.parametrize("rows", [50, 100, 400])
def test_jerk_of_minimum_jerk(rows):
    angle = np.concatenate([[0.0], minimum_jerk(1.0, rows)])
    assert ldlj(30.0 * angle) == pytest.approx(-5.3220, abs=0.015)


def test_jerk_says_nothing_in_noise():
    rng = np.random.default_rng(0)
    angle = 30.0 * np.concatenate([[0.0], minimum_jerk(1.0, 100)])
    assert ldlj(angle + 0.002 * rng.standard_normal(101)) == pytest.approx(-5.32, abs=0.1)
    assert isnan(ldlj(angle + 0.1 * rng.standard_normal(101)))


@pytest.mark.parametrize("hold", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("rate", [50.0, 100.0])
def test_a_hold_is_no_part_of_a_phase(rate, hold):
    block = cut(MetricSet(MetricContext(rate)), posture(train(rate, [(40.0, 4.0), (-30.0, 3.0)], hold=hold), rate), [])
    events = [event.details for event in block.events if event.kind == "repetition"]
    assert len(events) == 2
    for details, seconds in zip(events, (2.0, 1.5), strict=True):
        assert details["sparc_out"] == pytest.approx(-1.405, abs=0.012)
        assert details["sparc_back"] == pytest.approx(-1.405, abs=0.012)
        assert details["out_s"] == pytest.approx(0.88 * seconds, abs=0.06)  # from 5 to 5 % of the largest speed
        assert details["hold_s"] == pytest.approx(hold + 0.12 * seconds, abs=0.08)
        assert details["slowings_out"] == 0.0


def test_a_movement_with_stops_is_less_smooth_and_slows():
    way = np.concatenate([10.0 * (k + minimum_jerk(50.0, 0.7)) for k in range(3)])
    whole = np.concatenate([np.zeros(50), way, way[::-1], np.zeros(50)])
    found = describe(whole, 50.0)
    assert found["slowings_out"] == 2.0
    assert found["sparc_out"] < -2.2


def test_phases_are_the_same_to_both_sides():
    angles = train(50.0, [(30.0, 3.0), (-25.0, 2.0)] * 3, noise=0.05, coupling=(0.1, 0.1))
    plain, mirrored = (
        cut(MetricSet(MetricContext(50.0)), posture(angles * sign, 50.0), [400])
        for sign in (np.ones(3), np.array([1.0, -1.0, -1.0]))
    )
    names = ("out_s", "hold_s", "back_s", "sparc_out", "ldlj_out", "slowings_back")
    for one, other in zip(plain.events, mirrored.events, strict=True):
        assert [one.details.get(name) for name in names] == [other.details.get(name) for name in names]


def test_coupling_angles_of_a_known_pair():
    """Spine as the square of the time, pelvis as its root, 60 and 50 degrees: at the second, middle and last step."""
    s = np.linspace(0.0, 1.0, 101)
    angles = np.degrees(coupling_angles(60.0 * s * s, 50.0 * np.sqrt(s)))
    assert angles[[1, 50, 99]].tolist() == pytest.approx([89.5, 30.1, 11.9], abs=0.05)


def test_directions_are_averaged_on_the_circle():
    around = np.radians([170.0, -170.0])
    assert abs(mean_direction(around)) == pytest.approx(180.0)
    assert mean_direction(np.radians([30.0, 50.0])) == pytest.approx(40.0)


def test_sectors_of_coupling():
    angles = np.radians([0.0, 45.0, 90.0, 135.0, 180.0, -135.0, -90.0, -45.0, 10.0])
    assert bins(angles) == pytest.approx((3 / 9, 2 / 9, 2 / 9, 2 / 9))


def test_a_rhythm_that_is_built_in_is_read_off():
    """Esola 1996: of 111 degrees 41.6 are lumbar; early twice as much as later."""
    way = minimum_jerk(50.0, 2.0)
    found = shared(41.6 * way, 69.4 * way)
    assert found["lumbar_share"] == pytest.approx(41.6 / 111.0)
    assert found["pelvis_deg"] == pytest.approx(69.4, abs=0.01)
    assert found["coupling_deg"] == pytest.approx(np.degrees(np.arctan2(69.4, 41.6)))
    trunk = np.linspace(0.0, 90.0, 181)
    lumbar = np.interp(trunk, [0, 30, 60, 90], [0, 20, 30, 33])
    assert thirds(lumbar, trunk - lumbar) == pytest.approx((20 / 30, 10 / 30, 3 / 30), abs=0.01)
    assert all(map(isnan, thirds(0.1 * lumbar, 0.02 * (trunk - lumbar))))
