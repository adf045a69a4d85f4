"""Once through everything: a guest's kernel, BlueZ, unmodified bleak, links that break, a session, its replay.

``make fullstack`` boots the guest, lets it play ``fullstack/scene.py``, and judges here, on another machine than the
one that recorded. Asked are behaviour and completeness, never speed: the guest's processor may be emulated.
"""

import json
import os
import shutil
import struct
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imuposture._blocks import Entry, Quality
from imuposture.output import read_entries
from imuposture.recording.replaying import replay

ASKED = os.environ.get("IMUPOSTURE_FULLSTACK", "")  # 1, or a folder in which the scene was played already
HERE = Path(__file__).parent / "fullstack"
IMAGE = Path(os.environ.get("IMUPOSTURE_GUEST", Path(__file__).parents[1] / "build-guest"))
LIMIT_S = 600
PERIOD_US = 100_000  # at the scene's 10 Hz
DOT_PAYLOAD = 63  # bytes of the one payload with samples; its first four are the sensor's clock, us
MOST_IN_AIR = 10  # samples: a second of them, should a loaded machine be that late
CONNECTIONS = {"recorded": {"upper": 3, "lower": 2}, "start_notify": {"upper": 2, "lower": 1}}

pytestmark = pytest.mark.skipif(not ASKED, reason="boots a virtual machine; make fullstack")


@dataclass(frozen=True)
class Played:
    """What the scene left of one recording."""

    folder: Path
    figures: dict[str, Any]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "session.json").read_text(encoding="utf-8"))

    @cached_property
    def samples(self) -> dict[tuple[str, int], list[Entry]]:
        """Payloads with samples, by role and connection, as they came."""
        found = defaultdict(list)
        for entry in read_entries(self.folder):
            if entry.kind == "notification" and len(entry.payload) == DOT_PAYLOAD:
                found[entry.role, entry.generation].append(entry)
        return found

    def ticks(self, role: str) -> list[int]:
        """Return the sensor's clock of every sample that came, over all connections."""
        came = [entry for (whose, _), entries in self.samples.items() if whose == role for entry in entries]
        return [struct.unpack_from("<I", entry.payload)[0] for entry in came]


def boot(out: Path) -> None:
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("no qemu-system-x86_64 here; tests/fullstack/mkimage installs it")
    if not (IMAGE / "disk.img").exists():
        pytest.skip(f"no guest in {IMAGE}; make it, as root, with tests/fullstack/mkimage {IMAGE}")
    command = [str(HERE / "run"), str(IMAGE), str(out), str(LIMIT_S)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    code = out / "exit_code"
    assert code.exists(), ended.stdout[-6000:]
    assert code.read_text().strip() == "0", ended.stdout[-6000:]


@pytest.fixture(scope="module")
def scene():
    """The folder that the scene left, and its figures; it stays beside the guest, for whoever has to find out."""
    folder = Path(ASKED)
    if ASKED == "1":
        folder = IMAGE / "played"
        shutil.rmtree(folder, ignore_errors=True)
        boot(folder)
    told = (folder / "figures.json").read_text(encoding="utf-8")
    print(told)
    return folder, json.loads(told)


@pytest.fixture(params=CONNECTIONS)
def played(scene, request):
    folder, figures = scene
    return Played(folder / request.param, figures[request.param])


def test_both_sensors_are_found_and_known(scene):
    assert list(scene[1]["scan"]["drivers"].values()) == ["movella_dot"] * 2


def test_a_lost_link_is_noticed_and_made_again(played):
    for role, connections in CONNECTIONS[played.folder.name].items():
        tally = played.figures["sensors"][role]
        assert (tally["connections"], tally["losses"]) == (connections, connections - 1)
        assert len({generation for whose, generation in played.samples if whose == role}) == connections
    assert len(played.figures["interruptions"]) == sum(CONNECTIONS[played.folder.name].values()) - 2
    for one in played.figures["interruptions"]:
        assert 0 < one["noticed_s"] < one["streaming_again_s"]


def test_within_a_connection_nothing_is_missing(played):
    """Every sample that left a sensor came, evenly spaced by its clock; save those in the air when the link broke."""
    for (role, _), entries in played.samples.items():
        ticks = np.array([struct.unpack_from("<I", entry.payload)[0] for entry in entries])
        assert len(ticks) > 20
        steps = np.diff(np.unique(ticks))
        np.testing.assert_allclose(steps, PERIOD_US, atol=2, err_msg=role)
    for role, tally in played.figures["sensors"].items():
        in_air = tally["samples_delivered"] - len(set(played.ticks(role)))
        assert 0 <= in_air <= MOST_IN_AIR * tally["losses"]


def test_nothing_is_there_twice(played):
    """The usual way gives each payload once; whatever comes twice the other way is dropped, and counted."""
    for role, counts in played.manifest["alignment"]["sensors"].items():
        ticks = Counter(played.ticks(role))
        assert counts["duplicate"] == ticks.total() - len(ticks)
        assert counts["kept"] + counts["late"] == len(ticks)
        if played.folder.name == "recorded":
            assert counts["duplicate"] == 0


def test_sent_is_kept_and_lost(played):
    for role, counts in played.manifest["alignment"]["sensors"].items():
        ticks = played.ticks(role)
        assert counts["sent"] == counts["kept"] + counts["lost"]
        # A new connection is a new stream: samples lie at another phase then, and a gap is known within one of them.
        assert counts["sent"] == np.round(np.diff(np.unique(ticks)) / PERIOD_US).sum() + 1
        assert (counts["restarts"], counts["reordered"], counts["empty"]) == (0, 0, 0)


def test_the_session_is_closed(played):
    assert played.figures["exit_code"] == 0
    assert played.figures["ending"] == "asked"
    assert not list(played.folder.glob("journal*"))
    assert played.manifest["recording"]["overflowed"] == {}
    for link in played.manifest["links"].values():
        assert link["rejected"] == 0


def test_rows_live_are_the_rows_of_the_session_and_of_its_replay_here(played):
    """Bit for bit, on another processor; only a missing value has no sign in a table."""
    live = np.load(played.folder.with_suffix(".live.npz"))
    for session in (open_posture(played.folder), replay(played.folder).posture):
        for name in sorted(set(live.files) & set(session.column_names)):
            column = session[name].to_numpy()
            given = live[name].astype(column.dtype)
            there = np.isfinite(given)
            np.testing.assert_array_equal(np.isfinite(column), there, err_msg=name)
            assert column[there].tobytes() == given[there].tobytes(), name
        assert session.num_rows == played.figures["rows"]
    for segment in ("upper", "lower"):
        told = [session[f"{segment}_q{part}"].to_numpy() for part in "wxyz"]
        np.testing.assert_array_equal(np.stack(told, axis=1), live[f"{segment}_q"].astype(told[0].dtype))
    assert np.count_nonzero(live["quality"] & Quality.GAP == 0) > 50


def open_posture(folder: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(folder / "posture.parquet")


def test_plain_bleak_gets_every_payload_at_least_once(scene):
    """Issue 2002 of bleak: how often is printed, not asked; the day it is once, a workaround may go."""
    plain = scene[1]["plain_bleak"]
    assert 0 < plain["payloads"] <= plain["callbacks"]
