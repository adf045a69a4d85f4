"""The declarative driver: what profiles can say, and that it comes out as they say it."""

import itertools
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_profiles import (
    ACC,
    APART,
    CONFIRMED,
    FRAMED,
    GYR,
    HEAD,
    JSON,
    LINES,
    PROFILES,
    STAMPED,
    STREAM,
    UPPER,
    block_of,
    decoded,
    driver_of,
    dropped,
    frames,
    stamped,
    vector,
)

from imuposture import ConfigError, DecodeError
from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Await, Reply, Settings, Status, Subscribe, Unsubscribe, Wait, Write
from imuposture.acquisition.drivers.declarative import load_profile
from imuposture.acquisition.drivers.declarative.quantities import product

G, DEGREE = 9.80665, math.pi / 180


def near(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def numbers(block, name="acc"):
    """Return the first axis, None where it is missing."""
    return [None if math.isnan(value) else round(value) for value in getattr(block, name)[:, 0]]


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


DECODERS = {}


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


# Framing


def cuts(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if end > start]


JUNK = st.binary(max_size=30).map(lambda data: data.replace(b"\x55", b"\x56"))


@settings(max_examples=40, deadline=None)
@given(junk=st.lists(JUNK, min_size=6, max_size=6), places=st.lists(st.integers(0, 500), max_size=20))
@pytest.mark.parametrize("body", [FRAMED, CONFIRMED], ids=["at once", "confirmed"])
def test_frames_are_found_wherever_the_radio_cuts(tmp_path_factory, body, junk, places):
    if body not in DECODERS:
        DECODERS[body] = driver_of(tmp_path_factory.mktemp("framed"), body)
    whole = frames(6)
    followed = [bytes(part) if body == FRAMED else b"" for part in junk]  # what is confirmed is followed by its like
    stream = junk[0] + b"".join(map(bytes.__add__, whole, [*followed[1:], b""])) + whole[0]
    told = decoded(DECODERS[body], *cuts(stream, places))
    last = [0] if body == FRAMED else []
    assert numbers(block_of(told)) == [*range(6), *last]
    assert dropped(told) == len(junk[0]) + sum(map(len, followed[1:]))


def test_a_frame_that_was_cut_short_is_not_filled_with_the_next(tmp_path):
    """Nothing but the next frame's tag can tell; so this is what confirm is for."""
    stream = b"".join(frames(3)) + frames(1, 3)[0][:9] + b"".join(frames(4, 4))
    told = decoded(driver_of(tmp_path, CONFIRMED), *cuts(stream, [7, 20, 51, 60]))
    assert numbers(block_of(told)) == [0, 1, 2, 4, 5, 6]
    assert dropped(told) == 9


def test_a_frame_whose_values_are_refused_is_dropped_as_a_whole(tmp_path):
    body = FRAMED.replace("{ skip = 2 }", '{ name = "head", type = "u16le" }, { name = "mode", type = "u8" }')
    driver = driver_of(tmp_path, body + 'require = [{ field = "mode", is = 1 }]\n')
    stream = b"".join(frame[:2] + bytes([mode]) + frame[2:] for mode, frame in zip((1, 2, 1), frames(3), strict=True))
    told = decoded(driver, *cuts(stream, [20]))
    assert numbers(block_of(told)) == [0, 2]
    assert dropped(told) == 15


@settings(max_examples=40, deadline=None)
@given(places=st.lists(st.integers(0, 500), max_size=20), spoilt=st.sets(st.integers(0, 7)))
@pytest.mark.parametrize("name", ["sum8", "sum8_negated", "xor8", "crc32le"])
def test_a_checksum_finds_every_spoilt_frame(tmp_path_factory, name, places, spoilt):
    if name not in DECODERS:
        body = FRAMED + f'checksum = "{name}"\n'
        DECODERS[name] = driver_of(tmp_path_factory.mktemp("checked"), body)
    stream = b""
    for number, frame in enumerate(frames(8)):
        whole = bytearray(frame + CHECKS[name](frame))
        whole[5] ^= 0x10 * (number in spoilt)
        stream += whole
    told = decoded(DECODERS[name], *cuts(stream, places))
    rows = numbers(block_of(told)) if any(isinstance(message, ImuBlock) for message in told) else []
    assert rows == [number for number in range(8) if number not in spoilt]
    assert dropped(told) == len(spoilt) * len(whole)


def crc32(data):
    """Reckon bit by bit, as the standard draws it."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return (value ^ 0xFFFFFFFF).to_bytes(4, "little")


def xor8(data):
    value = 0
    for byte in data:
        value ^= byte
    return bytes([value])


CHECKS = {
    "sum8": lambda data: bytes([sum(data) % 256]),
    "sum8_negated": lambda data: bytes([-sum(data) % 256]),
    "xor8": xor8,
    "crc32le": crc32,
}


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.lists(st.integers(-8000, 8000), min_size=7, max_size=7), min_size=1, max_size=8),
    places=st.lists(st.integers(0, 500), max_size=20),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_lines_come_back_wherever_the_radio_cuts(tmp_path_factory, values, places, end):
    if LINES not in DECODERS:
        DECODERS[LINES] = driver_of(tmp_path_factory.mktemp("lines"), LINES)
    text = "23,4" + end + "".join(", ".join(f"{value / 1000}" for value in row) + end for row in values)
    told = decoded(DECODERS[LINES], *cuts(text.encode(), places))
    block, sent = block_of(told), np.array(values) / 1000
    near(block.acc, sent[:, :3] * G)
    near(block.gyr, sent[:, 4:] * 0.5 * DEGREE)
    assert dropped(told) == len("23,4" + end)  # nobody can tell whether the first line is whole


PIECES = [
    *(b"\x55", b"\x61", b"\x55\x61", b"\x55\x61" + bytes(12), b"\x55\x61" + b"\x55" * 12, b"\n", b"\r\n", b"7" * 90),
    *(
        b"1,2,3,4,5,6,7",
        b"1,2,3,4,5,6,7\n",
        b"0.5,",
        b"-",
        b'{"a": [1, 2, 3], "gyr": [0, 0, 0], "t": 1}\n',
        b"{",
        b"}\n",
    ),
]


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=14), places=st.lists(st.integers(0, 999), max_size=30)
)
@pytest.mark.parametrize("body", [FRAMED, CONFIRMED, LINES, JSON], ids=["frames", "confirmed", "lines", "json"])
def test_whatever_comes_it_does_not_matter_where_it_is_cut(tmp_path_factory, body, pieces, places):
    if body not in DECODERS:
        DECODERS[body] = driver_of(tmp_path_factory.mktemp("cut"), body)
    stream = b"".join(pieces)[:512]
    whole, parts = decoded(DECODERS[body], stream), decoded(DECODERS[body], *cuts(stream, places))
    assert dropped(whole) == dropped(parts)
    rows = [[message for message in told if isinstance(message, ImuBlock)] for told in (whole, parts)]
    assert bool(rows[0]) == bool(rows[1])
    if rows[0]:
        for name in ("ticks", "acc", "gyr"):
            np.testing.assert_array_equal(getattr(block_of(whole), name), getattr(block_of(parts), name))


@pytest.mark.parametrize(
    "bad",
    [
        *(
            "1,2,3,4,5,6",
            "1,2,3,4,5,6,7,8",
            "1,2,3,4,5,6,nan",
            "1,2,3,4,5,6,inf",
            "1,2,3,4,5,6,1e99",
            "1,2,3,4,5,6,0x7",
        ),
        *("1,2,3,4,5,6,", "1,2,3,4,5,6,7;", "1,2,3,4,5,6,1_0", "1,2,3,4,5,6,٣", "x" * 257, "1e999,2,3,4,5,6,7", "-"),
    ],
)
def test_a_line_that_is_none_is_counted_and_the_next_one_taken(tmp_path, bad):
    driver = driver_of(tmp_path, LINES)
    good = b"0.5,0,0,9,2,0,0\n"
    told = decoded(driver, b"\n", good, bad.encode() + b"\n", good)
    near(block_of(told).acc[:, 0], [0.5 * G, 0.5 * G])
    assert dropped(told) == 1 + len(bad.encode()) + 1


def test_text_without_end_is_dropped_in_bounded_memory(tmp_path):
    driver = driver_of(tmp_path, LINES)
    decoder = driver.decoder(UPPER)
    told = [message for _ in range(100) for message in decoder.push(b"7" * 200)]
    told += decoder.push(b"\n1,0,0,0,0,0,0\n")
    near(block_of(told).acc, [[G, 0, 0]])
    assert dropped(told) == 100 * 200 + 1


def test_lines_of_several_kinds(tmp_path):
    body = """[[stream]]
    char = "ff01"
    framing = { kind = "lines", separator = ";" }
    [[stream.packet]]
    tag = "A"
    fields = [{ name = "acc", unit = "m/s2" }]
    [[stream.packet]]
    tag = "B"
    gives = "battery"
    fields = [{ name = "level" }]
    """
    told = decoded(driver_of(tmp_path, body), b"\nA;1;2;3\nB;55\nC;1\n")
    near(block_of(told).acc, [[1, 2, 3]])
    assert Status("battery", {"percent": 55.0}) in told
    assert dropped(told) == 1 + len("C;1\n")


def test_lines_of_json(tmp_path):
    driver = driver_of(tmp_path, JSON)
    good = {"a": [1, 2.5, 3], "gyr": [0, 0, -1e-3], "t": 12.25, "more": "text"}
    bad = [
        *('{"a": [1, 2], "gyr": [0, 0, 0], "t": 1}', '{"a": [1, 2, true], "gyr": [0, 0, 0], "t": 1}', "[1]", "{"),
        *('{"a": [1, 2, 3], "gyr": [0, 0, 0]}', '{"a": [1, 2, NaN], "gyr": [0, 0, 0], "t": 1}', "[" * 250, "null"),
        *('{"a": [1, 2, 1e999], "gyr": [0, 0, 0], "t": 1}', '{"t": 1, "a": [1, 2, 3], "gyr": [0, 0, 0], "t": 2}'),
    ]
    lines = ["", json.dumps(good), *bad, json.dumps(good)]
    text = "".join(line + "\n" for line in lines).encode()
    told = decoded(driver, *cuts(text, range(0, len(text), 100)))
    block = block_of(told)
    near(block.acc, [[1, 2.5, 3]] * 2)
    assert block.ticks.tolist() == [12.25, 12.25]
    assert dropped(told) == 1 + sum(len(line) + 1 for line in bad)


# Accelerations and angular rates that come apart


def arrived(*letters):
    """Return payloads from words as a1 or g1: acc or gyr number 1."""
    channels = {"a": 0, "g": 1, "m": 2}
    return [(vector(int(word[1:])), channels[word[0]]) for word in letters]


@pytest.mark.parametrize(
    ("came", "acc", "gyr"),
    [
        ("a1 g1 a2 g2", [1, 2], [1, 2]),
        ("a1 g1 a2 a3 g3", [1, 2, 3], [1, None, 3]),
        ("a1 g1 g2 a3 g3", [1, None, 3], [1, 2, 3]),
        ("g1 a2 g2", [None, 2], [1, 2]),
        ("a1 a2 a3 g3", [1, 2, 3], [None, None, 3]),
        ("g1 g2 a3 g3", [None, None, 3], [1, 2, 3]),
    ],
)
def test_halves_are_joined_in_the_order_of_arrival(tmp_path, came, acc, gyr):
    block = block_of(decoded(driver_of(tmp_path, APART), *arrived(*came.split())))
    assert numbers(block) == acc
    assert numbers(block, "gyr") == gyr
    assert block.ticks.tolist() == list(range(len(acc)))


BATCHES = [((1, 2), 0), ((1, 2), 1), ((3, 4), 0), ((5, 6), 0), ((5, 6, 7), 1)]


def test_batches_that_come_apart_are_joined_one_by_one(tmp_path):
    body = APART.replace("fields", "samples")
    payloads = [(b"".join(map(vector, batch)), channel) for batch, channel in BATCHES]
    block = block_of(decoded(driver_of(tmp_path, body), *payloads))
    assert numbers(block) == [1, 2, 3, 4, 5, 6, None]
    assert numbers(block, "gyr") == [1, 2, None, None, 5, 6, 7]


def test_a_field_that_comes_now_and_then_goes_with_the_next_row(tmp_path):
    mag = '[[stream]]\nchar = "ff03"\nfields = [{ name = "mag", type = "i16le", unit = "uT" }]\n'
    driver = driver_of(tmp_path, APART + mag)
    block = block_of(decoded(driver, *arrived(*["a1", "g1", "m7", "a2", "g2", "a3", "m8", "g3", "a4", "g4"])))
    assert numbers(block, "mag") == [None, 7, 8, None]
    without = driver.decoder(Settings("upper"))
    assert without.push(vector(1)) == []
    assert without.push(vector(1), 1)[0].mag is None
    steps = list(driver.start(Settings("upper")))
    assert steps == [Subscribe(0), Subscribe(1)]  # nobody asked for a magnetometer


@settings(max_examples=25, deadline=None)
@given(lost=st.sets(st.tuples(st.integers(0, 79), st.integers(0, 1))), late=st.integers(-2, 2), lag=st.integers(0, 5))
def test_halves_are_joined_by_their_stamps(tmp_path_factory, lost, late, lag):
    """Whatever is lost, and however far one characteristic lags behind, each half is in one row, with its own half."""
    if STAMPED not in DECODERS:
        DECODERS[STAMPED] = driver_of(tmp_path_factory.mktemp("stamped"), STAMPED)
    due = [(number, 0, (number, 0)) for number in range(80)]
    due += [(number + lag, 1, (number, 1)) for number in range(80)]
    sent = [half for *_, half in sorted(due) if half not in lost]
    sent += [(number, channel) for number in (80, 81) for channel in (0, 1)]  # so that nothing waits any more
    block = block_of(decoded(DECODERS[STAMPED], *(stamped(*half, late * half[1]) for half in sent)))
    pairs = list(zip(numbers(block), numbers(block, "gyr"), strict=True))
    wanted = [[None if (number, channel) in lost else number for channel in (0, 1)] for number in range(82)]
    assert pairs == [tuple(pair) for pair in wanted if pair != [None, None]]


def test_halves_too_far_apart_stay_alone(tmp_path):
    driver = driver_of(tmp_path, STAMPED + '[pairing]\nby = "time"\nmax_skew_ms = 1\n')
    payloads = [stamped(number, channel, 2 * channel) for number in range(4) for channel in (0, 1)]
    block = block_of(decoded(driver, *payloads))
    assert numbers(block) == [0, None, 1, None, 2, None, 3]
    assert numbers(block, "gyr") == [None, 0, None, 1, None, 2, None]
    assert (np.diff(block.ticks) > 0).all()


def test_what_no_longer_comes_is_waited_for_in_bounded_memory(tmp_path):
    decoder = driver_of(tmp_path, STAMPED).decoder(UPPER)
    told = [message for number in range(1000) for message in decoder.push(*stamped(number, 0))]
    assert len(block_of(told).ticks) >= 1000 - 65
    assert numbers(block_of(told))[:3] == [0, 1, 2]


def test_one_stamp_gone_wrong_spoils_its_own_row_only(tmp_path):
    wrong = struct.pack("<H", 30000) + vector(3)
    payloads = [stamped(n, c) if (n, c) != (3, 0) else (wrong, 0) for n in range(8) for c in (0, 1)]
    block = block_of(decoded(driver_of(tmp_path, STAMPED), *payloads))
    pairs = list(zip(numbers(block), numbers(block, "gyr"), strict=True))
    assert [pair for pair in pairs if None not in pair and pair[0] != pair[1]] == []
    assert {(n, n) for n in (0, 1, 2, 5, 6, 7)} <= set(pairs)


# Commands

COMMANDS = """
[params.rate_hz]
default = 100
choices = [12.5, 50, 100]
[params.range_g]
default = 4
choices = [2, 4]
[[init]]
delay_ms = 20
[[start]]
char = "ff03"
write = ["ff aa", { type = "u16be", value = { param = "rate_hz", lookup = { "12.5" = 1, 50 = 2, 100 = 0x1ff } } }]
checksum = "xor8"
response = false
await = "ok"
timeout_s = 0.5
[[stop]]
char = "ff03"
write = [{ type = "f32le", value = { param = "rate_hz", numerator = 1000 } }]
[[identify]]
char = "ff03"
text = "blink"
"""
REPLY = '[[stream]]\nchar = "ff02"\ngives = "reply"\nwhat = "ok"\nfields = [{ name = "code", type = "u8" }]\n'
CHOSEN = HEAD.replace("rate_hz = 100\n", "") + COMMANDS


def test_commands(tmp_path):
    driver = driver_of(tmp_path, f"{STREAM}fields = [{ACC}]\n{REPLY}", CHOSEN)
    uuid = "0000ff03-0000-1000-8000-00805f9b34fb"
    expected = [
        Wait(0.02),
        Subscribe(0),
        Subscribe(1),
        Write(uuid, bytes.fromhex("ffaa01ffab"), False),
        Await("ok", 0.5),
    ]
    assert list(driver.start(UPPER)) == expected
    slow = Settings("upper", rate_hz=12.5)
    assert list(driver.stop(slow)) == [Write(uuid, struct.pack("<f", 80.0)), Unsubscribe(0), Unsubscribe(1)]
    assert list(driver.identify()) == [Write(uuid, b"blink")]
    assert driver.rates_hz == (12.5, 50, 100)


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Settings("upper", rate_hz=60), "rate_hz must be one of 12.5, 50, 100, got 60"),
        (Settings("upper", options={"range": 2}), "option range does not exist; known are range_g"),
        (Settings("upper", options={"range_g": 3}), "range_g must be one of 2, 4, got 3"),
        (Settings("upper", options={"range_g": "2"}), "range_g must be one of 2, 4, got 2"),
        (Settings("upper", part=1), "part 1 does not exist"),
    ],
)
def test_what_the_sensor_cannot_do_is_refused(tmp_path, wanted, problem):
    driver = driver_of(tmp_path, f"{STREAM}fields = [{ACC}]\n{REPLY}", CHOSEN)
    for ask in (driver.stream, driver.decoder, lambda given: list(driver.start(given))):
        with pytest.raises(ConfigError, match=problem):
            ask(wanted)


def test_a_number_is_not_rounded_to_fit_a_command(tmp_path):
    body = f"""{STREAM}fields = [{ACC}]
    [[start]]
    char = "ff03"
    write = [{{ type = "u16le", value = {{ param = "rate_hz", numerator = 1000 }} }}]"""
    head = HEAD.replace("rate_hz = 100\n", "[params.rate_hz]\ndefault = 50\nrange = [10, 100]\n")
    driver = driver_of(tmp_path, body, head)
    assert list(driver.start(Settings("upper", rate_hz=40)))[1].data == b"\x19\x00"
    assert driver.rates_hz == (10, 20, 25, 50, 100)
    with pytest.raises(ConfigError, match=r"write\[0\]: 16.6667 is no whole number"):
        list(driver.start(Settings("upper", rate_hz=60)))
    with pytest.raises(ConfigError, match="is no whole number"):
        driver_of(tmp_path, body, head.replace("range = [10, 100]", "choices = [50, 60]"))


def test_a_scale_may_follow_a_parameter(tmp_path):
    acc = '{ name = "acc", type = "i16le", unit = "g", scale = { param = "range_g", factor = "2^-15" } }'
    driver = driver_of(tmp_path, f"{STREAM}fields = [{acc}]\n{REPLY}", CHOSEN)
    for range_g in (2, 4):
        decoder = driver.decoder(Settings("upper", options={"range_g": range_g}))
        near(block_of(decoder.push(vector(16384))).acc, [[range_g / 2 * G, 0, 0]])
