"""A virtual world in another process, reached over this machine's loopback."""

from types import TracebackType

from imuposture._blocks import Role
from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.virtual.backend import Central
from imuposture.acquisition.virtual.world import ADDRESSES, Transport, transport_of

__all__ = ["LOOPBACK", "RemoteWorld", "loopback_port"]

LOOPBACK = "127.0.0.1"


def loopback_port(place: str) -> int:
    """Return the port of ``127.0.0.1:PORT`` or ``PORT``.

    Raises
    ------
    ConfigError
        If it is another host, or no port: whoever reaches the port can play sensor, so it never leaves the machine.
    """
    host, _, port = place.rpartition(":")
    if host not in ("", LOOPBACK, "localhost") or not port.isdecimal() or not int(port) < 2**16:
        raise ConfigError(f"a virtual world is served at {LOOPBACK}:PORT only, got {place!r}")
    return int(port)


class RemoteWorld:
    """The radio of a world that `imuposture.acquisition.virtual.serve` keeps, to be entered with ``async with``.

    Parameters
    ----------
    place : str
        ``127.0.0.1:PORT``.
    addresses : dict of role to str, optional
        Bluetooth addresses of its sensors, if its script gives them others than usual.

    Raises
    ------
    ConfigError
        If the place is not on this machine.
    """

    def __init__(self, place: str, addresses: dict[Role, str] | None = None) -> None:
        self._port = loopback_port(place)
        self._addresses = {**ADDRESSES, **(addresses or {})}
        self._central: Central | None = None

    def address(self, role: Role) -> str:
        """Return the Bluetooth address of a role's sensor."""
        return self._addresses[role]

    @property
    def transport(self) -> Transport:
        """What bleak needs to use that world's radio.

        Raises
        ------
        AcquisitionError
            If the world has not been entered.
        """
        if self._central is None:
            raise AcquisitionError("not connected to the virtual world; enter it with 'async with'")
        return transport_of(self._central)

    async def __aenter__(self) -> "RemoteWorld":
        self._central = await Central.on_transport(f"tcp-client:{LOOPBACK}:{self._port}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._central:
            await self._central.close()
            self._central = None
