"""Walks: the one of a recording that runs, and the same once more from what its manifest says."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from imuposture._blocks import ROLES, Entry, Role, Stream
from imuposture._errors import ConfigError, ImuPostureError, SessionError
from imuposture.acquisition.drivers import Driver, Settings
from imuposture.calibration import Calibration
from imuposture.pipeline import Config, LivePipeline, LiveSensor, Rows
from imuposture.pipeline.rows import no_rows
from imuposture.recording.file_driver import FileDriver

__all__ = ["CarefulWalk", "facts_of", "walk_of"]

MOST_TOLD = 10


class CarefulWalk:
    """A walk that goes on where an entry makes no sense: a recording must not end because of it.

    Parameters
    ----------
    sensors : mapping of role to LiveSensor
    config : Config, optional
    calibration : Calibration, optional

    Attributes
    ----------
    walk : LivePipeline
    faults : int
        Entries that could not be walked.
    told : list of str
        The first few, in words.
    """

    def __init__(
        self,
        sensors: Mapping[Role, LiveSensor],
        config: Config | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        self.walk = LivePipeline(sensors, config, calibration)
        self.faults = 0
        self.told: list[str] = []

    def push(self, entry: Entry) -> Rows:
        """Take the next entry; return the rows that are now known."""
        try:
            return self.walk.push(entry)
        except ImuPostureError as error:
            return self._fault(error)

    def finish(self) -> Rows:
        """Return what still waited."""
        try:
            return self.walk.finish()
        except ImuPostureError as error:
            return self._fault(error)

    def findings(self) -> dict[str, Any]:
        """Return what is known only at the end, for the manifest."""
        found = self.walk.findings()
        if self.faults:
            note = f"{self.faults} entries could not be walked: {'; '.join(self.told)}"
            found["notes"] = [*found.get("notes", ()), note]
        return found

    def _fault(self, error: ImuPostureError) -> Rows:
        self.faults += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(str(error))
        return no_rows()


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


def walk_of(manifest: Mapping[str, Any]) -> CarefulWalk:
    """Return a fresh walk, set up as a recording's manifest says; `imuposture.output.recover` takes it.

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
        return CarefulWalk(sensors, Config.from_mapping(manifest["config"]), calibration)
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
