"""Bytes of one packet, or values of one line -> samples in SI with their ticks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from imuposture._blocks import FloatArray
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers.declarative.checksums import split
from imuposture.acquisition.drivers.declarative.fields import VECTORS, Convert, Field, Number
from imuposture.acquisition.drivers.declarative.packets import MOST_SAMPLES, Clock, Packet, places_of, size_of
from imuposture.acquisition.drivers.declarative.quantities import Parameters

__all__ = ["PacketReader", "Taken"]


@dataclass(slots=True)
class Taken:
    """What a packet held.

    Attributes
    ----------
    packet : Packet
    count : int
        Samples; 0 of packets that give none.
    vectors : mapping
        acc, gyr, mag and quat, as far as they are there: (count, 3 or 4) float64, SI, the oldest sample first.
    ticks : (count,) float64 or None
        The device's clock or counter, see `imuposture._blocks.Stream`; None if it has none.
    numbers : list of int or None
        The counter of each sample.
    values : mapping
        The other fields before the samples.
    """

    packet: Packet
    count: int = 0
    vectors: dict[str, FloatArray] = field(default_factory=dict)
    ticks: FloatArray | None = None
    numbers: list[int] | None = None
    values: dict[str, Number | list[Number]] = field(default_factory=dict)

    def only(self, kept: Sequence[int]) -> "Taken":
        """Return the same with these samples only."""
        chosen = list(kept)
        return replace(
            self,
            count=len(chosen),
            vectors={name: rows[chosen] for name, rows in self.vectors.items()},
            ticks=None if self.ticks is None else self.ticks[chosen],
            numbers=None if self.numbers is None else [self.numbers[place] for place in chosen],
        )


class PacketReader:
    """Reads one kind of packet, for given parameters.

    Parameters
    ----------
    packet : Packet
    parameters : mapping
        What `Quantity` refers to.
    rate_hz : float
        Rate of the samples in a packet.
    """

    def __init__(self, packet: Packet, parameters: Parameters, rate_hz: float) -> None:
        self.packet = packet
        self._rate_hz = rate_hz
        fields = [one for one in (*packet.fields, *packet.samples) if one.name]
        self._convert = {one.name: Convert(one, parameters) for one in fields}
        self._before = list(zip(packet.fields, places_of(packet.fields), strict=True))
        self._inside = list(zip(packet.samples, places_of(packet.samples), strict=True))
        self._stamped_each = packet.time is not None and packet.time.field in {one.name for one in packet.samples}
        self._start, self._group = size_of(packet.fields), size_of(packet.samples)

    def full_scale(self, name: str) -> float | None:
        """Return the full scale of a vector in SI, where the profile tells it."""
        return self._convert[name].full_scale if name in self._convert else None

    def takes(self, data: bytes) -> bool:
        """Tell whether the tag is there."""
        at, tag = self.packet.tag_at, self.packet.tag
        return data[at : at + len(tag)] == tag

    def read(self, data: bytes) -> Taken:
        """Take a packet apart.

        Raises
        ------
        DecodeError
            If its length, checksum or values are not what the profile says.
        """
        packet = self.packet
        body, right = split(packet.checksum, data)
        if not right:
            raise DecodeError(f"{packet.place}: wrong {packet.checksum} at the end of {len(data)} bytes")
        if len(body) < self._start:
            raise DecodeError(f"{packet.place}: {len(data)} bytes, fewer than the fields take")
        raw = {one.name: one.read(body, at) for one, at in self._before if one.name}
        count = self._count(raw, len(body))
        self._check_length(data, body, self._start + count * self._group)
        if packet.samples:
            raw |= self._samples(body, count)
        return self._meaning(raw, count)

    def _count(self, raw: Mapping[str, list[Number]], length: int) -> int:
        repeat = self.packet.repeat
        if isinstance(repeat, int):
            return repeat
        count = (length - self._start) // self._group if repeat == "rest" else int(raw[repeat][0])
        if not 0 < count <= MOST_SAMPLES:
            raise DecodeError(f"{self.packet.place}: {count} samples; 1 to {MOST_SAMPLES} can be")
        return count

    def _check_length(self, data: bytes, body: bytes, wanted: int) -> None:
        packet = self.packet
        if packet.lengths:
            low, high = packet.lengths
            if not low <= len(data) <= high or len(body) < wanted:
                raise DecodeError(f"{packet.place}: {len(data)} bytes; {low} to {high} are right")
        elif len(body) != wanted and (packet.gives != "nothing" or packet.fields):
            raise DecodeError(
                f"{packet.place}: {len(data)} bytes; {wanted + len(data) - len(body)} are right; is the MTU too small?"
            )
        if packet.zeros and packet.gives != "nothing" and any(body[wanted:]):
            raise DecodeError(f"{packet.place}: bytes after the fields are not 0; is the mode another one?")

    def _samples(self, body: bytes, count: int) -> dict[str, list[Number]]:
        """Return the numbers of each field, sample after sample."""
        raw: dict[str, list[Number]] = {}
        at = self._start
        for one, place in self._inside:
            if self.packet.planar:
                starts = range(at, at + count * one.size, one.size)
                at += count * one.size
            else:
                starts = range(self._start + place, self._start + count * self._group, self._group)
            if one.name:
                raw[one.name] = [number for start in starts for number in one.read(body, start)]
        return raw

    def read_values(self, values: Mapping[str, list[Number]]) -> Taken:
        """Take the values of a line, by field.

        Raises
        ------
        DecodeError
            If they are not what the profile says.
        """
        return self._meaning(values, 1)

    def _meaning(self, raw: Mapping[str, list[Number]], count: int) -> Taken:
        packet = self.packet
        for wanted in packet.require:
            if raw[wanted.field][0] not in wanted.values:
                raise DecodeError(f"{packet.place}: {wanted.field} is {raw[wanted.field][0]}; {wanted.why}")
        taken = Taken(packet, values=self._values(raw, packet.fields))
        if packet.gives == "battery":
            taken.values["percent"] = self._percent(taken.values["level"])
        if packet.gives != "samples":
            return taken
        taken.count = count
        turn = -1 if packet.newest_first else 1
        taken.vectors = {name: self._convert[name].rows(raw[name])[::turn] for name in packet.vectors}
        if packet.counter:
            taken.numbers = self._numbers(raw[packet.counter.field][0], packet.counter, count)
        taken.ticks = self._ticks(raw, taken.numbers, count)
        return taken.only([count - 1]) if packet.keep == "newest" else taken

    def _percent(self, level: Number | list[Number]) -> float:
        if isinstance(level, list):
            level = level[0]
        if self.packet.ladder:
            return next((percent for step, percent in self.packet.ladder if level >= step), 0.0)
        if not 0 <= level <= 100:
            raise DecodeError(f"{self.packet.place}: a battery of {level:g} percent")
        return float(level)

    def _values(self, raw: Mapping[str, list[Number]], fields: Sequence[Field]) -> dict[str, Number | list[Number]]:
        values: dict[str, Number | list[Number]] = {}
        for one in fields:
            if one.name and one.name not in VECTORS:
                found = [self._convert[one.name].scalar(number) for number in raw[one.name]]
                values[one.name] = found[0] if one.count == 1 else found
        return values

    def _numbers(self, counted: Number, counter: Clock, count: int) -> list[int]:
        """Count the samples of a packet; where packets are counted, as if each held this many."""
        modulus = counter.wrap or 1
        if not isinstance(counted, int):
            raise DecodeError(f"{self.packet.place}: counter {counted:g} is no whole number")
        if counter.packets:
            size = count
            return [
                (counted // counter.step * size + place) % (modulus // counter.step * size) for place in range(count)
            ]
        first = counted - (count - 1) * counter.step if counter.last else counted
        return [(first + place * counter.step) % modulus for place in range(count)]

    def _ticks(self, raw: Mapping[str, list[Number]], numbers: list[int] | None, count: int) -> FloatArray | None:
        time = self.packet.time
        if time is None:
            return None if numbers is None else np.array(numbers, dtype=np.float64)
        stamps = [number if time.wrap is None else number % time.wrap for number in raw[time.field]]
        if not np.all(np.isfinite(np.array(stamps, dtype=np.float64))):
            raise DecodeError(f"{self.packet.place}: {time.field} is no number")
        if self._stamped_each:
            ticks = [float(stamp) for stamp in stamps][:: -1 if self.packet.newest_first else 1]
        else:
            spacing = 1.0 / (self._rate_hz * (time.tick_s or 1.0))
            first = count - 1 if time.last else 0
            ticks = [self._wrapped(stamps[0] + (place - first) * spacing, time.wrap) for place in range(count)]
        return np.array(ticks)

    @staticmethod
    def _wrapped(tick: float, wrap: int | None) -> float:
        return tick if wrap is None else tick % wrap
