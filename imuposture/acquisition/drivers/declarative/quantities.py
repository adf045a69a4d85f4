"""Numbers of a profile: written out, as a product like "2^-10" or "16/32768", or taken from a parameter.

Nothing is evaluated: a product is split at its signs, and its factors are numbers and whole powers.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from imuposture.acquisition.drivers.declarative.tables import Table, shown

__all__ = ["Parameter", "Parameters", "Quantity", "parameters_of", "product", "quantity"]

Parameters = Mapping[str, float]
LARGEST, SMALLEST = 1e15, 1e-15
MOST_PARAMETERS, MOST_CHOICES = 16, 64
RATE = "rate_hz"
_FACTOR = re.compile(r"(\d{1,15}(?:\.\d{0,15})?(?:[eE][+-]?\d{1,2})?)(?:\^([+-]?\d{1,2}))?", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def product(text: str) -> float | None:
    """Read a product of numbers and whole powers of numbers.

    Parameters
    ----------
    text : str
        As "2^-10", "16/32768", "-4*9.81/2^15" or "0.061".

    Returns
    -------
    float or None
        None if it is nothing of the kind, or not between 1e-15 and 1e15 in size.
    """
    text = text.replace(" ", "")
    sign = -1.0 if text.startswith("-") else 1.0
    parts = re.split(r"([*/])", text.lstrip("-")) if len(text) <= 80 else []
    value = sign
    for operator, factor in zip(["*", *parts[1::2]], parts[::2], strict=False):
        found = _FACTOR.fullmatch(factor)
        if not found or text.startswith("--"):
            return None
        size = _power(float(found[1]), int(found[2] or 1))
        if not SMALLEST <= size <= LARGEST:
            return None
        value = value * size if operator == "*" else value / size
    return value if parts and SMALLEST <= abs(value) <= LARGEST else None


def _power(base: float, exponent: int) -> float:
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number, or how it follows from a parameter: looked up, or ``numerator / value``, or ``value * factor``."""

    value: float
    parameter: str | None = None
    lookup: Mapping[str, float] = field(default_factory=dict)
    numerator: float | None = None

    def of(self, parameters: Parameters) -> float:
        """Return the number for these parameters."""
        if self.parameter is None:
            return self.value
        given = parameters[self.parameter]
        if self.lookup:
            return self.lookup[f"{given:g}"]
        return self.value * (given if self.numerator is None else self.numerator / given)


def quantity(table: Table, key: str, known: "Mapping[str, Parameter]", default: float | None = None) -> Quantity:
    """Read a number, a product in text, or a table that takes it from a parameter.

    Raises
    ------
    ConfigError
        If it is none of these, the parameter does not exist, or a lookup lacks one of its choices.
    """
    raw = default if key not in table and default is not None else table.raw(key)
    if isinstance(raw, dict):
        return _from_parameter(table.of(key, raw, ("param", "lookup", "numerator", "factor")), known)
    value = _sane(raw)
    if value is None:
        raise table.wrong(
            key, f'must be a number, a product as "2^-10" or "16/32768", or a table with param, got {shown(raw)}'
        )
    return Quantity(value)


def _sane(raw: object) -> float | None:
    if isinstance(raw, str):
        return product(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return float(raw) if raw == 0 or SMALLEST <= abs(raw) <= LARGEST else None


def _from_parameter(table: Table, known: "Mapping[str, Parameter]") -> Quantity:
    name = table.choice("param", known) if known else ""
    if not name:
        raise table.wrong("param", "there are no parameters; declare it as [params.NAME]")
    if len({"lookup", "numerator", "factor"} & {key for key in ("lookup", "numerator", "factor") if key in table}) > 1:
        raise table.wrong("param", "lookup, numerator and factor exclude each other; keep one")
    numerator = _finite(table, "numerator") if "numerator" in table else None
    if numerator and known[name].low <= 0 <= known[name].high:
        raise table.wrong("numerator", f"cannot be divided by {name}, which may be 0")
    factor = _finite(table, "factor") if "factor" in table else 1.0
    return Quantity(factor, name, _lookup(table, known[name]) if "lookup" in table else {}, numerator)


def _finite(table: Table, key: str) -> float:
    value = _sane(table.raw(key))
    if not value:
        raise table.wrong(key, f"must be a number other than 0, got {shown(table.raw(key))}")
    return value


def _lookup(table: Table, parameter: "Parameter") -> dict[str, float]:
    raw = table.raw("lookup")
    if not isinstance(raw, dict) or not 0 < len(raw) <= MOST_CHOICES:
        raise table.wrong("lookup", f"must be a table of 1 to {MOST_CHOICES} entries, got {shown(raw)}")
    if not parameter.choices:
        raise table.wrong("lookup", f"parameter {parameter.name} has a range; give it choices, or leave the lookup")
    found = {}
    for key, value in raw.items():
        number = _sane(value)
        if number is None:
            raise table.wrong("lookup", f"must map to numbers, got {shown(value)}")
        found[key] = number
    missing = [f"{choice:g}" for choice in parameter.choices if f"{choice:g}" not in found]
    if missing:
        raise table.wrong("lookup", f"lacks {missing[0]}, which {parameter.name} may be; add it")
    return found


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that the user may choose: one of ``choices``, or, if there are none, from ``low`` to ``high``."""

    name: str
    default: float
    choices: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0

    def takes(self, value: float) -> bool:
        """Tell whether it may have this value."""
        return value in self.choices if self.choices else self.low <= value <= self.high

    def told(self) -> str:
        """Say in words what it may be."""
        if self.choices:
            return "one of " + ", ".join(f"{choice:g}" for choice in self.choices)
        return f"from {self.low:g} to {self.high:g}"


def parameters_of(whole: Table) -> dict[str, Parameter]:
    """Read the parameters of a profile, ``[params.NAME]``.

    Raises
    ------
    ConfigError
        If one has neither choices nor a range, or its default is not among them.
    """
    raw = whole.raw("params")
    if raw is None:
        return {}
    if not isinstance(raw, dict) or len(raw) > MOST_PARAMETERS:
        raise whole.wrong("params", f"must be at most {MOST_PARAMETERS} tables [params.NAME], got {shown(raw)}")
    return {name: _parameter(whole, name, content) for name, content in raw.items()}


def _parameter(whole: Table, name: str, content: object) -> Parameter:
    table = whole.of(f"params.{name}", content, ("default", "choices", "range", "about"))
    if not _NAME.fullmatch(name):
        raise table.wrong("", "a parameter is called by small letters, digits and _, at most 40")
    table.text("about", "")
    choices = _numbers(table, "choices", MOST_CHOICES)
    limits = _numbers(table, "range", 2)
    if bool(choices) == bool(limits):
        raise table.wrong("", "needs choices = [..] or range = [low, high], and not both")
    if limits and (len(limits) != 2 or limits[0] > limits[1]):
        raise table.wrong("range", "must be [low, high]")
    low, high = (limits[0], limits[1]) if limits else (min(choices), max(choices))
    if name == RATE and not 0.1 <= low <= high <= 2000:
        raise table.wrong("", "rates must lie between 0.1 and 2000 Hz")
    parameter = Parameter(name, table.number("default", -LARGEST, LARGEST), choices, low, high)
    if not parameter.takes(parameter.default):
        raise table.wrong("default", f"is {parameter.default:g}, but must be {parameter.told()}")
    return parameter


def _numbers(table: Table, key: str, most: int) -> tuple[float, ...]:
    raw = table.raw(key) if key in table else []
    if not isinstance(raw, list) or len(raw) > most:
        raise table.wrong(key, f"must be a list of at most {most} numbers, got {shown(raw)}")
    found = tuple(value for value in map(_sane, raw) if value is not None)
    if len(found) != len(raw):
        raise table.wrong(key, f"must be a list of numbers, got {shown(raw)}")
    return found
