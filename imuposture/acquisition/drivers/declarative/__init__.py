"""Sensors described by a TOML profile instead of code; docs/add_a_sensor.md shows how to write one.

A payload passes through: `framing` (payloads -> packets) -> `taking` (bytes -> samples in SI; what stands where is
said by `packets` and `fields`) -> `pairing` (acc and gyr that come apart) -> `decoder` (messages). `templates` makes
the commands, `matching` knows the sensor, `profile` reads and checks all of it with `tables` and `quantities`.
"""

from imuposture.acquisition.drivers.declarative.describing import describe_profile, is_profile
from imuposture.acquisition.drivers.declarative.driver import ProfileDriver, load_profile

__all__ = ["ProfileDriver", "describe_profile", "is_profile", "load_profile"]
