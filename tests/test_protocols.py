"""What the wearer is asked: cues in order, steps that begin and end, and a calibration that comes of it."""

import pytest
from live_backs import entries, nanoseconds, pipeline

from imuposture import simulate
from imuposture.acquisition.simulation.actions import bend, during, side_bend, stand
from imuposture.pipeline.commands import Calibrate, command_of, entry_of
from imuposture.protocols import cues_of, guided_calibration


def obedient():
    """A wearer who does what is said, when it is said."""
    return [
        stand(9, neutral=True),
        during("flexion", [bend(60, reps=4, seconds=4.5, rest=0.5)]),
        stand(11.5, neutral=True),
        during("lateral", [side_bend(25, side, reps=3, seconds=3.4, rest=0.4) for side in ("right", "left")]),
        stand(15, neutral=True),
    ]


def steps(cues):
    return [command for cue in cues for command in cue.commands]


def test_every_step_begins_before_it_ends_and_the_whole_ends_last():
    cues = guided_calibration()
    times = [cue.at_s for cue in cues]
    assert times == sorted(times)
    assert steps(cues)[-1] == Calibrate("end")
    open_steps = []
    for command in steps(cues)[:-1]:
        if command.at == "begin":
            assert not open_steps
            open_steps.append(command.step)
        else:
            assert open_steps.pop() == command.step


def test_a_wearer_who_obeys_is_calibrated():
    back = simulate(obedient(), seed=4)
    said = [entry_of(c, nanoseconds(cue.at_s + 0.3)) for cue in guided_calibration() for c in cue.commands]
    live = pipeline()
    for entry in sorted([*entries(back, calibrate=False), *said], key=lambda entry: entry.arrival_ns):
        live.push(entry)
    live.finish()
    assert live.calibration.usable
    assert len(live.calibration.windows["neutral"]) == 3


def test_known_movements_become_cues():
    cues = cues_of({"neutral": [(0, 6)], "flexion": [(8, 20)], "dance": [(3, 4)]}, begin_s=2.0)
    assert [(cue.at_s, *steps([cue])) for cue in cues] == [
        (2.0, Calibrate("begin", "neutral")),
        (8.0, Calibrate("end", "neutral")),
        (10.0, Calibrate("begin", "flexion")),
        (22.0, Calibrate("end", "flexion")),
        (22.0, Calibrate("end")),
    ]
    assert cues_of({}) == ()


@pytest.mark.parametrize("command", steps(guided_calibration()))
def test_commands_survive_the_journal(command):
    assert command_of(entry_of(command, 5)) == command
