"""The worn sensor's samples by its own clock: instants of a fast, slow or restarted clock -> readings, in blocks."""

from dataclasses import dataclass

import numpy as np

from imuposture._blocks import FloatArray
from imuposture.acquisition.simulation import SimulatedSensor
from imuposture.acquisition.virtual.wire.firmware import Samples

__all__ = ["Clock", "Sampler"]

BLOCK_S = 8.0  # of samples made at a time


@dataclass(frozen=True, slots=True)
class Clock:
    """A sensor's clock against the host's: it read ``start_s`` at the host's ``host_s`` and is ``ppm`` fast since."""

    host_s: float
    start_s: float
    ppm: float

    def reading(self, host_s: float) -> float:
        """Return what the clock reads at a host time, s."""
        return self.start_s + (host_s - self.host_s) * (1.0 + 1e-6 * self.ppm)

    def host_time(self, reading_s: float) -> float:
        """Return when it reads that, s of the host's clock."""
        return self.host_s + (reading_s - self.start_s) / (1.0 + 1e-6 * self.ppm)

    def host_times(self, reading_s: FloatArray) -> FloatArray:
        """Return when it reads those, (n,) s of the host's clock."""
        times: FloatArray = self.host_s + (reading_s - self.start_s) / (1.0 + 1e-6 * self.ppm)
        return times

    def with_ppm(self, host_s: float, ppm: float) -> "Clock":
        """Return the same clock running at another rate from a host time on."""
        return Clock(host_s, self.reading(host_s), ppm)


class Sampler:
    """What the chip reports while it streams.

    Parameters
    ----------
    worn : SimulatedSensor
    motion_s : float, also an attribute
        Host time at which the script begins; before it, its first pose is held.
    """

    def __init__(self, worn: SimulatedSensor, motion_s: float) -> None:
        self._worn, self.motion_s = worn, motion_s
        self._blocks = 0

    def block(self, clock: Clock, begin_s: float, *, rate_hz: float, number: int, packet_rows: int) -> Samples:
        """Return the next samples of a stream, some seconds of them, in whole packets.

        Parameters
        ----------
        clock : Clock
        begin_s : float
            Reading of the sensor's clock at the block's first sample.
        rate_hz : float
            Samples a second of the sensor's own clock.
        number : int
            Of the block's first sample.
        packet_rows : int
        """
        rows = max(1, round(BLOCK_S * rate_hz / packet_rows)) * packet_rows
        clock_s = begin_s + np.arange(rows, dtype=np.float64) / rate_hz
        time_s = clock.host_times(clock_s) - self.motion_s
        readings = self._worn.read(time_s, stream=self._blocks, rate_hz=rate_hz)
        self._blocks += 1
        quat = self._worn.worn.quat(time_s)
        return Samples(clock_s, number, readings.acc, readings.gyr, readings.mag, quat)
