"""Movesense: what its notifications mean, and what is written to it."""

import math
import struct

import numpy as np
import pytest
from driver_fuzz import COUNT, hammer
from driver_play import play, written
from golden_vectors import vectors

from imuposture import AcquisitionError, ConfigError, DecodeError
from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Advertisement, Reply, Settings, Status, Subscribe, Unsubscribe, Write
from imuposture.acquisition.drivers.movesense import COMMANDS, DRIVER, get, hello, subscribe, unsubscribe
from imuposture.acquisition.drivers.movesense_packets import REFERENCES, MovesenseDecoder

DEGREE = math.pi / 180
# A packet of /Meas/IMU6/52 as a sensor sent it, and the same session's log (sensein/movesense-py, fixture.json).
IMU6 = bytes.fromhex(
    "aca1020094b578bf399b8840cdb20d4155ff7cbf6a60884092c70c4182627cbfa2e988405da00c418bf871bf71248940c38c0c41"
    "48e17abf713daabf3333b3bec3f568bf713daabf3e0ad7beae4721bff628bcbf3e0ad7beae4721bf3333b3bf3e0ad7be"
)
IMU6_FIRST_ACC = (-0.9715206623077393, 4.268948078155518, 8.856152534484863)
IMU6_LAST_GYR_DPS = (-0.6299999952316284, -1.399999976158142, -0.41999998688697815)
ACC = bytes.fromhex(
    "03de010055ab8bbf69f78d4081dd0a412b1387bf975a8d4020840b41e79190bf076d8e401bf10a412b1387bf316e8d40b9660b41"
)
GYR = bytes.fromhex(
    "03de0100295c8f3f666606c03e0a57beae47a13f85eb01c0295c8fbeae47a13fc3f5e8bf295c8fbe295c8f3f85ebf1bf3e0a57be"
)
PATHS = {"Acc": "acc", "Gyro": "gyro", "IMU6": "imu", "IMU9": "imu", "Temp": "temperature", "HR": "heart_rate"}


def settings(rate_hz=52.0, **more):
    return Settings("upper", rate_hz=rate_hz, **more)


def data(name, payload, kind=2):
    return bytes([kind, REFERENCES[name]]) + payload


def blocks(messages):
    return [message for message in messages if isinstance(message, ImuBlock)]


def imu(parts, count, stamp=1000):
    values = np.arange(3 * parts * count, dtype="<f4") / 8
    return struct.pack("<I", stamp) + values.tobytes()


def two_parts(name, payload):
    return data(name, payload[:150]), data(name, payload[150:], kind=3)


def test_a_captured_packet():
    (block,) = DRIVER.decoder(settings()).push(data("imu", IMU6))
    assert block.role == "upper"
    np.testing.assert_allclose(block.ticks, 172460 + np.arange(4) * 1000 / 52)
    np.testing.assert_allclose(block.acc[0], IMU6_FIRST_ACC)
    np.testing.assert_allclose(block.gyr[-1], np.array(IMU6_LAST_GYR_DPS) * DEGREE)
    assert np.linalg.norm(block.acc, axis=1) == pytest.approx([9.8] * 4, abs=0.15)
    assert block.mag is None
    assert block.quat is None


def test_captured_packets_of_separate_paths_are_joined_by_their_stamps():
    decoder = DRIVER.decoder(settings(options={"separate": True}))
    assert decoder.push(data("gyro", GYR)) == []
    (block,) = decoder.push(data("acc", ACC))
    np.testing.assert_allclose(block.ticks, 122371 + np.arange(4) * 1000 / 52)
    np.testing.assert_allclose(block.acc[0], (-1.0911661386489868, 4.436451435089111, 8.679078102111816))
    np.testing.assert_allclose(block.gyr[0] / DEGREE, (1.1200000047683716, -2.0999999046325684, -0.21000000834465027))


def reading(vector):
    """Return what a decoder makes of a vector, in the vector's words."""
    name = PATHS.get(vector["id"].split("_")[2], "ecg")
    decoder = DRIVER.decoder(settings(magnetometer="IMU9" in vector["id"]))
    messages = decoder.push(data(name, bytes.fromhex(vector["hex"])[: 150 if name == "imu" else None]))
    if name == "imu" and len(vector["hex"]) > 300:
        messages += decoder.push(data(name, bytes.fromhex(vector["hex"])[150:], kind=3))
    if name in {"acc", "gyro"}:  # the other half, of the same time, so that the rows are whole
        other = {"acc": "gyro", "gyro": "acc"}[name]
        messages += decoder.push(data(other, bytes.fromhex(vector["hex"])))
    (message,) = messages
    if isinstance(message, Status):
        return message.values
    told = {"Timestamp": message.ticks[0]}
    columns = {"acc": ("ArrayAcc", 1.0), "gyr": ("ArrayGyro", DEGREE), "mag": ("ArrayMagn", 1.0)}
    for column, (word, unit) in columns.items():
        if (values := getattr(message, column)) is not None:
            told[word] = [dict(zip("xyz", row, strict=True)) for row in (values / unit).tolist()]
    return told


@pytest.mark.parametrize("vector", vectors("movesense_gsp"))
def test_golden_vectors(vector):
    expected = vector["expected"]
    if "cmd" in expected:
        commands = {0: hello, 1: subscribe, 2: unsubscribe, 4: get}
        told = [expected["path"]] if "path" in expected else []
        assert commands[expected["cmd"]](expected["ref"], *told) == Write(COMMANDS, bytes.fromhex(vector["hex"]))
    elif "hex_part2" in vector:
        decoder = DRIVER.decoder(settings(104.0, magnetometer=True))
        assert decoder.push(bytes.fromhex(vector["hex"])) == []
        (block,) = decoder.push(bytes.fromhex(vector["hex_part2"]))
        assert block.ticks[0] == expected["timestamp_ms"]
        assert block.acc.tolist() == expected["acc"]
        assert block.mag.tolist() == expected["mag_uT"]
        np.testing.assert_allclose(block.gyr / DEGREE, expected["gyr_dps"], atol=1e-12)
    else:
        told = reading(vector)
        words = {"Samples": "millivolt", "temp_K": "kelvin", "average_bpm": "bpm", "rrData_ms": "intervals_ms"}
        for word, value in expected.items():
            found = told[words.get(word, word if word in told else "ticks")]
            if word.startswith("Array"):
                np.testing.assert_allclose([[*row.values()] for row in found], [[*row.values()] for row in value])
            else:
                assert found == pytest.approx(value)


@pytest.mark.parametrize(("parts", "count"), [(2, 1), (2, 2), (2, 4), (2, 8), (3, 1), (3, 4), (3, 8)])
def test_the_number_of_samples_follows_from_the_length(parts, count):
    payload = imu(parts, count)
    decoder = DRIVER.decoder(settings(104.0, magnetometer=parts == 3))
    messages = []
    for one in two_parts("imu", payload) if len(payload) > 150 else [data("imu", payload)]:
        messages += decoder.push(one)
    (block,) = messages
    assert len(block.ticks) == count
    # Planar: all of one quantity, then all of the next.
    assert block.acc.tolist() == (np.arange(3 * count).reshape(-1, 3) / 8).tolist()
    assert block.gyr[0] / DEGREE == pytest.approx((np.arange(3) + 3 * count) / 8)


def test_other_joined_paths_leave_what_they_have_not_missing():
    decoder = MovesenseDecoder("lower", 52.0, magnetometer=True, imu_path="IMU6m")
    (block,) = decoder.push(data("imu", imu(2, 2)))
    assert np.isnan(block.gyr).all()
    assert not np.isnan(block.mag).any()


def test_a_first_part_whose_second_is_lost_is_dropped_and_told():
    decoder = DRIVER.decoder(settings(104.0))
    first, second = two_parts("imu", imu(2, 8))
    assert decoder.push(first) == []
    (told,) = decoder.push(first)
    assert (told.what, "never came" in told.values["text"]) == ("error", True)
    (block,) = decoder.push(second)
    assert len(block.ticks) == 8
    with pytest.raises(DecodeError, match="first part"):
        decoder.push(second)


def test_a_wrong_second_part_takes_the_first_with_it():
    decoder = DRIVER.decoder(settings(104.0))
    first, second = two_parts("imu", imu(2, 8))
    decoder.push(first)
    with pytest.raises(DecodeError, match=r"4 \+ 24 n"):
        decoder.push(second[:-1])
    with pytest.raises(DecodeError):
        decoder.push(second)
    assert decoder.push(first) == []
    assert len(blocks(decoder.push(second))) == 1


@pytest.mark.parametrize("name", ["imu", "acc", "temperature", "heart_rate", "ecg", "battery", "hello"])
def test_cut_payloads_are_refused(name):
    whole = {"imu": IMU6, "acc": ACC, "temperature": bytes.fromhex("337399432f8c0300")}
    whole |= {"heart_rate": bytes.fromhex("4dbe84428803"), "ecg": bytes(8)}
    payload = whole.get(name, bytes(12))
    for length in range(len(payload)):
        decoder = DRIVER.decoder(settings())
        if name in {"imu", "acc"} and length > 4 and (length - 4) % (24 if name == "imu" else 12) == 0:
            continue  # that many samples are a whole payload too
        if name == "ecg" and length == 6:
            continue
        with pytest.raises(DecodeError, match="bytes"):
            decoder.push(data(name, payload[:length]))
        decoder.push(data("imu", IMU6))


@pytest.mark.parametrize("bits", ["0000807f", "0000c07f", "ffff7f7f", "000080ff"])
def test_numbers_that_are_none_are_refused(bits):
    with pytest.raises(DecodeError, match="numbers below"):
        DRIVER.decoder(settings()).push(data("imu", IMU6[:8] + bytes.fromhex(bits) + IMU6[12:]))


@pytest.mark.parametrize("head", ["", "02", "0463", "0063", "0207", "0363"])
def test_what_is_no_notification_is_refused(head):
    with pytest.raises(DecodeError):
        DRIVER.decoder(settings()).push(bytes.fromhex(head) + (IMU6 if len(head) > 2 else b""))
    with pytest.raises(DecodeError):
        DRIVER.decoder(settings()).push(data("imu", IMU6), channel=1)


def test_ticks_wrap_with_the_clock_of_32_bits():
    (block,) = DRIVER.decoder(settings(13.0)).push(data("imu", imu(2, 3, stamp=2**32 - 100)))
    assert block.ticks == pytest.approx([2**32 - 100, 2**32 - 100 + 1000 / 13, 2000 / 13 - 100])
    assert DRIVER.stream(settings(13.0)).wrap_ticks == 2**32


def test_streams_that_come_apart_stay_joined_over_the_wrap():
    decoder, told = DRIVER.decoder(settings(options={"separate": True})), []
    for n in range(6):
        stamp = round(2**32 - 200 + n * 4000 / 52) % 2**32
        told += decoder.push(data("acc", imu(1, 4, stamp)))
        told += decoder.push(data("gyro", imu(1, 4, stamp)))
    ticks = np.concatenate([block.ticks for block in told])
    assert len(ticks) == 24
    assert ticks.max() < 2**32
    assert np.unwrap(ticks, period=2**32) - ticks[0] == pytest.approx(np.arange(24) * 1000 / 52, abs=1)
    assert not any(np.isnan(block.acc).any() or np.isnan(block.gyr).any() or block.flags is not None for block in told)


def test_answers_say_whether_they_went_well():
    decoder = DRIVER.decoder(settings())
    (reply,) = decoder.push(bytes([1, 99]) + struct.pack("<H", 404))
    assert (reply.what, reply.values["status"], reply.values["ok"]) == ("imu", 404, False)
    reply, battery = decoder.push(bytes([1, 101]) + struct.pack("<HB", 200, 87))
    assert (reply.what, reply.values["ok"]) == ("battery", True)
    assert battery == Status("battery", {"percent": 87.0})
    assert decoder.push(bytes([1, 101]) + struct.pack("<H", 503))[0].values["ok"] is False
    with pytest.raises(DecodeError, match="percent"):
        decoder.push(bytes([1, 101]) + struct.pack("<HB", 200, 101))


def obliging(step):
    """Answer every command as a sensor that has no stream to end, and 50 % of charge."""
    code, reference = step.data[:2]
    if code == 0:
        return [(bytes([1, reference]) + b"220530000000", 0)]
    status = {1: 200, 2: 404, 4: 200}[code]
    return [(bytes([1, reference]) + struct.pack("<H", status) + (b"\x32" if code == 4 else b""), 0)]


def test_start_ends_what_may_run_and_subscribes():
    steps, messages = play(DRIVER.start(settings()), DRIVER.decoder(settings()), obliging)
    assert steps[0] == Subscribe(0)
    told = written(steps)
    assert told[0] == "0064"
    assert told[1:5] == ["0263", "0266", "0267", "0268"]
    assert told[-1] == "01632f4d6561732f494d55362f3532"
    assert Status("battery", {"percent": 50.0}) in messages


@pytest.mark.parametrize(
    ("asked", "paths"),
    [
        ({"rate_hz": 104.0, "magnetometer": True}, ["/Meas/IMU9/104"]),
        ({"rate_hz": 13.0}, ["/Meas/IMU6/13"]),
        ({"rate_hz": 208.0}, ["/Meas/Acc/208", "/Meas/Gyro/208"]),
        (
            {"rate_hz": 26.0, "options": {"separate": True}, "magnetometer": True},
            ["/Meas/Acc/26", "/Meas/Gyro/26", "/Meas/Magn/26"],
        ),
    ],
)
def test_paths(asked, paths):
    steps, _ = play(DRIVER.start(settings(**asked)), DRIVER.decoder(settings(**asked)), obliging)
    told = [bytes.fromhex(one) for one in written(steps)]
    assert [one[2:].decode() for one in told if one[0] == 1] == paths


def test_a_refused_stream_is_an_error_and_a_lost_answer_is_none():
    def refusing(step):
        return [(bytes([1, step.data[1]]) + struct.pack("<H", 501), 0)] if step.data[0] == 1 else []

    with pytest.raises(AcquisitionError, match="/Meas/IMU6/52 with status 501"):
        play(DRIVER.start(settings()), DRIVER.decoder(settings()), refusing)
    steps, _ = play(DRIVER.start(settings()), DRIVER.decoder(settings()), lambda step: [])
    assert written(steps)[-1] == "01632f4d6561732f494d55362f3532"


def test_stop_ends_every_stream():
    steps, _ = play(DRIVER.stop(settings()), DRIVER.decoder(settings()), obliging)
    assert written(steps) == ["0263", "0266", "0267", "0268"]
    assert steps[-1] == Unsubscribe(0)


def test_what_it_takes_and_what_it_refuses():
    assert DRIVER.matches(Advertisement("aa", "Movesense 220530000123"))
    assert DRIVER.matches(Advertisement("aa", None, ("34802252-7185-4d5d-b431-630e7050e8f0",)))
    assert not DRIVER.matches(Advertisement("aa", "Polar H10 1234"))
    assert DRIVER.verified is None
    assert DRIVER.identify() is None
    for wrong in ({"rate_hz": 100.0}, {"part": 1}, {"options": {"range": 4}}, {"options": {"separate": "maybe"}}):
        with pytest.raises(ConfigError):
            DRIVER.stream(settings(**wrong))
        with pytest.raises(ConfigError):
            next(DRIVER.start(settings(**wrong)))


def test_hello_has_no_status():
    (reply,) = DRIVER.decoder(settings()).push(b"\x01\x64\x01\x02\x03")
    assert reply == Reply("hello", {"data": "010203"})


def fits(one):
    """Tell whether a notification has a length that something asked for may have."""
    payload, channel = one
    if channel or len(payload) < 2:
        return False
    kind, name, rest = (
        payload[0],
        {number: name for name, number in REFERENCES.items()}.get(payload[1]),
        len(payload) - 2,
    )
    if kind == 1:
        return name == "hello" or rest >= 2
    widths = {"imu": (4, 24), "acc": (4, 12), "gyro": (4, 12), "magn": (4, 12), "temperature": (8, 0)}
    first, each = widths.get(name, (4, 2))
    if kind == 3 or rest == 150:
        return rest <= 156 and name not in {"hello", "battery", None}
    return kind == 2 and rest < 150 and (rest == first if not each else rest > first and (rest - first) % each == 0)


@pytest.mark.parametrize("separate", [False, True])
def test_damaged_payloads(separate):
    decoder = DRIVER.decoder(settings(options={"separate": separate}))
    joined = [*two_parts("imu", imu(2, 8)), data("imu", IMU6), data("temperature", bytes.fromhex("337399432f8c0300"))]
    joined += [data("heart_rate", bytes.fromhex("4dbe84428803")), data("ecg", bytes(36))]
    joined += [bytes.fromhex("0163c800"), bytes.fromhex("0165c80032"), b"\x01\x64name"]
    later = struct.pack("<I", 200_000)
    apart = [data("acc", ACC), data("gyro", GYR), data("acc", later + ACC[4:]), data("gyro", later + GYR[4:])]
    tally = hammer(
        decoder, [(one, 0) for one in (apart if separate else joined)], channels=1, fits=fits, count=COUNT // 2
    )
    assert tally.rows > 0
