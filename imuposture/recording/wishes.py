"""What is wanted of the sensors, besides which they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from imuposture._blocks import Role
from imuposture.acquisition.ble.scanning import choose_driver
from imuposture.acquisition.drivers import Advertisement, Driver, Settings

__all__ = ["Wishes"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of the sensors.

    Attributes
    ----------
    rate_hz : float or None
        None takes each driver's default.
    magnetometer : bool
    options : mapping of role to mapping
        Settings of the drivers' own.
    find_s : float
        How long sensors are looked for at the beginning. One that is not there by then is sought on while the other
        records.
    choose : callable
        Advertisement -> driver.
    """

    rate_hz: float | None = None
    magnetometer: bool = False
    options: Mapping[Role, Mapping[str, str | int | float | bool]] = field(default_factory=dict)
    find_s: float = 20.0
    choose: Callable[[Advertisement], Driver | None] = choose_driver

    def by(self, driver: str | None) -> "Wishes":
        """Return the same wishes, with a driver by name or a profile by path for all sensors, whatever they say.

        None leaves it to what they say.

        Raises
        ------
        ConfigError
            If there is no such driver, or the profile is none.
        """
        from imuposture.acquisition.drivers.registry import driver_named

        if driver is None:
            return self
        named = driver_named(driver)
        return replace(self, choose=lambda _: named)

    def settings(self, role: Role, part: int = 0) -> Settings:
        """Return what a driver is told."""
        return Settings(role, self.rate_hz, self.magnetometer, part, self.options.get(role, {}))
