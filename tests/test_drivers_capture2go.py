"""Capture2Go: the vectors, any cut of the stream, damage, and what the sensor is told."""

import random
import struct
from zlib import crc32

import numpy as np
import pytest
from driver_fuzz import hammer, pushed, rows_of
from driver_play import played, silent, written
from golden_vectors import golden
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from imuposture import AcquisitionError, ConfigError, DecodeError
from imuposture._blocks import ImuBlock, Quality
from imuposture.acquisition.drivers import Advertisement, Await, Reply, Settings, Status, Subscribe, Unsubscribe
from imuposture.acquisition.drivers.capture2go import DRIVER
from imuposture.acquisition.drivers.capture2go.packages import SIZES, pack
from imuposture.acquisition.drivers.capture2go.samples import quaternion

SETTINGS = Settings("upper")
SYNC_ID = 0x1122334455667788
NS = 1_700_000_000_123_456_789
GYR, ACC, MAG = np.deg2rad(2000) / 32768, 16 / 32768 * 9.81, 1 / 16
# PyPI capture2go 1.0.1 (MIT): bytes made with its encoder.
ORIENTATION = 0x43ED54D6E3A80000  # (0.8, -0.36, 0.48, 0), at rest
QUAT_FIXED = "02764f384613870215cd853dfe9c97170000a8e3d654ed432efb00"  # in real time, delta -1234
FULL_FIXED = "02bff86a1325420215cd853dfe9c971710009af90500000800fc0300400160ff01000000a8e3d654ed43640002"
CUT_IN_TWO = (
    "fe02764f384613870215cd853dfe9c97170000a8e3d654ed432efb0002bff86a1325420215cd853dfe9c971710009af9",
    "ff0500000800fc0300400160ff01000000a8e3d654ed43640002",
)
COMMANDS = {
    "get_device_info": "02096be66e007000",
    "start_streaming": "023d7f658c005001",
    "stop_streaming": "02bf1d53be005201",
    "get_status": "02d373d7af000002",
    "set_time": "02ef7886a308700115cd853dfe9c9717",
    "mode_full_packed_100_sender": "029cec5a581e2001000000000000000000000200000001000000018877665544332211000000",
    "mode_full_packed_100_receiver": "026c3ec42f1e2001000000000000000000000200000001000000028877665544332211000000",
    "clock_roundtrip": "0266db43e120720100002a36fe9c9717000000000000000000000000000000000000000000000000",
}


def sender(sync="sender", **options):
    return Settings("upper", 100, magnetometer=True, options={"sync": sync, "sync_id": SYNC_ID, **options})


def turned(quat, delta_rad):
    """Turn the earth frame of orientations by a heading, with SciPy."""
    turn = Rotation.from_euler("z", delta_rad) * Rotation.from_quat(np.roll(quat, -1, axis=-1))
    return np.roll(turn.as_quat(), 1, axis=-1)


def streamed(*packages: bytes) -> list[object]:
    return DRIVER.decoder(SETTINGS).push(b"\xff" + b"".join(packages))


def obedient(step):
    """Answer as a sensor that does what it is told; a mode is read back by the caller's own settings."""
    return Reply(step.what, {}) if isinstance(step, Await) else None


class Sensor:
    """A sensor that quotes the mode that was set."""

    def __init__(self, ns=None):
        self.mode, self.ns = "", ns

    def __call__(self, step):
        data = getattr(step, "data", b"")
        if data[6:8] == b"\x20\x01":
            self.mode = data[16:].hex()
        if isinstance(step, Await):
            return Reply(step.what, {"mode": self.mode, "ns": self.ns})
        return None


def test_a_full_sample():
    (block,) = streamed(bytes.fromhex(FULL_FIXED))
    np.testing.assert_allclose(block.gyr, [np.array([16, -1638, 5]) * GYR], rtol=1e-14)
    np.testing.assert_allclose(block.acc, [np.array([2048, -1024, 3]) * ACC], rtol=1e-14)
    np.testing.assert_allclose(block.mag, [[20, -10, 0.0625]])
    assert block.flags.tolist() == [Quality.SATURATED | Quality.REST]
    expected = turned(np.array([[0.8, -0.36, 0.48, 0.0]]), [100 * np.pi / 32768])
    np.testing.assert_allclose(block.quat, expected * np.sign(expected[:, :1]), atol=2e-6)
    assert abs(block.ticks[0] - NS / 1000) < 0.25


def test_a_notification_with_both_kinds_of_packages():
    decoder = DRIVER.decoder(SETTINGS)
    (orientation,) = decoder.push(bytes.fromhex(CUT_IN_TWO[0]))
    assert np.isnan(orientation.acc).all()
    assert np.isnan(orientation.gyr).all()
    expected = turned(np.array([[0.8, -0.36, 0.48, 0.0]]), [-1234 * np.pi / 32768])
    np.testing.assert_allclose(orientation.quat, expected * np.sign(expected[:, :1]), atol=2e-6)
    (full,) = decoder.push(bytes.fromhex(CUT_IN_TWO[1]))
    (alone,) = streamed(bytes.fromhex(FULL_FIXED))
    np.testing.assert_array_equal(rows_of([full]), rows_of([alone]))


def full_packed(header=0x222, ns=NS, orientation=ORIENTATION, delta=-5, errors=0, vectors=3):
    raw = [*range(-12, 12), *range(0, 2400, 100), *range(-80, 88, 7)][: 24 * vectors]
    return pack(header, struct.pack(f"<q{len(raw)}hQhB", ns, *raw, orientation, delta, errors))


def test_packed_samples():
    (block,) = streamed(full_packed())
    np.testing.assert_allclose(block.gyr, np.arange(-12, 12).reshape(8, 3) * GYR, rtol=1e-14)
    np.testing.assert_allclose(block.acc, np.arange(0, 2400, 100).reshape(8, 3) * ACC, rtol=1e-14)
    np.testing.assert_allclose(block.mag, np.arange(-80, 88, 7).reshape(8, 3) * MAG)
    np.testing.assert_allclose(np.diff(block.ticks), 10_000)
    assert np.isfinite(block.quat[0]).all()
    assert np.isnan(block.quat[1:]).all(), "an orientation that was not sent is not made up"
    (other,) = streamed(full_packed(0x231, vectors=2))
    assert other.mag is None
    np.testing.assert_array_equal(other.acc, block.acc)
    np.testing.assert_allclose(np.diff(other.ticks), 5_000)


def test_packed_orientations():
    rng = np.random.default_rng(5)
    packed = rng.integers(0, 2**60, 20, dtype=np.uint64)
    content = struct.pack("<q20Q20h20B", 10**9, *packed.tolist(), *[0] * 20, *[0] * 19, 4)
    (block,) = streamed(pack(0x274, content))
    np.testing.assert_array_equal(block.quat, [quaternion(bits) for bits in packed.tolist()])
    assert block.ticks.tolist() == [1e6 + 40_000 * row for row in range(20)]
    assert np.isnan(block.acc).all()
    assert (block.flags != 0).tolist() == [False] * 19 + [True]


def test_floats():
    content = struct.pack("<q14f??B5x", 5000, *range(1, 10), 0.5, -0.5, 0.5, 0.5, 0.0, False, True, 0)
    (block,) = streamed(pack(0x261, content))
    expected = [4, 5, 6, 1, 2, 3, 7, 8, 9, 0.5, -0.5, 0.5, 0.5]
    np.testing.assert_array_equal(rows_of([block]), [expected])
    assert block.flags.tolist() == [Quality.MAGNETICALLY_DISTURBED]
    content = struct.pack("<q5f??B", 5000, np.inf, 0, 0, 0, 0, True, False, 0)
    (block,) = streamed(pack(0x292, content))
    assert np.isnan(block.acc).all()
    assert not np.isinf(block.quat).any()


@given(st.integers(0, 3), st.lists(st.integers(0, 2**20 - 1), min_size=3, max_size=3), st.integers(0, 3))
def test_smallest_three(left_out, parts, judged):
    packed = (judged << 62) | (left_out << 60) | (parts[0] << 40) | (parts[1] << 20) | parts[2]
    three = [part / (0xFFFFF / np.sqrt(2)) - np.sqrt(0.5) for part in parts]
    rest = 1 - sum(part * part for part in three)
    quat = np.array(quaternion(packed))
    if rest < -1e-12:
        assert np.isnan(quat).all()
    elif rest > 1e-12:
        assert quat[left_out] == pytest.approx(np.sqrt(rest))
        np.testing.assert_allclose(np.roll(quat, -left_out)[1:], three, atol=1e-15)


def test_nanoseconds_survive():
    for ns in (NS, NS + 1_000_001, 999, -1_500, 2**62):
        (block,) = streamed(full_packed(0x221, ns))
        assert abs(block.ticks[0] - ns / 1000) <= 0.25 + abs(ns / 1000) * 2**-52
    steps = [streamed(full_packed(ns=NS + 1000 * step))[0].ticks[0] for step in range(5)]
    np.testing.assert_array_equal(np.diff(steps), 1.0)


def test_flags():
    messages = streamed(full_packed(errors=1))
    assert messages[0] == Status("time_gap", {"tick": messages[1].ticks[0]})
    assert [message.what for message in streamed(full_packed(errors=16))[:-1]] == ["error"]
    for errors, expected in ((2, Quality.SATURATED), (4, Quality.SATURATED), (8, Quality.MAGNETICALLY_DISTURBED)):
        (block,) = streamed(full_packed(errors=errors, orientation=0))
        assert block.flags.tolist() == [expected] * 8
    (block,) = streamed(full_packed(orientation=1 << 63))
    assert block.flags.tolist() == [Quality.MAGNETICALLY_DISTURBED] * 8


def test_status_and_answers():
    content = struct.pack("<qBB3hBBB", NS, 2, 2, 16384, -8192, 0, 1, 128 + 77, 55)
    reply, battery = streamed(pack(0x201, content))
    assert battery == Status("battery", {"percent": 77.0, "charging": True})
    assert (reply.what, reply.values["state"], reply.values["synchronized"]) == ("status", "streaming", True)
    np.testing.assert_allclose(reply.values["gyroscope_bias_radps"], np.deg2rad([1, -0.5, 0]))
    (clock,) = streamed(pack(0x172, struct.pack("<4q", 1, 2, 3, 0)))
    names = ("host_sent_ns", "sensor_received_ns", "sensor_sent_ns", "host_received_ns")
    assert clock == Reply("clock_round_trip", dict(zip(names, (1, 2, 3, 0), strict=True)))
    content = struct.pack("<H6s8s8s12s11s", 1, b"ab1234", b"1.0", b"2", b"1.2.3", b"2026-01-01 ")
    (info,) = streamed(pack(0x71, content))
    assert (info.values["serial"], info.values["firmware"], info.values["firmware_date"]) == (
        "ab1234",
        "1.2.3",
        "2026-01-01",
    )
    error, reply = streamed(pack(0xFFFF, struct.pack("<BH", 0xFB, 0x150)))
    assert error.what == "error"
    assert reply == Reply("start", {"error": error.values["text"]})
    assert streamed(pack(0x400, struct.pack("<qB", 5, 1))) == [Status("sync_trigger", {"ns": 5, "rising": True})]
    assert streamed(pack(0x155)) == []


def test_commands():
    for sync in ("sender", "receiver"):
        sent = written(played(DRIVER.start(sender(sync)), Sensor()))
        assert COMMANDS[f"mode_full_packed_100_{sync}"] in sent
        assert sent[-1] == COMMANDS["start_streaming"]
    assert COMMANDS["set_time"] in written(played(DRIVER.start(sender(set_time_ns=NS)), Sensor()))
    assert COMMANDS["stop_streaming"] in written(played(DRIVER.stop(SETTINGS), obedient))
    assert pack(0x172, struct.pack("<4q", 1_700_000_000_000_000_000, 0, 0, 0)).hex() == COMMANDS["clock_roundtrip"]
    assert written(played(DRIVER.device_info(), obedient)) == [COMMANDS["get_device_info"]]
    assert written(played(DRIVER.battery(), obedient)) == [COMMANDS["get_status"]]
    (blink,) = written(played(DRIVER.identify(), obedient))
    assert bytes.fromhex(blink)[8:] == struct.pack("<qq?", 0, 5_000_000_000, True)


def test_a_status_alone_is_no_sign_of_samples():
    """It comes every second, also from a sensor whose samples stopped."""
    measures = DRIVER.channels[0].measures
    status = b"\xff" + pack(0x201, bytes(19))
    assert not measures(status)
    for payload in (b"\xff" + bytes.fromhex(FULL_FIXED), status + bytes.fromhex(FULL_FIXED), status[:-1], b"\xff"):
        assert measures(payload)


def test_all_shared_vectors():
    for vector in golden("capture2go"):
        name, expected, data = vector["id"].removeprefix("c2g_"), vector["expected"], bytes.fromhex(vector["hex"])
        if "crc32" in expected:
            assert data[8:] == b"" or len(data) - 8 == expected["payload_size"]
            assert crc32(data[6:]) == expected["crc32"]
            assert pack(expected["header"], data[8:]) == data
        if name in COMMANDS:
            assert COMMANDS[name] == vector["hex"]
        elif name in {"quat_fixed_rt", "full_fixed_100", "full_packed_100"}:
            fields = expected["fields"]
            (block,) = streamed(data)
            for values, raw, scale in ((block.gyr, "gyr", GYR), (block.acc, "acc", ACC), (block.mag, "mag", MAG)):
                if raw in fields:
                    np.testing.assert_allclose(values.ravel(), np.array(fields[raw]) * scale, rtol=1e-14)
            assert abs(block.ticks[0] - fields["timestamp"] / 1000) < 0.25
        elif name == "quat64":
            np.testing.assert_allclose(
                quaternion(int.from_bytes(data, "little")), expected["quat_wxyz"], atol=vector["tolerance"]
            )
        else:
            assert vector["hex"] in CUT_IN_TWO, "a vector that no test knows"


@given(st.integers(0, 2**32), st.integers(1, 240))
def test_any_cut_gives_the_same_rows(seed, longest):
    rng = random.Random(seed)
    packages = [full_packed(errors=rng.randrange(32), ns=NS + n, delta=n) for n in range(rng.randint(1, 8))]
    packages.insert(rng.randint(0, len(packages)), pack(0x201, bytes(19)))
    if rng.random() < 0.5:
        packages.insert(rng.randint(0, len(packages)), full_packed()[: rng.randint(0, 170)] + rng.randbytes(5))
    whole = b"".join(packages)
    told = []
    for one_piece in (True, False):
        decoder, messages, at = DRIVER.decoder(SETTINGS), [], 0
        while at < len(whole):
            size = len(whole) if one_piece else rng.randint(0, longest)
            messages += pushed(decoder, [(b"\xff" + whole[at : at + size], 0)], patient=True)
            at += size
        others = [message for message in messages if not isinstance(message, ImuBlock)]
        told.append((rows_of(messages).tobytes(), others))
    assert told[0] == told[1]


def test_damage():
    decoder = DRIVER.decoder(SETTINGS)
    sample = bytes.fromhex(FULL_FIXED)
    for payload in (b"", b"\x02" + sample, b"\xfb" + 4 * bytes.fromhex(QUAT_FIXED), b"\xfe" + sample[:-1]):
        with pytest.raises(DecodeError, match=r"must begin with fc to ff|damaged real-time"):
            decoder.push(payload)
    with pytest.raises(DecodeError, match="3 bytes that belong to no package"):
        decoder.push(b"\xff\x00\x01\x03")
    with pytest.raises(DecodeError, match="channel 0 only"):
        decoder.push(b"\xff", 1)
    assert decoder.push(b"\xff") == []
    assert decoder.push(b"\xff" + full_packed()[:20]) == []
    with pytest.raises(DecodeError, match="damaged real-time"):
        decoder.push(b"\xfe\x02")
    resync, block = decoder.push(b"\xff" + sample)  # at once: what was unfinished is not waited for any more
    assert resync == Status("resync", {"bytes": 3 + 20})
    assert isinstance(block, ImuBlock)
    flipped = bytes([*sample[:20], sample[20] ^ 1, *sample[21:]])
    resync, block = decoder.push(b"\xff" + flipped + sample)
    assert resync == Status("resync", {"bytes": len(sample)})
    assert isinstance(block, ImuBlock)


def test_a_wrong_size_is_never_accepted():
    for header, size in SIZES.items():
        for wrong in {0, max(size - 1, 0), size + 1, 236} - {size}:
            package = pack(header, bytes(wrong))
            assert pushed(DRIVER.decoder(SETTINGS), [(b"\xff" + package, 0)], patient=True) == []
            with pytest.raises(DecodeError, match="damaged real-time package"):
                DRIVER.decoder(SETTINGS).push(b"\xfe" + package)


def test_damaged_payloads():
    valid = [(bytes.fromhex(part), 0) for part in CUT_IN_TWO]
    valid += [(b"\xff" + full_packed(), 0), (b"\xfd" + 2 * bytes.fromhex(QUAT_FIXED), 0)]
    valid += [(b"\xff" + pack(0x201, bytes(19)), 0), (b"\xff" + full_packed(0x233, vectors=2), 0)]
    tally = hammer(DRIVER.decoder(SETTINGS), valid, channels=1)
    assert tally.rows > 0


def test_what_the_stream_is():
    stream = DRIVER.stream(Settings("lower", 200, magnetometer=True))
    assert (stream.rate_hz, stream.tick_s, stream.clock, stream.wrap_ticks) == (200, 1e-6, "device", None)
    assert stream.magnetometer
    assert not DRIVER.stream(SETTINGS).magnetometer
    assert stream.acc_full_scale == pytest.approx(16 * 9.81)
    assert stream.gyr_full_scale == pytest.approx(np.deg2rad(2000))
    assert DRIVER.verified is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings("upper", 60), "200, 100, 50, 25, 10, 1"),
        (Settings("upper", 100, options={"mode": "real_time"}), "in real time"),
        (Settings("upper", options={"sync": "sender"}), "belong together"),
        (Settings("upper", options={"sync_id": 5}), "belong together"),
        (Settings("upper", options={"sync": "both", "sync_id": 5}), "none, sender, receiver"),
        (Settings("upper", options={"sync": "sender", "sync_id": 2**64}), "whole number"),
        (Settings("upper", options={"sync": "receiver", "sync_id": 5, "set_time_ns": 5}), "sender only"),
        (Settings("upper", options={"rate": 5}), "it has: mode, set_time_ns, sync, sync_id"),
    ],
)
def test_what_it_cannot_do_is_refused(settings, told):
    for asked in (DRIVER.stream, DRIVER.decoder, DRIVER.start):
        with pytest.raises(ConfigError, match=told):
            asked(settings)


def test_the_order_of_the_start():
    steps = played(DRIVER.start(SETTINGS), Sensor())
    assert steps[0] == Subscribe(0)
    assert [step.what for step in steps if isinstance(step, Await)] == [
        "stop_real_time",
        "stop_and_clear",
        "mode",
        "start",
    ]
    mode = next(bytes.fromhex(data) for data in written(steps) if data[12:16] == "2001")
    assert mode[-1] == 1, "without a magnetometer its data are left out"
    steps = played(DRIVER.start(Settings("upper", 25, options={"mode": "real_time"})), Sensor())
    assert written(steps)[-1] == pack(0x160, b"\x02\x19").hex()
    stop = played(DRIVER.stop(Settings("upper", 25, options={"mode": "real_time"})), silent)
    assert written(stop) == [pack(0x163).hex()]
    assert stop[-1] == Unsubscribe(0)


def test_a_clock_is_not_set_back():
    """After a lost link the same settings come again."""
    for stands, set_again in ((5_000_000_000, True), (NS + 1, False)):
        sensor = Sensor(stands)
        sent = written(played(DRIVER.start(sender(set_time_ns=NS)), sensor))
        assert (COMMANDS["set_time"] in sent) is set_again


def test_a_sensor_that_does_not_obey():
    def deaf(step):  # to the orders that only tidy up, a sensor may well be silent
        return TimeoutError() if isinstance(step, Await) else None

    with pytest.raises(AcquisitionError, match="did not answer the order 'mode'"):
        played(DRIVER.start(SETTINGS), deaf)
    with pytest.raises(AcquisitionError, match="instead of"):
        played(DRIVER.start(SETTINGS), lambda step: Reply("mode", {"mode": "00"}) if isinstance(step, Await) else None)
    with pytest.raises(AcquisitionError, match="refused the order 'mode': busy"):
        played(DRIVER.start(SETTINGS), lambda s: Reply("mode", {"error": "busy"}) if isinstance(s, Await) else None)


def test_which_sensors_it_takes():
    service = "80030001-e629-4c98-9324-aa7fc0c66de7"
    assert DRIVER.matches(Advertisement("C0:FF:EE:00:00:00", "IMU_ab1234", (service,)))
    assert not DRIVER.matches(Advertisement("C0:FF:EE:00:00:00", "IMU_ab1234"))
