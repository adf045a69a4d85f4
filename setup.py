"""Compile ext/NAME.pyx into imuposture._ext.NAME; everything else is declared in pyproject.toml."""

import os
import sys
import sysconfig
from collections import defaultdict
from threading import Lock

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Named, not globbed: a file missing from the sdist must fail the build, not give a wheel without a core.
# Value: C files linked into the module, then the headers and .pxd it includes.
KERNELS = [f"ext/fusion_{part}.c" for part in ("avx2", "avx2_pair", "avx512", "levels", "scalar", "sse2", "tuning")]
STEP = [f"ext/fusion{part}.h" for part in ("", "_algebra", "_heading", "_lanes", "_run", "_step")]
MODULES = {
    "alignment": ([], []),
    "calibration": ([], ["ext/spatial.h"]),
    "checks": ([], []),
    "doubt": ([], []),
    "filtering": ([], ["ext/spatial.h"]),
    "fusion": (KERNELS, STEP),
    "heading": (
        [],
        ["ext/spatial.h", *(f"ext/pair_{part}.h" for part in ("filter", "hinge", "smoother", "sources", "state"))],
    ),
    "kinematics": (
        ["ext/kinematics_avx2.c", "ext/kinematics_baseline.c"],
        ["ext/kinematics.h", "ext/kinematics_rows.h", "ext/spatial.h"],
    ),
    "movements": ([], ["ext/movement_state.pxd"]),
    "profiles": ([], []),
    "seconds": ([], []),
    "smoothing": (
        [*(f"ext/smoothing_{part}.c" for part in ("bias", "lanes", "north")), *reversed(KERNELS)],
        [*STEP, "ext/smoothing.h"],
    ),
    "stays": ([], ["ext/spatial.h"]),
    "strides": ([], ["ext/harmonics.pxd"]),
    "tallies": ([], ["ext/spatial.h"]),
}
DEBUG = bool(os.environ.get("IMUPOSTURE_DEBUG"))
SANITIZED = bool(os.environ.get("IMUPOSTURE_SANITIZE"))
# abi3 wheels serve every later CPython; the free-threaded build has no stable ABI yet and gets its own wheel.
ABI3 = not sysconfig.get_config_var("Py_GIL_DISABLED") and not DEBUG
# -ffp-contract=off and no SLP vectoriser: gcc's SLP pass emits fused multiply-adds in spite of the former, and
# the rows must have the same bits on every machine. Never -ffast-math (NaN marks gaps), never -march=native.
GNU_FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fno-tree-slp-vectorize", "-fno-math-errno", "-fno-trapping-math"]
# The step of a filter is one long chain of instructions: those that nobody waits for should stand where others wait.
LONG_CHAINS = set() if sys.platform == "win32" or SANITIZED else {"fusion", "smoothing"}
SCHEDULING = ["-fschedule-insns", "-fsched-pressure"]
FLAGS = ["/O2", "/fp:precise"] if sys.platform == "win32" else GNU_FLAGS
# A read beyond an array, or what C leaves undefined, ends the interpreter and says where (.ci/sanitize). Casts of NaN
# and of huge numbers to integers are undefined too, but no part of "undefined".
SANITIZERS = ["-fsanitize=address,undefined,float-cast-overflow"] if SANITIZED else []
SLOWER = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"] if SANITIZED else []


class SideBySide(build_ext):
    """Compile modules side by side, and what two of them share once: half of the time are the kernels of the fusion."""

    def build_extensions(self):
        compile_one, locks, done = self.compiler._compile, defaultdict(Lock), set()

        def once(obj, *how):
            with locks[obj]:
                if obj not in done:
                    compile_one(obj, *how)
                done.add(obj)

        self.compiler._compile = once
        self.parallel = os.cpu_count()
        super().build_extensions()


# Objects of one kind of build would be taken for up to date by another.
KIND = "-sanitized" * SANITIZED + "-debug" * DEBUG

setup(
    cmdclass={"build_ext": SideBySide},
    ext_modules=cythonize(
        [
            Extension(
                f"imuposture._ext.{name}",
                [f"ext/{name}.pyx", *sources],
                # depends= also carries the .pyx and headers into the sdist, where cythonize has swapped sources for C
                depends=[f"ext/{name}.pyx", *sources, *headers],
                include_dirs=["ext"],
                extra_compile_args=[*FLAGS, *SCHEDULING * (name in LONG_CHAINS), *SANITIZERS, *SLOWER],
                extra_link_args=SANITIZERS,
                define_macros=[("Py_LIMITED_API", "0x030B0000")] if ABI3 else [],
                py_limited_api=ABI3,
            )
            for name, (sources, headers) in MODULES.items()
        ],
        include_path=["ext"],
        build_dir=f"build{KIND}/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": not DEBUG,
            "freethreading_compatible": True,
        },
    ),
    options={"build": {"build_base": f"build{KIND}"}} | ({"bdist_wheel": {"py_limited_api": "cp311"}} if ABI3 else {}),
)
