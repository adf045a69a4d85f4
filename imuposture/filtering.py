"""Filtering: rows in, smoothed rows out, block after block.

A stage never sees the whole recording: it keeps the state it needs and gives the same rows however they were cut.
"""

import numpy as np

from imuposture._blocks import FlagArray, FloatArray
from imuposture._errors import SignalError
from imuposture._ext import filtering as _ext

__all__ = ["LowPass"]


class LowPass:
    """Causal second-order Butterworth low-pass for vector signals.

    Parameters
    ----------
    cutoff_hz : float
        -3 dB frequency in Hz, below half the rate. Delays slow signals by ``0.225 / cutoff_hz`` seconds.
    rate_hz : float
        Rate of the rows in Hz.

    Raises
    ------
    SignalError
        If ``cutoff_hz`` is not between 0 and half the rate.
    """

    def __init__(self, cutoff_hz: float, rate_hz: float) -> None:
        if not 0 < cutoff_hz < rate_hz / 2:
            raise SignalError(f"cutoff must lie between 0 and {rate_hz / 2:g} Hz (half the rate), got {cutoff_hz:g} Hz")
        self._section = np.empty(5)
        _ext.butterworth(cutoff_hz, rate_hz, self._section)
        self._state: FloatArray | None = None

    def push(self, rows: FloatArray, gap: FlagArray) -> FloatArray:
        """Filter the next rows.

        Parameters
        ----------
        rows : (n, channels) array_like
            Next rows, in any unit; the unit is kept.
        gap : (n,) uint8
            Non-zero where a row holds no value. The first value ever, and the first after a gap, counts as the
            resting value, so that a constant signal passes unchanged from the start.

        Returns
        -------
        (n, channels) float64 array
            Filtered rows; NaN in gaps.

        Raises
        ------
        SignalError
            If ``rows`` is not 2-D, ``gap`` has another length, or the channel count changes between calls.
        """
        x = np.ascontiguousarray(rows, dtype=np.float64)
        if x.ndim != 2 or len(gap) != len(x):
            raise SignalError(f"rows must be (n, channels) with n gap marks, got {x.shape} and {len(gap)} marks")
        if self._state is None:
            self._state = np.zeros((x.shape[1] + 1, 2))
        if x.shape[1] != len(self._state) - 1:
            raise SignalError(f"rows must keep {len(self._state) - 1} channels, got {x.shape[1]}")
        out = np.empty_like(x)
        _ext.advance(self._section, x, np.ascontiguousarray(gap, dtype=np.uint8), self._state, out)
        return out
