"""Walks: the one of a recording that runs, and the same once more from what its manifest says."""

import logging
from collections.abc import Callable, Mapping
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
log = logging.getLogger(__name__)


class CarefulWalk:
    """A walk that nothing stops the recording with: an entry that makes no sense is left out, and counted.

    A mistake of ours ends the walk but not the recording; what came is kept, and can be walked again once it is mended.

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
    broken : str or None
        What ended the walk before its time.
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
        self.broken: str | None = None

    def push(self, entry: Entry) -> Rows:
        """Take the next entry; return the rows that are now known."""
        return self._careful(lambda: self.walk.push(entry))

    def finish(self) -> Rows:
        """Return what still waited."""
        return self._careful(self.walk.finish)

    def findings(self) -> dict[str, Any]:
        """Return what is known only at the end, for the manifest."""
        try:
            found = self.walk.findings()
        except Exception as error:
            self._break(error)
            found = {}
        return {**found, "notes": [*found.get("notes", ()), *self.notes()]}

    def notes(self) -> list[str]:
        """Return what went wrong, in words."""
        notes = []
        if self.faults:
            notes.append(f"{self.faults} entries could not be walked: {'; '.join(self.told)}")
        if self.broken is not None:
            notes.append(f"the walk broke off ({self.broken}): a mistake of imuposture; all that came is kept")
        return notes

    def _careful(self, step: Callable[[], Rows]) -> Rows:
        if self.broken is not None:
            return no_rows()
        try:
            return step()
        except ImuPostureError as error:
            self.faults += 1
            if len(self.told) < MOST_TOLD:
                self.told.append(str(error))
        except Exception as error:
            self._break(error)
        return no_rows()

    def _break(self, error: Exception) -> None:
        log.exception("the walk broke off")
        self.broken = f"{type(error).__name__}: {error}"


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
