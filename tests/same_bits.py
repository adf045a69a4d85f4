"""What the tests of bits share: every instruction set, both kinds of filter, and blocks compared column by column."""

from dataclasses import fields

import numpy as np
import pytest

from imuposture._ext import fusion as _ext
from imuposture.fusion import streams

__all__ = ["BOTH", "LEVELS", "assert_same_bits", "columns"]

LEVELS = [
    pytest.param(
        i, marks=pytest.mark.skipif(not _ext.level_available(i), reason=f"this processor has no {name}"), id=name
    )
    for i, name in enumerate(streams.LEVELS)
]
BOTH = pytest.mark.parametrize("magnetometer", [False, True], ids=["6-axis", "9-axis"])


def columns(block):
    return {field.name: getattr(block, field.name) for field in fields(block)}


def assert_same_bits(block, expected):
    assert type(block) is type(expected)
    for name, values in columns(expected).items():
        np.testing.assert_array_equal(getattr(block, name), values, err_msg=name)
