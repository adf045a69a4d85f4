"""What every metric is told before its first row, and what every metric must be able to do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, sqrt
from typing import Any, Protocol

from imuposture._blocks import PLANES, MetricBlock, Plane, Side
from imuposture._checks import number
from imuposture._errors import ConfigError
from imuposture.metrics._templates import templates
from imuposture.metrics.segmentation import Observed

__all__ = [
    "NO_ANGLES",
    "NO_REPETITION",
    "NO_ROWS",
    "SIDED_PLANES",
    "SIDES",
    "THRESHOLDS",
    "Metric",
    "MetricContext",
    "MetricFactory",
]

SIDED_PLANES: tuple[Plane, ...] = ("lateral_bend", "axial_rotation")

SIDES: dict[Plane, tuple[Side, Side]] = {
    "flexion": ("forward", "backward"),
    "lateral_bend": ("right", "left"),
    "axial_rotation": ("right", "left"),
}

# Why a figure holds nothing, in the words of the column ``reason``.
NO_ANGLES = "no spinal angles: they need both sensors and a calibration"
NO_ROWS = "no usable rows"
NO_REPETITION = "no repetition to this side"

# People return to a neutral stance within about 2 degrees (docs/metrics.md, "The neutral stance").
NEUTRAL_SD_DEG = 2.0
# Degrees of freedom behind the error of a rotation: a few bends and holds tell the heading, and how well it is known.
# Small: wide; large: takes that error for a known one, and reports of even backs err (benchmarks/metrics_movements.py).
HEADING_DF = 10.0
# People's skin is measured in bends of about this size (docs/metrics.md, "Shared errors").
SOFT_TISSUE_AT_DEG = 45.0
# What stands in every session; others by `imuposture score` (docs/metrics.md, Threshold sets).
THRESHOLDS = ("iso11226+en1005-4/jomt2020", "en1005-4", "iso11226")


def _neutral_default() -> dict[Plane, float]:
    return dict.fromkeys(PLANES, NEUTRAL_SD_DEG)


@dataclass(frozen=True, slots=True)
class MetricContext:
    """What the rows cannot say about themselves.

    Attributes
    ----------
    rate_hz : float
        Rows a second of the uniform grid.
    placement : str
        Where the two sensors sat, as in the manifest, e.g. ``"t12_s2"``; part of the definition ids of ranges.
    calibrated : bool
        False: spinal angles are null, every left/right verdict is ``cannot_tell``.
    neutral_sd_deg : mapping of plane to float, degrees
        Standard deviation of the neutral stance, best from repeated stances; planes left out take 2 degrees.
    soft_tissue_sd_deg : float, degrees
        Standard deviation with which skin and clothing turn a sensor over the bone in a movement of 45 degrees; grows
        with the movement.
    facing_sd_deg : float, degrees
        Standard deviation of how well "forward" is known, mounting and heading together. It turns part of a forward
        bend into a sideways one: figures counted from a repetition's own start carry it with the forward bend.
    window_s : float, s
        Length of a window of windows.parquet, aligned to the first row.
    even_within_deg : float, degrees
        A difference is called even when it is shown to lie within plus and minus this much. Small: rarely shown;
        large: hides what matters. 5 degrees is the least that exceeds published errors of R - L ranges.
    report_error : float
        Share of reports that may hold a false verdict (Holm's procedure).
    dead_band_deg : float, degrees
        Time and dose right or left count beyond this angle; twice the default error of a neutral stance and more.
    thresholds : tuple of str
        Threshold sets that the classes of exposure are counted under, by their ids.
    own_range_deg : mapping of "plane.side" to float, degrees
        How far this person goes, from a range-of-motion test: ``{"lateral_bend.right": 24.0}``. Empty: not known.
    age_years : float or None
        Age of the wearer, for published ranges; None: not known.
    exercises : mapping of name to table
        Templates of exercises besides those that come with the package (`imuposture/metrics/exercises.toml`).
    baseline : mapping of "metric.plane.side" to numbers
        The same figures of earlier sessions of this person, worn at the same place: what changes are counted from.
    feedback : str or None
        Feedback rules as TOML; None for those of the package.
    bouts : tuple of (start, end), s, or None
        Spans known to be walking, in order: every step inside is one, and none outside. None: walks are found.

    Raises
    ------
    ConfigError
        If a number is out of its limits.
    """

    rate_hz: float
    placement: str = "unknown"
    calibrated: bool = True
    neutral_sd_deg: Mapping[Plane, float] = field(default_factory=_neutral_default)
    soft_tissue_sd_deg: float = 2.0
    facing_sd_deg: float = 3.0
    window_s: float = 60.0
    even_within_deg: float = 5.0
    report_error: float = 0.05
    dead_band_deg: float = 5.0
    thresholds: tuple[str, ...] = THRESHOLDS
    own_range_deg: Mapping[str, float] = field(default_factory=dict)
    age_years: float | None = None
    exercises: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baseline: Mapping[str, Sequence[float]] = field(default_factory=dict)
    feedback: str | None = None
    bouts: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        _require("rate_hz", self.rate_hz, 1.0, 10_000.0)
        _require("window_s", self.window_s, 1.0, 86_400.0)
        _require("even_within_deg", self.even_within_deg, 0.1, 90.0)
        _require("report_error", self.report_error, 1e-6, 0.5)
        _require("dead_band_deg", self.dead_band_deg, 0.0, 90.0)
        _require("soft_tissue_sd_deg", self.soft_tissue_sd_deg, 0.0, 90.0)
        _require("facing_sd_deg", self.facing_sd_deg, 0.0, 180.0)
        if self.age_years is not None:
            _require("age_years", self.age_years, 0.0, 130.0)
        for plane, value in self.neutral_sd_deg.items():
            if plane not in PLANES:
                raise ConfigError(f"neutral_sd_deg knows the planes {', '.join(PLANES)}, got '{plane}'")
            _require(f"neutral_sd_deg[{plane}]", value, 0.0, 180.0)
        templates(self.exercises)
        _require_bouts(self.bouts or ())
        for name, values in self.baseline.items():
            if (
                isinstance(values, str)
                or not isinstance(values, Sequence)
                or not all(isfinite(number(x)) for x in values)
            ):
                raise ConfigError(f"baseline '{name}' must be a list of numbers, got {values!r}")
        known = [f"{plane}.{side}" for plane, sides in SIDES.items() for side in sides]
        for name, value in self.own_range_deg.items():
            if name not in known:
                raise ConfigError(f"own_range_deg knows {', '.join(known)}, got '{name}'")
            _require(f"own_range_deg[{name}]", value, 1.0, 180.0)

    def neutral_sd(self, plane: Plane) -> float:
        """Return the standard deviation of the neutral stance in ``plane``, degrees."""
        return self.neutral_sd_deg.get(plane, NEUTRAL_SD_DEG)

    def shared_df(self, plane: Plane) -> float:
        """Return the degrees of freedom behind the error that the rows of a plane share."""
        return HEADING_DF if plane == "axial_rotation" else inf

    def skin_sd(self, movement_deg: float) -> float:
        """Return what skin under both sensors does to a movement of that size, degrees: the larger, the more."""
        return sqrt(2.0) * self.soft_tissue_sd_deg * movement_deg / SOFT_TISSUE_AT_DEG


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= number(value) <= high:
        raise ConfigError(f"{name} must lie between {low:g} and {high:g}, got {value!r}; correct the configuration")


def _require_bouts(bouts: Sequence[tuple[float, float]]) -> None:
    """Bouts are in order and do not overlap, so that a step is in one of them."""
    latest = -inf
    for start, end in bouts:
        if not latest < number(start) < number(end) < inf:
            raise ConfigError(
                f"bouts must be (start, end) in seconds, in order and apart from each other, got ({start!r}, {end!r}) "
                f"after {latest:g}; sort or join them"
            )
        latest = end


class Metric(Protocol):
    """Constructed with a `MetricContext`; sees every row and every finished movement once, in order.

    Memory stays bounded; figures are the same however rows are cut. A set ``needs``, where there is one, says which of
    ``movements``, ``steps`` and ``activity`` the metric looks at: what no metric needs is not looked for.
    """

    def push(self, seen: Observed) -> MetricBlock:
        """Take the next rows."""
        ...

    def finish(self, seen: Observed) -> MetricBlock:
        """Take the last movements; give what is still held."""
        ...


MetricFactory = Callable[[MetricContext], Metric]
