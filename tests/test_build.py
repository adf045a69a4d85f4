"""The build: what is named is packed, no header is forgotten, and the debug build catches what the other one cannot."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from imuposture._ext import filtering

ROOT = Path(__file__).parents[1]
EXT = ROOT / "ext"
SETUP = (ROOT / "setup.py").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEBUG_BUILD = ".abi3." not in Path(str(filtering.__file__)).name


def named_in_setup() -> set[str]:
    """Return every file of ext/ that setup.py names, its f-strings spelt out."""
    constants = [
        node for node in ast.parse(SETUP).body if isinstance(node, ast.Assign) and node.targets[0].id.isupper()
    ]
    until = next(k for k, node in enumerate(constants) if node.targets[0].id == "MODULES")
    named: dict = {}
    exec(compile(ast.Module(constants[: until + 1], []), "setup.py", "exec"), {}, named)
    modules = named["MODULES"]
    files = {f"ext/{name}.pyx" for name in modules}
    return files.union(*(group for groups in modules.values() for group in groups))


def test_every_source_of_the_core_is_named():
    # A file that setup.py does not name is missing from the sdist, and a wheel built from that has no core.
    there = {f"ext/{file.name}" for file in EXT.iterdir() if file.suffix in {".c", ".h", ".pxd", ".pyx"}}
    assert named_in_setup() == there


def test_every_header_that_is_included_is_there():
    for file in EXT.iterdir():
        names = re.findall(r'#\s*include\s+"([^"]+)"|cdef extern from "([^"<]+)"', file.read_text(encoding="utf-8"))
        missing = [name for pair in names for name in pair if name and not (EXT / name).exists()]
        assert missing == [], file.name


def test_flags_that_would_change_bits_are_absent():
    flags = re.findall(r'"(-[^"]+)"', SETUP)
    assert "-ffp-contract=off" in flags
    assert {"-ffast-math", "-Ofast", "-march=native"}.isdisjoint(flags)


def test_the_core_needs_no_numpy_to_build():
    assert not [need for need in PROJECT["build-system"]["requires"] if need.startswith("numpy")]


def test_every_extra_and_dependency_is_used_or_known():
    extras = PROJECT["project"]["optional-dependencies"]
    known = {"test", "check", "docs", "virtual"}
    assert set(extras) == known, "an extra for something that is not there yet helps nobody"


@pytest.mark.skipif(not DEBUG_BUILD, reason="the release build has no bounds checks; IMUPOSTURE_DEBUG=1 builds them")
def test_the_debug_build_sees_a_loop_leave_its_array(monkeypatch):
    caught: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: caught.append(event.exc_type))
    section, rows, gap = np.zeros(5), np.zeros((1, 2)), np.zeros(1, np.uint8)
    short = np.zeros((1, 2))  # the state of no channel, where the rows have two
    filtering.advance(section, rows, gap, short, np.zeros_like(rows))
    assert caught == [IndexError], "a noexcept helper can only tell the hook; pytest makes that an error elsewhere"
