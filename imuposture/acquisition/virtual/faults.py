"""What goes wrong, layer by layer: clock -> samples -> payloads -> radio -> link -> power.

Standing faults are fields of `Faults`; what happens at a moment is an `Incident` of a timeline.
The link itself never loses or reorders a packet: Bluetooth's link layer repeats until it is through. Real losses are
a full FIFO and a broken link, and a sensor that skips.
"""

import dataclasses
import random
from dataclasses import dataclass
from typing import Any, Literal

from imuposture._errors import ConfigError

__all__ = ["KINDS", "Faults", "Incident", "Randomness"]

Kind = Literal["lose_link", "drop_link", "stall", "power_off", "power_on", "restart", "battery", "set"]
KINDS: tuple[Kind, ...] = ("lose_link", "drop_link", "stall", "power_off", "power_on", "restart", "battery", "set")
SHARES = ("loss", "burst_loss", "retransmit", "truncate", "garbage", "duplicate", "reorder")


@dataclass(frozen=True, slots=True)
class Faults:
    """Standing faults of one sensor; the defaults are a perfect one on a perfect link.

    Attributes
    ----------
    clock_ppm : float
        By how much the sensor's clock is fast.
    clock_start_s : float
        What its clock reads when it is powered (for wraps).
    counter_start : int
        What its packet counter starts from, where the wire format has one.
    loss : float
        Share of payloads that the sensor never sends.
    burst_loss : float
        Share of payloads at which ``burst_length`` in a row begin that it never sends.
    burst_length : int
    fifo_samples : int
        Samples it holds while the radio is stalled; then the oldest are dropped.
    interval_s : float
        Connection interval: payloads leave only then, several at once; 0: as soon as they are ready.
    retransmit : float
        Share of connection events that fail, so that everything waits for the next one.
    latency_s : float
        Mean of the host's random delay (gamma of shape 2); order is kept.
    truncate, garbage, duplicate, reorder : float
        Shares of payloads that are cut short, replaced by random bytes of any length, sent twice, or sent after the
        next one.
    doubled_after_reconnect : bool
        From the second connection on everything comes twice, as some hosts do it.
    mtu : int
        Largest ATT MTU it agrees to; longer payloads are cut as BLE does it, silently.
    battery_percent : float
    battery_life_s : float or None
        Powered time after which the battery is empty, counted from 100 %, and the sensor goes off for good.
    rssi_dbm : int
    """

    clock_ppm: float = 0.0
    clock_start_s: float = 0.0
    counter_start: int = 0
    loss: float = 0.0
    burst_loss: float = 0.0
    burst_length: int = 10
    fifo_samples: int = 64
    interval_s: float = 0.0
    retransmit: float = 0.0
    latency_s: float = 0.0
    truncate: float = 0.0
    garbage: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    doubled_after_reconnect: bool = False
    mtu: int = 247
    battery_percent: float = 87.0
    battery_life_s: float | None = None
    rssi_dbm: int = -50

    def __post_init__(self) -> None:
        for name in SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is a share and must lie between 0 and 1, got {getattr(self, name)!r}")
        if not abs(self.clock_ppm) <= 10_000.0:
            raise ConfigError(f"clock_ppm must lie within 10000, got {self.clock_ppm!r}")
        if not 23 <= self.mtu <= 517:
            raise ConfigError(f"mtu must lie between 23 and 517, got {self.mtu!r}")
        if self.fifo_samples < 1 or self.burst_length < 1:
            raise ConfigError("fifo_samples and burst_length must be at least 1")
        if min(self.interval_s, self.latency_s, self.clock_start_s) < 0.0:
            raise ConfigError("interval_s, latency_s and clock_start_s must not be negative")

    def changed(self, **values: Any) -> "Faults":
        """Return these faults with some fields changed.

        Raises
        ------
        ConfigError
            If there is no such field, or its value makes no sense.
        """
        unknown = set(values) - {f.name for f in dataclasses.fields(self)}
        if unknown:
            known = ", ".join(f.name for f in dataclasses.fields(self))
            raise ConfigError(f"no fault called {', '.join(sorted(unknown))}; there are {known}")
        return dataclasses.replace(self, **values)


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens to a sensor at a moment.

    Attributes
    ----------
    at_s : float
        Seconds after the world was made.
    kind : str
        ``lose_link`` (supervision timeout, 0x08, after ``seconds`` of silence), ``drop_link`` (the sensor hangs up,
        0x13), ``stall`` (the link stays up, nothing comes through for ``seconds``; what the FIFO holds follows in a
        burst), ``power_off``, ``power_on``, ``restart`` (off, and on again after ``seconds``; its clock starts anew),
        ``battery`` (shows ``percent``; at 0 it goes off), ``set`` (standing faults change: ``values``).
    seconds, percent : float
    values : mapping of field of `Faults` to value
    """

    at_s: float
    kind: Kind
    seconds: float = 0.0
    percent: float = 0.0
    values: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"no incident called {self.kind!r}; there are {', '.join(KINDS)}")
        if not self.at_s >= 0.0 or not self.seconds >= 0.0:
            raise ConfigError(f"at_s and seconds must be 0 or more, got {self.at_s!r} and {self.seconds!r}")
        Faults().changed(**self.values)


class Randomness:
    """One sensor's dice: the same seed and the same course of events give the same throws."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def happens(self, share: float) -> bool:
        """Throw for an event of that share; one that never happens costs no throw."""
        return share > 0.0 and self._random.random() < share

    def below(self, limit: int) -> int:
        """Return a whole number from 0 to ``limit`` - 1."""
        return self._random.randrange(limit)

    def uniform(self) -> float:
        """Return a number from 0 to 1."""
        return self._random.random()

    def delay(self, mean_s: float) -> float:
        """Return a host's delay, s: gamma of shape 2."""
        return self._random.gammavariate(2.0, 0.5 * mean_s) if mean_s else 0.0

    def bytes(self, count: int) -> bytes:
        """Return random bytes."""
        return self._random.randbytes(count)
