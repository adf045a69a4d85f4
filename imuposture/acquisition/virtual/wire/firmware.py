"""What a wire format offers the sensor that speaks it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from imuposture._blocks import FloatArray
from imuposture._errors import ConfigError

__all__ = ["Characteristic", "Firmware", "Identity", "Notification", "Packet", "Samples", "Service"]


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A GATT characteristic: 128-bit UUID, and some of "read", "write", "write-without-response", "notify"."""

    uuid: str
    properties: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A GATT service."""

    uuid: str
    characteristics: tuple[Characteristic, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes one sensor of a kind this one: address (``AA:BB:..``), and a serial number that follows from it."""

    address: str

    @property
    def serial(self) -> int:
        """Serial number."""
        return int(self.address.replace(":", ""), 16)


@dataclass(frozen=True, slots=True)
class Notification:
    """A payload for a characteristic."""

    uuid: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Packet:
    """Consecutive samples as they leave together: one notification, or several if they do not fit into one.

    Attributes
    ----------
    notifications : in order of sending
    touched : for each notification, (first, stop) of the rows in it, counted from the block's first row; a row is whole
        when the last notification that touches it has come
    """

    notifications: tuple[Notification, ...]
    touched: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Samples:
    """A block of samples to be encoded.

    Attributes
    ----------
    clock_s : (n,) float64, s, the sensor's own clock
    number : int
        Running number of the first one since power-on.
    acc : (n, 3) float64, m/s2
    gyr : (n, 3) float64, rad/s
    mag : (n, 3) float64, uT, or None
    quat : (n, 4) float64, w-first, sensor -> earth (x east, y north, z up), as the sensor's own fusion would have it
    """

    clock_s: FloatArray
    number: int
    acc: FloatArray
    gyr: FloatArray
    mag: FloatArray | None
    quat: FloatArray

    def __len__(self) -> int:
        return len(self.clock_s)


@dataclass
class Firmware(ABC):
    """A sensor's mind: what it advertises, its services, what it answers, and how it packs samples.

    Attributes
    ----------
    identity : Identity
    battery_percent : float
        Kept up to date by the sensor's body.
    rate_hz : float
        Samples a second while streaming.
    streaming : bool
    blinked : int
        How often it was asked to identify itself.
    wants_off : bool
        It was asked to switch itself off.
    counter_start : int
        What its counter starts from at power-on, if it has one.
    subscribed : set of str
        Characteristics that the central listens to.
    synced_to : str or None
        Address of the sensor whose clock it has taken over.
    """

    identity: Identity
    counter_start: int = 0
    battery_percent: float = 87.0
    rate_hz: float = 0.0
    streaming: bool = False
    blinked: int = 0
    wants_off: bool = False
    synced_to: str | None = None
    subscribed: set[str] = field(default_factory=set)

    driver: ClassVar[str]
    rates_hz: ClassVar[tuple[float, ...]]
    name: ClassVar[str]
    company: ClassVar[tuple[int, bytes] | None] = None
    advertised_services: ClassVar[tuple[str, ...]] = ()
    services: ClassVar[tuple[Service, ...]]
    quits_without_link: ClassVar[bool] = True
    magnetometer: ClassVar[bool] = False

    @property
    def advertised_name(self) -> str:
        """What it calls itself on the air."""
        return self.name

    @property
    def packet_rows(self) -> int:
        """Samples in one packet at the present rate."""
        return 1

    @property
    @abstractmethod
    def stream_uuid(self) -> str:
        """Characteristic to which samples go."""

    @property
    def listened_to(self) -> bool:
        """Whether the central wants samples where they go."""
        return self.stream_uuid in self.subscribed

    @abstractmethod
    def boot(self) -> None:
        """Be switched on: what is not kept in flash is as it left the factory."""

    def preset(self, rate_hz: float) -> None:
        """Have a rate from the beginning, as if somebody had set and saved it.

        Raises
        ------
        ConfigError
            If the sensor has no such rate.
        """
        if rate_hz not in self.rates_hz:
            known = ", ".join(f"{rate:g}" for rate in self.rates_hz)
            raise ConfigError(f"{self.driver} has no rate of {rate_hz:g} Hz; there are {known}")
        self.rate_hz = rate_hz

    def link_down(self, clock_s: float) -> None:
        """Lose the central at an instant of its own clock: subscriptions are gone."""
        del clock_s
        self.subscribed.clear()
        if self.quits_without_link:
            self.streaming = False

    def subscribe(self, uuid: str, *, on: bool) -> Sequence[Notification]:
        """Take a subscription; return what is said in reply."""
        (self.subscribed.add if on else self.subscribed.discard)(uuid)
        return ()

    def read(self, uuid: str, clock_s: float) -> bytes:
        """Return the value of a readable characteristic at an instant of its own clock; one that has none is empty."""
        del uuid, clock_s
        return b""

    def write(self, uuid: str, data: bytes, clock_s: float) -> Sequence[Notification]:
        """Take a command at an instant of its own clock; return what is notified in reply. Unknown ones are ignored."""
        del uuid, data, clock_s
        return ()

    @abstractmethod
    def encode(self, samples: Samples, room: int) -> Iterator[Packet]:
        """Pack a block whose length is a multiple of ``packet_rows``; ``room`` is what a notification can hold."""
