"""Payloads of a sensor that a profile describes -> messages."""

from collections.abc import Sequence

import numpy as np

from imuposture._blocks import FloatArray, ImuBlock, Role
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers.declarative.framing import Framer, Framing, framer_of
from imuposture.acquisition.drivers.declarative.packets import Packet
from imuposture.acquisition.drivers.declarative.pairing import ByArrival, ByTime, Joiner, Row, rows_of
from imuposture.acquisition.drivers.declarative.profile import Profile
from imuposture.acquisition.drivers.declarative.quantities import Parameters
from imuposture.acquisition.drivers.declarative.tables import LONGEST_PAYLOAD
from imuposture.acquisition.drivers.declarative.taking import PacketReader, Taken
from imuposture.acquisition.drivers.messages import Message, Reply, Status

__all__ = ["ProfileDecoder"]


class ProfileDecoder:
    """Decoder of one connection.

    Parameters
    ----------
    profile : Profile
    parameters : mapping
        Every parameter's value, the rate too.
    role : "upper" or "lower"
    part : int
        Which of the peripheral's IMUs; samples of others are passed over.
    magnetometer : bool
        The rows hold ``mag``, where the profile has it.
    """

    def __init__(self, profile: Profile, parameters: Parameters, role: Role, part: int, magnetometer: bool) -> None:
        self._role: Role = role
        self._part = part
        rate = parameters["rate_hz"]
        self._framers = [_framer(source.packets, source.framing, parameters, rate) for source in profile.sources]
        names = {name for packet in profile.packets(part) for name in packet.vectors}
        self._mag, self._quat = magnetometer and "mag" in names, "quat" in names
        self._inertial = {packet.place for packet in profile.inertial(part)}
        self._joiner = _joiner(profile, part, rate)
        self._count = 0
        self._last: dict[str, int] = {}

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take the next payload of a channel.

        Raises
        ------
        DecodeError
            If it is not what the profile says; nothing of it was taken.
        """
        if not 0 <= channel < len(self._framers):
            raise DecodeError(f"channel {channel} does not exist; the profile has {len(self._framers)}")
        if not 0 < len(payload) <= LONGEST_PAYLOAD:
            raise DecodeError(f"{len(payload)} bytes; 1 to {LONGEST_PAYLOAD} can come")
        found = self._framers[channel].push(payload)
        messages: list[Message] = []
        rows: list[Row] = []
        for taken in found.packets:
            if taken.packet.gives == "samples":
                rows += self._rows(taken, messages)
            elif taken.packet.gives != "nothing":
                messages.append(_told(taken))
        if rows:
            messages.append(self._block(rows))
        if found.dropped:
            messages.append(Status("resync", {"bytes": found.dropped}))
        return messages

    def _rows(self, taken: Taken, messages: list[Message]) -> list[Row]:
        if taken.packet.part != self._part:
            return []
        taken = self._counted(taken, messages)
        return self._joiner.push(taken) if self._joiner is not None else rows_of(taken)

    def _counted(self, taken: Taken, messages: list[Message]) -> Taken:
        """Compare the counter with the one before: what is old goes, what is missing is told."""
        packet, numbers = taken.packet, taken.numbers
        if packet.counter is None or not numbers:
            return taken
        step = 1 if packet.counter.packets else packet.counter.step
        modulus = _modulus(packet) or 1
        last = self._last.get(packet.place)
        ahead = [((number - last) % modulus if last is not None else step) // step for number in numbers]
        fresh = [at for at, steps in enumerate(ahead) if 0 < steps <= modulus // step // 2]
        if fresh or last is None:
            self._last[packet.place] = numbers[-1]
        if packet.time is not None and packet.keep != "newest" and fresh and ahead[fresh[0]] > 1:
            messages.append(Status("missing_samples", {"samples": ahead[fresh[0]] - 1}))
        return taken.only(fresh) if packet.keep == "new" else taken

    def _block(self, rows: Sequence[Row]) -> ImuBlock:
        first, self._count = self._count, self._count + len(rows)
        ticks = [float(first + at) if row.tick is None else row.tick for at, row in enumerate(rows)]
        return ImuBlock(
            self._role,
            np.array(ticks),
            _stacked(rows, "acc", 3),
            _stacked(rows, "gyr", 3),
            _stacked(rows, "mag", 3) if self._mag else None,
            quat=_stacked(rows, "quat", 4) if self._quat else None,
        )


def _framer(packets: Sequence[Packet], framing: Framing, parameters: Parameters, rate: float) -> Framer:
    readers = [PacketReader(packet, parameters, rate) for packet in packets]
    return framer_of(framing, readers)


def _joiner(profile: Profile, part: int, rate: float) -> Joiner | None:
    inertial = profile.inertial(part)
    places = [packet.place for packet in inertial]
    clock = profile.clock(part)
    if not profile.joins(part):
        return ByArrival(places[:1]) if len(profile.packets(part)) > len(places) else None
    if profile.pairing == "arrival" or clock is None:
        return ByArrival(places)
    period = 1.0 / (rate * tick_s(inertial[0], rate))
    skew_s = 0.25 / rate if profile.max_skew_s is None else min(profile.max_skew_s, 0.49 / rate)
    return ByTime(places, period, skew_s * rate * period, wrap_ticks(inertial[0]))


def tick_s(packet: Packet, rate_hz: float) -> float:
    """Return the seconds a tick of a packet's clock, counter, or, without either, of the count of its samples."""
    if packet.time is not None:
        return packet.time.tick_s or 1.0
    steps = 1 if packet.counter is None or packet.counter.packets else packet.counter.step
    return 1.0 / (rate_hz * steps)


def _modulus(packet: Packet) -> int | None:
    """Return after how many the counter of a packet's samples begins again."""
    if packet.counter is None or packet.counter.wrap is None:
        return None
    if packet.counter.packets and isinstance(packet.repeat, int):
        return packet.counter.wrap // packet.counter.step * packet.repeat
    return packet.counter.wrap


def wrap_ticks(packet: Packet) -> int | None:
    """Return the ticks after which the clock of the rows begins again."""
    return packet.time.wrap if packet.time is not None else _modulus(packet)


def _told(taken: Taken) -> Message:
    packet = taken.packet
    if packet.gives == "battery":
        charging = {"charging": bool(taken.values["charging"])} if "charging" in taken.values else {}
        return Status("battery", {"percent": taken.values["percent"], **charging})
    return (Reply if packet.gives == "reply" else Status)(packet.what, taken.values)


def _stacked(rows: Sequence[Row], name: str, width: int) -> FloatArray:
    out = np.full((len(rows), width), np.nan)
    for at, row in enumerate(rows):
        if name in row.vectors:
            out[at] = row.vectors[name]
    return out
