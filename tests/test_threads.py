"""Threads: several at once give the bits of one, and the compiled loops let the others run."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest

import imuposture as ip
from imuposture._blocks import SensorRows
from imuposture._ext import filtering, heading
from imuposture.alignment import Alignment
from imuposture.calibration import calibrate
from imuposture.fusion import Fusion, fuse
from imuposture.heading import HeadingSettings, _members

RATE = 100.0
THREADS = 8


@pytest.fixture
def quick_switches():
    """Let threads take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def demo():
    return ip.simulate("demo", seed=5)


@pytest.fixture(scope="module")
def calibration_of_demo(demo):
    stage = Alignment(demo.streams())
    pairs = [stage.push(block) for block in demo.blocks()]
    windows = {name: demo.windows[name] for name in ("neutral", "flexion", "lateral")}
    return calibrate(max(pairs, key=len), RATE, windows)


def walk(demo, calibration, rows):
    """Return all that a pipeline gives, as bytes and plain values."""
    pipeline = ip.Pipeline(Alignment(demo.streams()), calibration)
    found = [pipeline.push(block) for block in demo.blocks(rows)]
    found.append(pipeline.finish())
    columns = {
        field.name: np.concatenate([getattr(one.posture, field.name) for one in found]).tobytes()
        for field in fields(found[0].posture)
    }
    metrics = [getattr(one.metrics, name) for name in ("events", "windows", "summary") for one in found]
    return columns, [repr(figure) for part in metrics for figure in part]


def at_once(work, arguments):
    """Run all, each in a thread, starting together."""
    barrier = threading.Barrier(len(arguments))

    def run(argument):
        barrier.wait()
        return work(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


@pytest.mark.usefixtures("quick_switches")
def test_pipelines_in_threads_give_the_bits_of_one(demo, calibration_of_demo):
    cuts = (4096, 97, 1500, 700)
    alone = walk(demo, calibration_of_demo, cuts[0])
    for found in at_once(lambda rows: walk(demo, calibration_of_demo, rows), cuts):
        assert found[0] == alone[0]
        assert sorted(found[1]) == sorted(alone[1])


@pytest.mark.usefixtures("quick_switches")
def test_orientation_from_many_threads_gives_the_bits_of_one():
    signals = [
        np.add(np.random.default_rng(seed).normal(size=(3, 6000, 3)), [[[0]], [[9.0]], [[30.0]]])
        for seed in range(THREADS)
    ]

    def solve(seed):
        gyr, acc, mag = signals[seed]
        return orientations(gyr, acc, mag)

    for found, wanted in zip(at_once(solve, range(THREADS)), map(solve, range(THREADS)), strict=True):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def orientations(gyr, acc, mag):
    return [
        ip.orientation(gyr, acc, rate=RATE),
        ip.orientation(gyr, acc, mag, rate=RATE, parameters="vqf"),
        *ip.orientation([gyr, gyr[:999], gyr[5:]], [acc, acc[:999], acc[5:]], rate=RATE),
    ]


@pytest.mark.usefixtures("quick_switches")
def test_filters_with_the_same_tuning_do_not_share_a_state():
    rows = np.add(np.random.default_rng(3).normal(size=(2, 4000, 3)), [[[0.0]], [[9.0]]])
    flags = np.zeros(4000, np.uint8)

    def run(part):
        stages = [Fusion(RATE), Fusion(RATE)]
        pieces = [
            SensorRows(rows[1][i : i + part], rows[0][i : i + part], None, flags[i : i + part])
            for i in range(0, 4000, part)
        ]
        return np.concatenate([np.hstack([block.quat for block in fuse(stages, [one, one])]) for one in pieces])

    wanted = run(4000)
    for found in at_once(run, (1, 13, 400, 4000)):
        np.testing.assert_array_equal(found, wanted)


def long_loops():
    """Return a call of each compiled loop that takes a while, made of arrays that are there already."""
    n = 400_000
    rng = np.random.default_rng(1)
    gyr, six, quat = rng.normal(size=(n, 3)), rng.normal(size=(n, 6)), np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    flags, one, out = np.zeros(n, np.uint8), np.zeros(n), np.empty((n, 6))
    section, state = np.zeros(5), np.zeros((7, 2))
    filtering.butterworth(3.0, RATE, section)
    fusion = Fusion(RATE)
    sensor = SensorRows(np.add(gyr, [0.0, 0.0, 9.81]), gyr, None, flags)
    pair = heading.PairFilter(_members(HeadingSettings(), RATE, (0.1, 0.03, 1.0, 1.0)), np.zeros(6))
    rows = quat, quat, gyr, gyr, six, gyr, gyr, gyr, gyr, flags, flags, one, flags, np.empty(0)
    related = (*rows, np.empty(n), np.empty(n), np.empty(n, np.uint8), np.empty((0, heading.PairFilter.step_members())))
    return {
        "fusion": lambda: fusion.push(sensor),
        "filtering": lambda: filtering.advance(section, six, flags, state, out),
        "heading": lambda: pair.push(*related),
    }


@pytest.mark.parametrize("name", ["fusion", "filtering", "heading"])
def test_others_run_while_a_compiled_loop_does(name):
    """The interpreter is told to switch threads never: this one goes on only because the loop has let go of it."""
    work = long_loops()[name]
    started, done, before = threading.Event(), [], sys.getswitchinterval()

    def run():
        started.set()
        work()
        done.append(True)

    worker = threading.Thread(target=run)
    sys.setswitchinterval(1000.0)
    try:
        worker.start()
        started.wait()
        overtaken = not done
    finally:
        sys.setswitchinterval(before)
        worker.join()
    assert overtaken, "the loop held the interpreter until it had finished"
