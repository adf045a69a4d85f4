"""A profile: what one kind of sensor sends and wants to be told, read from TOML and checked as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imuposture.acquisition.drivers.declarative.framing import Framing, frame_length, framing_of
from imuposture.acquisition.drivers.declarative.matching import Match, matches_of
from imuposture.acquisition.drivers.declarative.packets import PACKET_KEYS, Clock, Packet, packet_of, size_of
from imuposture.acquisition.drivers.declarative.quantities import RATE, Parameter, parameters_of
from imuposture.acquisition.drivers.declarative.tables import BLUETOOTH_BASE, LONGEST_PAYLOAD, Table, parsed, text_of
from imuposture.acquisition.drivers.declarative.templates import Action, Poll, actions_of, polls_of

__all__ = ["Profile", "Source", "read_profile"]

KEYS = ("profile", "match", "params", "init", "start", "stop", "identify", "poll", "stream", "pairing", "battery")
HEAD_KEYS = ("name", "title", "about", "source", "unverified", "verified", "rate_hz", "min_mtu", "notes")
STREAM_KEYS = ("char", "framing", "read", "packet", "about")
MOST_STREAMS, MOST_PACKETS = 12, 16
BATTERY_LEVEL = f"00002a19{BLUETOOTH_BASE}"


@dataclass(frozen=True, slots=True)
class Source:
    """A characteristic that packets come from; ``read``: it is read once, and does not notify."""

    uuid: str
    framing: Framing
    packets: tuple[Packet, ...]
    read: bool
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile says; see docs/add_a_sensor.md.

    Attributes
    ----------
    path : Path
    text : str
        The whole file; what somebody recorded with is kept with the recording.
    head : mapping
        Texts of ``[profile]``: name, title, about, source, unverified, verified, notes.
    rate_hz : Parameter
        A rate that cannot be chosen is a parameter with one choice.
    parameters : mapping
        All others by name.
    min_mtu : int
    matches : tuple of Match
    init, start, stop, identify : tuple of Action
    polls : tuple of Poll
    sources : tuple of Source
    pairing : "time", "arrival" or None
        None: by time where there is a time or counter.
    max_skew_s : float or None
        None: a quarter of a period.
    """

    path: Path
    text: str
    head: Mapping[str, str]
    rate_hz: Parameter
    parameters: Mapping[str, Parameter]
    min_mtu: int
    matches: tuple[Match, ...]
    init: tuple[Action, ...]
    start: tuple[Action, ...]
    stop: tuple[Action, ...]
    identify: tuple[Action, ...]
    polls: tuple[Poll, ...]
    sources: tuple[Source, ...]
    pairing: Literal["time", "arrival"] | None
    max_skew_s: float | None

    @property
    def parts(self) -> int:
        """How many IMUs the peripheral carries."""
        return 1 + max(packet.part for source in self.sources for packet in source.packets)

    def packets(self, part: int) -> list[Packet]:
        """Return the packets with samples of one IMU."""
        every = (packet for source in self.sources for packet in source.packets)
        return [packet for packet in every if packet.gives == "samples" and packet.part == part]

    def inertial(self, part: int) -> list[Packet]:
        """Return those of them that hold acc or gyr."""
        return [packet for packet in self.packets(part) if {"acc", "gyr"} & set(packet.vectors)]

    def clock(self, part: int) -> Clock | None:
        """Return the time stamp or counter of an IMU's samples; None if it sends neither."""
        first = self.inertial(part)[0]
        return first.time or first.counter

    def joins(self, part: int) -> bool:
        """Tell whether acc and gyr come in packets of their own."""
        whole = {name for packet in self.inertial(part) for name in packet.vectors} & {"acc", "gyr"}
        return any(not whole <= set(packet.vectors) for packet in self.inertial(part))


def read_profile(path: Path, text: str | None = None) -> Profile:
    """Read and check a profile.

    Parameters
    ----------
    path : Path
    text : str, optional
        What the profile says, where that is known already; the path is for messages then.

    Raises
    ------
    ConfigError
        If anything in it is not as it must be; names file, key and remedy.
    """
    text = text_of(path) if text is None else text
    whole = Table(path, "", parsed(path, text), KEYS)
    whole.required("profile", "stream")
    head = whole.of("profile", whole.raw("profile"), HEAD_KEYS)
    parameters = parameters_of(whole)
    sources = _sources(whole, parameters)
    pairing, skew = _pairing(whole)
    rate = _rate(head, parameters)
    profile = Profile(
        path,
        text,
        _head(head),
        rate,
        {name: value for name, value in parameters.items() if name != RATE},
        _mtu(head, sources),
        matches_of(whole),
        actions_of(whole, "init", parameters),
        actions_of(whole, "start", parameters),
        actions_of(whole, "stop", parameters),
        actions_of(whole, "identify", parameters),
        polls_of(whole, parameters),
        (*sources, *_battery(whole)),
        pairing,
        skew,
    )
    for part in range(profile.parts):
        _check_part(whole, profile, part)
    _check_awaits(whole, profile)
    return profile


def _head(head: Table) -> dict[str, str]:
    name = head.text("name", longest=40)
    if not name.isascii() or not name.replace("_", "").isalnum() or name != name.lower():
        raise head.wrong("name", "must be of small letters, digits and _")
    texts = {key: head.text(key, "", 1000) for key in ("title", "about", "source", "unverified", "verified", "notes")}
    return {"name": name, **texts}


def _rate(head: Table, parameters: Mapping[str, Parameter]) -> Parameter:
    if (RATE in head) == (RATE in parameters):
        raise head.wrong(RATE, "give it here if the sensor has one rate, as [params.rate_hz] if it can be chosen")
    if RATE in parameters:
        return parameters[RATE]
    rate = head.number(RATE, 0.1, 2000)
    return Parameter(RATE, rate, (rate,), rate, rate)


def _sources(whole: Table, parameters: Mapping[str, Parameter]) -> tuple[Source, ...]:
    tables = whole.tables("stream", (*STREAM_KEYS, *PACKET_KEYS), MOST_STREAMS)
    found = tuple(_source(table, parameters) for table in tables)
    uuids = [source.uuid for source in found]
    twice = next((uuid for uuid in uuids if uuids.count(uuid) > 1), None)
    if twice:
        raise whole.wrong("stream", f"{twice} stands there twice; its packets belong into [[stream.packet]] of one")
    if not any(packet.gives == "samples" for source in found for packet in source.packets):
        raise whole.wrong("stream", "gives no samples; one must have fields called acc or gyr")
    return found


def _source(table: Table, parameters: Mapping[str, Parameter]) -> Source:
    table.text("about", "", 300)
    framing = framing_of(table)
    text = framing.kind == "lines"
    if "packet" in table:
        stray = next((key for key in PACKET_KEYS if key in table), None)
        if stray:
            raise table.wrong(stray, "belongs into [[stream.packet]], where this stream has its packets")
        packets = tuple(
            packet_of(inner, parameters, text) for inner in table.tables("packet", PACKET_KEYS, MOST_PACKETS)
        )
    else:
        inner = table.only(PACKET_KEYS)
        packets = (packet_of(inner, parameters, text),)
    if not packets:
        raise table.wrong("packet", "is empty; give fields")
    _check_framing(table, framing, packets)
    return Source(table.uuid("char"), framing, packets, table.flag("read", False))


def _check_framing(table: Table, framing: Framing, packets: tuple[Packet, ...]) -> None:
    for packet in packets:
        if framing.kind == "fixed" and not (packet.tag and not packet.tag_at and frame_length(packet)):
            raise table.wrong("framing", "frames are found by a tag at their beginning, and have one length; give both")
        if framing.kind == "fixed" and frame_length(packet) < len(packet.tag):
            raise table.wrong("framing", "a frame is shorter than its tag; give its length")
        if framing.kind == "lines" and packet.checksum:
            raise table.wrong("checksum", 'of lines stands in framing = { kind = "lines", checksum = "nmea" }')
    if framing.json and (len(packets) > 1 or packets[0].word):
        raise table.wrong("framing", "JSON lines are of one kind, without tag")


def _battery(whole: Table) -> tuple[Source, ...]:
    table = whole.table("battery", ("service",))
    if table is None or not table.flag("service", True):
        return ()
    level = {"gives": "battery", "fields": [{"name": "level", "type": "u8"}]}
    packet = packet_of(whole.of("battery", level, PACKET_KEYS), {})
    return (Source(BATTERY_LEVEL, Framing(), (packet,), read=True, optional=True),)


def _pairing(whole: Table) -> tuple[Literal["time", "arrival"] | None, float | None]:
    table = whole.table("pairing", ("by", "max_skew_ms"))
    if table is None:
        return None, None
    by = table.choice("by", ("time", "arrival"))
    if by == "arrival":
        if "max_skew_ms" in table:
            raise table.wrong("max_skew_ms", 'can be told by a time stamp only, by = "time"')
        return "arrival", None
    return "time", table.number("max_skew_ms", 0, 1000) / 1000 if "max_skew_ms" in table else None


def _mtu(head: Table, sources: tuple[Source, ...]) -> int:
    """Return the smallest MTU: an ATT notification has three bytes of its own."""
    longest = 20
    for source in sources:
        for packet in source.packets:
            if source.framing.kind == "notification":
                repeat = packet.repeat if isinstance(packet.repeat, int) else 1
                fields = size_of(packet.fields) + repeat * size_of(packet.samples)
                longest = max(longest, packet.lengths[1] if packet.lengths else fields)
    return head.integer("min_mtu", longest + 3, LONGEST_PAYLOAD + 5, longest + 3)


def _check_part(whole: Table, profile: Profile, part: int) -> None:
    packets, inertial = profile.packets(part), profile.inertial(part)
    if not inertial:
        raise whole.wrong("stream", f"part {part} has no packet with acc or gyr")
    wanted = {name for packet in inertial for name in packet.vectors} & {"acc", "gyr"}
    if profile.joins(part) and any(wanted <= set(packet.vectors) for packet in inertial):
        raise whole.wrong("stream", f"part {part}: some packets hold acc and gyr, others only one; make them alike")
    clocks = {_ticks_of(packet) for packet in inertial}
    if len(clocks) > 1:
        raise whole.wrong("stream", f"part {part}: packets with acc or gyr must have the same kind of time and counter")
    if profile.pairing == "time" and profile.joins(part) and clocks == {None}:
        raise whole.wrong("pairing", 'by = "time" needs time or counter in each packet; or use by = "arrival"')
    for name in ("acc", "gyr", "mag", "quat"):
        holders = [packet for packet in packets if name in packet.vectors]
        if profile.joins(part) and len(holders) > 1:
            raise whole.wrong("stream", f"part {part}: {name} comes from two packets; keep one")


def _ticks_of(packet: Packet) -> tuple[float | None, int | None, int] | None:
    clock = packet.time or packet.counter
    return None if clock is None else (clock.tick_s, clock.wrap, clock.step)


def _check_awaits(whole: Table, profile: Profile) -> None:
    known = {packet.what for source in profile.sources for packet in source.packets if packet.gives == "reply"}
    polls = tuple(poll.action for poll in profile.polls)
    for action in (*profile.init, *profile.start, *profile.stop, *profile.identify, *polls):
        if action.awaited and action.awaited not in known:
            raise whole.wrong("", f'{action.awaited} is awaited, but no packet gives = "reply" with what = it')
