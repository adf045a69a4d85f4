"""Data frames of Polar's measurement service (PMD): [type][stamp][frame type][content] -> numbers.

Content is plain, or differences packed into bits: a reference sample, then blocks of [bits][samples][differences], the
channels in turn, lowest bit first. Sizes are checked against what is there before anything is unpacked.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import FloatArray
from imuposture.acquisition.drivers._wire import reals, refusal

__all__ = ["ACC", "FRAME_TYPES", "GYR", "MAG", "SDK_MODE", "Frame", "Layout", "frame_of"]

ACC, GYR, MAG, SDK_MODE = 2, 5, 6, 9
HEADER = 10  # type, stamp of eight bytes, frame type
LONGEST = 512  # bytes of a notification, by Bluetooth
MOST_SAMPLES = 1024  # of a frame: differences of no bits at all take no room, and would have no end
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Layout:
    """What one frame type of one measurement holds.

    Attributes
    ----------
    channels : int
    width : int
        Bytes a channel of a sample.
    is_float : bool
        The numbers are the bit patterns of float32.
    has_factor : bool
        They are to be multiplied by the factor that the sensor gave when the stream was started.
    unit : float
        One of them, in g, deg/s or gauss.
    """

    channels: int
    width: int
    is_float: bool = False
    has_factor: bool = False
    unit: float = 1.0


# By measurement, frame type, and whether it is compressed. The vendor's SDK reads only compressed frames of rates and
# field, and multiplies type 1 by the factor too; type 1 is in units of its own, so that would be right at 1 only.
FRAME_TYPES = {
    (ACC, 0, False): Layout(3, 1, unit=1e-3),
    (ACC, 1, False): Layout(3, 2, unit=1e-3),
    (ACC, 2, False): Layout(3, 3, unit=1e-3),
    (ACC, 0, True): Layout(3, 2, has_factor=True),
    (ACC, 1, True): Layout(3, 2, unit=1e-3),
    **{(GYR, 0, packed): Layout(3, 2, has_factor=True) for packed in (False, True)},
    **{(GYR, 1, packed): Layout(3, 4, is_float=True) for packed in (False, True)},
    **{(MAG, 0, packed): Layout(3, 2, has_factor=True) for packed in (False, True)},
    **{(MAG, 1, packed): Layout(4, 2, unit=1e-3) for packed in (False, True)},
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One data frame.

    Attributes
    ----------
    measurement : int
        `ACC`, `GYR` or `MAG`.
    stamp_ns : int
        Of the last sample, since 2000-01-01.
    layout : Layout
    raw : (n, channels) float64, the numbers as sent, before factor and unit
    """

    measurement: int
    stamp_ns: int
    layout: Layout
    raw: FloatArray

    def values(self, factor: float) -> FloatArray:
        """Return the samples, (n, 3), in g, deg/s or gauss; the factor is used only where the layout has one."""
        return self.raw[:, :3] * (factor if self.layout.has_factor else self.layout.unit)


def frame_of(payload: bytes) -> Frame:
    """Read a data frame.

    Raises
    ------
    DecodeError
        If it is none, of another length than it says, or of a measurement that is not motion.
    """
    if not HEADER < len(payload) <= LONGEST:
        raise refusal(payload, f"a frame takes more than {HEADER} and at most {LONGEST} bytes")
    measurement, compressed, frame_type = payload[0] & 0x3F, bool(payload[9] & 0x80), payload[9] & 0x7F
    layout = FRAME_TYPES.get((measurement, frame_type, compressed))
    if layout is None:
        raise refusal(payload, f"measurement {measurement} has no frame type {payload[9]:#x} that is known")
    numbers = (_unpacked if compressed else _plain)(payload, layout)
    raw = numbers.astype(np.float64)
    if layout.is_float:  # sums of bit patterns wrap at 32 bits
        raw = reals((numbers & 0xFFFFFFFF).astype("<u4").tobytes(), payload).reshape(numbers.shape)
    return Frame(measurement, int.from_bytes(payload[1:9], "little"), layout, raw)


def _plain(payload: bytes, layout: Layout) -> Integers:
    """Read samples one after the other."""
    if (len(payload) - HEADER) % (layout.channels * layout.width):
        raise refusal(payload, f"samples take {layout.channels} x {layout.width} bytes each")
    return _signed(payload[HEADER:], layout.width).reshape(-1, layout.channels)


def _unpacked(payload: bytes, layout: Layout) -> Integers:
    """Read a reference sample and the differences that follow; each sample is all before it added up."""
    place = HEADER + layout.channels * layout.width
    if len(payload) < place:
        raise refusal(payload, f"the reference sample takes {layout.channels} x {layout.width} bytes")
    steps = [_signed(payload[HEADER:place], layout.width).reshape(1, layout.channels)]
    total = 1
    while place < len(payload):
        bits, count = payload[place], payload[place + 1] if place + 1 < len(payload) else 0
        end = place + 2 + (bits * count * layout.channels + 7) // 8
        total += count
        if not count or bits > 32 or end > len(payload) or total > MOST_SAMPLES:
            raise refusal(payload, f"at byte {place}, {count} samples of {bits} bits do not fit what follows")
        steps.append(_differences(payload[place + 2 : end], bits, count, layout.channels))
        place = end
    samples: Integers = np.cumsum(np.concatenate(steps), axis=0)
    return samples


def _differences(data: bytes, bits: int, count: int, channels: int) -> Integers:
    """Read two's complement numbers of any width, packed lowest bit first; what pads the last byte is not looked at."""
    if not bits:
        return np.zeros((count, channels), dtype=np.int64)
    stream = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")[: bits * count * channels]
    weights = 1 << np.arange(bits, dtype=np.int64)
    weights[-1] = -weights[-1]
    numbers = stream.reshape(count, channels, bits).astype(np.int64) @ weights
    return np.asarray(numbers, dtype=np.int64)


def _signed(data: bytes, width: int) -> Integers:
    return _differences(data, 8 * width, 1, len(data) // width).reshape(-1)
