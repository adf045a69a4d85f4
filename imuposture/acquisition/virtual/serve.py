"""A virtual world of its own process: for bleak over loopback, or for the whole system where Linux has vhci.

python -m imuposture.acquisition.virtual.serve demo --port 7300     then record with virtual:tcp:127.0.0.1:7300
python -m imuposture.acquisition.virtual.serve demo --vhci          root; BlueZ, and every program, sees the sensors
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from typing import cast

from bumble.core import InvalidPacketError
from bumble.transport import open_transport
from bumble.transport.common import PacketParser

from imuposture._errors import AcquisitionError, ImuPostureError
from imuposture.acquisition.virtual.backend import CENTRAL_ADDRESS
from imuposture.acquisition.virtual.radio import RadioController, RadioLink
from imuposture.acquisition.virtual.remote import LOOPBACK
from imuposture.acquisition.virtual.script import BUILT_IN, read_script
from imuposture.acquisition.virtual.world import VirtualWorld

__all__ = ["main", "serve_tcp", "serve_vhci"]


class HostLink(asyncio.Protocol):
    """One host at the other end of a connection; each gets a controller of its own, which goes when it goes."""

    def __init__(self, link: RadioLink, present: "list[HostLink]") -> None:
        self._link, self._present = link, present

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the place of whoever was there before: one may have died without closing."""
        for former in list(self._present):
            former.end()
        self._present.append(self)
        self._transport = cast(asyncio.Transport, transport)
        self._controller = RadioController("central", self._link, CENTRAL_ADDRESS, sink=self)
        self._parser = PacketParser(self._controller)

    def data_received(self, data: bytes) -> None:
        """Hand HCI packets to the controller."""
        try:
            self._parser.feed_data(data)
        except InvalidPacketError:  # not a host
            self._transport.abort()

    def on_packet(self, packet: bytes) -> None:
        """Hand an HCI packet to the host."""
        self._transport.write(packet)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the host's radio go with it."""
        del exc
        self.end()

    def end(self) -> None:
        """Be without power, and hang up."""
        if self in self._present:
            self._present.remove(self)
            self._controller.vanish()
            self._transport.abort()


@contextlib.asynccontextmanager
async def serve_tcp(world: VirtualWorld, port: int = 0) -> AsyncIterator[int]:
    """Give a world's radio to one program at a time, at 127.0.0.1 and nowhere else.

    Parameters
    ----------
    world : VirtualWorld
        Entered, without a central of its own.
    port : int
        0: the system chooses.

    Yields
    ------
    The port.

    Raises
    ------
    AcquisitionError
        If the port is taken.
    """
    link, present, loop = world.link, list[HostLink](), asyncio.get_running_loop()
    try:
        server = await loop.create_server(lambda: HostLink(link, present), LOOPBACK, port)
    except OSError as error:
        raise AcquisitionError(f"port {port} of {LOOPBACK} cannot be had ({error}); choose another") from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for host in list(present):
            host.end()


@contextlib.asynccontextmanager
async def serve_vhci(world: VirtualWorld) -> AsyncIterator[None]:
    """Hand a world's radio to the Linux kernel as a Bluetooth adapter.

    Raises
    ------
    AcquisitionError
        If there is no /dev/vhci, or it may not be opened.
    """
    try:
        transport = await open_transport("vhci")
    except OSError as error:
        raise AcquisitionError(f"/dev/vhci: {error}; it needs Linux, the module hci_vhci, and root") from error
    RadioController("central", world.link, CENTRAL_ADDRESS, source=transport.source, sink=transport.sink)
    try:
        yield
    finally:
        await transport.close()


def _world(script: str, seed: int | None) -> VirtualWorld:
    told = read_script(script) if script.endswith(".toml") else {"script": script}
    return VirtualWorld(**{**told, **({} if seed is None else {"seed": seed})}, central=False)


async def _serve(script: str, seed: int | None, port: int | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C ends asyncio.run by itself
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _world(script, seed) as world:
        if port is None:
            async with serve_vhci(world):
                print("ready: a Bluetooth adapter of this system", flush=True)
                await stop.wait()
        else:
            async with serve_tcp(world, port) as got:
                print(f"ready: virtual:tcp:{LOOPBACK}:{got}", flush=True)
                await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a world until interrupted; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m imuposture.acquisition.virtual.serve", description=__doc__)
    parser.add_argument("script", help=f"{', '.join(BUILT_IN)}, or FILE.toml")
    parser.add_argument("--seed", type=int)
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--port", type=int, default=0, help="of 127.0.0.1; left out, the system chooses one")
    place.add_argument("--vhci", action="store_true", help="be a Bluetooth adapter of this Linux system")
    told = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(told.script, told.seed, None if told.vhci else told.port))
    except ImuPostureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
