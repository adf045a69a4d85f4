"""Polar sensors by the measurement service (PMD): Verity Sense, and H10 for inclination only.

Acceleration, angular rate and field are streams of their own, stamped by one clock in nanoseconds at the last sample
of a frame; ticks here are microseconds since 2000-01-01 by that clock, which an H10 restarts in 2019 when it was
without power. Between stamps the samples are spread evenly. Frames hold about a second, so rows come late by that.

An **H10 has no gyroscope** (``model=h10``): its rows hold NaN for angular rates, only its inclination at rest can be
trusted, and no turn about the vertical is seen at all.

Sources: ``online_measurement.pdf``, unit tests and issues of polarofficial/polar-ble-sdk. A stream that is not
stopped runs until the battery is empty. Directions of the axes are not documented. One batch of H10 is reported with
another control point (FB005C52-...); those are not found here.
"""

from collections.abc import Generator, Iterable
from contextlib import suppress

from imuposture._blocks import Stream
from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.drivers import polar_control as control
from imuposture.acquisition.drivers._asked import choice, one_imu, rate_of, switch
from imuposture.acquisition.drivers._wire import DEGREE, GRAVITY, ask, one_of
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Decoder, Settings
from imuposture.acquisition.drivers.messages import Reply
from imuposture.acquisition.drivers.polar_decoder import BATTERY, CONTROL, DATA, PolarDecoder
from imuposture.acquisition.drivers.polar_frames import ACC, GYR, MAG, SDK_MODE
from imuposture.acquisition.drivers.procedures import (
    Answer,
    Procedure,
    Read,
    Step,
    Subscribe,
    Unsubscribe,
    Write,
)

__all__ = ["DRIVER", "Polar"]

SERVICE = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL_POINT = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA_POINT = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
BATTERY_LEVEL = "00002a19-0000-1000-8000-00805f9b34fb"
OPTIONS = ("model", "sdk_mode", "acc_range_g", "gyr_range_dps")
H10_RATES_HZ = (25.0, 50.0, 100.0, 200.0)
H10_HZ, VERITY_HZ = 50.0, 52.0
SDK_RATES_HZ = (26.0, 52.0, 104.0, 208.0, 416.0)
FIELD_RATES_HZ = (10.0, 20.0, 50.0, 100.0)
ACC_RANGES_G = (2, 4, 8, 16)
GYR_RANGES_DPS = (245, 500, 1000, 2000)
DEFAULT_RANGES = {"acc": 8, "gyr": 2000}
RESOLUTION_BITS = 16
NUMBERS = {"acc": ACC, "gyr": GYR, "mag": MAG}


class Polar:
    """The driver; see `imuposture.acquisition.drivers.Driver`.

    Options: ``model`` ``verity`` (default) or ``h10``; ``sdk_mode``: rates and ranges beyond the usual ones of a
    Verity Sense; ``acc_range_g`` 2, 4, 8 (default) or 16; ``gyr_range_dps`` 245, 500, 1000 or 2000 (default).
    """

    name = "polar"
    title = "Polar Verity Sense or H10"
    verified: str | None = None
    channels: tuple[Channel, ...] = (
        Channel(CONTROL_POINT, measures=False),
        Channel(DATA_POINT),
        Channel(BATTERY_LEVEL, measures=False),
    )
    min_mtu = 232
    rates_hz: tuple[float, ...] = tuple(sorted({*H10_RATES_HZ, *SDK_RATES_HZ}))
    default_rate_hz = VERITY_HZ

    def matches(self, advertisement: Advertisement) -> bool:
        """Go by the name ``Polar H10 <id>`` or ``Polar Sense <id>``, or by the service."""
        named = (advertisement.name or "").startswith(("Polar H10", "Polar Sense"))
        return named or SERVICE in advertisement.service_uuids

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples before the first one."""
        rates, ranges = self._asked(settings)
        turns = "gyr" in rates
        return Stream(
            role=settings.role,
            rate_hz=rates["acc"],
            tick_s=1e-6,
            acc_full_scale=ranges["acc"] * GRAVITY,
            gyr_full_scale=ranges["gyr"] * DEGREE if turns else None,
            magnetometer=settings.magnetometer,
            sensor=self.name if turns else f"{self.name} (accelerometer only: inclination, no turns)",
            clock="device",
        )

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection."""
        return PolarDecoder(settings.role, self._asked(settings)[0])

    def start(self, settings: Settings) -> Procedure:
        """Listen first, look what the sensor can measure, stop what may still run, then start each stream."""
        rates, ranges = self._asked(settings)
        yield Subscribe(CONTROL)
        yield Subscribe(DATA)
        measurable = yield from _features(rates)
        with suppress(AcquisitionError):  # posture needs no battery level
            yield Read(BATTERY)
        yield from _stop(measurable)
        if switch(settings, "sdk_mode"):
            yield from _command(control.start(SDK_MODE), "start.sdk_mode", "leave sdk_mode out")
        for part, rate in rates.items():
            asked = {"rate": int(rate), "resolution": RESOLUTION_BITS, "range": ranges.get(part)}
            yield from _start(part, asked)

    def stop(self, settings: Settings) -> Procedure:
        """Stop each stream, and turn notifications off."""
        running = [NUMBERS[part] for part in self._asked(settings)[0]]
        yield from _stop([*running, SDK_MODE] if switch(settings, "sdk_mode") else running)
        yield Unsubscribe(DATA)
        yield Unsubscribe(CONTROL)

    def identify(self) -> Procedure | None:
        """Return None: no way to make the sensor show itself is documented."""
        return None

    def battery(self) -> Procedure | None:
        """Return None: the standard characteristic tells."""
        return None

    def _asked(self, settings: Settings) -> tuple[dict[str, float], dict[str, int]]:
        """Return the rate of each stream, and the ranges."""
        one_imu(self, settings, OPTIONS)
        h10 = choice(settings, "model", ("verity", "h10"), "verity") == "h10"
        sdk_mode = switch(settings, "sdk_mode")
        if h10 and (sdk_mode or settings.magnetometer):
            raise ConfigError("a Polar H10 has neither sdk_mode nor a magnetometer; leave them out")
        default, rates = (H10_HZ, H10_RATES_HZ) if h10 else (VERITY_HZ, SDK_RATES_HZ if sdk_mode else (VERITY_HZ,))
        rate = default if settings.rate_hz is None else rate_of(self, settings)
        if rate not in rates:
            told = ", ".join(f"{one:g}" for one in rates)
            raise ConfigError(
                f"this Polar streams at {told} Hz, got {rate:g} Hz; others need sdk_mode=true or model=h10"
            )
        parts = ["acc"] if h10 else ["acc", "gyr"]
        streams = dict.fromkeys(parts, rate)
        if settings.magnetometer:
            streams["mag"] = max(one for one in FIELD_RATES_HZ if one <= rate)
        return streams, _ranges(settings, any_acc=h10 or sdk_mode, any_gyr=sdk_mode)


def _ranges(settings: Settings, any_acc: bool, any_gyr: bool) -> dict[str, int]:
    ranges = {
        "acc": one_of(settings, "acc_range_g", ACC_RANGES_G, DEFAULT_RANGES["acc"]),
        "gyr": one_of(settings, "gyr_range_dps", GYR_RANGES_DPS, DEFAULT_RANGES["gyr"]),
    }
    for part, free in (("acc", any_acc), ("gyr", any_gyr)):
        if not free and ranges[part] != DEFAULT_RANGES[part]:
            raise ConfigError(
                f"a Verity Sense has a range of {DEFAULT_RANGES[part]} only for {part}, got {ranges[part]}; others "
                "need sdk_mode=true"
            )
    return ranges


def _features(rates: dict[str, float]) -> Generator[Step, Answer, list[int]]:
    """Read what the sensor can measure, as numbers; refuse one that has not all of what was asked for."""
    told = yield Read(CONTROL)
    features = control.features(told) if isinstance(told, bytes) else {}
    missing = [part for part in rates if not features.get(part)]
    if missing:
        raise AcquisitionError(
            f"this sensor does not say that it can measure {' and '.join(missing)}; an H10 gives inclination only: say "
            "model=h10; a Verity Sense must not be in its charger"
        )
    return [number for number, name in sorted(control.MEASUREMENTS.items()) if features[name]]


def _stop(measurements: Iterable[int]) -> Generator[Step, Answer, None]:
    """Stop streams; one that does not run says so, and that is no fault."""
    for number in measurements:
        yield from ask(Write(CONTROL_POINT, control.stop(number)), f"stop.{control.MEASUREMENTS[number]}")


def _start(part: str, asked: dict[str, int | None]) -> Generator[Step, Answer, None]:
    """Look which settings a stream has, and start it with those asked for."""
    remedy = "choose another rate or range, or say sdk_mode=true"
    offered = yield from _command(control.get_settings(NUMBERS[part]), f"settings.{part}", remedy)
    chosen: dict[str, int] = {}
    for name, value in asked.items():
        values = offered.values.get(name)
        if value is None or not isinstance(values, list):
            # Of a setting with no wish of ours: the only one, or the largest; the sensor has none if it names none.
            if isinstance(values, list):
                chosen[name] = int(max(values))
            continue
        if value not in values:
            told = ", ".join(f"{one:g}" for one in values)
            raise AcquisitionError(f"the sensor has no {name} of {value} for {part}, only {told}; {remedy}")
        chosen[name] = value
    channels = offered.values.get("channels")
    if isinstance(channels, list):
        chosen["channels"] = int(channels[0])
    yield from _command(control.start(NUMBERS[part], chosen), f"start.{part}", remedy)


def _command(data: bytes, what: str, remedy: str) -> Generator[Step, Answer, Reply]:
    reply = yield from ask(Write(CONTROL_POINT, data), what)
    if reply is None or reply.values["error"]:
        said = "nothing" if reply is None else str(reply.values["text"])
        raise AcquisitionError(f"the sensor answered {said} to {what}; {remedy}")
    return reply


DRIVER = Polar()
