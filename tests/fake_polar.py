"""A Polar sensor that answers as a Verity Sense or an H10 does, and what it is asked for."""

import struct

from imuposture.acquisition.drivers import Read, Settings, Write
from imuposture.acquisition.drivers.polar_frames import ACC, GYR, MAG

START_OK = {part: bytes([0xF0, 2, number, 0, 0, 5, 1]) for part, number in (("acc", ACC), ("gyr", GYR), ("mag", MAG))}


def settings(rate_hz=None, magnetometer=False, part=0, **options):
    return Settings("lower", rate_hz=rate_hz, magnetometer=magnetometer, part=part, options=options)


class Sensor:
    """Answers as a Verity Sense or an H10 does."""

    def __init__(self, features="0f6e020000", acc=None, rates=(52,), refuse=()):
        self.features = bytes.fromhex(features)
        self.acc = acc
        self.rates, self.refuse = rates, refuse

    def __call__(self, step):
        if isinstance(step, Read):
            return [(self.features if step.channel == 0 else b"\x37", step.channel)]
        if not isinstance(step, Write):
            return []
        operation, number = step.data[:2]
        head = bytes([0xF0, operation, number])
        if (operation, number) in self.refuse:
            return [(head + b"\x0c\x00", 0)]
        if operation == 3:
            return [(head + b"\x06\x00", 0)]
        if operation == 1:
            rates = {MAG: (10, 20, 50, 100)}.get(number, self.rates)
            top = {ACC: (8,), GYR: (2000,), MAG: (50,)}[number]
            told = bytes([0, len(rates)]) + struct.pack(f"<{len(rates)}H", *rates) + b"\x01\x01\x10\x00"
            told += bytes([2, len(top)]) + struct.pack(f"<{len(top)}H", *top) + b"\x04\x01\x03"
            return [(head + b"\0\0" + told, 0)]
        return [(head + b"\0\0" + (b"\x05\x01" + struct.pack("<f", 1.0) if number != 9 else b""), 0)]
