"""A simulation as files: the plain recording, and two exports of the Movella DOT app."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import ROLES, ImuBlock
from imuposture._errors import ConfigError

if TYPE_CHECKING:
    from imuposture.acquisition.simulation.recording import Simulation

__all__ = ["write_movella_dot", "write_plain"]

Columns = dict[str, NDArray[Any]]
AXES = "xyz"
TIME_DECIMALS = 6
DOT_PREAMBLE = """sep=,
DeviceTag:,{tag}
FirmwareVersion:,3.0.0
AppVersion:,2023.6.0
SyncStatus:,{sync}
OutputRate:,{rate:g}Hz
FilterProfile:,General
Measurement Mode:,Rate quantities{mag}
StartTime: ,2025-03-03_09:00:00_000 UTC
(c) simulated by imuposture

"""
DOT_WRAP = 2**32  # SampleTimeFine is an unsigned 32-bit counter of microseconds


def write_plain(simulation: "Simulation", path: Path, format: str | None, *, windows: bool, decimals: int) -> Path:
    """Write the table and its TOML; see `Simulation.write`.

    Raises
    ------
    ConfigError
        If there is no such format.
    """
    kind = format or path.suffix.lstrip(".")
    if kind not in ("csv", "parquet"):
        raise ConfigError(f"format must be 'csv' or 'parquet', got {kind!r}; name it, or end the path in .csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = simulation.blocks()
    tables = (_plain_columns(upper, lower) for upper, lower in zip(blocks, blocks, strict=True))
    if kind == "csv":
        _write_csv(path, b"", (_rounded(table, decimals) for table in tables))
    else:
        _write_parquet(path, tables)
    lines = [
        f"rate_hz = {simulation.rate_hz!r}",
        'units = { acc = "m/s2", gyr = "rad/s" }',
        *_metadata(simulation, windows),
    ]
    _write_lines(path.with_suffix(".toml"), lines)
    return path


def write_movella_dot(simulation: "Simulation", folder: Path, *, first_tick: int, synced: bool) -> tuple[Path, Path]:
    """Write both exports and a TOML that names them; see `Simulation.write_movella_dot`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "upper.csv", folder / "lower.csv"
    for role, path in zip(ROLES, paths, strict=True):
        sensor = simulation.upper if role == "upper" else simulation.lower
        preamble = DOT_PREAMBLE.format(
            tag=f"{role} back",
            sync="Synced" if synced else "Un-synced",
            rate=simulation.rate_hz,
            mag=" (with mag)" if sensor.model.magnetometer else "",
        )
        blocks = (block for block in simulation.blocks() if block.role == role)
        _write_csv(path, preamble.encode(), _dot_columns(blocks, simulation.rate_hz, first_tick))
    lines = _metadata(simulation, windows=True)
    _write_lines(folder / "recording.toml", [*lines, "", "[recording]", 'upper = "upper.csv"', 'lower = "lower.csv"'])
    return paths


def _metadata(simulation: "Simulation", windows: bool) -> list[str]:
    """Return the lines of a TOML file that say how the sensors were worn and what was done when."""
    lines = [f'placement = "{simulation.person.placement}"']
    if windows and simulation.windows:
        lines += ["", "[calibration]"]
        for name, spans in simulation.windows.items():
            pairs = [[round(a, TIME_DECIMALS), round(b, TIME_DECIMALS)] for a, b in spans]
            lines.append(f"{name} = {pairs[0] if len(pairs) == 1 else pairs}")
    return lines


def _plain_columns(upper: ImuBlock, lower: ImuBlock) -> Columns:
    columns: Columns = {"time_s": upper.ticks}
    for block in (upper, lower):
        for signal, values in (("acc", block.acc), ("gyr", block.gyr), ("mag", block.mag)):
            if values is not None:
                columns |= {f"{block.role}_{signal}_{axis}": values[:, i] for i, axis in enumerate(AXES)}
    return columns


def _rounded(columns: Columns, decimals: int) -> Columns:
    # Adding 0.0 turns -0.0 into 0.0, which is what a logger would print.
    return {n: np.round(v, TIME_DECIMALS if n == "time_s" else decimals) + 0.0 for n, v in columns.items()}


def _dot_columns(blocks: Iterator[ImuBlock], rate_hz: float, first_tick: int) -> Iterator[Columns]:
    """Yield the columns of one sensor's export: microseconds that wrap, degrees per second."""
    row = 0
    for block in blocks:
        count = np.arange(row, row + len(block.ticks), dtype=np.int64)
        row += len(count)
        micros = np.round(1e6 * count / rate_hz).astype(np.int64)
        columns: Columns = {"PacketCounter": count + 1, "SampleTimeFine": (micros + first_tick) % DOT_WRAP}
        for name, values in (("Acc", block.acc), ("Gyr", np.degrees(block.gyr)), ("Mag", block.mag)):
            if values is not None:
                columns |= {f"{name}_{axis.upper()}": np.round(values[:, i], 7) for i, axis in enumerate(AXES)}
        yield columns


def _write_csv(path: Path, preamble: bytes, tables: Iterator[Columns]) -> None:
    import pyarrow as pa
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False)
    with path.open("wb") as file:
        file.write(preamble)
        for i, columns in enumerate(tables):
            if i == 0:
                file.write((",".join(columns) + "\n").encode())
            csv.write_csv(pa.table(columns), file, options)


def _write_parquet(path: Path, tables: Iterator[Columns]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    first = pa.table(next(tables))
    with parquet.ParquetWriter(path, first.schema, write_page_checksum=True) as writer:
        writer.write_table(first)
        for columns in tables:
            writer.write_table(pa.table(columns))


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
