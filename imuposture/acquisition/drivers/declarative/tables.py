"""A table of a profile that knows where it stands: every refusal names file, key and remedy.

A profile comes from anywhere, so nothing in it is taken as it is: types, limits and unknown keys are checked here,
once, for all who read it.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from imuposture._errors import ConfigError
from imuposture.acquisition.readers.files import read_small
from imuposture.acquisition.readers.text import safe_text

__all__ = ["BLUETOOTH_BASE", "LONGEST_PAYLOAD", "Table", "parsed", "shown", "text_of"]

Word = TypeVar("Word", bound=str)
LONGEST_PROFILE = 65_536  # bytes; the longest that is shipped has five thousand
LONGEST_PAYLOAD = 512  # bytes; no attribute may be longer (Bluetooth Core, Vol 3 Part F 3.2.9)
BLUETOOTH_BASE = "-0000-1000-8000-00805f9b34fb"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHORT_UUID = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}")


def text_of(path: Path) -> str:
    """Read the text of a profile.

    Raises
    ------
    ConfigError
        If it cannot be read, or is no text.
    """
    try:
        return read_small(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{safe_text(path)}: not UTF-8 text; save the profile as UTF-8") from None


def parsed(path: Path, text: str) -> dict[str, object]:
    """Parse the text of a profile as TOML; the path is for messages.

    Raises
    ------
    ConfigError
        If it is too long, or is not TOML.
    """
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_PROFILE:
        raise ConfigError(f"{safe_text(path)}: longer than {LONGEST_PROFILE} bytes, which no profile needs")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else safe_text(error)
        raise ConfigError(f"{safe_text(path)}: not valid TOML: {reason}") from None


class Table:
    """A table of a profile.

    Parameters
    ----------
    path : Path
        The profile, for messages.
    key : str
        Where the table stands in it, as ``stream[0].time``; empty for the whole file.
    content : object
        What stands there.
    known : sequence of str
        The keys that it may have.

    Raises
    ------
    ConfigError
        If it is no table, or has other keys.
    """

    def __init__(self, path: Path, key: str, content: object, known: Sequence[str]) -> None:
        self._path, self._key = path, key
        if not isinstance(content, dict):
            raise self.wrong("", f"must be a table with {', '.join(known)}, got {shown(content)}")
        self._content: Mapping[str, object] = content
        unknown = [name for name in content if name not in known]
        if unknown:
            raise self.wrong(unknown[0], f"is not a key that is known here; known are {', '.join(known)}")

    def __contains__(self, key: str) -> bool:
        return key in self._content

    @property
    def place(self) -> str:
        """Where the table stands in the profile."""
        return self._key

    @property
    def where(self) -> str:
        """File and place, for messages of those who come later."""
        return f"{safe_text(self._path)}: {self._key}"

    def raw(self, key: str) -> object:
        """Return what stands at a key; None if nothing does."""
        return self._content.get(key)

    def wrong(self, key: str, problem: str) -> ConfigError:
        """Make the error that says what is wrong with a key."""
        place = ".".join(part for part in (self._key, safe_text(key, 60)) if part) or "the file"
        return ConfigError(f"{safe_text(self._path)}: {place}: {problem}")

    def required(self, *keys: str) -> None:
        """Refuse a table without these keys.

        Raises
        ------
        ConfigError
            If one is missing.
        """
        missing = next((key for key in keys if key not in self), None)
        if missing:
            raise self.wrong(missing, "is missing; give it")

    def text(self, key: str, default: str | None = None, longest: int = 300) -> str:
        """Return a short printable text.

        Raises
        ------
        ConfigError
            If it is none, or missing without a default.
        """
        value = self._value(key, default)
        if not isinstance(value, str) or len(value) > longest or not (value == default or value.isprintable()):
            raise self.wrong(
                key, f"must be a text of at most {longest} printable characters on one line, got {shown(value)}"
            )
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number within limits.

        Raises
        ------
        ConfigError
            If it is none, beyond them, or missing without a default.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"must be a whole number from {low} to {high}, got {shown(value)}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a number within limits.

        Raises
        ------
        ConfigError
            If it is none, beyond them, or missing without a default.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(key, f"must be a number from {low:g} to {high:g}, got {shown(value)}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false.

        Raises
        ------
        ConfigError
            If it is neither.
        """
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, got {shown(value)}")
        return value

    def choice(self, key: str, known: Iterable[Word], default: Word | None = None) -> Word:
        """Return one of the words that are known.

        Raises
        ------
        ConfigError
            If it is another one, or missing without a default.
        """
        value, words = self._value(key, default), list(known)
        found = next((word for word in words if word == value), None)
        if found is None:
            raise self.wrong(key, f"must be one of {', '.join(words)}, got {shown(value)}")
        return found

    def octets(self, key: str, most: int = LONGEST_PAYLOAD) -> bytes:
        """Return bytes written in hexadecimal, as "55 61".

        Raises
        ------
        ConfigError
            If it is anything else, none or too many.
        """
        value = self._value(key, None)
        try:
            data = bytes.fromhex(value) if isinstance(value, str) else b""
        except ValueError:
            data = b""
        if not 0 < len(data) <= most:
            raise self.wrong(key, f'must be 1 to {most} bytes in hexadecimal, as "55 61", got {shown(value)}')
        return data

    def uuid(self, key: str) -> str:
        """Return a 128-bit UUID in lower case; 16 and 32 bits are completed with the Bluetooth base.

        Raises
        ------
        ConfigError
            If it is no UUID.
        """
        value = self._value(key, None)
        text = value.lower() if isinstance(value, str) else ""
        if _SHORT_UUID.fullmatch(text):
            return text.rjust(8, "0") + BLUETOOTH_BASE
        if not _UUID.fullmatch(text):
            raise self.wrong(
                key, f'must be a UUID, as "2a19" or "6e400001-b5a3-f393-e0a9-e50e24dcca9e", got {shown(value)}'
            )
        return text

    def table(self, key: str, known: Sequence[str]) -> "Table | None":
        """Return the table at a key; None if there is none.

        Raises
        ------
        ConfigError
            If it is no table, or has keys that are not known.
        """
        return Table(self._path, self._below(key), self._content[key], known) if key in self else None

    def tables(self, key: str, known: Sequence[str], most: int) -> "list[Table]":
        """Return the tables of an array; none if there is no such key.

        Raises
        ------
        ConfigError
            If it is no array of tables, too long, or one has keys that are not known.
        """
        found = self._content.get(key, [])
        if not isinstance(found, list) or len(found) > most:
            raise self.wrong(key, f"must be an array of at most {most} tables, got {shown(found)}")
        return [Table(self._path, f"{self._below(key)}[{place}]", item, known) for place, item in enumerate(found)]

    def of(self, key: str, content: object, known: Sequence[str]) -> "Table":
        """Take something inside this table as a table of its own, under a key for messages."""
        return Table(self._path, self._below(key), content, known)

    def only(self, known: Sequence[str]) -> "Table":
        """Return the same table with these keys only."""
        return Table(self._path, self._key, {key: self._content[key] for key in known if key in self}, known)

    def _below(self, key: str) -> str:
        return f"{self._key}.{safe_text(key, 60)}" if self._key else safe_text(key, 60)

    def _value(self, key: str, default: object) -> object:
        if key in self:
            return self._content[key]
        if default is None:
            raise self.wrong(key, "is missing; give it")
        return default


def shown(value: object) -> str:
    """Show a value of unknown origin in a message."""
    try:
        return f"{type(value).__name__} {safe_text(repr(value)[:200], 60)}"
    except ValueError:  # Python writes out no whole number of more than 4300 digits
        return "a number beyond all limits"
