"""Sources: URIs -> sensors whose entries come: ``ble:NAME|ADDRESS[#n]``, ``virtual:NAME|FILE.toml``, ``file:PATH``."""

from collections.abc import Mapping
from typing import Any, Protocol

from imuposture._blocks import ROLES, Role
from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.ble import NATIVE, Clock, EntryQueue, Transport
from imuposture.acquisition.ble.faults import VIRTUAL_WAY
from imuposture.acquisition.ble.pairing import paired
from imuposture.acquisition.readers.text import safe_text
from imuposture.pipeline import LiveSensor
from imuposture.recording.outcome import SensorTally
from imuposture.recording.wishes import Wishes

__all__ = ["Source", "source_of"]

SCHEMES = ("ble", "virtual", "file")


class Source(Protocol):
    """Where entries come from.

    Attributes
    ----------
    sensors : mapping of role to LiveSensor
        Known once it is open.
    """

    sensors: Mapping[Role, LiveSensor]

    async def open(self, queue: EntryQueue) -> None:
        """Find the sensors; entries will go into the queue.

        Raises
        ------
        AcquisitionError
            If no sensor is there, or none that can be used.
        """
        ...

    def start(self) -> None:
        """Begin to fill the queue."""
        ...

    async def ended(self) -> None:
        """Wait for the end, if it has one of its own."""
        ...

    async def close(self, *, polite: bool = True) -> None:
        """Stop streams on the sensors and let go of them; may be called in any state, and twice."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of the source."""
        ...

    def tallies(self) -> dict[Role, SensorTally]:
        """Return what the links went through; payloads and overflows are counted elsewhere."""
        ...


def source_of(
    upper: str | None,
    lower: str | None,
    wishes: Wishes | None = None,
    *,
    transport: Transport = NATIVE,
    clock: Clock | None = None,
) -> Source:
    """Return the source that URIs name; without any, the sensors that were paired.

    Raises
    ------
    ConfigError
        If a URI has no form that is known, or the two do not go together.
    AcquisitionError
        If no URI is given and no sensor was paired.
    """
    uris = _given(upper, lower)
    schemes = {uri.partition(":")[0] for uri in uris.values()}
    if unknown := schemes - {*SCHEMES}:
        shown = safe_text(sorted(unknown)[0], 40)
        raise ConfigError(f"a sensor is given as ble:NAME, virtual:SCRIPT or file:PATH, got {shown!r}")
    if len(schemes) > 1:
        raise ConfigError(f"both sensors must come from the same kind of source, got {' and '.join(sorted(schemes))}")
    wishes, clock = wishes or Wishes(), clock or Clock()
    if schemes == {"file"}:
        from imuposture.recording.file_source import FileSource

        return FileSource(uris, wishes, clock)
    from imuposture.recording.radio_source import RadioSource

    if schemes == {"virtual"}:
        from imuposture.recording.virtual_worlds import VirtualWorlds

        return RadioSource(VirtualWorlds(uris), wishes, clock)
    from imuposture.recording.radio_source import Native

    return RadioSource(Native(uris, transport), wishes, clock)


def _given(upper: str | None, lower: str | None) -> dict[Role, str]:
    uris: dict[Role, str] = {role: uri for role, uri in zip(ROLES, (upper, lower), strict=True) if uri is not None}
    if uris:
        return uris
    remembered = {role: one.uri for role, one in paired().items()}
    if not remembered:
        raise AcquisitionError(
            "no sensor was named and none is paired: give --upper and --lower (`imuposture scan` shows what is in "
            f"range), or pair once with `imuposture pair`; {VIRTUAL_WAY}"
        )
    return remembered
