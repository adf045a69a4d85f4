"""Rows as lines of JSON, for programs that read standard input."""

import json
from collections.abc import Iterator
from dataclasses import asdict, fields

import numpy as np

from imuposture._blocks import MetricBlock, PostureBlock

__all__ = ["lines_of"]

_COLUMNS = tuple(member.name for member in fields(PostureBlock))


def lines_of(posture: PostureBlock, metrics: MetricBlock) -> Iterator[str]:
    """Yield an object a row, then one an event (with the key ``event``); NaN becomes null.

    Columns are those of posture.parquet; quaternions are lists ``upper_q`` and ``lower_q``, w first.
    """
    columns = [_plain(getattr(posture, name)) for name in _COLUMNS]
    for values in zip(*columns, strict=True):
        yield json.dumps(dict(zip(_COLUMNS, values, strict=True)), allow_nan=False)
    for event in metrics.events:
        told = asdict(event)
        yield json.dumps({"event": told.pop("kind"), **told}, allow_nan=False)


def _plain(column: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> list[object]:
    """Return plain numbers; None where one is not finite."""
    values = column.astype(object)
    if column.dtype.kind == "f":
        values[~np.isfinite(column)] = None
    plain: list[object] = values.tolist()
    return plain
