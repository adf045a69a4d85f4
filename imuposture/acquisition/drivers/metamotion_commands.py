"""What is written to a MetaMotion: [module][register][data], and how that depends on the chips inside.

The two generations use the same numbers for different things (13 05 is single rates on one, packed rates on the other),
so nothing but the questions in `IMPLEMENTATIONS` is written before the sensor has said which chips it has.

Sources: unit tests of mbientlab/MetaWear-SDK-Cpp, which hold the bytes of every command.
"""

import struct
from dataclasses import dataclass

__all__ = [
    "ACC",
    "ACC_RANGES_G",
    "BATTERY",
    "FUSION",
    "FUSION_MODES",
    "GYR",
    "GYR_RANGES_DPS",
    "LED_BLINK",
    "MAG",
    "MODULES",
    "PROCESSOR",
    "REMOVE_PROCESSORS",
    "RESET",
    "STOP",
    "Chips",
    "chips_of",
    "configure_fusion",
    "count_samples",
    "magnetometer",
    "module_query",
    "run",
    "run_fusion",
    "subscribe",
    "subscribe_processor",
]

ACC, GYR, MAG, FUSION, PROCESSOR, SETTINGS, LED = 0x03, 0x13, 0x15, 0x19, 0x09, 0x11, 0x02
MODULES = {ACC: "acc", GYR: "gyr", MAG: "mag", FUSION: "fusion", PROCESSOR: "processor"}

BATTERY = bytes([SETTINGS, 0x8C])
RESET = bytes.fromhex("fe01")
# Stop what the LED does; ten green flashes of 50 ms, two a second; play.
LED_BLINK = (bytes.fromhex("020201"), bytes.fromhex("020300021f0000003200 0000f40100000a"), bytes.fromhex("020101"))
REMOVE_PROCESSORS = bytes([PROCESSOR, 0x08])
# Fusion off, its outputs off; then each sensor off and its samples off.
STOP = tuple(
    bytes.fromhex(command)
    for command in ("190100", "1903007f", "030100", "130100", "150100", "03020001", "13020001", "15020001")
)
ODR = {25: 6, 50: 7, 100: 8, 200: 9}
ACC_RANGES_G = (2, 4, 8, 16)
GYR_RANGES_DPS = (2000, 1000, 500, 250, 125)
FUSION_MODES = {"ndof": 1, "imu_plus": 2}
FUSED_BYTES = 12  # acceleration and rates, raw


@dataclass(frozen=True, slots=True)
class Chips:
    """One generation of the sensor: where its registers are.

    Attributes
    ----------
    name : str
    acc_flags : int
        Upper half of the first byte of the acceleration's configuration.
    acc_ranges : tuple of int
        Codes of 2, 4, 8 and 16 g.
    acc_packed, gyr_single, gyr_packed : int
        Registers of data; single acceleration is register 4 everywhere.
    """

    name: str
    acc_flags: int
    acc_ranges: tuple[int, int, int, int]
    acc_packed: int
    gyr_single: int
    gyr_packed: int

    acc_single = 0x04

    def configure(self, rate_hz: float, acc_range_g: int, gyr_range_dps: int) -> list[bytes]:
        """Return the commands that set rate and ranges of both sensors."""
        odr = ODR[int(rate_hz)]
        acc_code, gyr_code = self.acc_ranges[ACC_RANGES_G.index(acc_range_g)], GYR_RANGES_DPS.index(gyr_range_dps)
        return [bytes([ACC, 3, self.acc_flags | odr, acc_code]), bytes([GYR, 3, 0x20 | odr, gyr_code])]

    def registers(self, packed: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return where the data of acceleration and rates come."""
        if packed:
            return (ACC, self.acc_packed), (GYR, self.gyr_packed)
        return (ACC, self.acc_single), (GYR, self.gyr_single)

    def teardown(self) -> list[bytes]:
        """Return the commands that end whatever an earlier connection left running."""
        data = [*self.registers(False), *self.registers(True), (MAG, 0x05), (MAG, 0x09), (PROCESSOR, 0x03)]
        data += [(FUSION, register) for register in range(0x04, 0x0B)]
        return [*STOP, *(bytes([*place, 0]) for place in data), REMOVE_PROCESSORS]

    def hold_rates(self) -> bytes:
        """Return the command that makes a processor which remembers the newest rates."""
        return bytes([PROCESSOR, 2, GYR, self.gyr_single, 0xFF, 0xA0, 0x0F, 0x05])

    def join_rates(self, held: int) -> bytes:
        """Return the command that makes a processor which adds the rates held to each acceleration."""
        return bytes([PROCESSOR, 2, ACC, self.acc_single, 0xFF, 0xA0, 0x1B, 1, held, *bytes(11)])


BMI160 = Chips("BMI160", 0x20, (0x03, 0x05, 0x08, 0x0C), acc_packed=0x1C, gyr_single=0x05, gyr_packed=0x07)
BMI270 = Chips("BMI270", 0xA0, (0, 1, 2, 3), acc_packed=0x05, gyr_single=0x04, gyr_packed=0x05)
IMPLEMENTATIONS = {ACC: {1: BMI160, 4: BMI270}, GYR: {0: BMI160, 1: BMI270}}


def chips_of(acc_implementation: int, gyr_implementation: int) -> Chips | None:
    """Return the generation that has said so of both sensors; None if it is none that is known, or half and half."""
    acc = IMPLEMENTATIONS[ACC].get(acc_implementation)
    return acc if acc is not None and acc is IMPLEMENTATIONS[GYR].get(gyr_implementation) else None


def module_query(module: int) -> bytes:
    """Return the question which chip a module is."""
    return bytes([module, 0x80])


def count_samples(processor: int) -> bytes:
    """Return the command that makes a processor which puts a count of four bytes before each sample."""
    return bytes([PROCESSOR, 2, PROCESSOR, 3, processor, (FUSED_BYTES - 1) << 5 & 0xFF, 0x11, 0x30, 0x03])


def subscribe(module: int, register: int) -> bytes:
    """Return the command that makes a register notify."""
    return bytes([module, register, 1])


def subscribe_processor(processor: int) -> list[bytes]:
    """Return the commands that make one processor notify."""
    return [bytes([PROCESSOR, 7, processor, 1]), bytes([PROCESSOR, 3, 1])]


def run(modules: tuple[int, ...]) -> list[bytes]:
    """Return the commands that make sensors sample: first all told what, then all on."""
    return [*(bytes([one, 2, 1, 0]) for one in modules), *(bytes([one, 1, 1]) for one in modules)]


def magnetometer() -> list[bytes]:
    """Return the commands of the preset "regular": 10 samples/s."""
    return [bytes.fromhex("1504040e"), bytes.fromhex("150300"), subscribe(MAG, 0x05)]


def configure_fusion(mode: int, acc_range_g: int, gyr_range_dps: int) -> bytes:
    """Return the command that sets the mode of the on-sensor fusion, and the ranges it is to expect."""
    acc, gyr = ACC_RANGES_G.index(acc_range_g), GYR_RANGES_DPS.index(gyr_range_dps)
    return bytes([FUSION, 2, mode, (gyr + 1) << 4 | acc])


def run_fusion(outputs: tuple[int, ...]) -> list[bytes]:
    """Return the commands that turn outputs of the fusion on, by the number of their register from 4, and start it."""
    mask = sum(1 << (register - 0x04) for register in outputs)
    return [struct.pack("<BBBB", FUSION, 3, mask, 0), bytes([FUSION, 1, 1])]
