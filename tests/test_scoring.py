"""Scoring: stored rows count as they did the first time, two sets are told apart, tasks and wearers are kept apart."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from metrics_rows import posture

import imuposture as ip
from imuposture.__main__ import cli
from imuposture._errors import ConfigError, SessionError
from imuposture.metrics import MetricContext, MetricSet
from imuposture.output import SessionFolder, open_sessions, posture_rows
from imuposture.scoring.diary import read_diary
from imuposture.scoring.variance import one_way

RATE = 50.0
JOMT = "iso11226+en1005-4/jomt2020"


def back(levels, seconds=90.0, seed=0):
    """Rows that lean forward by each of ``levels`` in turn, with some of everything else."""
    n, rng = round(seconds * RATE), np.random.default_rng(seed)
    lean = np.repeat(np.asarray(levels, float), n) + rng.normal(0, 0.3, n * len(levels))
    angles = rng.normal(0, [2.0, 6.0, 6.0], (len(lean), 3))
    quality = np.zeros(len(lean))
    quality[100:150] = 1
    block = posture(angles, RATE, inclination=lean, quality=quality)
    side = rng.normal(0, 6.0, len(lean))
    return replace(
        block, upper_side_deg=side, lower_side_deg=side, upper_forward_deg=lean + 1.0, lower_forward_deg=lean - 1.0
    )


def written(path, block, start=None, events=()):
    """Write rows as a session, with the figures of the metrics."""
    manifest = {"start": start, "alignment": {"rate_hz": RATE}, "input": {"sha256": [path.name]}, "config_hash": "x"}
    metrics = MetricSet(MetricContext(RATE))
    with SessionFolder(path, manifest) as sink:
        sink.write(block, metrics.push(block))
        last = metrics.finish()
        sink.close(replace(last, events=(*last.events, *events)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sessions")
    written(path / "anna_mon", back([10, 40, 70], seed=1), "2026-03-02T07:00:00+00:00")
    written(path / "anna_tue", back([12, 44, 70], seed=2), "2026-03-03T07:00:00+00:00")
    written(path / "bert", back([20, 30], seed=3), "2026-03-02T08:00:00+00:00")
    return path


def contents(path):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


def test_an_old_session_counts_as_it_did_the_first_time(folder):
    result = open_sessions(folder / "anna_mon").results["anna_mon"]
    first = {row["metric"]: row for row in result.summary.to_pylist() if f"@{JOMT},v1" in row["definition"]}
    scored = ip.score(folder / "anna_mon", JOMT)
    assert len(first) == len(scored.figures) > 20
    assert {f.metric: (f.value, f.n, f.definition) for f in scored.figures} == {
        name: (row["value"], row["n"], row["definition"]) for name, row in first.items()
    }


def test_rows_come_back_as_they_were_written(folder):
    block = back([10, 40, 70], seed=1)
    stored = list(posture_rows(open_sessions(folder / "anna_mon").results["anna_mon"]))
    for name in ("time_s", "trunk_inclination_deg", "lateral_bend_deg", "upper_side_deg", "quality"):
        rows = np.concatenate([getattr(part, name) for part in stored])
        np.testing.assert_array_equal(rows, getattr(block, name))


def test_rows_before_a_guided_calibration_do_not_count_here_either(tmp_path):
    block = back([10, 70])
    quality = block.quality.copy()
    quality[:3000] |= 8
    rows = replace(block, quality=quality)
    for usable, minutes in ((True, 3.0 - 1.0), (False, 3.0 - 1 / 60)):
        manifest = {"alignment": {"rate_hz": RATE}, "calibration": {"usable": usable}}
        with SessionFolder(tmp_path / str(usable), manifest) as sink:
            sink.write(rows)
            sink.close()
        found = ip.score(tmp_path / str(usable), "rula_trunk")
        counted = sum(f.value for f in found.figures if f.metric.startswith("minutes_forward"))
        assert counted == pytest.approx(minutes)


def test_two_sets_are_crossed_row_by_row(folder):
    scored = ip.score(folder / "anna_mon", "rula_trunk", against="reba_trunk")
    first = {f.metric: f.value for f in scored.figures}
    second = {f.metric: f.value for f in scored.against_figures}
    for level in (2, 3, 4, 5, 6):
        row = sum(minutes for (a, _), minutes in scored.crossing.items() if a == str(level))
        assert row == pytest.approx(first[f"minutes_overall_{level}"])
    for level in (1, 2, 3, 4, 5):
        column = sum(minutes for (_, b), minutes in scored.crossing.items() if b == str(level))
        assert column == pytest.approx(second[f"minutes_overall_{level}"])
    assert ip.score(folder / "anna_mon", JOMT, against="en1005-4").crossing is None
    assert len({row["definition"] for row in scored.table.to_pylist()}) == 2


def test_saving_leaves_the_session_as_it_is(folder, tmp_path):
    path = written(tmp_path / "one", back([10, 70]))
    before = contents(path)
    ip.score(path, "rula_trunk", save=True)
    ip.score(path, "reba_trunk", save=True)
    ip.score(path, "rula_trunk", save=True)
    after = contents(path)
    assert after.keys() - before.keys() == {"scores.parquet"}
    assert {name: after[name] for name in before} == before
    rows = pq.read_table(path / "scores.parquet").to_pylist()
    assert len(rows) == len(ip.score(path, "rula_trunk", against="reba_trunk").table)
    open_sessions(path).results["one"].verify()
    # Still a session of its own: processing may replace it.
    with SessionFolder(path, {"alignment": {"rate_hz": RATE}}, overwrite=True) as sink:
        sink.close()


def test_what_cannot_be_scored_says_why(folder, tmp_path):
    with pytest.raises(ConfigError, match="no threshold set 'owas': choose from"):
        ip.score(folder / "anna_mon", "owas")
    with pytest.raises(SessionError, match="holds 3 sessions"):
        ip.score(folder, JOMT)
    with pytest.raises(SessionError, match="is not a session folder"):
        ip.score(tmp_path / "none", JOMT)
    damaged = written(tmp_path / "bad", back([10]))
    content = bytearray((damaged / "posture.parquet").read_bytes())
    content[2000] ^= 1
    (damaged / "posture.parquet").write_bytes(content)
    with pytest.raises(SessionError, match="is damaged"):
        ip.score(damaged, JOMT)


DIARY = """wearer,start,end,task,group
anna,2026-03-02T07:00:00+00:00,2026-03-02T08:01:30+01:00,sit,office
anna,2026-03-02T07:01:30+00:00,2026-03-02T07:04:30+00:00,lift,office
anna,2026-03-03T07:00:00+00:00,2026-03-03T07:01:30+00:00,sit,office
bert,2026-03-02T08:00:00+00:00,2026-03-02T08:01:30+00:00,sit,store
"""


@pytest.fixture
def diary(tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text(DIARY, encoding="utf-8")
    return path


def test_exposure_by_task_wearer_and_group(folder, diary):
    found = ip.by_task(folder, diary)
    rows = {
        (row["task"], row["group"], row["wearer"]): row
        for row in found.tasks.to_pylist()
        if row["metric"] == "inclination_p50"
    }
    assert set(rows) == {
        ("sit", None, None),
        ("sit", "office", None),
        ("sit", "store", None),
        ("sit", "office", "anna"),
        ("sit", "store", "bert"),
        ("lift", None, None),
        ("lift", "office", None),
        ("lift", "office", "anna"),
    }
    assert rows["sit", "office", "anna"]["mean"] == pytest.approx(11.0, abs=0.1)
    assert rows["sit", "office", "anna"]["variance_within"] == pytest.approx(2.0, abs=0.1)  # 10 and 12
    assert rows["lift", None, None]["mean"] == pytest.approx(55.0, abs=16.0)
    both = rows["sit", None, None]
    assert (both["wearers"], both["occasions"]) == (2, 3)
    assert both["low"] < 15.5 < both["high"]
    minutes = {
        (row["session"], row["task"]): row["value"]
        for row in found.occasions.to_pylist()
        if row["metric"] == "minutes_usable"
    }
    assert minutes == {
        ("anna_mon", "sit"): pytest.approx(1.5 - 1 / 60, abs=1e-9),  # less the gap of a second
        ("anna_mon", "lift"): pytest.approx(3.0),
        ("anna_tue", "sit"): pytest.approx(1.5 - 1 / 60),
        ("bert", "sit"): pytest.approx(1.5 - 1 / 60),
    }


def test_time_not_worn_is_no_time(tmp_path):
    worn = ip_event("not_worn", 30.0, 60.0)
    written(tmp_path / "s" / "anna", back([10, 10]), events=(worn,))
    path = tmp_path / "d.csv"
    path.write_text("wearer,start,end,task\nanna,0,180,sit\n", encoding="utf-8")
    table = ip.by_task(tmp_path / "s", path).occasions.to_pylist()
    assert next(r["value"] for r in table if r["metric"] == "minutes_usable") == pytest.approx(149 / 60)


def ip_event(kind, start, end):
    from imuposture._blocks import Event

    return Event(kind, start, end)


def test_a_task_does_not_see_what_was_done_in_between(tmp_path):
    """Between its entries the inclination jumps by 60 degrees; its speed is that of standing still."""
    written(tmp_path / "s" / "anna", back([10, 70, 10, 70]))
    path = tmp_path / "d.csv"
    lines = [f"anna,{start},{start + 20},sit" for start in (30, 120, 210, 300)]
    path.write_text("\n".join(["wearer,start,end,task", *lines]), encoding="utf-8")
    table = {r["metric"]: r["value"] for r in ip.by_task(tmp_path / "s", path).occasions.to_pylist()}
    assert table["minutes_usable"] == pytest.approx(80 / 60)
    assert table["inclination_speed_p99"] < 5.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wearer,start,end\n", "has no column 'task'"),
        ("wearer,start,end,task,mood\n", "has a column 'mood'; known are wearer, start, end, task"),
        ("wearer;start;end;task\n", "separated by commas"),
        ("wearer,start,end,task,task\n", "a column twice"),
        ("wearer,start,end,task\n", "no line below its header"),
        ("", "has no column 'wearer'"),
        (
            "wearer,start,end,task\nanna,2026-03-02T08:00:00,2026-03-02T09:00:00+01:00,sit\n",
            "line 2: start .* no time zone",
        ),
        ("wearer,start,end,task\nanna,8 o'clock,9,sit\n", "line 2: start must be like 2026"),
        ("wearer,start,end,task\nanna,0,2026-03-02T09:00:00+01:00,sit\n", "line 2: start and end must be of one kind"),
        ("wearer,start,end,task\nanna,10,10,sit\n", "line 2: end 10 is not after start 10"),
        ("wearer,start,end,task\nanna,-1,10,sit\n", "0 or more, got '-1'"),
        ("wearer,start,end,task\nanna,nan,10,sit\n", "0 or more, got 'nan'"),
        ("wearer,start,end,task\nanna,0,10,\n", "line 2: task is empty"),
        ("wearer,start,end,task\nanna,0,10,sit,more\n", "line 2: 5 cells under 4 columns"),
        (
            "wearer,start,end,task\nanna,0,9,sit\nanna,20,30,lift\nanna,5,8,walk\n",
            "lines 2 and 4: 'sit' and 'walk' .* overlap",
        ),
        ("wearer,start,end,task,group\nanna,0,10,sit,a\nanna,20,30,lift,b\n", "lines 2 and 3: anna is in two groups"),
        ('wearer,start,end,task\n"anna,0,10,sit\n', "not CSV"),
        (
            "wearer,start,end,task\nanna,0,1,sit\nanna,2026-03-02T08:00+01:00,2026-03-02T09:00+01:00,x\n",
            "all of one kind",
        ),
    ],
)
def test_a_diary_that_can_be_read_in_two_ways_is_refused(tmp_path, text, words):
    path = tmp_path / "tasks.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        read_diary(path)


def test_a_diary_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_bytes("wearer,start,end,task\nJürg,0,1,sit\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_diary(path)
    path.write_bytes("wearer,start,end,task\nJürg,0,1,sit\n".encode("utf-8-sig"))
    assert read_diary(path).wearers == ["Jürg"]


def test_whose_session_it_is(tmp_path):
    path = tmp_path / "tasks.csv"
    path.write_text("wearer,start,end,task\nann,0,1,sit\nann_b,0,1,sit\n", encoding="utf-8")
    known = read_diary(path)
    assert [known.of(name)[0].wearer for name in ("ann", "ann-2", "ann_b", "ann_b_2")] == [
        "ann",
        "ann",
        "ann_b",
        "ann_b",
    ]
    with pytest.raises(ConfigError, match="nobody knows who wore the session 'anna'"):
        known.of("anna")
    path.write_text("wearer,start,end,task,session\nann,0,1,sit,s\nbob,0,1,sit,s\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="has two wearers"):
        read_diary(path).of("s")


def test_variance_components_of_balanced_groups_are_the_textbook_ones():
    groups = [[10.0, 12.0], [20.0, 22.0], [33.0, 29.0]]
    found = one_way(groups)
    within = (2 + 2 + 8) / 3
    between = (2 * ((11 - 21) ** 2 + 0 + (31 - 21) ** 2) / 2 - within) / 2
    assert (found.mean, found.within, found.between) == pytest.approx((21.0, within, between))
    assert found.high - found.mean == pytest.approx(4.302653 * 10 / 3**0.5, rel=1e-5)


def test_variance_components_of_unbalanced_groups_are_unbiased():
    rng, found = np.random.default_rng(4), []
    for _ in range(800):
        wearers = rng.normal(30.0, 4.0, 12)
        found.append(one_way([rng.normal(mean, 8.0, 2 + k % 5) for k, mean in enumerate(wearers)]))
    assert np.mean([one.within for one in found]) == pytest.approx(64.0, rel=0.03)
    assert np.mean([one.between for one in found]) == pytest.approx(16.0, rel=0.1)
    assert np.mean([one.low <= 30.0 <= one.high for one in found]) == pytest.approx(0.95, abs=0.025)


def test_what_cannot_be_separated_is_not():
    assert one_way([[1.0], [2.0], [4.0]]).reason.startswith("one occasion a wearer")
    assert one_way([[1.0], [2.0], [4.0]]).within is None
    alone = one_way([[1.0, 3.0]])
    assert (alone.mean, alone.low, alone.within, alone.reason) == (
        2.0,
        None,
        2.0,
        "one wearer: nothing is known about others",
    )
    assert one_way([[5.0, 5.0], [5.0]]).between == 0.0


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def test_the_command_scores_and_compares(folder, diary, tmp_path):
    told = run("score", folder / "bert", "--thresholds", "rula_trunk", "--against", "reba_trunk")
    assert told.return_value == 0
    assert "share_overall_3" in told.output
    assert "minutes that rula_trunk and reba_trunk call" in told.output
    assert "note: 1 (well supported) is never given" in told.output
    data = json.loads(run("score", folder, "--thresholds", JOMT, "--json").stdout)
    assert [one["session"] for one in data] == ["anna_mon", "anna_tue", "bert"]
    by_task = run("score", folder, "--diary", diary, "--out", tmp_path)
    assert by_task.return_value == 0
    assert pq.read_table(tmp_path / "tasks.parquet").num_rows > 100
    assert "sit, all: inclination p50" in by_task.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a set: --thresholds SET, one of en1005-4"),
        (["--thresholds", "rula"], "no threshold set 'rula': choose from"),
        (["--diary", "none.csv"], "cannot be read"),
        (["--thresholds", JOMT, "--out", "."], "--out goes with --diary"),
    ],
)
def test_wrong_usage_of_the_command(folder, arguments, words):
    found = CliRunner().invoke(cli, ["score", str(folder / "bert"), *arguments])
    assert found.exit_code == 2
    assert words in " ".join(found.output.split())
