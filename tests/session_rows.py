"""Rows, figures and folders of sessions, for the tests of what is written."""

import itertools
import subprocess
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

import numpy as np
from interpreters import environment

from imuposture._blocks import Event, Figure, MetricBlock, PairBlock, PostureBlock, Quality, SensorRows
from imuposture.output import SessionFolder

MANIFEST = {"input": {"paths": ["walk.csv"], "sha256": ["ab" * 32], "format": "plain"}, "config_hash": "c0ffee"}


def posture(rows: int, *, start: int = 0, seed: int = 1) -> PostureBlock:
    """Smooth angles on a 100 Hz grid; every 50th row is a gap, and the rotation has no bound in every 7th."""
    index = np.arange(start, start + rows)
    t = index / 100.0
    angles = {}
    for k, field in enumerate(fields(PostureBlock)):
        wave = 20 * np.sin((0.3 + 0.01 * k) * t + k + seed)
        angles[field.name] = np.abs(wave) if "_sd_" in field.name else wave
    gap = index % 50 == 17
    for name, values in angles.items():
        if not name.startswith(("upper_q", "lower_q")):
            values[gap] = np.nan
    angles["axial_rotation_sd_deg"][index % 7 == 3] = np.inf
    quat = np.stack([np.cos(t), np.sin(t), 0 * t, 0 * t], axis=1)
    quat[gap] = np.nan
    quality = np.where(gap, Quality.GAP, Quality.REST).astype(np.uint8)
    given = {"time_s": t, "upper_q": quat, "lower_q": quat[:, ::-1], "quality": quality}
    return PostureBlock(**{**angles, **given, "heading_state": np.full(len(t), 2, np.uint8)})


def metrics(at: float = 0.0) -> MetricBlock:
    bend = Event("repetition", at + 1.0, at + 3.5, "flexion", "forward", 41.5, {"out_of_plane": 0.12})
    rest = Event("break", at + 5.0, at + 70.0)
    share = Figure("time_above_60", 0.25, "1", "exposure.time_above", "flexion", start_s=at, end_s=at + 60)
    return MetricBlock((bend, rest), (share,))


SUMMARY = MetricBlock(
    summary=(
        Figure("range", 52.0, "deg", "rom.range", "lateral_bend", "right", 49.0, 55.0, 5),
        Figure(
            "difference",
            float("nan"),
            "deg",
            "rom.difference",
            "lateral_bend",
            verdict="cannot_tell",
            reason="no calibration",
        ),
    )
)


def write(path, rows=300, *, cuts=(), manifest=MANIFEST, **options):
    with SessionFolder(path, manifest, **options) as sink:
        edges = [0, *cuts, rows]
        for begin, end in itertools.pairwise(edges):
            sink.write(posture(end - begin, start=begin), metrics() if begin == 0 else None)
        return sink.close(SUMMARY, {"notes": ["acceleration read as g"]})


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def samples(rows: int, start: int = 0) -> PairBlock:
    t = (start + np.arange(rows)) / 100
    acc, gyr = np.stack([t, t + 1, t + 2], 1), np.stack([-t, t, 2 * t], 1)
    acc[rows // 2] = np.nan
    flags = np.zeros(rows, np.uint8)
    return PairBlock(t, SensorRows(acc, gyr, None, flags), SensorRows(2 * acc, gyr, acc, flags))


PRELUDE = """\
import os, signal, subprocess, sys, textwrap
from session_rows import *
from imuposture import *
from imuposture.output import *
"""


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    code = f"{PRELUDE}{textwrap.dedent(code)}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
