"""The declarative driver: halves that come apart are joined, and commands are what was asked for."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_profiles import (
    ACC,
    APART,
    DECODERS,
    HEAD,
    STAMPED,
    STREAM,
    UPPER,
    block_of,
    decoded,
    driver_of,
    near,
    numbers,
    stamped,
    vector,
)

from imuposture import ConfigError
from imuposture.acquisition.drivers import Await, Settings, Subscribe, Unsubscribe, Wait, Write

G, DEGREE = 9.80665, math.pi / 180


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
