"""Two motion sensors on a back: spinal angles, left/right balance, and how sure they are.

The names below are the public ones; each loads its module when it is first used, so that ``import imuposture`` stays
light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from imuposture._errors import (
        AcquisitionError,
        CalibrationError,
        ConfigError,
        DecodeError,
        ImuPostureError,
        PluginError,
        RecordingError,
        SessionError,
        SignalError,
    )
    from imuposture.acquisition.ble import scan
    from imuposture.acquisition.simulation import Person, SensorModel, Simulation, simulate
    from imuposture.fusion import Parameters, orientation, smoothed_orientation
    from imuposture.output import Result, open_sessions
    from imuposture.pipeline import Config, Pipeline
    from imuposture.processing import process
    from imuposture.recording import record, stream
    from imuposture.recording.replaying import recover, replay
    from imuposture.scoring import by_task, score
    from imuposture.single_sensor import gait
    from imuposture.trend import trends

_HOME = {
    "AcquisitionError": "_errors",
    "CalibrationError": "_errors",
    "Config": "pipeline",
    "ConfigError": "_errors",
    "DecodeError": "_errors",
    "ImuPostureError": "_errors",
    "Parameters": "fusion",
    "Person": "acquisition.simulation",
    "Pipeline": "pipeline",
    "PluginError": "_errors",
    "RecordingError": "_errors",
    "Result": "output",
    "SensorModel": "acquisition.simulation",
    "SessionError": "_errors",
    "SignalError": "_errors",
    "Simulation": "acquisition.simulation",
    "by_task": "scoring",
    "gait": "single_sensor",
    "open_sessions": "output",
    "orientation": "fusion",
    "process": "processing",
    "record": "recording",
    "recover": "recording.replaying",
    "replay": "recording.replaying",
    "scan": "acquisition.ble",
    "score": "scoring",
    "simulate": "acquisition.simulation",
    "smoothed_orientation": "fusion",
    "stream": "recording",
    "trends": "trend",
}

__all__ = [
    "AcquisitionError",
    "CalibrationError",
    "Config",
    "ConfigError",
    "DecodeError",
    "ImuPostureError",
    "Parameters",
    "Person",
    "Pipeline",
    "PluginError",
    "RecordingError",
    "Result",
    "SensorModel",
    "SessionError",
    "SignalError",
    "Simulation",
    "by_task",
    "gait",
    "open_sessions",
    "orientation",
    "process",
    "record",
    "recover",
    "replay",
    "scan",
    "score",
    "simulate",
    "smoothed_orientation",
    "stream",
    "trends",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'imuposture' has no attribute {name!r}")
    return getattr(import_module(f"imuposture.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
