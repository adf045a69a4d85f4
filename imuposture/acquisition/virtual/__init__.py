"""Virtual Bluetooth sensors: a simulated spine wears them, and the unmodified bleak finds, connects and streams them.

>>> async with open_world("demo") as world:
...     device = await BleakScanner.find_device_by_address(world.address("upper"), **world.transport.scanner_kwargs)
...     async with BleakClient(device, **world.transport.client_kwargs) as client:
...         ...

Below bleak's interface everything is real: GATT, ATT, L2CAP and HCI packets between bumble devices in this process.
`radio` mends bumble's virtual controller, `backend` is bleak's side, `sensor` the peripherals, `wire` how sensor
families speak, `faults` what goes wrong, `counting` what became of every sample, `world` all of it together, `script`
a world by name, `serve` and `remote` a world in another process.
Needs ``pip install imuposture[virtual]``. Provisional: the interface may still change.
"""

from importlib.util import find_spec

from imuposture._errors import AcquisitionError

if find_spec("bumble") is None:
    raise AcquisitionError("virtual sensors need the package bumble; pip install imuposture[virtual]")

from imuposture.acquisition.virtual.counting import Fate
from imuposture.acquisition.virtual.faults import Faults, Incident
from imuposture.acquisition.virtual.remote import RemoteWorld
from imuposture.acquisition.virtual.script import open_world
from imuposture.acquisition.virtual.world import SensorSetup, Transport, VirtualWorld

__all__ = ["Fate", "Faults", "Incident", "RemoteWorld", "SensorSetup", "Transport", "VirtualWorld", "open_world"]
