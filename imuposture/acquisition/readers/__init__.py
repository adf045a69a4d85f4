"""Readers: files -> `ImuBlock`. One module a format, found by sniffing; add one through ``imuposture.readers``.

A file passes through: `registry` (which reader) -> `settings` (the TOML) -> the reader's module (which columns) ->
`csv_table` or `parquet_table` (numbers) -> `table` (blocks, checked row by row) -> `probe` (rate and units from the
first minutes, judged by `sanity`) -> `assemble` (one or two files, one recording).
"""

from imuposture.acquisition.readers.describe import describe
from imuposture.acquisition.readers.recording import Reader, Recording, SourceFile
from imuposture.acquisition.readers.registry import open_pair, open_recording
from imuposture.acquisition.readers.settings import Settings

__all__ = ["Reader", "Recording", "Settings", "SourceFile", "describe", "open_pair", "open_recording"]
