"""What a sensor family's module offers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from imuposture._blocks import Role, Stream
from imuposture.acquisition.drivers.messages import Message
from imuposture.acquisition.drivers.procedures import Procedure

__all__ = ["Advertisement", "Channel", "Decoder", "Driver", "Polling", "Settings"]


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What a sensor says on the air before anybody connects; hostile input, to be escaped wherever it is shown.

    UUIDs are 128-bit, in lower case. ``manufacturer_data`` is keyed by Bluetooth company id.
    """

    address: str
    name: str | None = None
    service_uuids: tuple[str, ...] = ()
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    rssi_dbm: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A characteristic that payloads come from; its place in `Driver.channels` is their ``channel``.

    Attributes
    ----------
    uuid : str
    notifies : bool
    measures : bool or callable
        Whether samples come there; where other things do as well, tells at a glance whether a payload may hold some. A
        sensor that only tells its battery is taken for silent.
    """

    uuid: str
    notifies: bool = True
    measures: bool | Callable[[bytes], bool] = True


@dataclass(frozen=True, slots=True)
class Settings:
    """What is wanted of a sensor.

    Attributes
    ----------
    role : "upper" or "lower"
    rate_hz : float or None
        None takes the driver's default.
    magnetometer : bool
        Ask for the magnetic field too, where the sensor can.
    part : int
        Which IMU of a peripheral that carries several (``#n`` of the URI), from 0.
    options : mapping
        Settings of one driver only; a driver refuses those it does not know.
    """

    role: Role
    rate_hz: float | None = None
    magnetometer: bool = False
    part: int = 0
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)


class Decoder(Protocol):
    """Payloads of one connection -> messages. Holds unfinished bytes only; a new connection gets a new decoder."""

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take the next payload of a channel.

        Raises
        ------
        DecodeError
            If it is not what the sensor's protocol allows; nothing of it was taken, and the decoder can go on.
        """
        ...


class Driver(Protocol):
    """A sensor family: what it is called, how it is recognised, set up and understood.

    Attributes
    ----------
    name : str
        As in URIs, manifests and entry points.
    title : str
        As people call the sensor.
    verified : str or None
        Model and firmware on which somebody verified this driver, with the capture file that shows it; None: never
        tried on hardware.
    channels : tuple of Channel
        In the order in which their numbers count.
    min_mtu : int
        Smallest ATT MTU with which payloads arrive whole; 23 is what every link has.
    rates_hz : tuple of float
        Rates that can be asked for; empty if the sensor has its own only.
    default_rate_hz : float
    """

    name: str
    title: str
    verified: str | None
    channels: tuple[Channel, ...]
    min_mtu: int
    rates_hz: tuple[float, ...]
    default_rate_hz: float

    def matches(self, advertisement: Advertisement) -> bool:
        """Tell whether this driver takes the sensor."""
        ...

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples before the first one.

        Raises
        ------
        ConfigError
            If the settings ask for what the sensor cannot do; the message lists what it can.
        """
        ...

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection."""
        ...

    def start(self, settings: Settings) -> Procedure:
        """Return the steps from a fresh connection to a stream, whatever state an earlier one left behind."""
        ...

    def stop(self, settings: Settings) -> Procedure:
        """Return the steps after which the sensor no longer streams."""
        ...

    def identify(self) -> Procedure | None:
        """Return the steps that make the sensor blink or buzz; None if it cannot."""
        ...

    def battery(self) -> Procedure | None:
        """Return the steps after which a sensor that was just connected to has told its battery, as a `Status`.

        None if it has only the standard characteristic, which anybody can read, or none at all.
        """
        ...


@runtime_checkable
class Polling(Protocol):
    """What a driver has besides, if something is to be asked again and again while its sensor streams."""

    def polls(self, settings: Settings) -> tuple[tuple[float, Procedure], ...]:
        """Return every how many seconds what is to be asked, and the steps, made anew by each call."""
        ...
