"""Virtual sensors as a source: ``virtual:SCRIPT`` or ``virtual:FILE.toml``; the same on both is one spine."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from imuposture._blocks import Role
from imuposture._errors import ConfigError
from imuposture.acquisition.ble import Address, Transport

__all__ = ["VirtualWorlds"]


class VirtualWorlds:
    """The worlds that URIs name, one for each that differs.

    Parameters
    ----------
    uris : mapping of role to str

    Attributes
    ----------
    worlds : dict of str to VirtualWorld
        By what stands behind ``virtual:``; there while entered. They know the truth.
    """

    def __init__(self, uris: Mapping[Role, str]) -> None:
        self._names = {role: uri.partition(":")[2] for role, uri in uris.items()}
        if empty := [role for role, name in self._names.items() if not name]:
            raise ConfigError(
                f"{empty[0]}: virtual: needs the name of a script (demo, still, one_sided) or a TOML file"
            )
        self._stack = AsyncExitStack()
        self.worlds: dict[str, Any] = {}

    async def enter(self) -> dict[Role, tuple[Transport, Address]]:
        """Make the worlds; return where each role's sensor is."""
        for name in dict.fromkeys(self._names.values()):
            self.worlds[name] = await self._stack.enter_async_context(_world(name))
        given = {name: world.transport for name, world in self.worlds.items()}
        transports = {name: Transport("virtual", one.scanner_kwargs, one.client_kwargs) for name, one in given.items()}
        return {
            role: (transports[name], Address(self.worlds[name].address(role))) for role, name in self._names.items()
        }

    async def leave(self) -> None:
        """Let the worlds end."""
        await self._stack.aclose()


def _world(name: str) -> Any:
    from imuposture.acquisition.virtual import open_world

    return open_world(name)
