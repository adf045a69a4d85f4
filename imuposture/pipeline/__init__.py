"""The walk of a sample through every stage.

`walk` is it, `smoothed` the same with hindsight, `live` the same from what a radio brings. `config` holds what decides
a row, `commands` what may be asked for on the way, `rows` what comes out, `findings` what is known only at the end.
`remembered` is the walk that a manifest tells of, `file_driver` lets a file walk the way of the radio, `hindsight` has
better times for whole recordings.
"""

from imuposture.pipeline.config import Config
from imuposture.pipeline.findings import Findings
from imuposture.pipeline.live import LivePipeline, LiveSensor
from imuposture.pipeline.rows import Rows, join_blocks, join_pairs, join_rows, pieces
from imuposture.pipeline.smoothed import SmoothedPipeline
from imuposture.pipeline.walk import Pipeline

__all__ = [
    "Config",
    "Findings",
    "LivePipeline",
    "LiveSensor",
    "Pipeline",
    "Rows",
    "SmoothedPipeline",
    "join_blocks",
    "join_pairs",
    "join_rows",
    "pieces",
]
