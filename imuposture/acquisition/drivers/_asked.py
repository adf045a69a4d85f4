"""What is asked of a sensor, checked against what it can do; the message lists what that is."""

from collections.abc import Collection, Sequence
from typing import Protocol

from imuposture._errors import ConfigError
from imuposture.acquisition.drivers.driver import Settings

__all__ = ["choice", "one_imu", "rate_of", "switch", "text", "whole"]


class _Sensor(Protocol):
    name: str
    title: str
    rates_hz: tuple[float, ...]
    default_rate_hz: float


def one_imu(sensor: _Sensor, settings: Settings, options: Collection[str]) -> None:
    """Refuse options that the sensor has not, and a second IMU in it.

    Raises
    ------
    ConfigError
        If there are any.
    """
    if settings.part:
        raise ConfigError(f"a {sensor.title} holds one IMU: leave out #{settings.part}")
    unknown = sorted(set(settings.options) - set(options))
    if unknown:
        known = ", ".join(sorted(options)) or "none"
        raise ConfigError(f"{sensor.name} has no option {unknown[0]!r}; it has: {known}")


def rate_of(sensor: _Sensor, settings: Settings) -> float:
    """Return the rate that was asked for, or the sensor's own.

    Raises
    ------
    ConfigError
        If the sensor has not this rate.
    """
    rate = sensor.default_rate_hz if settings.rate_hz is None else settings.rate_hz
    if rate not in sensor.rates_hz:
        can = ", ".join(f"{known:g}" for known in sensor.rates_hz)
        raise ConfigError(f"a {sensor.title} cannot stream at {rate!r} Hz; it can at: {can}")
    return float(rate)


def choice(settings: Settings, option: str, allowed: Sequence[str], default: str) -> str:
    """Return an option that is one of some words.

    Raises
    ------
    ConfigError
        If it is another.
    """
    value = settings.options.get(option, default)
    if value not in allowed:
        raise ConfigError(f"option {option} must be one of {', '.join(allowed)}, got {value!r}")
    return str(value)


def whole(settings: Settings, option: str, low: int, high: int, default: int) -> int:
    """Return an option that is a whole number, given as such or in digits (``0x...`` for hexadecimal ones).

    Raises
    ------
    ConfigError
        If it is none, or not within the limits.
    """
    value = settings.options.get(option, default)
    try:
        number = int(value, 0) if isinstance(value, str) else int(value)
        exact = isinstance(value, str) or (number == value and not isinstance(value, bool))
    except (ValueError, OverflowError):
        exact = False
    if not exact or not low <= number <= high:
        raise ConfigError(f"option {option} must be a whole number from {low} to {high}, got {value!r}")
    return number


def switch(settings: Settings, option: str, default: bool = False) -> bool:
    """Return an option that is on or off.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    value = settings.options.get(option, default)
    words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    if str(value).lower() not in words:
        raise ConfigError(f"option {option} must be true or false, got {value!r}")
    return words[str(value).lower()]


def text(settings: Settings, option: str) -> str | None:
    """Return an option that is words, or None without it.

    Raises
    ------
    ConfigError
        If it is a number.
    """
    value = settings.options.get(option)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"option {option} must be text, got {value!r}")
    return value
