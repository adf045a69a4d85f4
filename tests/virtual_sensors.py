"""How tests use virtual sensors: connect with bleak, start a stream, keep what comes and when."""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from bleak import BleakClient, BleakScanner

from imuposture._blocks import Role
from imuposture.acquisition.virtual import RemoteWorld, VirtualWorld

DOT = "1517{}-4947-11e9-8646-d663bd873d93".format
DOT_LONG, DOT_MEASURE, DOT_CONTROL = DOT("2002"), DOT("2001"), DOT("1002")
WIT_NOTIFY, WIT_WRITE = (f"0000ffe{digit}-0000-1000-8000-00805f9a34fb" for digit in "49")
GSP_WRITE, GSP_NOTIFY = (f"3480000{digit}-7185-4d5d-b431-630e7050e8f0" for digit in "12")
OWN_STREAM, OWN_CONTROL = (f"1b5a000{digit}-3c5f-4d1e-9a54-7a3f1f0c52e1" for digit in "23")
STREAMS = {
    "movella_dot": DOT_LONG,
    "witmotion": WIT_NOTIFY,
    "movesense": GSP_NOTIFY,
    "own_firmware_template": OWN_STREAM,
}
STARTS = {
    "movella_dot": (DOT_MEASURE, bytes((1, 1, 26))),
    "movesense": (GSP_WRITE, bytes((1, 99)) + b"/Meas/IMU6/52"),
    "own_firmware_template": (OWN_CONTROL, struct.pack("<BHBH", 1, 100, 8, 1000)),
}


@dataclass
class Listener:
    """A client with its payloads and when they came, s of the loop's clock."""

    client: BleakClient
    gone_s: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)

    def take(self, _: object, data: bytearray) -> None:
        self.times.append(asyncio.get_running_loop().time())
        self.payloads.append(bytes(data))

    @property
    def ticks(self) -> np.ndarray:
        """The u32 at the head of each payload of full length, as in payloads of the DOT."""
        return np.array([struct.unpack_from("<I", p)[0] for p in self.payloads if len(p) == 63], dtype=np.int64)


async def connect(world: VirtualWorld | RemoteWorld, role: Role, timeout: float = 10.0) -> Listener:
    device = await BleakScanner.find_device_by_address(world.address(role), timeout, **world.transport.scanner_kwargs)
    assert device is not None, "not in range"
    gone: list[float] = []
    loop = asyncio.get_running_loop()
    client = BleakClient(device, lambda _: gone.append(loop.time()), **world.transport.client_kwargs)
    await client.connect()
    return Listener(client, gone)


async def listen(listener: Listener, kind: str = "movella_dot") -> None:
    """Subscribe to the stream and start it."""
    await listener.client.start_notify(STREAMS[kind], listener.take)
    if kind in STARTS:
        uuid, data = STARTS[kind]
        await listener.client.write_gatt_char(uuid, data, response=True)


async def stream(
    world: VirtualWorld | RemoteWorld,
    seconds: float,
    *,
    role: Role = "upper",
    kind: str = "movella_dot",
    meanwhile: Callable[[], None] = lambda: None,
) -> Listener:
    """Connect, stream for some time, disconnect if the sensor is still there."""
    listener = await connect(world, role)
    await listen(listener, kind)
    meanwhile()
    await asyncio.sleep(seconds)
    await listener.client.disconnect()
    return listener
