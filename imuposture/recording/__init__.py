"""Recording: sensors -> journal -> rows, live; and at the end a session.

`sources` says where entries come from (`radio_source`, `virtual_worlds`, `file_source`), `recorder` takes them to the
journal, the walk and to whoever wants rows, `live` hands these out (`record`, `stream`), `feed` keeps slow readers
away from the radio, `outcome` says how it ended, `selftest` looks at one sensor. Provisional: may still change.
"""

from imuposture.recording.live import Live, record, record_async, stream
from imuposture.recording.outcome import Outcome, SensorTally
from imuposture.recording.recorder import Recorder
from imuposture.recording.sources import source_of
from imuposture.recording.wishes import Wishes

__all__ = ["Live", "Outcome", "Recorder", "SensorTally", "Wishes", "record", "record_async", "source_of", "stream"]
