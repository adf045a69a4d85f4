"""A spine worn by two sensors, in closed form: scripted movements -> ImuBlock, with the truth beside it.

>>> from imuposture.acquisition.simulation import simulate
>>> back = simulate("demo", seed=1)
>>> back.upper.gyr.shape == (len(back), 3)
True

`actions` names what the person can be asked to do. Provisional: the interface may still change.
"""

from imuposture.acquisition.simulation import actions
from imuposture.acquisition.simulation.motion import Person, Spine
from imuposture.acquisition.simulation.recording import Simulation, simulate
from imuposture.acquisition.simulation.sampling import SimulatedSensor
from imuposture.acquisition.simulation.sensors import SensorModel, WornSensor
from imuposture.acquisition.simulation.truth import Truth

__all__ = [
    "Person",
    "SensorModel",
    "SimulatedSensor",
    "Simulation",
    "Spine",
    "Truth",
    "WornSensor",
    "actions",
    "simulate",
]
