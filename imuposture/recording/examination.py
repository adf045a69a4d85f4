"""Examining what a sensor sent: its rate, its losses, gravity, drift, and whether it turns the way it says."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Entry, FloatArray, ImuBlock, Stream
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import Status
from imuposture.pipeline import LiveSensor

__all__ = ["Check", "Samples", "decoded", "examine"]

GRAVITY = 9.81
STILL_RATE = np.deg2rad(3.0)  # rad/s; slower counts as lying still
TURNING_RATE = np.deg2rad(20.0)  # rad/s; faster tells axes
RATE_TOLERANCE = 0.02  # share; a crystal is 1000 times better, a host's clock too, and a wrong rate is 20 % off
GRAVITY_TOLERANCE = 0.05  # share; chips are 1 to 3 % off, a wrong scale is 2 times off
BIAS_LIMIT = np.deg2rad(3.0)  # rad/s; data sheets say 1 deg/s
LEAST_TURNING = 100  # samples that tell axes
AGREEMENT = 0.9  # correlation of gravity's turn as the gyroscope and the accelerometer have it
AXES = "xyz"

Verdict = Literal["ok", "wrong", "not shown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
    verdict : str
        ``"ok"``, ``"wrong"``, or ``"not shown"``: what was sent cannot tell.
    words : str
        What was found, and what to do.
    value : float or None
    unit : str
    """

    name: str
    verdict: Verdict
    words: str
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """What a sensor measured.

    Attributes
    ----------
    ticks : (n,) float64, ticks of its own clock
    acc : (n, 3) float64, m/s2
    gyr : (n, 3) float64, rad/s
    arrival_s : (n,) float64, s
    connection : (n,) int, generation of the link
    rejected : int
        Payloads that the driver's decoder did not take.
    payloads : int
    statuses : tuple of Status
    """

    ticks: FloatArray
    acc: FloatArray
    gyr: FloatArray
    arrival_s: FloatArray
    connection: NDArray[np.int64]
    rejected: int
    payloads: int
    statuses: tuple[Status, ...]


def decoded(sensor: LiveSensor, entries: Iterable[Entry]) -> Samples:
    """Decode what a sensor sent."""
    blocks: list[tuple[ImuBlock, float, int]] = []
    statuses: list[Status] = []
    rejected = payloads = generation = 0
    decoder = sensor.driver.decoder(sensor.settings)
    for entry in entries:
        if entry.generation > generation:
            generation, decoder = entry.generation, sensor.driver.decoder(sensor.settings)
        if entry.kind not in ("notification", "read") or entry.generation < generation:
            continue
        payloads += 1
        try:
            messages = decoder.push(entry.payload, entry.channel)
        except DecodeError:
            rejected += 1
            continue
        blocks += [(one, entry.arrival_ns * 1e-9, generation) for one in messages if isinstance(one, ImuBlock)]
        statuses += [one for one in messages if isinstance(one, Status)]
    empty = np.empty((0, 3))
    counts = [len(block.ticks) for block, _, _ in blocks]
    return Samples(
        np.concatenate([np.empty(0), *(block.ticks for block, _, _ in blocks)]),
        np.concatenate([empty, *(block.acc for block, _, _ in blocks)]),
        np.concatenate([empty, *(block.gyr for block, _, _ in blocks)]),
        np.repeat(np.array([arrival for _, arrival, _ in blocks], np.float64), counts),
        np.repeat(np.array([number for _, _, number in blocks], np.int64), counts),
        rejected,
        payloads,
        tuple(statuses),
    )


def examine(stream: Stream, samples: Samples) -> list[Check]:
    """Look at everything that can be told.

    Parameters
    ----------
    stream : Stream
        What the driver says of the sensor.
    samples : Samples
        First lying still for some seconds, then turned slowly about several axes.
    """
    if len(samples.ticks) < 2:
        words = f"no sample in {samples.payloads} payloads, {samples.rejected} of which the driver did not understand"
        return [Check("samples", "wrong", words)]
    still = _still(samples, stream.rate_hz)
    return [
        _payloads(samples),
        _rate(stream, samples),
        _losses(stream, samples),
        _gravity(samples, still),
        _drift(samples, still),
        _axes(stream, samples),
        *_battery(samples.statuses),
    ]


def _payloads(samples: Samples) -> Check:
    if samples.rejected:
        words = f"{samples.rejected} of {samples.payloads} payloads were not understood; a capture shows why"
        return Check("payloads", "wrong", words, float(samples.rejected))
    return Check("payloads", "ok", f"all {samples.payloads} payloads were understood", 0.0)


def _rate(stream: Stream, samples: Samples) -> Check:
    """Count samples against the host's clock; those that came last came with the first of them."""
    last = samples.connection == samples.connection[-1]
    arrival = samples.arrival_s[last]
    first = arrival > arrival[0]
    seconds = arrival[-1] - arrival[0]
    if seconds < 5.0:
        return Check("rate", "not shown", f"{seconds:.1f} s are too short to tell the rate")
    rate = float(np.count_nonzero(first) / seconds)
    words = f"{rate:.2f} samples a second, {stream.rate_hz:g} were asked for"
    verdict: Verdict = "ok" if abs(rate / stream.rate_hz - 1.0) < RATE_TOLERANCE else "wrong"
    return Check("rate", verdict, words, rate, "Hz")


def _losses(stream: Stream, samples: Samples) -> Check:
    if stream.clock != "device":
        return Check("losses", "not shown", "the sensor sends neither a counter nor its time: losses cannot be told")
    step = np.diff(samples.ticks)[np.diff(samples.connection) == 0]
    if stream.wrap_ticks is not None:
        step = np.where(step < -stream.wrap_ticks / 2, step + stream.wrap_ticks, step)
    periods = np.rint(step * stream.tick_s * stream.rate_hz)
    backwards = int(np.count_nonzero(periods < 1))
    lost = int(np.sum(np.maximum(periods - 1, 0)))
    words = f"{lost} samples lost and {backwards} repeated or out of order, of {len(samples.ticks)}"
    return Check("losses", "ok" if not lost and not backwards else "wrong", words, float(lost))


def _gravity(samples: Samples, still: NDArray[np.bool_]) -> Check:
    if np.count_nonzero(still) < 20:
        return Check("gravity", "not shown", "the sensor never lay still: put it down for a few seconds")
    norm = float(np.median(np.linalg.norm(samples.acc[still], axis=1)))
    words = f"{norm:.2f} m/s2 at rest"
    if abs(norm / GRAVITY - 1.0) < GRAVITY_TOLERANCE:
        return Check("gravity", "ok", words, norm, "m/s2")
    for factor, guess in ((1.0, "g"), (1000.0, "mg"), (GRAVITY**2, "m/s2, taken for g")):
        if abs(norm / factor - 1.0) < GRAVITY_TOLERANCE:
            words += f": this looks like {guess}"
    for factor in (0.25, 0.5, 2.0, 4.0):
        if abs(norm / GRAVITY / factor - 1.0) < GRAVITY_TOLERANCE:
            words += f": the full scale is {factor:g} times what the driver thinks"
    return Check("gravity", "wrong", words, norm, "m/s2")


def _drift(samples: Samples, still: NDArray[np.bool_]) -> Check:
    if np.count_nonzero(still) < 20:
        return Check("drift", "not shown", "the sensor never lay still: put it down for a few seconds")
    bias = np.median(samples.gyr[still], axis=0)
    size = float(np.rad2deg(np.linalg.norm(bias)))
    words = f"{size:.2f} deg/s at rest ({', '.join(f'{one:.2f}' for one in np.rad2deg(bias))})"
    return Check("drift", "ok" if np.deg2rad(size) < BIAS_LIMIT else "wrong", words, size, "deg/s")


def _axes(stream: Stream, samples: Samples) -> Check:
    """Compare how gravity turns in the sensor's frame with how the gyroscope says that it must.

    Of a vector at rest in the world, d/dt g = -w x g holds in the frame of a sensor that turns with w. All ways to name
    and sign the gyroscope's axes are tried; the right one agrees with the accelerometer, the others do not.
    """
    bias = (
        np.median(samples.gyr[_still(samples, stream.rate_hz)], axis=0) if _still(samples, stream.rate_hz).any() else 0
    )
    width = max(int(stream.rate_hz / 10), 1)
    acc, gyr = _smoothed(samples.acc, width), _smoothed(samples.gyr - bias, width)
    turn = np.gradient(acc, axis=0) * stream.rate_hz
    slow = (np.linalg.norm(gyr, axis=1) > TURNING_RATE) & (np.abs(np.linalg.norm(acc, axis=1) / GRAVITY - 1.0) < 0.1)
    if np.count_nonzero(slow) < LEAST_TURNING:
        return Check(
            "axes", "not shown", "turn the sensor slowly by hand, about all of its axes, to see that they agree"
        )
    scores = {}
    for order, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        said = -np.cross(gyr[:, order] * np.array(signs), acc)
        scores[order, signs] = _agreement(said[slow], turn[slow])
    plain = scores[(0, 1, 2), (1, 1, 1)]
    if plain >= AGREEMENT:
        return Check("axes", "ok", f"gyroscope and accelerometer turn together (r = {plain:.3f})", plain)
    (order, signs), best = max(scores.items(), key=lambda item: item[1])
    if best < AGREEMENT:
        return Check("axes", "not shown", f"no way to name the axes agrees (best r = {best:.2f}): turn it more slowly")
    names = ", ".join(f"{'+' if sign > 0 else '-'}{AXES[axis]}" for axis, sign in zip(order, signs, strict=True))
    words = f"the gyroscope's axes are not those of the accelerometer: {names} would agree (r = {best:.3f})"
    return Check("axes", "wrong", words, plain)


def _battery(statuses: Sequence[Status]) -> list[Check]:
    told = [status.values.get("percent") for status in statuses if status.what == "battery"]
    if not told or not isinstance(told[-1], int | float):
        return []
    percent = float(told[-1])
    words = f"{percent:.0f} %" + ("" if percent >= 15 else ": charge it before a long recording")
    return [Check("battery", "ok" if percent >= 15 else "wrong", words, percent, "%")]


def _still(samples: Samples, rate_hz: float) -> NDArray[np.bool_]:
    """Mark samples that hardly differ from those around them: turned slowly or with a constant offset."""
    width = max(int(rate_hz), 2)
    spread = np.zeros(len(samples.gyr))
    for values, scale in ((samples.gyr, STILL_RATE), (samples.acc, 0.5)):
        mean = _smoothed(values, width)
        spread = np.maximum(spread, np.sqrt(np.maximum(_smoothed((values - mean) ** 2, width), 0)).max(axis=1) / scale)
        # A turn at a steady rate has no spread either; it changes the mean over the width.
        drift = np.abs(np.roll(mean, -width, axis=0) - np.roll(mean, width, axis=0)).max(axis=1)
        spread = np.maximum(spread, drift / scale)
    spread[:width] = spread[width] if len(spread) > width else np.inf
    marked: NDArray[np.bool_] = spread < 1.0
    return marked


def _smoothed(values: FloatArray, width: int) -> FloatArray:
    kernel = np.ones(width) / width
    return np.stack([np.convolve(column, kernel, mode="same") for column in values.T], axis=1)


def _agreement(one: FloatArray, other: FloatArray) -> float:
    both = float(np.sqrt(np.sum(one * one) * np.sum(other * other)))
    return float(np.sum(one * other)) / both if both > 0 else 0.0
