"""Rows from closed forms: a grid of instants, and one sensor's readings on it, made chunk by chunk."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from imuposture._blocks import FloatArray
from imuposture.acquisition.simulation import _quaternions as quaternions
from imuposture.acquisition.simulation.sensors import Readings, SensorModel, WornSensor

__all__ = ["CHUNK", "Grid", "SimulatedSensor"]

CHUNK = 16384  # rows made at a time; noise has a substream a chunk, so this number is part of what a seed means


@dataclass(frozen=True)
class Grid:
    """The instants of the samples: ``rows`` of them, from 0 s on, ``rate_hz`` a second."""

    rate_hz: float
    rows: int

    @property
    def chunks(self) -> int:
        """How many chunks of rows there are."""
        return -(-self.rows // CHUNK)

    def times(self, chunk: int) -> FloatArray:
        """Return the times of one chunk of rows, s."""
        return np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, self.rows), dtype=np.float64) / self.rate_hz

    @cached_property
    def time_s(self) -> FloatArray:
        """Times of all rows (n,), s."""
        return np.arange(self.rows, dtype=np.float64) / self.rate_hz

    def evaluate(self, function: Callable[[FloatArray], FloatArray], columns: int) -> FloatArray:
        """Return ``function`` of all times, (n, columns), holding no more than a chunk beside the result."""
        out = np.empty((self.rows, columns))
        for k in range(self.chunks):
            out[k * CHUNK : (k + 1) * CHUNK] = function(self.times(k))
        return out


class SimulatedSensor:
    """One sensor of a simulation. Arrays are made at first use and kept.

    Attributes
    ----------
    worn : WornSensor
        Its closed form, to be read at other instants; never mirrored.
    """

    def __init__(self, worn: WornSensor, grid: Grid, *, mirrored: bool, instant: bool) -> None:
        self.worn = worn
        self._grid, self._mirrored, self._instant = grid, mirrored, instant

    @property
    def model(self) -> SensorModel:
        """The chip."""
        return self.worn.model

    def read(self, time_s: FloatArray, *, stream: int, rate_hz: float | None = None) -> Readings:
        """Return what the chip reports at the instants (n,), s: any order, any spacing, also beside its own grid.

        Parameters
        ----------
        time_s : (n,) float64, s
        stream : int
            Names the noise: the same number gives the same noise.
        rate_hz : float, optional
            Output rate: bandwidth of the noise and interval of the mean angular rate; as simulated if left out.
        """
        raw = self.worn.read(time_s, rate_hz or self._grid.rate_hz, stream, instant=self._instant)
        if not self._mirrored:
            return raw
        mag = None if raw.mag is None else quaternions.mirror_polar(raw.mag)
        return Readings(quaternions.mirror_polar(raw.acc), quaternions.mirror_turning(raw.gyr), mag)

    def chunk(self, k: int) -> Readings:
        """Return the readings of chunk ``k`` of the rows: the same ones whenever it is asked for."""
        return self.read(self._grid.times(k), stream=k)

    @cached_property
    def _readings(self) -> Readings:
        chunks = [self.chunk(k) for k in range(self._grid.chunks)]
        mags = [c.mag for c in chunks if c.mag is not None]
        acc, gyr = np.concatenate([c.acc for c in chunks]), np.concatenate([c.gyr for c in chunks])
        return Readings(acc, gyr, np.concatenate(mags) if mags else None)

    @property
    def acc(self) -> FloatArray:
        """Specific force (n, 3), m/s2, sensor frame."""
        return self._readings.acc

    @property
    def gyr(self) -> FloatArray:
        """Angular rate (n, 3), rad/s, sensor frame."""
        return self._readings.gyr

    @property
    def mag(self) -> FloatArray | None:
        """Magnetic field (n, 3), uT, sensor frame, or None."""
        return self._readings.mag

    @cached_property
    def bias(self) -> FloatArray:
        """True gyroscope bias (n, 3), rad/s, sensor frame."""
        bias = self.worn.bias(self._grid.time_s)
        return quaternions.mirror_turning(bias) if self._mirrored else bias

    @cached_property
    def quat(self) -> FloatArray:
        """True orientation (n, 4) sensor -> earth, soft tissue included."""
        quat = self._grid.evaluate(self.worn.quat, 4)
        return quaternions.mirror_segment(quat) if self._mirrored else quat

    @property
    def mounting(self) -> FloatArray:
        """True mounting (4,) sensor -> segment, without soft tissue."""
        mounting = self.worn.mounting
        return quaternions.mirror_mounting(mounting) if self._mirrored else mounting
