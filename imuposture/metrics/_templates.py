"""Templates of exercises: what a set or a hold must look like to be called by a name."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, get_args

from imuposture._blocks import Plane, Side
from imuposture._checks import number
from imuposture._errors import ConfigError

__all__ = ["Template", "templates"]

Limits = tuple[float, float]
ANY: Limits = (float("-inf"), float("inf"))
_LIMITS = ("amplitude", "seconds", "hold", "lean")


@dataclass(frozen=True, slots=True)
class Template:
    """An exercise by name; limits are least and most. What they mean stands in exercises.toml."""

    name: str
    plane: Plane
    side: Side | None = None
    amplitude: Limits = ANY
    seconds: Limits = ANY
    hold: Limits = ANY
    lean: Limits = ANY
    repetitions: int = 4

    def fits(self, plane: Plane, side: Side | None, values: Mapping[str, float | None]) -> bool:
        """Say whether something in ``plane`` to ``side`` with these values (by name of a limit) is this exercise."""
        if plane != self.plane or (self.side is not None and side != self.side):
            return False
        for name in _LIMITS:
            low, high = getattr(self, name)
            value = values.get(name)
            if (low, high) != ANY and (value is None or not low <= value <= high):
                return False
        return True


def templates(own: Mapping[str, Mapping[str, Any]]) -> tuple[Template, ...]:
    """Return somebody's own templates and those that come with the package, in the order in which they are tried.

    Raises
    ------
    ConfigError
        If a table is no template; the message says which, and what is known.
    """
    mine = tuple(_template(name, table) for name, table in own.items())
    return (*mine, *(template for template in _shipped() if template.name not in own))


@lru_cache(maxsize=1)
def _shipped() -> tuple[Template, ...]:
    text = files("imuposture.metrics").joinpath("exercises.toml").read_text(encoding="utf-8")
    return tuple(_template(name, table) for name, table in tomllib.loads(text).items())


def _template(name: str, table: object) -> Template:
    known = ("plane", "side", "repetitions", *_LIMITS)
    if not isinstance(table, Mapping) or not set(table) <= set(known) or table.get("plane") not in get_args(Plane):
        raise ConfigError(f"exercise '{name}' needs a plane of {get_args(Plane)}, and may have {', '.join(known[1:])}")
    if table.get("side") not in (None, *get_args(Side)):
        raise ConfigError(f"exercise '{name}': side must be one of {get_args(Side)}, got {table['side']!r}")
    fewest = table.get("repetitions", 4)
    if not isinstance(fewest, int) or isinstance(fewest, bool) or not 1 <= fewest <= 1000:
        raise ConfigError(f"exercise '{name}': repetitions must be a whole number from 1 to 1000, got {fewest!r}")
    limits = {key: _limits(name, key, table[key]) for key in _LIMITS if key in table}
    return Template(name, table["plane"], table.get("side"), repetitions=fewest, **limits)


def _limits(name: str, key: str, value: object) -> Limits:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        low, high = number(value[0]), number(value[1])
        if low <= high:
            return low, high
    raise ConfigError(f"exercise '{name}': {key} must be two numbers, least and most, got {value!r}")
