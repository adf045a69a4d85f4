"""Scanning and finding: what is in range, which is meant; names are hostile, and no radio is said plainly."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakDBusError, BleakError
from fake_bleak import CONTROL, FakeAir, FakeSensor, run
from fake_driver import FakeDriver

from imuposture import AcquisitionError, ConfigError
from imuposture.acquisition.ble import NATIVE, About, Radio, blink, find, parse, scan, shown_name, visit
from imuposture.acquisition.ble.faults import explained
from imuposture.acquisition.ble.pairing import Paired, paired, pairing_file, remember
from imuposture.acquisition.drivers import Advertisement

DRIVER = FakeDriver()


def choose(advertisement: Advertisement) -> Any:
    return DRIVER if DRIVER.matches(advertisement) else None


def test_scan_shows_sensors_first_and_the_near_ones_before_the_far():
    air = FakeAir(
        FakeSensor("A", "TV", rssi=-20),
        FakeSensor("B", "IMU far", rssi=-90),
        FakeSensor("C", "IMU near", rssi=-40),
        FakeSensor("D", None, rssi=-30),
    )
    found = run(scan(air.transport(), 2.0, choose=choose))
    assert [one.advertisement.address for one in found] == ["C", "B", "A", "D"]
    assert [one.driver is None for one in found] == [False, False, True, True]
    assert air.scanning == 0


@pytest.mark.parametrize("name", ["\x1b[2Jevil", "a\nb", "\u202egpj.exe", "x" * 10_000, "\x00"])
def test_hostile_names_are_shown_escaped(name):
    shown = shown_name(Advertisement("A", name))
    assert shown.isprintable()
    assert len(shown) < 100


def looked_for(air: FakeAir, **wanted: str) -> Any:
    async def work() -> Any:
        roles: Any = {role: parse(uri) for role, uri in wanted.items()}
        return await find(Radio(air.transport()), roles, 3.0, choose=choose)

    return run(work())


def test_sensors_are_found_by_name_or_address_whatever_the_case():
    air = FakeAir(FakeSensor("AA:BB:CC:DD:EE:01", "IMU 1"), FakeSensor("AA:BB:CC:DD:EE:02", "IMU 2"))
    found = looked_for(air, upper="ble:imu 1", lower="ble:aa:bb:cc:dd:ee:02")
    assert {role: one.advertisement.name for role, one in found.items()} == {"upper": "IMU 1", "lower": "IMU 2"}


def test_a_name_that_two_sensors_bear_is_refused_with_their_addresses():
    air = FakeAir(FakeSensor("AA:BB:CC:DD:EE:01", "IMU"), FakeSensor("AA:BB:CC:DD:EE:02", "IMU", advertise_s=0.9))
    with pytest.raises(AcquisitionError, match="2 sensors are called ble:IMU; give one of ble:AA:BB:CC:DD:EE:01"):
        looked_for(air, upper="ble:IMU")


def test_a_sensor_that_no_driver_takes_is_said_so():
    with pytest.raises(AcquisitionError, match=r"TV .*no driver takes this sensor"):
        looked_for(FakeAir(FakeSensor("A", "TV")), upper="ble:TV")


def test_the_part_of_a_peripheral_is_in_the_uri():
    assert parse("ble:A#1").part == 1
    assert parse("ble:A #b").text == "A #b"
    assert parse("ble:A#1#2") == parse("ble:A#1#2")
    assert parse("ble:A#1#2").text == "A#1"


NO_RADIO = [
    BleakBluetoothNotAvailableError("No Bluetooth adapters found.", BleakBluetoothNotAvailableReason.NO_BLUETOOTH),
    FileNotFoundError(2, "No such file or directory"),
    BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["The name org.bluez was not provided"]),
]


@pytest.mark.parametrize("error", NO_RADIO, ids=["adapter", "bus", "service"])
def test_no_bluetooth_is_one_plain_sentence_with_the_way_to_virtual_sensors(error):
    air = FakeAir()
    air.scan_error = error
    with pytest.raises(
        AcquisitionError, match=r"^no Bluetooth can be used on this machine \([\w ]+\); .*virtual:demo$"
    ):
        run(scan(air.transport(), 1.0, choose=choose))


@pytest.mark.skipif(sys.platform != "linux" or Path("/run/dbus/system_bus_socket").exists(), reason="needs no D-Bus")
def test_this_very_machine_without_bluetooth_says_so():
    with pytest.raises(AcquisitionError, match="no Bluetooth can be used"):
        asyncio.run(scan(NATIVE, 0.1, choose=choose))


def test_known_troubles_come_with_their_cure():
    error = BleakDBusError("org.bluez.Error.InProgress", ["In Progress"])
    assert "bluetoothctl remove" in str(explained(error, "connecting"))
    assert str(explained(TimeoutError(), "connecting")) == "connecting: no answer in time"
    assert "\x1b" not in str(explained(BleakError("\x1b[31m"), "connecting"))


def test_what_was_paired_is_remembered(tmp_path):
    file = tmp_path / "deep" / "paired.json"
    assert paired(file) == {}
    remember({"upper": Paired("A", "IMU 1", "fake")}, file)
    remember({"lower": Paired("B", None, "fake", "123", 2)}, file)
    assert {role: one.uri for role, one in paired(file).items()} == {"upper": "ble:A", "lower": "ble:B#2"}
    with pytest.raises(ConfigError, match="upper and lower at once"):
        remember({"lower": Paired("A", None, "fake")}, file)
    for broken in ("{", "[]", json.dumps({"upper": {"address": 1}}), json.dumps({"upper": {"who": 1}}), "[" * 10**5):
        file.write_text(broken)
        with pytest.raises(ConfigError, match=r"damaged|pair again"):
            paired(file)


def test_pairings_are_in_the_folder_for_configurations(monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    if sys.platform == "linux":
        assert pairing_file().as_posix() == "/somewhere/imuposture/paired.json"
    assert pairing_file().name == "paired.json"


def visited(sensor: FakeSensor, ask: Any) -> Any:
    async def work() -> Any:
        radio = Radio(FakeAir(sensor).transport())
        found = await find(radio, {"upper": parse(f"ble:{sensor.name}")}, 3.0, choose=choose)
        return await ask(radio, found["upper"])

    return run(work())


def test_a_sensor_can_be_asked_what_it_is_and_left_alone_again():
    sensor = FakeSensor("A", "IMU")  # has none of the characteristics that tell, and does not answer its driver
    assert visited(sensor, visit) == About()
    assert sensor.client is None


@pytest.mark.parametrize(("told", "percent"), [(b"b\x2a", 42), (b"b\xff", None), (b"??", None)])
def test_a_battery_without_the_standard_characteristic_is_asked_for_as_its_driver_does(told, percent):
    def answer(sensor: FakeSensor, _uuid: str, data: bytes) -> None:
        if data == b"\x06":
            sensor.notify(told)

    sensor = FakeSensor("A", "IMU", on_write=answer)
    assert visited(sensor, visit).battery_percent == percent
    assert sensor.wrote == [(CONTROL, b"\x06")]
    assert sensor.client is None


def test_a_sensor_that_is_gone_by_then_cannot_be_asked():
    sensor = FakeSensor("A", "IMU", connect_error=BleakError("gone\x1b[2J"))
    with pytest.raises(AcquisitionError, match=r"connecting: gone") as error:
        visited(sensor, visit)
    assert str(error.value).isprintable()


def test_a_sensor_blinks():
    sensor = FakeSensor("A", "IMU")
    visited(sensor, blink)
    assert sensor.wrote == [(CONTROL, b"\x05")]
    assert sensor.client is None


def test_a_sensor_that_cannot_blink_says_so(monkeypatch):
    monkeypatch.setattr(FakeDriver, "identify", lambda self: None)
    with pytest.raises(AcquisitionError, match="cannot blink; move it"):
        visited(FakeSensor("A", "IMU"), blink)
