"""Simulated backs for tests: sensors without any error on a person without any."""

from dataclasses import replace

from scipy.spatial.transform import Rotation

from imuposture.acquisition.simulation import Person, SensorModel, simulate
from imuposture.acquisition.simulation.actions import bend, side_bend, sit, stand, turn, twist, walk

GLUED = replace(SensorModel.ideal(), mounting=(1.0, 0.0, 0.0, 0.0))
ANY_WAY_ROUND = replace(SensorModel.ideal(), mounting_deg=180.0)
PLAIN = Person.ideal()
SOME_OF_ALL = [stand(2, neutral=True), bend(50), side_bend(20, "right"), twist(30, "left"), turn(120), walk(4), sit(3)]


def glued(script, **options):
    """Simulate sensors whose frame is the segment's, without any error, on a person without any."""
    return simulate(script, **({"upper": GLUED, "lower": GLUED, "person": PLAIN} | options))


def quaternion(q):
    return Rotation.from_quat(q, scalar_first=True)
