"""Pipeline: the walk of a sample, one statement a stage; the same object live and in batch."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from imuposture._blocks import (
    ROLES,
    FlagArray,
    FloatArray,
    HeadingBlock,
    ImuBlock,
    MetricBlock,
    OrientationBlock,
    PairBlock,
    Plane,
    PostureBlock,
    Quality,
    Role,
    SensorRows,
)
from imuposture._errors import ConfigError
from imuposture.alignment import Alignment
from imuposture.calibration import Calibration
from imuposture.doubt import Doubt, trusted, widened
from imuposture.filtering import LowPass
from imuposture.fusion import Fusion, NorthBlock, fuse
from imuposture.heading import Heading, HeadingSettings
from imuposture.kinematics import Kinematics, Spread
from imuposture.metrics import MetricContext, MetricSet

__all__ = ["Config", "Pipeline", "Rows"]

USUAL_HEADING_SD = 3.0  # degrees; what the relative heading settles at (benchmarks/accuracy.py)
PIECE = 16384  # rows walked at a time: what the stages pass on stays in the cache


@dataclass(frozen=True)
class Config:
    """Everything that decides a row besides the recording and its calibration.

    Attributes
    ----------
    parameters : str
        Fusion parameters: ``"default"``, or ``"vqf"`` for those of the vqf package.
    smoothed : bool
        Let every row know what was measured later (`imuposture.pipeline_smoothed`). Batch only; never the default.
    magnetometer : bool
        Use the magnetometers for the relative heading, where the recording has them. Buildings bend the field: two
        days of daily life were disturbed for 43 % of the time (Riddick et al. 2025).
    gap_limit_s : float
        Longest loss that is bridged between true neighbours; longer ones stay gaps.
    calibration_search_s : float
        Length of the beginning of a recording in which calibration movements are looked for.
    smoothing_hz : float
        Low-pass of the angular rates that tell bends.
    tilt_sd_deg : float
        Inclination error of a sensor while its wearer moves.
    soft_tissue_sd_deg : float
        Movement of the skin on the spine, a radian of posture.
    heading_unknown_deg : float
        Rows whose relative heading is less sure are marked.
    window_s : float
        Length of the windows of windows.parquet.
    placement : str or None
        Where the sensors are worn, e.g. ``"t12_s2"``; None takes what the recording says.
    metrics : tuple of str or None
        Names of metric plug-ins; None for those built in.
    heading : HeadingSettings

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """

    parameters: str = "default"
    smoothed: bool = False
    magnetometer: bool = False
    gap_limit_s: float = 0.1
    calibration_search_s: float = 1800.0
    smoothing_hz: float = 3.0
    tilt_sd_deg: float = 0.25
    soft_tissue_sd_deg: float = 1.0
    heading_unknown_deg: float = 20.0
    window_s: float = 60.0
    placement: str | None = None
    metrics: tuple[str, ...] | None = None
    heading: HeadingSettings = field(default_factory=HeadingSettings)

    def __post_init__(self) -> None:
        for name in ("gap_limit_s", "calibration_search_s", "smoothing_hz", "heading_unknown_deg", "window_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < np.inf:
                raise ConfigError(f"{name} must be a number, more than 0 and finite, got {value!r}")
        for name in ("tilt_sd_deg", "soft_tissue_sd_deg"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 90:
                raise ConfigError(f"{name} must lie between 0 and 90 degrees, got {value!r}")
        if self.parameters not in ("default", "vqf"):
            raise ConfigError(f"parameters must be 'default' or 'vqf', got {self.parameters!r}")
        for name in ("smoothed", "magnetometer"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if not isinstance(self.placement, str | None):
            raise ConfigError(f"placement must be a text, got {self.placement!r}")
        names = () if self.metrics is None else self.metrics
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"metrics must be a tuple of names, got {self.metrics!r}")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "Config":
        """Make a configuration from plain values, as TOML and the manifest hold them.

        Raises
        ------
        ConfigError
            If a key does not exist or a value is of the wrong type; the message lists the keys there are.
        """
        settings = dict(values)
        heading = settings.pop("heading", {})
        try:
            if settings.get("metrics") is not None:
                settings["metrics"] = tuple(settings["metrics"])
            return cls(heading=HeadingSettings(**heading), **settings)
        except TypeError as error:
            known = [member.name for member in fields(cls)]
            inner = [member.name for member in fields(HeadingSettings)]
            raise ConfigError(f"configuration: {error}; known are {known}, and in [heading] {inner}") from error

    @classmethod
    def from_toml(cls, path: str | Path) -> "Config":
        """Read a configuration file.

        Raises
        ------
        ConfigError
            If it cannot be read, or as `from_mapping`.
        """
        try:
            return cls.from_mapping(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: not a configuration file in TOML ({error})") from error

    def asdict(self) -> dict[str, Any]:
        """Return plain values, fit for the manifest and for `from_mapping`."""
        return asdict(self)

    def hash(self) -> str:
        """Return the SHA-256 of the values; equal hashes give equal rows from equal input."""
        return hashlib.sha256(json.dumps(self.asdict(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Rows:
    """What a push gives: the aligned samples as they came, the posture of the same instants, what metrics found."""

    samples: PairBlock
    posture: PostureBlock
    metrics: MetricBlock


class Pipeline:
    """Blocks of both sensors in, posture rows out.

    Parameters
    ----------
    alignment : Alignment
        The streams' way onto one grid; holds their clocks and counts.
    calibration : Calibration
        How the sensors sit on the body: live from the guided steps, in batch from a first look at the file.
    config : Config
    heading : type
        `Heading`, or the class of what takes its place.

    Raises
    ------
    ConfigError
        If the configuration asks for a smoothed walk, which needs the whole recording.

    Notes
    -----
    However the recording is cut into blocks, the rows are the same, bit for bit. A new object is the reset.
    """

    def __init__(
        self,
        alignment: Alignment,
        calibration: Calibration,
        config: Config | None = None,
        *,
        heading: type[Heading] = Heading,
    ) -> None:
        config = config or Config()
        if config.smoothed and heading is Heading:
            raise ConfigError("smoothed is for whole recordings: use `process`, or leave it out")
        rate = alignment.rate_hz
        self.alignment = alignment
        self.calibration = calibration
        self._roles = tuple(stream.role for stream in alignment.streams)
        magnetometer = config.magnetometer and all(stream.magnetometer for stream in alignment.streams)
        self._unknown = float(np.deg2rad(config.heading_unknown_deg))
        self.filtering = LowPass(min(config.smoothing_hz, 0.4 * rate), rate)
        self._doubts = {role: Doubt(rate) for role in self._roles}
        self._fusions = [Fusion(rate, config.parameters, magnetometer) for _ in self._roles]
        self._relates = calibration.usable and len(self._roles) == 2
        self.heading = heading(
            rate,
            config.heading,
            calibration.stances(),
            bias=np.concatenate([calibration.upper.segment_bias(), calibration.lower.segment_bias()]),
            facing_sd=calibration.facing_difference_sd(),
            neutral_sd=float(np.deg2rad(calibration.return_sd_deg)),
        )
        self.kinematics = Kinematics(_spread(calibration, config))
        self.metrics = MetricSet(_context(calibration, config, rate), config.metrics)

    def push(self, block: ImuBlock) -> Rows:
        """Take the next rows of one sensor; return the rows that are now known for both.

        Raises
        ------
        SignalError
            If the block does not fit its stream.
        """
        return self.walk(self.alignment.push(block))

    def finish(self) -> Rows:
        """Return the rows and figures that still waited."""
        rows = self.walk(self.alignment.finish())
        return Rows(rows.samples, rows.posture, _join(rows.metrics, self.metrics.finish()))

    def walk(self, samples: PairBlock) -> Rows:
        """Walk aligned rows through every stage."""
        pair = self.calibration.apply(samples)
        upper, lower = self._both(fuse(self._fusions, self._worn(pair)), len(pair))
        tilts, hidden = doubted(self._doubts, pair)
        heading = self._relative(pair, upper, lower, hidden)
        return self._judged(samples, pair, (upper, lower), northern(heading, upper, lower), tilts)

    def rest(self) -> Iterator[Rows]:
        """Yield the rows that only the end of the recording makes known: none, with hindsight all."""
        return iter(())

    def _worn(self, pair: PairBlock) -> list[SensorRows]:
        """Return the rows of the sensors that are there, without measurements that nobody can trust."""
        rows: dict[Role, SensorRows] = {"upper": pair.upper, "lower": pair.lower}
        return [trusted(rows[role]) for role in self._roles]

    def _both(self, blocks: Sequence[OrientationBlock], count: int) -> tuple[OrientationBlock, OrientationBlock]:
        """Return both orientations; a sensor that is not there has none."""
        found = dict(zip(self._roles, blocks, strict=True))
        upper, lower = (found.get(role) or _no_orientation(count) for role in ROLES)
        return upper, lower

    def _judged(
        self,
        samples: PairBlock,
        pair: PairBlock,
        both: tuple[OrientationBlock, OrientationBlock],
        heading: HeadingBlock,
        tilts: Mapping[Role, FloatArray | None],
    ) -> Rows:
        """Walk the second half: from orientations to angles, and to what metrics make of them."""
        posture = self.kinematics.push(pair.time_s, *both, heading, self._quality(pair, *both, heading))
        posture = widened(posture, tilts.get("upper"), tilts.get("lower"))
        return Rows(samples, posture, self.metrics.push(posture))

    def _relative(
        self, pair: PairBlock, upper: OrientationBlock, lower: OrientationBlock, hidden: FloatArray | None
    ) -> HeadingBlock:
        """Relate the inertial frames that both orientations are given in, where a calibration allows it."""
        if not self._relates:
            return no_heading(len(pair))
        smooth = self.filtering.push(np.hstack([pair.upper.gyr, pair.lower.gyr]), _gap(pair))
        if not (isinstance(upper, NorthBlock) and isinstance(lower, NorthBlock)):
            return self.heading.push(pair, smooth, upper, lower, hidden=hidden)
        magnetic = np.where(upper.disturbed | lower.disturbed, np.nan, upper.delta - lower.delta)
        return self.heading.push(pair, smooth, _inertial(upper), _inertial(lower), magnetic=magnetic, hidden=hidden)

    def _quality(
        self, pair: PairBlock, upper: OrientationBlock, lower: OrientationBlock, heading: HeadingBlock
    ) -> FlagArray:
        flags = {"upper": pair.upper.flags, "lower": pair.lower.flags}
        quality = np.zeros(len(pair), np.uint8)
        for role in self._roles:
            quality |= flags[role]
        known = quality & Quality.GAP.value == 0
        rest = known & (upper.rest | ("upper" not in self._roles)) & (lower.rest | ("lower" not in self._roles))
        quality[rest] |= Quality.REST.value
        quality[upper.disturbed | lower.disturbed] |= Quality.MAGNETICALLY_DISTURBED.value
        if self._relates:
            quality[known & ~(heading.sd < self._unknown)] |= Quality.HEADING_UNKNOWN.value
        return quality


def doubted(doubts: Mapping[Role, Doubt], pair: PairBlock) -> tuple[dict[Role, FloatArray | None], FloatArray | None]:
    """Return what hidden turns do to the inclination of each sensor, and to the relative heading."""
    rows: dict[Role, SensorRows] = {"upper": pair.upper, "lower": pair.lower}
    found = {role: doubt.push(rows[role]) for role, doubt in doubts.items()}
    turns = [both[1] for both in found.values() if both is not None]
    hidden = None if not turns else turns[0] if len(turns) == 1 else turns[0] + turns[1]
    return {role: both[0] if both else None for role, both in found.items()}, hidden


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def pieces(pair: PairBlock, rows: int = PIECE) -> Iterator[PairBlock]:
    """Cut a block, so that what the stages pass on stays small."""
    for first in range(0, len(pair), rows):
        yield cut_pair(pair, slice(first, first + rows))


def cut_pair(pair: PairBlock, part: slice) -> PairBlock:
    """Return some rows of a block."""
    return PairBlock(pair.time_s[part], _part(pair.upper, part), _part(pair.lower, part))


def _part(rows: SensorRows, part: slice) -> SensorRows:
    return SensorRows(rows.acc[part], rows.gyr[part], None if rows.mag is None else rows.mag[part], rows.flags[part])


def _gap(pair: PairBlock) -> FlagArray:
    return (pair.upper.flags | pair.lower.flags) & np.uint8(Quality.GAP.value)


def _join(first: MetricBlock, second: MetricBlock) -> MetricBlock:
    return MetricBlock(first.events + second.events, first.windows + second.windows, first.summary + second.summary)


def _spread(calibration: Calibration, config: Config) -> Spread:
    return Spread(
        float(np.deg2rad(config.tilt_sd_deg)),
        calibration.upper.facing_sd,
        calibration.lower.facing_sd,
        float(np.deg2rad(config.soft_tissue_sd_deg)),
        calibration.shared_facing(),
    )


def _context(calibration: Calibration, config: Config, rate_hz: float) -> MetricContext:
    planes: tuple[Plane, ...] = ("flexion", "lateral_bend", "axial_rotation")
    return MetricContext(
        rate_hz=rate_hz,
        placement=config.placement or "unknown",
        calibrated=calibration.usable,
        neutral_sd_deg=dict.fromkeys(planes, calibration.neutral_sd_deg),
        soft_tissue_sd_deg=config.soft_tissue_sd_deg,
        facing_sd_deg=min(float(np.hypot(np.rad2deg(calibration.upper.facing_sd), USUAL_HEADING_SD)), 180.0),
        window_s=config.window_s,
    )


def northern(heading: HeadingBlock, upper: OrientationBlock, lower: OrientationBlock) -> HeadingBlock:
    """Let a heading of inertial frames relate those that point north, where there are such: little is left of it."""
    if not (isinstance(upper, NorthBlock) and isinstance(lower, NorthBlock)):
        return heading
    return HeadingBlock(heading.delta - (upper.delta - lower.delta), heading.sd, heading.state)


def _inertial(block: NorthBlock) -> OrientationBlock:
    return OrientationBlock(block.inertial, block.bias, block.rest, block.disturbed)


def _no_orientation(rows: int) -> OrientationBlock:
    no = np.zeros(rows, np.bool_)
    return OrientationBlock(np.full((rows, 4), np.nan), np.full((rows, 3), np.nan), no, no)


def no_heading(rows: int) -> HeadingBlock:
    return HeadingBlock(np.full(rows, np.nan), np.full(rows, np.inf), np.zeros(rows, np.uint8))
