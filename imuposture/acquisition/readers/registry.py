"""Which reader opens a file: the readers of this package first, then plug-ins by name."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from imuposture._errors import ConfigError, ImuPostureError, PluginError, RecordingError
from imuposture.acquisition.readers.files import read_head
from imuposture.acquisition.readers.recording import Reader, Recording, SourceFile
from imuposture.acquisition.readers.settings import Settings, read_settings, settings_beside
from imuposture.acquisition.readers.text import safe_text

__all__ = ["load", "names", "open_files", "open_pair", "open_recording"]

GROUP = "imuposture.readers"
BUILT_IN = {
    "session": "imuposture.acquisition.readers.session:SessionReader",
    "movella_dot": "imuposture.acquisition.readers.movella_dot:MovellaDotReader",
    "plain": "imuposture.acquisition.readers.plain:PlainReader",
}


def open_recording(path: str | Path, *, reader: str | None = None, magnetometer: bool = True) -> Recording:
    """Open a recording: a plain CSV or Parquet file, a TOML that names two files, or a session folder.

    Parameters
    ----------
    path : str or Path
    reader : str, optional
        Name of the reader; found by looking at the file when left out.
    magnetometer : bool
        False leaves the magnetometers unread, which takes a third less time where there are any.

    Raises
    ------
    RecordingError
        If it is not a recording that can be trusted; the message names file, place, problem and remedy.
    ConfigError
        If the TOML is wrong, or contradicts the file.
    PluginError
        If a reader of another package cannot be loaded or breaks its contract.
    """
    path = Path(path)
    if path.suffix.lower() == ".toml":
        settings = read_settings(path)
        if not settings.files:
            raise ConfigError(
                f'{safe_text(path)}: has no [recording] with upper = "FILE", lower = "FILE"; give the recording '
                "itself, its TOML is found by its name"
            )
        settings = replace(settings, magnetometer=magnetometer)
        return _open_roles(settings.files.get("upper"), settings.files.get("lower"), settings, reader)
    if path.is_dir():
        return open_files((SourceFile(path),), Settings(magnetometer=magnetometer), reader)
    settings = replace(settings_beside(path), magnetometer=magnetometer)
    return open_files((SourceFile(path, None, read_head(path)),), settings, reader)


def open_pair(
    upper: str | Path | None = None,
    lower: str | Path | None = None,
    *,
    reader: str | None = None,
    magnetometer: bool = True,
) -> Recording:
    """Open one file a sensor; without the other file it is a recording of one sensor.

    The settings are read from the TOML beside the upper sensor's file, or beside the lower one's.

    Raises
    ------
    RecordingError, ConfigError, PluginError
        As `open_recording`; also if both files have a TOML of their own.
    """
    files = [Path(path) for path in (upper, lower) if path is not None]
    found = [settings for settings in map(settings_beside, files) if settings.path]
    if len(found) == 2:
        raise ConfigError(
            f"{safe_text(found[0].path)} and {safe_text(found[1].path)}: two files of settings for one recording; keep "
            'one, or write one TOML with [recording] upper = "FILE", lower = "FILE" and give that'
        )
    settings = replace(found[0] if found else Settings(), magnetometer=magnetometer)
    return _open_roles(Path(upper) if upper else None, Path(lower) if lower else None, settings, reader)


def _open_roles(upper: Path | None, lower: Path | None, settings: Settings, reader: str | None) -> Recording:
    if upper is None and lower is None:
        raise ConfigError("no file given; name the upper sensor's file, the lower one's, or both")
    if upper is not None and lower is not None and upper.exists() and lower.exists() and upper.samefile(lower):
        raise RecordingError(f"{safe_text(upper)}: given as upper and as lower sensor; each needs its own file")
    files = []
    if upper is not None:
        files.append(SourceFile(upper, "upper", read_head(upper)))
    if lower is not None:
        files.append(SourceFile(lower, "lower", read_head(lower)))
    return open_files(files, settings, reader)


def open_files(files: Sequence[SourceFile], settings: Settings, name: str | None = None) -> Recording:
    """Find the reader (or take the one of that name) and open the files with it.

    Raises
    ------
    RecordingError
        If no reader takes a file, two files are of different formats, or the reader refuses one.
    PluginError
        If the reader comes from elsewhere and breaks.
    """
    for file in files:
        _refuse_binary(file)
    chosen = {name or _sniffed(file) for file in files}
    if len(chosen) > 1:
        raise RecordingError(
            f"{safe_text(files[0].path)} and {safe_text(files[1].path)} are of different formats "
            f"({' and '.join(sorted(chosen))}); both sensors need the same"
        )
    reader = load(chosen.pop())
    try:
        recording = reader.open(files, settings)
    except Exception as error:
        if isinstance(error, ImuPostureError) or reader.name in BUILT_IN:
            raise
        raise PluginError(f"reader {safe_text(reader.name)}: open() failed: {safe_text(error)}") from error
    if not isinstance(recording, Recording):
        raise PluginError(f"reader {safe_text(reader.name)}: open() gave {type(recording).__name__}, not a Recording")
    return recording


def _refuse_binary(file: SourceFile) -> None:
    """Refuse what no text reader could make sense of; Parquet is known by its magic number."""
    if file.head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecordingError(f"{safe_text(file.path)}: UTF-16 text; save it as UTF-8 CSV (Excel: 'CSV UTF-8')")
    if file.head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")):
        raise RecordingError(
            f"{safe_text(file.path)}: a compressed file or workbook; unpack it, or save the sheet as CSV"
        )


def _sniffed(file: SourceFile) -> str:
    for name in names():
        reader = load(name)
        try:
            if reader.sniff(file.path, file.head):
                return name
        except Exception as error:
            raise PluginError(f"reader {safe_text(name)}: sniff() failed: {safe_text(error)}") from error
    raise RecordingError(f"{safe_text(file.path)}: {_unknown(file)}")


def _unknown(file: SourceFile) -> str:
    if file.path.is_dir():
        return "a folder without session.json; give a recording, or a session folder"
    if b"\0" in file.head:
        return "binary or UTF-16 data of no known format; give a CSV as UTF-8, Parquet, or a session folder"
    first = file.head.split(b"\n", 1)[0].decode("utf-8", errors="replace").strip()
    return (
        f"no known format; its first line is {safe_text(repr(first), 80)}. Known are {', '.join(names())}; a plain CSV "
        "begins with time_s,upper_acc_x,upper_acc_y,..."
    )


def names() -> Iterator[str]:
    """Name the readers, those of this package first; plug-ins are looked for only when it comes to them."""
    yield from BUILT_IN
    yield from sorted({point.name for point in _plug_ins()})


def _plug_ins() -> Iterator[EntryPoint]:
    return (point for point in entry_points(group=GROUP) if point.name not in BUILT_IN)


def load(name: str) -> Reader:
    """Load a reader by name.

    Raises
    ------
    PluginError
        If there is none of this name, it cannot be imported, or it is no `Reader`.
    """
    try:
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].partition(":")
            found = getattr(import_module(module), attribute)()
        else:
            point = next((point for point in _plug_ins() if point.name == name), None)
            found = point.load()() if point else None
    except Exception as error:
        raise PluginError(f"reader {safe_text(name)}: cannot be loaded: {safe_text(error)}") from error
    if found is None:
        raise PluginError(f"reader {safe_text(name)} does not exist; known are {', '.join(names())}")
    if not isinstance(found, Reader):
        raise PluginError(f"reader {safe_text(name)}: lacks name, sniff or open")
    return found
