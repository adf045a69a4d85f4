"""Bytes of sensors with what they mean, collected from vendors' tests, captures and documents (not in this tree)."""

import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "shared" / "sensors" / "golden.json"


def vectors(device: str) -> list[Any]:
    """Return the vectors of a device as parameters of a test; a skipped one if the file is not there."""
    if not FILE.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason="the collection of vectors is not beside the tree"))]
    told = json.loads(FILE.read_text(encoding="utf-8"))["vectors"]
    return [pytest.param(vector, id=vector["id"]) for vector in told if vector["device"] == device]
