"""What is asked of a Movella DOT, and in which order.

Ticks are the sensor's microseconds in 32 bits, which begin anew after 71.6 minutes (2**32, not 2**32 - 1 as one
example of the vendor has it).

Left open by the sources, and how it is read here: no real notification was ever seen, layouts follow the text to the
letter (lengths 63, 40 and 20, zeros at the end; anything else is refused); a sensor that is still synced from before
keeps its sync if this session wants one and its rate and filter fit, since nothing tells to which root it belongs.
"""

from collections.abc import Callable, Generator, Mapping

from imuposture._blocks import Role, Stream
from imuposture._errors import AcquisitionError, ConfigError, DecodeError
from imuposture.acquisition.drivers import _asked as asked
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Settings
from imuposture.acquisition.drivers.messages import Message, Reply
from imuposture.acquisition.drivers.movella_dot import frames, payloads
from imuposture.acquisition.drivers.procedures import (
    Answer,
    Await,
    Procedure,
    Read,
    Reconnect,
    Step,
    Subscribe,
    Unsubscribe,
    Write,
)

__all__ = ["DRIVER", "Decoder", "MovellaDot"]


def _uuid(short: str) -> str:
    return f"1517{short}-4947-11e9-8646-d663bd873d93"


COMPANY, ADDRESSES, NAMES = 0x0886, "D4:22:CD:", ("xsens dot", "movella dot")
CONTROL, MEASURE, RESET, MESSAGE = _uuid("1002"), _uuid("2001"), _uuid("2006"), _uuid("7001")
# Channels; 0 to 2 are those of the payloads, long, medium and short.
BATTERY_AT, REPORT_AT, MESSAGE_AT, ACKNOWLEDGE_AT, CONTROL_AT, INFO_AT, RESET_AT, MEASURE_AT = range(3, 11)
CHANNELS = (
    Channel(_uuid("2002")),
    Channel(_uuid("2003")),
    Channel(_uuid("2004")),
    Channel(_uuid("3001"), measures=False),
    Channel(_uuid("1004"), measures=False),
    Channel(_uuid("7003"), measures=False),
    Channel(_uuid("7002"), notifies=False),
    Channel(CONTROL, notifies=False),
    Channel(_uuid("1001"), notifies=False),
    Channel(_uuid("2007"), notifies=False),
    Channel(MEASURE, notifies=False),
)
READERS: Mapping[int, Callable[[bytes], list[Message]]] = {
    BATTERY_AT: frames.battery,
    REPORT_AT: frames.report,
    MESSAGE_AT: frames.parse_message,
    ACKNOWLEDGE_AT: frames.parse_message,
    CONTROL_AT: frames.control,
    INFO_AT: frames.info,
    RESET_AT: frames.heading,
    MEASURE_AT: frames.measurement,
}

OPTIONS = ("mode", "filter", "tag", "sync")
FILTERS = ("general", "dynamic")
MODE, MODE_WITH_FIELD = 26, 20
SEALED_MODES = (1, 17, 25)
IDENTIFY, POWER_SAVING, TAG, RATE, FILTER = 0x01, 0x04, 0x08, 0x10, 0x20  # bits of the first byte of the control
START_SYNC, STOP_SYNC, SYNC_STATUS = 0x01, 0x02, 0x08
SYNC_TAKES_S = 14.0
ANSWER_S = 2.0
ACC_FULL_SCALE, GYR_FULL_SCALE = 16 * 9.80665, 2000 * payloads.DEGREE


class Decoder:
    """Notifications of one connection -> messages; keeps nothing from one to the next."""

    def __init__(self, role: Role, mode: int, rate_hz: float) -> None:
        self._role, self._mode, self._rate = role, mode, rate_hz

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take a payload; one on the channel of the payload mode is a sample.

        Raises
        ------
        DecodeError
            If it is not what the channel brings in this payload mode.
        """
        if channel == payloads.MODES[self._mode].channel:
            return [payloads.block_of(payloads.parse(self._mode, payload), self._role, self._rate)]
        if channel not in READERS:
            raise DecodeError(f"nothing comes on channel {channel} in payload mode {self._mode}")
        return READERS[channel](payload)


class MovellaDot:
    """Movella DOT and Xsens DOT.

    Options: ``mode`` (payload mode, 26 unless the magnetometer is asked for, then 20; see `payloads.MODES`);
    ``filter`` (``general`` or ``dynamic``); ``tag`` (a name of up to 16 letters that the sensor keeps); ``sync`` (the
    Bluetooth address of the root, the same for both sensors: they get one time base, which takes 14 s).
    """

    name = "movella_dot"
    title = "Movella DOT"
    verified: str | None = None
    channels: tuple[Channel, ...] = CHANNELS
    min_mtu = 66
    rates_hz: tuple[float, ...] = (
        1.0,
        4.0,
        10.0,
        12.0,
        15.0,
        20.0,
        30.0,
        60.0,
    )  # 120 Hz is for recording on the sensor only
    default_rate_hz = 60.0

    def matches(self, advertisement: Advertisement) -> bool:
        """Tell by the name, or by the maker's id together with its addresses."""
        by_maker = COMPANY in advertisement.manufacturer_data and advertisement.address.upper().startswith(ADDRESSES)
        return by_maker or (advertisement.name or "").strip().lower() in NAMES

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples: ticks of a microsecond that wrap, ranges of 16 g and 2000 deg/s.

        Raises
        ------
        ConfigError
            If the sensor cannot do what is asked, or the payload mode holds no acceleration or no rate of turn.
        """
        rate, number = self._checked(settings)
        mode = payloads.MODES[number]
        if not mode.measures:
            able = ", ".join(str(other) for other, known in payloads.MODES.items() if known.measures)
            raise ConfigError(f"payload mode {number} has not both acceleration and rate of turn; these have: {able}")
        return Stream(
            settings.role,
            rate,
            tick_s=1e-6,
            wrap_ticks=2.0**32,
            acc_full_scale=ACC_FULL_SCALE,
            gyr_full_scale=GYR_FULL_SCALE,
            magnetometer="mag" in mode.fields,
            sensor=self.name,
            clock="device",
        )

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection, for any payload mode: what a mode does not say is NaN."""
        rate, mode = self._checked(settings)
        return Decoder(settings.role, mode, rate)

    def start(self, settings: Settings) -> Procedure:
        """Stop what an earlier session left, set rate, filter and time-outs, sync if asked for, and measure.

        The sensor is told not to fall asleep while it is connected; it keeps that, as it keeps rate, filter and tag.

        Raises
        ------
        ConfigError
            If the settings ask for what the sensor cannot do.
        """
        rate, mode = self._checked(settings)
        profile = FILTERS.index(asked.choice(settings, "filter", FILTERS, FILTERS[0]))
        return _start(mode, int(rate), profile, _tag(settings), _root(settings))

    def stop(self, settings: Settings) -> Procedure:
        """Stop the measurement, and the sync."""
        _, mode = self._checked(settings)
        yield Write(MEASURE, bytes([1, 0, mode]))
        yield Unsubscribe(payloads.MODES[mode].channel)
        if _root(settings) is not None:
            yield from _exchange(STOP_SYNC, "sync_stopped")

    def identify(self) -> Procedure:
        """Return the steps that make the LED blink for 10 s."""
        held = yield from _control()
        yield Write(CONTROL, bytes([IDENTIFY, 1]) + held[2:])

    def battery(self) -> Procedure:
        """Return the steps that read the battery."""
        yield Read(BATTERY_AT)

    def reset_heading(self, revert: bool = False) -> Procedure:
        """Take the heading of now as 0, or go back; while it measures, and no second time without going back."""
        yield Write(RESET, (7 if revert else 1).to_bytes(2, "little"))
        yield Read(RESET_AT)

    def _checked(self, settings: Settings) -> tuple[float, int]:
        asked.one_imu(self, settings, OPTIONS)
        rate = asked.rate_of(self, settings)
        mode = asked.whole(settings, "mode", 1, 26, MODE_WITH_FIELD if settings.magnetometer else MODE)
        if mode not in payloads.MODES:
            why = "only the vendor's software can read" if mode in SEALED_MODES else "does not exist"
            raise ConfigError(f"payload mode {mode} {why}; there are: {', '.join(map(str, payloads.MODES))}")
        if settings.magnetometer and "mag" not in payloads.MODES[mode].fields:
            raise ConfigError(f"payload mode {mode} holds no magnetic field; 18 and 20 do")
        asked.choice(settings, "filter", FILTERS, FILTERS[0])
        _tag(settings)
        _root(settings)
        return rate, mode


DRIVER = MovellaDot()


def _tag(settings: Settings) -> bytes | None:
    tag = asked.text(settings, "tag")
    if tag is None:
        return None
    if not 1 <= len(tag) <= 16 or not tag.isascii() or not tag.isprintable() or set(tag) & set("/\\:,"):
        raise ConfigError(f"option tag must be 1 to 16 plain letters without / \\ : and comma, got {tag!r}")
    return tag.encode("ascii")


def _root(settings: Settings) -> bytes | None:
    address = asked.text(settings, "sync")
    if address is None:
        return None
    try:
        return frames.mac_bytes(address)
    except ValueError:
        raise ConfigError(f"option sync must be the root's address as D4:22:CD:00:00:00, got {address!r}") from None


def _start(mode: int, rate: int, profile: int, tag: bytes | None, root: bytes | None) -> Procedure:
    yield Subscribe(MESSAGE_AT)
    status = yield from _exchange(SYNC_STATUS, "sync_status")
    yield Write(MEASURE, bytes([1, 0, mode]))
    held = yield from _control()
    synced = bool(status.get("synced"))
    if synced and (root is None or not _is_set(held, rate, profile)):
        stopped = yield from _exchange(STOP_SYNC, "sync_stopped")
        if not stopped.get("ok"):
            raise AcquisitionError("the sensor is still synced from before and does not let go; stop it in the DOT app")
        synced = False
    if not synced:
        yield from _set(held, rate, profile, tag)
    if root is not None and not synced:
        yield from _sync(root)
    yield Subscribe(BATTERY_AT)
    yield Read(BATTERY_AT)
    yield Subscribe(REPORT_AT)
    yield Subscribe(payloads.MODES[mode].channel)
    yield Write(MEASURE, bytes([1, 1, mode]))


def _exchange(order: int, answer: str) -> Generator[Step, Answer, Mapping[str, object]]:
    """Send an order of one byte about the sync, and return what is answered; nothing, if there is no answer."""
    yield Write(MESSAGE, frames.message(frames.SYNC, bytes([order])))
    try:
        reply = yield Await(answer, ANSWER_S)
    except TimeoutError:
        return {}
    return reply.values if isinstance(reply, Reply) else {}


def _control() -> Generator[Step, Answer, bytes]:
    held = yield Read(CONTROL_AT)
    if not isinstance(held, bytes) or len(held) != frames.CONTROL.size:
        raise AcquisitionError(f"device control of a DOT has {frames.CONTROL.size} bytes, got {held!r}")
    return held


def _is_set(held: bytes, rate: int, profile: int) -> bool:
    *_, held_rate, held_profile = frames.CONTROL.unpack(held)
    return bool((held_rate, held_profile) == (rate, profile))


def _set(held: bytes, rate: int, profile: int, tag: bytes | None) -> Procedure:
    """Write rate, filter, time-outs and tag unless they are so, and see that they are."""
    _, _, power, minutes, seconds, _, _, tag_length, held_tag, _, _ = frames.CONTROL.unpack(held)
    visit = POWER_SAVING | RATE | FILTER
    if tag is not None:
        visit, tag_length, held_tag = visit | TAG, len(tag), tag
    fields = (visit, 0, power, minutes, seconds, 0, 0, tag_length, held_tag, rate, profile)  # 0 min 0 s: awake
    wanted = frames.CONTROL.pack(*fields)
    if held[2:] == wanted[2:]:
        return  # it lies in flash, and a lost link brings us here again
    yield Write(CONTROL, wanted)
    now = yield from _control()
    if not _is_set(now, rate, profile):
        raise AcquisitionError(f"the sensor did not take {rate} Hz and filter {profile}; switch it off and on")


def _sync(root: bytes) -> Procedure:
    yield Write(MESSAGE, frames.message(frames.SYNC, bytes([START_SYNC]) + root))
    yield Reconnect(SYNC_TAKES_S)
    answer = yield Read(ACKNOWLEDGE_AT)
    try:
        told = frames.parse_message(answer if isinstance(answer, bytes) else b"")
    except DecodeError as error:
        raise AcquisitionError(f"no result of the sync could be read: {error}") from error
    values = told[0].values if isinstance(told[0], Reply) else {}
    if not values.get("ok"):
        text = values.get("text", "no result")
        raise AcquisitionError(f"the sync failed: {text}; start both sensors close together, or leave the option out")
    yield Subscribe(MESSAGE_AT)
