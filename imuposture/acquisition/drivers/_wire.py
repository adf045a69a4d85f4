"""What several drivers need between bytes and rows: units, refusals, and the answer to a question put to a sensor."""

from collections.abc import Collection, Generator
from math import pi

from imuposture._errors import ConfigError, DecodeError
from imuposture.acquisition.drivers._asked import whole
from imuposture.acquisition.drivers.driver import Settings
from imuposture.acquisition.drivers.messages import Reply
from imuposture.acquisition.drivers.procedures import Answer, Await, Step, Write

__all__ = ["DEGREE", "GRAVITY", "ask", "one_of", "refusal"]

GRAVITY = 9.80665  # m/s2 a g, the standard value: sensors that speak of g say nothing of the place
DEGREE = pi / 180


def refusal(payload: bytes, why: str) -> DecodeError:
    """Return the error that refuses a payload; of long ones only the beginning is shown."""
    shown = payload[:24].hex(" ") + (" ..." if len(payload) > 24 else "")
    return DecodeError(f"{why}; got {len(payload)} bytes: {shown}")


def one_of(settings: Settings, option: str, allowed: Collection[int], default: int) -> int:
    """Return an option that is one of some whole numbers.

    Raises
    ------
    ConfigError
        If it is another.
    """
    value = whole(settings, option, min(allowed), max(allowed), default)
    if value not in allowed:
        raise ConfigError(f"option {option} must be one of {', '.join(map(str, sorted(allowed)))}, got {value}")
    return value


def ask(write: Write, what: str, timeout_s: float = 2.0) -> Generator[Step, Answer, Reply | None]:
    """Write, and return the reply; None if none came in time."""
    yield write
    try:
        answer = yield Await(what, timeout_s)
    except TimeoutError:
        return None
    return answer if isinstance(answer, Reply) else None
