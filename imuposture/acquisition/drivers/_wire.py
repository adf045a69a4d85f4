"""What several drivers need between bytes and rows: units, refusals, and the answer to a question put to a sensor."""

import struct
from collections.abc import Collection, Generator
from math import pi

import numpy as np

from imuposture._blocks import FloatArray
from imuposture._errors import ConfigError, DecodeError
from imuposture.acquisition.drivers._asked import whole
from imuposture.acquisition.drivers.driver import Settings
from imuposture.acquisition.drivers.messages import Reply
from imuposture.acquisition.drivers.procedures import Answer, Await, Step, Write

__all__ = ["DEGREE", "GRAVITY", "LIMIT", "ask", "one_of", "reals", "refusal"]

GRAVITY = 9.80665  # m/s2 a g, the standard value: sensors that speak of g say nothing of the place
DEGREE = pi / 180
LIMIT = 1e5  # no m/s2, mg, deg/s, uT or kelvin of a sensor reaches it; what does is garbage


def refusal(payload: bytes, why: str) -> DecodeError:
    """Return the error that refuses a payload; of long ones only the beginning is shown."""
    shown = payload[:24].hex(" ") + (" ..." if len(payload) > 24 else "")
    return DecodeError(f"{why}; got {len(payload)} bytes: {shown}")


def reals(data: bytes, payload: bytes) -> FloatArray:
    """Read float32 numbers of a payload.

    Raises
    ------
    DecodeError
        If one is no number, or beyond what any sensor measures.
    """
    values = np.array(struct.unpack(f"<{len(data) // 4}f", data), dtype=np.float64)
    if not np.all(np.abs(values) < LIMIT):  # NaN is not less than anything
        raise refusal(payload, f"values must be numbers below {LIMIT:g}")
    return values


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
