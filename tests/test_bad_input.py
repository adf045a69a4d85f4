"""Bad input is refused with one of our errors, which says where, what, and what to do; nothing crashes or hangs."""

from pathlib import Path

import input_corpus as corpus
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from imuposture import _errors
from imuposture.acquisition.readers import describe, open_pair, open_recording

REFUSED = (_errors.RecordingError, _errors.ConfigError)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", corpus.CASES)
def test_a_bad_file_is_refused_in_words(name: str, tmp_path: Path) -> None:
    bad = corpus.CASES[name]
    path = bad.write(tmp_path)
    with pytest.raises(REFUSED) as refused:
        describe(open_recording(path))
    message = str(refused.value)
    for word in bad.words:
        assert any(choice in message for choice in word.split("|")), message
    assert message.isprintable()
    assert len(message) < 1200
