"""How sensor families speak: one module a family, data plus a pure decoder; no I/O and no clock.

`messages` is what a decoder gives, `procedures` what is asked of a sensor, `driver` what a family's module offers,
`registry` finds the one that takes a sensor. Provisional: the interface may still change.
"""

from imuposture.acquisition.drivers.driver import Advertisement, Channel, Decoder, Driver, Polling, Settings
from imuposture.acquisition.drivers.messages import Message, Reply, Status
from imuposture.acquisition.drivers.procedures import (
    Answer,
    Await,
    Procedure,
    Read,
    Reconnect,
    Step,
    Subscribe,
    Unsubscribe,
    Wait,
    Write,
)

__all__ = [
    "Advertisement",
    "Answer",
    "Await",
    "Channel",
    "Decoder",
    "Driver",
    "Message",
    "Polling",
    "Procedure",
    "Read",
    "Reconnect",
    "Reply",
    "Settings",
    "Status",
    "Step",
    "Subscribe",
    "Unsubscribe",
    "Wait",
    "Write",
]
