"""`scan`, `pair`, `selftest` and `record` at the command line: what they show, and what they say without Bluetooth."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imuposture._cli.recording import record
from imuposture._cli.sensors import line_of, pair, scan, selftest
from imuposture.acquisition.ble import About, Found
from imuposture.acquisition.ble.radio import Sighting
from imuposture.acquisition.drivers import Advertisement
from imuposture.acquisition.virtual.wire.movella_dot import MovellaDot

HOSTILE = "\x1b[2J\u202eevil\n"
no_bus = pytest.mark.skipif(
    sys.platform != "linux" or Path("/run/dbus/system_bus_socket").exists(), reason="this machine has a system bus"
)


def run(command, *arguments: str) -> Result:
    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert result.exception is None, result.output
    return result


def test_scan_shows_driver_strength_and_battery():
    result = run(scan, "--virtual", "demo", "--seconds", "0.5")
    assert result.return_value == 0
    assert result.stdout.splitlines() == [
        f"Movella DOT [D4:22:CD:00:00:0{n}]  -50 dBm  battery 87 %  Movella DOT (never tried)" for n in (1, 2)
    ]


def test_scan_connects_to_nothing_if_told_so():
    result = run(scan, "--virtual", "demo", "--seconds", "0.5", "--no-ask", "--json")
    assert [(one["driver"], one["battery_percent"]) for one in json.loads(result.stdout)] == [("movella_dot", None)] * 2


@pytest.fixture
def blinking(monkeypatch) -> list[str]:
    """Take note of which virtual sensor is made to blink."""
    blinked: list[str] = []
    write = MovellaDot.write

    def noting(self, uuid, data, clock_s):
        before = self.blinked
        replies = write(self, uuid, data, clock_s)
        blinked.extend([self.identity.address] * (self.blinked - before))
        return replies

    monkeypatch.setattr(MovellaDot, "write", noting)
    return blinked


@pytest.mark.parametrize("name", ["D4:22:CD:00:00:02", "ble:d4:22:cd:00:00:02"])
def test_the_sensor_that_is_named_blinks_and_no_other(blinking, name):
    result = run(scan, "--virtual", "demo", "--identify", name)
    assert result.return_value == 0
    assert blinking == ["D4:22:CD:00:00:02"]
    assert "D4:22:CD:00:00:02" in result.stdout


def test_a_name_that_two_sensors_bear_blinks_neither(blinking):
    result = run(scan, "--virtual", "demo", "--identify", "Movella DOT")
    assert result.return_value == 3
    assert "2 sensors are called ble:Movella DOT" in result.stderr
    assert not blinking


def test_whatever_a_sensor_says_of_itself_is_shown_harmless():
    found = Found(Sighting(None, Advertisement(HOSTILE, HOSTILE, rssi_dbm=-40)), None)
    shown = line_of(found, About(12, HOSTILE, HOSTILE, HOSTILE))
    assert shown.isprintable()
    assert "battery 12 %" in shown


@no_bus
@pytest.mark.parametrize(
    ("command", "arguments", "way"),
    [
        (scan, [], "imuposture scan --virtual demo"),
        (scan, ["--identify", "A"], "imuposture scan --virtual demo"),
        (pair, ["--upper", "A"], "imuposture record --upper virtual:demo --lower virtual:demo"),
        (selftest, ["ble:A"], "imuposture selftest virtual:demo"),
    ],
)
def test_without_bluetooth_each_command_names_its_own_way(command, arguments, way, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    result = run(command, *arguments)
    assert result.return_value == 3
    assert result.stderr.count("no Bluetooth can be used on this machine") == 1
    assert result.stderr.strip().endswith(way)


def test_a_virtual_wearer_is_not_told_what_to_do():
    """In real time: the script runs, whoever reads the prompts."""
    result = run(record, "--upper", "virtual:demo", "--lower", "virtual:demo", "--jsonl", "--seconds", "0.5")
    assert result.return_value == 0
    assert result.stderr.count("moves by the script") == 1
    assert "Stand upright" not in result.stderr
    assert json.loads(result.stdout.splitlines()[0])["time_s"] >= 0
