"""Profiles from anywhere: whatever is in one, it loads or is refused with file, key and remedy; and so are payloads."""

import os
import random
import re
import struct
import time
from functools import reduce
from operator import xor

import numpy as np
import pytest
from driver_fuzz import hammer, pushed, rows_of
from written_profiles import (
    ACC,
    APART,
    CONFIRMED,
    HEAD,
    JSON,
    LINES,
    PROFILES,
    STAMPED,
    STREAM,
    UPPER,
    driver_of,
    frames,
    stamped,
    vector,
)

from imuposture import ConfigError
from imuposture.acquisition.drivers import Advertisement, Settings
from imuposture.acquisition.drivers.declarative import describe_profile, load_profile
from imuposture.acquisition.drivers.registry import PROFILES as SHIPPED
from imuposture.acquisition.drivers.registry import driver_named

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))
TEXTS = [
    path.read_text(encoding="utf-8") for path in (*sorted(SHIPPED.glob("*.toml")), *sorted(PROFILES.glob("*.toml")))
]
GOOD = f"{STREAM}fields = [{ACC}]\n"


def field(more):
    return f'{STREAM}fields = [{{ name = "acc", type = "i16le", unit = "g", {more} }}]'


WRONG = [
    ("", "stream: is missing"),
    ('[[stream]]\nfields = [{ name = "acc", type = "i16le", unit = "g" }]', r"stream\[0\].char: is missing"),
    (GOOD + "sped = 3", r"stream\[0\].sped: is not a key that is known here; known are char, framing"),
    (GOOD + "[strem]", "strem: is not a key"),
    (GOOD.replace("ff01", "ff0"), r"stream\[0\].char: must be a UUID"),
    (GOOD + GOOD, "stands there twice"),
    (f"{STREAM}", "hold no acc, gyr, mag or quat"),
    (f'{STREAM}fields = [{{ name = "x", type = "u8" }}]', "hold no acc, gyr, mag or quat"),
    (f'{STREAM}fields = [{{ name = "mag", type = "i16le", unit = "uT" }}]', "part 0 has no packet with acc or gyr"),
    (f"{STREAM}fields = [{ACC}, {ACC}]", "two fields are called acc"),
    (f'{STREAM}fields = [{{ name = "acc", type = "i16le" }}]', r"fields\[0\].unit: is missing; give one of m/s2, g"),
    (f'{STREAM}fields = [{{ name = "acc", type = "i16", unit = "g" }}]', 'type: must be as "u8", "i16le"'),
    (f'{STREAM}fields = [{{ name = "acc", type = "f8le", unit = "g" }}]', "type: must be as"),
    (f'{STREAM}fields = [{{ name = "Acc", type = "u8" }}]', "name: must be of small letters"),
    (f"{STREAM}fields = [{{ skip = 600 }}, {ACC}]", "skip: must be a whole number from 1 to 512, got int 600"),
    (field("count = 2"), "acc has 3 numbers, not 2"),
    (field('scale = "2^2^2"'), "scale: must be a number, a product"),
    (field("scale = nan"), "scale: must be a number"),
    (field("scale = true"), "scale: must be a number"),
    (field('scale = { param = "range_g" }'), "there are no parameters"),
    (field('axes = ["x", "x", "z"]'), "axes: must be three of x, y, z"),
    (field('order = "wxyz"'), "order: means nothing for acc"),
    (field("mask = 3"), "bits are taken of whole numbers without sign only"),
    (GOOD + "length = 5", "take 6 bytes, but a payload may have only 5"),
    (GOOD + "length = [9, 7]", "length: must be 1 to 512 bytes"),
    (GOOD + "repeat = 2", "needs samples"),
    (f"{STREAM}samples = [{ACC}]\nrepeat = 300", "repeat: must be a whole number from 1 to 256"),
    (f"{STREAM}samples = [{ACC}]\nrepeat = 100", "take 600 bytes, but a payload may have only 512"),
    (f'{STREAM}samples = [{ACC}]\nrepeat = "n"', "repeat: must be one of rest"),
    (GOOD + 'time = { field = "t", unit = "ms" }', "there is no field of one number"),
    (GOOD + 'keep = "new"', '"new" tells old samples by a counter'),
    (GOOD + 'framing = "fixed"', "frames are found by a tag at their beginning"),
    (GOOD + 'framing = { kind = "fixed", separator = ";" }', "framing.separator: means nothing for fixed"),
    (GOOD + 'framing = "serial"', "framing: must be one of notification, fixed, lines"),
    (GOOD + 'checksum = "md5"', "checksum: must be one of sum8"),
    (GOOD + "[match]", "match: says nothing"),
    (GOOD + '[match]\nname = ".*"', "would take every sensor"),
    (GOOD + '[match]\nname = "(a+)+$"', "without groups"),
    (GOOD + '[match]\nname = "[a"', "is no pattern"),
    (GOOD + '[match]\nname = "a*b*c*d"', "at most two of"),
    (GOOD + '[match]\nname = "a?a?a?a?aaaa"', "three of"),
    (GOOD + '[match]\nname = "[[a]"', "is no pattern"),
    (GOOD + "[match]\ncompany = 70000", "company: must be a whole number from 0 to 65535"),
    (GOOD + "[params.rate_hz]\ndefault = 5\nrange = [1, 9]", "rate_hz: give it here if the sensor has one rate"),
    (GOOD + "[params.gain]\ndefault = 3\nchoices = [1, 2]", "params.gain.default: is 3, but must be one of 1, 2"),
    (GOOD + "[params.gain]\ndefault = 3", "needs choices"),
    (GOOD + '[[start]]\nwrite = "01"', "char: and write"),
    (GOOD + '[[start]]\nchar = "ff02"\nwrite = "0"', "must be 1 to 512 bytes in hexadecimal"),
    (GOOD + '[[start]]\nchar = "ff02"\nwrite = [{ type = "u8", value = 256 }]', "256 does not fit u8"),
    (GOOD + '[[start]]\nawait = "ok"', "ok is awaited, but no packet gives"),
    (GOOD + "[[start]]\ndelay_ms = 1e9", "delay_ms: must be a whole number from 0 to 20000"),
    (GOOD + "[[start]]", r"start\[0\]: does nothing"),
    (GOOD + '[pairing]\nby = "luck"', "by: must be one of time, arrival"),
    (APART + '[pairing]\nby = "time"', "needs time or counter in each packet"),
    (STAMPED.replace('"ms"', '"us"', 1), "must have the same kind of time"),
    (
        APART + f'[[stream]]\nchar = "ff03"\nfields = [{ACC}, {ACC.replace("acc", "gyr").replace("m/s2", "rad/s")}]',
        "alike",
    ),
    (GOOD + f"x = {'[' * 2000}{']' * 2000}", "nested too deeply|not a key"),
    (GOOD + "x = 0x" + "f" * 5000, "is not a key"),
    (GOOD + "length = 0x" + "f" * 5000, "length: must be 1 to 512 bytes"),
    (GOOD + "#" * 70000, "longer than 65536 bytes"),
    (GOOD + "[stream", "not valid TOML"),
]


@pytest.mark.parametrize(("body", "problem"), WRONG, ids=[problem[:40] for _, problem in WRONG])
def test_a_wrong_profile_is_refused_with_file_key_and_remedy(tmp_path, body, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        driver_of(tmp_path, body)
    assert "written.toml: " in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("data", [b"\xff\xfe", b"", b"\0", b"[profile", b"profile = 1"])
def test_what_is_no_profile_at_all(tmp_path, data):
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"x\.toml"):
        load_profile(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_profile(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        describe_profile(tmp_path / "absent.toml")


VALUES = ["0", "-1", "1e400", "nan", "inf", "true", '""', '"x"', "[]", "{}", "99999999999999999999", "0.0", '"2^-10"']
VALUES += [
    "[1, 2]",
    '"00 ff"',
    "-0.0",
    '"é\\u202e"',
    "1979-05-27",
    '["x"]',
    "{ param = 'rate_hz' }",
    '"rest"',
    '"(a*)*"',
]


def mutated(rng):
    """Yield a profile with one to three faults: values, lines, letters and tables changed, gone, or twice."""
    text = rng.choice(TEXTS)
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind == 0:
            key, equals, _ = lines[at].partition("= ")
            lines[at] = key + equals + rng.choice(VALUES) * bool(equals)
        elif kind == 1:
            found = list(re.finditer(r"= ([^,{}\[\]]+)", text))
            one = rng.choice(found)
            lines = (text[: one.start(1)] + rng.choice(VALUES) + text[one.end(1) :]).split("\n")
        elif kind == 2:
            del lines[at]
        elif kind == 3:
            lines.insert(at, rng.choice(rng.choice(TEXTS).split("\n")))
        elif kind == 4:
            lines[at] = lines[at].replace(rng.choice("abcegnrtxyz0123458"), rng.choice('abcxyz0189"[]{}=,'), 1)
        else:
            other = rng.choice(TEXTS).split("\n\n")
            lines += rng.choice(other).split("\n")
        text = "\n".join(lines)
    return text


def test_a_damaged_profile_loads_or_is_refused(tmp_path):
    """One that still loads must also work: stream, steps, and a decoder that refuses or takes, but never breaks."""
    rng = random.Random(4)
    path = tmp_path / "damaged.toml"
    loaded = 0
    told = []
    for _ in range(40_000 if SOAK else 800):
        path.write_text(mutated(rng), encoding="utf-8")
        try:
            driver = load_profile(path)
        except ConfigError as error:
            told.append(str(error))
            continue
        loaded += 1
        describe_profile(path)
        decoder = driver.decoder(UPPER)
        driver.matches(Advertisement("a", name="Thingy" * 40))
        payloads = [(rng.randbytes(rng.randint(0, 60)), rng.randrange(len(driver.channels))) for _ in range(20)]
        pushed(decoder, payloads, patient=True)
    assert min(loaded, len(told)) > 100
    assert [text for text in told if "damaged.toml: " not in text] == []


def test_a_hostile_name_costs_no_time(tmp_path):
    driver = driver_of(tmp_path, GOOD + '[match]\nname = "a*.*b$"\n')
    begin = time.process_time()
    assert not driver.matches(Advertisement("x", name="a" * 100_000))
    assert time.process_time() - begin < 0.5


# Damaged payloads, against one profile of each way of framing and joining

LINE = b"0.5,-0.25,1,9,2,4,8\n"
OBJECT = b'{"a": [1, 2.5, 3], "gyr": [0, 0, -1], "t": 12.25}\n'
OWN = struct.pack("<IIB", 7, 1000, 2) + 2 * struct.pack("<6h", 1, 2, 3, 4, 5, 6)
THINGY = bytes.fromhex("000400fe1000200080f305001000e0fc0100")
TARGETS = {
    "own firmware": (lambda folder: driver_named("own_firmware_template"), [(OWN, 0)]),
    "thingy": (lambda folder: driver_named("thingy52"), [(struct.pack("<4i", 2**30, 0, 0, 0), 1), (THINGY, 0)]),
    "dot": (lambda folder: load_profile(PROFILES / "dot_mode26.toml"), [(struct.pack("<I10f19x", 9, 1, *9 * [0]), 0)]),
    "frames": (lambda folder: driver_of(folder, CONFIRMED), [(b"".join(frames(3)) + b"\x55\x61", 0)]),
    "wit": (lambda folder: load_profile(PROFILES / "witmotion.toml"), [(b"\x55\x61" + bytes(range(18)), 0)]),
    "apart": (lambda folder: driver_of(folder, APART), [(vector(1), 0), (vector(2), 1)]),
    "stamped": (lambda folder: driver_of(folder, STAMPED), [stamped(n, c) for n in range(2) for c in (0, 1)]),
    "lines": (lambda folder: driver_of(folder, LINES), [(b"\n" + LINE, 0)]),
    "json": (lambda folder: driver_of(folder, JSON), [(b"\n" + OBJECT, 0)]),
}
VECTOR, ORIENTATION = struct.pack("<3f", 0.5, -0.25, 1.0), struct.pack("<4f", 0.0, 0.0, 0.0, 1.0)
NMEA = b"$IMU,7,120000,0.5,-1,9.81,0.01,-0.02,3e-2*"
TARGETS |= {
    name: (lambda folder, name=name: driver_named(name), valid)
    for name, valid in {
        "adafruit_bluefruit": [(VECTOR, channel) for channel in (0, 1, 2)] * 2,
        "arduino_nano33ble": [(VECTOR, channel) for channel in (0, 1, 2)] * 2,
        "arduino_nicla_sense_me": [(VECTOR, 0), (ORIENTATION, 2), (VECTOR, 1)],
        "bluest": [(bytes.fromhex("e8030a00ecffe8036900fbff00002c0138ff6400"), 0)],
        "microbit": [(bytes.fromhex("0001a0032001"), 0)],
        "mocopi": [(bytes.fromhex("b0463e63d9095a17871580e840002702871580e840002702e5ab36b675b2d1b022b6179a"), 0)],
        "openearable": [(struct.pack("<BBI9f", 0, 36, 7000, *range(9)), 0)],
        "pinetime": [(struct.pack("<3h", 0, -1024, 512), 0)],
        "sensortag_cc2650": [(struct.pack("<9h", 131, -262, 0, 8192, 0, -8192, 100, -100, 0), 0)],
        "uart_lines_template": [(b"\n" + NMEA + b"%02X\r\n" % reduce(xor, NMEA[1:-1]), 0)],
    }.items()
}
# By their makers' pages: lengths of a payload on each channel; the battery comes last. Streams of bytes have none.
LENGTHS = {
    "own firmware": [{9 + 12 * n for n in range(1, 42)}, {1}],
    "thingy": [{18}, {16}, {1}],
    "dot": [set(range(44, 64))],
    "apart": [{6}, {6}],
    "stamped": [{8}, {8}],
    "adafruit_bluefruit": [{12}, {12}, {12}],
    "arduino_nano33ble": [{12}, {12}, {12}],
    "arduino_nicla_sense_me": [{12}, {12}, {16}],
    "bluest": [{20}],
    "microbit": [{6}],
    "mocopi": [{36}],
    "openearable": [{42}, {1}],
    "pinetime": [{6}, {1}],
    "sensortag_cc2650": [{18}, {1}],
}


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_payloads(tmp_path, name):
    make, valid = TARGETS[name]
    driver = make(tmp_path)
    lengths = LENGTHS.get(name)

    def fits(sent):
        payload, channel = sent
        if name == "openearable" and channel == 0 and payload[:1] == b"\x01":
            return True  # of other sensors, whatever they say
        return 0 <= channel < len(lengths) and len(payload) in lengths[channel]

    tally = hammer(
        driver.decoder(Settings("upper")),
        valid,
        channels=len(driver.channels),
        fits=None if lengths is None else fits,
        **({} if SOAK else {"count": 3000}),
    )
    print(name, tally)


def test_the_rows_of_what_is_refused_are_not_taken():
    decoder = driver_named("own_firmware_template").decoder(Settings("upper"))
    rows = rows_of(pushed(decoder, [(OWN[:-1], 0), (OWN, 0), (OWN + b"\0", 0)], patient=True))
    assert len(rows) == 2
    assert np.isfinite(rows[:, :6]).all()


def test_the_head_alone_is_no_profile(tmp_path):
    with pytest.raises(ConfigError, match="stream: is missing"):
        driver_of(tmp_path, "", HEAD)
