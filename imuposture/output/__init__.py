"""Rows -> the world: the session folder (Parquet and a manifest), or the same tables in memory.

schema.py says what the tables are, tables.py fills them, parquet.py and manifest.py know the two kinds of file,
session.py puts them together so that a folder appears whole or not at all, result.py reads it back. While recording,
journal.py keeps what comes; journal_reader.py reads that back, however damaged. spool.py writes the rows meanwhile, so
that closing.py need not walk the journal again.
"""

from imuposture.output.closing import Recovery, close_session, recover
from imuposture.output.journal import Journal
from imuposture.output.journal_reader import Damage, read_entries
from imuposture.output.result import Result, Sessions, open_sessions
from imuposture.output.session import Memory, SessionFolder, find_kept
from imuposture.output.spool import Spool
from imuposture.output.stored import counted_rows, figures_table, posture_rows, put_scores, put_table, rate_of

__all__ = [
    "Damage",
    "Journal",
    "Memory",
    "Recovery",
    "Result",
    "SessionFolder",
    "Sessions",
    "Spool",
    "close_session",
    "counted_rows",
    "figures_table",
    "find_kept",
    "open_sessions",
    "posture_rows",
    "put_scores",
    "put_table",
    "rate_of",
    "read_entries",
    "recover",
]
