"""The public names: all of them there, documented, and documented as they are."""

import ast
import dataclasses
import importlib
import inspect
import os
import re
import textwrap
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import imuposture

PACKAGE = Path(imuposture.__file__).parent
MODULES = sorted(
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for file in PACKAGE.rglob("*.py")
    if "_ext" not in file.parts
)
SECTION = re.compile(r"^(\w[\w ]*)\n-+$", re.MULTILINE)
PUBLIC = [
    "AcquisitionError",
    "CalibrationError",
    "Config",
    "ConfigError",
    "DecodeError",
    "ImuPostureError",
    "Parameters",
    "Person",
    "Pipeline",
    "PluginError",
    "RecordingError",
    "Result",
    "SensorModel",
    "SessionError",
    "SignalError",
    "Simulation",
    "by_task",
    "gait",
    "open_sessions",
    "orientation",
    "process",
    "record",
    "recover",
    "replay",
    "scan",
    "score",
    "simulate",
    "smoothed_orientation",
    "stream",
    "trends",
]


def public_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the classes and functions that a module defines and names in ``__all__``, and their public methods."""
    for name in getattr(module, "__all__", ()):
        member = getattr(module, name)
        if getattr(member, "__module__", None) != module.__name__ or not callable(member):
            continue
        yield name, member
        if inspect.isclass(member):
            for inner, wrapped in vars(member).items():
                method = getattr(wrapped, "__func__", wrapped)  # of a classmethod, the function
                if not inner.startswith("_") and inspect.isfunction(method):
                    yield f"{name}.{inner}", method


def sections(member: Any) -> dict[str, str]:
    """Split a numpydoc docstring: title -> text."""
    parts = SECTION.split(inspect.getdoc(member) or "")
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def listed(text: str) -> list[str]:
    """Return the names at the left margin of a Parameters, Attributes or Raises section."""
    heads = [line.partition(" :")[0] for line in text.splitlines() if line and not line[0].isspace()]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def taken(member: Any) -> list[str]:
    """Return the parameters that a caller gives."""
    names = list(inspect.signature(member.__init__ if inspect.isclass(member) else member).parameters)
    return [name for name in names if name not in {"self", "cls"} and not name.startswith("_")]


def raised(member: Any) -> set[str]:
    """Return the imuposture errors that the body itself raises; what helpers raise is not seen here."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(member)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    return {name for name in names if name in PUBLIC}


def is_installed() -> bool:
    try:
        metadata("imuposture")
    except PackageNotFoundError:
        return False
    return True


# A tree on the path will do for other tests; CI always installs, and there a missing installation must show.
installed = pytest.mark.skipif(
    not is_installed() and "CI" not in os.environ, reason="imuposture is not installed, only found; run: make test"
)


def test_the_public_names():
    assert sorted(imuposture.__all__) == sorted(PUBLIC)
    assert imuposture.__all__ == sorted(imuposture.__all__)
    for name in imuposture.__all__:
        assert getattr(imuposture, name).__name__ == name
    assert set(imuposture.__all__) < set(dir(imuposture))


def test_an_unknown_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match="no attribute 'proces'"):
        _ = imuposture.proces  # a misspelling, on purpose


def test_every_error_is_caught_by_its_base():
    errors = [getattr(imuposture, name) for name in imuposture.__all__ if name.endswith("Error")]
    assert all(issubclass(error, imuposture.ImuPostureError) for error in errors)
    drawn = inspect.getdoc(importlib.import_module("imuposture._errors")) or ""
    assert [error.__name__ for error in errors if error.__name__ not in drawn] == []


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are_for(name):
    assert (importlib.import_module(name).__doc__ or "").strip()


def test_public_names_exist_and_are_sorted_out():
    for name in MODULES:
        module = importlib.import_module(name)
        exported = getattr(module, "__all__", [])
        assert len(exported) == len(set(exported)), name
        assert [member for member in exported if not hasattr(module, member)] == [], name


def faults(member: Any) -> Iterator[str]:
    """Yield where the docstring and the code part."""
    text = sections(member)
    if not inspect.getdoc(member):
        yield "no docstring"
    if "Parameters" in text and listed(text["Parameters"]) != taken(member):
        yield f"documents {listed(text['Parameters'])}, takes {taken(member)}"
    if "Attributes" in text and dataclasses.is_dataclass(member) and "Parameters" not in text:
        own = {field.name for field in dataclasses.fields(member) if field.init} & set(vars(member)["__annotations__"])
        yield from sorted(name for name in own - set(listed(text["Attributes"])) if not name.startswith("_"))
    if not inspect.isclass(member):
        yield from sorted(raised(member) - set(listed(text.get("Raises", ""))))


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_say_what_the_code_does(name):
    found = {inner: list(faults(member)) for inner, member in public_names(importlib.import_module(name))}
    assert {inner: told for inner, told in found.items() if told} == {}


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.endswith("Error")])
def test_what_people_import_is_documented_in_full(name):
    member = getattr(imuposture, name)
    text = sections(member)
    given = taken(member) if not dataclasses.is_dataclass(member) else [f.name for f in dataclasses.fields(member)]
    assert not given or {"Parameters", "Attributes"} & set(text)
    if inspect.isfunction(member):
        assert "Returns" in text
        assert "Raises" in text


@installed
@pytest.mark.parametrize("group", ["imuposture.readers", "imuposture.metrics"])
def test_entry_points_lead_somewhere(group):
    found = entry_points(group=group)
    assert found
    for entry in found:
        assert callable(entry.load()), entry.name


@installed
def test_metadata():
    told = metadata("imuposture")
    assert told["Version"] == imuposture.__version__
    assert told["License-Expression"] == "MIT"
    assert told["Requires-Python"] == ">=3.11"
    supported = {line for line in told.get_all("Classifier", []) if ":: 3." in line}
    assert supported == {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)}
