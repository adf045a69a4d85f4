"""The command line: what goes to which stream, which exit code it ends with, and what it never leaves behind."""

import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from interpreters import environment
from session_rows import MANIFEST, metrics, posture

from imuposture import __main__ as command_line
from imuposture._blocks import Figure, MetricBlock
from imuposture._errors import ConfigError, RecordingError
from imuposture.output import SessionFolder, find_kept, open_sessions
from imuposture.output.manifest import sha256

ROOT = Path(__file__).parents[1]
BEND, TURN = "lateral_bend", "axial_rotation"
SUMMARY = MetricBlock(
    summary=(
        Figure("range_of_motion", 52.0, "deg", "range_of_motion.mean_extreme/1@lumbar", BEND, "right", 49.0, 55.0, 5),
        Figure("range_of_motion", 47.5, "deg", "range_of_motion.mean_extreme/1@lumbar", BEND, "left", 44.0, 51.0, 5),
        Figure("range_difference", 4.5, "deg", "range_of_motion.difference/1@lumbar", BEND, low=-2.0, high=11.0, n=10),
        Figure("mean_angle", 8.0, "deg", "asymmetry.mean/1", TURN, low=5.0, high=11.0, verdict="asymmetric"),
        Figure("median_angle", float("nan"), "deg", "asymmetry.median/1", BEND, verdict="cannot_tell"),
    )
)


@dataclass(frozen=True)
class StubConfig:
    placement: str = "lumbar"

    def __post_init__(self):
        if self.placement not in {"lumbar", "thoracolumbar"}:
            raise ConfigError(f"placement must be lumbar or thoracolumbar, got {self.placement!r}")

    @classmethod
    def from_toml(cls, path):
        raise ConfigError(f"{path}: unknown key 'sped'; did you mean 'speed'?")


def stub_process(recording=None, *, upper=None, lower=None, out, config, overwrite, samples, **_):
    """Stand in for the pipeline: a file that says ``bad`` is refused, any other becomes a session of 300 rows."""
    path = recording or upper
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
    if content == b"bad":
        raise RecordingError(f"{path}: line 3: \x1b[31mcolumn upper_acc_x is missing; add it")
    given = {"paths": [str(path)], "sha256": [sha256(path)], "format": "plain"}
    manifest = {**MANIFEST, "input": given, "config_hash": config.placement, "notes": ["read as \x1b[2Jg"]}
    if (kept := find_kept(out, manifest, overwrite=overwrite, samples=samples)) is not None:
        return kept
    with SessionFolder(out, manifest, overwrite=overwrite, samples=samples) as sink:
        sink.write(posture(300), metrics())
        counts = {"upper": {"sent": 310, "kept": 300, "lost": 10, "restarts": 0}}
        calibration = {"usable": True, "verdicts": ["calibration is good"]}
        return sink.close(SUMMARY, {"calibration": calibration, "alignment": {"sensors": counts}})


@pytest.fixture
def cli(monkeypatch, tmp_path, capfdbinary):
    """Run the command line in an empty folder; gives exit code, standard output and standard error."""
    monkeypatch.setattr("imuposture.process", stub_process, raising=False)
    monkeypatch.setattr("imuposture.Config", StubConfig, raising=False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    for name, content in (("walk.csv", b"good"), ("sit.csv", b"fine"), ("broken.csv", b"bad")):
        Path(name).write_bytes(content)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["imuposture", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            command_line.main()
        out, err = capfdbinary.readouterr()
        return stop.value.code, out.decode(), err.decode()

    return run


def test_paths_go_to_standard_output_and_words_to_standard_error(cli):
    code, out, err = cli("process", "walk.csv", "sit.csv", "--out", "sessions")
    assert code == 0
    assert out.splitlines() == [str(Path("sessions/walk").resolve()), str(Path("sessions/sit").resolve())]
    assert "calibration: calibration is good" in err
    assert "samples, upper: 310 sent, 300 kept, 10 lost\n" in err
    assert "range of motion, lateral bend: right 52, left 47.5 deg; right - left 4.5 (-2 to 11) deg" in err
    assert "asymmetric: mean angle axial rotation 8 (5 to 11) deg" in err
    assert "cannot tell: median angle lateral bend" in err
    assert len(open_sessions("sessions")) == 2


def test_json_is_one_list_with_every_input(cli):
    code, out, _ = cli("process", "walk.csv", "broken.csv", "--out", "sessions", "--json")
    done, failed = json.loads(out)
    assert code == 4
    assert done["status"] == "written"
    assert [row["verdict"] for row in done["verdicts"]] == ["asymmetric", "cannot_tell"]
    assert done["summary"][0]["value"] == 52.0
    assert (failed["path"], failed["status"]) == (None, "failed")


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [(["walk.csv"], 0), (["broken.csv"], 1), (["missing.csv"], 1), (["walk.csv", "broken.csv"], 4)],
)
def test_exit_codes(cli, inputs, expected):
    code, _, err = cli("process", *inputs, "--out", "sessions")
    assert code == expected
    assert ("error: " in err) == (expected != 0)
    assert sorted(p.name for p in Path("sessions").glob("*")) == (["walk"] if "walk.csv" in inputs else [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give recordings"),
        (["walk.csv", "--upper", "sit.csv"], "not both"),
        (["walk.csv", "other/walk.csv"], "would both be written to sessions/walk; rename one"),
        (["walk.csv", "other/WALK.parquet"], "rename one"),
        (["walk.csv", "--errors", "sessions/errors.csv"], "lies inside --out"),
        (["walk.csv", "--errors", "nowhere/errors.csv"], "no such folder"),
        (["walk.csv", "--config", "settings.toml"], "unknown key 'sped'"),
        (["walk.csv", "--placement", "knee"], "must be lumbar or thoracolumbar, got 'knee'"),
        (["walk.csv", "--fast"], "No such option"),
    ],
)
def test_wrong_usage_ends_with_2_and_the_remedy(cli, arguments, words):
    code, out, err = cli("process", *arguments, "--out", "sessions")
    assert code == 2
    assert out == ""
    assert words in " ".join(err.split())
    assert not Path("sessions").exists()


def test_a_session_is_never_written_over_itself(cli):
    cli("process", "walk.csv", "--out", "sessions")
    code, _, err = cli("process", "sessions/walk", "--out", "sessions", "--overwrite")
    assert code == 2
    assert "written over itself" in err


def test_the_same_again_is_kept_and_other_settings_are_refused(cli):
    cli("process", "walk.csv", "--out", "sessions")
    first = Path("sessions/walk/posture.parquet").stat().st_ino
    code, out, err = cli("process", "walk.csv", "--out", "sessions")
    assert (code, Path(out.strip()).name) == (0, "walk")
    assert "kept as it is" in err
    code, _, err = cli("process", "walk.csv", "--out", "sessions", "--placement", "thoracolumbar")
    assert code == 1
    assert "--overwrite" in err
    assert Path("sessions/walk/posture.parquet").stat().st_ino == first
    assert cli("process", "walk.csv", "--out", "sessions", "--overwrite")[0] == 0
    assert Path("sessions/walk/posture.parquet").stat().st_ino != first


def test_one_file_a_sensor(cli):
    code, out, _ = cli("process", "--upper", "walk.csv", "--lower", "sit.csv", "--out", "sessions")
    assert code == 0
    assert Path(out.strip()).name == "walk"


def test_the_table_of_errors(cli):
    Path("=1+1.csv").write_bytes(b"bad")
    code, _, err = cli("process", "walk.csv", "broken.csv", "=1+1.csv", "--out", "sessions", "--errors", "errors.csv")
    assert code == 4
    assert "2 failed; see errors.csv" in err
    with open("errors.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == ["broken.csv", "'=1+1.csv"]
    assert rows[0]["error"] == "RecordingError"
    assert "line 3" in rows[0]["message"]
    cli("process", "walk.csv", "--out", "sessions", "--errors", "errors.csv")
    assert Path("errors.csv").read_text() == "input,error,message\n"


def test_nothing_a_terminal_would_obey_is_printed(cli):
    name = "red\x1b[31m\u202e.csv"
    Path(name).write_bytes(b"good")
    Path("bad\x1b]0;title\x07.csv").write_bytes(b"bad")
    _, _, err = cli("process", name, "bad\x1b]0;title\x07.csv", "--out", "sessions")
    assert "\\x1b[31m" in err
    assert not set(err) & {"\x1b", "\x07", "\u202e"}


def test_check_prints_what_is_there(cli, tmp_path):
    t = np.arange(600) / 100
    columns = {"time_s": t}
    for role in ("upper", "lower"):
        turn = 0.3 * np.sin(t)
        acc = (9.81 * np.cos(turn), 9.81 * np.sin(turn), 0 * t)
        columns |= {f"{role}_acc_{a}": v for a, v in zip("xyz", acc, strict=True)}
        columns |= {f"{role}_gyr_{a}": v for a, v in zip("xyz", (0 * t, 0 * t, -0.3 * np.cos(t)), strict=True)}
    table = np.stack(list(columns.values()), axis=1)
    np.savetxt(tmp_path / "real.csv", table, "%.6f", ",", header=",".join(columns), comments="")
    code, out, err = cli("check", "real.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["sensors"]["upper"]["rows"] == 600
    code, out, err = cli("check", "real.csv")
    assert "rows: 600" in out
    code, out, err = cli("check", "broken.csv")
    assert (code, out) == (1, "")
    assert "error: broken.csv" in err


def test_check_finds_a_damaged_session(cli):
    cli("process", "walk.csv", "--out", "sessions")
    path = Path("sessions/walk/posture.parquet")
    content = bytearray(path.read_bytes())
    content[9999] ^= 1
    path.write_bytes(content)
    code, _, err = cli("check", "sessions/walk")
    assert code == 1
    assert "posture.parquet is damaged" in err


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60, **options
    )


def test_help_is_light():
    code = """
        import sys
        from imuposture.__main__ import cli
        cli.main(["--help"], standalone_mode=False)
        cli.main(["process", "--help"], standalone_mode=False)
        print({"pyarrow", "scipy", "numpy", "bleak", "matplotlib", "rich"} & set(sys.modules))
    """
    assert python("-c", textwrap.dedent(code)).stdout.splitlines()[-1] == "set()"
    assert "process" in python("-m", "imuposture", "--help").stdout
    assert python("-m", "imuposture", "--version").stdout.startswith("imuposture, version ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_work_leaves_nothing(tmp_path, number, code):
    script = f"""
        import sys
        import imuposture
        from test_cli import *

        def endless(recording, *, out, **_):
            with SessionFolder(out, MANIFEST) as sink:
                while True:
                    sink.write(posture(50_000), metrics())
                    print("written", flush=True)

        imuposture.process, imuposture.Config = endless, StubConfig
        sys.argv = ["imuposture", "process", "walk.csv", "--out", {str(tmp_path / "sessions")!r}]
        command_line.main()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for _ in range(3):
        assert child.stdout.readline() == b"written\n", child.stderr.read()
    os.kill(child.pid, number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == code, err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_check_reads_profiles_of_sensors(cli, tmp_path):
    profile = ROOT / "imuposture" / "acquisition" / "drivers" / "profiles" / "microbit.toml"
    code, out, err = cli("check", profile)
    assert code == 0, err
    assert "name: microbit" in out
    (tmp_path / "mine.toml").write_text("[profile]\nnam = 'x'\n")
    code, _, err = cli("check", "mine.toml")
    assert code == 1
    assert "mine.toml: stream: is missing; give it" in err
