"""The declarative driver: fields, batches and clocks of packets come out as profiles say them."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_profiles import (
    ACC,
    DECODERS,
    GYR,
    PROFILES,
    STREAM,
    UPPER,
    block_of,
    decoded,
    driver_of,
    near,
    numbers,
    vector,
)

from imuposture import ConfigError, DecodeError
from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Reply, Settings, Status
from imuposture.acquisition.drivers.declarative import load_profile
from imuposture.acquisition.drivers.declarative.quantities import product

G, DEGREE = 9.80665, math.pi / 180


# Fields

KINDS = [f"{kind}{bits}" for kind in "iu" for bits in (8, 16, 24, 32, 40, 48, 56, 64)] + ["f16", "f32", "f64"]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_come_back_as_they_were_written(tmp_path_factory, kind, data):
    bits = int(kind[1:])
    order = data.draw(st.sampled_from(["le", "be"]))
    if kind[0] == "f":
        value = data.draw(st.floats(width=bits, allow_nan=False, allow_infinity=False))
        payload = struct.pack(f"{'<' if order == 'le' else '>'}{ {16: 'e', 32: 'f', 64: 'd'}[bits] }", value)
    else:
        low = -(2 ** (bits - 1)) if kind[0] == "i" else 0
        value = data.draw(st.integers(low, low + 2**bits - 1))
        payload = value.to_bytes(bits // 8, "little" if order == "le" else "big", signed=kind[0] == "i")
    told = typed(tmp_path_factory, kind + order).push(payload, 1)
    assert told == [Status("value", {"value": value})]


def typed(factory, kind):
    if kind not in DECODERS:
        body = f'{STREAM}fields = [{ACC}]\n[[stream]]\nchar = "ff02"\ngives = "status"\nwhat = "value"\n'
        driver = driver_of(factory.mktemp("typed"), body + f'fields = [{{ name = "value", type = "{kind}" }}]\n')
        DECODERS[kind] = driver.decoder(UPPER)
    return DECODERS[kind]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2^-10", 2**-10),
        ("16/32768", 16 / 32768),
        ("-4*9.81/2^15", -4 * 9.81 / 2**15),
        ("0.061", 0.061),
        ("1e-3", 1e-3),
        ("2 ^ -10", 2**-10),
        *(
            (text, None)
            for text in ("", "-", "2^", "2^^3", "1/0", "2^-60", "10^20", "1e99", "--1", "1+1", "nan", "inf")
        ),
        *((text, None) for text in ("__import__('os')", "2**10", "2*", "/2", "9" * 100, "2^999", "0x10", "1_0", "٣")),
    ],
)
def test_products_are_parsed_and_nothing_is_evaluated(text, value):
    assert product(text) == value


def test_scale_offset_unit_and_axes(tmp_path):
    body = f"""{STREAM}fields = [
      {{ name = "acc", type = "i16be", scale = 0.5, offset = 1, unit = "g(9.81)", axes = ["-y", "x", "z"] }},
      {{ name = "gyr", type = "i8", scale = "2^-1", unit = "mrad/s" }},
      {{ name = "mag", type = "u8", unit = "mG", missing = 255 }},
    ]"""
    block = block_of(decoded(driver_of(tmp_path, body), struct.pack(">3h3b3B", 2, 4, -6, 1, -2, 3, 10, 255, 0)))
    near(block.acc, [[-3 * 9.81, 2 * 9.81, -2 * 9.81]])
    near(block.gyr, [[0.0005, -0.001, 0.0015]])
    near(block.mag, [[1.0, math.nan, 0.0]])


@pytest.mark.parametrize(
    ("how", "sent", "expected"),
    [
        ("", (0.5, 0.1, 0.7, 0.5), (0.5, 0.1, 0.7, 0.5)),
        ('order = "xyzw"', (0.1, 0.7, 0.5, 0.5), (0.5, 0.1, 0.7, 0.5)),
        ("conjugate = true", (0.5, 0.1, 0.7, 0.5), (0.5, -0.1, -0.7, -0.5)),
        ('order = "xyz"', (0.0, 0.6, 0.0), (0.8, 0.0, 0.6, 0.0)),
        ('order = "zxy", conjugate = true', (0.6, 0.0, 0.0), (0.8, 0.0, 0.0, -0.6)),
        ("", (0.0, 0.0, 0.0, 0.0), (math.nan,) * 4),
        ("", (1.0, 1.0, 1.0, 1.0), (math.nan,) * 4),
    ],
)
def test_orientations(tmp_path, how, sent, expected):
    quat = f'{{ name = "quat", type = "f64le", {how} }}'.replace(",  }", " }")
    payload = struct.pack(f"<3h{len(sent)}d", 1, 2, 3, *sent)
    near(block_of(decoded(driver_of(tmp_path, f"{STREAM}fields = [{ACC}, {quat}]"), payload)).quat, [expected])


def test_bits_of_a_byte(tmp_path):
    body = f"""{STREAM}fields = [{ACC}]
    [[stream]]
    char = "ff02"
    gives = "battery"
    fields = [
      {{ name = "level", type = "u8", mask = 0x7f }},
      {{ name = "charging", type = "u8", at = 0, mask = 0x80, shift = 7 }},
    ]"""
    driver = driver_of(tmp_path, body)
    assert decoded(driver, (b"\xe4", 1)) == [Status("battery", {"percent": 100.0, "charging": True})]
    assert decoded(driver, (b"\x07", 1)) == [Status("battery", {"percent": 7.0, "charging": False})]


@pytest.mark.parametrize(("level", "percent"), [(420, 100), (396, 100), (395, 90), (350, 10), (349, 5), (339, 0)])
def test_battery_ladders(level, percent):
    reply = b"\x55\x71\x64\x00" + struct.pack("<h", level) + bytes(14)
    driver = load_profile(PROFILES / "witmotion.toml")
    assert decoded(driver, reply) == [Status("battery", {"percent": percent})]


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e30])
def test_what_no_sensor_measures_is_refused(tmp_path, value):
    driver = driver_of(tmp_path, f'{STREAM}fields = [{{ name = "acc", type = "f32le", unit = "g" }}]')
    with pytest.raises(DecodeError, match="which no sensor measures"):
        decoded(driver, struct.pack("<3f", value, 0, 0))
    assert np.isnan(block_of(decoded(driver, struct.pack("<3f", math.nan, 0, 0))).acc[0, 0])


# Lengths, repetition, refusals


@pytest.mark.parametrize("length", [*range(12), *range(13, 30)])
def test_a_wrong_length_is_never_accepted(tmp_path, length):
    with pytest.raises(DecodeError):
        decoded(driver_of(tmp_path, f"{STREAM}fields = [{ACC}, {GYR}]"), bytes(length))


@pytest.mark.parametrize("repeat", ["3", '"n"', '"rest"'])
@pytest.mark.parametrize("layout", ["interleaved", "planar"])
@pytest.mark.parametrize("newest_first", [False, True])
def test_batches(tmp_path, repeat, layout, newest_first):
    body = f"""{STREAM}fields = [{{ name = "n", type = "u8" }}]
    samples = [{ACC}, {GYR}]
    repeat = {repeat}
    layout = "{layout}"
    newest_first = {str(newest_first).lower()}"""
    order = [3, 2, 1] if newest_first else [1, 2, 3]
    acc, gyr = [vector(number) for number in order], [vector(-number) for number in order]
    groups = acc + gyr if layout == "planar" else [half for pair in zip(acc, gyr, strict=True) for half in pair]
    driver = driver_of(tmp_path, body)
    payload = b"\x03" + b"".join(groups)
    block = block_of(decoded(driver, payload))
    assert numbers(block) == [1, 2, 3]
    assert numbers(block, "gyr") == [-1, -2, -3]
    for wrong in (payload[:-1], payload + b"\0", b"\x03", b"\x00"):
        with pytest.raises(DecodeError):
            decoded(driver, wrong)


@pytest.mark.parametrize(("refers_to", "expected"), [("first", [100, 110, 120]), ("last", [80, 90, 100])])
def test_the_stamp_of_a_batch_is_of_its_first_or_last_sample(tmp_path, refers_to, expected):
    body = f"""{STREAM}fields = [{{ name = "t", type = "u16le" }}]
    samples = [{ACC}, {GYR}]
    time = {{ field = "t", unit = "ms", refers_to = "{refers_to}" }}"""
    driver = driver_of(tmp_path, body)
    group = vector(0) + vector(0)
    assert block_of(decoded(driver, struct.pack("<H", 100) + 3 * group)).ticks.tolist() == expected
    wrapped = block_of(decoded(driver, struct.pack("<H", 65530 if refers_to == "first" else 5) + 3 * group)).ticks
    assert wrapped.tolist() == [65530, 4, 14] if refers_to == "first" else [65521, 65531, 5]


def test_every_sample_may_have_its_own_stamp(tmp_path):
    stamp = '{ name = "t", type = "u24be" }'
    body = f'{STREAM}samples = [{stamp}, {ACC}]\ntime = {{ field = "t", tick = "2^-15", wrap = 0x800000 }}'
    driver = driver_of(tmp_path, body)
    payload = b"".join(tick.to_bytes(3, "big") + vector(tick) for tick in (5, 300, 7))
    assert block_of(decoded(driver, payload)).ticks.tolist() == [5, 300, 7]
    assert driver.stream(UPPER).tick_s == 2**-15
    assert driver.stream(UPPER).wrap_ticks == 0x800000


def test_stamps_beyond_what_a_float_can_hold_wrap_exactly(tmp_path):
    body = f'{STREAM}fields = [{{ name = "t", type = "u64le" }}, {ACC}]\ntime = {{ field = "t", unit = "ns" }}'
    driver = driver_of(tmp_path, body)
    stamp = 762028708863099137
    assert block_of(decoded(driver, struct.pack("<Q", stamp) + vector(0))).ticks.tolist() == [stamp % 2**52]
    assert driver.stream(UPPER).wrap_ticks == 2**52


@pytest.mark.parametrize(
    ("kind", "how", "sent", "expected", "tick_s", "wrap"),
    [
        ("u8", "", [254, 255, 0], [254, 255, 0], 0.01, 256),
        ("u16le", "", [65535, 0], [65535, 0], 0.01, 65536),
        ("u32be", "", [2**32 - 1, 0], [2**32 - 1, 0], 0.01, 2**32),
        ("u8", ", modulus = 200", [199, 0], [199, 0], 0.01, 200),
        ("u16le", ", step = 4", [8, 12], [8, 12], 0.0025, 65536),
    ],
)
def test_a_counter_is_a_clock_of_samples(tmp_path, kind, how, sent, expected, tick_s, wrap):
    body = f'{STREAM}fields = [{{ name = "c", type = "{kind}" }}, {ACC}]\ncounter = {{ field = "c"{how} }}'
    driver = driver_of(tmp_path, body)
    width = int(kind[1:].rstrip("leb")) // 8
    order = "big" if kind.endswith("be") else "little"
    block = block_of(decoded(driver, *(number.to_bytes(width, order) + vector(0) for number in sent)))
    assert block.ticks.tolist() == expected
    stream = driver.stream(UPPER)
    assert (stream.clock, stream.tick_s, stream.wrap_ticks) == ("device", tick_s, wrap)


@pytest.mark.parametrize(("refers_to", "expected"), [("first", [250, 253, 1]), ("last", [244, 247, 250])])
def test_a_counter_may_be_of_the_last_sample(tmp_path, refers_to, expected):
    body = f"""{STREAM}fields = [{{ name = "c", type = "u8" }}]
    samples = [{ACC}]
    counter = {{ field = "c", step = 3, modulus = 255, refers_to = "{refers_to}" }}"""
    block = block_of(decoded(driver_of(tmp_path, body), b"\xfa" + 3 * vector(0)))
    assert block.ticks.tolist() == expected


def test_a_counter_of_packets_counts_the_samples_in_them(tmp_path):
    body = f"""{STREAM}fields = [{{ name = "c", type = "u8" }}]
    samples = [{ACC}]
    repeat = 2
    counter = {{ field = "c", counts = "packets" }}"""
    driver = driver_of(tmp_path, body)
    block = block_of(decoded(driver, *(bytes([count]) + 2 * vector(0) for count in (254, 255, 0, 3))))
    assert block.ticks.tolist() == [508, 509, 510, 511, 0, 1, 6, 7]
    assert driver.stream(UPPER).wrap_ticks == 512
    with pytest.raises(ConfigError, match="unknown size"):
        driver_of(tmp_path, body.replace("repeat = 2", 'repeat = "rest"'))


def test_without_clock_and_counter_samples_are_counted(tmp_path):
    driver = driver_of(tmp_path, f"{STREAM}samples = [{ACC}]")
    assert block_of(decoded(driver, 2 * vector(0), vector(0), 3 * vector(0))).ticks.tolist() == [0, 1, 2, 3, 4, 5]
    assert (driver.stream(UPPER).clock, driver.stream(UPPER).tick_s) == ("count", 0.01)


def test_a_counter_beside_a_time_stamp_tells_what_is_missing(tmp_path):
    body = f"""{STREAM}fields = [{{ name = "c", type = "u8" }}, {{ name = "t", type = "u16le" }}]
    samples = [{ACC}]
    time = {{ field = "t", unit = "ms" }}
    counter = {{ field = "c" }}"""
    driver = driver_of(tmp_path, body)
    payloads = [struct.pack("<BH", count, 10 * count) + 2 * vector(0) for count in (250, 252, 2, 2)]
    told = [message for message in decoded(driver, *payloads) if isinstance(message, Status)]
    assert told == [Status("missing_samples", {"samples": 4})]
    assert len(block_of(decoded(driver, *payloads)).ticks) == 8  # what came twice is left to those who count by ticks


@settings(max_examples=25, deadline=None)
@given(lost=st.sets(st.integers(0, 299)), start=st.integers(0, 255))
def test_what_is_sent_again_is_dropped_by_its_counter(tmp_path_factory, lost, start):
    """Each packet holds the sample before too: a single loss costs nothing, and nothing comes twice."""
    if "again" not in DECODERS:
        body = f"""{STREAM}fields = [{{ name = "c", type = "u8" }}]
        samples = [{ACC}]
        repeat = 2
        newest_first = true
        keep = "new"
        counter = {{ field = "c", refers_to = "last" }}"""
        DECODERS["again"] = driver_of(tmp_path_factory.mktemp("again"), body)
    came = [number for number in range(300) if number not in lost]
    gaps = np.diff(came) if came else []
    if not came or max(gaps, default=1) > 120:  # a counter of 8 bits tells no more
        return
    payloads = [bytes([(start + number) % 256]) + vector(number) + vector(number - 1) for number in came]
    wanted = sorted(set(came) | {number - 1 for number in came})
    assert numbers(block_of(decoded(DECODERS["again"], *payloads))) == wanted


def test_a_mode_that_changes_the_layout_is_refused(tmp_path):
    body = f"""{STREAM}fields = [{{ name = "mode", type = "u8" }}, {ACC}]
    require = [{{ field = "mode", is = [1, 3], why = "other modes send displacements" }}]"""
    driver = driver_of(tmp_path, body)
    assert len(decoded(driver, b"\x03" + vector(0))) == 1
    with pytest.raises(DecodeError, match="mode is 2; other modes send displacements"):
        decoded(driver, b"\x02" + vector(0))


def test_packets_are_told_apart_by_their_tags(tmp_path):
    body = f"""[[stream]]
    char = "ff01"
    [[stream.packet]]
    tag = {{ at = 1, bytes = "04" }}
    fields = [{{ skip = 2 }}, {ACC}, {GYR}]
    [[stream.packet]]
    tag = "03"
    gives = "reply"
    what = "answer"
    fields = [{{ skip = 1 }}, {{ name = "code", type = "u8" }}]
    [[stream.packet]]
    tag = "07"
    gives = "nothing"
    """
    driver = driver_of(tmp_path, body)
    assert isinstance(decoded(driver, b"\x03\x04" + vector(1) + vector(2))[0], ImuBlock)
    assert decoded(driver, b"\x03\x09") == [Reply("answer", {"code": 9})]
    assert decoded(driver, b"\x07anything") == []
    with pytest.raises(DecodeError, match="no packet of the profile"):
        decoded(driver, b"\x08\x01")


def test_several_imus_on_one_peripheral(tmp_path):
    packets = "".join(
        f'[[stream.packet]]\ntag = "0{part}"\npart = {part}\nfields = [{{ skip = 1 }}, {ACC}]\n' for part in (0, 1)
    )
    driver = driver_of(tmp_path, f'[[stream]]\nchar = "ff01"\n{packets}')
    payloads = [bytes([part]) + vector(10 * part + number) for number in (1, 2) for part in (0, 1)]
    for part, expected in ((0, [1, 2]), (1, [11, 12])):
        decoder = driver.decoder(Settings("lower", part=part))
        assert numbers(block_of([m for payload in payloads for m in decoder.push(payload)])) == expected
    with pytest.raises(ConfigError, match="parts are 0 to 1"):
        driver.decoder(Settings("lower", part=2))
