"""Polar: what is written to start and to stop it, and what its answers mean."""

import math
import struct

import pytest
from driver_play import play, written
from fake_polar import START_OK, Sensor, settings

from imuposture import AcquisitionError, DecodeError
from imuposture.acquisition.drivers import Read, Status, Subscribe, Unsubscribe
from imuposture.acquisition.drivers.polar import DRIVER
from imuposture.acquisition.drivers.polar_control import answer


@pytest.mark.parametrize(
    "payload", ["f0", "f0020200", "f002020001", "f00202000005", "f0020200000501", "f002020000070100"]
)
def test_answers_that_are_none_are_refused(payload):
    with pytest.raises(DecodeError):
        answer(bytes.fromhex(payload))


def test_answers():
    assert answer(bytes.fromhex("f0020206")).values == {"error": 6, "text": "already in that state"}
    assert answer(bytes.fromhex("f00205080007")).what == "start.gyr"
    told = answer(bytes.fromhex("f00202000005010000803f"))
    assert (told.what, told.values["factor"]) == ("start.acc", [1.0])
    assert answer(bytes.fromhex("f003090000")).what == "stop.sdk_mode"
    for factor in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DecodeError, match="above 0"):
            DRIVER.decoder(settings()).push(START_OK["acc"] + struct.pack("<f", factor))
    with pytest.raises(DecodeError, match="0 for all of it"):
        answer(bytes.fromhex("f001020001"))


def run(asked, sensor=None):
    return play(DRIVER.start(asked), DRIVER.decoder(asked), sensor or Sensor())


def test_start_of_a_verity_sense():
    steps, messages = run(settings(magnetometer=True))
    assert steps[:3] == [Subscribe(0), Subscribe(1), Read(0)]
    assert Status("battery", {"percent": 55.0}) in messages
    assert written(steps) == [
        *("0301", "0302", "0303", "0305", "0306", "0309"),  # whatever any program may have started
        *("0102", "0202000134000101100002010800040103"),  # as users of the vendor's SDK send it, issue 443
        *("0105", "020500013400010110000201d007040103"),
        *("0106", "0206000132000101100002013200040103"),
    ]


def test_no_battery_level_is_no_obstacle():
    procedure, sensor, made = DRIVER.start(settings()), Sensor(), DRIVER.decoder(settings())
    steps = [next(procedure), procedure.send(None), procedure.send(None), procedure.send(sensor.features)]
    assert steps[-1] == Read(2)
    steps, _ = play((step for step in [procedure.throw(AcquisitionError("no such characteristic"))]), made, sensor)
    assert written(steps) == ["0301"]


def test_start_of_an_h10():
    asked = settings(200.0, model="h10")
    steps, _ = run(asked, Sensor("0f05000000000000000000000000000000", rates=(25, 50, 100, 200)))
    assert written(steps)[:3] == ["0300", "0302", "0102"]
    assert written(steps)[-1].startswith("02020001c80001011000020108")
    stream = DRIVER.stream(asked)
    assert "inclination" in stream.sensor
    assert stream.gyr_full_scale is None
    with pytest.raises(AcquisitionError, match="model=h10"):
        run(settings(), Sensor("0f05000000"))


def test_sdk_mode_comes_first():
    asked = settings(104.0, sdk_mode=True)
    told = written(run(asked, Sensor(rates=(26, 52, 104, 208, 416)))[0])
    assert told[told.index("0209") + 1] == "0102"
    assert told[-1].startswith("020500016800")
    told = written(play(DRIVER.stop(asked), DRIVER.decoder(asked), Sensor())[0])
    assert told == ["0302", "0305", "0309"]


def test_stop_stops_what_was_asked_for_even_if_nothing_answers():
    steps, _ = play(DRIVER.stop(settings(magnetometer=True)), DRIVER.decoder(settings()), lambda step: [])
    assert written(steps) == ["0302", "0305", "0306"]
    assert steps[-2:] == [Unsubscribe(1), Unsubscribe(0)]


@pytest.mark.parametrize(
    ("sensor", "message"),
    [
        (Sensor(rates=(26,)), "no rate of 52 for acc, only 26"),
        (Sensor(refuse=[(2, 5)]), "not possible in its state"),
        (Sensor(refuse=[(1, 2)]), "settings.acc"),
        (lambda step: [(b"\x0f\x04", 0)] if isinstance(step, Read) else [], "can measure gyr; an H10"),
        (lambda step: [(b"\x32", 2)] if isinstance(step, Read) else [], "can measure acc and gyr"),
    ],
)
def test_a_sensor_that_will_not_is_an_error(sensor, message):
    with pytest.raises(AcquisitionError, match=message):
        run(settings(), sensor)
