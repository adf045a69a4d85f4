"""Bytes of sensors with what they mean, collected from vendors' tests, captures and documents (not in this tree)."""

import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "shared" / "sensors" / "golden.json"
MISSING = "the collection of vectors is not beside the tree"


def vectors(device: str) -> list[Any]:
    """Return the vectors of a device as parameters of a test; a skipped one if the file is not there."""
    if not FILE.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=MISSING))]
    return [pytest.param(vector, id=vector["id"]) for vector in golden(device)]


def golden(device: str) -> list[dict[str, Any]]:
    """Return the vectors of a device, or skip the test if the file is not there."""
    return [vector for vector in _told() if vector["device"] == device]


def golden_of(identifier: str) -> dict[str, Any]:
    """Return one vector, or skip the test if the file is not there."""
    return next(vector for vector in _told() if vector["id"] == identifier)


def _told() -> list[dict[str, Any]]:
    if not FILE.exists():
        pytest.skip(MISSING)
    told: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]
    return told
