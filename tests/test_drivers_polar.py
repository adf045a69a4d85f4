"""Polar: what its frames mean, how streams are joined, and what it refuses."""

import math
import struct
import tracemalloc

import numpy as np
import pytest
from driver_fuzz import COUNT, hammer
from fake_polar import START_OK, settings
from golden_vectors import vectors
from hypothesis import given
from hypothesis import strategies as st

from imuposture import ConfigError, DecodeError
from imuposture._blocks import Quality
from imuposture.acquisition.drivers import Advertisement, Reply
from imuposture.acquisition.drivers.polar import DRIVER
from imuposture.acquisition.drivers.polar_control import answer, get_settings, parse_settings, start, stop
from imuposture.acquisition.drivers.polar_frames import ACC, GYR, MAG, frame_of

DEGREE, GRAVITY = math.pi / 180, 9.80665
# A notification of a Verity Sense (polar-ble-sdk issue 443), of which two samples are enough here.
REAL = bytes.fromhex(
    "0200416fc41245930a81ee021ffe82ff080a10da20d6a30bd9cbe7d6f6c4e6f1e1f3e0151afe281bf8372c25201319110a2fed4fc07ef4e9"
    "bb6e800dc82fb03e14d1afb07f16c4cc2087340354128bff8d00c142fbe6d3dfb5e191532fbef9ed43b03efddb9b903df503605f7bfad9dfae"
    "000b2464704012cccfbf04e4c533b038084180efc212ec178146fdfe5bb001f3d1d76f81ffcd7b0fc20136607f43d35f3f3f78cb06484eff"
    "000efc820551ab55e34a2d1d0c5fbde858734dbdeba06751020cc47041ca267fa0028919fe3f5f74e72244203f1566b0524d055ca41fbee96800"
)
REAL_NS, REAL_FIRST, REAL_LAST = 762028708863099136, (750, -481, -126), (923, 614, 644)
# Unit tests of polar-ble-sdk: acceleration, rates as bit patterns, field with the state of its calibration.
ACC_DELTA = bytes.fromhex("02650000000000000081f1ff1400f00306017b0f08")
GYR_DELTA = bytes.fromhex("050094357700000000810000803f000020410000a0411c010000a001000008cdccec0d")
MAG_DELTA = bytes.fromhex("0600943577000000008137ff51fd6cf600000301f802")
MAG_FACTOR_DELTA = bytes.fromhex("06009435770000000080e2e6fa15490a06017f20fc")


def started(asked, acc=1.0, gyr=1.0, mag=None):
    """Return a decoder that has seen the streams start with these factors."""
    made = DRIVER.decoder(asked)
    for part, factor in (("acc", acc), ("gyr", gyr), ("mag", mag)):
        if factor is not None:
            made.push(START_OK[part] + struct.pack("<f", factor))
    return made


def frame(measurement, stamp_us, rows, kind=1):
    """Return a plain frame of 16-bit numbers."""
    return struct.pack("<BQB", measurement, int(stamp_us * 1000), kind) + np.array(rows, dtype="<i2").tobytes()


def column(messages, name):
    return np.concatenate([np.atleast_1d(getattr(block, name)) for block in messages])


def test_a_captured_frame():
    (block,) = DRIVER.decoder(settings(model="h10")).push(REAL, 1)
    assert block.acc[0] / GRAVITY * 1000 == pytest.approx(REAL_FIRST)
    assert block.acc[-1] / GRAVITY * 1000 == pytest.approx(REAL_LAST)
    assert np.isnan(block.gyr).all()
    assert len(block.ticks) == 58
    # The stamp is that of the last sample, to better than a microsecond in float64.
    assert abs(int(block.ticks[-1] * 1000) - REAL_NS) < 200
    np.testing.assert_allclose(np.diff(block.ticks), 1e6 / 50, atol=0.25)
    assert 0.5 < np.linalg.norm(block.acc[0]) / GRAVITY < 1.5


@pytest.mark.parametrize("vector", vectors("polar_pmd"))
def test_golden_vectors(vector):
    payload, expected = bytes.fromhex(vector["hex"]), vector["expected"]
    if "op" in expected and vector["kind"] == "command_bytes":
        commands = {1: get_settings, 2: start, 3: stop}
        told = parse_settings(payload[2:])
        asked = {name: int(value) for name, (value,) in told.items()}
        if "settings" in expected:
            assert asked == expected["settings"]
        assert commands[expected["op"]](expected["type"], *([asked] if asked else [])) == payload
    elif "feature_byte" in expected:
        told = answer(payload)
        assert (told.what, told.values["ecg"], told.values["ppg"]) == ("features", True, False)
        assert (told.values["acc"], told.values["gyr"]) == (True, False)
    elif "settings" in expected:
        told = answer(payload)
        assert told == Reply("settings.ppg", {"error": 0, "text": "success", **expected["settings"]})
    elif "rate" in expected:
        assert parse_settings(payload) == expected
    else:
        found = frame_of(payload)
        told = next(value for word, value in expected.items() if word.startswith("all_"))
        np.testing.assert_array_equal(found.raw, told)
        assert len(found.raw) == expected["n"]
        assert found.stamp_ns == expected.get("t_last_ns", found.stamp_ns)
        assert found.measurement == expected.get("type", found.measurement)


def test_factors_come_with_the_answer_to_the_start():
    asked = settings(magnetometer=True)
    acc = struct.pack("<BQB", ACC, 10**9, 0x80) + struct.pack("<hhh", 1000, -2000, 4096)
    for payload in (acc, bytes([GYR, *acc[1:]]), MAG_FACTOR_DELTA):
        with pytest.raises(DecodeError, match="factor"):
            DRIVER.decoder(asked).push(payload, 1)
    made = started(asked, acc=2.44e-4, gyr=None)
    (block,) = made.push(acc, 1)
    np.testing.assert_allclose(block.acc / GRAVITY, [np.array([1000, -2000, 4096]) * 2.44e-4], rtol=1e-6)
    made = started(asked, acc=None, gyr=0.07)
    (block,) = made.push(bytes([GYR, *acc[1:]]), 1)
    np.testing.assert_allclose(block.gyr / DEGREE, [np.array([1000, -2000, 4096]) * 0.07], rtol=1e-6)
    made = started(asked, acc=None, gyr=None, mag=0.0015)
    (block,) = made.push(MAG_FACTOR_DELTA, 1)
    np.testing.assert_allclose(block.mag, np.array([[-6430, 5626, 2633], [-6431, 5627, 2635]]) * 0.15, rtol=1e-6)


def test_what_no_sensor_measures_is_refused():
    made = started(settings(), acc=1e30)
    with pytest.raises(DecodeError, match="must stay below"):
        made.push(struct.pack("<BQBhhh", ACC, 10**9, 0x80, 1000, 0, 0), 1)
    sums = struct.pack("<hhh", 0, 0, 0) + bytes([32, 1]) + struct.pack("<iii", 2**31 - 1, 0, 0)
    with pytest.raises(DecodeError, match="must stay below"):
        DRIVER.decoder(settings(model="h10")).push(struct.pack("<BQB", ACC, 10**9, 0x81) + sums, 1)


def test_frames_in_units_of_their_own_take_no_factor():
    made = started(settings(model="h10"), acc=2.44e-4)
    (block,) = made.push(ACC_DELTA, 1)
    np.testing.assert_allclose(block.acc / GRAVITY * 1000, [(-15, 20, 1008), (-20, 17, 1008)])
    made = started(settings(), acc=None, gyr=0.07)
    (block,) = made.push(GYR_DELTA, 1)
    np.testing.assert_allclose(block.gyr / DEGREE, [(1, 10, 20), (10, 20, 1.100000023841858)])
    made = started(settings(magnetometer=True), acc=None, gyr=None, mag=2.0)
    (block,) = made.push(MAG_DELTA, 1)
    np.testing.assert_allclose(block.mag, np.array([[-201, -687, -2452], [-201, -688, -2449]]) / 10)


@pytest.mark.parametrize(("kind", "width", "value"), [(0, 1, -100), (1, 2, -1000), (2, 3, -100_000)])
def test_plain_acceleration_of_each_width(kind, width, value):
    content = b"".join(number.to_bytes(width, "little", signed=True) for number in (value, 0, 7) * 3)
    found = frame_of(struct.pack("<BQB", ACC, 5, kind) + content)
    assert found.raw.tolist() == [[value, 0, 7]] * 3
    assert found.values(1.0)[0].tolist() == [value * 1e-3, 0.0, 0.007]


def packed(numbers, bits):
    """Pack numbers as a frame does, by the arithmetic of whole numbers."""
    total = sum((number % 2**bits) << bits * place for place, number in enumerate(numbers))
    return total.to_bytes((bits * len(numbers) + 7) // 8, "little")


@given(
    reference=st.lists(st.integers(-(2**15), 2**15 - 1), min_size=3, max_size=3),
    blocks=st.lists(st.tuples(st.integers(1, 32), st.integers(1, 20), st.randoms(use_true_random=False)), max_size=5),
)
def test_differences_of_any_width_add_up(reference, blocks):
    content = struct.pack("<hhh", *reference)
    steps = [reference]
    for bits, count, random in blocks:
        numbers = [random.randrange(-(2 ** (bits - 1)), 2 ** (bits - 1)) for _ in range(3 * count)]
        content += bytes([bits, count]) + packed(numbers, bits)
        steps += [numbers[place : place + 3] for place in range(0, len(numbers), 3)]
    payload = struct.pack("<BQB", ACC, 77, 0x81) + content
    if len(payload) > 512:
        with pytest.raises(DecodeError):
            frame_of(payload)
        return
    samples = [[sum(step[axis] for step in steps[: n + 1]) for axis in range(3)] for n in range(len(steps))]
    assert frame_of(payload).raw.tolist() == samples
    for cut in range(len(payload) - 1, len(payload) - 3, -1):
        if blocks and cut > 17:
            with pytest.raises(DecodeError):
                frame_of(payload[:cut])


def test_no_frame_makes_many_of_few_bytes():
    content = struct.pack("<hhh", 0, 0, 0) + bytes([0, 255]) * 240
    tracemalloc.start()
    with pytest.raises(DecodeError, match="255 samples of 0 bits"):
        frame_of(struct.pack("<BQB", ACC, 1, 0x81) + content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1e6
    flat = frame_of(struct.pack("<BQB", ACC, 1, 0x81) + content[:10])
    assert flat.raw.shape == (511, 3)
    assert not flat.raw.any()


@pytest.mark.parametrize("payload", [REAL, ACC_DELTA, GYR_DELTA, MAG_DELTA, frame(ACC, 1, [[1, 2, 3]] * 2)])
def test_frames_of_another_length_are_refused(payload):
    for wrong in (b"", payload[:5], payload[:10], payload[:-1], payload + b"\0", payload + bytes(600)):
        with pytest.raises(DecodeError):
            frame_of(wrong)


@pytest.mark.parametrize("head", ["00", "01", "03", "07", "0c"])
def test_other_measurements_are_refused(head):
    with pytest.raises(DecodeError, match="frame type"):
        frame_of(bytes.fromhex(head) + ACC_DELTA[1:])
    with pytest.raises(DecodeError, match="frame type"):
        frame_of(ACC_DELTA[:9] + b"\x82" + ACC_DELTA[10:])
    with pytest.raises(DecodeError, match="not asked for"):
        DRIVER.decoder(settings(model="h10")).push(GYR_DELTA, 1)


def test_samples_are_spread_between_stamps():
    made = DRIVER.decoder(settings(model="h10"))
    rows = [[0, 0, 1000]] * 10
    first = made.push(frame(ACC, 10**9, rows), 1)
    second = made.push(frame(ACC, 10**9 + 210_000, rows), 1)  # a clock 5 % slower than it should be
    after_a_gap = made.push(frame(ACC, 10**9 + 2_210_000, rows), 1)
    np.testing.assert_allclose(column(first, "ticks"), 10**9 - np.arange(9, -1, -1) * 20_000)
    np.testing.assert_allclose(column(second, "ticks"), 10**9 + np.arange(1, 11) * 21_000)
    np.testing.assert_allclose(column(after_a_gap, "ticks"), 10**9 + 2_210_000 - np.arange(9, -1, -1) * 20_000)
    too_soon = made.push(frame(ACC, 10**9 + 2_250_000, rows), 1)
    np.testing.assert_allclose(np.diff(column(too_soon, "ticks")), 20_000)


def test_what_comes_twice_is_marked_and_a_clock_may_restart():
    made = DRIVER.decoder(settings(model="h10"))
    payload = frame(ACC, 10**12, [[0, 0, 1000]] * 4)
    (block,) = made.push(payload, 1)
    assert block.flags is None
    (again,) = made.push(payload, 1)
    assert again.flags.tolist() == [Quality.DUPLICATE_OR_REORDERED] * 4
    np.testing.assert_array_equal(again.ticks, block.ticks)
    (restarted,) = made.push(frame(ACC, 10**6, [[0, 0, 1000]] * 4), 1)
    assert restarted.flags is None
    assert restarted.ticks[-1] == 10**6


def streams(seconds, rates, offsets, lost=()):
    """Return frames of several streams in the order of their stamps; each sample tells its own time in ms."""
    told = []
    for measurement, rate in rates.items():
        times = offsets[measurement] + np.arange(int(seconds * rate)) / rate
        for number, chunk in enumerate(np.array_split(times, math.ceil(seconds))):
            if (measurement, number) not in lost:
                values = np.repeat(np.round(chunk * 1000)[:, np.newaxis], 3, axis=1)
                told.append((chunk[-1], frame(measurement, 1e9 + chunk[-1] * 1e6, values)))
    return [payload for _, payload in sorted(told)]


def as_type_0(payload):
    return payload[:9] + b"\0" + payload[10:] if payload[0] != ACC else payload


@pytest.mark.parametrize("offset", [0.0, 0.003, 0.009, 0.013, -0.008])
def test_streams_are_joined_by_their_stamps(offset):
    made = started(settings(magnetometer=True), gyr=1.0, mag=1.0)
    sent = streams(8, {ACC: 52, GYR: 52, MAG: 50}, {ACC: 0.1, GYR: 0.1 + offset, MAG: 0.1})
    told = [message for payload in sent for message in made.push(as_type_0(payload), 1)]
    acc, gyr = column(told, "acc")[:, 0] / GRAVITY, column(told, "gyr")[:, 0] / DEGREE / 1000
    mag, ticks = column(told, "mag")[:, 0] / 1e5, column(told, "ticks") / 1e6 - 1000
    whole = ~np.isnan(acc) & ~np.isnan(gyr)
    assert whole.sum() >= 0.97 * 8 * 52 - 60  # what still waits for others at the end is not lost, only not told yet
    assert (np.diff(ticks) > 0).all()
    assert np.abs(acc - gyr)[whole].max() < 0.75 / 52 + 2e-3
    assert np.nanmax(np.abs(mag - ticks)) < 0.75 / 52 + 2e-3
    assert (~np.isnan(mag)).sum() > 0.8 * 8 * 50 - 60
    inner = whole[5:-60]
    assert inner.mean() > 0.98


def test_a_lost_frame_leaves_nan_and_moves_nothing():
    made = started(settings())
    sent = streams(8, {ACC: 52, GYR: 52}, {ACC: 0.1, GYR: 0.104}, lost=[(GYR, 3)])
    told = [message for payload in sent for message in made.push(as_type_0(payload), 1)]
    acc, gyr = column(told, "acc")[:, 0] / GRAVITY, column(told, "gyr")[:, 0] / DEGREE / 1000
    assert np.isnan(gyr).sum() == pytest.approx(52, abs=2)
    assert not np.isnan(acc[:-1]).any()
    assert np.nanmax(np.abs(acc - gyr)) < 0.75 / 52 + 2e-3


def test_no_stream_waits_for_one_that_ended():
    made = started(settings())
    sent = streams(20, {ACC: 52}, {ACC: 0.0})
    told = [message for payload in sent for message in made.push(payload, 1)]
    assert len(column(told, "ticks")) > 15 * 52
    made.push(bytes([0xF0, 3, GYR, 0, 0]))
    (block,) = made.push(frame(ACC, 1e9 + 21e6, [[0, 0, 1000]]), 1)
    assert len(block.ticks) > 100


def test_what_it_takes_and_what_it_refuses():
    for name in ("Polar H10 12345678", "Polar Sense 87654321"):
        assert DRIVER.matches(Advertisement("aa", name))
    assert DRIVER.matches(Advertisement("aa", None, ("fb005c80-02e7-f387-1cad-8acd2d8df0c8",)))
    assert not DRIVER.matches(Advertisement("aa", "Polar Vantage"))
    assert DRIVER.verified is None
    assert DRIVER.identify() is None
    assert DRIVER.min_mtu == 232
    wrong = [{"rate_hz": 104.0}, {"model": "h9"}, {"part": 1}, {"acc_range_g": 4}, {"gyr_range_dps": 500}]
    wrong += [
        {"model": "h10", "sdk_mode": True},
        {"model": "h10", "magnetometer": True},
        {"model": "h10", "rate_hz": 52.0},
    ]
    for asked in wrong:
        with pytest.raises(ConfigError):
            DRIVER.stream(settings(**asked))
    with pytest.raises(DecodeError):
        DRIVER.decoder(settings()).push(b"\x65", 2)
    with pytest.raises(DecodeError):
        DRIVER.decoder(settings()).push(REAL, 3)


SAMPLE_BYTES = {(2, 0): 3, (2, 1): 6, (2, 2): 9, (5, 0): 6, (5, 1): 12, (6, 0): 6, (6, 1): 8}  # acc, gyr, mag by type
REFERENCE_BYTES = SAMPLE_BYTES | {(2, 0): 6}  # compressed type 0 of acceleration is of 16 bits
VALUE_BYTES = {0: 2, 1: 2, 2: 2, 3: 4, 4: 1, 5: 4}  # of each setting


def blocks_end(content, channels):
    """Tell whether [bits][samples][differences] follow each other to the very last byte."""
    while content:
        if len(content) < 2 or not content[1]:
            return False
        taken = 2 + -(-content[0] * content[1] * channels // 8)
        if taken > len(content):
            return False
        content = content[taken:]
    return True


def settings_end(content):
    """Tell whether [setting][how many][values] follow each other to the very last byte."""
    while content:
        taken = 2 + content[1] * VALUE_BYTES.get(content[0], 999) if len(content) > 1 else 999
        if taken > len(content):
            return False
        content = content[taken:]
    return True


def fits(sent):
    """Tell whether a payload has a length that the vendor's page allows it."""
    payload, channel = sent
    if channel == 2:
        return len(payload) == 1
    if channel == 0 and payload[:1] == b"\x0f":
        return len(payload) >= 2
    if channel == 0:  # nothing is read of what follows an error
        return len(payload) >= 4 if payload[3] else len(payload) >= 5 and settings_end(payload[5:])
    kind = payload[0] & 0x3F, payload[9] & 0x7F
    content = payload[10:]
    if channel != 1 or not content or len(payload) > 512:
        return False
    if payload[9] < 0x80:
        return len(content) % SAMPLE_BYTES[kind] == 0
    reference = REFERENCE_BYTES[kind]
    return len(content) >= reference and blocks_end(content[reference:], 4 if kind == (6, 1) else 3)


@pytest.mark.parametrize("magnetometer", [False, True])
def test_damaged_payloads(magnetometer):
    asked = settings(magnetometer=magnetometer)
    told = [(START_OK[part] + struct.pack("<f", 1.0), 0) for part in (START_OK if magnetometer else ("acc", "gyr"))]
    told += [(bytes.fromhex("0f6e020000"), 0), (bytes.fromhex("f0010100000001870001011600040104"), 0), (b"\x32", 2)]
    for stamp in (10**9, 10**9 + 10**7):
        frames = [ACC_DELTA, GYR_DELTA, *([MAG_DELTA] if magnetometer else [])]
        told += [(one[:1] + struct.pack("<Q", stamp * 1000) + one[9:], 1) for one in frames]
    tally = hammer(DRIVER.decoder(asked), told, channels=3, fits=fits, count=COUNT // 2)
    assert tally.rows > 0
    print(tally)
