"""Movesense sensors over the GATT SensorData Protocol (GSP).

Acceleration, angular rate and, asked for it, the magnetic field; stamped by the sensor in whole milliseconds, at the
first sample of a packet. The following ones are a period of the nominal rate later each; fitting the true period to
the stamps is the alignment's task. Up to 104 samples/s all comes in one packet (``/Meas/IMU6``, ``/Meas/IMU9``); at
208 that no longer fits what the firmware can hold, so each quantity is subscribed on its own and joined by its
stamps. GSP can set no ranges, and neither they nor the directions of the axes are documented: full scales are
unknown here, and so saturation is not found.

Sources: movesense.com/docs/esw/gatt_sensordata_protocol; firmware sample ``gatt_sensordata_app`` of
movesense-device-lib. A sensor without the service 34802252-... has firmware without GSP.
"""

from collections.abc import Generator

from imuposture._blocks import Stream
from imuposture._errors import AcquisitionError
from imuposture.acquisition.drivers._asked import one_imu, rate_of, switch
from imuposture.acquisition.drivers._wire import ask
from imuposture.acquisition.drivers.driver import Advertisement, Channel, Decoder, Settings
from imuposture.acquisition.drivers.messages import Reply
from imuposture.acquisition.drivers.movesense_packets import REFERENCES, MovesenseDecoder
from imuposture.acquisition.drivers.procedures import Answer, Procedure, Step, Subscribe, Unsubscribe, Write

__all__ = ["DRIVER", "Movesense", "get", "hello", "subscribe", "unsubscribe"]

SERVICE = "34802252-7185-4d5d-b431-630e7050e8f0"
COMMANDS = "34800001-7185-4d5d-b431-630e7050e8f0"
NOTIFICATIONS = "34800002-7185-4d5d-b431-630e7050e8f0"
BATTERY_PATH = "/System/Energy/Level"
OPTIONS = ("separate",)
FASTEST_JOINED_HZ = 104.0  # IMU6 at 208 has payloads of 388 bytes; two notifications hold 306
STREAMS = ("imu", "acc", "gyro", "magn")  # whatever an earlier connection may have subscribed


def hello(reference: int) -> Write:
    """Ask who is there."""
    return Write(COMMANDS, bytes([0, reference]))


def subscribe(reference: int, path: str) -> Write:
    """Ask for a stream; what comes of it carries the reference."""
    return Write(COMMANDS, bytes([1, reference]) + path.encode("ascii"))


def unsubscribe(reference: int) -> Write:
    """End the stream with that reference."""
    return Write(COMMANDS, bytes([2, reference]))


def get(reference: int, path: str) -> Write:
    """Ask for a value."""
    return Write(COMMANDS, bytes([4, reference]) + path.encode("ascii"))


class Movesense:
    """The driver; see `imuposture.acquisition.drivers.Driver`.

    Option ``separate``: subscribe acceleration, angular rate and field on their own at any rate.
    """

    name = "movesense"
    title = "Movesense"
    verified: str | None = None
    channels: tuple[Channel, ...] = (Channel(NOTIFICATIONS),)
    min_mtu = 155  # the first of two parts: 2 + 150 bytes, and 3 of ATT
    rates_hz: tuple[float, ...] = (13.0, 26.0, 52.0, 104.0, 208.0)
    default_rate_hz = 104.0

    def matches(self, advertisement: Advertisement) -> bool:
        """Go by the name ``Movesense <serial>`` or by the service."""
        return (advertisement.name or "").startswith("Movesense") or SERVICE in advertisement.service_uuids

    def stream(self, settings: Settings) -> Stream:
        """Return what is known of the samples before the first one."""
        rate, _ = self._asked(settings)
        return Stream(
            role=settings.role,
            rate_hz=rate,
            tick_s=1e-3,
            wrap_ticks=2.0**32,
            magnetometer=settings.magnetometer,
            sensor=self.name,
            clock="device",
        )

    def decoder(self, settings: Settings) -> Decoder:
        """Return a decoder for one connection."""
        return MovesenseDecoder(settings.role, self.stream(settings).rate_hz, settings.magnetometer)

    def start(self, settings: Settings) -> Procedure:
        """Greet the sensor, end what may still run, ask for the battery and subscribe."""
        rate, separate = self._asked(settings)
        yield Subscribe(0)
        yield from ask(hello(REFERENCES["hello"]), "hello", 1.0)
        yield from _unsubscribe_all()
        yield from ask(get(REFERENCES["battery"], BATTERY_PATH), "battery", 1.0)
        for stream, path in paths_of(rate, separate, settings.magnetometer):
            yield from _subscribe(stream, path)

    def stop(self, settings: Settings) -> Procedure:
        """Unsubscribe all, then turn notifications off."""
        del settings
        yield from _unsubscribe_all()
        yield Unsubscribe(0)

    def identify(self) -> Procedure | None:
        """Return None: GSP has no way to light the LED."""
        return None

    def battery(self) -> Procedure:
        """Return the steps that greet the sensor and ask for the battery."""
        yield Subscribe(0)
        yield from ask(hello(REFERENCES["hello"]), "hello", 1.0)
        yield from ask(get(REFERENCES["battery"], BATTERY_PATH), "battery", 1.0)

    def _asked(self, settings: Settings) -> tuple[float, bool]:
        one_imu(self, settings, OPTIONS)
        rate = rate_of(self, settings)
        return rate, switch(settings, "separate") or rate > FASTEST_JOINED_HZ


def paths_of(rate_hz: float, separate: bool, magnetometer: bool) -> list[tuple[str, str]]:
    """Return the streams to subscribe: name and path."""
    if not separate:
        return [("imu", f"/Meas/IMU{9 if magnetometer else 6}/{rate_hz:g}")]
    told = [("acc", f"/Meas/Acc/{rate_hz:g}"), ("gyro", f"/Meas/Gyro/{rate_hz:g}")]
    return [*told, ("magn", f"/Meas/Magn/{rate_hz:g}")] if magnetometer else told


def _unsubscribe_all() -> Generator[Step, Answer, None]:
    """End all streams; that a sensor has none of them to end is no fault, nor that its answer gets lost."""
    for stream in STREAMS:
        yield from ask(unsubscribe(REFERENCES[stream]), stream, 0.5)


def _subscribe(stream: str, path: str) -> Generator[Step, Answer, None]:
    """Subscribe; the vendor notes that answers may be lost, so a missing one is left to the watchdog on silence."""
    reply: Reply | None = yield from ask(subscribe(REFERENCES[stream], path), stream)
    if reply is not None and not reply.values["ok"]:
        raise AcquisitionError(
            f"the sensor refuses {path} with status {reply.values['status']}; choose another rate, or update its "
            "firmware to one with the GATT SensorData service"
        )


DRIVER = Movesense()
