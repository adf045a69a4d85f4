"""The declarative driver: frames and lines in a stream of bytes, wherever the radio cuts it."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_profiles import (
    CONFIRMED,
    DECODERS,
    FRAMED,
    JSON,
    LINES,
    UPPER,
    block_of,
    decoded,
    driver_of,
    dropped,
    frames,
    near,
    numbers,
)

from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Status

G, DEGREE = 9.80665, math.pi / 180


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
