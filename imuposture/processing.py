"""Processing: a recording in, a session out. Two passes: the first finds the calibration, the second is the walk."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imuposture._blocks import PairBlock, Stream
from imuposture._errors import CalibrationError, ConfigError, RecordingError
from imuposture.acquisition.readers import Recording, open_pair, open_recording
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration, calibrate
from imuposture.output import Memory, Result, SessionFolder, find_kept, manifest
from imuposture.pipeline import Config, Findings, Pipeline, Rows, SmoothedPipeline, join_pairs, pieces
from imuposture.pipeline.hindsight import refitted, unlagged

__all__ = ["process"]

HELD_S = 3600.0  # rows kept from the first pass for the second; beyond this the file is read again
HEAD = 1 << 16  # bytes that tell how long a row is


def process(
    recording: str | os.PathLike[str] | None = None,
    *,
    upper: str | os.PathLike[str] | None = None,
    lower: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    config: Config | None = None,
    calibration: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    samples: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Turn a recording into spinal angles and metrics.

    Parameters
    ----------
    recording : path, optional
        A plain CSV or Parquet file, a TOML that names two files, or a session folder.
    upper, lower : path, optional
        Instead of ``recording``: one file a sensor, for example two Movella DOT exports.
    out : path, optional
        Folder of the session to be written; without it everything stays in memory.
    config : Config, optional
    calibration : path, optional
        Session or recording of the same wearing, to take the calibration from.
    overwrite : bool
        Replace a session at ``out`` that was made of something else.
    samples : bool
        Also write the aligned samples into the session.
    progress : callable, optional
        Called with the share that is done, 0 to 1.

    Returns
    -------
    Result
        ``posture``, ``events``, ``windows`` and ``summary`` as Arrow tables, ``manifest`` as a dict.

    Raises
    ------
    RecordingError
        If the recording cannot be trusted; nothing is left at ``out`` then.
    ConfigError
        If the inputs or settings contradict each other.
    CalibrationError
        If ``calibration`` was given and cannot be used.
    SessionError
        If another session stands at ``out``, or it cannot be written.
    """
    config = config or Config()
    source = _opened(recording, upper, lower, magnetometer=config.magnetometer or samples)
    source, lag = _with_better_times(source, config)
    config = replace(config, placement=config.placement or source.placement)
    borrowed = None if calibration is None else _borrowed(Path(calibration), config)
    facts = _facts(source, config, None if calibration is None else Path(calibration)) | lag
    if out is not None and (kept := find_kept(out, facts, overwrite=overwrite, samples=samples)):
        return kept
    walk = _Walk(source, config, borrowed)
    sink = Memory(facts) if out is None else SessionFolder(out, facts, overwrite=overwrite, samples=samples)
    with sink:
        share = _Share(source, progress)
        for rows in walk.rows():
            sink.write(rows.posture, rows.metrics, rows.samples if samples else None)
            share.report(walk.seconds)
        return sink.close(walk.pipeline.metrics.finish(), walk.findings(facts["notes"]))


class _Walk:
    """The two passes over one recording."""

    def __init__(self, source: Recording, config: Config, borrowed: Calibration | None) -> None:
        self._source = source
        self.alignment = Alignment(source.streams, config.gap_limit_s)
        self._blocks = source.blocks()
        self._held: list[PairBlock] | None = []
        self.seconds = 0.0
        self._findings = Findings()
        calibration = borrowed or self._first_pass(config)
        pipeline = SmoothedPipeline if config.smoothed else Pipeline
        self.pipeline = pipeline(self.alignment, calibration, config)

    def _first_pass(self, config: Config) -> Calibration:
        """Read until the calibration movements must be over, and find the mounting in those rows."""
        named = [end for spans in self._source.windows.values() for _, end in spans]
        until = max(named) + 1.0 if self._source.windows.get("neutral") else config.calibration_search_s
        seen: list[PairBlock] = []
        for pair in self._aligned():
            seen.append(pair)
            if self.seconds - self._start > until:
                break
        if not seen:
            raise RecordingError("the recording holds no rows that could be aligned")
        whole = join_pairs(seen)
        if len(whole) and float(whole.time_s[-1] - whole.time_s[0]) <= HELD_S:
            self._held = seen
        else:
            self._begin_again(config)
        return calibrate(whole, self.alignment.rate_hz, self._source.windows)

    def _begin_again(self, config: Config) -> None:
        self.alignment = Alignment(self._source.streams, config.gap_limit_s)
        self._blocks, self._held = self._source.blocks(), []

    @property
    def _start(self) -> float:
        return min(stream.start_s for stream in self._source.streams)

    def _aligned(self) -> Iterator[PairBlock]:
        for block in self._blocks:
            pair = self.alignment.push(block)
            if len(pair):
                self.seconds = float(pair.time_s[-1])
                yield pair

    def pairs(self) -> Iterator[PairBlock]:
        """Yield every aligned row of the recording, those of the first pass included."""
        held, self._held = self._held or [], None
        while held:
            yield held.pop(0)
        yield from self._aligned()
        yield self.alignment.finish()

    def rows(self) -> Iterator[Rows]:
        """Walk every row of the recording, a piece at a time."""
        for pair in self.pairs():
            for piece in pieces(pair):
                yield self._findings.counted(self.pipeline.walk(piece))
        for rows in self.pipeline.rest():
            yield self._findings.counted(rows)

    def findings(self, notes: Sequence[str]) -> dict[str, Any]:
        """Return what is known only after the last row."""
        return self._findings.asdict(self.pipeline, notes)


class _Share:
    """How much of a recording is done; where no reader can tell, from the size of the file and of its rows."""

    def __init__(self, source: Recording, progress: Callable[[float], None] | None) -> None:
        self._progress = progress
        self._start = min(stream.start_s for stream in source.streams)
        self._length = (source.rows or _rows_guess(source)) / source.streams[0].rate_hz

    def report(self, seconds: float) -> None:
        if self._progress is not None:
            self._progress(min((seconds - self._start) / max(self._length, 1.0), 1.0))


def _rows_guess(source: Recording) -> int:
    path = source.paths[0]
    if not path.is_file():
        return 1
    with path.open("rb") as file:
        head = file.read(HEAD)
    return int(path.stat().st_size / max(len(head) / max(head.count(b"\n"), 1), 1.0))


def _opened(
    recording: str | os.PathLike[str] | None,
    upper: str | os.PathLike[str] | None,
    lower: str | os.PathLike[str] | None,
    *,
    magnetometer: bool,
) -> Recording:
    if recording is not None and (upper is not None or lower is not None):
        raise ConfigError("give either one recording, or the files of the sensors as upper and lower, not both")
    if recording is not None:
        return open_recording(Path(recording), magnetometer=magnetometer)
    paths = (None if path is None else Path(path) for path in (upper, lower))
    return open_pair(*paths, magnetometer=magnetometer)


def _with_better_times(source: Recording, config: Config) -> tuple[Recording, dict[str, Any]]:
    """Do what was asked for about times; return also what the manifest says of it."""
    if config.clocks == "fit":
        source = refitted(source)
    if config.shaken_s is None:
        return source, {}
    source, lag = unlagged(source, *config.shaken_s, config.gap_limit_s)
    return source, {"shaken": lag}


def _facts(source: Recording, config: Config, calibration: Path | None) -> dict[str, Any]:
    """Return what the manifest says before the first row."""
    files = {
        "paths": [str(path) for path in source.paths],
        "sha256": [_digest(path) for path in source.paths],
    }
    if calibration is not None:
        files["calibration_sha256"] = [_digest(calibration)]
    return {
        "input": files | {"format": source.format, "units": source.units},
        "config": config.asdict(),
        "config_hash": config.hash(),
        "placement": config.placement,
        "start": None if source.start is None else source.start.isoformat(),
        "time_zone": None if source.start is None else str(source.start.tzinfo),
        "sensors": {stream.role: _sensor(stream) for stream in source.streams},
        "notes": [*source.notes, *_no_magnetometer(source, config)],
    }


def _no_magnetometer(source: Recording, config: Config) -> list[str]:
    lacking = [stream.role for stream in source.streams if not stream.magnetometer]
    if not config.magnetometer or not lacking:
        return []
    return [f"the magnetometer was asked for, but the recording has none for {' and '.join(lacking)}: left out"]


def _sensor(stream: Stream) -> dict[str, Any]:
    clock = {"tick_s": stream.tick_s, "wrap_ticks": stream.wrap_ticks, "start_s": stream.start_s}
    return {
        "driver": stream.sensor,
        "rate_hz": stream.rate_hz,
        "acc_full_scale": stream.acc_full_scale,
        "gyr_full_scale": stream.gyr_full_scale,
        "clock": clock,
    }


def _digest(path: Path) -> str:
    return manifest.sha256(path / "session.json" if path.is_dir() else path)


def _borrowed(path: Path, config: Config) -> Calibration:
    """Take the calibration of a session, or of another recording of the same wearing."""
    if path.is_dir() and (path / "session.json").is_file():
        stored = manifest.load(path).get("calibration")
        if not isinstance(stored, dict):
            raise CalibrationError(f"{path}: the session holds no calibration; give another one")
        found = Calibration.fromdict(stored, source=str(path))
    else:
        other = _Walk(open_recording(path, magnetometer=False), config, None)
        found = replace(other.pipeline.calibration, source=str(path))
    if not found.usable:
        raise CalibrationError(f"{path}: its calibration cannot be used: {' '.join(found.verdicts)}")
    return found
