"""Closing: the journal becomes the session, or it stays; whenever it is interrupted, once more gives the same rows."""

import os

from recorded import MANIFEST, Walk, recorded

from imuposture.output import close_session, open_sessions, read_entries


def test_a_closed_session_holds_what_was_recorded(tmp_path):
    given = recorded(tmp_path / "s")
    result = close_session(tmp_path / "s", Walk(), {"device": "told at the end"})
    assert sorted(os.listdir(tmp_path / "s")) == [
        "events.parquet",
        "notifications.parquet",
        "posture.parquet",
        "samples.parquet",
        "session.json",
        "summary.parquet",
        "windows.parquet",
    ]
    assert list(read_entries(tmp_path / "s")) == given
    assert result.manifest["state"] == "closed"
    assert result.manifest["journal"] == {"entries": 2000, "damaged": []}
    assert result.manifest["placement"] == MANIFEST["placement"]
    assert result.manifest["device"] == "told at the end"
    assert result.manifest["notes"] == ["2000 entries were walked"]
    assert result.events["kind"].to_pylist() == ["mark"] * 2
    assert result.posture.num_rows == 997
    result.verify()
    assert open_sessions(tmp_path / "s").posture.num_rows == 997
