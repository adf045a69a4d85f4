"""Capture2Go sensors of SensorStim Neurotechnology: 200 Hz, a clock in nanoseconds, and a sync between sensors.

`packages` cuts what the radio brings into packages with a checksum, `samples` turns those that hold motion into rows,
`driver` knows the rest. Source: the vendor's protocol description and SDK (sensorstim/capture2go_sdk, MIT).
"""

from imuposture.acquisition.drivers.capture2go.driver import DRIVER, Capture2Go, Decoder

__all__ = ["DRIVER", "Capture2Go", "Decoder"]
