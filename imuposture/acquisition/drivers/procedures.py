"""What is asked of a sensor, as steps that somebody else carries out.

A procedure is a generator: it yields a step and is sent what came of it. So a driver says *what* to do and in which
order, `imuposture.acquisition.ble` does it under its own time limits, and a test can play the sensor with a list.

>>> def start(rate):
...     yield Subscribe(0)
...     yield Write(CONTROL, bytes([rate]))
...     reply = yield Await("rate", timeout_s=1.0)
"""

from collections.abc import Generator
from dataclasses import dataclass

from imuposture.acquisition.drivers.messages import Reply

__all__ = ["Answer", "Await", "Procedure", "Read", "Reconnect", "Step", "Subscribe", "Unsubscribe", "Wait", "Write"]


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Turn the notifications (or indications) of a channel on; answered with None."""

    channel: int


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Turn the notifications of a channel off; answered with None."""

    channel: int


@dataclass(frozen=True, slots=True)
class Write:
    """Write to a characteristic, given by its 128-bit UUID; answered with None.

    ``service`` says which one is meant where a sensor has the same characteristic in several services.
    """

    uuid: str
    data: bytes
    response: bool = True
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Read a channel; answered with its bytes, which are kept and decoded like a notification of that channel."""

    channel: int


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for the `Reply` of that name; one that came since the last step counts.

    Answered with the reply. If none comes in time, TimeoutError is thrown into the procedure, which may go on.
    """

    what: str
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass; answered with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Disconnect, let time pass, and connect again; answered with None."""

    after_s: float


Step = Subscribe | Unsubscribe | Write | Read | Await | Wait | Reconnect
Answer = Reply | bytes | None
Procedure = Generator[Step, Answer, None]
