"""Movella DOT: the vectors, every payload mode, damage, and what the sensor is told."""

import struct

import numpy as np
import pytest
from driver_fuzz import hammer
from driver_play import played, silent, written
from golden_vectors import golden
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from imuposture import AcquisitionError, ConfigError, DecodeError
from imuposture._blocks import Quality
from imuposture.acquisition.drivers import (
    Advertisement,
    Await,
    Read,
    Reconnect,
    Reply,
    Settings,
    Status,
    Subscribe,
    Unsubscribe,
    Write,
)
from imuposture.acquisition.drivers.movella_dot import DRIVER
from imuposture.acquisition.drivers.movella_dot.frames import message, parse_message
from imuposture.acquisition.drivers.movella_dot.payloads import LENGTHS, MODES, parse

SETTINGS = Settings("upper")
UUID = "1517{}-4947-11e9-8646-d663bd873d93"
PLACE = {channel.uuid[4:8]: place for place, channel in enumerate(DRIVER.channels)}
ROOT = "D4:22:CD:AA:BB:CC"

# Values of the synthetic payloads, made from the layout of the vendor's XD0506P rev C; nobody published real ones.
QUAT, EULER, FREE_ACC = (0.5, -0.5, 0.5, 0.5), (10.0, -20.5, 179.25), (0.125, -9.75, 0.5)
ACC, GYR, DQ, DV = (0.25, -0.5, 9.8125), (1.5, -2000.0, 0.0625), (1.0, 0.0, 2**-8, -(2**-8)), (0.0, 2**-6, 0.1640625)
MAG = (0.5, -1.0, 0.25)
PAYLOADS = {
    2: ("15cd5b070000003f000000bf0000003f0000003f0000003e00001cc10000003f1202030400000000", QUAT),
    4: ("15cd5b07000020410000a4c10040334300000000", EULER),
    6: ("15cd5b070000003e00001cc10000003f00000000", FREE_ACC),
    7: ("15cd5b07000020410000a4c1004033430000003e00001cc10000003f080000010000000000000000", EULER),
    18: ("15cd5b070000803f000000000000803b000080bb000000000000803c0000283e000800f000040000", DQ),
    20: ("15cd5b070000803e000000bf00001d410000c03f0000fac40000803d000800f00004000000000000", ACC),
    24: ("15cd5b070000003f000000bf0000003f0000003f0000c03f0000fac40000803d0000000000000000", QUAT),
    26: (
        "15cd5b070000003f000000bf0000003f0000003f0000803e000000bf00001d410000c03f0000fac40000803d" + 19 * "00",
        QUAT,
    ),
}
CONTROL = "0101020a001e00095873656e7320444f54000000000000003c00000000000000"  # read from a sensor, then patched
MESSAGES = {  # examples of XD0506P rev C
    "GetState": "010102fc",
    "GetSyncStatus": "020108f5",
    "SyncStatus_synced": "02025104a7",
    "StartSync": "020701ccbbaacd22d402",
    "Sync_ack_success": "02020300f9",
    "StopSync": "020102fb",
    "RevertToFactory_ack": "03080000000000000000f5",
}
WRONG_SUM = "010740df503b5b0807e0"  # a slip of the vendor's text; the rule gives e4


def asked(mode, rate_hz=60, **options):
    return Settings("upper", rate_hz, options={"mode": mode, **options})


def decoded(mode, payload, rate_hz=60):
    (block,) = DRIVER.decoder(asked(mode, rate_hz)).push(bytes.fromhex(payload), MODES[mode].channel)
    return block


def dot(channel, payload):
    return DRIVER.decoder(SETTINGS).push(payload, PLACE[channel])


class Sensor:
    """A DOT that does what it is told: holds the control, and answers about its sync."""

    def __init__(self, synced=False, result=0, control=CONTROL, stops=True):
        control = bytes.fromhex(control)
        self.control, self.synced, self.result, self.stops = control, synced, result, stops

    def __call__(self, step):
        if isinstance(step, Write) and step.uuid == UUID.format("1002"):
            self.control = step.data
        elif isinstance(step, Read):
            return {PLACE["1002"]: self.control, PLACE["7002"]: message(2, bytes([3, self.result]))}.get(
                step.channel, b"\x50\x00"
            )
        elif isinstance(step, Await):
            values = {"sync_status": {"synced": self.synced}, "sync_stopped": {"ok": self.stops}}
            return Reply(step.what, values[step.what])
        return None


@pytest.mark.parametrize("mode", PAYLOADS)
def test_payloads(mode):
    payload, first = PAYLOADS[mode]
    sample = parse(mode, bytes.fromhex(payload))
    assert sample.ticks == 123456789
    assert getattr(sample, MODES[mode].fields[0]) == first
    assert decoded(mode, payload).ticks.tolist() == [123456789.0]


def test_a_sample_of_the_default_mode():
    (block,) = DRIVER.decoder(SETTINGS).push(bytes.fromhex(PAYLOADS[26][0]))
    np.testing.assert_array_equal(block.acc, [ACC])
    np.testing.assert_allclose(block.gyr, np.deg2rad([GYR]), rtol=1e-15)
    np.testing.assert_array_equal(block.quat, [QUAT])
    assert block.mag is None
    assert block.flags.tolist() == [0]


def test_the_field_comes_in_shares_of_40_microtesla():
    (block,) = DRIVER.decoder(Settings("upper", magnetometer=True)).push(bytes.fromhex(PAYLOADS[20][0]), 1)
    np.testing.assert_array_equal(block.mag, [[20.0, -40.0, 10.0]])
    assert block.quat is None


def test_euler_angles_become_an_orientation():
    expected = Rotation.from_euler("ZYX", EULER[::-1], degrees=True).as_quat()[[3, 0, 1, 2]]
    for mode in (4, 7):
        (quat,) = decoded(mode, PAYLOADS[mode][0]).quat
        np.testing.assert_allclose(quat * np.sign(quat @ expected), expected, atol=1e-15)


def test_increments_become_rates():
    turn = Rotation.from_quat(np.roll(DQ, -1)).as_rotvec()
    for rate_hz in (60, 20):
        block = decoded(18, PAYLOADS[18][0], rate_hz)
        np.testing.assert_allclose(block.gyr, [turn * rate_hz], rtol=1e-14)
        np.testing.assert_allclose(block.acc, [np.array(DV) * rate_hz], rtol=1e-15)
        np.testing.assert_array_equal(block.mag, [np.array(MAG) * 40])


@given(hnp.arrays(np.float32, 3, elements=st.floats(-0.5, 0.5, width=32)), st.sampled_from([1, -1]))
def test_any_increment_within_50_degrees(turn, sign):
    dq = (sign * np.roll(Rotation.from_rotvec(turn).as_quat(), 1)).astype("<f4")
    payload = struct.pack("<I", 7) + dq.tobytes() + bytes(20)
    (block,) = DRIVER.decoder(asked(19)).push(payload, 1)
    np.testing.assert_allclose(block.gyr, [turn * 60], atol=2e-5)


@pytest.mark.parametrize("mode", [3, 5, 16, 22, 23, 24])
def test_what_a_mode_does_not_say_is_missing(mode):
    layout = MODES[mode].layout
    payload = struct.pack("<I", 5) + struct.pack("<f", 1.0) * ((layout.size - 4) // 4) + bytes((layout.size - 4) % 4)
    block = decoded(mode, payload.ljust(LENGTHS[MODES[mode].channel], b"\0").hex())
    assert np.isnan(block.acc).all(), "a free acceleration is no specific force"
    assert np.isnan(block.gyr).any() == ("gyr" not in MODES[mode].fields)
    assert (block.quat is not None) == bool({"quat", "euler"} & set(MODES[mode].fields))


@pytest.mark.parametrize(
    ("status", "acc", "gyr", "expected"),
    [(0x12, 0, 0, 4), (0x01, 0, 0, 4), (0x20, 0, 0, 4), (0x3C0, 0, 0, 0), (0, 1, 0, 4), (0, 0, 1, 4), (0, 0, 0, 0)],
)
def test_clipping_is_saturation(status, acc, gyr, expected):
    assert Quality.SATURATED == 4
    payload = bytes.fromhex(PAYLOADS[2][0])[:32] + struct.pack("<HBB", status, acc, gyr) + bytes(4)
    assert decoded(2, payload.hex()).flags.tolist() == [expected]


def test_ticks_are_handed_on_as_sent():
    stream = DRIVER.stream(SETTINGS)
    assert (stream.tick_s, stream.wrap_ticks, stream.clock) == (1e-6, 2**32, "device")
    for ticks in (0, 2**32 - 1, 16667):
        payload = struct.pack("<I", ticks) + bytes.fromhex(PAYLOADS[26][0])[4:]
        assert decoded(26, payload.hex()).ticks.tolist() == [float(ticks)]


def test_a_wrong_length_or_another_mode_is_refused():
    for mode, (payload, _) in PAYLOADS.items():
        data = bytes.fromhex(payload)
        for wrong in (data[:-1], data + b"\0", data[: MODES[mode].layout.size - 1], b"", data[:-1] + b"\x01"):
            if wrong != data and (len(wrong) != len(data) or MODES[mode].layout.size < len(data)):
                with pytest.raises(DecodeError):
                    DRIVER.decoder(asked(mode)).push(wrong, MODES[mode].channel)
        for channel in {0, 1, 2, 11, -1} - {MODES[mode].channel}:
            with pytest.raises(DecodeError, match="nothing comes on channel"):
                DRIVER.decoder(asked(mode)).push(data, channel)
    for number in (np.nan, np.inf, -1e30):
        with pytest.raises(DecodeError, match="no sensor gives"):
            decoded(26, (bytes.fromhex(PAYLOADS[26][0])[:40] + struct.pack("<f", number) + bytes(19)).hex())
    with pytest.raises(DecodeError, match="unit quaternion"):
        decoded(19, bytes(40).hex())
    with pytest.raises(DecodeError, match="within a turn"):
        decoded(4, (struct.pack("<I3f", 1, 0, 361, 0) + bytes(4)).hex())


def test_battery_button_and_power():
    assert dot("3001", b"\x4b\x01") == [Status("battery", {"percent": 75.0, "charging": True})]
    assert dot("1004", b"\x01".ljust(36, b"\0")) == [Status("power_off")]
    assert dot("1004", b"\x04".ljust(36, b"\0")) == [Status("power_saving")]
    for kind in (5, 6, 7):
        told = dot("1004", struct.pack("<BBI", kind, 4, 123456).ljust(36, b"\0"))
        assert told == [Status("button", {"clicks": kind - 4, "ms": 123456})]
    assert dot("2007", b"\x01") == [Reply("heading_reset", {"ok": True})]
    assert dot("2001", b"\x01\x01\x1a") == [Reply("measurement", {"running": True, "mode": 26})]
    damaged = [
        ("3001", b"\x65\x00"),
        ("3001", b"\x4b\x02"),
        ("3001", b"\x4b"),
        ("1004", bytes(36)),
        ("1004", bytes(35)),
    ]
    damaged += [("2007", b"\x02"), ("2001", b"\x02\x00\x1a"), ("1002", bytes(31)), ("1001", bytes(35))]
    for channel, payload in [*damaged, ("1002", bytes(7) + b"\x11" + bytes(24))]:
        with pytest.raises(DecodeError):
            dot(channel, payload)


def test_who_it_is():
    (info,) = dot(
        "1001",
        struct.pack("<6s3BH5BIQ6s", bytes.fromhex("ccbbaacd22d4"), 2, 4, 1, 2023, 7, 1, 12, 30, 59, 9, 0xD4, b"XS-T02"),
    )
    assert info.values["address"] == ROOT
    assert info.values["firmware"] == "2.4.1"
    assert info.values["product"] == "XS-T02"
    (control,) = dot("1002", bytes.fromhex(CONTROL))
    assert control.values == {
        "visit": 1,
        "identify": 1,
        "power": 2,
        "advertising_min": 10,
        "advertising_s": 0,
        "connected_min": 30,
        "connected_s": 0,
        "tag": "Xsens DOT",
        "rate_hz": 60,
        "filter": 0,
    }


def test_messages():
    for frame in MESSAGES.values():
        data = bytes.fromhex(frame)
        assert message(data[0], data[2:-1]) == data
    told = {name: dot("7003", bytes.fromhex(frame)) for name, frame in MESSAGES.items()}
    assert told["SyncStatus_synced"] == [Reply("sync_status", {"synced": True, "status": 4})]
    assert told["Sync_ack_success"] == [Reply("sync_result", {"ok": True, "result": 0, "text": "synced"})]
    assert dot("7003", bytes.fromhex("02025109a2"))[0].values["synced"] is False
    assert dot("7003", bytes.fromhex("02025000ac")) == [Reply("sync_stopped", {"ok": True})]
    assert dot("7002", message(2, b"\x03\x05").ljust(160, b"\0"))[0].values["text"] == "not enough samples"
    for wrong in (WRONG_SUM, "02025104a8", "02025104", "02025104a700", "0402 5104a5", "", "02", "02fe"):
        with pytest.raises(DecodeError):
            dot("7003", bytes.fromhex(wrong))


def test_all_shared_vectors():
    for vector in golden("movella_dot"):
        name, expected, data = vector["id"].removeprefix("dot_"), vector["expected"], bytes.fromhex(vector["hex"])
        if name.startswith("msg_"):
            if expected["checksum_ok"]:
                assert message(expected["mid"], bytes.fromhex(expected["data"])) == data
                parse_message(data)
            else:
                with pytest.raises(DecodeError):
                    parse_message(data)
        elif name.startswith("mode"):
            check_payload(int(name[4:].split("_")[0]), data, expected)
        elif name == "device_control_readback":
            (control,) = dot("1002", data)
            assert (control.values["rate_hz"], control.values["tag"]) == (expected["output_rate"], expected["tag"])
            assert control.values["connected_min"] == expected["conn_timeout_min"]
        elif name == "status_0x0012":
            payload = bytes.fromhex(PAYLOADS[2][0])[:32] + data + bytes(6)
            assert decoded(2, payload.hex()).flags.tolist() == [Quality.SATURATED]
        else:
            assert name.startswith("cmd_"), "a vector that no test knows"
            assert vector["hex"] in commands(name), name


def commands(name):
    procedures = {
        "cmd_start_custom5": DRIVER.start(SETTINGS),
        "cmd_stop_custom5": DRIVER.stop(SETTINGS),
        "cmd_start_free_acc": DRIVER.start(asked(6)),
        "cmd_start_orient_quat": DRIVER.start(asked(5)),
        "cmd_heading_reset": DRIVER.reset_heading(),
        "cmd_heading_revert": DRIVER.reset_heading(revert=True),
    }
    return written(played(procedures[name], Sensor()))


def check_payload(mode, data, expected):
    """Compare everything that a vector says, field by field, and what becomes of it."""
    sample = parse(mode, data)
    names = {"quat_wxyz": "quat", "euler_xyz_deg": "euler", "dq_wxyz": "dq", "gyr_dps": "gyr"}
    for name, value in expected.items():
        if name == "t_us":
            assert sample.ticks == value
        elif name == "mag_au":
            np.testing.assert_array_equal(np.array(sample.mag) / 4096, value)
        elif name.startswith("clip_"):
            assert sample.clipped[name == "clip_gyr"] == value
        else:
            np.testing.assert_array_equal(getattr(sample, names.get(name, name)), value)
    block = decoded(mode, data.hex())
    assert (block.flags[0] != 0) == (bool(expected.get("status", 0) & 0x3F) or bool(sum(sample.clipped)))
    if "acc" in expected:
        np.testing.assert_array_equal(block.acc, [expected["acc"]])


def test_the_order_of_the_start():
    sensor = Sensor()
    steps = played(DRIVER.start(Settings("upper", 30, options={"filter": "dynamic", "tag": "upper"})), sensor)
    assert steps[0] == Subscribe(PLACE["7003"])
    assert steps[-2:] == [Subscribe(0), Write(UUID.format("2001"), bytes.fromhex("01011a"))]
    assert written(steps)[:2] == [MESSAGES["GetSyncStatus"], "01001a"]
    expected = "3c 00 02 0a 00 00 00 05 7570706572 0000000000000000000000 1e00 01 0000000000"
    assert sensor.control == bytes.fromhex(expected)
    assert Read(PLACE["3001"]) in steps
    sensor = Sensor()
    played(DRIVER.start(SETTINGS), sensor)
    assert sensor.control[0] == 0x34, "the tag is left alone"
    assert sensor.control[5:7] == b"\0\0", "it does not fall asleep while connected"
    assert sensor.control[7:17] == b"\x09Xsens DOT"
    assert sensor.control[24:27] == b"\x3c\0\0"
    again = played(DRIVER.start(SETTINGS), sensor)
    assert UUID.format("1002") not in {step.uuid for step in again if isinstance(step, Write)}, "it is in flash"
    stop = played(DRIVER.stop(SETTINGS), sensor)
    assert stop == [Write(UUID.format("2001"), bytes.fromhex("01001a")), Unsubscribe(0)]


def test_the_sync():
    steps = played(DRIVER.start(asked(26, sync=ROOT)), Sensor())
    at = steps.index(Write(UUID.format("7001"), bytes.fromhex(MESSAGES["StartSync"])))
    assert steps[at + 1 : at + 3] == [Reconnect(14.0), Read(PLACE["7002"])]
    before = [step.uuid for step in steps[:at] if isinstance(step, Write)]
    assert UUID.format("1002") in before, "rate and filter cannot be set once it is synced"
    with pytest.raises(AcquisitionError, match="the sync failed: skew too large"):
        played(DRIVER.start(asked(26, sync=ROOT)), Sensor(result=7))
    assert MESSAGES["StopSync"] in written(played(DRIVER.stop(asked(26, sync=ROOT)), Sensor()))


def test_a_sync_from_before():
    steps = played(DRIVER.start(SETTINGS), Sensor(synced=True))
    order = written(steps)
    assert order.index(MESSAGES["StopSync"]) < next(n for n, data in enumerate(order) if len(data) == 64)
    kept = written(played(DRIVER.start(asked(26, sync=ROOT)), Sensor(synced=True)))
    assert not {MESSAGES["StopSync"], MESSAGES["StartSync"]} & set(kept), "rate and filter fit: it may stay"
    anew = written(played(DRIVER.start(asked(26, 30, sync=ROOT)), Sensor(synced=True)))
    assert anew.index(MESSAGES["StopSync"]) < anew.index(MESSAGES["StartSync"])
    with pytest.raises(AcquisitionError, match="does not let go"):
        played(DRIVER.start(SETTINGS), Sensor(synced=True, stops=False))


def test_a_sensor_that_does_not_obey():
    def stubborn(step):
        return bytes.fromhex(CONTROL) if isinstance(step, Read) else silent(step)

    with pytest.raises(AcquisitionError, match="did not take 30 Hz and filter 0"):
        played(DRIVER.start(Settings("upper", 30)), stubborn)
    with pytest.raises(AcquisitionError, match="32 bytes"):
        played(DRIVER.start(SETTINGS), silent)


def test_it_blinks_and_keeps_its_settings():
    sensor = Sensor(control="0000" + CONTROL[4:])
    assert written(played(DRIVER.identify(), sensor)) == [CONTROL]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings("upper", 120), "1, 4, 10, 12, 15, 20, 30, 60"),
        (asked(17), "only the vendor's software"),
        (asked(8), "does not exist"),
        (asked("26.5"), "whole number"),
        (Settings("upper", magnetometer=True, options={"mode": 26}), "holds no magnetic field"),
        (asked(26, filter="fast"), "general, dynamic"),
        (asked(26, tag="a/b"), "plain letters"),
        (asked(26, tag="more than 16 letters"), "1 to 16"),
        (asked(26, sync="root"), "D4:22:CD"),
        (asked(26, speed=1), "it has: filter, mode, sync, tag"),
        (Settings("upper", part=1), "leave out #1"),
    ],
)
def test_what_it_cannot_do_is_refused(settings, told):
    for question in (DRIVER.stream, DRIVER.decoder, DRIVER.start):
        with pytest.raises(ConfigError, match=told):
            question(settings)


@pytest.mark.parametrize("mode", MODES)
def test_only_modes_with_both_sensors_can_stream(mode):
    if mode in {18, 19, 20, 21, 26}:
        stream = DRIVER.stream(asked(mode))
        assert stream.magnetometer == (mode in {18, 20})
        assert (stream.acc_full_scale, stream.gyr_full_scale) == (pytest.approx(16 * 9.80665), np.deg2rad(2000))
    else:
        with pytest.raises(ConfigError, match="these have: 18, 19, 20, 21, 26"):
            DRIVER.stream(asked(mode))


@pytest.mark.parametrize("mode", [26, 18, 7])
def test_damaged_payloads(mode):
    payload = bytes.fromhex(PAYLOADS[mode][0])
    valid = [(payload, MODES[mode].channel)] * 4
    valid += [(b"\x4b\x01", PLACE["3001"]), (bytes.fromhex(MESSAGES["SyncStatus_synced"]), PLACE["7003"])]
    valid += [(b"\x01".ljust(36, b"\0"), PLACE["1004"]), (bytes.fromhex(CONTROL), PLACE["1002"])]
    lengths = {PLACE["3001"]: 2, PLACE["1004"]: 36, PLACE["1002"]: 32, PLACE["1001"]: 34, PLACE["2007"]: 1}
    lengths |= {PLACE["2001"]: 3, MODES[mode].channel: len(payload)}

    def fits(given):
        data, channel = given
        if channel in {PLACE["7002"], PLACE["7003"]}:
            return len(data) == data[1] + 3 or len(data) == 160
        return lengths.get(channel) == len(data)

    tally = hammer(DRIVER.decoder(asked(mode)), valid, channels=len(DRIVER.channels), fits=fits, seed=mode)
    assert tally.rows > 0


@pytest.mark.parametrize(
    ("name", "address", "company", "taken"),
    [
        ("Movella DOT", "AA:00:00:00:00:00", None, True),
        ("Xsens DOT", "AA:00:00:00:00:00", None, True),
        ("Movella Dot", "AA:00:00:00:00:00", None, True),
        (None, "d4:22:cd:00:00:01", 2182, True),
        (None, "AA:00:00:00:00:00", 2182, False),
        ("WT901BLE67", "AA:00:00:00:00:00", None, False),
    ],
)
def test_which_sensors_it_takes(name, address, company, taken):
    data = {} if company is None else {company: b""}
    assert DRIVER.matches(Advertisement(address, name, manufacturer_data=data)) is taken
    assert DRIVER.verified is None
