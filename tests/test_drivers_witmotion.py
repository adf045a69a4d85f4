"""WitMotion: the vectors, any cut of the stream, damage, and what the sensor is told."""

import random
import struct

import numpy as np
import pytest
from driver_fuzz import hammer, pushed, rows_of
from driver_play import played, silent, written
from golden_vectors import golden
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from imuposture import AcquisitionError, ConfigError, DecodeError
from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Advertisement, Await, Reply, Settings, Status, Subscribe, Unsubscribe, Wait
from imuposture.acquisition.drivers.witmotion import DRIVER, register_read, register_write

SETTINGS = Settings("upper")
G = 9.80665
# RGu0/WT901 tests/data/recordings/wt901-100hz.jsonl: a notification of a WT901BLE67 at 100 Hz; values by the formula.
CAPTURED = (
    "55612706bc0179065500e7fec4fa3e00eaff000055613806c7016b0698ff79fe74fb3e00eaff0000"
    "55618006cc017f06b2feb8fe0dfc3e00eaff000055618206ad018c0696fe58ff65fc3e00eaff0000"
)
CAPTURED_FIRST = ([0.76904296875, 0.216796875, 0.80908203125], [5.18798828125, -17.15087890625, -81.787109375])
CAPTURED_ANGLES = [0.340576171875, -0.120849609375, 0.0]
MOVING = "55617702a8fe92fe060230fecdfff8f053fcabc4"  # the same recording, in motion
FIELD = "55713a00680169007a0000000000000000000000"  # example of the vendor's data sheet: 360, 105, 122
BATTERY = "557164008d01000047111a900000000000000000"  # RGu0/WT901 docs/protocol.md, registers beyond the known as 0
COMMANDS = {  # data sheet v23-0420
    "unlock": "ffaa6988b5",
    "rate_10": "ffaa030600",
    "rate_50": "ffaa030800",
    "rate_100": "ffaa030900",
    "rate_0x0A": "ffaa030a00",
    "rate_0x0B": "ffaa030b00",
    "save": "ffaa000000",
    "acc_cal": "ffaa010100",
    "mag_cal": "ffaa010700",
    "cal_end": "ffaa010000",
    "z_zero": "ffaa010400",
    "angle_ref": "ffaa010800",
    "read_mag": "ffaa273a00",
    "read_quat": "ffaa275100",
    "read_temp": "ffaa274000",
    "read_batt": "ffaa276400",
    "algo_6axis": "ffaa240100",
    "algo_9axis": "ffaa240000",
    "orient_vertical": "ffaa230100",
}


def frames(count: int, seed: int = 0) -> list[bytes]:
    """Make frames of noise."""
    raw = np.random.default_rng(seed).integers(-32768, 32768, (count, 9))
    return [b"\x55\x61" + struct.pack("<9h", *row.tolist()) for row in raw]


def blocks(messages: list[object]) -> list[ImuBlock]:
    return [message for message in messages if isinstance(message, ImuBlock)]


def check_frame(block: ImuBlock, row: int, acc_g: list[float], gyr_dps: list[float], angles: list[float]) -> None:
    np.testing.assert_allclose(block.acc[row], np.array(acc_g) * G, rtol=1e-14)
    np.testing.assert_allclose(block.gyr[row], np.deg2rad(gyr_dps), rtol=1e-14)
    expected = Rotation.from_euler("ZYX", angles[::-1], degrees=True).as_quat()[[3, 0, 1, 2]]
    np.testing.assert_allclose(block.quat[row] * np.sign(block.quat[row] @ expected), expected, atol=1e-15)


def test_a_notification_of_a_real_sensor():
    (block,) = DRIVER.decoder(SETTINGS).push(bytes.fromhex(CAPTURED))
    check_frame(block, 0, *CAPTURED_FIRST, CAPTURED_ANGLES)
    assert block.ticks.tolist() == [0, 1, 2, 3]
    assert block.mag is None
    (block,) = DRIVER.decoder(SETTINGS).push(bytes.fromhex(MOVING))
    np.testing.assert_allclose(block.acc[0] / G, [0.30810546875, -0.16796875, -0.1787109375])


def test_answers():
    decoder = DRIVER.decoder(SETTINGS)
    reply, field = decoder.push(bytes.fromhex(FIELD))
    assert reply == Reply("register_3a", {"first": 0x3A, "values": (360, 105, 122, 0, 0, 0, 0, 0)})
    assert field == Status("magnetic_field", {"raw": (360, 105, 122), "calibrated": False})
    reply, battery = decoder.push(bytes.fromhex(BATTERY))
    assert battery == Status("battery", {"percent": 100.0, "volts": 3.97})
    _, heat = decoder.push(b"\x55\x71\x40\x00" + struct.pack("<8h", 3004, *[0] * 7))
    assert heat == Status("temperature", {"celsius": 30.04})
    _, turn = decoder.push(b"\x55\x71\x51\x00" + struct.pack("<8h", 16384, -16384, 16384, 16384, *[0] * 4))
    assert turn == Status("orientation", {"quat": (0.5, -0.5, 0.5, 0.5)})


@pytest.mark.parametrize(
    ("raw", "percent"),
    [
        *[(500, 100), (396, 100), (395, 90), (393, 90), (392, 75), (387, 75), (386, 60), (382, 60), (381, 50)],
        *[(379, 50), (378, 40), (377, 40), (376, 30), (373, 30), (372, 20), (370, 20), (369, 15), (368, 15)],
        *[(367, 10), (350, 10), (349, 5), (340, 5), (339, 0), (1, 0), (0, None), (-1, None)],
    ],
)
def test_the_battery_ladder(raw, percent):
    messages = DRIVER.decoder(SETTINGS).push(b"\x55\x71\x64\x00" + struct.pack("<8h", raw, *[0] * 7))
    told = [message.values["percent"] for message in messages if isinstance(message, Status)]
    assert told == ([] if percent is None else [percent])


@pytest.mark.parametrize("vector", COMMANDS)
def test_commands(vector):
    procedures = {
        "acc_cal": DRIVER.calibrate("acceleration"),
        "mag_cal": DRIVER.calibrate("field"),
        "cal_end": DRIVER.calibrate("end"),
        "z_zero": DRIVER.calibrate("heading"),
        "angle_ref": DRIVER.calibrate("angle_reference"),
        "read_mag": DRIVER.poll(0x3A),
        "read_quat": DRIVER.poll(0x51),
        "read_temp": DRIVER.poll(0x40),
        "read_batt": DRIVER.poll(0x64),
        "rate_10": DRIVER.start(Settings("upper", 10)),
        "rate_50": DRIVER.start(Settings("upper", 50)),
        "rate_0x0B": DRIVER.start(Settings("upper", 200)),
        "save": DRIVER.start(Settings("upper", options={"save": True})),
        "algo_9axis": DRIVER.start(Settings("upper", options={"axes": 9})),
        "orient_vertical": DRIVER.start(Settings("upper", options={"mounting": "vertical"})),
    }
    if vector == "rate_0x0A":  # means three different rates: known, and never sent
        assert register_write(0x03, 0x0A).hex() == COMMANDS[vector]
        return
    assert COMMANDS[vector] in written(played(procedures.get(vector, DRIVER.start(SETTINGS)), silent))


def test_all_shared_vectors():
    for vector in golden("witmotion_ble"):
        name, expected = vector["id"], vector["expected"]
        payload = bytes.fromhex(vector["hex"])
        if name.startswith("wit_cmd_"):
            assert COMMANDS[name.removeprefix("wit_cmd_")] == vector["hex"]
            register = expected.get("reg", 0x27)
            made = (
                register_read(expected["read"]) if "read" in expected else register_write(register, expected["value"])
            )
            assert made == payload
        elif name.startswith("wit_0x61"):
            (block,) = DRIVER.decoder(SETTINGS).push(payload)
            samples = expected.get("frames", [expected])
            assert len(block.ticks) == len(samples)
            for row, sample in enumerate(samples):
                check_frame(block, row, sample["acc_g"], sample["gyr_dps"], sample["angle_rpy_deg"])
        elif name in {"wit_mag_reg", "wit_battery_397"}:
            reply, status = DRIVER.decoder(SETTINGS).push(payload.ljust(20, b"\0"))
            assert reply.values["first"] == expected["start_reg"]
            raw = expected["raw"] if isinstance(expected["raw"], list) else [expected["raw"]]
            assert list(reply.values["values"][: len(raw)]) == raw
            assert status.values.get("percent") == expected.get("percent")
        else:
            assert name == "wit_recording_stats", "a vector that no test knows"


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 200))
def test_any_cut_gives_the_same_rows(seed, count, longest):
    rng = random.Random(seed)
    stream = [*frames(count, seed), bytes.fromhex(BATTERY), *frames(2, seed + 1)]
    if rng.random() < 0.5:
        cut_off = frames(1, seed + 2)[0][: rng.randint(1, 19)]
        stream.insert(rng.randint(0, count), rng.choice([cut_off, rng.randbytes(rng.randint(1, 30))]))
    whole = b"".join(stream)
    told = []
    for one_piece in (True, False):
        decoder, messages, at = DRIVER.decoder(SETTINGS), [], 0
        while at < len(whole):
            size = len(whole) if one_piece else rng.randint(1, longest)
            messages += pushed(decoder, [(whole[at : at + size], 0)], patient=True)
            at += size
        ticks = [block.ticks for block in blocks(messages)]
        others = [message for message in messages if not isinstance(message, ImuBlock)]
        told.append((rows_of(messages).tobytes(), np.concatenate(ticks or [np.empty(0)]).tolist(), others))
    assert told[0] == told[1]


def test_a_frame_cut_off_costs_itself_only():
    sent = frames(40, seed=3)
    whole = rows_of(pushed(DRIVER.decoder(SETTINGS), [(b"".join(sent[:10] + sent[11:]), 0)]))
    for lost in range(2, 20):  # one byte less: the next frame's 55 takes its place, and the loss shows a frame later
        damaged = [*sent[:10], sent[10][:-lost], *sent[11:]]
        np.testing.assert_array_equal(rows_of(pushed(DRIVER.decoder(SETTINGS), [(b"".join(damaged), 0)])), whole)


def test_a_frame_cut_off_is_not_mended_with_the_next_one():
    """It looks whole when the next arrives; what follows that tells."""
    first, second, third = frames(3, seed=4)
    decoder = DRIVER.decoder(SETTINGS)
    assert decoder.push(first[:10]) == []
    assert decoder.push(second) == []
    resync, block = decoder.push(third)
    assert resync == Status("resync", {"bytes": 10})
    np.testing.assert_array_equal(rows_of([block]), rows_of(DRIVER.decoder(SETTINGS).push(second + third)))


def test_garbage_is_told_and_counted():
    decoder = DRIVER.decoder(SETTINGS)
    with pytest.raises(DecodeError, match="7 bytes without the start of a frame"):
        decoder.push(b"\x00\x01\x02\x03\x04\x05\x06")
    resync, block = decoder.push(b"\x55\x07" + bytes.fromhex(MOVING))
    assert resync == Status("resync", {"bytes": 9})
    assert len(block.ticks) == 1
    with pytest.raises(DecodeError, match="got 0 bytes"):
        decoder.push(b"")
    with pytest.raises(DecodeError, match="of 1"):
        decoder.push(bytes.fromhex(MOVING), 1)


def test_damaged_payloads():
    valid = [(bytes.fromhex(CAPTURED), 0), (bytes.fromhex(MOVING), 0), (bytes.fromhex(BATTERY), 0)]
    valid += [(bytes.fromhex(MOVING) * 3, 0)]
    tally = hammer(DRIVER.decoder(SETTINGS), valid, channels=1)
    assert tally.rows > 0


def test_what_the_stream_is():
    stream = DRIVER.stream(Settings("lower", 200))
    assert (stream.rate_hz, stream.tick_s, stream.clock, stream.wrap_ticks) == (200, 1 / 200, "count", None)
    assert stream.acc_full_scale == pytest.approx(16 * G)
    assert stream.gyr_full_scale == pytest.approx(np.deg2rad(2000))
    assert not stream.magnetometer
    assert DRIVER.verified is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings("upper", 125), "10, 20, 50, 100, 200"),
        (Settings("upper", magnetometer=True), "does not stream the magnetic field"),
        (Settings("upper", part=1), "leave out #1"),
        (Settings("upper", options={"axis": 6}), "it has: axes, mounting, save"),
        (Settings("upper", options={"axes": 7}), "must be 6 or 9"),
        (Settings("upper", options={"axes": "x"}), "whole number"),
    ],
)
def test_what_it_cannot_do_is_refused(settings, told):
    for asked in (DRIVER.stream, DRIVER.decoder, DRIVER.start):
        with pytest.raises(ConfigError, match=told):
            asked(settings)


def test_displacements_are_refused():
    with pytest.raises(ConfigError, match="displacements"):
        register_write(0x96, 1)

    def displaced(step):
        return Reply("register_96", {"values": (1,)}) if step == Await("register_96", 1.0) else silent(step)

    with pytest.raises(AcquisitionError, match="displacements"):
        played(DRIVER.start(SETTINGS), displaced)
    decoder = DRIVER.decoder(SETTINGS)
    (reply,) = decoder.push(b"\x55\x71\x96\x00\x01".ljust(20, b"\0"))
    assert reply.what == "register_96"
    with pytest.raises(DecodeError, match="displacements"):
        decoder.push(bytes.fromhex(CAPTURED))
    assert len(decoder.push(b"\x55\x71\x96".ljust(20, b"\0") + bytes.fromhex(CAPTURED))) == 2


def test_the_order_of_the_start():
    answers = {"register_96": 0, "register_03": 9, "register_64": 397}

    def answer(step):
        return Reply(step.what, {"values": (answers[step.what],)}) if isinstance(step, Await) else None

    steps = played(DRIVER.start(SETTINGS), answer)
    told = [step.data.hex() if hasattr(step, "data") else step for step in steps if not isinstance(step, Await)]
    unlock, wait = "ffaa6988b5", Wait(0.1)
    assert told[:8] == [unlock, wait, "ffaa030900", wait, unlock, wait, "ffaa240100", wait]
    assert told[8:] == [Subscribe(0), "ffaa279600", "ffaa270300", "ffaa276400"]
    assert "ffaa000000" not in told, "nothing is written to flash unasked"
    answers["register_03"] = 6
    with pytest.raises(AcquisitionError, match="kept rate code 0x06, not 0x09"):
        played(DRIVER.start(SETTINGS), answer)
    assert played(DRIVER.stop(SETTINGS), silent) == [Unsubscribe(0)]
    assert DRIVER.identify() is None


def test_saving_waits_until_the_flash_is_written():
    steps = played(DRIVER.start(Settings("upper", options={"save": "true"})), silent)
    at = [getattr(step, "data", b"").hex() for step in steps].index("ffaa000000")
    assert steps[at + 1 : at + 3] == [Wait(0.1), Wait(0.5)]


@pytest.mark.parametrize(
    ("name", "taken"),
    [("WT901BLE67", True), ("WT9011DCL-BT50", True), ("WTVB01-BT50", False), ("Movella DOT", False), (None, False)],
)
def test_which_sensors_it_takes(name, taken):
    assert DRIVER.matches(Advertisement("C0:FF:EE:00:00:00", name)) is taken
