"""Pipeline: the walk of a sample, one statement a stage; the same object live and in batch."""

from collections.abc import Iterator, Mapping, Sequence

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
from imuposture.heading import Heading
from imuposture.kinematics import Kinematics, Spread
from imuposture.metrics import MetricContext, MetricSet
from imuposture.pipeline.config import Config
from imuposture.pipeline.rows import Rows, join_metrics, no_rows

__all__ = ["Pipeline", "doubted", "no_heading", "northern"]

_GAP, _REST, _DISTURBED, _UNKNOWN = (
    np.uint8(bit) for bit in (Quality.GAP, Quality.REST, Quality.MAGNETICALLY_DISTURBED, Quality.HEADING_UNKNOWN)
)
_THEIRS = ~(_REST | _DISTURBED)  # what a sensor may say of its rows; its own judgement of these would replace ours
SKIN_AT = np.pi / 4  # rad, the posture at which `Config.soft_tissue_sd_deg` holds
USUAL_HEADING_SD = 3.0  # degrees; what the relative heading settles at (benchmarks/accuracy.py)


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
        return Rows(rows.samples, rows.posture, join_metrics(rows.metrics, self.metrics.finish()))

    def walk(self, samples: PairBlock) -> Rows:
        """Walk aligned rows through every stage."""
        if not len(samples):
            return Rows(samples, no_rows().posture, MetricBlock())
        posture, segments = self.posture(samples)
        return Rows(samples, posture, self.metrics.push(posture, segments))

    def posture(self, samples: PairBlock) -> tuple[PostureBlock, PairBlock]:
        """Walk aligned rows through every stage but the metrics, which are to be pushed what comes out."""
        segments, both, heading, tilts = self._known(samples)
        return self._angles(segments, both, heading, tilts), segments

    def settle(self, samples: PairBlock) -> None:
        """Walk aligned rows for what the stages learn from them; no metric counts them."""
        self._known(samples)

    def rest(self) -> Iterator[Rows]:
        """Yield the rows that only the end of the recording makes known: none, with hindsight all."""
        return iter(())

    def _known(
        self, samples: PairBlock
    ) -> tuple[PairBlock, tuple[OrientationBlock, OrientationBlock], HeadingBlock, dict[Role, FloatArray | None]]:
        """Walk the first half: rows of both segments, how they stand and belong together, what is in doubt."""
        pair = self.calibration.apply(samples)
        upper, lower = self._both(fuse(self._fusions, self._worn(pair)), len(pair))
        tilts, hidden = doubted(self._doubts, pair)
        heading = self._relative(pair, upper, lower, hidden)
        return pair, (upper, lower), northern(heading, upper, lower), tilts

    def _worn(self, pair: PairBlock) -> list[SensorRows]:
        """Return the rows of the sensors that are there, without measurements that nobody can trust."""
        rows: dict[Role, SensorRows] = {"upper": pair.upper, "lower": pair.lower}
        return [trusted(rows[role]) for role in self._roles]

    def _both(self, blocks: Sequence[OrientationBlock], count: int) -> tuple[OrientationBlock, OrientationBlock]:
        """Return both orientations; a sensor that is not there has none."""
        found = dict(zip(self._roles, blocks, strict=True))
        upper, lower = (found.get(role) or _no_orientation(count) for role in ROLES)
        return upper, lower

    def _angles(
        self,
        pair: PairBlock,
        both: tuple[OrientationBlock, OrientationBlock],
        heading: HeadingBlock,
        tilts: Mapping[Role, FloatArray | None],
    ) -> PostureBlock:
        """Walk the second half: from orientations to angles, and how sure they are."""
        posture = self.kinematics.push(pair.time_s, *both, heading, self._quality(pair, *both, heading))
        return widened(posture, tilts.get("upper"), tilts.get("lower"))

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
        rests = {"upper": upper.rest, "lower": lower.rest}
        quality = flags[self._roles[0]] & _THEIRS
        rest = rests[self._roles[0]]
        for role in self._roles[1:]:
            quality |= flags[role] & _THEIRS
            rest = rest & rests[role]
        known = quality & _GAP == 0
        quality |= (known & rest) * _REST
        quality |= (upper.disturbed | lower.disturbed) * _DISTURBED
        if self._relates:
            quality |= (known & ~(heading.sd < self._unknown)) * _UNKNOWN
        return quality


def doubted(doubts: Mapping[Role, Doubt], pair: PairBlock) -> tuple[dict[Role, FloatArray | None], FloatArray | None]:
    """Return what hidden turns do to the inclination of each sensor, and to the relative heading."""
    rows: dict[Role, SensorRows] = {"upper": pair.upper, "lower": pair.lower}
    found = {role: doubt.push(rows[role]) for role, doubt in doubts.items()}
    turns = [both[1] for both in found.values() if both is not None]
    hidden = None if not turns else turns[0] if len(turns) == 1 else turns[0] + turns[1]
    return {role: both[0] if both else None for role, both in found.items()}, hidden


def _gap(pair: PairBlock) -> FlagArray:
    return (pair.upper.flags | pair.lower.flags) & _GAP


def _spread(calibration: Calibration, config: Config) -> Spread:
    return Spread(
        float(np.deg2rad(config.tilt_sd_deg)),
        calibration.upper.facing_sd,
        calibration.lower.facing_sd,
        float(np.deg2rad(config.soft_tissue_sd_deg)) / SKIN_AT,
        calibration.shared_facing(),
    )


def _context(calibration: Calibration, config: Config, rate_hz: float) -> MetricContext:
    planes: tuple[Plane, ...] = ("flexion", "lateral_bend", "axial_rotation")
    return MetricContext(
        rate_hz=rate_hz,
        placement=config.placement or "unknown",
        calibrated=calibration.usable,
        neutral_sd_deg=dict.fromkeys(planes, calibration.spinal_sd_deg),
        soft_tissue_sd_deg=config.soft_tissue_sd_deg,
        facing_sd_deg=min(float(np.hypot(np.rad2deg(calibration.upper.facing_sd), USUAL_HEADING_SD)), 180.0),
        window_s=config.window_s,
        thresholds=config.thresholds,
        own_range_deg=config.own_range_deg,
        age_years=config.age_years,
        exercises=config.exercises,
        baseline=config.baseline,
        feedback=config.feedback,
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
    """Return rows of which no relative heading is known."""
    return HeadingBlock(np.full(rows, np.nan), np.full(rows, np.inf), np.zeros(rows, np.uint8))
