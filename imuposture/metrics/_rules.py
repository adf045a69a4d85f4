"""Feedback rules as TOML: what they may say, checked before the first row."""

import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any, Literal, get_args

from imuposture._blocks import Plane
from imuposture._checks import number
from imuposture._errors import ConfigError

__all__ = ["Rule", "Rules", "default_rules", "rules_of"]

When = Literal["slouch", "static", "one_side", "sitting"]
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; feedback.toml says what each key means."""

    name: str
    when: When
    for_s: float = 0.0
    reward_after_s: float = 1.0
    refractory_s: float = 600.0
    hysteresis: float = 0.2
    band_deg: float = 5.0
    plane: Plane = "lateral_bend"
    count: int = 20
    share: float = 0.8
    break_s: float = 60.0

    def __post_init__(self) -> None:
        if self.when not in get_args(When):
            raise ConfigError(f"feedback rule '{self.name}': when must be one of {', '.join(get_args(When))}")
        if self.plane not in ("lateral_bend", "axial_rotation"):
            raise ConfigError(f"feedback rule '{self.name}': plane must be lateral_bend or axial_rotation")
        for name, most in (("for_s", DAY_S), ("reward_after_s", DAY_S), ("refractory_s", DAY_S), ("break_s", DAY_S)):
            self._require(name, 0.0, most)
        self._require("hysteresis", 0.0, 1.0)
        self._require("band_deg", 0.1, 90.0)
        self._require("count", 5, 1000)
        self._require("share", 0.5, 1.0)

    def _require(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= number(value) <= high:
            raise ConfigError(
                f"feedback rule '{self.name}': {name} must lie between {low:g} and {high:g}, got {value!r}"
            )


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and the hours in which they say nothing, as seconds of the day."""

    rules: tuple[Rule, ...]
    quiet: tuple[tuple[float, float], ...] = ()
    starts_s: float | None = None

    def silent(self, time_s: float) -> bool:
        """Say whether a session time lies in the quiet hours."""
        if self.starts_s is None:
            return False
        now = (self.starts_s + time_s) % DAY_S
        return any((a <= now < b) if a <= b else (now >= a or now < b) for a, b in self.quiet)


def default_rules() -> str:
    """Return the rules that come with the package, as TOML."""
    return (files("imuposture.metrics") / "feedback.toml").read_text(encoding="utf-8")


def rules_of(text: str) -> Rules:
    """Read rules.

    Raises
    ------
    ConfigError
        If the text is no TOML, or a key or value makes no sense; the message names it.
    """
    try:
        given: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"feedback rules are not TOML ({error}); see the default ones") from error
    unknown = set(given) - {"rule", "quiet", "clock_at_start"}
    if unknown:
        raise ConfigError(f"feedback rules know rule, quiet and clock_at_start, got {', '.join(sorted(unknown))}")
    known = [member.name for member in fields(Rule)]
    rules = []
    for one in _list(given.get("rule", []), "rule"):
        if not isinstance(one, dict) or not {"name", "when"} <= set(one) <= set(known):
            raise ConfigError(f"a feedback rule has name and when, and may have {', '.join(known[2:])}; got {one!r}")
        rules.append(Rule(**one))
    if len({rule.name for rule in rules}) < len(rules):
        raise ConfigError("feedback rules must have different names; rename one")
    quiet = tuple((_of_day(pair[0]), _of_day(pair[1])) for pair in _pairs(given.get("quiet", [])))
    clock = given.get("clock_at_start")
    return Rules(tuple(rules), quiet, None if clock is None else _of_day(clock))


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError(f"feedback rules: {name} must be a list, got {value!r}; write [[{name}]]")
    return value


def _pairs(value: Any) -> list[list[Any]]:
    pairs = _list(value, "quiet")
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ConfigError(f'feedback rules: quiet holds pairs like ["21:00", "07:00"], got {pair!r}')
    return pairs


def _of_day(text: Any) -> float:
    parts = text.split(":") if isinstance(text, str) else []
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() for part in parts):
        raise ConfigError(f'feedback rules: a time of day looks like "07:30", got {text!r}')
    hours, minutes, *rest = (int(part) for part in parts)
    seconds = rest[0] if rest else 0
    if hours > 24 or minutes > 59 or seconds > 59:
        raise ConfigError(f"feedback rules: there is no time of day {text!r}")
    return 3600.0 * hours + 60.0 * minutes + seconds
