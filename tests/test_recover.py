"""Recovery: a recorder may be killed at any moment; what it acknowledged is there, and the folder becomes a session.

Set IMUPOSTURE_SOAK=1 for 200 kills instead of 10.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from recorded import Walk, entries

from imuposture._errors import SessionError
from imuposture.output import read_entries, recover

KILLS = 200 if "IMUPOSTURE_SOAK" in os.environ else 10
RATE_HZ = 400  # entries of two sensors at 200 Hz
MOST_UNACKNOWLEDGED_S = 1.0

# Imports once, then forks a recorder for each line it reads: the folder to record into. The recorder tells in two
# files how many entries it appended and how many were acknowledged, until it is killed.
RECORDERS = """
    import os, sys, time
    from imuposture.output import Journal
    from recorded import MANIFEST, entry

    def record(folder, rate_hz):
        taken, kept = (os.open(folder + end, os.O_RDWR | os.O_CREAT) for end in (".taken", ".kept"))
        told = lambda count: os.pwrite(kept, b"%12d" % count, 0)
        journal = Journal(folder, MANIFEST, on_acknowledged=told)
        begin, number = time.monotonic(), 0
        while True:
            while number < rate_hz * (time.monotonic() - begin):
                journal.append(entry(number))
                number += 1
                os.pwrite(taken, b"%12d" % number, 0)
            time.sleep(0.002)

    for line in sys.stdin:
        child = os.fork()
        if not child:
            record(line.strip(), float(sys.argv[1]))
        print(child, flush=True)
        os.waitpid(child, 0)
"""


@pytest.fixture
def recorders():
    """Start recorders: given a folder, returns the process number."""
    if not hasattr(os, "fork"):
        pytest.skip("recorders are forked")
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(RECORDERS), str(RATE_HZ)],
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def start(folder: Path) -> int:
        run.stdin.write(f"{folder}\n")
        run.stdin.flush()
        return int(run.stdout.readline())

    yield start
    run.stdin.close()
    run.wait(10)
    run.stdout.close()


def told(folder: Path, end: str) -> int:
    path = folder.with_name(folder.name + end)
    return int(path.read_text() or 0) if path.exists() else 0


def test_kills_at_any_moment_lose_nothing_acknowledged(tmp_path, recorders):
    rng = random.Random(11)
    states = []
    for kill in range(KILLS):
        folder = tmp_path / f"s{kill}"
        process = recorders(folder)
        time.sleep(rng.choice([0.02, 0.2, 1.5]) * rng.random() if kill else 1.2)
        os.kill(process, signal.SIGKILL)
        while folder.exists() and recording(folder):
            time.sleep(0.005)
        acknowledged, appended = told(folder, ".kept"), told(folder, ".taken")
        if not folder.exists():
            assert not acknowledged
            continue
        done = recover(folder, lambda _: Walk())
        states.append(done.state)
        assert acknowledged <= done.entries <= appended + 1  # it may have died between the two
        assert appended - done.entries <= MOST_UNACKNOWLEDGED_S * RATE_HZ
        assert done.damaged == ()
        if done.state == "recovered":
            assert list(read_entries(folder)) == entries(done.entries)
            done.result.verify()
    assert states.count("recovered") > KILLS / 3


def recording(folder: Path) -> bool:
    """Tell whether the recorder still holds its folder: a process takes a moment to die."""
    try:
        recover(folder, lambda _: pytest.fail("it is still recorded"))
    except SessionError as error:
        return "in use" in str(error)
    except BaseException:
        return False
    return False
