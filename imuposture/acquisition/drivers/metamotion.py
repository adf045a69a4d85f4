"""MetaMotion sensors of MbientLab (R, RL, S), by the MetaWear protocol.

Streamed samples carry no time. Four routes, by the option ``route``:

- ``fused`` (default): processors on the sensor join acceleration and rates and put a count before them; a loss shows
  in the count. One packet a sample. The processors are made by the commands of the vendor's own test of them; that the
  count rises by one a sample is how it is documented, and was never seen on hardware.
- ``plain``: acceleration and rates apart, joined by order of arrival; a loss shows in arrival times only, and if one
  of the two is lost the row keeps NaN in its place.
- ``packed``: likewise, three samples a packet; the only one that makes sense at 200 samples/s.
- ``fusion``: calibrated acceleration and rates with the sensor's own orientation, at 100 samples/s, joined by order
  of arrival; three packets a sample, which a radio link may not carry: whether it does was never tried.

The clock of the sensor's chips, not ours, makes the rate; it may be off by a percent. With a magnetometer, the field
comes 10 times a second ("regular" preset; with ``fusion`` as often as the fusion says) and stands in the row after it.

The directions of the axes are not documented. Firmware without the processors asks for ``route=plain``.
"""

from collections.abc import Generator, Iterable

from imuposture._blocks import Stream
from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.drivers import metamotion_commands as commands
from imuposture.acquisition.drivers._asked import choice, one_imu, rate_of, switch
from imuposture.acquisition.drivers._wire import DEGREE, GRAVITY, ask, one_of
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Decoder, Settings
from imuposture.acquisition.drivers.messages import Reply
from imuposture.acquisition.drivers.metamotion_packets import MetaMotionDecoder
from imuposture.acquisition.drivers.procedures import Answer, Procedure, Reconnect, Step, Subscribe, Unsubscribe, Write

__all__ = ["DRIVER", "MetaMotion"]

SERVICE = "326a9000-85cb-9195-d9dd-464cfbbae75a"
COMMANDS = "326a9001-85cb-9195-d9dd-464cfbbae75a"
NOTIFICATIONS = "326a9006-85cb-9195-d9dd-464cfbbae75a"
OPTIONS = ("route", "acc_range_g", "gyr_range_dps", "reset")
ROUTES = ("fused", "plain", "packed", "fusion")
FUSION_HZ = 100.0
COUNT_REVISION = 3  # of the data processor; the vendor's test of joined and counted samples asks for it
RESTART_S = 3.0


class MetaMotion:
    """The driver; see `imuposture.acquisition.drivers.Driver`.

    Options: ``route`` as above; ``acc_range_g`` 2, 4, 8 (default) or 16; ``gyr_range_dps`` 125, 250, 500, 1000 or
    2000 (default); ``reset``: restart the sensor first, for one that has locked up.
    """

    name = "metamotion"
    title = "MbientLab MetaMotion"
    verified: str | None = None
    channels: tuple[Channel, ...] = (Channel(NOTIFICATIONS),)
    min_mtu = 23
    rates_hz: tuple[float, ...] = (25.0, 50.0, 100.0, 200.0)
    default_rate_hz = 100.0

    def matches(self, advertisement: Advertisement) -> bool:
        """Go by the name ``MetaWear`` or by the service."""
        return (advertisement.name or "").startswith("MetaWear") or SERVICE in advertisement.service_uuids

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples before the first one."""
        rate, route, acc_range_g, gyr_range_dps = self._asked(settings)
        counted = route == "fused"
        return Stream(
            role=settings.role,
            rate_hz=rate,
            tick_s=1 / rate,
            wrap_ticks=2.0**32 if counted else None,
            acc_full_scale=acc_range_g * GRAVITY,
            gyr_full_scale=gyr_range_dps * DEGREE,
            magnetometer=settings.magnetometer,
            sensor=self.name,
            clock="device" if counted else "count",
        )

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection."""
        _, route, acc_range_g, gyr_range_dps = self._asked(settings)
        return MetaMotionDecoder(settings.role, route, acc_range_g, gyr_range_dps, settings.magnetometer)

    def start(self, settings: Settings) -> Procedure:
        """Ask which chips are inside, end all that may still run, set ranges and rate, and start the route."""
        rate, route, acc_range_g, gyr_range_dps = self._asked(settings)
        yield Subscribe(0)
        if switch(settings, "reset"):
            yield _write(commands.RESET)
            yield Reconnect(RESTART_S)
            yield Subscribe(0)
        chips = yield from _chips(settings.magnetometer, route)
        yield from _writes(chips.teardown())
        yield from ask(_write(commands.BATTERY), "battery", 1.0)
        yield from _writes(chips.configure(rate, acc_range_g, gyr_range_dps))
        if route == "fusion":
            yield from _start_fusion(settings.magnetometer, acc_range_g, gyr_range_dps)
        else:
            yield from _start_samples(chips, route, settings.magnetometer)

    def stop(self, settings: Settings) -> Procedure:
        """End everything that runs, and turn notifications off."""
        del settings
        yield from _writes([*commands.STOP, commands.REMOVE_PROCESSORS])  # these are the same for all chips
        chips = yield from _found()
        if chips is not None:
            yield from _writes(chips.teardown())
        yield Unsubscribe(0)

    def identify(self) -> Procedure | None:
        """Flash green ten times in five seconds."""
        return _writes(commands.LED_BLINK)

    def battery(self) -> Procedure:
        """Return the steps that ask for the battery."""
        yield Subscribe(0)
        yield from ask(_write(commands.BATTERY), "battery", 1.0)

    def _asked(self, settings: Settings) -> tuple[float, str, int, int]:
        one_imu(self, settings, OPTIONS)
        rate, route = rate_of(self, settings), choice(settings, "route", ROUTES, ROUTES[0])
        if route == "fusion" and rate != FUSION_HZ:
            raise ConfigError(f"metamotion with route=fusion has {FUSION_HZ:g} Hz only, got {rate:g} Hz; choose that")
        acc_range_g = one_of(settings, "acc_range_g", commands.ACC_RANGES_G, 8)
        return rate, route, acc_range_g, one_of(settings, "gyr_range_dps", commands.GYR_RANGES_DPS, 2000)


def _write(data: bytes) -> Write:
    return Write(COMMANDS, data)


def _writes(data: Iterable[bytes]) -> Generator[Step, Answer, None]:
    for one in data:
        yield _write(one)


def _found() -> Generator[Step, Answer, commands.Chips | None]:
    """Ask which chips are inside; None if they are not known, or the sensor does not answer."""
    acc = yield from _module(commands.ACC)
    gyr = yield from _module(commands.GYR)
    return commands.chips_of(acc, gyr)


def _chips(magnetometer: bool, route: str) -> Generator[Step, Answer, commands.Chips]:
    """Ask what is inside; refuse what is not known, and what cannot do what was asked for."""
    chips = yield from _found()
    if chips is None:
        raise AcquisitionError(
            "the sensor does not say that it has the chips of a MetaMotion (BMI160 or BMI270), the only ones known "
            "here; switch it off and on, say reset=true, or use another"
        )
    wanted = [(commands.MAG, magnetometer, 0, "leave the magnetometer out")]
    wanted += [(commands.FUSION, route == "fusion", 0, "choose another route")]
    wanted += [(commands.PROCESSOR, route == "fused", COUNT_REVISION, "say route=plain, or update its firmware")]
    for module, needed, revision, remedy in wanted:
        if needed and (yield from _module(module, "revision")) < revision:
            raise AcquisitionError(f"this MetaMotion has no {commands.MODULES[module]} that can do this: {remedy}")
    return chips


def _module(module: int, what: str = "implementation") -> Generator[Step, Answer, int]:
    """Ask for the implementation or revision of a module; -1 if it is missing, or does not answer."""
    reply = yield from ask(_write(commands.module_query(module)), f"module.{commands.MODULES[module]}")
    return _number(reply, what)


def _number(reply: Reply | None, what: str) -> int:
    value = -1 if reply is None else reply.values[what]
    return value if isinstance(value, int) else -1


def _start_samples(chips: commands.Chips, route: str, magnetometer: bool) -> Generator[Step, Answer, None]:
    modules = (commands.ACC, commands.GYR, commands.MAG) if magnetometer else (commands.ACC, commands.GYR)
    if magnetometer:
        yield from _writes(commands.magnetometer())
    if route == "fused":
        held = yield from _make(chips.hold_rates())
        joined = yield from _make(chips.join_rates(held))
        counted = yield from _make(commands.count_samples(joined))
        yield from _writes(commands.subscribe_processor(counted))
    else:
        yield from _writes(commands.subscribe(*place) for place in chips.registers(route == "packed"))
    yield from _writes(commands.run(modules))


def _make(command: bytes) -> Generator[Step, Answer, int]:
    reply = yield from ask(_write(command), "processor")
    if reply is None:
        raise AcquisitionError("the sensor makes no processor; say route=plain, or reset=true to clear its memory")
    return _number(reply, "id")


def _start_fusion(magnetometer: bool, acc_range_g: int, gyr_range_dps: int) -> Generator[Step, Answer, None]:
    outputs = (0x04, 0x05, 0x06, 0x07) if magnetometer else (0x04, 0x05, 0x07)
    modules = (commands.ACC, commands.GYR, commands.MAG) if magnetometer else (commands.ACC, commands.GYR)
    mode = commands.FUSION_MODES["ndof" if magnetometer else "imu_plus"]
    if magnetometer:
        yield from _writes(commands.magnetometer()[:2])
    yield _write(commands.configure_fusion(mode, acc_range_g, gyr_range_dps))
    yield from _writes(commands.subscribe(commands.FUSION, register) for register in outputs)
    yield from _writes(commands.run(modules))
    yield from _writes(commands.run_fusion(outputs))


DRIVER = MetaMotion()
