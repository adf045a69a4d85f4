"""Filtering: rows in, smoothed rows out, block after block.

A stage never sees the whole recording: it keeps the state it needs and gives the same rows however they were cut.
"""

import numpy as np

from imuposture._blocks import FlagArray, FloatArray
from imuposture._checks import LIMIT, flags_of, floats, number, refuse_nonsense, sound
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
        cutoff, half = number(cutoff_hz), number(rate_hz) / 2
        if not 0 < half <= LIMIT:
            raise SignalError(f"rate must be more than 0 Hz and at most {2 * LIMIT:g} Hz, got {rate_hz!r}")
        if not 0 < cutoff < half:
            raise SignalError(f"cutoff must lie between 0 and {half:g} Hz (half the rate), got {cutoff_hz!r}")
        self._section = np.empty(5)
        _ext.butterworth(cutoff, 2 * half, self._section)
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
            If ``rows`` is not 2-D, ``gap`` has another length, the channel count changes between calls, or a row that
            is no gap holds NaN or infinity. The filter has not moved then.
        """
        x = floats("rows", rows, (None, None))
        gap = flags_of("gap", gap, len(x))
        if self._state is None:
            self._state = np.zeros((x.shape[1] + 1, 2))
        if x.shape[1] != len(self._state) - 1:
            raise SignalError(f"rows must keep {len(self._state) - 1} channels, got {x.shape[1]}")
        if not sound((x,)):
            refuse_nonsense({"rows": x}, gap != 0)
        out = np.empty_like(x)
        _ext.advance(self._section, x, gap, self._state, out)
        return out
