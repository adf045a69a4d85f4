"""URIs of sensors: ``ble:NAME|ADDRESS[#n]``."""

import re
from dataclasses import dataclass

from imuposture._errors import ConfigError
from imuposture.acquisition.drivers import Advertisement
from imuposture.acquisition.readers.text import safe_text

__all__ = ["Address", "address_of", "parse"]

_ADDRESS = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOST_PARTS = 16


@dataclass(frozen=True, slots=True)
class Address:
    """Which sensor is meant.

    Attributes
    ----------
    text : str
        Its advertised name, or its address (on macOS the UUID that the system gave it).
    part : int
        Which IMU of a peripheral that carries several, from 0.
    """

    text: str
    part: int = 0

    def __str__(self) -> str:
        return f"ble:{safe_text(self.text, 60)}" + (f"#{self.part}" if self.part else "")

    @property
    def is_name(self) -> bool:
        """Tell whether it is a name; names may be shared by several sensors."""
        return _ADDRESS.fullmatch(self.text) is None

    def meets(self, advertisement: Advertisement) -> bool:
        """Tell whether an advertisement is of this sensor; upper and lower case count as the same."""
        wanted = self.text.casefold()
        if self.is_name:
            return (advertisement.name or "").strip().casefold() == wanted
        return advertisement.address.casefold().replace("-", ":") == wanted.replace("-", ":")


def parse(uri: str) -> Address:
    """Read a URI.

    Raises
    ------
    ConfigError
        If it is not ``ble:NAME``, ``ble:ADDRESS``, or one of these with ``#n``.
    """
    scheme, _, rest = uri.partition(":")
    if scheme != "ble" or not rest.strip():
        raise ConfigError(f"{safe_text(uri, 80)!r} is no sensor: write ble:NAME or ble:ADDRESS (`imuposture scan`)")
    text, mark, number = rest.rpartition("#")
    if not mark or not number.isdecimal():
        return Address(rest.strip())
    if int(number) >= _MOST_PARTS or not text.strip():
        raise ConfigError(
            f"{safe_text(uri, 80)!r}: #n is the place of an IMU on its peripheral, 0 to {_MOST_PARTS - 1}"
        )
    return Address(text.strip(), int(number))


def address_of(advertisement: Advertisement) -> Address:
    """Return what finds the sensor of an advertisement, and no other of the same name."""
    return Address(advertisement.address)
