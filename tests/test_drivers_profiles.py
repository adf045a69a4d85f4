"""The profiles that are shipped: what they make of bytes, and what they write, against their sources."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from golden_vectors import vectors
from written_profiles import ACC, FRAMED, UPPER, block_of, decoded, driver_of
from written_profiles import PROFILES as TEST_PROFILES

from imuposture import DecodeError
from imuposture.acquisition.drivers import Advertisement, Read, Reply, Settings, Status, Subscribe, Wait, Write
from imuposture.acquisition.drivers.declarative import describe_profile, is_profile, load_profile
from imuposture.acquisition.drivers.declarative.fields import FIELD_KEYS
from imuposture.acquisition.drivers.declarative.packets import PACKET_KEYS
from imuposture.acquisition.drivers.declarative.profile import HEAD_KEYS, KEYS
from imuposture.acquisition.drivers.declarative.templates import ACTION_KEYS
from imuposture.acquisition.drivers.registry import PROFILES, driver_for, driver_named

G, DEGREE = 9.80665, math.pi / 180
SHIPPED = sorted(PROFILES.glob("*.toml"))
# NordicSemiconductor/Nordic-Thingy52-FW, ble_tms.h: 6Q10 g, 11Q5 deg/s, 12Q4 uT
THINGY_RAW = bytes.fromhex("000400fe1000200080f305001000e0fc0100")
# A notification of a WT901BLE67 at 100 Hz, as RGu0/WT901 recorded it: four frames
WIT_PACKED = bytes.fromhex(
    "55612706bc0179065500e7fec4fa3e00eaff000055613806c7016b0698ff79fe74fb3e00eaff0000"
    "55618006cc017f06b2feb8fe0dfc3e00eaff000055618206ad018c0696fe58ff65fc3e00eaff0000"
)


def near(values, expected):
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def writes(driver, **settings):
    steps = driver.start(Settings("upper", **settings))
    return [(step.uuid[4:8], step.data.hex()) for step in steps if isinstance(step, Write)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_says_where_it_comes_from_and_what_nobody_tried(path):
    told = describe_profile(path)
    assert is_profile(path)
    assert json.loads(json.dumps(told)) == told
    assert told["name"] == path.stem
    assert told["verified"] is None
    assert told["source"]
    assert told["unverified"]
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert "# Not verified:" in path.read_text(encoding="utf-8")


def test_the_settings_of_a_recording_are_no_profile(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('[recording]\nupper = "a.csv"\nlower = "b.csv"\n', encoding="utf-8")
    assert not is_profile(path)


def test_mirrored_axes_are_told(tmp_path):
    path = tmp_path / "mirrored.toml"
    field = 'name = "acc", type = "i16le", unit = "g", axes = {}'
    for axes, told in (('["-x", "y", "z"]', True), ('["y", "-x", "z"]', False), ('["z", "x", "y"]', False)):
        body = f'[[stream]]\nchar = "ff01"\nfields = [{{ {field.format(axes)} }}]\n'
        path.write_text(f'[profile]\nname = "mirrored"\nrate_hz = 50\n{body}', encoding="utf-8")
        assert any("mirrored" in warning for warning in describe_profile(path)["warnings"]) == told


@pytest.mark.parametrize(("kind", "told"), [("u8", True), ("u16le", False)])
def test_a_counter_of_few_bits_is_told(tmp_path, kind, told):
    path = tmp_path / "short.toml"
    fields = f'[{{ name = "c", type = "{kind}" }}, {{ name = "acc", type = "i16le", unit = "g" }}]'
    body = f'[[stream]]\nchar = "ff01"\nfields = {fields}\ncounter = {{ field = "c" }}\n'
    path.write_text(f'[profile]\nname = "short"\nrate_hz = 100\n{body}', encoding="utf-8")
    assert any("begins again after 2.56 s" in warning for warning in describe_profile(path)["warnings"]) == told


def test_the_example_of_the_docs_is_a_profile(tmp_path):
    text = (Path(__file__).parents[1] / "docs" / "add_a_sensor.md").read_text(encoding="utf-8")
    path = tmp_path / "example.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    driver = load_profile(path)
    payload = b"\xa1" + struct.pack("<HI6h", 7, 1000, 0, 0, 4096, 16384, 0, 0)
    block = block_of(decoded(driver, payload))
    near(block.acc, [[0, 0, G]])
    near(block.gyr, [[1000 * DEGREE, 0, 0]])
    assert writes(driver) == [("0003", "00"), ("0003", "01060007")]
    for key in (*PACKET_KEYS, *ACTION_KEYS, *FIELD_KEYS, *KEYS, *HEAD_KEYS):
        assert f"`{key}`" in text or f"{key} =" in text or f"[{key}" in text, f"{key} is not explained"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_profile_is_a_whole_driver(path):
    driver = load_profile(path)
    stream = driver.stream(UPPER)
    assert stream.rate_hz == driver.default_rate_hz
    assert stream.tick_s > 0
    assert stream.sensor == path.stem
    assert stream.clock in {"device", "count"}
    assert any(isinstance(step, Subscribe) for step in driver.start(UPPER))
    assert driver.min_mtu >= 23


def test_thingy():
    driver = driver_named("thingy52")
    quat = struct.pack("<4i", 2**29, -(2**29), 2**29, 2**29)
    block = block_of(decoded(driver, (quat, 1), (THINGY_RAW, 0), (THINGY_RAW, 0)))
    near(block.acc[0], [G, -0.5 * G, 0.015625 * G])
    near(block.gyr[0], np.array([1.0, -100.0, 0.15625]) * DEGREE)
    near(block.mag[0], [1.0, -50.0, 0.0625])
    near(block.quat[0], [0.5, -0.5, 0.5, 0.5])
    assert np.isnan(block.quat[1]).all()  # the orientation came once, and is not said twice
    assert block.ticks.tolist() == [0, 1]
    assert writes(driver) == [("0401", "e803e803f401640000")]
    assert writes(driver, rate_hz=200) == [("0401", "e803e803f401c80000")]


def test_microbit_capture():
    # lancaster-university/microbit-dal issue 355, a log of nRF Connect
    block = block_of(decoded(driver_named("microbit"), bytes.fromhex("0001a0032001")))
    near(block.acc, [[0.256 * G, 0.928 * G, 0.288 * G]])
    assert np.isnan(block.gyr).all()
    assert writes(driver_named("microbit"), rate_hz=100) == [("fb24", "0a00")]
    assert any("inclinations only" in told for told in describe_profile(PROFILES / "microbit.toml")["warnings"])


def test_mocopi_capture():
    # moslime/mocopi-reverse-engineering, Packet breakdown.txt
    packet = "b0463e63d9095a17871580e840002702871580e840002702e5ab36b675b2d1b022b6179a"
    block = block_of(decoded(driver_named("mocopi"), bytes.fromhex(packet)))
    near(block.quat, [[-0.6727294921875, 0.734375, -0.0078125, -0.0672607421875]])
    near(block.acc / G, [[-0.061676025390625, -0.38818359375, -0.2017822265625]])


def test_nano():
    acc, gyr = struct.pack("<3f", 0.0, -0.5, 0.875), struct.pack("<3f", 1.0, 2.0, -3.0)
    driver = driver_named("arduino_nano33ble")
    block = block_of(decoded(driver, (acc, 0), (gyr, 1)))
    near(block.acc, [[0.0, -0.5 * G, 0.875 * G]])
    near(block.gyr, [[DEGREE, 2 * DEGREE, -3 * DEGREE]])
    assert driver.stream(UPPER).clock == "count"
    near(driver.stream(UPPER).acc_full_scale, 4 * G)


def test_nicla():
    gyr, acc = struct.pack("<3f", 16384.0, 0.0, 0.0), struct.pack("<3f", 0.0, 0.0, 4096.0)
    quat = struct.pack("<4f", -0.5, 0.5, 0.5, 0.5)
    block = block_of(decoded(driver_named("arduino_nicla_sense_me"), (gyr, 0), (quat, 2), (acc, 1)))
    near(block.gyr, [[1000 * DEGREE, 0, 0]])
    near(block.acc, [[0, 0, G]])
    near(block.quat, [[0.5, -0.5, 0.5, 0.5]])


def test_sensortag():
    payload = struct.pack("<9h", 131, -262, 0, 8192, 0, -8192, 100, -100, 0)
    driver = driver_named("sensortag_cc2650")
    block = block_of(decoded(driver, payload))
    near(block.acc, [[G, 0, -G]])
    near(block.gyr[0, 0], 131 * 500 / 65536 * DEGREE)
    assert writes(driver) == [("aa83", "0a"), ("aa82", "7f01")]
    wide = Settings("upper", options={"acc_range_g": 16})
    near(block_of(driver.decoder(wide).push(payload)).acc, [[4 * G, 0, -4 * G]])
    assert driver.stream(wide).acc_full_scale == pytest.approx(16 * G)


def test_bluest():
    payload = bytes.fromhex("e8030a00ecffe8036900fbff00002c0138ff6400")
    driver = driver_named("bluest")
    block = block_of(decoded(driver, payload))
    near(block.acc, [[0.01 * G, -0.02 * G, G]])
    near(block.gyr, [[10.5 * DEGREE, -0.5 * DEGREE, 0]])
    near(block.mag, [[30, -20, 10]])
    assert block.ticks.tolist() == [1000]
    assert (driver.stream(UPPER).tick_s, driver.stream(UPPER).wrap_ticks) == (1e-3, 65536)


def test_openearable():
    payload = struct.pack("<BBI9f", 0, 36, 7000, *range(9))
    driver = driver_named("openearable")
    block = block_of(decoded(driver, payload))
    assert block.ticks.tolist() == [7000]
    near(block.acc, [[0, 1, 2]])
    near(block.gyr, np.array([[3, 4, 5]]) * DEGREE)
    near(block.mag, [[6, 7, 8]])
    assert decoded(driver, struct.pack("<BBI2f", 1, 8, 7000, 1013.0, 21.0)) == []
    assert writes(driver) == [("e3bd", "000000484200000000")]


def test_pinetime():
    near(block_of(decoded(driver_named("pinetime"), struct.pack("<3h", 0, -1024, 512))).acc, [[0, -G, G / 2]])


def test_adafruit_writes_the_period_to_the_service_that_is_meant():
    steps = list(driver_named("adafruit_bluefruit").start(Settings("upper", rate_hz=100)))
    told = [(step.service[4:8], step.uuid[4:8], step.data.hex()) for step in steps if isinstance(step, Write)]
    assert told == [("0200", "0001", "0a000000"), ("0400", "0001", "0a000000")]


def test_own_firmware():
    driver = driver_named("own_firmware_template")
    group = struct.pack("<6h", 0, 0, 4096, 32767, 0, -32768)
    block = block_of(decoded(driver, struct.pack("<IIB", 41, 2**32 - 5000, 2) + 2 * group))
    near(block.acc, [[0, 0, G]] * 2)
    near(block.gyr[0], [32767 / 32768 * 1000 * DEGREE, 0, -1000 * DEGREE])
    assert block.ticks.tolist() == [2**32 - 5000, 5000]  # the second sample lies behind the wrap
    assert driver.stream(UPPER).acc_full_scale == pytest.approx(8 * G)
    assert writes(driver, rate_hz=200, options={"gyr_range_dps": 500}) == [("0003", "00"), ("0003", "01c80008f401")]
    with pytest.raises(DecodeError, match="are right"):
        decoded(driver, struct.pack("<IIB", 41, 0, 3) + 2 * group)


def test_lines_over_uart():
    driver = driver_named("uart_lines_template")
    text = b"IMU,7,120000,0.5,-1,9.81,0.01,-0.02,3e-2"
    check = 0
    for byte in text:
        check ^= byte
    line = b"$" + text + b"*%02X\r\n" % check
    block = block_of(decoded(driver, line[:9], line[9:30], line[30:]))
    near(block.acc, [[0.5, -1, 9.81]])
    near(block.gyr, [[0.01, -0.02, 0.03]])
    assert block.ticks.tolist() == [120000]
    assert [bytes.fromhex(data) for _, data in writes(driver, rate_hz=25)] == [b"start 25\n"]


def test_the_battery_is_read_once_and_may_be_absent():
    driver = driver_named("thingy52")
    steps = driver.start(UPPER)
    assert isinstance(list(steps)[-1], Read)
    assert decoded(driver, (bytes([87]), 2)) == [Status("battery", {"percent": 87.0})]
    with pytest.raises(DecodeError, match="101 percent"):
        decoded(driver, (bytes([101]), 2))
    steps = driver.start(UPPER)
    while not isinstance(next(steps), Read):
        pass
    with pytest.raises(StopIteration):
        steps.throw(TimeoutError())


def test_only_payloads_that_may_hold_samples_are_signs_of_life(tmp_path):
    told = 'gives = "status"\nwhat = "told"\nfields = [{ skip = 1 }, { name = "code", type = "u8" }]\n'
    both = f'[[stream]]\nchar = "ff01"\n[[stream.packet]]\ntag = "a1"\nfields = [{{ skip = 1 }}, {ACC}]\n'
    mixed = f'{both}[[stream.packet]]\ntag = "b0"\n{told}[[stream]]\nchar = "ff02"\n{told}[battery]\nservice = true\n'
    measures, *others = (channel.measures for channel in driver_of(tmp_path, mixed).channels)
    assert measures(bytes.fromhex("a1 0000 0000 0000"))
    assert not measures(bytes.fromhex("b0 01"))
    assert not measures(b"")
    assert others == [False, False]
    assert driver_of(tmp_path, FRAMED).channels[0].measures is True


def test_witmotion_frames_of_a_capture():
    driver = load_profile(TEST_PROFILES / "witmotion.toml")
    block = block_of(decoded(driver, WIT_PACKED))
    assert len(block.ticks) == 4
    near(block.acc[0], np.array([0.76904296875, 0.216796875, 0.80908203125]) * G)
    near(block.gyr[0], np.array([5.18798828125, -17.15087890625, -81.787109375]) * DEGREE)
    (battery,) = decoded(driver, bytes.fromhex("557164008d01000047111a90").ljust(20, b"\0"))
    assert battery == Status("battery", {"percent": 100.0})
    (reply,) = decoded(driver, bytes.fromhex("55713a00680169007a00").ljust(20, b"\0"))
    assert reply == Reply("registers", {"first": 58, "values": [360, 105, 122, 0, 0, 0, 0, 0]})
    steps = list(driver.start(Settings("upper", rate_hz=200)))
    assert [step.data.hex() for step in steps if isinstance(step, Write)][:2] == ["ffaa6988b5", "ffaa030b00"]
    assert steps.count(Wait(0.1)) == 2


def frames_of(vector):
    expected = vector["expected"]
    return expected["frames"] if isinstance(expected.get("frames"), list) else [expected] if "acc_g" in expected else []


def only(found, about):
    """Keep the vectors that a test is about, and the one that stands for a collection that is not there."""
    return [each for each in found if each.values[0] is None or about(each.values[0])]


@pytest.mark.parametrize("vector", only(vectors("witmotion_ble"), frames_of))
def test_witmotion_vectors(vector):
    driver, frames = load_profile(TEST_PROFILES / "witmotion.toml"), frames_of(vector)
    block = block_of(decoded(driver, bytes.fromhex(vector["hex"])))
    near(block.acc, np.array([frame["acc_g"] for frame in frames]) * G)
    near(block.gyr, np.array([frame["gyr_dps"] for frame in frames]) * DEGREE)


@pytest.mark.parametrize("vector", only(vectors("movella_dot"), lambda vector: "mode26" in vector["id"]))
def test_dot_mode_26(vector):
    driver = load_profile(TEST_PROFILES / "dot_mode26.toml")
    payload, expected = bytes.fromhex(vector["hex"]), vector["expected"]
    for length in (63, 44):
        block = block_of(decoded(driver, payload[:length]))
        assert block.ticks.tolist() == [expected["t_us"]]
        near(block.quat, [expected["quat_wxyz"]])
        near(block.acc, [expected["acc"]])
        near(block.gyr, np.array([expected["gyr_dps"]]) * DEGREE)
    for wrong in (payload[:43], payload + b"\0", payload[:-1] + b"\1"):
        with pytest.raises(DecodeError):
            decoded(driver, wrong)


GENERIC = {"thingy52": "thingy52", "sensortag_cc2650": "sensortag_cc2650", "st_bluest": "bluest"}
GENERIC |= {"microbit": "microbit", "sony_mocopi": "mocopi", "arduino_nano33ble": "arduino_nano33ble"}
GENERIC |= {"arduino_nicla_sense_me": "arduino_nicla_sense_me"}
SCALES = {"acc_g": ("acc", G), "acc_mg": ("acc", G / 1000), "gyr_dps": ("gyr", DEGREE), "mag_uT": ("mag", 1)}
SCALES |= {"quat_wxyz": ("quat", 1), "acc_f16": ("acc", G), "mag_mGa": ("mag", 0.1)}


VECTORS = [
    pytest.param(name, *vector.values, id=vector.id, marks=vector.marks)
    for device, name in GENERIC.items()
    for vector in only(vectors(device), lambda vector: set(SCALES) & set(vector["expected"]))
]


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_generic_vectors(name, vector):
    """Every vector of these devices gives what its source says, on one channel of the profile."""
    driver, payload = driver_named(name), bytes.fromhex(vector["hex"])
    wanted = {SCALES[key]: value for key, value in vector["expected"].items() if key in SCALES}
    seen = set()
    for channel in range(len(driver.channels)):
        decoder = driver.decoder(UPPER)
        try:
            messages = decoder.push(payload, channel)
            for other in range(len(driver.channels)):  # what waits for its other half, or goes with the next row
                if other != channel and not messages:
                    messages += decoder.push(filler(driver, other), other)
        except DecodeError:
            continue
        block = block_of(messages) if messages else None
        for (column, unit), value in wanted.items():
            rows = getattr(block, column, None)
            if rows is not None and np.allclose(rows[-1], np.array(value) * unit, rtol=1e-9):
                seen.add(column)
    assert seen == {column for column, _ in wanted}


def filler(driver, channel):
    packet = driver.profile.sources[channel].packets[0]
    return bytes(sum(field.size for field in packet.fields) or 1)


@pytest.mark.parametrize(
    ("advertisement", "name"),
    [
        (Advertisement("a", name="Thingy"), "thingy52"),
        (Advertisement("a", name="CC2650 SensorTag"), "sensortag_cc2650"),
        (Advertisement("a", name="BBC micro:bit [zugep]"), "microbit"),
        (Advertisement("a", name="OpenEarable-1234"), "openearable"),
        (Advertisement("a", name="InfiniTime"), "pinetime"),
        (
            Advertisement("a", name="BLESense-01", service_uuids=("6fbe1da7-0000-44de-92c4-bb6e04fb0212",)),
            "arduino_nano33ble",
        ),
        (
            Advertisement("a", name="BLESense-01", service_uuids=("19b10000-0000-537e-4f6c-d104768a1214",)),
            "arduino_nicla_sense_me",
        ),
        (Advertisement("a", manufacturer_data={0x0822: b"\0"}), "adafruit_bluefruit"),
        (Advertisement("a", manufacturer_data={0x0030: b"\0"}), "bluest"),
        (Advertisement("a", service_uuids=("1b5a0001-3c5f-4d1e-9a54-7a3f1f0c52e1",)), "own_firmware_template"),
    ],
)
def test_which_profile_takes_a_sensor(advertisement, name):
    assert driver_for(advertisement).name == name


def test_nobody_takes_a_stranger():
    assert driver_for(Advertisement("a", name="Somebody's headphones", manufacturer_data={0x004C: b""})) is None
    assert driver_for(Advertisement("a", service_uuids=("6e400001-b5a3-f393-e0a9-e50e24dcca9e",))) is None
