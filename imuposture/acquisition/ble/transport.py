"""Transport: the one switch between this machine's own radio and a virtual one. bleak is loaded here, when needed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bleak import BleakClient, BleakScanner
    from bleak.backends.device import BLEDevice
    from bleak.backends.scanner import AdvertisementData

__all__ = ["NATIVE", "Transport"]


@dataclass(frozen=True, slots=True)
class Transport:
    """What `BleakScanner` and `BleakClient` are given besides their task.

    Attributes
    ----------
    name : str
        As messages and manifests call it.
    scanner_kwargs, client_kwargs : mapping
        For this machine's radio almost nothing; for a virtual world ``{"backend": ...}``.
    """

    name: str = "Bluetooth"
    scanner_kwargs: Mapping[str, Any] = field(default_factory=dict)
    client_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def scanner(self, seen: "Callable[[BLEDevice, AdvertisementData], None]") -> "BleakScanner":
        """Return a scanner that tells ``seen`` of every advertisement."""
        from bleak import BleakScanner

        return BleakScanner(seen, **self.scanner_kwargs)

    def client(self, device: "BLEDevice", lost: "Callable[[BleakClient], None]", timeout_s: float) -> "BleakClient":
        """Return a client for a device that was seen; ``lost`` is called when the link ends, also by ourselves."""
        from bleak import BleakClient

        return BleakClient(device, lost, timeout=timeout_s, **self.client_kwargs)


# Windows may hand out the services of an earlier firmware unless told not to.
NATIVE = Transport(client_kwargs={"winrt": {"use_cached_services": False}})
