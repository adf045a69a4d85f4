"""How sensor families speak, seen from inside the sensor: commands in, payloads out; written from their protocols.

One module a wire format. No radio, no clock, no faults in here: `imuposture.acquisition.virtual.sensor` has those.
"""

from imuposture._errors import ConfigError
from imuposture.acquisition.virtual.wire.firmware import (
    Characteristic,
    Firmware,
    Identity,
    Notification,
    Packet,
    Samples,
    Service,
)
from imuposture.acquisition.virtual.wire.movella_dot import MovellaDot
from imuposture.acquisition.virtual.wire.movesense import Movesense
from imuposture.acquisition.virtual.wire.own_firmware import OwnFirmware
from imuposture.acquisition.virtual.wire.witmotion import WitMotion

__all__ = ["FORMATS", "Characteristic", "Firmware", "Identity", "Notification", "Packet", "Samples", "Service", "find"]

FORMATS: dict[str, type[Firmware]] = {kind.driver: kind for kind in (MovellaDot, Movesense, OwnFirmware, WitMotion)}


def find(name: str) -> type[Firmware]:
    """Return the wire format of a driver's name.

    Raises
    ------
    ConfigError
        If there is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"no virtual sensor speaks {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]
