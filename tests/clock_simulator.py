"""A sensor's clock and the radio between it and the host, with the truth beside them.

The clock runs `skew` fast and 3 ppm faster while it is cold, and shows whole ticks. A packet leaves at the next of the
instants at which the radio speaks, a connection interval apart on the host's clock, once more an interval later if it
was not heard, and never before the packet in front of it. The host takes a little time, and now and then stands still.
"""

from dataclasses import dataclass

import numpy as np

TICK_S = 1 / 32768
WARM_UP, WARM_UP_S = 3e-6, 300.0


@dataclass(frozen=True)
class Link:
    """Samples a second, samples a packet, and how the radio and the host behave."""

    rate_hz: float
    samples: int = 1
    interval_s: float = 0.0075
    again: float = 0.05  # share of transmissions that must be repeated
    lost: float = 0.01  # share of packets that never come
    stalls_a_minute: float = 1.0
    host_s: float = 0.0015  # mean of what the host adds to half a millisecond
    warm_up: float = WARM_UP

    @property
    def period_s(self) -> float:
        return self.samples / self.rate_hz


BAD = {"again": 0.2, "lost": 0.05, "stalls_a_minute": 6.0}


@dataclass(frozen=True)
class Packets:
    """What came: newest sample's device time, arrival; the true host time of that sample; number of the packet."""

    device_s: np.ndarray
    arrival_s: np.ndarray
    true_s: np.ndarray
    number: np.ndarray
    skew: float


def any_skew(rng: np.random.Generator) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(20e-6, 100e-6))


def device_of(host_s: np.ndarray, skew: float, warm_up: float = WARM_UP) -> np.ndarray:
    """Return the time that the device's clock shows at an instant of the host."""
    return (1 + skew) * host_s + warm_up * WARM_UP_S * -np.expm1(-host_s / WARM_UP_S)


def host_of(device_s: np.ndarray, skew: float, warm_up: float = WARM_UP) -> np.ndarray:
    host = device_s / (1 + skew)
    for _ in range(4):
        host = host - (device_of(host, skew, warm_up) - device_s)
    return host


def packets(link: Link, seconds: float, seed: int, skew: float | None = None) -> Packets:
    rng = np.random.default_rng(seed)
    skew = any_skew(rng) if skew is None else skew
    count = int(seconds / link.period_s)
    exact = rng.uniform(0, link.period_s) + link.period_s * np.arange(count)
    true = host_of(exact, skew, link.warm_up)
    device = np.floor(exact / TICK_S) * TICK_S
    phase = rng.uniform(0, link.interval_s)
    event = np.ceil((true - phase) / link.interval_s) + rng.geometric(1 - link.again, count) - 1
    event = np.maximum.accumulate(event)
    arrival = phase + event * link.interval_s + 0.5e-3 + rng.gamma(2.0, link.host_s / 2.0, count)
    for _ in range(rng.poisson(link.stalls_a_minute * seconds / 60)):
        start = rng.uniform(0, seconds)
        end = start + rng.uniform(0.02, 0.2)
        arrival[(arrival >= start) & (arrival < end)] = end
    arrival = np.maximum.accumulate(arrival)
    came = rng.random(count) >= link.lost
    came[0] = True
    return Packets(device[came], arrival[came], true[came], np.flatnonzero(came), skew)


# Packet period and interval of these meet in all phases: g <= 2.5 ms.
OPEN = {
    "100 Hz, 7.5 ms": Link(100.0, 1, 0.0075),
    "200 Hz, 7.5 ms": Link(200.0, 1, 0.0075),
    "60 Hz, 15 ms": Link(60.0, 1, 0.015),
    "60 Hz, 45 ms": Link(60.0, 1, 0.045),
    "104 Hz x 3, 30 ms": Link(104.0, 3, 0.030),
}
# These are locked to the interval, or nearly so: g from 5 to 30 ms.
LOCKED = {
    "100 Hz x 3, 30 ms": Link(100.0, 3, 0.030),
    "50 Hz, 20 ms": Link(50.0, 1, 0.020),
    "100 Hz, 50 ms": Link(100.0, 1, 0.050),
    "100 Hz x 4, 45 ms, bad": Link(100.0, 4, 0.045, **BAD),
    "100 Hz x 4, 50 ms": Link(100.0, 4, 0.050),
}


@dataclass(frozen=True)
class Track:
    """What a clock said at some instants: error of the newest sample's time, bound, and how it was found."""

    error_s: np.ndarray
    bound_s: np.ndarray
    method: list[str]
    interval_s: list[float | None]


def track(clock, came: Packets, instants: list[float], every_s: float = 0.25) -> Track:
    """Let a clock follow a link; `times` is asked a few times a second only, which changes nothing but the speed."""
    errors, bounds, methods, intervals = [], [], [], []
    due, ahead = 0.0, iter([*instants, np.inf])
    instant = next(ahead)
    update = clock.update
    for device, arrival, true in zip(
        came.device_s.tolist(), came.arrival_s.tolist(), came.true_s.tolist(), strict=True
    ):
        update(device, arrival)
        if arrival < due and arrival < instant:
            continue
        due = arrival + every_s
        time_s = float(clock.times(np.array([device]))[0])
        if arrival >= instant:
            report = clock.report()
            errors.append(time_s - true)
            bounds.append(report.bound_s)
            methods.append(report.method)
            intervals.append(report.interval_s)
            instant = next(ahead)
    return Track(np.array(errors), np.array(bounds), methods, intervals)
