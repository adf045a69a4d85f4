"""Better times for whole recordings: clocks fitted to a live session, and the lag of sensors shaken together."""

from pathlib import Path

import numpy as np
import pytest
from test_shakes import shaken

from imuposture import Config, ConfigError, process
from imuposture._blocks import ImuBlock, PairBlock, Stream
from imuposture.acquisition.readers import Recording
from imuposture.pipeline.hindsight import unlagged

ROM = Path(__file__).parents[1] / "recordings" / "rom.csv"


def held(lag_s: float, rate: float = 100.0, **more: float) -> Recording:
    """Return a recording of two sensors that are shaken for all of its ten seconds, as it comes from a file."""
    pair: PairBlock = shaken(lag_s, rate, **more)
    sides = {"upper": pair.upper, "lower": pair.lower}

    def blocks():
        for first in range(0, len(pair), 64):
            part = slice(first, first + 64)
            for role, rows in sides.items():
                yield ImuBlock(role, pair.time_s[part], rows.acc[part], rows.gyr[part], flags=rows.flags[part])

    streams = tuple(Stream(role, rate, 1.0, start_s=0.0) for role in sides)
    return Recording((Path("held.csv"),), "plain", streams, blocks)


@pytest.mark.parametrize("lag_s", [-0.031, 0.0, 0.0471])
def test_the_lag_of_sensors_that_were_shaken_together_is_taken_out(lag_s):
    better, told = unlagged(held(lag_s), 1.0, 9.0, 0.1)
    assert told["accepted"]
    assert told["seconds"] == pytest.approx(lag_s, abs=0.5e-3)
    starts = {stream.role: stream.start_s for stream in better.streams}
    assert starts == {"upper": -told["seconds"], "lower": 0.0}
    assert "times were moved by" in better.notes[-1]
    _, left = unlagged(better, 1.0, 9.0, 0.1)
    assert abs(left["seconds"]) < 1e-3


def test_sensors_that_did_not_move_as_one_keep_their_times():
    recording = held(0.03, own=0.4)
    same, told = unlagged(recording, 1.0, 9.0, 0.1)
    assert not told["accepted"]
    assert same.streams == recording.streams
    assert "not applied: " in same.notes[-1]


def test_where_there_is_nothing_to_compare_it_is_said():
    with pytest.raises(ConfigError, match="no rows from 50 to 60 s"):
        unlagged(held(0.0), 50.0, 60.0, 0.1)
    both = held(0.0)
    one = Recording(both.paths, both.format, both.streams[:1], both.source)
    with pytest.raises(ConfigError, match="the recording has one"):
        unlagged(one, 1.0, 9.0, 0.1)


def test_what_was_asked_for_is_in_the_manifest_and_rows_stay_where_it_is_refused():
    """Whoever bends forward does not shake sensors: the lag is told, and left alone."""
    plain, asked = process(ROM), process(ROM, config=Config(shaken_s=(8.0, 14.0)))
    assert asked.manifest["shaken"]["accepted"] is False
    assert asked.manifest["config"]["shaken_s"] == [8.0, 14.0]
    assert any("not applied" in note for note in asked.manifest["notes"])
    assert asked.posture.equals(plain.posture)
    assert asked.manifest["config_hash"] != plain.manifest["config_hash"]


@pytest.mark.parametrize("odd", [(3.0,), (5.0, 5.0), (6.0, 5.0), (0.0, np.inf), "ab", (True, 2.0)])
def test_a_time_that_is_none_is_refused(odd):
    with pytest.raises(ConfigError, match="shaken_s must be"):
        Config(shaken_s=odd)


def test_clocks_are_fitted_where_arrivals_are_known(tmp_path):
    pytest.importorskip("bumble", reason="the virtual radio needs bumble: pip install imuposture[virtual]")
    from live_worlds import bits, recorded

    from imuposture import replay
    from imuposture.acquisition.virtual import Faults

    take = recorded(tmp_path / "s", 20.0, faults=Faults(clock_ppm=40.0, interval_s=0.015))
    folder = take.outcome.folder
    assert bits(replay(folder)) == bits(take.session)
    live, fitted = process(folder), process(folder, config=Config(clocks="fit"))
    assert (live.manifest["config"]["clocks"], fitted.manifest["config"]["clocks"]) == ("causal", "fit")
    assert any("fitted to the whole session" in note for note in fitted.manifest["notes"])
    # Another time line of the same samples: a little moved, and the same movements on it.
    (first, lean), (moved, again) = (
        (one.posture["time_s"].to_numpy(), one.posture["upper_forward_deg"].to_numpy()) for one in (live, fitted)
    )
    assert 0 < abs(moved[0] - first[0]) < 0.02
    assert abs(len(moved) - len(first)) <= 2
    inside = moved[100:-100]
    np.testing.assert_allclose(np.interp(inside, first, lean), again[100:-100], atol=0.5)


def test_only_a_live_session_has_arrivals():
    with pytest.raises(ConfigError, match="recorded live"):
        process(ROM, config=Config(clocks="fit"))
    with pytest.raises(ConfigError, match="'causal' or 'fit'"):
        Config(clocks="best")
