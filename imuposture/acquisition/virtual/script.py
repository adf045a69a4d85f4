"""Worlds by name: a built-in script, a TOML file that says everything, or a world in another process."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imuposture._blocks import ROLES
from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.simulation import SensorModel, actions
from imuposture.acquisition.virtual.faults import Faults, Incident
from imuposture.acquisition.virtual.remote import RemoteWorld
from imuposture.acquisition.virtual.world import SensorSetup, VirtualWorld

__all__ = ["BUILT_IN", "open_world", "read_script"]

BUILT_IN = ("demo", "still", "one_sided")
CHIPS = {"movella_dot": SensorModel.movella_dot, "budget": SensorModel.budget, "ideal": SensorModel.ideal}
KEYS = {"script", "actions", "seed", "minutes", "lead_in_s", *ROLES}
SENSOR_KEYS = {"format", "chip", "rate_hz", "address", "faults", "timeline"}
REMOTE = "tcp:"


def open_world(name: str, *, seed: int | None = None) -> VirtualWorld | RemoteWorld:
    """Return the world that ``virtual:NAME`` means, to be entered with ``async with``.

    Parameters
    ----------
    name : str
        ``demo``, ``still``, ``one_sided``; the path of a TOML file (see `read_script`); or ``tcp:127.0.0.1:PORT``, a
        world that ``python -m imuposture.acquisition.virtual.serve`` keeps in another process.
    seed : int, optional
        Instead of 0 or the file's own.

    Raises
    ------
    ConfigError
        If the file says something that does not exist or makes no sense.
    AcquisitionError
        If there is no such script or file.
    """
    if name.startswith(REMOTE):
        return RemoteWorld(name.removeprefix(REMOTE))
    if name in BUILT_IN:
        return VirtualWorld(name, seed=seed or 0)
    if not name.endswith(".toml"):
        raise AcquisitionError(f"no virtual script called {name!r}; there are {', '.join(BUILT_IN)}, or give FILE.toml")
    arguments = read_script(name)
    return VirtualWorld(**(arguments if seed is None else {**arguments, "seed": seed}))


def read_script(path: str | Path) -> dict[str, Any]:
    """Return what a script file says, as arguments of `VirtualWorld`.

    ``script`` names a performance of `imuposture.simulate`, or ``[[actions]]`` lists what the wearer does (``do =
    "bend"``, and the action's own arguments); ``seed``, ``minutes``, ``lead_in_s``. ``[upper]`` and ``[lower]``:
    ``format``, ``chip`` ("movella_dot", "budget", "ideal"), ``rate_hz``, ``address``, a table ``faults`` with fields of
    `Faults`, and a list ``timeline`` of incidents with the fields of `Incident`.

    Raises
    ------
    ConfigError
        If it says something that does not exist or makes no sense.
    AcquisitionError
        If it cannot be read.
    """
    try:
        told = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AcquisitionError(f"the virtual script {str(path)!r} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    try:
        return _arguments(told)
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _arguments(told: Mapping[str, Any]) -> dict[str, Any]:
    _refuse_unknown(told, KEYS, "the script")
    if "script" in told and "actions" in told:
        raise ConfigError("give either script or actions, not both")
    script = [_action(one) for one in told["actions"]] if "actions" in told else told.get("script", "demo")
    plain = {key: told[key] for key in ("seed", "minutes", "lead_in_s") if key in told}
    return {"script": script, **plain, **{role: _setup(role, told[role]) for role in ROLES if role in told}}


def _action(told: Mapping[str, Any]) -> actions.Action:
    arguments = dict(told)
    name = arguments.pop("do", None)
    if name not in actions.__all__ or name in ("Action", "during"):
        raise ConfigError(f"actions: do = {name!r} is none of {', '.join(sorted(actions.__all__))}")
    made: actions.Action = getattr(actions, name)(**arguments)
    return made


def _setup(role: str, told: Mapping[str, Any]) -> SensorSetup:
    _refuse_unknown(told, SENSOR_KEYS, f"[{role}]")
    chip = told.get("chip")
    if chip is not None and chip not in CHIPS:
        raise ConfigError(f"[{role}] chip = {chip!r} is none of {', '.join(CHIPS)}")
    return SensorSetup(
        format=told.get("format", "movella_dot"),
        model=CHIPS[chip]() if chip else SensorModel(),
        rate_hz=told.get("rate_hz"),
        faults=Faults().changed(**told.get("faults", {})),
        timeline=tuple(Incident(**one) for one in told.get("timeline", ())),
        address=told.get("address"),
    )


def _refuse_unknown(told: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(told) - known)
    if unknown:
        raise ConfigError(f"{where} has no {', '.join(unknown)}; there are {', '.join(sorted(known))}")
