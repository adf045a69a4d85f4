"""Entries as two sensors would send them, and a walk that makes rows of them without any driver."""

import shutil
import struct
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imuposture._blocks import Entry, Event, ImuBlock, MetricBlock, PostureBlock
from imuposture.output import Journal

MANIFEST = {
    "placement": "lumbar",
    "sensors": [{"role": "upper", "driver": "fake"}, {"role": "lower", "driver": "fake"}],
}
RATE_HZ = 200.0
PAYLOAD = struct.Struct("<I6fI12x")


def entry(number: int) -> Entry:
    """The n-th entry of two sensors at 200 Hz: a link event of each, then notifications in turns."""
    role = ("upper", "lower")[number % 2]
    arrival_ns = 5_000_000_000 + number * 2_500_000
    if number < 2:
        return Entry(arrival_ns, "link", role, 1, 0, b'{"event": "up", "driver": "fake"}')
    if number % 1000 == 999:
        return Entry(arrival_ns, "command", None, 0, 0, b'{"command": "mark"}')
    count = number // 2
    values = (0.1, 9.7, 0.3, *(np.float32(np.sin(0.01 * count + k)) for k in range(3)))
    return Entry(arrival_ns, "notification", role, 1, number % 3, PAYLOAD.pack(count, *values, number))


def entries(count: int) -> list[Entry]:
    return [entry(number) for number in range(count)]


class Rows(NamedTuple):
    samples: list[ImuBlock]
    posture: PostureBlock
    metrics: MetricBlock


def posture(times: list[float]) -> PostureBlock:
    rows = len(times)
    given = {field.name: np.full(rows, 0.25 * k) for k, field in enumerate(fields(PostureBlock))}
    given["time_s"] = np.array(times, float)
    given["upper_q"] = given["lower_q"] = np.tile([1.0, 0.0, 0.0, 0.0], (rows, 1))
    given["quality"] = given["heading_state"] = np.zeros(rows, np.uint8)
    return PostureBlock(**given)


class Walk:
    """Each payload is one sample; each sample of the lower sensor is one row."""

    def __init__(self) -> None:
        self.taken = 0

    def push(self, entry: Entry) -> Rows:
        self.taken += 1
        if entry.kind == "command":
            return Rows(
                [], posture([]), MetricBlock((Event("mark", entry.arrival_ns * 1e-9, entry.arrival_ns * 1e-9),))
            )
        if entry.kind != "notification":
            return Rows([], posture([]), MetricBlock())
        count, *values, _ = PAYLOAD.unpack(entry.payload)
        time_s = np.array([count / RATE_HZ])
        quat = np.array([[1.0, 0.0, 0.0, 0.0]]) if entry.role == "upper" else None
        block = ImuBlock(entry.role, time_s, np.array([values[:3]]), np.array([values[3:]]), quat=quat)
        return Rows([block], posture([count / RATE_HZ] if entry.role == "lower" else []), MetricBlock())

    def push_all(self, entries):
        return map(self.push, entries)

    def finish(self) -> Rows:
        return Rows([], posture([]), MetricBlock())

    def findings(self) -> dict[str, object]:
        return {"notes": [f"{self.taken} entries were walked"]}


def recorded(folder: Path, count: int = 2000) -> list[Entry]:
    """Record so many entries; return them."""
    given = entries(count)
    with Journal(folder, MANIFEST) as journal:
        for one in given:
            journal.append(one)
    return given


def copied(folder: Path, to: Path) -> Path:
    """Copy a session as a dead recorder would have left it at this moment."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns(".lock"))
    return to
