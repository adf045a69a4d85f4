"""A sensor as a manifest tells of it, and the walk that a manifest tells of."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imuposture._blocks import ROLES, Role, Stream
from imuposture._errors import ConfigError, SessionError
from imuposture.acquisition.drivers import Driver, Settings
from imuposture.acquisition.drivers.declarative import ProfileDriver, load_profile
from imuposture.calibration import Calibration
from imuposture.pipeline import Config, LivePipeline, LiveSensor
from imuposture.pipeline.file_driver import FileDriver
from imuposture.pipeline.live import Clocks

__all__ = ["driver_of", "facts_of", "walk_of"]


def facts_of(sensor: LiveSensor) -> dict[str, Any]:
    """Return what a manifest says of a sensor; enough for `walk_of`."""
    driver, settings = sensor.driver, sensor.settings
    stream = driver.stream(settings)
    # A profile may be changed or gone by tomorrow: what it said is part of what was recorded.
    profile = {"profile": driver.profile.text} if isinstance(driver, ProfileDriver) else {}
    return {
        "driver": driver.name,
        **profile,
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
    return LiveSensor(driver_of(told), settings)


def driver_of(told: Mapping[str, Any]) -> Driver:
    """Return the driver that `facts_of` told of: of a profile, as it was then.

    Raises
    ------
    SessionError
        If it is not there.
    ConfigError
        If the profile is none.
    """
    from imuposture.acquisition.drivers.registry import driver_named

    name = told["driver"]
    if "profile" in told:
        return load_profile(f"{name}.toml", told["profile"])
    try:
        return driver_named(name)
    except ConfigError as error:
        raise SessionError(f"{error}; install what offers it") from error
