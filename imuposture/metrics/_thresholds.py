"""Threshold sets: who calls which angles what, as data with a name, a version and a source.

A set is a TOML file; those of this package lie in the folder ``thresholds``. Nobody's limits are in the code.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from imuposture._checks import number
from imuposture._errors import ConfigError

__all__ = ["COMBINED", "QUANTITIES", "Frequency", "Holding", "Rule", "ThresholdSet", "known_sets", "threshold_set"]

FOLDER = Path(__file__).parent / "thresholds"
QUANTITIES = ("trunk_forward", "trunk_side", "curvature", "lateral_bend", "rotation")
COMBINED = ("worst", "sum", "none")
_KEYS = {"id", "version", "title", "source", "combine", "disclosed", "names", "rules", "frequencies", "holding"}
_MOST = 1 << 20  # bytes of a file of thresholds


@dataclass(frozen=True, slots=True)
class Rule:
    """An angle sorted into levels: ``levels[k]`` beyond k of ``cuts_deg``.

    Of rules that share ``together`` only the highest level counts.
    """

    name: str
    quantity: str
    cuts_deg: tuple[float, ...]
    levels: tuple[int, ...]
    absolute: bool = False
    together: str | None = None


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often a minute the size of an angle exceeds ``beyond_deg`` after having been below ``back_deg``."""

    name: str
    quantity: str
    beyond_deg: float
    back_deg: float
    most_per_minute: float


@dataclass(frozen=True, slots=True)
class Holding:
    """How long a forward posture may be held: on a line from one angle to another; nothing is said beyond the two."""

    from_deg: float
    to_deg: float
    from_min: float
    to_min: float

    def longest_min(self, lean_deg: float) -> float | None:
        """Return the longest holding at this inclination, min; None where the set says nothing."""
        if not self.from_deg < lean_deg <= self.to_deg:
            return None
        share = (lean_deg - self.from_deg) / (self.to_deg - self.from_deg)
        return self.from_min + share * (self.to_min - self.from_min)


@dataclass(frozen=True, slots=True)
class ThresholdSet:
    """A named set of limits.

    Attributes
    ----------
    id : str
    version : int
        Changes whenever a limit does.
    title, source : str
        What it is, and where it was published.
    combine : "worst", "sum" or "none"
        How the levels of a row under all rules become one: the highest, their sum, or not at all.
    rules : tuple of Rule
    frequencies : tuple of Frequency
    holding : Holding or None
    names : mapping of int to str
        What a level is called; the number itself where it has no name.
    disclosed : tuple of str
        What was decided here because the source leaves it open.
    digest : str or None
        First digits of the SHA-256 of a user's own file, which may change while its version does not.
    """

    id: str
    version: int
    title: str
    source: str
    combine: str
    rules: tuple[Rule, ...]
    frequencies: tuple[Frequency, ...]
    holding: Holding | None
    names: Mapping[int, str]
    disclosed: tuple[str, ...]
    digest: str | None = None

    def level_name(self, level: int) -> str:
        """Return what a level is called."""
        return self.names.get(level, str(level))

    @property
    def reference(self) -> str:
        """What a definition says about the set: its id, its version, and what trunk angles are taken."""
        own = "" if self.digest is None else f",sha256_{self.digest}"
        return f"{self.id},v{self.version},mean_of_both_sensors{own}"


def known_sets() -> list[str]:
    """Return the ids of the sets of this package."""
    return sorted(threshold_set(path).id for path in FOLDER.glob("*.toml"))


def threshold_set(name: str | Path) -> ThresholdSet:
    """Return a set of this package by its id, or a user's own by the path of its TOML file.

    Raises
    ------
    ConfigError
        If there is none of that id (the message names the choice), or the file is no set of thresholds.
    """
    stem = str(name).replace("/", "_").replace("+", "_")
    path = FOLDER / f"{stem}.toml"
    if isinstance(name, str) and not name.endswith(".toml"):
        if not path.is_file():
            raise ConfigError(
                f"there is no threshold set {name!r}: choose from {', '.join(known_sets())}, or name a file in TOML"
            )
        return _read(path)
    return _read(Path(name))


@lru_cache(maxsize=64)
def _parsed(content: bytes, where: str, own: bool) -> ThresholdSet:
    try:
        values = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{where}: not a threshold set in TOML ({error})") from error
    try:
        return _set(values, hashlib.sha256(content).hexdigest()[:12] if own else None)
    except (KeyError, TypeError, ValueError) as error:
        told = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"{where}: not a threshold set: {told}; see docs/metrics.md, Threshold sets") from error


def _read(path: Path) -> ThresholdSet:
    try:
        if path.stat().st_size > _MOST:
            raise ConfigError(f"{path}: more than {_MOST >> 20} MB is no threshold set; name the right file")
        return _parsed(path.read_bytes(), str(path), path.resolve().parent != FOLDER.resolve())
    except OSError as error:
        raise ConfigError(f"{path}: threshold set cannot be read ({error.strerror}); name another file") from error


def _set(values: Mapping[str, Any], digest: str | None) -> ThresholdSet:
    _known(values, _KEYS, "the file")
    found = ThresholdSet(
        id=_text(values, "id"),
        version=_whole(values["version"], "version"),
        title=_text(values, "title"),
        source=_text(values, "source"),
        combine=_choice(values, "combine", COMBINED),
        rules=tuple(_rule(rule) for rule in values["rules"]),
        frequencies=tuple(_frequency(one) for one in values.get("frequencies", ())),
        holding=_holding(values["holding"]) if "holding" in values else None,
        names={int(level): str(name) for level, name in values.get("names", {}).items()},
        disclosed=tuple(str(text) for text in values.get("disclosed", ())),
        digest=digest,
    )
    names = [rule.name for rule in found.rules]
    if not names or len(set(names)) < len(names):
        raise ValueError("rules must hold at least one, each with a name of its own")
    return found


def _rule(values: Mapping[str, Any]) -> Rule:
    _known(values, {"name", "quantity", "cuts_deg", "levels", "absolute", "together"}, "a rule")
    cuts = tuple(_degrees(cut, "cuts_deg") for cut in values["cuts_deg"])
    levels = tuple(_whole(level, "levels") for level in values["levels"])
    if not cuts or len(cuts) > 100 or any(b <= a for a, b in pairwise(cuts)):
        raise ValueError(f"cuts_deg must rise, got {list(cuts)}")
    if len(levels) != len(cuts) + 1:
        raise ValueError(f"{len(cuts)} cuts part {len(cuts) + 1} levels, got {len(levels)}")
    absolute = values.get("absolute", False)
    if not isinstance(absolute, bool):
        raise ValueError(f"absolute must be true or false, got {absolute!r}")
    if absolute and cuts[0] <= 0.0:
        raise ValueError(f"cuts_deg of a size must be more than 0, got {cuts[0]:g}")
    together = _text(values, "together") if "together" in values else None
    quantity = _choice(values, "quantity", QUANTITIES)
    if not absolute and quantity in ("trunk_side", "lateral_bend", "rotation"):
        raise ValueError(f"{quantity} has two sides that count alike here: set absolute = true")
    return Rule(_text(values, "name"), quantity, cuts, levels, absolute, together)


def _frequency(values: Mapping[str, Any]) -> Frequency:
    _known(values, {"name", "quantity", "beyond_deg", "back_deg", "most_per_minute"}, "a frequency")
    beyond, back = _degrees(values["beyond_deg"], "beyond_deg"), _degrees(values["back_deg"], "back_deg")
    if not 0.0 < back < beyond:
        raise ValueError(f"back_deg must lie between 0 and beyond_deg, got {back:g} and {beyond:g}")
    most = _above_zero(values["most_per_minute"], "most_per_minute")
    return Frequency(_text(values, "name"), _choice(values, "quantity", QUANTITIES), beyond, back, most)


def _holding(values: Mapping[str, Any]) -> Holding:
    _known(values, {"from_deg", "to_deg", "from_min", "to_min"}, "holding")
    start, end = _degrees(values["from_deg"], "from_deg"), _degrees(values["to_deg"], "to_deg")
    if not start < end:
        raise ValueError(f"from_deg must be less than to_deg, got {start:g} and {end:g}")
    return Holding(start, end, _above_zero(values["from_min"], "from_min"), _above_zero(values["to_min"], "to_min"))


def _known(values: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(values.keys() - keys):
        raise ValueError(f"{where} knows no {unknown[0]!r}, but {', '.join(sorted(keys))}")


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values[key]
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > 1000:
        raise ValueError(f"{key} must be a text of one line, got {value!r}")
    return value


def _choice(values: Mapping[str, Any], key: str, choice: Sequence[str]) -> str:
    value = values[key]
    if value not in choice:
        raise ValueError(f"{key} must be one of {', '.join(choice)}, got {value!r}")
    return str(value)


def _whole(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100:
        raise ValueError(f"{key} must be whole numbers from 0 to 100, got {value!r}")
    return value


def _degrees(value: object, key: str) -> float:
    if not -180.0 <= number(value) <= 180.0:
        raise ValueError(f"{key} must lie between -180 and 180 degrees, got {value!r}")
    return number(value)


def _above_zero(value: object, key: str) -> float:
    if not 0.0 < number(value) <= 1e6:
        raise ValueError(f"{key} must be more than 0, got {value!r}")
    return number(value)
