"""Profiles written by tests: a head, and what the test is about."""

import math
import struct
from pathlib import Path

import numpy as np

from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Message, Settings, Status
from imuposture.acquisition.drivers.declarative import ProfileDriver, load_profile

PROFILES = Path(__file__).parent / "profiles"
HEAD = '[profile]\nname = "written"\nrate_hz = 100\n'
STREAM = '[[stream]]\nchar = "ff01"\n'
UPPER = Settings("upper", magnetometer=True)
ACC = '{ name = "acc", type = "i16le", unit = "m/s2" }'
GYR = '{ name = "gyr", type = "i16le", unit = "rad/s" }'
FRAMED = f'{STREAM}framing = "fixed"\ntag = "55 61"\nfields = [{{ skip = 2 }}, {ACC}, {GYR}]\n'
CONFIRMED = FRAMED.replace('"fixed"', '{ kind = "fixed", confirm = true }')
APART = f'{STREAM}fields = [{ACC}]\n[[stream]]\nchar = "ff02"\nfields = [{GYR}]\n'

LINES = f"""{STREAM}framing = "lines"
fields = [
  {{ name = "acc", unit = "g" }},
  {{ skip = 1 }},
  {{ name = "gyr", unit = "deg/s", scale = 0.5 }},
]
"""

JSON = f"""{STREAM}framing = {{ kind = "lines", format = "json" }}
fields = [{{ name = "acc", key = "a", unit = "m/s2" }}, {{ name = "gyr", unit = "rad/s" }}, {{ name = "t" }}]
time = {{ field = "t", unit = "s" }}
"""

STAMPED = f"""{STREAM}fields = [{{ name = "t", type = "u16le" }}, {ACC}]
time = {{ field = "t", unit = "ms" }}
[[stream]]
char = "ff02"
fields = [{{ name = "t", type = "u16le" }}, {GYR}]
time = {{ field = "t", unit = "ms" }}
"""


DECODERS: dict[str, ProfileDriver] = {}  # drivers that hypothesis need not make anew for each example


def driver_of(folder: Path, body: str, head: str = HEAD) -> ProfileDriver:
    """Write a profile and load it."""
    path = folder / "written.toml"
    path.write_text(head + body, encoding="utf-8")
    return load_profile(path)


def decoded(driver: ProfileDriver, *payloads: bytes | tuple[bytes, int]) -> list[Message]:
    """Push payloads, of channel 0 where none is said, to a new decoder."""
    decoder = driver.decoder(UPPER)
    pairs = [payload if isinstance(payload, tuple) else (payload, 0) for payload in payloads]
    return [message for payload, channel in pairs for message in decoder.push(payload, channel)]


def block_of(messages: list[Message]) -> ImuBlock:
    """Return all rows as one block."""
    blocks = [message for message in messages if isinstance(message, ImuBlock)]
    parts = {name: [getattr(block, name) for block in blocks] for name in ("ticks", "acc", "gyr", "mag", "quat")}
    whole = {name: None if not some or some[0] is None else np.concatenate(some) for name, some in parts.items()}
    return ImuBlock("upper", whole["ticks"], whole["acc"], whole["gyr"], whole["mag"], quat=whole["quat"])


def dropped(messages: list[Message]) -> int:
    """Return how many bytes belonged to nothing."""
    told = [message for message in messages if isinstance(message, Status) and message.what == "resync"]
    return sum(message.values["bytes"] for message in told)


def vector(number):
    return struct.pack("<3h", number, 0, 0)


def frames(count, first=0):
    return [struct.pack("<BB6h", 0x55, 0x61, number, 0, 0, -number, 0, 0) for number in range(first, first + count)]


def stamped(number, channel, late=0, start=65000):
    return struct.pack("<H", (start + 10 * number + late) % 65536) + vector(number), channel


def near(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def numbers(block, name="acc"):
    """Return the first axis, None where it is missing."""
    return [None if math.isnan(value) else round(value) for value in getattr(block, name)[:, 0]]
