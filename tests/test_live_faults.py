"""Every fault through the whole of it: virtual sensors, GATT, links, recorder, journal, session; in simulated time.

Whatever goes wrong, live rows are those of the closed session and of its replay, bit for bit; every sample the world
sent is kept or lost, and counted; gaps are as long as they were; and outside of them angles are true.

By default a guided calibration precedes the faults in `GUIDED` only, and the others are 18 s long; IMUPOSTURE_SOAK=1
calibrates before each.
"""

import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("bumble", reason="the virtual radio needs bumble: pip install imuposture[virtual]")

from live_worlds import POSTURE_ANGLES, Take, bits, end_of_calibration, recorded

from imuposture._blocks import Quality
from imuposture.acquisition.virtual import Fate, Faults, Incident
from imuposture.output import read_entries
from imuposture.recording.replaying import replay

SOAK = bool(os.environ.get("IMUPOSTURE_SOAK"))
GUIDED = {"none", "loss 20 %", "restart", "all at once"}
SECONDS, SHORT_S = 38.0, 18.0
LIMITS = dict(zip(POSTURE_ANGLES, (2.5, 2.5, 5.0), strict=True))  # degrees, RMS: a short calibration of one wearer
AFTER_S = 28.0  # incidents begin here: the calibration is over
GAP_S = 0.1
WRAP_S = 2**32 * 1e-6
BATCH, HEAD, ROW = 4, 9, 12  # samples a payload of the own firmware; its bytes
RATE_HZ = 100.0


class Case(NamedTuple):
    """A fault of the upper sensor, and what it may cost.

    Attributes
    ----------
    losses : int
        Links that are lost, or fall silent for too long.
    exact : bool
        The sensor's clock tells of every sample: its own stream never ends, and nothing but samples is decoded.
    gone : bool
        The sensor is not there at the end.
    """

    faults: Faults = Faults(clock_ppm=40.0)
    timeline: tuple[Incident, ...] = ()
    losses: int = 0
    exact: bool = True
    restarts: int = 0
    gone: bool = False


def at(kind, after_s=0.0, **more):
    return Incident(AFTER_S + after_s, kind, **more)


CASES = {
    "none": Case(),
    "fast clock": Case(Faults(clock_ppm=200.0)),
    "clock changes its pace": Case(timeline=(at("set", values={"clock_ppm": -150.0}),)),
    "clock wraps": Case(Faults(clock_start_s=WRAP_S - 12.0)),
    "counter wraps": Case(Faults(counter_start=2**32 - 1500, loss=0.05)),
    "loss 5 %": Case(Faults(loss=0.05)),
    "loss 20 %": Case(Faults(loss=0.2)),
    "bursts of loss": Case(Faults(burst_loss=0.004, burst_length=10)),
    "stall": Case(timeline=(at("stall", seconds=1.0),)),
    "FIFO overflows": Case(Faults(fifo_samples=32), (at("stall", seconds=1.2),)),
    "stall too long": Case(timeline=(at("stall", seconds=4.0),), losses=1, exact=False),
    "radio": Case(Faults(interval_s=0.0475, retransmit=0.1, latency_s=0.003)),
    "cut short": Case(Faults(truncate=0.05)),
    "garbage": Case(Faults(garbage=0.05)),
    "duplicates": Case(Faults(duplicate=0.1)),
    "reordered": Case(Faults(reorder=0.05)),
    "lose_link": Case(timeline=(at("lose_link", seconds=0.7), at("lose_link", 4.0)), losses=2, exact=False),
    "drop_link": Case(timeline=(at("drop_link"), at("drop_link", 3.0)), losses=2, exact=False),
    "doubled after a reconnect": Case(Faults(doubled_after_reconnect=True), (at("drop_link"),), losses=1, exact=False),
    "restart": Case(timeline=(at("restart", seconds=1.0),), losses=1, exact=False, restarts=1),
    "off and on": Case(timeline=(at("power_off"), at("power_on", 3.0)), losses=1, exact=False, restarts=1),
    "battery dies": Case(timeline=(at("battery", percent=0.0),), losses=1, gone=True),
    "all at once": Case(
        Faults(
            clock_ppm=-80.0,
            clock_start_s=WRAP_S - 15.0,
            loss=0.03,
            burst_loss=0.002,
            interval_s=0.03,
            retransmit=0.05,
            latency_s=0.002,
            truncate=0.01,
            garbage=0.01,
            duplicate=0.02,
            reorder=0.01,
            doubled_after_reconnect=True,
        ),
        (at("drop_link"), at("stall", 2.0, seconds=0.8), at("restart", 4.0, seconds=0.5)),
        losses=2,
        exact=False,
        restarts=1,
    ),
}


def check_bits(take: Take) -> None:
    """Live rows = rows of the session = its replay, and so are what is made of them."""
    again = replay(take.outcome.folder)
    live, closed, replayed = take.live(), take.session, again
    assert bits(live) == bits(closed) == bits(replayed)
    assert live.events.equals(closed.events)
    assert replayed.events.equals(closed.events)
    assert live.windows.to_pylist() == closed.windows.to_pylist() == replayed.windows.to_pylist()
    assert replayed.manifest["alignment"] == closed.manifest["alignment"]


def sent_numbers(take: Take, role: str) -> list[int]:
    """Return the numbers of all samples in the journal, in order of arrival, as the payloads say and no driver."""
    numbers: list[int] = []
    boots = last = 0
    for entry in read_entries(take.outcome.folder):
        if entry.role == role and entry.kind == "notification" and len(entry.payload) == HEAD + BATCH * ROW:
            first = int.from_bytes(entry.payload[:4], "little")
            if entry.payload[8] != BATCH:
                continue  # garbage of that very length
            step = (first - last + 2**31) % 2**32 - 2**31
            boots += bool(numbers) and step < -300
            last = first if step > 0 or step < -300 or not numbers else last
            start = (first + 2**31) % 2**32 - 2**31  # the counter may wrap
            numbers += [boots * 2**40 + start + k for k in range(BATCH)]
    return numbers


def check_counts(take: Take, case: Case) -> None:
    """Generated = delivered + lost in the world; sent = kept + lost in the session; and both tell of the same.

    A sample that comes again, or after a later one, is dropped and counted: as duplicate if it is the very last one
    once more, else as reordered; of a batch that comes twice, all but one are told as reordered.
    """
    for role, sensor in take.world.sensors.items():
        ledger, told = sensor.ledger, take.counts(role)
        assert sum(ledger.count(fate) for fate in Fate) == len(ledger)
        assert told["sent"] == told["kept"] + told["lost"]
        heard = np.flatnonzero(take.fates(role) == Fate.DELIVERED)
        numbers = np.array(sent_numbers(take, role))
        assert len(np.unique(numbers)) == len(heard), role
        ahead = np.diff(np.maximum.accumulate(numbers), prepend=numbers[0] - 1) > 0
        assert told["kept"] + told["late"] == np.count_nonzero(ahead), role
        assert told["duplicate"] + told["reordered"] == np.count_nonzero(~ahead), role
        assert told["restarts"] == (case.restarts if role == "upper" else 0)
        if case.exact or role == "lower":
            assert told["sent"] == heard[-1] - heard[0] + 1
            assert told["estimated"] == 0
        else:  # between two streams nothing was measured, and no number says for how long: the clock does
            times = take.heard_s(role, RATE_HZ)
            assert abs(told["sent"] - round((times[-1] - times[0]) * RATE_HZ) - 1) <= len(ledger.streams)


def in_order(take: Take, case: Case) -> np.ndarray:
    """Mark those of the samples heard that did not come after a later one; restarts are not looked behind."""
    heard = np.flatnonzero(take.fates("upper") == Fate.DELIVERED)
    numbers = np.array(sent_numbers(take, "upper"))
    ahead = np.diff(np.maximum.accumulate(numbers), prepend=numbers[0] - 1) > 0
    first = (case.faults.counter_start + 2**31) % 2**32 - 2**31
    return np.isin(heard + first, numbers[ahead]) | (heard > numbers[numbers < 2**39].max() - first)


def check_gaps(take: Take, case: Case) -> None:
    """As many gaps in the rows as in what was heard, and each as long within one sample.

    Longer only by what came when its rows had gone out, and, where the clock began anew, by what is not yet known of
    the new one's.
    """
    steps = np.diff(take.heard_s("upper", RATE_HZ)[in_order(take, case)]) * RATE_HZ
    long = steps[steps > RATE_HZ * GAP_S + 0.5]
    gap = (take.session.posture["quality"].to_numpy() & Quality.GAP) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gap.astype(int), [0]]))).reshape(-1, 2)
    inner = edges[(edges[:, 0] > 0) & (edges[:, 1] < len(gap))]  # the sensors begin and end one after the other
    assert len(inner) == len(long)
    longer = inner[:, 1] - inner[:, 0] - long
    assert min(longer, default=0.0) >= -1.5
    assert max(longer, default=0.0) <= 1.5 + take.counts("upper")["late"] + 1.5 * case.restarts


def check_angles(take: Take, after_s: float) -> None:
    for angle, limit in LIMITS.items():
        errors = take.errors(angle, after_s)
        known = errors[~np.isnan(errors)]
        assert len(known) > 250
        assert np.sqrt(np.mean(known**2)) <= limit, angle
        assert np.abs(known).max() <= 3 * limit, angle


@pytest.mark.parametrize("name", CASES)
def test_a_fault(tmp_path, name):
    case, guided = CASES[name], SOAK or name in GUIDED
    seconds = SECONDS if guided else SHORT_S
    timeline = [replace(one, at_s=one.at_s - SECONDS + seconds) for one in case.timeline]
    take = recorded(tmp_path / "s", seconds, faults=case.faults, upper=timeline, guided=guided)
    assert take.outcome.exit_code == 0
    assert take.outcome.sensors["upper"].losses == case.losses
    assert take.outcome.sensors["lower"].losses == 0
    check_bits(take)
    check_counts(take, case)
    check_gaps(take, case)
    if guided and not case.gone:
        check_angles(take, end_of_calibration(take.world) + 0.5)


@pytest.mark.parametrize(("kind", "rate_hz"), [("movella_dot", 60.0), ("movesense", 104.0)])
def test_formats_with_a_clock_tell_of_every_sample(tmp_path, kind, rate_hz):
    faults = Faults(clock_ppm=40.0, loss=0.05, truncate=0.03, duplicate=0.03, doubled_after_reconnect=True)
    timeline = [Incident(6.0, "stall", seconds=0.5), Incident(9.0, "drop_link")]
    take = recorded(tmp_path / "s", 14.0, kind=kind, faults=faults, upper=timeline)
    assert take.outcome.exit_code == 0
    check_bits(take)
    told, heard = take.counts("upper"), np.flatnonzero(take.fates("upper") == Fate.DELIVERED)
    assert told["kept"] + told["late"] == len(heard)
    copies = take.world.sensors["upper"].ledger.copies
    refused = take.session.manifest["links"]["upper"]["rejected"]  # second halves of Movesense, which come in two
    assert told["duplicate"] + told["reordered"] + 2 * refused >= copies > 100
    times = take.heard_s("upper", rate_hz)
    assert told["sent"] == told["kept"] + told["lost"]
    assert abs(told["sent"] - round((times[-1] - times[0]) * rate_hz) - 1) <= 2
    assert take.counts("lower")["lost"] == 0


def test_a_format_without_a_clock_is_counted_by_arrivals(tmp_path):
    """Of WitMotion's stream only silence tells what fell out: a packet of four, at 100 Hz, either way at each drop.

    Payloads that fall out one by one all the time cannot be told from a sensor that is slower; nor can a payload that
    comes twice be told from two alike.
    """
    timeline = [Incident(6.0, "stall", seconds=0.5), Incident(9.0, "drop_link"), Incident(12.0, "lose_link")]
    take = recorded(tmp_path / "s", 16.0, kind="witmotion", rate_hz=100.0, upper=timeline)
    assert take.outcome.exit_code == 0
    check_bits(take)
    told, heard = take.counts("upper"), np.flatnonzero(take.fates("upper") == Fate.DELIVERED)
    assert told["kept"] + told["late"] == len(heard)
    assert told["lost"] == told["estimated"] + told["late"]
    times = take.heard_s("upper", 100.0)
    assert abs(told["sent"] - round((times[-1] - times[0]) * 100.0) - 1) <= 4 * 2
    assert take.counts("lower")["lost"] == 0


def test_a_link_that_cuts_every_payload_gives_no_row_and_says_so(tmp_path):
    take = recorded(tmp_path / "s", 4.0, faults=Faults(mtu=23))
    check_bits(take)
    assert take.session.manifest["links"]["upper"]["rejected"] > 90
    assert any("upper" in note and "packets of 23 bytes" in note for note in take.outcome.notes)
    assert take.counts("lower")["lost"] == 0


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_many_drops_are_counted_to_the_sample(tmp_path, loss):
    """A thousand drops in all, 40 by default, with losses, disorder and duplicates; counter and clock wrap."""
    drops = 500 if SOAK else 20
    seconds = 6.0 + 1.2 * drops
    faults = Faults(
        clock_ppm=60.0,
        clock_start_s=WRAP_S - 0.5 * seconds,
        counter_start=2**32 - round(0.3 * RATE_HZ * seconds),
        loss=loss,
        duplicate=0.02,
        reorder=0.02,
    )
    timeline = [Incident(3.0 + 1.2 * k, "lose_link" if k % 2 else "drop_link", seconds=0.2) for k in range(drops)]
    take = recorded(tmp_path / "s", seconds, faults=faults, upper=timeline, script="still")
    case = Case(faults, losses=drops, exact=False)
    assert take.outcome.sensors["upper"].losses == drops
    check_bits(take)
    check_counts(take, case)
    check_gaps(take, case)
