"""Metrics of whole simulated recordings: counts, sides, ranges and verdicts against what the person really did."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

import imuposture as ip
from imuposture.acquisition.simulation.actions import offset_after, pattern_after

PLANES = ("flexion", "lateral_bend", "axial_rotation")
SIDED = PLANES[1:]


class Report:
    """A simulated recording and what was made of it."""

    def __init__(self, folder, script, seed, minutes=None, injections=()):
        self.back = ip.simulate(script, seed=seed, minutes=minutes, injections=injections)
        session = ip.process(self.back.write(folder / "back.parquet"))
        self.found = [e for e in session.events.to_pylist() if e["kind"] == "repetition"]
        self.summary = {(f["metric"], f["plane"], f["side"]): f for f in session.summary.to_pylist()}
        self.posture = session.posture

    @property
    def angles(self):
        return np.stack(list(self.back.relative_to_stance()), axis=1)

    def counts(self):
        """True and found repetitions by plane and side."""
        true = Counter((e.plane, e.side) for e in self.back.movements)
        return true, Counter((e["plane"], e["side"]) for e in self.found)

    def true_range(self, plane, side):
        column = self.angles[:, PLANES.index(plane)] * (1.0 if side == "right" else -1.0)
        spans = [(e.start_s, e.end_s) for e in self.back.movements if (e.plane, e.side) == (plane, side)]
        first, last = np.searchsorted(self.back.time_s, np.array(spans).T)
        return np.mean([column[a:b].max() for a, b in zip(first, last, strict=True)])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    @cache
    def made(*what, **options):
        return Report(tmp_path_factory.mktemp("back"), *what, **options)

    return made


@pytest.mark.parametrize("seed", [101, 102, 105])
def test_a_range_of_motion_test_is_counted_and_measured(report, seed):
    rom = report("rom", seed)
    true, found = rom.counts()
    assert found == true
    for plane in SIDED:
        for side in ("right", "left"):
            figure = rom.summary["range_of_motion", plane, side]
            assert figure["low"] < rom.true_range(plane, side) < figure["high"]
        right, left = (rom.true_range(plane, side) for side in ("right", "left"))
        for metric, truth in (("range_difference", right - left), ("range_sum", right + left)):
            figure = rom.summary[metric, plane, None]
            assert figure["low"] < truth < figure["high"]


MIXED = [(seed, 4.0) for seed in range(101, 107)]


@pytest.mark.parametrize(("seed", "minutes"), MIXED)
def test_work_with_walking_and_sitting_is_counted_by_side(report, seed, minutes):
    """Strides are no repetitions, whatever side of its level the back swings to; standing up is no bend backwards."""
    true, found = report("mixed_work", seed, minutes).counts()
    for plane in SIDED:
        for side in ("right", "left"):
            assert abs(found[plane, side] - true[plane, side]) <= 1
    assert sum((found - true).values()) + sum((true - found).values()) <= 2


def test_even_work_is_not_called_asymmetric(report):
    verdicts = [f["verdict"] for seed, minutes in MIXED for f in report("mixed_work", seed, minutes).summary.values()]
    assert verdicts.count("asymmetric") == 0
    assert verdicts.count("not_shown") > 4 * len(MIXED)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_one_sided_posture_after_the_calibration_is_found(report, side):
    away = report("mixed_work", 110, 5.0, injections=(offset_after(75.0, axial_rotation=side * 20.0),))
    figure = away.summary["mean_angle", "axial_rotation", None]
    kept = away.posture["quality"].to_numpy() & 17 == 0
    assert figure["low"] < away.angles[: len(kept), 2][kept].mean() < figure["high"]
    assert figure["verdict"] == "asymmetric"
    assert figure["value"] * side > 0.0
    assert away.summary["mean_angle", "lateral_bend", None]["verdict"] == "not_shown"


def test_a_twist_with_every_bend_after_the_calibration_is_found(report):
    twisted = report("mixed_work", 113, 6.0, injections=(pattern_after(75.0, axial_rotation=12.0),))
    figure = twisted.summary["coupled_in_flexion", "axial_rotation", None]
    assert figure["value"] > 6.0
    assert 0.0 < figure["low"] < 12.0 < figure["high"]  # not zero; the bends of the calibration had no such twist
