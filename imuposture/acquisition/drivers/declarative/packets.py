"""Packets: which fields follow each other, how many samples they hold, and when those were taken."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from imuposture.acquisition.drivers.declarative.checksums import CHECKSUMS
from imuposture.acquisition.drivers.declarative.fields import VECTORS, Field, fields_of
from imuposture.acquisition.drivers.declarative.quantities import Parameter, product
from imuposture.acquisition.drivers.declarative.tables import LONGEST_PAYLOAD, Table, shown

__all__ = ["PACKET_KEYS", "Clock", "Gives", "Packet", "Requirement", "packet_of", "places_of", "size_of"]

Gives = Literal["samples", "battery", "reply", "status", "nothing"]
PACKET_KEYS = (
    *("tag", "part", "gives", "what", "length", "padding", "checksum", "fields", "samples", "repeat", "layout"),
    *("newest_first", "keep", "time", "counter", "require", "ladder"),
)
TICKS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
EXACT = 2**52  # ticks that a float64 still tells apart from their neighbours
MOST_SAMPLES = 256


@dataclass(frozen=True, slots=True)
class Clock:
    """A field that says when a sample was taken, or its number: the device's time stamp or counter.

    Attributes
    ----------
    field : str
    tick_s : float or None
        Seconds a tick; None for a counter, whose ticks are samples or packets.
    wrap : int or None
        It begins again at 0 when it reaches this.
    last : bool
        It stands for the packet's last sample, not its first one.
    packets : bool
        A counter of packets, not of samples.
    step : int
        What a counter adds from one to the next.
    """

    field: str
    tick_s: float | None
    wrap: int | None
    last: bool = False
    packets: bool = False
    step: int = 1


@dataclass(frozen=True, slots=True)
class Requirement:
    """A field must have one of these values, or the packet is refused."""

    field: str
    values: tuple[int, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Packet:
    """One kind of packet of a characteristic.

    Attributes
    ----------
    place : str
        Where it stands in the profile, for messages.
    tag, tag_at : bytes, int
        What it is known by, and where; no bytes: it is every packet.
    word : str
        The same for lines: their first column.
    part : int
        Which of the peripheral's IMUs it belongs to.
    gives, what : str
        What is made of it, and the name of that.
    lengths : (low, high) or None
        Bytes that a payload may have; None: exactly those of the fields.
    zeros : bool
        Bytes after the fields must be 0.
    checksum : str or None
        Name of the one at the end, see `checksums`.
    fields, samples : tuple of Field
        Before the samples, and those of a sample; without ``samples``, the fields are one sample.
    repeat : int or str
        How many samples: a number, the name of a field, or "rest".
    planar : bool
        All numbers of the first field, then all of the second; else sample after sample.
    newest_first : bool
        The newest sample stands first.
    keep : "all", "newest" or "new"
        Which samples count; "new": those that the counter did not have before.
    time, counter : Clock or None
    require : tuple of Requirement
    ladder : tuple of (level, percent)
        Of a battery, falling.
    """

    place: str
    tag: bytes
    tag_at: int
    word: str
    part: int
    gives: Gives
    what: str
    lengths: tuple[int, int] | None
    zeros: bool
    checksum: str | None
    fields: tuple[Field, ...]
    samples: tuple[Field, ...]
    repeat: int | str
    planar: bool
    newest_first: bool
    keep: Literal["all", "newest", "new"]
    time: Clock | None
    counter: Clock | None
    require: tuple[Requirement, ...]
    ladder: tuple[tuple[float, float], ...]

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the columns that it holds, in the order of `VECTORS`."""
        names = {field.name for field in (*self.fields, *self.samples)}
        return tuple(name for name in VECTORS if name in names) if self.gives == "samples" else ()

    def field(self, name: str) -> Field | None:
        """Return the field of that name."""
        return next((field for field in (*self.fields, *self.samples) if field.name == name), None)


def places_of(fields: tuple[Field, ...]) -> list[int]:
    """Return where each field begins: where it says, or after the one before it."""
    places, end = [], 0
    for field in fields:
        places.append(end if field.at is None else field.at)
        end = places[-1] + field.size
    return places


def size_of(fields: tuple[Field, ...]) -> int:
    """Return the bytes (columns) that fields take together."""
    return max((at + field.size for at, field in zip(places_of(fields), fields, strict=True)), default=0)


def packet_of(table: Table, known: Mapping[str, Parameter], text: bool = False) -> Packet:
    """Read a packet; of ``text``, the fields are columns of a line.

    Raises
    ------
    ConfigError
        If it contradicts itself, or says something that does not exist.
    """
    gives: Gives = table.choice("gives", ("samples", "battery", "reply", "status", "nothing"), "samples")
    fields, samples = fields_of(table, "fields", known, text), fields_of(table, "samples", known, text)
    tag_at, tag, word = _tag(table, text)
    packet = Packet(
        *(table.place, tag, tag_at, word, table.integer("part", 0, 15, 0)),
        *(gives, table.text("what", gives, 40), _lengths(table)),
        table.choice("padding", ("zeros", "any"), "zeros") == "zeros",
        table.choice("checksum", CHECKSUMS) if "checksum" in table else None,
        *(fields, samples, _repeat(table, fields, samples)),
        table.choice("layout", ("interleaved", "planar"), "interleaved") == "planar",
        table.flag("newest_first", False),
        table.choice("keep", ("all", "newest", "new"), "all"),
        *(_time(table, fields, samples), _counter(table, fields)),
        *(_requirements(table, fields), _ladder(table)),
    )
    _check_whole(table, packet, text)
    return packet


def _tag(table: Table, text: bool) -> tuple[int, bytes, str]:
    if "tag" not in table:
        return 0, b"", ""
    if text:
        return 0, b"", table.text("tag", longest=40)
    if isinstance(table.raw("tag"), str):
        return 0, table.octets("tag", 16), ""
    inner = table.of("tag", table.raw("tag"), ("at", "bytes"))
    return inner.integer("at", 0, LONGEST_PAYLOAD, 0), inner.octets("bytes", 16), ""


def _lengths(table: Table) -> tuple[int, int] | None:
    if "length" not in table:
        return None
    raw = table.raw("length")
    wholes = _wholes(raw if isinstance(raw, list) else [raw, raw])
    if len(wholes) != 2 or not 0 < wholes[0] <= wholes[1] <= LONGEST_PAYLOAD:
        raise table.wrong("length", f"must be 1 to {LONGEST_PAYLOAD} bytes, or [least, most], got {shown(raw)}")
    return wholes[0], wholes[1]


def _wholes(listed: list[object]) -> list[int]:
    """Return the whole numbers of a list; none if something else is in it."""
    found = [value for value in listed if isinstance(value, int) and not isinstance(value, bool)]
    return found if len(found) == len(listed) else []


def _repeat(table: Table, fields: tuple[Field, ...], samples: tuple[Field, ...]) -> int | str:
    if not samples:
        if "repeat" in table:
            raise table.wrong("repeat", "needs samples = [...], the fields that repeat")
        return 1
    raw = table.raw("repeat") if "repeat" in table else "rest"
    if isinstance(raw, str):
        counts = [field.name for field in fields if field.name and field.kind == "u" and field.count == 1]
        return table.choice("repeat", ("rest", *counts), "rest")
    return table.integer("repeat", 1, MOST_SAMPLES)


def _time(table: Table, fields: tuple[Field, ...], samples: tuple[Field, ...]) -> Clock | None:
    inner = table.table("time", ("field", "unit", "tick", "wrap", "refers_to", "epoch"))
    if inner is None:
        return None
    inner.text("epoch", "")  # for the reader of the profile; alignment asks for differences only
    field = _scalar(inner, (*fields, *samples))
    if ("unit" in inner) == ("tick" in inner):
        raise inner.wrong("unit", f'is one of {", ".join(TICKS)}; or give tick, the seconds a tick, as "1/32768"')
    if "unit" in inner:
        tick = TICKS[inner.choice("unit", TICKS)]
    else:
        tick = product(inner.text("tick")) or 0.0
        if not 1e-9 <= tick <= 10:
            raise inner.wrong("tick", 'must be 1e-9 to 10 seconds, as "1/32768" or "2^-15"')
    return Clock(field.name or "", tick, _wrap(inner, "wrap", field), _last(inner))


def _counter(table: Table, fields: tuple[Field, ...]) -> Clock | None:
    inner = table.table("counter", ("field", "counts", "step", "modulus", "refers_to"))
    if inner is None:
        return None
    field = _scalar(inner, fields)
    packets = inner.choice("counts", ("samples", "packets"), "samples") == "packets"
    wrap = _wrap(inner, "modulus", field)
    step = inner.integer("step", 1, 2**31, 1)
    if wrap is None or field.kind == "f" or wrap % step:
        raise inner.wrong("modulus", "is missing, or no multiple of step; a counter of text needs it")
    return Clock(field.name or "", None, wrap, _last(inner), packets, step)


def _scalar(inner: Table, fields: tuple[Field, ...]) -> Field:
    names = {field.name: field for field in fields if field.name and field.name not in VECTORS and field.count == 1}
    if not names:
        raise inner.wrong("field", "there is no field of one number that it could be; add one to fields")
    field = names[inner.choice("field", (name for name in names if name))]
    if field.scale.parameter or field.scale.value != 1.0 or field.offset.parameter or field.offset.value:
        raise inner.wrong("field", f"{field.name} must have no scale and no offset; say unit or tick here")
    return field


def _wrap(inner: Table, key: str, field: Field) -> int | None:
    if key in inner:
        return inner.integer(key, 2, EXACT)
    if field.kind not in {"i", "u"}:
        return None
    whole = (1 << 8 * field.width) - 1
    bits = (whole if field.mask is None else (whole & field.mask) >> field.shift).bit_length()
    return min(1 << bits, EXACT)


def _last(inner: Table) -> bool:
    return inner.choice("refers_to", ("first", "last"), "first") == "last"


def _requirements(table: Table, fields: tuple[Field, ...]) -> tuple[Requirement, ...]:
    found = []
    names = [field.name for field in fields if field.name and field.count == 1 and field.name not in VECTORS]
    for inner in table.tables("require", ("field", "is", "why"), 16):
        name = inner.choice("field", names)
        raw = inner.raw("is")
        values = _wholes(raw if isinstance(raw, list) else [raw])
        if not 0 < len(values) <= MOST_SAMPLES:
            raise inner.wrong("is", f"must be a whole number or a list of them, got {shown(raw)}")
        found.append(Requirement(name, tuple(values), inner.text("why", "")))
    return tuple(found)


def _ladder(table: Table) -> tuple[tuple[float, float], ...]:
    """Read [[level, percent], ...]: the first step that the level reaches counts."""
    raw = table.raw("ladder") if "ladder" in table else []
    steps = [_step(step) for step in raw] if isinstance(raw, list) and len(raw) <= 64 else [None]
    found = tuple(step for step in steps if step is not None)
    if len(found) != len(steps):
        raise table.wrong("ladder", f"must be [[level, percent], ...], at most 64, got {shown(raw)}")
    if list(found) != sorted(found, reverse=True):
        raise table.wrong("ladder", "must fall from the highest level to the lowest")
    return found


def _step(step: object) -> tuple[float, float] | None:
    pair = step if isinstance(step, list) and len(step) == 2 else []
    numbers = [float(value) for value in pair if isinstance(value, int | float) and abs(value) < 1e9]
    return (numbers[0], numbers[1]) if len(numbers) == 2 and 0 <= numbers[1] <= 100 else None


def _check_whole(table: Table, packet: Packet, text: bool) -> None:
    """Refuse what each key allows, but not all of them together."""
    if text and ("samples" in table or "length" in table):
        raise table.wrong("samples", "a line is one sample, and as long as it is; leave samples and length")
    _check_vectors(table, packet)
    least = size_of(packet.fields) + size_of(packet.samples) * (packet.repeat if isinstance(packet.repeat, int) else 1)
    least += CHECKSUMS[packet.checksum][0] if packet.checksum else 0
    low, high = packet.lengths or (LONGEST_PAYLOAD, LONGEST_PAYLOAD)
    if not text and (least > low or packet.tag_at + len(packet.tag) > low):
        raise table.wrong("fields", f"take {least} bytes, but a payload may have only {low}")
    if packet.lengths and packet.samples and not isinstance(packet.repeat, int) and low != high:
        raise table.wrong("length", "leave it: the length follows from the number of samples")
    if packet.planar and any(field.at is not None for field in packet.samples):
        raise table.wrong("layout", "planar fields stand one after the other; leave at")
    if packet.counter and packet.counter.packets and not packet.time and not isinstance(packet.repeat, int):
        raise table.wrong("counter", 'counts packets of unknown size; count samples, or add a time, or fix "repeat"')
    if packet.keep == "new" and not (packet.counter and not packet.counter.packets):
        raise table.wrong("keep", '"new" tells old samples by a counter of samples; give counter')


def _check_vectors(table: Table, packet: Packet) -> None:
    if packet.gives == "battery" and not packet.field("level"):
        raise table.wrong("fields", "a battery packet needs a field called level, in percent or with a ladder")
    if packet.gives != "samples":
        if packet.samples or packet.time or packet.counter:
            raise table.wrong("gives", "only packets that give samples have samples, time or counter")
        return
    inside = {field.name for field in (packet.samples or packet.fields)} & set(VECTORS)
    if not inside:
        raise table.wrong("fields", "hold no acc, gyr, mag or quat; name them, or say gives")
    outside = {field.name for field in packet.fields} & set(VECTORS) if packet.samples else set()
    if outside:
        raise table.wrong("fields", f"{min(name for name in outside if name)} stands before the samples; put it inside")
