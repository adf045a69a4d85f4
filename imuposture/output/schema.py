"""The six tables of a session folder: every column with its type, unit and meaning.

The schema is fixed and versioned. A column may be added if it is nullable; nothing is renamed, retyped or removed
without a new ``SCHEMA_VERSION``. Null means: nothing can be said here (a gap, no calibration, no heading yet).
"""

import json
from dataclasses import dataclass

import pyarrow as pa

from imuposture._blocks import ROLES, Quality

__all__ = ["EVENT_DETAILS", "SCHEMA_VERSION", "TABLES", "Column", "arrow_schema", "detail_column", "extended"]

SCHEMA_VERSION = 1

_F64, _F32 = pa.float64(), pa.float32()
_TEXT = pa.string()
_ANGLES = ("flexion", "lateral_bend", "axial_rotation")
_SIGNS = {"flexion": "forward +", "lateral_bend": "right +", "axial_rotation": "right +"}
_INCLINATIONS = ("upper_forward", "upper_side", "lower_forward", "lower_side")
_UNIT_OF_SUFFIX = {"_deg": "deg", "_degps": "deg/s", "_deg_s": "deg/s", "_s": "s", "_min": "min", "_hz": "Hz"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``unit`` is None for text and ``"1"`` for numbers without a dimension."""

    name: str
    type: pa.DataType
    unit: str | None
    description: str
    nullable: bool = True

    def field(self, **extra: str) -> pa.Field:
        """Return the Arrow field, with unit and description (and ``extra``) in its metadata."""
        metadata = {"description": self.description, **extra}
        if self.unit is not None:
            metadata["unit"] = self.unit
        return pa.field(self.name, self.type, self.nullable, metadata)


def _posture() -> tuple[Column, ...]:
    relative = "of the upper segment in the lower one (Cardan Z-X-Y), zero in the neutral stance"
    columns = [
        Column("time_s", _F64, "s", "session time; of a processed file, the file's own time", nullable=False),
        Column("timestamp", pa.timestamp("us", "UTC"), "us", "UTC of the row, where the start is known"),
    ]
    for role in ROLES:
        columns += [Column(f"{role}_q{c}", _F32, "1", f"{role} segment to earth, quaternion {c}") for c in "wxyz"]
    columns += [Column(f"{a}_deg", _F64, "deg", f"{a.replace('_', ' ')} {relative}; {_SIGNS[a]}") for a in _ANGLES]
    error = "standard deviation; mounting, soft tissue and heading included"
    columns += [Column(f"{a}_sd_deg", _F32, "deg", f"{a.replace('_', ' ')}, {error}") for a in _ANGLES]
    for name in _INCLINATIONS:
        segment, way = name.split("_")
        sign = "right" if way == "side" else "forward"
        columns.append(Column(f"{name}_deg", _F64, "deg", f"{segment} segment against gravity, {way}; {sign} +"))
    columns += [
        Column(f"{n}_sd_deg", _F32, "deg", f"{n.replace('_', ' ')}, standard deviation; mounting included")
        for n in _INCLINATIONS
    ]
    columns.append(Column("trunk_inclination_deg", _F64, "deg", "whole trunk against gravity; forward +"))
    columns.append(Column("quality", pa.uint8(), "1", "bits: what was wrong with the row", nullable=False))
    states = "what the relative heading rests on: 0 unknown, 1 a stance, 2 holds, 3 bends or gait, 4 nothing of late"
    columns.append(Column("heading_state", pa.uint8(), "1", states))
    return tuple(columns)


_FIGURE = (
    Column("metric", _TEXT, None, "what was counted or measured", nullable=False),
    Column("plane", _TEXT, None, "flexion, lateral_bend, axial_rotation, or null for none"),
    Column("side", _TEXT, None, "forward, backward, right, left, or null for none or both"),
    Column("value", _F64, "see column unit", "the figure; null when it cannot be told"),
    Column("unit", _TEXT, None, "unit of value, low and high", nullable=False),
    Column("low", _F64, "see column unit", "lower bound of the 95 % interval"),
    Column("high", _F64, "see column unit", "upper bound of the 95 % interval"),
    Column("n", pa.int64(), "1", "how many observations the value rests on"),
    Column("verdict", _TEXT, None, "asymmetric, even, not_shown, cannot_tell, or null for a figure without one"),
    Column("definition", _TEXT, None, "id of the definition in docs/metrics.md", nullable=False),
    Column("reason", _TEXT, None, "why there is no value, or why the verdict is what it is; null: nothing to explain"),
)

_THIRDS = ("first", "middle", "last")
_PHASES = tuple(
    column
    for way in ("out", "back")
    for column in (
        Column(f"{way}_s", _F64, "s", f"duration of the way {way}, holds left out"),
        Column(
            f"sparc_{way}", _F64, "1", f"smoothness of the way {way}: spectral arc length, less negative is smoother"
        ),
        Column(f"ldlj_{way}", _F64, "1", f"smoothness of the way {way}: log dimensionless jerk; null in noise"),
        Column(f"slowings_{way}", _F64, "1", f"how often the way {way} slowed down and sped up again"),
    )
)

# Nullable columns of single kinds of event; a plug-in may add others, see `detail_column`.
EVENT_DETAILS = (
    Column("level_deg", _F64, "deg", "angle at its start"),
    Column("peak_deg", _F64, "deg", "largest angle; forward and right +"),
    Column("held_deg", _F64, "deg", "largest angle held for 0.5 s"),
    Column("time_to_peak_s", _F64, "s", "from its start to the largest angle"),
    Column("mean_speed_degps", _F64, "deg/s", "path of the angle over its duration"),
    Column("peak_speed_degps", _F64, "deg/s", "largest speed of the angle"),
    Column("out_of_plane", _F64, "1", "largest movement in another plane, as a share of the amplitude"),
    *(Column(f"coupled_{a}_deg", _F64, "deg", f"movement in {a} from its start to its peak") for a in _ANGLES),
    Column("sd_deg", _F64, "deg", "mean standard deviation of the angle during it"),
    *_PHASES,
    Column("hold_s", _F64, "s", "from the end of the way out to the beginning of the way back"),
    Column("lean_deg", _F64, "deg", "trunk inclination at its start, of holds during them; forward +"),
    Column("repetitions", _F64, "1", "repetitions of a set; 1 of a hold"),
    Column("spread_share", _F64, "1", "standard deviation of the sizes in a set, as a share of their mean"),
    Column("seconds", _F64, "s", "median duration of the repetitions of a set"),
    Column(
        "side_difference_deg",
        _F64,
        "deg",
        "sets to both sides in turn: median size right - left, or forward - backward",
    ),
    Column("pelvis_deg", _F64, "deg", "forward bends: how far the lower segment went with them"),
    Column("lumbar_share", _F64, "1", "forward bends: share of the spine in the way of the trunk"),
    *(Column(f"lumbar_share_{t}", _F64, "1", f"the same in the {t} third of the way") for t in _THIRDS),
    Column("coupling_deg", _F64, "deg", "forward bends: mean coupling angle; 0 spine alone, 90 pelvis alone"),
    Column("coupling_early_deg", _F64, "deg", "the same in the first 38 % of the way"),
    Column("steps", _F64, "1", "walks: feet that came down"),
    Column("cadence_spm", _F64, "1/min", "walks: steps a minute, of the median steady steps"),
    Column("step_regularity", _F64, "1", "walks: of the upward acceleration, from step to step"),
    Column("stride_regularity", _F64, "1", "walks: of the upward acceleration, from stride to stride"),
    Column("harmonic_ratio", _F64, "1", "walks: of the upward acceleration"),
    Column("gait_asymmetry", _F64, "%", "walks: share of the mean stride that half a stride later is not mirrored"),
    Column("step_time_difference_s", _F64, "s", "walks: mean right step less mean left step"),
    Column("rule", _F64, "1", "alerts and rewards: number of the feedback rule, from 1"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "posture": _posture(),
    "events": (
        Column(
            "kind",
            _TEXT,
            None,
            "repetition, bout, break, gap, step, walk, sitting, alert, ...",
            nullable=False,
        ),
        Column("plane", _TEXT, None, "flexion, lateral_bend, axial_rotation, or null for none"),
        Column("side", _TEXT, None, "forward, backward, right, left, or null for none"),
        Column("start_s", _F64, "s", "session time at which it began", nullable=False),
        Column("end_s", _F64, "s", "session time at which it ended", nullable=False),
        Column("amplitude_deg", _F64, "deg", "largest excursion from the level at its start, >= 0"),
        *EVENT_DETAILS,
        Column("label", _TEXT, None, "what it was recognised as: the name of an exercise, or null"),
    ),
    "windows": (
        Column("start_s", _F64, "s", "session time at which the window begins", nullable=False),
        Column("end_s", _F64, "s", "session time at which the window ends", nullable=False),
        *_FIGURE,
    ),
    "summary": _FIGURE,
    "samples": (
        Column("time_s", _F64, "s", "session time; of a processed file, the file's own time", nullable=False),
        Column("role", _TEXT, None, "upper or lower sensor", nullable=False),
        *(Column(f"acc_{a}_mps2", _F64, "m/s2", f"specific force, sensor {a} axis") for a in "xyz"),
        *(Column(f"gyr_{a}_radps", _F64, "rad/s", f"angular rate, sensor {a} axis") for a in "xyz"),
        *(Column(f"mag_{a}_ut", _F64, "uT", f"magnetic field, sensor {a} axis") for a in "xyz"),
        Column("temperature_c", _F32, "Cel", "temperature of the sensor"),
        Column("flags", pa.uint8(), "1", "bits known at the source", nullable=False),
        *(Column(f"sensor_q{c}", _F32, "1", f"orientation as the sensor reckons it, quaternion {c}") for c in "wxyz"),
    ),
    "notifications": (
        Column("number", pa.int64(), "1", "place in the journal, from 0; a missing one was damaged", nullable=False),
        Column("arrival_ns", pa.int64(), "ns", "host clock that never jumps; it has its own zero", nullable=False),
        Column("kind", _TEXT, None, "notification, read, link, command", nullable=False),
        Column("role", _TEXT, None, "upper or lower sensor, or null for both or neither"),
        Column("generation", pa.uint32(), "1", "number of the connection of that sensor, from 1", nullable=False),
        Column("channel", pa.uint16(), "1", "characteristic, by its place in the driver's list", nullable=False),
        Column("payload", pa.binary(), None, "as it came; JSON of links and commands", nullable=False),
        Column("crc32", pa.uint32(), "1", "CRC-32 of the row as the journal packed it", nullable=False),
    ),
}


def _bits() -> str:
    """Name the bits of a quality column: ``{"0": "gap", ...}`` as JSON."""
    return json.dumps({str(bit.value.bit_length() - 1): (bit.name or "").lower() for bit in Quality})


def arrow_schema(table: str) -> pa.Schema:
    """Return the Arrow schema of one of `TABLES`, with unit and description in the metadata of each field."""
    bits = {"bits": _bits()}
    fields = [c.field(**bits) if c.name in {"quality", "flags"} else c.field() for c in TABLES[table]]
    return pa.schema(fields, {"imuposture": json.dumps({"table": table, "schema_version": SCHEMA_VERSION})})


def detail_column(name: str) -> Column:
    """Describe an event detail that is not in the fixed schema; its unit is read from the end of its name."""
    suffix = max((s for s in _UNIT_OF_SUFFIX if name.endswith(s)), key=len, default="")
    return Column(name, _F64, _UNIT_OF_SUFFIX.get(suffix, "1"), "given by a metric; see its documentation")


def extended(schema: pa.Schema, names: set[str]) -> pa.Schema:
    """Return ``schema`` with nullable detail columns for those ``names`` it does not have, in alphabetical order."""
    for name in sorted(names - set(schema.names)):
        schema = schema.append(detail_column(name).field())
    return schema
