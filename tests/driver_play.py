"""A sensor that plays along: steps of a procedure are answered from a script; and the shared file of vectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imuposture.acquisition.drivers import Answer, Await, Procedure, Step, Write

SHARED = Path(__file__).parents[2] / "shared" / "sensors" / "golden.json"


def played(procedure: Procedure, answer: Callable[[Step], Answer | Exception]) -> list[Step]:
    """Carry a procedure out and return its steps; an answer that is an exception is thrown into it."""
    steps: list[Step] = []
    try:
        step = next(procedure)
        while True:
            steps.append(step)
            told = answer(step)
            step = procedure.throw(told) if isinstance(told, Exception) else procedure.send(told)
    except StopIteration:
        return steps


def silent(step: Step) -> Answer | Exception:
    """Answer nothing: what is waited for never comes."""
    return TimeoutError() if isinstance(step, Await) else None


def written(steps: list[Step]) -> list[str]:
    """Return what was written, as hexadecimal digits."""
    return [step.data.hex() for step in steps if isinstance(step, Write)]


def golden(device: str) -> list[dict[str, Any]]:
    """Return the vectors of a device from the shared file, or skip the test."""
    if not SHARED.exists():
        pytest.skip(f"the shared vectors are not beside the repository ({SHARED.parent.name}/{SHARED.name})")
    vectors: list[dict[str, Any]] = json.loads(SHARED.read_text(encoding="utf-8"))["vectors"]
    return [vector for vector in vectors if vector["device"] == device]
