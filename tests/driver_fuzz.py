"""Damaged payloads against a decoder: only `DecodeError` may come out, and the decoder must be usable afterwards.

50 000 payloads a driver by default; IMUPOSTURE_SOAK=1 makes it a million.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from imuposture import DecodeError
from imuposture._blocks import ImuBlock
from imuposture.acquisition.drivers import Decoder, Message, Reply, Status

COUNT = 1_000_000 if os.environ.get("IMUPOSTURE_SOAK") else 50_000
BETWEEN_CHECKS = 250

Payload = tuple[bytes, int]  # with its channel


class Tally(NamedTuple):
    """How many payloads were pushed, refused, and how many rows came of the others."""

    pushed: int
    refused: int
    rows: int


def mutations(valid: Sequence[Payload], channels: int, seed: int) -> Iterator[Payload]:
    """Yield payloads for ever: valid ones cut, extended, flipped, spliced, swapped, sent twice, empty and random."""
    rng = random.Random(seed)
    while True:
        payload, channel = rng.choice(valid)
        other, _ = rng.choice(valid)
        cut, other_cut = rng.randint(0, len(payload)), rng.randint(0, len(other))
        kind = rng.randrange(10)
        if kind == 0:
            yield payload[:cut], channel
        elif kind == 1:
            yield payload + rng.randbytes(rng.randint(1, 40)), channel
        elif kind == 2:
            yield flipped(payload, rng), channel
        elif kind == 3:
            yield payload[:cut] + other[other_cut:], channel
        elif kind == 4:
            yield payload, rng.randrange(-1, channels + 1)
        elif kind == 5:
            yield payload[cut:], channel
            yield payload[:cut], channel
        elif kind == 6:
            yield payload, channel
            yield payload, channel
        elif kind == 7:
            yield rng.randbytes(rng.choice((0, 1, 2, len(payload), rng.randint(0, 250)))), channel
        elif kind == 8:
            yield bytes(rng.choices((0x00, 0x02, 0x55, 0x61, 0x71, 0xFF), k=rng.randint(0, 80))), channel
        else:
            yield payload[:cut] + payload[cut + 1 :], channel


def flipped(payload: bytes, rng: random.Random) -> bytes:
    """Flip one to four bits."""
    changed = bytearray(payload)
    for _ in range(rng.randint(1, 4) if payload else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def hammer(
    decoder: Decoder,
    valid: Sequence[Payload],
    *,
    channels: int,
    fits: Callable[[Payload], bool] | None = None,
    count: int = COUNT,
    seed: int = 1,
) -> Tally:
    """Push damaged payloads; now and then valid ones, which must give the right rows again.

    Parameters
    ----------
    decoder : Decoder
    valid : sequence of (bytes, int)
        What a sensor sends, and on which channel; with rows in it.
    channels : int
        How many the driver has; others are tried too.
    fits : callable, optional
        Whether a payload has a length that its channel allows; one that does not must be refused.
    count, seed : int
    """
    right = rows_of(pushed(decoder, valid))
    assert len(right), "the valid payloads must hold rows"
    refused = rows = 0
    for number, (payload, channel) in zip(range(count), mutations(valid, channels, seed), strict=False):
        try:
            messages = decoder.push(payload, channel)
        except DecodeError:
            refused += 1
        else:
            assert fits is None or fits((payload, channel)), f"accepted {payload.hex()} on channel {channel}"
            rows += sum(check(message) for message in messages)
        if number % BETWEEN_CHECKS == 0:
            # Once to end what was left unfinished, twice to be sure, and then everything must be as it was.
            again = rows_of(pushed(decoder, [*valid, *valid, *valid], patient=True))[-len(right) :]
            np.testing.assert_array_equal(again, right)
    assert refused, "no payload was refused"
    return Tally(count, refused, rows)


def pushed(decoder: Decoder, payloads: Sequence[Payload], patient: bool = False) -> list[Message]:
    """Push payloads one after the other; with ``patient``, those that are refused are left out."""
    messages: list[Message] = []
    for payload, channel in payloads:
        try:
            messages += decoder.push(payload, channel)
        except DecodeError:
            if not patient:
                raise
    return messages


def check(message: Message) -> int:
    """Check the form of a message; return its rows."""
    if isinstance(message, Reply | Status):
        assert message.what
        assert isinstance(message.what, str)
        dict(message.values)
        return 0
    rows = len(message.ticks)
    assert rows
    assert message.ticks.shape == (rows,)
    assert np.isfinite(message.ticks).all()
    assert message.flags is None or (message.flags.shape == (rows,) and message.flags.dtype == np.uint8)
    widths = ((message.acc, 3), (message.gyr, 3), (message.mag, 3), (message.quat, 4))
    for values, width in widths:
        if values is not None:
            assert values.shape == (rows, width)
            assert values.dtype == np.float64
            assert not (np.abs(values) > 1e9).any()  # NaN is fine, infinity is not
    return rows


def rows_of(messages: Sequence[Message]) -> np.ndarray:
    """Return the rows of all blocks, (n, 13): acceleration, rate, field and orientation; NaN where there is none."""
    blocks = [message for message in messages if isinstance(message, ImuBlock)]
    return np.concatenate([_table(block) for block in blocks]) if blocks else np.empty((0, 13))


def _table(block: ImuBlock) -> np.ndarray:
    rows = len(block.ticks)
    mag = np.full((rows, 3), np.nan) if block.mag is None else block.mag
    quat = np.full((rows, 4), np.nan) if block.quat is None else block.quat
    return np.hstack([block.acc, block.gyr, mag, quat])
