"""A session's posture.parquet -> posture rows again, a row group at a time; and figures of later beside it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imuposture._blocks import Figure, PostureBlock, Quality
from imuposture._errors import SessionError
from imuposture.output.parquet import DAMAGE, damaged, read, sync
from imuposture.output.result import Result
from imuposture.output.schema import arrow_schema
from imuposture.output.tables import FigureRows

__all__ = ["SCORES", "counted_rows", "figures_table", "posture_rows", "put_scores", "put_table", "rate_of"]

SCORES = "scores.parquet"
_QUATERNIONS = tuple(f.name for f in fields(PostureBlock) if f.name.endswith("_q"))
_PLAIN = tuple(f.name for f in fields(PostureBlock) if f.name not in _QUATERNIONS)
_COLUMNS = [*_PLAIN, *(f"{name}{axis}" for name in _QUATERNIONS for axis in "wxyz")]


def rate_of(result: Result) -> float:
    """Return the rate of a session's posture rows, Hz.

    Raises
    ------
    SessionError
        If the manifest does not say.
    """
    alignment = result.manifest.get("alignment")
    rate = alignment.get("rate_hz") if isinstance(alignment, dict) else None
    if not isinstance(rate, int | float) or not 1.0 <= rate <= 10_000.0:
        raise SessionError(f"{_name(result)}: session.json does not tell the rate of the rows; process it again")
    return float(rate)


def posture_rows(result: Result) -> Iterator[PostureBlock]:
    """Yield the posture rows of a session, a row group at a time; null is NaN again.

    Raises
    ------
    SessionError
        If the table is missing or damaged.
    """
    if result.path is None:
        yield from (_block(batch) for batch in result.posture.to_batches(65_536))
        return
    result.verify_table("posture")
    path = result.path / "posture.parquet"
    try:
        with pq.ParquetFile(path) as file:
            known = [name for name in _COLUMNS if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, known)
                yield from (_block(batch) for batch in table.combine_chunks().to_batches())
    except DAMAGE as error:
        raise damaged(path, error) from error


def counted_rows(result: Result) -> Iterator[PostureBlock]:
    """Yield the rows that the summary of a session counts: of a live one, those since its guided calibration.

    Raises
    ------
    SessionError
        If the table is missing or damaged.
    """
    calibration = result.manifest.get("calibration")
    waiting = isinstance(calibration, dict) and calibration.get("usable") is True
    for posture in posture_rows(result):
        if waiting:
            ready = np.flatnonzero(posture.quality & Quality.UNCALIBRATED.value == 0)
            if not len(ready):
                continue
            waiting = False
            yield replace(posture, **{f.name: getattr(posture, f.name)[ready[0] :] for f in fields(posture)})
        else:
            yield posture


def _block(batch: pa.RecordBatch) -> PostureBlock:
    rows, names = batch.num_rows, set(batch.schema.names)

    def column(name: str) -> Any:
        flags = name in ("quality", "heading_state")
        if name not in names:
            return np.zeros(rows, np.uint8) if flags else np.full(rows, np.nan)
        values = batch.column(name)
        if flags:
            return values.fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint8)
        return values.to_numpy(zero_copy_only=False).astype(np.float64)

    plain = {name: column(name) for name in _PLAIN}
    turned = {name: np.stack([column(f"{name}{axis}") for axis in "wxyz"], axis=1) for name in _QUATERNIONS}
    return PostureBlock(**plain, **turned)


def figures_table(figures: Sequence[Figure]) -> pa.Table:
    """Return figures as a table like ``summary``."""
    rows = FigureRows("summary")
    rows.push(figures)
    return rows.finish()


def put_scores(folder: Path, figures: Sequence[Figure]) -> Path:
    """Write figures into scores.parquet of a session folder; those of other definitions that are there stay.

    Raises
    ------
    SessionError
        If the file that is there is damaged, or it cannot be written.
    """
    path, new = folder / SCORES, figures_table(figures)
    if path.exists():
        old, ours = read(path).cast(arrow_schema("summary")), set(new.column("definition").to_pylist())
        keep = [definition not in ours for definition in old.column("definition").to_pylist()]
        new = pa.concat_tables([old.filter(pa.array(keep, pa.bool_())), new])
    return put_table(path, new)


def put_table(path: Path, table: pa.Table) -> Path:
    """Write a table: the file is the old one or the new one, whole, at any moment.

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.partial")
    try:
        pq.write_table(table, part, write_page_checksum=True)
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SessionError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _name(result: Result) -> str:
    return "the session in memory" if result.path is None else str(result.path)
