"""Lane law: one stream or two lanes, any instruction set, any NumPy and BLAS dispatch: the same bits.

A wrong coefficient satisfies all of this; tests/test_truth.py stands beside it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from second_spine import RATE, ROLES, mixed_work

import imuposture
from imuposture import orientation

LEVELS = ("baseline", "avx2", "avx512")
PROGRAM = """
import hashlib, sys
import numpy as np
from imuposture import orientation, process
from imuposture.fusion import isa_level

recording, streams = sys.argv[1:]
result = process(recording)
whole = hashlib.sha256()
for name in result.posture.column_names:
    values = result.posture[name]
    if name != "timestamp":
        whole.update(name.encode() + values.to_numpy().tobytes())
whole.update(repr([t.to_pylist() for t in (result.events, result.windows, result.summary)]).encode())
print("rows", whole.hexdigest())

with np.load(streams) as data:
    gyr, acc = ([data[f"{role}_{kind}"] for role in ("upper", "lower")] for kind in ("gyr", "acc"))
lanes = orientation(gyr, acc, rate=100.0)
alone = [orientation(g, a, rate=100.0) for g, a in zip(gyr, acc)]
print("lanes", hashlib.sha256(b"".join(q.tobytes() for q in lanes)).hexdigest())
print("alone", hashlib.sha256(b"".join(q.tobytes() for q in alone)).hexdigest())
print("level", isa_level())
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A recording with gaps, and its streams for `orientation`."""
    folder = tmp_path_factory.mktemp("bits")
    back = mixed_work(21, 3.0)
    whole = {f"{role}_{kind}": getattr(back, kind)[role] for role in ROLES for kind in ("acc", "gyr")}
    np.savez(folder / "streams.npz", **whole)
    lost = (back.time_s % 41.0 < 0.3) & (back.time_s > 70.0)
    return back.keep(~lost).write(folder / "bits.csv"), folder / "streams.npz"


def run(inputs, **environment):
    """Return what a fresh interpreter computes in this environment, name -> hash."""
    path = os.pathsep.join([str(Path(imuposture.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, inputs)],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def plain(inputs):
    return run(inputs)


def hashes(found):
    return {name: value for name, value in found.items() if name != "level"}


def test_two_lanes_are_two_streams(plain):
    assert plain["lanes"] == plain["alone"]


@pytest.mark.parametrize("level", LEVELS)
def test_every_instruction_set_gives_the_same_rows(inputs, plain, level):
    try:
        found = run(inputs, IMUPOSTURE_ISA=level)
    except RuntimeError as error:
        if "this processor or build lacks" not in str(error):
            raise
        pytest.skip(f"this processor or build has no {level}")
    assert found["level"] == level
    assert hashes(found) == hashes(plain)


def dispatched():
    """Return the CPU features beyond its baseline that this NumPy uses here."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [feature for feature in __cpu_dispatch__ if __cpu_features__.get(feature)]


def test_numpy_dispatch_changes_no_bit(inputs, plain):
    features = dispatched()
    if not features:
        pytest.skip("this NumPy dispatches nothing on this processor")
    assert hashes(run(inputs, NPY_DISABLE_CPU_FEATURES=" ".join(features))) == hashes(plain)


@pytest.mark.parametrize("core", ["Prescott", "Haswell"])
def test_blas_core_changes_no_bit(inputs, plain, core):
    assert hashes(run(inputs, OPENBLAS_CORETYPE=core, OPENBLAS_NUM_THREADS="1")) == hashes(plain)


def test_the_environment_reaches_the_levels(inputs):
    """The test above would pass if the variable were ignored; a level that does not exist must be refused."""
    with pytest.raises(RuntimeError, match="IMUPOSTURE_ISA asks for 'mmx'"):
        run(inputs, IMUPOSTURE_ISA="mmx")


def test_rows_are_those_of_this_process(inputs, plain):
    with np.load(inputs[1]) as data:
        gyr, acc = ([data[f"{role}_{kind}"] for role in ROLES] for kind in ("gyr", "acc"))
    here = b"".join(quat.tobytes() for quat in orientation(gyr, acc, rate=RATE))
    assert hashlib.sha256(here).hexdigest() == plain["lanes"]


MODULES = sorted((Path(imuposture.__file__).parent / "_ext").glob("*.so"))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name.split(".")[0])
def test_no_fused_multiply_add(module):
    """They round once instead of twice: other bits where the processor has them."""
    if not shutil.which("objdump"):
        pytest.skip("no objdump to look into the module with")
    command = ["objdump", "-d", "--no-show-raw-insn", str(module)]
    code = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert code.count("\n") > 1000
    fused = {word for line in code.splitlines() for word in line.split()[1:2] if word.startswith(("vfm", "vfnm"))}
    assert fused == set()


def test_the_maths_library_is_not_asked():
    """The modules may import square roots at most: libm's sines differ between machines."""
    if not shutil.which("objdump"):
        pytest.skip("no objdump to look into the modules with")
    forbidden = {"sin", "cos", "sincos", "tan", "asin", "acos", "atan", "atan2", "exp", "log", "pow", "hypot", "fma"}
    for module in MODULES:
        symbols = subprocess.run(["objdump", "-T", str(module)], capture_output=True, text=True, check=True).stdout
        imported = {line.split()[-1].split("@")[0] for line in symbols.splitlines() if "*UND*" in line}
        assert imported & forbidden == set(), module.name
