"""Movella (Xsens) DOT: an orientation of its own, 60 Hz, a clock in microseconds, and a sync between sensors.

`payloads` knows the layouts of its payload modes, `frames` the other things it says, `driver` the rest. Source: the
vendor's BLE Service Specification XD0506P, revision C.
"""

from imuposture.acquisition.drivers.movella_dot.driver import DRIVER, Decoder, MovellaDot

__all__ = ["DRIVER", "Decoder", "MovellaDot"]
