"""Which driver takes a sensor: the drivers of this package and of plug-ins, then the profiles of this package.

A driver in code knows more than a profile, so it goes first. Of several profiles that take a sensor, the one whose
match is the most specific does: a service of the maker's own before a name, a longer name before a shorter one, a
company id last; see `imuposture.acquisition.drivers.declarative.matching`. Ties go by name.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from imuposture._errors import ConfigError, PluginError
from imuposture.acquisition.drivers.declarative import ProfileDriver, load_profile
from imuposture.acquisition.drivers.driver import Advertisement, Driver
from imuposture.acquisition.readers.text import safe_text

__all__ = ["PROFILES", "driver_for", "driver_named", "drivers"]

GROUP = "imuposture.drivers"
HERE = Path(__file__).parent
PROFILES = HERE / "profiles"
# Named here too, so that they work from a source tree without metadata; each module has its driver as DRIVER.
BUILT_IN = ("capture2go", "metamotion", "movella_dot", "movesense", "polar", "witmotion")
NEEDED = (
    *("name", "title", "verified", "channels", "min_mtu", "rates_hz", "default_rate_hz"),
    *("matches", "stream", "decoder", "start", "stop", "identify", "battery"),
)


class _Drivers(Mapping[str, Driver]):
    """All drivers by name; each is loaded when it is asked for, and once only."""

    def __init__(self) -> None:
        self._loaded: dict[str, Driver] = {}
        own = {name: _built_in(name) for name in BUILT_IN}
        others = {point.name: point.load for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}
        self._code = own | {name: load for name, load in others.items() if name not in BUILT_IN}
        self._profiles = {file.stem: file for file in sorted(PROFILES.glob("*.toml")) if file.stem not in self._code}

    def __getitem__(self, name: str) -> Driver:
        if name not in self._loaded:
            if name in self._code:
                self._loaded[name] = _plug_in(name, self._code[name])
            elif name in self._profiles:
                self._loaded[name] = load_profile(self._profiles[name])
            else:
                raise KeyError(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._code or name in self._profiles

    def __iter__(self) -> Iterator[str]:
        yield from self._code
        yield from self._profiles

    def __len__(self) -> int:
        return len(self._code) + len(self._profiles)


def drivers() -> Mapping[str, Driver]:
    """Return the drivers that are there, by name: code first, then profiles. Nothing is loaded before it is asked for.

    Returns
    -------
    mapping
        Asking for one raises `PluginError` if it cannot be loaded or keeps not to the contract.
    """
    return _Drivers()


def driver_named(name: str | Path) -> Driver:
    """Return the driver of that name, or the one that a profile at that path makes.

    Parameters
    ----------
    name : str or Path
        A path ends in ``.toml``.

    Raises
    ------
    ConfigError
        If there is none of that name, or the profile is not as it must be.
    PluginError
        If a plug-in cannot be loaded, or does not keep to the contract.
    """
    if str(name).lower().endswith(".toml"):
        return load_profile(name)
    known = drivers()
    if name not in known:
        raise ConfigError(
            f"there is no driver {safe_text(name, 60)}; known are {', '.join(known)}, or give the path of a profile, "
            "as my_sensor.toml"
        )
    return known[str(name)]


def driver_for(advertisement: Advertisement, known: Mapping[str, Driver] | None = None) -> Driver | None:
    """Return the driver that takes a sensor.

    Parameters
    ----------
    advertisement : Advertisement
    known : mapping, optional
        The drivers to choose from, `drivers` when left out. While scanning, keep one mapping: it loads each once.

    Returns
    -------
    Driver or None
        Drivers in code first, in the order of their names; of profiles, the one with the most specific match. None
        if nobody takes it.

    Raises
    ------
    PluginError
        If a plug-in cannot be loaded, or its ``matches`` fails.
    """
    found = [driver for driver in (drivers() if known is None else known).values() if _takes(driver, advertisement)]
    code = [driver for driver in found if not isinstance(driver, ProfileDriver)]
    profiles = [driver for driver in found if isinstance(driver, ProfileDriver)]
    if code:
        return code[0]
    return max(profiles, key=lambda driver: driver.weight(advertisement), default=None)


def _takes(driver: Driver, advertisement: Advertisement) -> bool:
    try:
        return bool(driver.matches(advertisement))
    except Exception as error:
        raise PluginError(f"driver {safe_text(driver.name)}: matches() failed: {safe_text(error)}") from error


def _built_in(name: str) -> Callable[[], object]:
    return lambda: import_module(f"imuposture.acquisition.drivers.{name}").DRIVER


def _plug_in(name: str, load: Callable[[], object]) -> Driver:
    try:
        found = load()
    except Exception as error:
        raise PluginError(
            f"driver {safe_text(name)}: cannot be loaded: {safe_text(error)}; reinstall the package that offers it"
        ) from error
    missing = next((wanted for wanted in NEEDED if not hasattr(found, wanted)), None)
    if missing:
        raise PluginError(f"driver {safe_text(name)}: lacks {missing}; see docs/add_a_sensor.md")
    driver = cast(Driver, found)
    if driver.name != name:
        raise PluginError(f"driver {safe_text(name)}: calls itself {safe_text(driver.name)}; both must be the same")
    return driver
