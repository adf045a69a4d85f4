"""The walk from what a radio brings: a replay gives the same rows, and the rows are true."""

from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from live_backs import calibrated_back, entries, link, nanoseconds, pipeline

from imuposture import ConfigError, simulate
from imuposture._blocks import Entry, Quality
from imuposture.acquisition.simulation.actions import bend, side_bend, stand, turn, twist
from imuposture.acquisition.simulation.scripts import calibration
from imuposture.pipeline import join_rows
from imuposture.pipeline.commands import Calibrate, Mark, Pause, entry_of
from imuposture.pipeline.rows import no_rows

WORK = [bend(50, reps=2), side_bend(20, "left"), twist(30, "right"), turn(90), stand(6)]


@cache
def back():
    return calibrated_back([*calibration(), *WORK])


@cache
def sent():
    return tuple(entries(back()))


def walked(told, **options):
    live, rows = pipeline(**options), no_rows()
    pushed = [live.push(entry) for entry in told]
    for more in [*pushed, live.finish()]:
        rows = join_rows(rows, more)
    return rows, live, pushed


@cache
def whole():
    return walked(sent())


def columns(posture):
    return {member.name: getattr(posture, member.name) for member in fields(posture)}


def same(first, second):
    return all(a.tobytes() == columns(second)[name].tobytes() for name, a in columns(first).items())


def test_a_replay_gives_the_same_bits():
    again, live, _ = walked(sent())
    assert same(whole()[0].posture, again.posture)
    assert again.metrics == whole()[0].metrics
    assert live.findings() == whole()[1].findings()


def test_walked_in_larger_blocks_the_rows_are_the_same():
    told = [*sent(), entry_of(Pause("begin"), nanoseconds(100)), entry_of(Pause("end"), nanoseconds(105))]
    told = sorted(told, key=lambda entry: entry.arrival_ns)
    one_by_one, rows = walked(told)[0], no_rows()
    live = pipeline()
    for more in [*live.push_all(told), live.finish()]:
        rows = join_rows(rows, more)
    assert same(one_by_one.posture, rows.posture)
    assert sorted(one_by_one.metrics.windows, key=str) == sorted(rows.metrics.windows, key=str)
    assert one_by_one.metrics.summary == rows.metrics.summary


def test_angles_are_true_after_the_calibration():
    rows, live, _ = whole()
    assert live.calibration.usable
    after = max(end for spans in back().windows.values() for _, end in spans) + 1.0
    known = (rows.posture.time_s > after) & ~np.isnan(rows.posture.flexion_deg)
    assert known.sum() > 2000
    truth = back().relative_to_stance()
    for name, limit in {"flexion_deg": 2.0, "lateral_bend_deg": 2.5, "axial_rotation_deg": 5.0}.items():
        true = np.interp(rows.posture.time_s[known], back().time_s, getattr(truth, name))
        off = getattr(rows.posture, name)[known] - true
        assert np.sqrt(np.mean(off**2)) < limit, name


def test_before_the_calibration_rows_carry_inclinations_only():
    posture = whole()[0].posture
    early = posture.time_s < back().windows["flexion"][0][0]
    assert early.sum() > 400
    assert np.isnan(posture.flexion_deg[early]).all()
    assert (posture.quality[early] & Quality.UNCALIBRATED > 0).all()
    assert not np.isnan(posture.upper_forward_deg[early][100:]).any()
    late = posture.time_s > posture.time_s[-1] - 5
    assert not (posture.quality[late] & Quality.UNCALIBRATED).any()


def test_rows_come_within_a_packet():
    """Once both clocks are known, a packet of five rows brings rows up to itself, but for the other sensor's packet."""
    _, _, pushed = whole()
    lags = [
        (entry.arrival_ns - nanoseconds(0)) * 1e-9 - rows.posture.time_s[-1]
        for entry, rows in zip(sent(), pushed, strict=True)
        if len(rows.posture) and entry.arrival_ns > nanoseconds(20)
    ]
    assert len(lags) > 800
    assert np.quantile(lags, 0.95) < 0.12


def test_every_sample_is_a_row_once():
    rows, live, _ = whole()
    time_s = rows.posture.time_s
    assert (np.diff(time_s) > 0).all()
    for role in ("upper", "lower"):
        counts = live.findings()["alignment"]["sensors"][role]
        assert counts["sent"] == counts["kept"] == len(back().time_s)
        assert counts["lost"] == counts["duplicate"] == 0


def test_a_calibration_that_is_not_good_enough_changes_nothing_but_says_so():
    still = simulate("still", seed=3, minutes=0.5)
    told = [*entries(still, calibrate=False)]
    for at, command in ((2, Calibrate("begin", "neutral")), (12, Calibrate("end", "neutral")), (13, Calibrate("end"))):
        told.append(entry_of(command, nanoseconds(at)))
    rows, live, _ = walked(sorted(told, key=lambda entry: entry.arrival_ns))
    assert not live.calibration.usable
    assert np.isnan(rows.posture.flexion_deg).all()
    assert any("guided calibration" in note for note in live.findings()["notes"])


def test_a_calibration_can_be_cancelled_and_given():
    told = [entry for entry in sent() if entry.kind != "command"]
    begun = [entry for entry in sent() if entry.kind == "command"]
    cancelled = [*begun[:-1], entry_of(Calibrate("cancelled"), begun[-1].arrival_ns), begun[-1]]
    _, live, _ = walked(sorted([*told, *cancelled], key=lambda entry: entry.arrival_ns))
    assert not live.calibration.usable
    rows, live, _ = walked(told, calibration=whole()[1].calibration)
    assert live.calibration.usable
    assert not np.isnan(rows.posture.flexion_deg).all()


def test_a_pause_is_a_gap_and_an_event():
    told = [*sent(), entry_of(Pause("begin"), nanoseconds(100)), entry_of(Pause("end"), nanoseconds(105))]
    rows, _, _ = walked(sorted(told, key=lambda entry: entry.arrival_ns))
    time_s, flexion = rows.posture.time_s, rows.posture.flexion_deg
    inside = (time_s >= 100) & (time_s < 105)
    assert inside.sum() > 400
    assert np.isnan(flexion[inside]).all()
    assert (rows.posture.quality[inside] & Quality.GAP > 0).all()
    assert not np.isnan(flexion[(time_s > 106) & (time_s < 110)]).any()
    assert [(event.start_s, event.end_s) for event in rows.metrics.events if event.kind == "pause"] == [(100.0, 105.0)]


def test_marks_are_events():
    told = sorted([*sent(), entry_of(Mark("here"), nanoseconds(50))], key=lambda entry: entry.arrival_ns)
    rows, _, _ = walked(told)
    assert [event.start_s for event in rows.metrics.events if event.kind == "mark"] == [50.0]


def test_an_older_connection_is_not_listened_to():
    first = next(entry for entry in sent() if entry.kind == "notification" and entry.arrival_ns > nanoseconds(30))
    at = first.arrival_ns
    told = [*sent(), link(at, "upper", 1, "down"), link(at + 1, "upper", 2, "up")]
    told = sorted(
        [e._replace(generation=2) if e.role == "upper" and e.arrival_ns > at + 1 else e for e in told],
        key=lambda entry: entry.arrival_ns,
    )
    late = Entry(at + 2, "notification", "upper", 1, 0, first.payload)
    rows, live, _ = walked(sorted([*told, late], key=lambda entry: entry.arrival_ns))
    found = live.findings()["links"]["upper"]
    assert found["stale"] == 1
    assert found["losses"] == 1
    assert found["connections"] == 2
    assert [event.kind for event in rows.metrics.events if event.kind == "link_loss"] == ["link_loss"]


def test_a_silence_that_ends_without_a_new_connection_is_a_loss_that_ended():
    at = nanoseconds(30)
    told = [*sent(), link(at, "upper", 1, "stalled"), link(at + 300_000_000, "upper", 1, "resumed")]
    rows, live, _ = walked(sorted(told, key=lambda entry: entry.arrival_ns))
    found = live.findings()["links"]["upper"]
    assert (found["losses"], found["connections"]) == (1, 1)
    (loss,) = [event for event in rows.metrics.events if event.kind == "link_loss"]
    assert (loss.start_s, loss.end_s) == pytest.approx((30.0, 30.3), abs=1e-6)


def test_what_cannot_be_decoded_is_counted_and_harmless():
    at = nanoseconds(40)
    odd = [
        Entry(at, "notification", "upper", 1, 0, b"\x00" * 27),
        Entry(at, "notification", "upper", 1, 0, b""),
        Entry(at, "link", "upper", 1, 0, b"\xff{"),
        Entry(at, "command", None, 0, 0, b'{"do": "dance"}'),
    ]
    rows, live, _ = walked(sorted([*sent(), *odd], key=lambda entry: entry.arrival_ns))
    assert live.findings()["links"]["upper"]["rejected"] == 2
    assert same(rows.posture, whole()[0].posture)
    assert any("not obeyed" in note for note in live.findings()["notes"])


def test_what_a_sensor_says_of_itself_is_kept():
    told = sorted([*sent(), Entry(nanoseconds(9), "read", "lower", 1, 1, b"\x55")], key=lambda entry: entry.arrival_ns)
    _, live, _ = walked(told)
    assert live.statuses()["lower"]["battery"] == {"percent": 85.0}


@pytest.mark.parametrize("role", ["upper", "lower"])
def test_one_sensor_alone_gives_its_inclination(role):
    told = [entry for entry in sent() if entry.role in (role, None)]
    rows, _, _ = walked(told, roles=(role,))
    assert abs(len(rows.posture) - len(back().time_s)) <= 12  # packets of 0.1 s: offset known within that
    assert np.isnan(rows.posture.flexion_deg).all()
    assert not np.isnan(getattr(rows.posture, f"{role}_forward_deg")[200:]).any()


def test_a_sensor_that_falls_silent_does_not_stop_the_other():
    told = [e for e in sent() if e.role != "lower" or not nanoseconds(50) < e.arrival_ns < nanoseconds(70)]
    rows, _, pushed = walked(told)
    time_s = rows.posture.time_s
    inside = (time_s > 51) & (time_s < 69)
    assert inside.sum() > 1700
    assert np.isnan(rows.posture.flexion_deg[inside]).all()
    assert not np.isnan(rows.posture.upper_forward_deg[inside]).any()
    # Live: rows of the silence come while it lasts.
    during = [r for e, r in zip(told, pushed, strict=True) if nanoseconds(55) < e.arrival_ns < nanoseconds(65)]
    assert sum(len(rows.posture) for rows in during) > 900


def test_nobody_there_is_no_pipeline():
    with pytest.raises(ConfigError, match="one or two sensors"):
        pipeline(roles=())


def test_a_session_without_a_row_ends_well():
    live = pipeline()
    live.push(link(nanoseconds(0), "upper", 1, "up"))
    assert len(live.finish().posture) == 0
    assert live.findings()["notes"] == ["no sensor sent a row"]
