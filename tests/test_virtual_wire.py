"""Wire formats, from inside the sensor: bytes that others published, and what firmware does when told something."""

import struct

import numpy as np
import pytest
from golden_vectors import golden_of

from imuposture._errors import ConfigError
from imuposture.acquisition.virtual.wire import Firmware, Identity, Packet, Samples, find
from imuposture.acquisition.virtual.wire.movella_dot import CONTROL, LONG, MEASURE, MESSAGE, MESSAGE_ACK
from imuposture.acquisition.virtual.wire.movesense import Movesense
from imuposture.acquisition.virtual.wire.own_firmware import OwnFirmware
from imuposture.acquisition.virtual.wire.witmotion import NOTIFY, WitMotion

ROOM = 244
IDENTITY = Identity("D4:22:CD:AA:BB:CC")


def samples(rows: int = 1, **values: object) -> Samples:
    """Samples of which a test says what matters to it."""
    arrays = {
        "clock_s": np.arange(rows) * 0.01,
        "acc": np.tile([0.25, -0.5, 9.8125], (rows, 1)),
        "gyr": np.radians(np.tile([1.5, -2000.0, 0.0625], (rows, 1))),
        "mag": 40.0 * np.tile([0.5, -1.0, 0.25], (rows, 1)),
        "quat": np.tile([0.5, -0.5, 0.5, 0.5], (rows, 1)),
        **{name: np.asarray(value, dtype=np.float64) for name, value in values.items()},
    }
    return Samples(number=0, **arrays)


def booted(name: str) -> Firmware:
    firmware = find(name)(IDENTITY)
    firmware.boot()
    return firmware


def payload(packet: Packet) -> bytes:
    (notification,) = packet.notifications
    return notification.data


@pytest.mark.parametrize(
    ("mode", "identifier"),
    [(5, "dot_mode5_orient_quat"), (20, "dot_mode20_rate_mag"), (21, "dot_mode21_rate"), (24, "dot_mode24_custom3"),
     (26, "dot_mode26_custom5")],
)  # fmt: skip
def test_a_dot_sends_the_published_layout(mode, identifier):
    firmware = booted("movella_dot")
    firmware.write(MEASURE, bytes((1, 1, mode)), 0.0)
    (packet,) = firmware.encode(samples(clock_s=[123.456789]), ROOM)
    assert payload(packet).hex() == golden_of(identifier)["hex"]


def test_a_dots_free_acceleration_has_no_gravity():
    firmware = booted("movella_dot")
    firmware.write(MEASURE, bytes((1, 1, 6)), 0.0)
    quat = [[np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0]]  # x down
    (packet,) = firmware.encode(samples(acc=[[-9.80665, 0.0, 1.0]], quat=quat), ROOM)
    assert struct.unpack_from("<3f", payload(packet), 4) == pytest.approx((1.0, 0.0, 0.0), abs=1e-6)


def test_a_dots_control_is_as_captured():
    firmware = booted("movella_dot")
    firmware.tag, firmware.timeouts = b"Xsens DOT", bytes((10, 0, 30, 0))
    captured = bytes.fromhex(golden_of("dot_device_control_readback")["hex"])
    assert firmware.read(CONTROL, 0.0)[3:] == captured[3:]


def test_a_dot_synchronises_when_it_is_left_alone():
    firmware = booted("movella_dot")
    status = bytes.fromhex(golden_of("dot_msg_GetSyncStatus")["hex"])
    start = bytes.fromhex(golden_of("dot_msg_StartSync_root_D4:22:CD:AA:BB:CC")["hex"])
    synced = bytes.fromhex(golden_of("dot_msg_SyncStatus_synced")["hex"])
    assert firmware.write(MESSAGE, start[:-1] + b"\0", 0.0) == firmware.write(MESSAGE, start, 1.0) == ()
    firmware.link_down(2.0)
    assert firmware.read(MESSAGE_ACK, 16.0).hex() == golden_of("dot_msg_Sync_ack_success")["hex"]
    assert firmware.synced_to == "D4:22:CD:AA:BB:CC"
    assert firmware.write(MESSAGE, status, 17.0)[0].data == synced
    control = bytearray(32)
    control[0], control[24] = 0x10, 30
    firmware.write(CONTROL, bytes(control), 18.0)
    assert firmware.rate_hz == 60.0  # a synchronised sensor keeps its rate
    (stopped,) = firmware.write(MESSAGE, bytes.fromhex(golden_of("dot_msg_StopSync")["hex"]), 19.0)
    assert stopped.data.hex() == "02025000ac"
    assert firmware.write(MESSAGE, status, 20.0)[0].data != synced


def test_a_dot_that_is_called_back_too_soon_is_not_synchronised():
    firmware = booted("movella_dot")
    firmware.write(MESSAGE, bytes.fromhex("020701ccbbaacd22d402"), 0.0)
    firmware.link_down(1.0)
    assert firmware.read(MESSAGE_ACK, 5.0)[3] == 5
    assert firmware.synced_to is None


def test_a_dot_measures_in_one_mode_at_a_time():
    firmware = booted("movella_dot")
    firmware.write(MEASURE, bytes((1, 1, 26)), 0.0)
    firmware.write(MEASURE, bytes((1, 1, 5)), 0.0)
    assert firmware.stream_uuid == LONG
    firmware.write(MEASURE, bytes((1, 1, 17)), 0.0)  # only the vendor's software can read that
    assert firmware.read(MEASURE, 0.0) == bytes((1, 1, 26))


def test_witmotion_frames_are_those_that_were_captured():
    told = golden_of("wit_0x61_real_1")
    raw = np.array(told["expected"]["raw"], dtype=np.float64)
    r, p, y = 0.5 * np.radians(raw[6:] * 180.0 / 32768.0)
    quat = [
        np.cos(r) * np.cos(p) * np.cos(y) + np.sin(r) * np.sin(p) * np.sin(y),
        np.sin(r) * np.cos(p) * np.cos(y) - np.cos(r) * np.sin(p) * np.sin(y),
        np.cos(r) * np.sin(p) * np.cos(y) + np.sin(r) * np.cos(p) * np.sin(y),
        np.cos(r) * np.cos(p) * np.sin(y) - np.sin(r) * np.sin(p) * np.cos(y),
    ]
    acc, gyr = raw[:3] / 32768.0 * 16.0 * 9.80665, np.radians(raw[3:6] / 32768.0 * 2000.0)
    (packet,) = booted("witmotion").encode(samples(acc=[acc], gyr=[gyr], quat=[quat]), ROOM)
    assert payload(packet).hex() == told["hex"]


def test_witmotion_puts_four_frames_into_a_notification_at_100_hz():
    firmware = find("witmotion")(IDENTITY)
    firmware.preset(100.0)
    firmware.boot()
    packets = list(firmware.encode(samples(8), ROOM))
    assert [len(payload(packet)) for packet in packets] == [80, 80]
    assert [packet.touched for packet in packets] == [((0, 4),), ((4, 8),)]


def test_witmotion_frames_are_cut_where_the_mtu_ends():
    firmware = find("witmotion")(IDENTITY)
    firmware.preset(100.0)
    firmware.boot()
    (packet,) = firmware.encode(samples(4), 28)
    assert [len(n.data) for n in packet.notifications] == [28, 28, 24]
    assert packet.touched == ((0, 2), (1, 3), (2, 4))
    (whole,) = firmware.encode(samples(4), ROOM)
    assert b"".join(n.data for n in packet.notifications) == payload(whole)


def told_to(firmware: WitMotion, register: int, value: int, clock_s: float) -> None:
    firmware.write("", struct.pack("<BBBH", 0xFF, 0xAA, register, value), clock_s)


def test_witmotion_is_set_only_when_unlocked_and_after_a_pause():
    firmware = booted("witmotion")
    told_to(firmware, 0x03, 0x09, 0.0)
    assert firmware.rate_hz == 10.0  # locked
    told_to(firmware, 0x69, 0xB588, 1.0)
    told_to(firmware, 0x03, 0x09, 1.01)
    assert firmware.rate_hz == 10.0  # too soon
    told_to(firmware, 0x03, 0x09, 1.1)
    assert firmware.rate_hz == 100.0
    firmware.boot()
    assert firmware.rate_hz == 10.0  # it was not saved
    told_to(firmware, 0x69, 0xB588, 2.0)
    told_to(firmware, 0x03, 0x0B, 2.1)
    told_to(firmware, 0x00, 0x00, 2.2)
    firmware.boot()
    assert firmware.rate_hz == 200.0


def test_witmotion_answers_reads_with_eight_registers():
    firmware = booted("witmotion")
    firmware.battery_percent = 100.0
    (reply,) = firmware.write("", bytes.fromhex("ffaa276400"), 0.0)
    assert reply.uuid == NOTIFY
    assert (len(reply.data), reply.data[:4].hex()) == (20, "55716400")
    assert struct.unpack_from("<h", reply.data, 4)[0] == 397
    told_to(firmware, 0x69, 0xB588, 1.0)
    told_to(firmware, 0x00, 0x00, 1.1)
    (reply,) = firmware.write("", bytes.fromhex("ffaa276400"), 1.2)
    assert reply.data[4:] == bytes(16)  # while it saves, everything reads 0


def test_movesense_splits_what_is_long():
    told = golden_of("movesense_imu9_104_two_parts")
    firmware = booted("movesense")
    path = b"/Meas/IMU9/104"
    (result,) = firmware.write("", bytes((1, 0x63)) + path, 0.0)
    assert result.data == bytes((1, 0x63)) + struct.pack("<H", 200)
    expected = told["expected"]
    values = {"acc": expected["acc"], "gyr": np.radians(expected["gyr_dps"])}
    mag = next(value for name, value in expected.items() if name.startswith("mag"))
    stamps = 1e-3 * expected["timestamp_ms"] + 1e-4 + np.arange(8) / 104.0
    (packet,) = firmware.encode(samples(8, clock_s=stamps, mag=mag, **values), ROOM)
    assert [len(n.data) for n in packet.notifications] == [152, 144]
    assert [n.data[0] for n in packet.notifications] == [2, 3]
    first = bytes.fromhex(told["hex"])
    floats = [np.frombuffer(data[6:150], dtype="<f4") for data in (packet.notifications[0].data, first)]
    np.testing.assert_allclose(floats[0], floats[1], rtol=1e-6, atol=1e-6)  # degrees were radians in between
    assert packet.notifications[0].data[:6] == first[:6]


def test_movesense_takes_what_it_can_carry():
    firmware = booted("movesense")

    def status(code: int, reference: int, path: str = "") -> int:
        (result,) = firmware.write("", bytes((code, reference)) + path.encode(), 0.0)
        assert result.data[:2] == bytes((1, reference))
        return struct.unpack_from("<H", result.data, 2)[0]

    assert status(1, 5, "/Meas/IMU6/208") == 413  # longer than two parts
    assert status(1, 5, "/Meas/Acc/208") == status(1, 6, "/Meas/Gyro/208") == 200
    assert status(1, 7, "/Meas/Taste/208") == 404
    assert len(next(firmware.encode(samples(16), ROOM)).notifications) == 4
    assert status(2, 5) == status(2, 6) == 200
    assert status(2, 6) == 404
    assert not firmware.streaming
    assert firmware.write("", bytes((0, 9)), 0.0)[0].data[:2] == bytes((1, 9))


def test_movesense_forgets_with_the_link():
    firmware = booted("movesense")
    firmware.write("", bytes((1, 5)) + b"/Meas/IMU6/52", 0.0)
    assert firmware.packet_rows == 4
    firmware.link_down(1.0)
    assert isinstance(firmware, Movesense)
    assert not firmware.streaming
    assert not firmware.resources


def test_own_firmware_batches_whole_numbers():
    firmware = booted("own_firmware_template")
    assert isinstance(firmware, OwnFirmware)
    firmware.counter_start = 2**32 - 2
    firmware.write("", struct.pack("<BHBH", 1, 100, 8, 2000), 0.0)
    acc = np.tile([0.0, 8.0 * 9.80665 / 2.0, -9.80665], (8, 1))
    batch, second = firmware.encode(samples(8, acc=acc), ROOM)
    assert struct.unpack_from("<IIB", payload(batch)) == (2**32 - 2, 0, 4)
    assert struct.unpack_from("<IIB", payload(second)) == (2, 40_000, 4)
    assert struct.unpack_from("<6h", payload(batch), 9) == (0, 16384, -4096, 25, -32768, 1)
    assert len(payload(batch)) == 57
    firmware.write("", struct.pack("<BHBH", 1, 77, 8, 2000), 0.0)
    assert firmware.rate_hz == 100.0  # there is no such rate
    firmware.write("", b"\0", 0.0)
    assert not firmware.streaming


@pytest.mark.parametrize("name", ["movella_dot", "witmotion", "movesense", "own_firmware_template"])
def test_a_rate_that_is_not_there_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} has no rate of 61 Hz; there are"):
        find(name)(IDENTITY).preset(61.0)
