"""A recording's rows as payloads, and back: so that a file walks the way of the radio, journal and all."""

import struct

import numpy as np

from imuposture._blocks import ImuBlock, Role, Stream
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import Advertisement, Channel, Message, Procedure, Settings

__all__ = ["FileDecoder", "FileDriver", "packed"]

_HEAD = struct.Struct("<BH")  # what there is besides, rows
_MAG, _QUAT = 1, 2


class FileDecoder:
    """Rows, packed as they are, -> a block.

    Parameters
    ----------
    role : "upper" or "lower"
    """

    def __init__(self, role: Role) -> None:
        self._role = role

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take a payload that `packed` made.

        Raises
        ------
        DecodeError
            If it is none.
        """
        if channel or len(payload) < _HEAD.size:
            raise DecodeError(f"{len(payload)} bytes of channel {channel} are no rows of a file")
        besides, rows = _HEAD.unpack_from(payload)
        wide = 7 + 3 * bool(besides & _MAG) + 4 * bool(besides & _QUAT)
        if besides > _MAG + _QUAT or len(payload) != _HEAD.size + rows * (8 * wide + 1):
            raise DecodeError(f"{len(payload)} bytes cannot hold {rows} rows")
        table = np.frombuffer(payload, "<f8", rows * wide, _HEAD.size).reshape(rows, wide)
        flags = np.frombuffer(payload, np.uint8, rows, len(payload) - rows).copy()
        acc, gyr = table[:, 1:4].copy(), table[:, 4:7].copy()
        mag = table[:, 7:10].copy() if besides & _MAG else None
        quat = table[:, -4:].copy() if besides & _QUAT else None
        return [ImuBlock(self._role, table[:, 0].copy(), acc, gyr, mag, flags, quat)]


def packed(block: ImuBlock) -> bytes:
    """Return a block as a payload."""
    besides = [array for array in (block.mag, block.quat) if array is not None]
    arrays = [block.ticks[:, None], block.acc, block.gyr, *besides]
    flags = np.zeros(len(block.ticks), np.uint8) if block.flags is None else block.flags
    head = _HEAD.pack(_MAG * (block.mag is not None) + _QUAT * (block.quat is not None), len(block.ticks))
    return head + np.hstack(arrays).astype("<f8").tobytes() + flags.tobytes()


class FileDriver:
    """What a recording's sensor looks like to the walk; only plays the part of a driver.

    Parameters
    ----------
    stream : Stream
        As its reader found it.
    """

    name, title = "file", "a recording"
    verified: str | None = None
    channels: tuple[Channel, ...] = (Channel("", notifies=False),)
    min_mtu = 23
    rates_hz: tuple[float, ...] = ()

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.default_rate_hz = stream.rate_hz

    def matches(self, advertisement: Advertisement) -> bool:
        """Nothing on the air is a file."""
        del advertisement
        return False

    def stream(self, settings: Settings) -> Stream:
        """Return what the file says."""
        del settings
        return self._stream

    def decoder(self, settings: Settings) -> FileDecoder:
        """Return a decoder."""
        return FileDecoder(settings.role)

    def start(self, settings: Settings) -> Procedure:
        """Need nothing."""
        del settings
        yield from ()

    def stop(self, settings: Settings) -> Procedure:
        """Need nothing."""
        del settings
        yield from ()

    def identify(self) -> None:
        """Cannot be made to blink."""

    def battery(self) -> None:
        """Has none."""
