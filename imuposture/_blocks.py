"""The nouns that flow: blocks of rows, in the order in which a sample becomes them.

Entry (what a radio brought, as it is kept) -> ImuBlock (one sensor, its own clock) -> PairBlock (both sensors, one
time line) -> OrientationBlock (segment -> earth) -> HeadingBlock (how the two belong together) -> PostureBlock (angles
people read) -> MetricBlock (numbers people act on).

SI inside: s, m/s2, rad/s, rad, uT; quaternions w-first. Degrees only from PostureBlock on, and then in the name.
A block may hold any number of rows, also none; how a recording is cut into blocks never changes a row.
"""

import enum
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ROLES",
    "Entry",
    "EntryKind",
    "Event",
    "Figure",
    "FlagArray",
    "FloatArray",
    "HeadingBlock",
    "ImuBlock",
    "MetricBlock",
    "OrientationBlock",
    "PairBlock",
    "PostureBlock",
    "Quality",
    "Role",
    "SensorRows",
    "Stream",
    "noun",
]

if TYPE_CHECKING:
    from dataclasses import dataclass as noun
else:

    def noun(*, frozen, slots):
        """Make a dataclass that is frozen for type checkers; at run time that would cost more than the rows in it."""
        del frozen
        return dataclass(slots=slots)


FloatArray = NDArray[np.float64]
FlagArray = NDArray[np.uint8]
Role = Literal["upper", "lower"]
ROLES: tuple[Role, Role] = ("upper", "lower")


class Quality(enum.IntFlag):
    """What was wrong with a row, or good to know about it (bits of the column ``quality``)."""

    GAP = 1
    INTERPOLATED = 2
    SATURATED = 4
    UNCALIBRATED = 8
    HEADING_UNKNOWN = 16
    REST = 32
    MAGNETICALLY_DISTURBED = 64
    DUPLICATE_OR_REORDERED = 128


EntryKind = Literal["notification", "read", "link", "command"]


class Entry(NamedTuple):
    """What happened while recording, as the journal keeps it; replaying them gives the rows of the live session.

    Attributes
    ----------
    arrival_ns : int
        Host clock that never jumps (`time.monotonic_ns`), ns.
    kind : str
        ``"notification"`` and ``"read"``: a payload of a sensor. ``"link"``: what became of its connection.
        ``"command"``: what the wearer or the program asked for (calibration steps, marks, pauses, the end).
    role : "upper", "lower" or None
        None: both, or neither.
    generation : int
        Number of the sensor's connection, from 1; what an older connection still brings is dropped.
    channel : int
        Place of the characteristic in `Driver.channels`; 0 for other kinds.
    payload : bytes
        As it came; of links and commands, a JSON object in UTF-8.
    """

    arrival_ns: int
    kind: EntryKind
    role: Role | None
    generation: int
    channel: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """What is known about one sensor's stream before its first row.

    Attributes
    ----------
    role : "upper" or "lower"
    rate_hz : float
        Nominal rate of the samples.
    tick_s : float
        Seconds a tick of the stream's own clock; 1.0 for a clock in seconds.
    wrap_ticks : float or None
        The clock restarts at 0 when it reaches this many ticks; None for a clock that never wraps.
    start_s : float
        Session time of the stream's first sample, s. For a clock in seconds that both sensors share, the
        first tick itself, so that session time is the file's own time.
    acc_full_scale : float or None
        m/s2; samples at or beyond 98 % of it count as saturated. None: unknown.
    gyr_full_scale : float or None
        rad/s, likewise.
    magnetometer : bool
        The blocks hold ``mag``.
    sensor : str
        Name of the driver or format, for the manifest.
    clock : "device", "count" or "host"
        What ticks count: the sensor's own clock; samples, by a sensor that has no clock (then only arrival times can
        tell a loss); or instants that need no fit, as files hold them.
    """

    role: Role
    rate_hz: float
    tick_s: float = 1.0
    wrap_ticks: float | None = None
    start_s: float = 0.0
    acc_full_scale: float | None = None
    gyr_full_scale: float | None = None
    magnetometer: bool = False
    sensor: str = "unknown"
    clock: Literal["device", "count", "host"] = "host"


@noun(frozen=True, slots=True)
class ImuBlock:
    """Rows of one sensor as they came: its own clock, its own frame.

    Attributes
    ----------
    role : "upper" or "lower"
    ticks : (n,) float64, ticks of the stream's own clock (see `Stream`); may wrap, repeat, jump or restart
    acc : (n, 3) float64, m/s2, sensor frame, specific force (+g upwards at rest); NaN where missing
    gyr : (n, 3) float64, rad/s, sensor frame; NaN where missing
    mag : (n, 3) float64, uT, sensor frame, or None; NaN where missing
    flags : (n,) uint8, `Quality` bits known at the source
    quat : (n, 4) float64, w-first, orientation as the sensor itself reckons it, or None; kept beside ours, never used
    arrival_s : float or None
        Host clock at which the notification came that completed these rows, s; None for files.
    """

    role: Role
    ticks: FloatArray
    acc: FloatArray
    gyr: FloatArray
    mag: FloatArray | None = None
    flags: FlagArray | None = None
    quat: FloatArray | None = None
    arrival_s: float | None = None


@noun(frozen=True, slots=True)
class SensorRows:
    """One sensor's part of a `PairBlock`.

    Attributes
    ----------
    acc, gyr : (n, 3) float64, m/s2 and rad/s; sensor frame before calibration, segment frame after it
    mag : (n, 3) float64, uT, or None
    flags : (n,) uint8, `Quality` bits; rows with `Quality.GAP` hold NaN and reach no filter
    quat : (n, 4) float64, w-first, as the sensor itself reckons it, of its sample nearest to the row; NaN or None
        where there is none. Kept beside ours, never used; stages that change a frame drop it
    """

    acc: FloatArray
    gyr: FloatArray
    mag: FloatArray | None
    flags: FlagArray
    quat: FloatArray | None = None


@noun(frozen=True, slots=True)
class PairBlock:
    """Both sensors on one uniform grid.

    Attributes
    ----------
    time_s : (n,) float64, s, session time, increasing
    upper, lower : SensorRows of the same n rows
    """

    time_s: FloatArray
    upper: SensorRows
    lower: SensorRows

    def __len__(self) -> int:
        return len(self.time_s)


@noun(frozen=True, slots=True)
class OrientationBlock:
    """Orientation of one segment.

    Attributes
    ----------
    quat : (n, 4) float64, w-first, segment -> earth (z up; heading arbitrary without a magnetometer); NaN in gaps
    bias : (n, 3) float64, rad/s, the gyroscope bias that was subtracted, segment frame; NaN in gaps
    rest : (n,) bool, the sensor lay still
    disturbed : (n,) bool, the magnetic field could not be trusted; all False without a magnetometer
    """

    quat: FloatArray
    bias: FloatArray
    rest: NDArray[np.bool_]
    disturbed: NDArray[np.bool_]


@noun(frozen=True, slots=True)
class HeadingBlock:
    """Relative heading of the two sensors.

    Attributes
    ----------
    delta : (n,) float64, rad, turn about the vertical that brings the upper sensor's earth frame into the lower's
    sd : (n,) float64, rad, standard deviation of ``delta``; infinite where nothing is known
    state : (n,) uint8, `imuposture.heading.HeadingState`
    """

    delta: FloatArray
    sd: FloatArray
    state: NDArray[np.uint8]


@noun(frozen=True, slots=True)
class PostureBlock:
    """One row an instant of the grid: what is written to posture.parquet, column by column.

    All angles (n,) float64 in degrees; flexion and inclination + forward, lateral bend and side + right, axial
    rotation + right; NaN where nothing can be said. Spinal angles are the Cardan sequence Z-X-Y of the upper
    segment in the lower one (ISB axes), zero in the neutral stance.
    """

    time_s: FloatArray
    upper_q: FloatArray
    lower_q: FloatArray
    flexion_deg: FloatArray
    lateral_bend_deg: FloatArray
    axial_rotation_deg: FloatArray
    flexion_sd_deg: FloatArray
    lateral_bend_sd_deg: FloatArray
    axial_rotation_sd_deg: FloatArray
    upper_forward_deg: FloatArray
    upper_side_deg: FloatArray
    lower_forward_deg: FloatArray
    lower_side_deg: FloatArray
    upper_forward_sd_deg: FloatArray
    upper_side_sd_deg: FloatArray
    lower_forward_sd_deg: FloatArray
    lower_side_sd_deg: FloatArray
    trunk_inclination_deg: FloatArray
    quality: FlagArray
    heading_state: FlagArray  # `imuposture.heading.HeadingState`

    def __len__(self) -> int:
        return len(self.time_s)


def no_posture() -> PostureBlock:
    """Return a block without rows."""
    shapes: dict[str, Any] = {"upper_q": np.empty((0, 4)), "lower_q": np.empty((0, 4))}
    shapes |= dict.fromkeys(("quality", "heading_state"), np.empty(0, np.uint8))
    return PostureBlock(**{member.name: shapes.get(member.name, np.empty(0)) for member in fields(PostureBlock)})


Plane = Literal["flexion", "lateral_bend", "axial_rotation"]
PLANES: tuple[Plane, ...] = get_args(Plane)
Side = Literal["forward", "backward", "right", "left"]
Verdict = Literal["asymmetric", "even", "not_shown", "cannot_tell"]


@dataclass(frozen=True, slots=True)
class Event:
    """A row of events.parquet: something that began and ended.

    ``amplitude_deg`` is >= 0 and counted from the level at the event's start; ``details`` holds the nullable
    columns of single kinds by column name. ``label`` is what it was recognised as: the name of an exercise.
    """

    kind: str
    start_s: float
    end_s: float
    plane: Plane | None = None
    side: Side | None = None
    amplitude_deg: float | None = None
    details: dict[str, float] = field(default_factory=dict)
    label: str | None = None


class Figure(NamedTuple):  # a dataclass takes three times as long to make, and an hour has thousands of them
    """A tidy row of summary.parquet; with ``start_s`` and ``end_s`` a row of windows.parquet.

    ``low`` and ``high`` bound the 95 % interval, ``n`` counts what the value rests on, ``verdict`` says what may
    be concluded, ``definition`` is the id under which docs/metrics.md explains it. ``reason`` says, in plain words, why
    there is no value or why nothing can be told from it; None where there is nothing to explain.
    """

    metric: str
    value: float | None
    unit: str
    definition: str
    plane: str | None = None
    side: str | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    verdict: Verdict | None = None
    start_s: float | None = None
    end_s: float | None = None
    reason: str | None = None


@noun(frozen=True, slots=True)
class MetricBlock:
    """What the metrics found in a block of posture rows (or, from ``finish``, in what they still held)."""

    events: tuple[Event, ...] = ()
    windows: tuple[Figure, ...] = ()
    summary: tuple[Figure, ...] = ()
