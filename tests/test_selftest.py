"""The self-test finds what is wrong with a sensor, and does not call right what it cannot see."""

import re
import struct
from functools import cache
from typing import Any

import numpy as np
import pytest
from fake_bleak import clock
from fake_driver import SAMPLE, FakeDriver
from simulated_time import run

from imuposture import RecordingError
from imuposture._blocks import Entry
from imuposture.acquisition.drivers import Settings
from imuposture.pipeline import LiveSensor
from imuposture.recording.capture import read_capture, write_capture
from imuposture.recording.examination import decoded, examine
from imuposture.recording.selftest import again, selftest

RATE = 60.0


@cache
def handled(seconds: float = 40.0) -> tuple[np.ndarray, np.ndarray]:
    """Return gyr and acc of a sensor that lies still for 10 s and is then turned by hand, exactly consistent."""
    time = np.arange(int(seconds * RATE)) / RATE
    moving = np.clip((time - 10.0) / 2.0, 0.0, 1.0)[:, None]
    phase = 2 * np.pi * time[:, None] * np.array([0.11, 0.17, 0.23]) + np.array([0.0, 1.0, 2.0])
    gyr = moving * np.deg2rad(50.0) * np.sin(phase)
    gravity = np.empty((len(time), 3))
    gravity[0] = [1.0, 2.0, np.sqrt(9.81**2 - 5.0)]
    for row in range(1, len(time)):  # d/dt g = -w x g, turned exactly (Rodrigues)
        turn = -0.5 * (gyr[row] + gyr[row - 1]) / RATE
        angle = np.linalg.norm(turn)
        axis = turn / angle if angle > 0 else turn
        before = gravity[row - 1]
        gravity[row] = (
            before * np.cos(angle)
            + np.cross(axis, before) * np.sin(angle)
            + axis * (axis @ before) * (1 - np.cos(angle))
        )
    return gyr, gravity


def entries(gyr: np.ndarray, acc: np.ndarray, lose: tuple[int, ...] = (), speed: float = 1.0) -> list[Entry]:
    made = []
    for count, values in enumerate(np.hstack([acc, gyr])):
        if count not in lose:
            arrival_ns = round(count / RATE / speed * 1e9)
            made.append(Entry(arrival_ns, "notification", "upper", 1, 0, SAMPLE.pack(b"s", count, *values)))
    return made


def judged(some: list[Entry]) -> dict[str, Any]:
    sensor = LiveSensor(FakeDriver(), Settings("upper"))
    return {check.name: check for check in examine(sensor.driver.stream(sensor.settings), decoded(sensor, some))}


def test_a_sound_sensor_passes():
    checks = judged(entries(*handled()))
    assert {name: check.verdict for name, check in checks.items()} == dict.fromkeys(checks, "ok")
    assert set(checks) == {"payloads", "rate", "losses", "gravity", "drift", "axes"}


@pytest.mark.parametrize(
    ("order", "signs", "told"),
    [
        ((0, 1, 2), (1, 1, -1), r"\+x, \+y, -z"),
        ((1, 0, 2), (1, 1, 1), r"\+y, \+x, \+z"),
        ((1, 2, 0), (-1, 1, 1), None),
    ],
)
def test_axes_that_do_not_agree_are_found_and_named(order, signs, told):
    gyr, acc = handled()
    check = judged(entries(gyr[:, order] * np.array(signs), acc))["axes"]
    assert check.verdict == "wrong"
    if told:
        assert re.search(told, check.words)


@pytest.mark.parametrize(("factor", "told"), [(1 / 9.81, "looks like g"), (0.5, "0.5 times"), (4.0, "4 times")])
def test_wrong_units_are_found_by_gravity(factor, told):
    gyr, acc = handled()
    check = judged(entries(gyr, acc * factor))["gravity"]
    assert check.verdict == "wrong"
    assert told in check.words


def test_losses_are_counted():
    assert judged(entries(*handled(), lose=(100, 101, 102, 500)))["losses"].value == 4


def test_a_wrong_rate_is_found():
    assert judged(entries(*handled(), speed=1.2))["rate"].verdict == "wrong"


def test_drift_is_found():
    gyr, acc = handled()
    assert judged(entries(gyr + np.deg2rad(4.0), acc))["drift"].verdict == "wrong"


def test_what_was_not_done_is_not_shown():
    gyr, acc = handled()
    assert judged(entries(0 * gyr, 0 * acc + [0, 0, 9.81]))["axes"].verdict == "not shown"
    moving = slice(int(12 * RATE), None)
    assert judged(entries(gyr[moving], acc[moving]))["gravity"].verdict == "not shown"
    assert judged([])["samples"].verdict == "wrong"


def test_payloads_that_are_not_understood_are_told():
    some = entries(*handled(12.0))
    some[50] = some[50]._replace(payload=struct.pack("<5s", b"hello"))
    assert judged(some)["payloads"].value == 1


def test_a_virtual_sensor_passes_and_its_capture_says_the_same(tmp_path):
    pytest.importorskip("bumble")
    file = tmp_path / "dot.jsonl"

    async def work() -> Any:
        return await selftest("virtual:demo", 30.0, capture=file, clock=clock())

    found = run(work())
    verdicts = {check.name: check.verdict for check in found.checks}
    assert "wrong" not in verdicts.values()
    assert verdicts["rate"] == verdicts["losses"] == verdicts["gravity"] == "ok"
    assert again(file).checks == found.checks


@pytest.mark.parametrize("content", ["", "{}\n", '{"capture": 2}\n', "\xff", '{"capture": 1, "role": "upper"}\n[1]\n'])
def test_what_is_no_capture_is_refused(tmp_path, content):
    file = tmp_path / "c.jsonl"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(RecordingError, match="no capture"):
        read_capture(file)


def test_a_capture_comes_back_as_it_was_and_is_never_overwritten(tmp_path):
    file = tmp_path / "c.jsonl"
    some = entries(*handled(2.0))
    sensor = LiveSensor(FakeDriver(), Settings("upper", 60.0, options={"mode": "fast"}))
    write_capture(file, sensor, some, firmware="1.2")
    found = read_capture(file)
    assert found.entries == tuple(some)
    assert found.settings == sensor.settings
    assert found.about["firmware"] == "1.2"
    with pytest.raises(RecordingError, match="there already"):
        write_capture(file, sensor, some)
