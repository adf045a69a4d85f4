"""Rows -> the world: the session folder (Parquet and a manifest), or the same tables in memory.

schema.py says what the tables are, tables.py fills them, parquet.py and manifest.py know the two kinds of file,
session.py puts them together so that a folder appears whole or not at all, result.py reads it back.
"""

from imuposture.output.result import Result, Sessions, open_sessions
from imuposture.output.session import Memory, SessionFolder, find_kept

__all__ = ["Memory", "Result", "SessionFolder", "Sessions", "find_kept", "open_sessions"]
