"""What is written to a sensor: bytes, with parameters set in, and a checksum behind them."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from imuposture._errors import ConfigError
from imuposture.acquisition.drivers.declarative.checksums import CHECKSUMS, checksum_of
from imuposture.acquisition.drivers.declarative.quantities import Parameter, Parameters, Quantity, quantity
from imuposture.acquisition.drivers.declarative.tables import LONGEST_PAYLOAD, Table, shown
from imuposture.acquisition.drivers.procedures import Await, Procedure, Wait, Write

__all__ = ["Action", "Poll", "actions_of", "polls_of"]

MOST_ACTIONS = 64
LONGEST_DELAY_MS = 20_000
ACTION_KEYS = ("char", "service", "write", "text", "checksum", "response", "delay_ms", "await", "timeout_s")
PART_KEYS = ("bytes", "text", "type", "value")
_CODES = {
    **{"u8": "<B", "i8": "<b", "u16le": "<H", "u16be": ">H", "i16le": "<h", "i16be": ">h", "u32le": "<I"},
    **{"u32be": ">I", "i32le": "<i", "i32be": ">i", "f32le": "<f", "f32be": ">f", "u64le": "<Q"},
}


@dataclass(frozen=True, slots=True)
class Value:
    """A number in a command, of one type; "decimal" writes it as text."""

    where: str
    type: str
    value: Quantity

    def bytes(self, parameters: Parameters) -> bytes:
        """Return its bytes.

        Raises
        ------
        ConfigError
            If the number does not fit the type. It is not rounded: the sensor would do something else than was asked.
        """
        number = self.value.of(parameters)
        if self.type == "decimal":
            return f"{number:g}".encode()
        if self.type[0] != "f" and abs(number - round(number)) > 1e-6 * abs(number):
            raise ConfigError(f"{self.where}: {number:g} is no whole number, but {self.type} is; choose another value")
        try:
            return struct.pack(_CODES[self.type], number if self.type[0] == "f" else round(number))
        except (struct.error, OverflowError, ValueError):
            raise ConfigError(f"{self.where}: {number:g} does not fit {self.type}; choose another value") from None


@dataclass(frozen=True, slots=True)
class Action:
    """A step of a procedure: write, then wait for a reply or for time to pass, as far as each is asked for."""

    uuid: str | None
    service: str | None
    parts: "tuple[bytes | Value, ...]"
    checksum: str | None
    response: bool
    delay_s: float
    awaited: str | None
    timeout_s: float

    def data(self, parameters: Parameters) -> bytes:
        """Return what is written for these parameters."""
        whole = b"".join(part if isinstance(part, bytes) else part.bytes(parameters) for part in self.parts)
        return whole + checksum_of(self.checksum, whole) if self.checksum else whole

    def steps(self, parameters: Parameters) -> Procedure:
        """Yield its steps."""
        if self.uuid:
            yield Write(self.uuid, self.data(parameters), self.response, self.service)
        if self.awaited:
            yield Await(self.awaited, self.timeout_s)
        if self.delay_s:
            yield Wait(self.delay_s)


@dataclass(frozen=True, slots=True)
class Poll:
    """Something to ask again and again while the sensor streams."""

    period_s: float
    action: Action


def actions_of(whole: Table, key: str, known: Mapping[str, Parameter]) -> tuple[Action, ...]:
    """Read a sequence of actions.

    Raises
    ------
    ConfigError
        If one does nothing, or not what can be done.
    """
    return tuple(_action(table, known) for table in whole.tables(key, ACTION_KEYS, MOST_ACTIONS))


def polls_of(whole: Table, known: Mapping[str, Parameter]) -> tuple[Poll, ...]:
    """Read what is asked again and again.

    Raises
    ------
    ConfigError
        If one has no period, or does nothing.
    """
    tables = whole.tables("poll", ("period_s", *ACTION_KEYS), 8)
    return tuple(Poll(table.number("period_s", 1, 86_400), _action(table, known)) for table in tables)


def _action(table: Table, known: Mapping[str, Parameter]) -> Action:
    parts = _parts(table, known)
    if bool(parts) != ("char" in table):
        raise table.wrong("char", "and write (or text) belong together; give both, or neither")
    if "service" in table and "char" not in table:
        raise table.wrong("service", "says where a char is; give that, or leave the service out")
    action = Action(
        table.uuid("char") if "char" in table else None,
        table.uuid("service") if "service" in table else None,
        parts,
        table.choice("checksum", CHECKSUMS) if "checksum" in table else None,
        table.flag("response", True),
        table.integer("delay_ms", 0, LONGEST_DELAY_MS, 0) / 1000,
        table.text("await", longest=40) if "await" in table else None,
        table.number("timeout_s", 0.1, 30, 2.0),
    )
    if not (action.uuid or action.delay_s or action.awaited):
        raise table.wrong("", "does nothing; give char and write, delay_ms or await")
    return action


def _parts(table: Table, known: Mapping[str, Parameter]) -> "tuple[bytes | Value, ...]":
    if "text" in table:
        if "write" in table:
            raise table.wrong("text", "and write exclude each other; keep one")
        return (table.text("text", longest=LONGEST_PAYLOAD).encode(),)
    if "write" not in table:
        return ()
    raw = table.raw("write")
    if isinstance(raw, str):
        return (table.octets("write"),)
    if not isinstance(raw, list) or not 0 < len(raw) <= MOST_ACTIONS:
        raise table.wrong("write", f'must be bytes as "01 00", or a list of such and of values, got {shown(raw)}')
    tables = (table.of(f"write[{at}]", _as_table(part), PART_KEYS) for at, part in enumerate(raw))
    return tuple(_part(part, known) for part in tables)


def _as_table(part: object) -> object:
    return {"bytes": part} if isinstance(part, str) else part


def _part(table: Table, known: Mapping[str, Parameter]) -> "bytes | Value":
    if "bytes" in table:
        return table.octets("bytes")
    if "text" in table:
        return table.text("text").encode()
    table.required("type", "value")
    return Value(table.where, table.choice("type", (*_CODES, "decimal")), quantity(table, "value", known))
