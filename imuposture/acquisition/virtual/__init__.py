"""Virtual Bluetooth sensors: a simulated spine wears them, and the unmodified bleak finds, connects and streams them.

>>> async with VirtualWorld("demo", seed=1) as world:
...     device = await BleakScanner.find_device_by_address(world.address("upper"), **world.transport.scanner_kwargs)
...     async with BleakClient(device, **world.transport.client_kwargs) as client:
...         ...

Below bleak's interface everything is real: GATT, ATT, L2CAP and HCI packets between bumble devices in this process.
`radio` mends bumble's virtual controller, `backend` is bleak's side, `sensor` the peripherals, `wire` how sensor
families speak, `faults` what goes wrong, `world` all of it together, `serve` a world in another process.
Needs ``pip install imuposture[virtual]``. Provisional: the interface may still change.
"""

from importlib.util import find_spec

from imuposture._errors import AcquisitionError

if find_spec("bumble") is None:
    raise AcquisitionError("virtual sensors need the package bumble; pip install imuposture[virtual]")

from imuposture.acquisition.virtual.faults import Faults
from imuposture.acquisition.virtual.world import SensorSetup, Transport, VirtualWorld

__all__ = ["Faults", "SensorSetup", "Transport", "VirtualWorld"]
