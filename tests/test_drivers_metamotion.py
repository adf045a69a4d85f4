"""MetaMotion: what its notifications mean, and what is written to it."""

import math
import struct
from dataclasses import replace

import numpy as np
import pytest
from driver_fuzz import COUNT, hammer
from driver_play import play, written
from golden_vectors import vectors

from imuposture import AcquisitionError, ConfigError, DecodeError
from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Advertisement, Read, Reconnect, Settings, Status, Subscribe, Unsubscribe
from imuposture.acquisition.drivers.metamotion import DRIVER

DEGREE, GRAVITY = math.pi / 180, 9.80665
BMI160 = ("03800101", "13800001", "15800001", "1980000203", "098000031c")
BMI270 = ("03800401", "13800101", "15800001", "1980000203", "098000031c")
CHIPS = {"bmi160": BMI160, "bmi270": BMI270}
# Samples and what they mean, by unit tests of mbientlab/MetaWear-SDK-Cpp (test_accelerometer_bmi160.py and others).
ACC_4G, ACC_G = "030416c494a22ad0", (-1.872, -2.919, -1.495)
GYR_500, GYR_DPS = "13053e43ff7f0080", (262.409, 499.497, -499.512)
PACKED_ACC = "031c62b7530de9fd16d04d0e57028affa1050a01"
PACKED_ACC_G = ((-4.539, 0.833, -0.131), (-2.995, 0.894, 0.146), (-0.029, 0.352, 0.065))
PACKED_GYR = "13070915ad2608de8a1a0d2665e48d20ac2773ec"
PACKED_GYR_DPS = ((164.177, 301.86, -265.122), (207.134, 296.982, -215.457), (254.055, 309.634, -152.591))
COUNTED = "0903031e020000f40d3c3999110180d691d367"
QUAT, QUAT_WXYZ = "19071b9b703f8c5e4dbd077f1dbe78029abe", (0.94, -0.05, -0.154, -0.301)
MAG, MAG_UT = "15054ef0530a7504", (-251.125, 165.1875, 71.3125)


def settings(rate_hz=None, magnetometer=False, part=0, **options):
    return Settings("lower", rate_hz=rate_hz, magnetometer=magnetometer, part=part, options=options)


def decoder(asked, *told, chips=BMI160):
    """Return a decoder that has seen which chips there are, and what else is told."""
    made = DRIVER.decoder(asked)
    for answer in (*chips, *told):
        made.push(bytes.fromhex(answer))
    return made


def push(to, *payloads):
    return [message for payload in payloads for message in to.push(bytes.fromhex(payload))]


def test_single_samples_are_joined_in_turn():
    made = decoder(settings(route="plain", acc_range_g=4, gyr_range_dps=500))
    assert push(made, ACC_4G) == []
    (block,) = push(made, GYR_500)
    np.testing.assert_allclose(block.acc / GRAVITY, [ACC_G], atol=1e-3)
    np.testing.assert_allclose(block.gyr / DEGREE, [GYR_DPS], atol=1e-3)
    assert block.ticks.tolist() == [0]
    (block,) = push(made, ACC_4G, GYR_500)
    assert block.ticks.tolist() == [1]


def test_packed_samples():
    made = decoder(settings(200.0, route="packed", acc_range_g=8, gyr_range_dps=1000))
    (block,) = push(made, PACKED_ACC, PACKED_GYR)
    np.testing.assert_allclose(block.acc / GRAVITY, PACKED_ACC_G, atol=1e-3)
    np.testing.assert_allclose(block.gyr / DEGREE, PACKED_GYR_DPS, atol=1e-3)
    assert block.ticks.tolist() == [0, 1, 2]


def test_counted_samples():
    made = decoder(settings(acc_range_g=8, gyr_range_dps=2000), "090203")
    (block,) = push(made, COUNTED)
    assert block.ticks.tolist() == [542]
    np.testing.assert_allclose(block.acc / GRAVITY, [np.array([3572, 14652, 4505]) / 4096])
    np.testing.assert_allclose(block.gyr / DEGREE, [np.array([-32767, -28202, 26579]) / 16.4])
    stream = DRIVER.stream(settings())
    assert (stream.clock, stream.wrap_ticks, stream.tick_s) == ("device", 2**32, 0.01)
    assert (stream.acc_full_scale, stream.gyr_full_scale) == (8 * GRAVITY, 2000 * DEGREE)
    assert DRIVER.stream(settings(route="plain")).clock == "count"


def test_the_count_may_be_anything_of_32_bits():
    made = decoder(settings(), "090203")
    for count in (0, 2**32 - 1, 0):
        (block,) = push(made, "090303" + struct.pack("<I", count).hex() + "00" * 12)
        assert block.ticks.tolist() == [count]


def test_the_same_number_means_different_things_in_different_chips():
    packed = "1305" + PACKED_GYR[4:]
    assert push(decoder(settings(route="packed"), chips=BMI270), "0305" + PACKED_ACC[4:], packed)
    for route, chips, payload in [
        ("packed", BMI160, packed),
        ("plain", BMI270, GYR_500),
        ("plain", BMI160, packed),
        ("packed", BMI270, GYR_500),
        ("packed", BMI270, PACKED_GYR),
    ]:
        with pytest.raises(DecodeError):
            push(decoder(settings(route=route), chips=chips), payload)


@pytest.mark.parametrize("payload", [ACC_4G, GYR_500])
def test_nothing_is_taken_before_the_sensor_said_what_it_is(payload):
    made = DRIVER.decoder(settings(route="plain"))
    for known in ([], ["03800101"], ["03800401"], ["13800201"]):
        push(made, *known)
        with pytest.raises(DecodeError, match="which chips"):
            push(made, payload)
    push(made, *BMI160)
    push(made, payload)


def test_output_of_another_processor_is_refused():
    made = decoder(settings())
    with pytest.raises(DecodeError, match="made last"):
        push(made, COUNTED)
    push(made, "090202")
    with pytest.raises(DecodeError, match="made last"):
        push(made, COUNTED)
    push(made, "090203")
    assert push(made, COUNTED)


def test_a_lost_half_leaves_nan_and_moves_no_other():
    made = decoder(settings(route="plain"))
    samples = [(f"0304{n:02x}00" + "0000" * 2, f"1305{n:02x}00" + "0000" * 2) for n in range(6)]
    told = []
    for n, (acc, gyr) in enumerate(samples):
        told += push(made, acc) if n == 4 else push(made, gyr) if n == 2 else push(made, acc, gyr)
    rows = np.concatenate([np.column_stack((block.ticks, block.acc[:, 0], block.gyr[:, 0])) for block in told])
    assert rows[:, 0].tolist() == list(range(6))
    np.testing.assert_allclose(rows[:, 1] * 4096 / GRAVITY, [0, 1, np.nan, 3, 4, 5])
    np.testing.assert_allclose(rows[:, 2] * 16.4 / DEGREE, [0, 1, 2, 3, np.nan, 5])


def test_the_field_stands_in_the_row_after_it():
    made = decoder(settings(magnetometer=True), "090203")
    assert push(made, MAG) == []
    first, second = push(made, COUNTED, COUNTED)
    assert first.mag.tolist() == [list(MAG_UT)]
    assert np.isnan(second.mag).all()
    rows = push(made, "1509b60c72f789eeb60b5af832eee60aa2f725ef", COUNTED, COUNTED, COUNTED, COUNTED)
    np.testing.assert_allclose(rows[2].mag, [(174.375, -133.875, -269.6875)])
    assert np.isnan(rows[3].mag).all()


def test_the_sensors_own_orientation_is_kept():
    made = decoder(settings(route="fusion", magnetometer=True))
    acc = "1904" + struct.pack("<fffB", 0, 0, 1000, 0).hex()
    gyr = "19057a569142b46260c27334044400"
    (block,) = push(made, "190600000242cdcc6cc19a99ed4103", acc, gyr, QUAT)
    np.testing.assert_allclose(block.quat, [QUAT_WXYZ], atol=1e-3)
    np.testing.assert_allclose(block.acc, [(0, 0, GRAVITY)])
    np.testing.assert_allclose(block.gyr / DEGREE, [(72.669, -56.096, 528.82)], atol=1e-3)
    np.testing.assert_allclose(block.mag, [(32.5, -14.8, 29.7)], atol=1e-5)
    with pytest.raises(DecodeError, match="route plain"):
        push(decoder(settings(route="plain")), QUAT)


@pytest.mark.parametrize("route", ["fused", "plain", "packed", "fusion"])
def test_payloads_of_another_length_are_refused(route):
    asked = settings(100.0, True, route=route)
    whole = ["03800101", "090203", "118c633410", ACC_4G, GYR_500, PACKED_ACC, PACKED_GYR, COUNTED, QUAT, MAG]
    whole += ["1904" + "00" * 13, "1908" + "00" * 16, "1909" + "00" * 12, "190a" + "00" * 12]
    for payload in whole:
        for wrong in (payload[:-2], payload + "00", payload[:4] if len(payload) > 8 else payload[:2]):
            if wrong in {"038001", "0380010100"} and wrong != "038001":
                continue  # what a module adds to its revision is its own
            if payload == "03800101" and wrong == "0380010100":
                continue
            made = decoder(asked, "090203")
            with pytest.raises(DecodeError):
                push(made, wrong)


def expected_of(vector):
    """Return what a decoder makes of a vector, and what it should."""
    expected = vector["expected"]
    context = vector.get("context") or {}
    chips = BMI270 if "bmi270" in vector["id"] else BMI160
    ranges = {"acc_range_g": context.get("acc_range_g", 8), "gyr_range_dps": context.get("gyr_range_dps", 2000)}
    route = "packed" if "_packed_" in vector["id"] else "fusion" if "fusion" in vector["id"] else "plain"
    route = "fused" if "counted" in vector["id"] or "count" in expected else route
    made = decoder(settings(route=route, magnetometer=True, **ranges), "090203", chips=chips)
    payload = vector["hex"]
    fillers = {"0304": GYR_500 if chips is BMI160 else "1304" + GYR_500[4:], "1305": ACC_4G, "031c": PACKED_GYR}
    fillers |= {"1307": PACKED_ACC}
    told = push(made, payload)
    if payload[:4] in fillers:
        told += push(made, fillers[payload[:4]])
    elif payload[:2] == "15":
        told += push(made, *([ACC_4G, GYR_500] * 3))
        field = np.concatenate([block.mag for block in told if not np.isnan(block.mag).any()])
        told = [replace(told[0], mag=field)]
    elif payload[:2] == "19" and not told:
        told += push(made, *(f"190{n}" + "00" * 13 for n in (4, 5) if payload[:4] != f"190{n}"))
        told += push(made, QUAT) if payload[:4] != "1907" else []
    return told[-1], expected


@pytest.mark.parametrize("vector", vectors("metamotion"))
def test_golden_vectors(vector):
    if "_cmd_" in vector["id"] or "sequence" in vector["expected"]:
        told = everything_written()
        wanted = vector["expected"].get("sequence", [vector["hex"]]) + vector["expected"].get("stop", [])
        assert [one for one in wanted if one not in told] == []
        return
    told, expected = expected_of(vector)
    if isinstance(told, Status):
        values = list(told.values.values())
        wanted = {"charge": 0, "heading": 0, "pitch": 1, "roll": 2, "yaw": 3}
        for word, value in expected.items():
            if word == "lin_acc_g":
                np.testing.assert_allclose(np.array(values) / GRAVITY, value, atol=1e-3)
            elif word == "voltage_mV":
                assert told.values["volt"] == value / 1000
            else:
                assert values[wanted[word]] == pytest.approx(value, abs=1e-3)
        return
    found = {"acc_g": told.acc / GRAVITY, "gyr_dps": told.gyr / DEGREE, "mag_uT": told.mag, "quat_wxyz": told.quat}
    found |= {"count": told.ticks, "acc_raw": told.acc / GRAVITY * 4096, "gyr_raw": told.gyr / DEGREE * 16.4}
    for word, value in expected.items():
        if word in found:
            np.testing.assert_allclose(np.atleast_2d(found[word]), np.atleast_2d(value), atol=1e-3)


class Sensor:
    """Answers as a MetaMotion of one generation does, and remembers nothing but the processors it made."""

    def __init__(self, chips=BMI160):
        self.chips = {answer[:4]: answer for answer in chips}
        self.made = 3

    def __call__(self, step):
        if isinstance(step, Read | Reconnect):
            return []
        told = step.data.hex()
        if told in self.chips:
            return [(bytes.fromhex(self.chips[told]), 0)]
        if told == "118c":
            return [(bytes.fromhex("118c633410"), 0)]
        if told.startswith("0902"):
            self.made += 1
            return [(bytes([9, 2, self.made]), 0)]
        return []


def started(chips=BMI160, **asked):
    wanted = settings(**asked)
    return play(DRIVER.start(wanted), DRIVER.decoder(wanted), Sensor(chips))


def everything_written():
    """Return every command that some start, stop or identification writes."""
    told = set()
    for chips in CHIPS.values():
        for rate in (50.0, 100.0, 200.0):
            for route in ("fused", "plain", "packed"):
                for acc, gyr in zip((2, 4, 8, 16, 8), (125, 250, 500, 1000, 2000), strict=True):
                    options = {"route": route, "acc_range_g": acc, "gyr_range_dps": gyr}
                    told |= {*written(started(chips, rate_hz=rate, magnetometer=True, **options)[0])}
        told |= {*written(started(chips, route="fusion", magnetometer=True)[0])}
    told |= {"19030800", "190f01"}  # the driver asks for more outputs, and never turns the heading; see the test below
    return told


def test_counted_samples_are_set_up_as_the_vendor_does():
    steps, messages = started()
    assert steps[0] == Subscribe(0)
    told = written(steps)
    assert told[:3] == ["0380", "1380", "0980"]
    assert Status("battery", {"percent": 99.0, "volt": 4.148}) in messages
    after = told[told.index("118c") + 1 :]
    assert after == [
        "03032808",
        "13032800",
        "09021305ffa00f05",
        "09020304ffa01b0104" + "00" * 11,
        "090209030560113003",
        "09070601",
        "090301",
        "03020100",
        "13020100",
        "030101",
        "130101",
    ]


def test_the_other_chips_are_set_up_with_their_own_registers():
    told = written(started(BMI270, acc_range_g=8)[0])
    assert "0303a802" in told
    assert "09021304ffa00f05" in told
    told = written(started(BMI270, route="packed", rate_hz=200.0)[0])
    assert {"030501", "130501"} <= {*told}
    told = written(started(BMI160, route="packed", rate_hz=200.0)[0])
    assert {"031c01", "130701"} <= {*told}
    assert not {"030501", "130501"} & {*told}


@pytest.mark.parametrize("chips", CHIPS)
def test_all_that_may_run_is_ended_before_anything_starts(chips):
    told = written(started(CHIPS[chips], route="plain")[0])
    configured = next(place for place, one in enumerate(told) if one.startswith("0303"))
    ended = told[:configured]
    assert {"190100", "1903007f", "030100", "130100", "150100", "03020001", "13020001", "0908"} <= {*ended}
    places = {"0304", "1505"} | ({"1305", "1307", "031c"} if chips == "bmi160" else {"1304", "1305", "0305"})
    assert {place + "00" for place in places} <= {*ended}
    assert not any(one.endswith("0101") or (one[2:4] == "02" and one.endswith("0100")) for one in ended)


@pytest.mark.parametrize("chips", CHIPS)
def test_stop_ends_all_even_if_the_sensor_does_not_answer(chips):
    steps, _ = play(DRIVER.stop(settings()), DRIVER.decoder(settings()), Sensor(CHIPS[chips]))
    assert {"030100", "130100", "0908", "030400"} <= {*written(steps)}
    assert steps[-1] == Unsubscribe(0)
    steps, _ = play(DRIVER.stop(settings()), DRIVER.decoder(settings()), lambda step: [])
    assert {"030100", "130100", "0908"} <= {*written(steps)}
    assert steps[-1] == Unsubscribe(0)


def test_the_fusion_is_started_in_the_vendors_order():
    told = written(started(route="fusion")[0])
    assert told[-6:] == ["03020100", "13020100", "030101", "130101", "19030b00", "190101"]
    assert "19020212" in told
    assert {"190401", "190501", "190701"} <= {*told}
    told = written(started(route="fusion", magnetometer=True, acc_range_g=16)[0])
    assert "19020113" in told
    assert told[-2:] == ["19030f00", "190101"]


def test_a_reset_restarts_the_sensor_first():
    steps, _ = started(reset=True)
    assert written(steps)[0] == "fe01"
    assert isinstance(steps[2], Reconnect)
    assert steps[3] == Subscribe(0)


@pytest.mark.parametrize(
    ("chips", "asked", "message"),
    [
        (("03800301", "13800001"), {}, "BMI160 or BMI270"),
        (("03800101", "13800101"), {}, "BMI160 or BMI270"),
        ((), {}, "BMI160 or BMI270"),
        (("03800101", "13800001", "0980"), {}, "route=plain"),
        (("03800101", "13800001", "098000021c"), {}, "route=plain"),
        (("03800101", "13800001", "1980"), {"route": "fusion"}, "another route"),
        (("03800101", "13800001", "1580"), {"route": "plain", "magnetometer": True}, "magnetometer"),
    ],
)
def test_a_sensor_that_cannot_is_refused_with_a_remedy(chips, asked, message):
    with pytest.raises(AcquisitionError, match=message):
        started(chips, **asked)


def test_no_processor_is_an_error_that_names_the_way_out():
    class Full(Sensor):
        def __call__(self, step):
            return [] if step.data[:2] == b"\x09\x02" else super().__call__(step)

    with pytest.raises(AcquisitionError, match="route=plain"):
        play(DRIVER.start(settings()), DRIVER.decoder(settings()), Full())


def test_it_flashes():
    steps, _ = play(DRIVER.identify(), DRIVER.decoder(settings()), lambda step: [])
    assert written(steps) == ["020201", "020300021f00000032000000f40100000a", "020101"]


def test_what_it_takes_and_what_it_refuses():
    assert DRIVER.matches(Advertisement("aa", "MetaWear"))
    assert DRIVER.matches(Advertisement("aa", None, ("326a9000-85cb-9195-d9dd-464cfbbae75a",)))
    assert not DRIVER.matches(Advertisement("aa", "Movesense 1"))
    assert DRIVER.verified is None
    wrong = [{"rate_hz": 60.0}, {"part": 2}, {"route": "best"}, {"acc_range_g": 3}, {"gyr_range_dps": 2001}]
    wrong += [{"range": 4}, {"route": "fusion", "rate_hz": 50.0}, {"acc_range_g": True}]
    for asked in wrong:
        with pytest.raises(ConfigError):
            DRIVER.stream(settings(**asked))
    assert all(isinstance(one, ImuBlock) for one in push(decoder(settings(), "090203"), COUNTED))


ANY_ROUTE = {"1505": 8, "1509": 20, "1906": 15, "1908": 18, "1909": 14, "190a": 14, "118c": 5, "0902": 3}
LENGTHS = {
    "fused": {"0903": 19},
    "plain": {"0304": 8, "1304": 8, "1305": 8},  # single rates: register 5 of the older chips, 4 of the newer
    "packed": {"031c": 20, "0305": 20, "1307": 20, "1305": 20},  # three samples: acceleration, rates, either generation
    "fusion": {"1904": 15, "1905": 15, "1907": 18},
}


def fits(one, route):
    """Tell whether a notification has the length that its register has, whichever chips the sensor said it has."""
    payload, channel = one
    if channel or len(payload) < 2:
        return False
    if payload[1] == 0x80:
        return len(payload) != 3
    return len(payload) == (ANY_ROUTE | LENGTHS[route]).get(payload[:2].hex())


@pytest.mark.parametrize("route", ["fused", "plain", "packed", "fusion"])
def test_damaged_payloads(route):
    samples = {"fused": [COUNTED], "plain": [ACC_4G, GYR_500], "packed": [PACKED_ACC, PACKED_GYR]}
    samples["fusion"] = ["1904" + "00" * 13, "1905" + "00" * 13, QUAT]
    told = [*BMI160, "090203", "118c633410", *samples[route] * 3]
    made = DRIVER.decoder(settings(route=route))
    valid = [(bytes.fromhex(one), 0) for one in told]
    tally = hammer(made, valid, channels=1, fits=lambda one: fits(one, route), count=COUNT // 4)
    assert tally.rows > 0
    print(route, tally)
