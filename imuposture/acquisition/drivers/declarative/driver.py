"""The driver that a profile makes."""

from collections.abc import Callable, Mapping
from pathlib import Path

from imuposture._blocks import Stream
from imuposture._errors import AcquisitionError, ConfigError, DecodeError
from imuposture.acquisition.drivers.declarative.decoder import ProfileDecoder, tick_s, wrap_ticks
from imuposture.acquisition.drivers.declarative.profile import Profile, Source, read_profile
from imuposture.acquisition.drivers.declarative.quantities import RATE
from imuposture.acquisition.drivers.declarative.taking import PacketReader
from imuposture.acquisition.drivers.declarative.templates import Action
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Settings
from imuposture.acquisition.drivers.procedures import Procedure, Read, Subscribe, Unsubscribe
from imuposture.acquisition.readers.text import safe_text

__all__ = ["ProfileDriver", "load_profile"]

USUAL_RATES_HZ = (10.0, 20.0, 25.0, 50.0, 60.0, 100.0, 120.0, 200.0, 400.0)


def load_profile(path: str | Path, text: str | None = None) -> "ProfileDriver":
    """Read a profile and return the driver that it makes.

    Parameters
    ----------
    path : str or Path
    text : str, optional
        What the profile says, where that is known already; the path is for messages then.

    Raises
    ------
    ConfigError
        If anything in it is not as it must be; names file, key and remedy.
    """
    return ProfileDriver(read_profile(Path(path), text))


class ProfileDriver:
    """A `Driver` made of a profile.

    Parameters
    ----------
    profile : Profile

    Raises
    ------
    ConfigError
        If one of its commands cannot be written with the default parameters.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.name = profile.head["name"]
        self.title = profile.head["title"] or self.name
        self.verified = profile.head["verified"] or None
        self.channels = tuple(Channel(one.uuid, not one.read, _measures(one)) for one in profile.sources)
        self.min_mtu = profile.min_mtu
        self.default_rate_hz = profile.rate_hz.default
        for rate in profile.rate_hz.choices or (self.default_rate_hz,):
            self._try_commands(rate)
        self.rates_hz = self._rates()

    def matches(self, advertisement: Advertisement) -> bool:
        """Tell whether this profile takes the sensor."""
        return self.weight(advertisement) > 0

    def weight(self, advertisement: Advertisement) -> int:
        """Tell how closely the profile fits the sensor; 0: not at all."""
        return max((match.weight(advertisement) for match in self.profile.matches), default=0)

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples before the first one.

        Raises
        ------
        ConfigError
            If the settings ask for what the sensor cannot do; the message lists what it can.
        """
        parameters = self.parameters(settings)
        inertial = self.profile.inertial(settings.part)
        rate = parameters[RATE]
        names = {name for packet in self.profile.packets(settings.part) for name in packet.vectors}
        wrap = wrap_ticks(inertial[0])
        return Stream(
            settings.role,
            rate,
            tick_s=tick_s(inertial[0], rate),
            wrap_ticks=None if wrap is None else float(wrap),
            acc_full_scale=self._full_scale("acc", settings.part, parameters),
            gyr_full_scale=self._full_scale("gyr", settings.part, parameters),
            magnetometer=settings.magnetometer and "mag" in names,
            sensor=self.name,
            clock="count" if self.profile.clock(settings.part) is None else "device",
        )

    def decoder(self, settings: Settings) -> ProfileDecoder:
        """Return a decoder for one connection.

        Raises
        ------
        ConfigError
            As `stream`.
        """
        parameters = self.parameters(settings)
        return ProfileDecoder(self.profile, parameters, settings.role, settings.part, settings.magnetometer)

    def start(self, settings: Settings) -> Procedure:
        """Return the steps from a fresh connection to a stream: init, subscribe, start, and what is read once."""
        parameters, wanted = self.parameters(settings), self._wanted(settings)
        for action in self.profile.init:
            yield from action.steps(parameters)
        for channel in wanted:
            yield Subscribe(channel)
        for action in self.profile.start:
            yield from action.steps(parameters)
        yield from self._reads()
        yield from self._first_polls(parameters)

    def stop(self, settings: Settings) -> Procedure:
        """Return the steps after which the sensor no longer streams."""
        parameters = self.parameters(settings)
        for action in self.profile.stop:
            yield from action.steps(parameters)
        for channel in self._wanted(settings):
            yield Unsubscribe(channel)

    def identify(self) -> Procedure | None:
        """Return the steps that make the sensor blink or buzz; None if it cannot."""
        if not self.profile.identify:
            return None
        return self._steps(self.profile.identify, self.parameters(Settings("upper")))

    def battery(self) -> Procedure | None:
        """Return None: a profile's battery is the standard characteristic."""
        return None

    def polls(self, settings: Settings) -> tuple[tuple[float, Procedure], ...]:
        """Return what is to be asked while the sensor streams: every how many seconds, and the steps.

        Each call makes the steps anew, as they can be gone through once only.
        """
        parameters = self.parameters(settings)
        return tuple((poll.period_s, self._steps((poll.action,), parameters)) for poll in self.profile.polls)

    def parameters(self, settings: Settings) -> Mapping[str, float]:
        """Return every parameter's value.

        Raises
        ------
        ConfigError
            If the rate, an option or the part is not one that the profile has; the message lists those.
        """
        profile = self.profile
        if not 0 <= settings.part < profile.parts:
            raise ConfigError(f"{self.name}: part {settings.part} does not exist; parts are 0 to {profile.parts - 1}")
        rate = profile.rate_hz.default if settings.rate_hz is None else settings.rate_hz
        if not profile.rate_hz.takes(rate):
            raise ConfigError(f"{self.name}: rate_hz must be {profile.rate_hz.told()}, got {rate:g}")
        unknown = next((name for name in settings.options if name not in profile.parameters), None)
        if unknown is not None:
            known = ", ".join(profile.parameters) or "none"
            raise ConfigError(f"{self.name}: option {safe_text(unknown, 60)} does not exist; known are {known}")
        values = {RATE: rate}
        for name, parameter in profile.parameters.items():
            value = settings.options.get(name, parameter.default)
            if isinstance(value, str) or not parameter.takes(value):
                raise ConfigError(f"{self.name}: {name} must be {parameter.told()}, got {safe_text(value, 60)}")
            values[name] = float(value)
        return values

    def _reads(self) -> Procedure:
        for channel, source in enumerate(self.profile.sources):
            if not source.read:
                continue
            try:
                yield Read(channel)
            except (AcquisitionError, DecodeError, TimeoutError):
                if not source.optional:  # many boards lack the battery service, and stream all the same
                    raise

    def _first_polls(self, parameters: Mapping[str, float]) -> Procedure:
        for poll in self.profile.polls:
            try:
                yield from poll.action.steps(parameters)
            except TimeoutError:  # what is asked again and again may stay unanswered once
                continue

    def _wanted(self, settings: Settings) -> list[int]:
        """Return the channels to subscribe to: those of the part, and without a magnetometer's of its own."""
        wanted = []
        for channel, source in enumerate(self.profile.sources):
            own = [packet for packet in source.packets if packet.gives != "samples" or packet.part == settings.part]
            mag = all(packet.vectors == ("mag",) for packet in own)
            if own and not source.read and (settings.magnetometer or not mag):
                wanted.append(channel)
        return wanted

    def _full_scale(self, name: str, part: int, parameters: Mapping[str, float]) -> float | None:
        packets = (packet for packet in self.profile.inertial(part) if name in packet.vectors)
        found = [PacketReader(packet, parameters, parameters[RATE]).full_scale(name) for packet in packets]
        return found[0] if found else None

    @staticmethod
    def _steps(actions: tuple[Action, ...], parameters: Mapping[str, float]) -> Procedure:
        for action in actions:
            yield from action.steps(parameters)

    def _try_commands(self, rate_hz: float) -> None:
        """Write every command once, so that a value that does not fit is found before a sensor waits for it."""
        profile, parameters = self.profile, self.parameters(Settings("upper", rate_hz=rate_hz))
        polls = tuple(poll.action for poll in profile.polls)
        for action in (*profile.init, *profile.start, *profile.stop, *profile.identify, *polls):
            action.data(parameters)

    def _rates(self) -> tuple[float, ...]:
        """Return the rates to offer; where any in a range can be had, the usual ones in it that can be written."""
        rate = self.profile.rate_hz
        if rate.choices:
            return tuple(sorted(rate.choices)) if len(rate.choices) > 1 else ()
        usual = {value for value in (*USUAL_RATES_HZ, rate.low, rate.default, rate.high) if rate.takes(value)}
        return tuple(sorted(value for value in usual if self._can_write(value)))

    def _can_write(self, rate_hz: float) -> bool:
        try:
            self._try_commands(rate_hz)
        except ConfigError:
            return False
        return True


def _measures(source: Source) -> bool | Callable[[bytes], bool]:
    """Tell whether samples come from a characteristic; of packets with tags, which."""
    kinds = {packet.gives == "samples" for packet in source.packets}
    if len(kinds) == 1:
        return kinds.pop()
    if source.framing.kind != "notification":
        return True  # what else may be in a piece of a stream cannot be told at a glance
    heads = [(packet.tag_at, packet.tag, packet.gives == "samples") for packet in source.packets]

    def measures(payload: bytes) -> bool:
        return next((samples for at, tag, samples in heads if payload[at : at + len(tag)] == tag), False)

    return measures
