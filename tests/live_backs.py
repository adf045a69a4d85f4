"""A simulated back over a radio without a radio: entries as they would be journalled, and a driver that reads them.

The wire format is the plainest there is: u32 microseconds of the sensor's clock, then float32 acc and gyr.
"""

import json

import numpy as np

from imuposture._blocks import ROLES, Entry, ImuBlock, Stream
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import Channel, Settings, Status
from imuposture.acquisition.simulation import simulate
from imuposture.pipeline import LivePipeline, LiveSensor
from imuposture.pipeline.commands import Calibrate, entry_of

ROW = np.dtype([("us", "<u4"), ("acc", "<f4", 3), ("gyr", "<f4", 3)])
START_NS = 12_345_678_901_234


class PlainDecoder:
    def __init__(self, settings):
        self._role = settings.role

    def push(self, payload, channel=0):
        if channel == 1:
            return [Status("battery", {"percent": float(payload[0])})]
        if not payload or len(payload) % ROW.itemsize:
            raise DecodeError(f"{len(payload)} bytes; a payload holds whole rows of {ROW.itemsize}")
        rows = np.frombuffer(payload, ROW)
        vectors = (rows[name].astype(np.float64) for name in ("acc", "gyr"))
        return [ImuBlock(self._role, rows["us"].astype(np.float64), *vectors)]


class PlainDriver:
    name, title, verified = "plain", "Plain", None
    channels = (Channel("0" * 8), Channel("1" * 8))
    min_mtu, rates_hz, default_rate_hz = 23, (60.0, 100.0), 100.0

    def matches(self, advertisement):
        return advertisement.name == "plain"

    def stream(self, settings):
        rate = settings.rate_hz or self.default_rate_hz
        return Stream(settings.role, rate, 1e-6, 2.0**32, sensor="plain", clock="device")

    def decoder(self, settings):
        return PlainDecoder(settings)

    def start(self, settings):
        yield from ()

    def stop(self, settings):
        yield from ()

    def identify(self):
        return None


DRIVER = PlainDriver()


def pipeline(rate=100.0, roles=ROLES, **options):
    return LivePipeline({role: LiveSensor(DRIVER, Settings(role, rate)) for role in roles}, **options)


def link(ns, role, generation, event):
    return Entry(ns, "link", role, generation, 0, json.dumps({"event": event}).encode())


def nanoseconds(seconds):
    return START_NS + round(seconds * 1e9)


def calibration_commands(windows, late_s=0.05):
    """Commands as they would come while the wearer does what is asked."""
    named = [(step, span) for step, spans in windows.items() for span in spans]
    for step, (start, end) in sorted(named, key=lambda one: one[1]):
        yield entry_of(Calibrate("begin", step), nanoseconds(start + late_s))
        yield entry_of(Calibrate("end", step), nanoseconds(end))
    yield entry_of(Calibrate("end"), nanoseconds(max(span[1] for _, span in named) + late_s))


def entries(back, packet=10, seed=0, calibrate=True, skew_ppm=(40.0, -30.0), offset_s=(3.0, 4290.0)):
    """Notifications of both sensors in the order of their arrival: the clocks are off, arrivals late and uneven."""
    rng = np.random.default_rng(seed)
    found = [link(START_NS, role, 1, "up") for role in ROLES]
    for place, role in enumerate(ROLES):
        sensor, times = getattr(back, role), back.time_s
        own = times * (1 + skew_ppm[place] * 1e-6) + offset_s[place]
        rows = np.zeros(len(own), ROW)
        rows["us"] = np.round(own * 1e6).astype(np.int64) % 2**32
        rows["acc"], rows["gyr"] = sensor.acc, sensor.gyr
        arrival = 0.0
        for first in range(0, len(rows), packet):
            last = min(first + packet, len(rows)) - 1
            arrival = max(arrival, times[last] + 0.004 + rng.exponential(0.002))
            payload = rows[first : last + 1].tobytes()
            found.append(Entry(nanoseconds(arrival), "notification", role, 1, 0, payload))
    if calibrate:
        found += calibration_commands(back.windows)
    return sorted(found, key=lambda entry: entry.arrival_ns)


def calibrated_back(script, seed=1, **options):
    return simulate(script, seed=seed, **options)
