"""What a walk gives, and how blocks of it are cut and joined."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from imuposture._blocks import FloatArray, MetricBlock, PairBlock, PostureBlock, SensorRows, no_posture
from imuposture._errors import SignalError

__all__ = [
    "PIECE",
    "Rows",
    "cut_pair",
    "cut_posture",
    "join_blocks",
    "join_metrics",
    "join_pairs",
    "join_postures",
    "join_rows",
    "no_rows",
    "pieces",
]

PIECE = 16384  # rows walked at a time: what the stages pass on stays in the cache
_COLUMNS = tuple(member.name for member in fields(PostureBlock))


@dataclass(frozen=True, slots=True)
class Rows:
    """What a push gives: the aligned samples as they came, the posture of the same instants, what metrics found."""

    samples: PairBlock
    posture: PostureBlock
    metrics: MetricBlock


def no_rows() -> Rows:
    """Return a block without rows."""
    return _NO_ROWS


def pieces(pair: PairBlock, rows: int = PIECE) -> Iterator[PairBlock]:
    """Cut a block into even pieces of about so many rows, so that what the stages pass on stays small."""
    count = max(round(len(pair) / rows), 1)
    edges = [len(pair) * k // count for k in range(count + 1)]
    for first, end in itertools.pairwise(edges):
        yield cut_pair(pair, slice(first, end))


def cut_pair(pair: PairBlock, part: slice) -> PairBlock:
    """Return some rows of a block."""
    if part.indices(len(pair)) == (0, len(pair), 1):
        return pair
    return PairBlock(pair.time_s[part], _part(pair.upper, part), _part(pair.lower, part))


def cut_posture(posture: PostureBlock, part: slice) -> PostureBlock:
    """Return some rows of a block."""
    return PostureBlock(*(getattr(posture, name)[part] for name in _COLUMNS))


def _part(rows: SensorRows, part: slice) -> SensorRows:
    mag, quat = rows.mag, rows.quat
    return SensorRows(
        rows.acc[part],
        rows.gyr[part],
        None if mag is None else mag[part],
        rows.flags[part],
        None if quat is None else quat[part],
    )


def join_pairs(pairs: Sequence[PairBlock]) -> PairBlock:
    """Return the rows of several blocks as one.

    Raises
    ------
    SignalError
        If there is no block at all.
    """
    filled = [pair for pair in pairs if len(pair)] or list(pairs[:1])
    if not filled:
        raise SignalError("there are no blocks to join; give one at least")
    if len(filled) == 1:
        return filled[0]
    times = np.concatenate([pair.time_s for pair in filled])
    return PairBlock(times, _stacked([p.upper for p in filled]), _stacked([p.lower for p in filled]))


def _stacked(rows: Sequence[SensorRows]) -> SensorRows:
    acc, gyr, flags = (np.concatenate([getattr(one, name) for one in rows]) for name in ("acc", "gyr", "flags"))
    fields_of = [one.mag for one in rows if one.mag is not None]
    return SensorRows(acc, gyr, np.concatenate(fields_of) if len(fields_of) == len(rows) else None, flags, _quats(rows))


def _quats(rows: Sequence[SensorRows]) -> FloatArray | None:
    """Return what the sensor reckoned; before it first did, NaN."""
    if all(one.quat is None for one in rows):
        return None
    return np.concatenate([np.full((len(one.flags), 4), np.nan) if one.quat is None else one.quat for one in rows])


def join_metrics(first: MetricBlock, second: MetricBlock) -> MetricBlock:
    """Return what was found in both."""
    return MetricBlock(first.events + second.events, first.windows + second.windows, first.summary + second.summary)


def join_postures(blocks: Sequence[PostureBlock]) -> PostureBlock:
    """Return the rows of one or more blocks as one."""
    if len(blocks) == 1:
        return blocks[0]
    columns: dict[str, Any] = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in _COLUMNS}
    return PostureBlock(**columns)


def join_rows(first: Rows, second: Rows) -> Rows:
    """Return the rows of both, one after the other."""
    return join_blocks((first, second))


def join_blocks(blocks: Sequence[Rows]) -> Rows:
    """Return the rows of one or more blocks as one."""
    filled = [rows for rows in blocks if len(rows.posture)] or list(blocks[:1])
    found = [rows.metrics for rows in blocks]
    metrics = MetricBlock(
        tuple(event for one in found for event in one.events),
        tuple(figure for one in found for figure in one.windows),
        tuple(figure for one in found for figure in one.summary),
    )
    return Rows(
        join_pairs([rows.samples for rows in filled]), join_postures([rows.posture for rows in filled]), metrics
    )


def _none() -> Rows:
    none = SensorRows(np.empty((0, 3)), np.empty((0, 3)), None, np.empty(0, np.uint8))
    return Rows(PairBlock(np.empty(0), none, none), no_posture(), MetricBlock())


_NO_ROWS = _none()
