"""Notifications of a Polar sensor -> rows and replies."""

from collections.abc import Mapping
from math import isfinite

import numpy as np

from imuposture._blocks import FloatArray, Role
from imuposture.acquisition.drivers._pairing import ByStamp, block_of
from imuposture.acquisition.drivers._wire import DEGREE, GRAVITY, LIMIT, refusal
from imuposture.acquisition.drivers.messages import Message, Reply, Status
from imuposture.acquisition.drivers.polar_control import answer
from imuposture.acquisition.drivers.polar_frames import ACC, GYR, MAG, Frame, frame_of

__all__ = ["PolarDecoder"]

CONTROL, DATA, BATTERY = range(3)
PARTS = {ACC: "acc", GYR: "gyr", MAG: "mag"}
SI = {"acc": GRAVITY, "gyr": DEGREE, "mag": 100.0}  # a g, a deg/s, a gauss
# Waiting for the other streams: longer than two frames of the slowest take, which hold some 60 samples each.
PATIENCE_SAMPLES, LEAST_PATIENCE_US = 150, 1e6
SPREAD = (0.8, 1.25)  # of the nominal period; a stamp that says otherwise comes after a gap or a change of the clock


class PolarDecoder:
    """Notifications of one connection -> messages.

    Acceleration, rates and field come apart, with stamps on one clock, and are joined by them. What to wait for, and
    by which factor numbers are multiplied, the decoder learns from the answers to the commands that start a stream.

    Parameters
    ----------
    role : "upper" or "lower"
    rates_hz : mapping of str to float
        Nominal rate of ``acc``, ``gyr`` and, where it was asked for, ``mag``.
    """

    def __init__(self, role: Role, rates_hz: Mapping[str, float]) -> None:
        self._role = role
        self._periods_us = {part: 1e6 / rate for part, rate in rates_hz.items()}
        self._optional = ("mag",) if "mag" in rates_hz else ()
        patience_us = max(PATIENCE_SAMPLES * max(self._periods_us.values()), LEAST_PATIENCE_US)
        self._joining = ByStamp(tuple(rates_hz), self._periods_us["acc"], patience_us)
        self._factors: dict[str, float] = {}
        self._stamps_ns: dict[str, int] = {}

    def push(self, payload: bytes, channel: int = 0) -> list[Message]:
        """Take the next payload: of the control point (0), of data (1) or of the battery (2).

        Raises
        ------
        DecodeError
            If it is none of the protocol, or holds numbers whose factor the sensor has not told.
        """
        if channel == CONTROL:
            return [self._learned(answer(payload), payload)]
        if channel == DATA:
            return self._samples(frame_of(payload), payload)
        if channel == BATTERY and len(payload) == 1 and payload[0] <= 100:
            return [Status("battery", {"percent": float(payload[0])})]
        raise refusal(payload, "the battery is one byte, in percent" if channel == BATTERY else f"no channel {channel}")

    def _learned(self, reply: Reply, payload: bytes) -> Reply:
        """Take note of a stream that starts or stops."""
        done, _, part = reply.what.partition(".")
        if part not in self._periods_us or reply.values["error"]:
            return reply
        if done == "start":
            told = reply.values.get("factor", [1.0])
            factor = float(told[0]) if isinstance(told, list) else 1.0
            if not (isfinite(factor) and factor > 0):
                raise refusal(payload, f"a factor must be a number above 0, got {factor}")
            self._factors[part] = factor
            self._joining.expected.add(part)
        elif done == "stop":
            self._joining.expected.discard(part)
            self._stamps_ns.pop(part, None)
        return reply

    def _samples(self, frame: Frame, payload: bytes) -> list[Message]:
        part = PARTS[frame.measurement]
        if part not in self._periods_us:
            raise refusal(payload, f"{part} was not asked for")
        if frame.layout.has_factor and part not in self._factors:
            raise refusal(payload, f"the factor of {part} comes with the answer to its start, and none came yet")
        values = frame.values(self._factors.get(part, 1.0))
        if not np.all(np.abs(values) < LIMIT):
            raise refusal(payload, f"{part} must stay below {LIMIT:g} g, deg/s or gauss")
        rows = self._joining.push(part, self._times(part, frame.stamp_ns, len(values)), values * SI[part])
        return [block_of(self._role, rows, self._optional)] if rows else []

    def _times(self, part: str, stamp_ns: int, count: int) -> FloatArray:
        """Spread samples evenly from the stamp before to this one; without a sound one, at the nominal rate.

        The clock's microseconds since 2000 keep an eighth of one in float64.
        """
        nominal = self._periods_us[part]
        before = self._stamps_ns.get(part)
        self._stamps_ns[part] = stamp_ns
        period = nominal if before is None else (stamp_ns - before) / 1000 / count
        if not SPREAD[0] * nominal < period < SPREAD[1] * nominal:
            period = nominal
        stamp_us = stamp_ns // 1000 + stamp_ns % 1000 / 1000
        times: FloatArray = stamp_us - np.arange(count - 1, -1, -1, dtype=np.float64) * period
        return times
