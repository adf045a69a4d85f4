"""Everything imuposture raises on purpose.

ImuPostureError
├── SignalError        an array has the wrong shape, type, rate or values
├── ConfigError        a setting, unit or window is not one that exists or makes sense
├── RecordingError     a file is not a recording that can be trusted; names file, line or column, and the remedy
├── DecodeError        a payload is not what its sensor's protocol allows; it is counted and dropped
├── AcquisitionError   no radio, no sensor, or one that does not do what it is asked; names the remedy
├── CalibrationError   a calibration that was asked for by name cannot be used
├── SessionError       a session folder cannot be written, is there already, or is not whole
└── PluginError        an entry point is missing, broken or does not keep its contract
"""

__all__ = [
    "AcquisitionError",
    "CalibrationError",
    "ConfigError",
    "DecodeError",
    "ImuPostureError",
    "PluginError",
    "RecordingError",
    "SessionError",
    "SignalError",
]


class ImuPostureError(Exception):
    """Base class; catch this to catch anything imuposture raises on purpose."""


class SignalError(ImuPostureError, ValueError):
    """An array has the wrong shape, type, rate or values."""


class ConfigError(ImuPostureError, ValueError):
    """A setting, unit or window is not one that exists or makes sense."""


class RecordingError(ImuPostureError, ValueError):
    """A file is not a recording that can be trusted."""


class DecodeError(ImuPostureError, ValueError):
    """A payload is not what its sensor's protocol allows."""


class AcquisitionError(ImuPostureError, OSError):
    """No radio, no sensor, or one that does not do what it is asked."""


class CalibrationError(ImuPostureError, ValueError):
    """A calibration that was asked for by name cannot be used."""


class SessionError(ImuPostureError, OSError):
    """A session folder cannot be written, is there already, or is not whole."""


class PluginError(ImuPostureError):
    """An entry point is missing, broken or does not keep its contract."""
