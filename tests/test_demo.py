"""The demonstration in simulated time: everything but the radio and the minute is as `imuposture demo` has it."""

import asyncio
import json
from dataclasses import replace

import pytest
import simulated_time

pytest.importorskip("bumble", reason="the virtual radio needs bumble: pip install imuposture[virtual]")

from click.testing import CliRunner

from imuposture import AcquisitionError
from imuposture.__main__ import cli
from imuposture._cli import demonstrating
from imuposture.acquisition.ble.clock import simulated
from imuposture.acquisition.virtual.counting import Fate, Ledger
from imuposture.output import Result
from imuposture.recording import Outcome, demonstration
from imuposture.recording.demonstration import ANGLES, Demonstration, Figure


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    said, found, entries = [], [], []

    async def work():
        return await demonstration.demonstrate(
            tmp_path_factory.mktemp("demo") / "session",
            saw=found.extend,
            say=said.append,
            told=entries.append,
            clock=simulated(asyncio.get_running_loop().time),
        )

    return simulated_time.run(work()), said, found, entries


def test_every_figure_is_within_its_limit(shown):
    """Truth of the simulated spine and the sensors' own books against the session on the disk."""
    demo = shown[0]
    assert [figure for figure in demo.figures if not figure.good] == []
    assert demo.passed
    named = {figure.name: figure for figure in demo.figures}
    assert all(named[f"{angle.replace('_', ' ')}, RMSE"].found > 0.1 for angle in ANGLES)
    assert named["upper: samples lost"].true > 100 > named["lower: samples lost"].true > 0


def test_it_scans_calibrates_and_loses_a_link(shown):
    demo, said, found, entries = shown
    assert [one.driver.name for one in found] == ["movella_dot"] * 2
    assert "Calibrated." in said
    assert "The upper sensor is out of reach for 2.5 s." in said
    events = [json.loads(one.payload)["event"] for one in entries if one.kind == "link" and one.role == "upper"]
    assert events.count("up") == 2
    assert events[-1] == "closed"
    result = demo.outcome.result
    assert isinstance(result, Result)
    gaps = [event for event in result.events.to_pylist() if event["kind"] == "gap" and event["start_s"] > 10.0]
    assert len([gap for gap in gaps if gap["end_s"] - gap["start_s"] > 2.0]) == 1
    assert result.manifest["calibration"]["usable"]
    assert 50.0 < demo.outcome.seconds < 70.0


def test_the_books_count_what_was_not_taken_too():
    """Ten samples at 10 Hz, two never sent, three unheard; then half a second of nothing, and five more."""
    ledger = Ledger()
    ledger.begin(3.0)
    for first, stop, fate in [(0, 4, Fate.DELIVERED), (4, 6, Fate.SKIPPED), (6, 7, Fate.DELIVERED)]:
        ledger.settle(ledger.take(stop - first), stop, fate)
    ledger.take(3, Fate.UNHEARD)
    ledger.begin(4.5)
    ledger.settle(ledger.take(5), 15, Fate.DELIVERED)
    assert demonstration.booked(ledger, 10.0) == (10, 2 + 3 + 5)


@pytest.mark.parametrize(("found", "good"), [(2.9, True), (3.1, False), (-3.1, False), (float("nan"), False)])
def test_a_figure_that_is_off_is_seen(shown, found, good):
    figures = (Figure("flexion, RMSE", found, 0.0, 3.0, "deg"),)
    assert replace(shown[0], figures=figures).passed == good


def run(monkeypatch, made, *arguments):
    async def stand_in(out):
        if isinstance(made, Exception):
            raise made
        return made

    monkeypatch.setattr(demonstrating, "_demonstrate", stand_in)
    return CliRunner().invoke(cli, ["demo", *arguments], standalone_mode=False)


def test_the_command_says_how_it_went(monkeypatch, shown, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = run(monkeypatch, shown[0])
    assert result.return_value == 0
    assert result.stdout.strip() == str(shown[0].outcome.folder)
    assert "All figures are within their limits." in result.stderr
    off = replace(shown[0], figures=(*shown[0].figures, Figure("flexion, mean", 9.0, 1.0, 3.0, "deg")))
    result = run(monkeypatch, off)
    assert result.return_value == 1
    assert "Off: flexion, mean." in result.stderr


def test_no_session_is_a_failure(monkeypatch):
    result = run(monkeypatch, Demonstration(Outcome("disk"), ()))
    assert result.return_value == 1
    assert "no whole session" in result.stderr


def test_what_it_needs_is_named(monkeypatch):
    result = run(monkeypatch, AcquisitionError("virtual sensors need bumble: pip install imuposture[virtual]"))
    assert result.return_value == 3
    assert "imuposture[virtual]" in result.stderr


def test_the_folder_is_a_new_one(tmp_path):
    assert demonstrating._new(tmp_path).name == "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo_2").mkdir()
    assert demonstrating._new(tmp_path).name == "demo_3"
