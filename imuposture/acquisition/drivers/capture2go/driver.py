"""What is asked of a Capture2Go, and what its packages say.

Ticks are microseconds since 1970, or since the sensor was switched on while nobody has set its clock. It keeps one
absolute clock, which jumps when it is set: set it before a session, not during one. Its question for a round trip of
clocks is not asked: a driver reads no clock, and the arrivals of all samples tell more than one answer.

Left open by the sources, and how it is read here: which rates the real-time channel can go to (only up to its default
limit of 50 Hz are offered); whether a sensor that does not stream acknowledges the order to stop (waited for, not
relied on); in short bursts nothing tells the time of a sample (such packages are passed over).
"""

import struct
from collections.abc import Generator, Mapping

from imuposture._blocks import Role, Stream
from imuposture._errors import AcquisitionError, ConfigError, DecodeError
from imuposture.acquisition.drivers import _asked as asked
from imuposture.acquisition.drivers.capture2go.answers import ORDERS, said
from imuposture.acquisition.drivers.capture2go.packages import Header, Package, Unpacker, is_status, pack
from imuposture.acquisition.drivers.capture2go.samples import (
    ACC_MPS2,
    GYR_RADPS,
    PROCESSING,
    RATES_HZ,
    TIME_GAP,
    block_of,
    holds_motion,
)
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Settings
from imuposture.acquisition.drivers.messages import Message, Reply, Status
from imuposture.acquisition.drivers.procedures import (
    Answer,
    Await,
    Procedure,
    Step,
    Subscribe,
    Unsubscribe,
    Write,
)

__all__ = ["DRIVER", "Capture2Go", "Decoder"]

SERVICE = "80030001-e629-4c98-9324-aa7fc0c66de7"
WRITE = "80030002-e629-4c98-9324-aa7fc0c66de7"
NOTIFY = "80030003-e629-4c98-9324-aa7fc0c66de7"

MODES = ("full_packed", "full_fixed", "real_time")
SYNC = ("none", "sender", "receiver")
OPTIONS = ("mode", "sync", "sync_id", "set_time_ns")
REAL_TIME_RATES_HZ = (50.0, 25.0, 10.0, 1.0)
REAL_TIME_FULL = 2
ANSWER_S = 3.0
BLINK_NS = 5_000_000_000
_MODE = struct.Struct("<q8BHBQ3B")


class Decoder:
    """Notifications of one connection -> messages."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self._unpacker = Unpacker()

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take a notification; its last package may be finished by later ones.

        Damaged packages are skipped, and told by ``Status("resync")`` before the next whole one.

        Raises
        ------
        DecodeError
            If the payload is no notification of this sensor; an unfinished package is dropped then.
        """
        if channel != 0:
            raise DecodeError(f"a Capture2Go sends on channel 0 only, got one of channel {channel}")
        messages: list[Message] = []
        for package, skipped in self._unpacker.push(payload):
            if skipped:
                messages.append(Status("resync", {"bytes": skipped}))
            messages += self._rows(package) if holds_motion(package.header) else said(package)
        return messages

    def _rows(self, package: Package) -> list[Message]:
        block, errors = block_of(package, self._role)
        messages: list[Message] = []
        if errors & TIME_GAP:
            messages.append(Status("time_gap", {"tick": float(block.ticks[0])}))
        if errors & PROCESSING:
            messages.append(Status("error", {"text": "its processing went wrong: its samples cannot be trusted"}))
        return [*messages, block]


class Capture2Go:
    """Capture2Go sensors.

    Options: ``mode`` (``full_packed``, ``full_fixed``, or ``real_time`` without a buffer: newest sample, up to 50 Hz);
    ``sync`` (``none``, ``sender`` for one sensor, ``receiver`` for the others) with the same random ``sync_id`` of
    64 bits for all; ``set_time_ns`` sets the clock (of the sender only, receivers follow).
    """

    name = "capture2go"
    title = "Capture2Go"
    verified: str | None = None
    channels: tuple[Channel, ...] = (Channel(NOTIFY, measures=lambda payload: not is_status(payload)),)
    min_mtu = 49  # a whole real-time package and its count; the stream may be cut anywhere
    rates_hz: tuple[float, ...] = tuple(RATES_HZ.values())
    default_rate_hz = 100.0

    def matches(self, advertisement: Advertisement) -> bool:
        """Tell by the service, which the sensor advertises."""
        return SERVICE in advertisement.service_uuids

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples: ticks of a microsecond, ranges of 16 g and 2000 deg/s.

        Raises
        ------
        ConfigError
            If the sensor cannot do what is asked.
        """
        return Stream(
            settings.role,
            self._checked(settings),
            tick_s=1e-6,
            acc_full_scale=32768 * ACC_MPS2,
            gyr_full_scale=32768 * GYR_RADPS,
            magnetometer=settings.magnetometer,
            sensor=self.name,
            clock="device",
        )

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection; it reads every kind of package, whatever was asked for."""
        self._checked(settings)
        return Decoder(settings.role)

    def start(self, settings: Settings) -> Procedure:
        """Stop what an earlier connection left running, set clock and mode, and stream.

        Raises
        ------
        ConfigError
            If the settings ask for what the sensor cannot do.
        """
        rate = self._checked(settings)
        return self._start(settings, rate)

    def stop(self, settings: Settings) -> Procedure:
        """Stop the stream; a sensor that does not answer is left as it is."""
        self._checked(settings)
        real_time = asked.choice(settings, "mode", MODES, MODES[0]) == "real_time"
        order = Header.STOP_REAL_TIME if real_time else Header.STOP_STREAMING
        yield from _try(order)
        yield Unsubscribe(0)

    def identify(self) -> Procedure:
        """Return the steps that light the LED for 5 s."""
        yield Write(WRITE, pack(Header.SET_LED, struct.pack("<qqB", 0, BLINK_NS, 1)))

    def battery(self) -> Procedure:
        """Return the steps that ask for the state, which the battery is part of."""
        yield Subscribe(0)
        yield from self.status()

    def device_info(self) -> Procedure:
        """Ask who the sensor is; the answer comes as ``Reply("device_info")``."""
        yield from _try(Header.GET_DEVICE_INFO)

    def status(self) -> Procedure:
        """Ask for state, battery and gyroscope bias now; while it streams, they come every second."""
        yield from _try(Header.GET_STATUS)

    def _start(self, settings: Settings, rate: float) -> Procedure:
        real_time = asked.choice(settings, "mode", MODES, MODES[0]) == "real_time"
        yield Subscribe(0)
        yield from _try(Header.STOP_REAL_TIME)
        yield from _try(Header.STOP_AND_CLEAR)
        if "set_time_ns" in settings.options:
            yield from _set_time(_time_ns(settings))
        mode = self._mode(settings, rate)
        told = (yield from _order(Header.SET_MODE, mode)).get("mode")
        if told != mode[8:].hex():
            raise AcquisitionError(f"the sensor set mode {told} instead of {mode[8:].hex()}; switch it off and on")
        if real_time:
            yield from _order(Header.START_REAL_TIME, bytes([REAL_TIME_FULL, int(rate)]))
        else:
            yield from _order(Header.START_STREAMING)

    def _mode(self, settings: Settings, rate: float) -> bytes:
        mode = asked.choice(settings, "mode", MODES, MODES[0])
        code = {hz: number for number, hz in RATES_HZ.items()}[rate]
        fixed, packed = code * (mode == "full_fixed"), code * (mode == "full_packed")
        sync = SYNC.index(asked.choice(settings, "sync", SYNC, SYNC[0]))
        sync_id = asked.whole(settings, "sync_id", 0, 2**64 - 1, 0)
        # at once; float, full fixed, full packed, three of orientations; status every second; calibration, extension
        return _MODE.pack(0, 0, fixed, packed, 0, 0, 0, 1, 0, 0, sync, sync_id, 0, 0, not settings.magnetometer)

    def _checked(self, settings: Settings) -> float:
        asked.one_imu(self, settings, OPTIONS)
        rate = asked.rate_of(self, settings)
        sync = asked.choice(settings, "sync", SYNC, SYNC[0])
        if asked.choice(settings, "mode", MODES, MODES[0]) == "real_time" and rate not in REAL_TIME_RATES_HZ:
            can = ", ".join(f"{known:g}" for known in REAL_TIME_RATES_HZ)
            raise ConfigError(f"in real time a Capture2Go sends at {can} Hz, not at {rate:g} Hz")
        if (sync != "none") != bool(asked.whole(settings, "sync_id", 0, 2**64 - 1, 0)):
            raise ConfigError(
                "options sync and sync_id belong together: sender or receiver, and a random number for all"
            )
        if "set_time_ns" in settings.options and _time_ns(settings) and sync == "receiver":
            raise ConfigError("a receiver takes its time from the sender: set_time_ns belongs to the sender only")
        return rate


DRIVER = Capture2Go()


def _time_ns(settings: Settings) -> int:
    return asked.whole(settings, "set_time_ns", 1, 2**63 - 1, 1)


def _set_time(ns: int) -> Procedure:
    """Set the clock, unless it stands there already: after a lost link the same settings come again."""
    status = yield from _try(Header.GET_STATUS)
    stands = (status or {}).get("ns")
    if not isinstance(stands, int) or stands < ns:
        yield from _order(Header.SET_TIME, struct.pack("<q", ns))


def _order(header: Header, payload: bytes = b"") -> Generator[Step, Answer, Mapping[str, object]]:
    """Give an order and return what is answered.

    Raises
    ------
    AcquisitionError
        If it is refused, or nothing is answered.
    """
    values = yield from _try(header, payload, ANSWER_S)
    if values is None:
        raise AcquisitionError(f"the sensor did not answer the order {ORDERS[header]!r}; is it in range?")
    if "error" in values:
        raise AcquisitionError(f"the sensor refused the order {ORDERS[header]!r}: {values['error']}")
    return values


def _try(
    header: Header, payload: bytes = b"", patience_s: float = 1.0
) -> Generator[Step, Answer, Mapping[str, object] | None]:
    """Give an order and return what is answered; None without an answer."""
    yield Write(WRITE, pack(header, payload))
    try:
        reply = yield Await(ORDERS[header], patience_s)
    except TimeoutError:
        return None
    return reply.values if isinstance(reply, Reply) else None
