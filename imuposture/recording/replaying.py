"""What was recorded, walked again: to close a session, to mend one, or to see its rows once more."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imuposture import output
from imuposture._blocks import ROLES, Role
from imuposture._errors import ImuPostureError, SessionError
from imuposture.acquisition.drivers import Settings
from imuposture.acquisition.drivers.registry import driver_named
from imuposture.calibration import Calibration
from imuposture.output import Memory, Recovery, Result, manifest, read_entries
from imuposture.pipeline import Config, LivePipeline, LiveSensor
from imuposture.recording.file_source import FileDriver

__all__ = ["GIVEN_CALIBRATION", "close_session", "recover", "replay", "walk_of"]

GIVEN_CALIBRATION = "given_calibration"  # key of the manifest: a calibration that was there before the first row


def walk_of(known: Mapping[str, Any]) -> LivePipeline:
    """Return a fresh walk, set up as a recorder's manifest says.

    Raises
    ------
    SessionError
        If the manifest is not one that a recorder wrote, or names a driver that is not installed.
    """
    try:
        sensors: dict[Role, LiveSensor] = {
            role: _sensor(role, known["sensors"][role]) for role in ROLES if role in known["sensors"]
        }
        given = known.get(GIVEN_CALIBRATION)
        calibration = None if given is None else Calibration.fromdict(given)
        return LivePipeline(sensors, Config.from_mapping(known["config"]), calibration)
    except (KeyError, TypeError, ValueError, AttributeError, ImuPostureError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise SessionError(
            f"its manifest does not say how it was recorded ({reason}); only sessions of imuposture record can be "
            "walked again, with the drivers installed that they were recorded with"
        ) from error


def _sensor(role: Role, told: Mapping[str, Any]) -> LiveSensor:
    asked = told.get("settings", {})
    settings = Settings(
        role,
        asked.get("rate_hz"),
        bool(asked.get("magnetometer", False)),
        int(asked.get("part", 0)),
        dict(asked.get("options", {})),
    )
    if told["driver"] == FileDriver.name:
        return LiveSensor(FileDriver.fromdict(role, told["stream"]), settings)
    return LiveSensor(driver_named(told.get("profile", told["driver"])), settings)


def close_session(folder: str | os.PathLike[str]) -> Result:
    """Make a session of a journal that is complete: its entries are walked once more, and the tables written.

    Raises
    ------
    SessionError
        If it cannot be written; the journal is kept then, and `recover` tries again.
    """
    path = Path(folder)
    return output.close_session(path, walk_of(manifest.load(path)))


def recover(folder: str | os.PathLike[str]) -> Recovery:
    """Finish a session whose recorder died; nothing that reached the disk is lost.

    Raises
    ------
    SessionError
        If somebody records into it, it is no session, or it cannot be written.
    """
    return output.recover(folder, walk_of)


def replay(folder: str | os.PathLike[str]) -> Result:
    """Walk a closed session's notifications again, in memory: the rows are those it gave live, bit for bit.

    Raises
    ------
    SessionError
        If it is not a recorded session, or some of what it kept is damaged.
    """
    path = Path(folder)
    known = manifest.load(path)
    walk = walk_of(known)
    with Memory(known) as memory:
        for rows in walk.push_all(read_entries(path)):
            memory.write(rows.posture, rows.metrics)
        last = walk.finish()
        memory.write(last.posture)
        return memory.close(last.metrics, walk.findings())
