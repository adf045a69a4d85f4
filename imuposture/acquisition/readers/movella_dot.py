"""Exports of the Movella (Xsens) DOT app: one CSV a sensor, a preamble, any set of columns.

Columns are found by name. ``SampleTimeFine`` counts microseconds in 32 bits and wraps after 71.6 minutes; angular
rates are in degrees per second (MT Manager's look-alike text files are in radians, and are not read here).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

from imuposture._blocks import Stream
from imuposture._errors import RecordingError
from imuposture.acquisition.readers.assemble import assembled
from imuposture.acquisition.readers.csv_table import CsvTable, Header, parse_header
from imuposture.acquisition.readers.probe import OpenFile, Sensor, open_file
from imuposture.acquisition.readers.recording import Recording, SourceFile
from imuposture.acquisition.readers.settings import ACC_UNITS, GYR_UNITS, Settings
from imuposture.acquisition.readers.table import MICROSECONDS, FileRows, Layout, SensorColumns, Triple, Units
from imuposture.acquisition.readers.text import safe_text

__all__ = ["MovellaDotReader"]

COUNTER, TIME = "PacketCounter", "SampleTimeFine"
UNITS = Units(acc="m/s2", gyr="deg/s")
# Fixed ranges of the sensor, from its data sheet.
SENSOR = Sensor("movella_dot", acc_full_scale=16 * ACC_UNITS["g"], gyr_full_scale=2000 * GYR_UNITS["deg/s"])
_HEADER_LINE = re.compile(rb"^(?:\xef\xbb\xbf)?\"?PacketCounter\"?\s*[,;]\s*\"?SampleTimeFine\b", re.MULTILINE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*Hz", re.IGNORECASE)
_START = re.compile(r"(\d{4}-\d\d-\d\d)[ _T](\d\d:\d\d:\d\d)[._](\d{1,6})\s*(Z|UTC|GMT|[+-]\d\d:?\d\d)")


class MovellaDotReader:
    """Reads exports of the Movella DOT app."""

    name = "movella_dot"

    def sniff(self, _path: Path, head: bytes) -> bool:
        """Look for the line ``PacketCounter,SampleTimeFine,...`` near the top."""
        return not head.startswith(b"//") and _HEADER_LINE.search(head) is not None

    def open(self, files: Sequence[SourceFile], settings: Settings) -> Recording:
        """Open the upper and the lower sensor's file, or one of them."""
        preambles = [_preamble(file.head) for file in files]
        opened = [_opened(*pair, settings) for pair in zip(files, preambles, strict=True)]
        streams, notes = _on_one_clock(opened, preambles)
        start, told = _start(preambles)
        if any(sensor.mag for file in opened for sensor in file.rows.layout.sensors):
            notes.append("the magnetometer is in the app's arbitrary units, not in uT")
        return assembled(
            opened, streams, settings, format_name="Movella DOT export", notes=[*notes, *told], start=start
        )


def _preamble(head: bytes) -> dict[str, str]:
    """Read ``Key:,value`` lines; blanks and the commas that pad a line are no part of the value."""
    found = _HEADER_LINE.search(head)
    text = head[: found.start() if found else 0].decode("utf-8", errors="replace")
    pairs = (line.strip("\ufeff\r ,").split(",", 1) for line in text.splitlines())
    return {pair[0].strip(" :").lower(): pair[1].strip(' ,"') for pair in pairs if len(pair) == 2}


def _opened(file: SourceFile, preamble: dict[str, str], settings: Settings) -> OpenFile:
    if file.role is None:
        raise RecordingError(
            f"{safe_text(file.path)}: a Movella DOT export of one sensor; say which with --upper FILE or --lower FILE, "
            'or write a TOML with [recording] upper = "FILE", lower = "FILE"'
        )
    found = _HEADER_LINE.search(file.head)
    header = parse_header(file.path, file.head, 1 + file.head.count(b"\n", 0, found.start() if found else 0))
    acc, gyr, mag = _triple("Acc"), _triple("Gyr"), _triple("Mag")
    for name in (*acc, *gyr):
        _refuse_without(file.path, header, name)
    wanted = settings.magnetometer and set(mag) <= set(header.names)
    columns = SensorColumns(file.role, acc, gyr, mag if wanted else None)
    layout = Layout(TIME, MICROSECONDS, (columns,))
    rate = _RATE.search(preamble.get("outputrate", ""))
    return open_file(
        FileRows(CsvTable(file.path, header, layout.columns()), layout),
        settings,
        SENSOR,
        units=UNITS,
        rate_hz=float(rate[1]) if rate and float(rate[1]) > 0 else None,
    )


def _triple(quantity: str) -> Triple:
    return f"{quantity}_X", f"{quantity}_Y", f"{quantity}_Z"


def _refuse_without(path: Path, header: Header, name: str) -> None:
    if name not in header.names:
        raise RecordingError(
            f"{safe_text(path)}, line {header.line}: column {name} is missing; acceleration and angular rate are "
            "needed. Record again in the measurement mode 'Rate quantities' or 'Custom Mode 5' of the app"
        )


def _on_one_clock(
    opened: Sequence[OpenFile], preambles: Sequence[dict[str, str]]
) -> tuple[list[tuple[Stream, ...]], list[str]]:
    """Place the first samples on the session's time line; it begins with the earlier sensor's first sample."""
    streams = [file.streams for file in opened]
    if len(opened) < 2:
        return streams, []
    if not all(preamble.get("syncstatus", "").lower() == "synced" for preamble in preambles):
        return streams, [
            "the sensors were not synchronised by the app; both streams are taken to begin at the same moment, so "
            "angles between the sensors are wrong while moving by whatever they began apart"
        ]
    wrap = MICROSECONDS.wrap_ticks or 0.0
    # The shorter way round the counter: the second sensor began up to 35.8 minutes after, or before, the first.
    ahead = ((opened[1].first_tick - opened[0].first_tick + wrap / 2) % wrap - wrap / 2) * MICROSECONDS.tick_s
    starts = max(0.0, -ahead), max(0.0, ahead)
    placed: list[tuple[Stream, ...]] = [
        (replace(one[0], start_s=start),) for one, start in zip(streams, starts, strict=True)
    ]
    return placed, [f"the sensors were synchronised by the app; their first samples are {abs(ahead):.6g} s apart"]


def _start(preambles: Sequence[dict[str, str]]) -> tuple[datetime | None, list[str]]:
    """Read the first sensor's start; zones by name (WEST, IST) are not unique, so only numbers and UTC are believed."""
    text = preambles[0].get("starttime", "")
    found = _START.search(text)
    if not found:
        return None, [
            f"start time {safe_text(repr(text), 60)} has no zone as a number; it was left out"
        ] if text else []
    day, clock, fraction, zone = found.groups()
    offset = timedelta()
    if zone[0] in "+-":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{fraction:0<6}").replace(tzinfo=timezone(offset)), []
    except ValueError:
        return None, [f"start time {safe_text(repr(text), 60)} does not exist; it was left out"]
