"""A sensor as a manifest tells of it, and the walk that a manifest tells of."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imuposture._blocks import ROLES, Role, Stream
from imuposture._errors import ConfigError, SessionError
from imuposture.acquisition.drivers import Driver, Settings
from imuposture.calibration import Calibration
from imuposture.pipeline import Config, LivePipeline, LiveSensor
from imuposture.pipeline.live import Clocks
from imuposture.recording.file_driver import FileDriver

__all__ = ["facts_of", "walk_of"]


def facts_of(sensor: LiveSensor) -> dict[str, Any]:
    """Return what a manifest says of a sensor; enough for `walk_of`."""
    driver, settings = sensor.driver, sensor.settings
    stream = driver.stream(settings)
    return {
        "driver": driver.name,
        "title": driver.title,
        "verified": driver.verified,
        "sensor": stream.sensor,
        "rate_hz": stream.rate_hz,
        "settings": {
            "rate_hz": settings.rate_hz,
            "magnetometer": settings.magnetometer,
            "part": settings.part,
            "options": dict(settings.options),
        },
        "stream": asdict(stream),
    }


def walk_of(manifest: Mapping[str, Any], *, clocks: Clocks = "causal") -> LivePipeline:
    """Return a fresh walk, set up as a recording's manifest says; `imuposture.output.recover` takes it.

    Parameters
    ----------
    manifest : mapping
    clocks
        As of `imuposture.pipeline.LivePipeline`.

    Raises
    ------
    SessionError
        If the manifest does not say it, or names a driver that is not there.
    """
    try:
        told = manifest["sensors"]
        sensors = {role: _sensor(role, told[role]) for role in ROLES if role in told}
        given = manifest.get("calibration_given")
        calibration = None if given is None else Calibration.fromdict(given)
        return LivePipeline(sensors, Config.from_mapping(manifest["config"]), calibration, clocks=clocks)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SessionError(f"the manifest does not say how the recording was walked: {error}") from error


def _sensor(role: Role, told: Mapping[str, Any]) -> LiveSensor:
    settings = Settings(role, **told["settings"])
    if told["driver"] == FileDriver.name:
        return LiveSensor(FileDriver(Stream(**told["stream"])), settings)
    return LiveSensor(_driver(told["driver"]), settings)


def _driver(name: str) -> Driver:
    from imuposture.acquisition.drivers.registry import driver_named

    try:
        return driver_named(name)
    except ConfigError as error:
        raise SessionError(f"{error}; install what offers it") from error
