"""Everything that decides a row besides the recording and its calibration."""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from imuposture._errors import ConfigError
from imuposture.heading import HeadingSettings
from imuposture.metrics import THRESHOLDS, known_sets
from imuposture.metrics.feedback import rules_of

__all__ = ["Config"]


@dataclass(frozen=True)
class Config:
    """Everything that decides a row besides the recording and its calibration.

    Attributes
    ----------
    parameters : str
        Fusion parameters: ``"default"``, or ``"vqf"`` for those of the vqf package.
    smoothed : bool
        Let every row know what was measured later (`imuposture.pipeline_smoothed`). Batch only; never the default.
    clocks : str
        ``"causal"``: samples lie where what had arrived until then put them. ``"fit"``: the sensors' clocks are fitted
        to all that arrived (Moon, Skelly and Towsley 1999); for sessions that were recorded live. Never the default.
    shaken_s : (begin, end) or None
        When both sensors were held together and shaken, in seconds of the recording: the lag between them is taken out
        if they moved as one (r >= 0.95). For whole recordings.
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
        How far the skin under each sensor has turned on the spine at 45 degrees of posture.
    heading_unknown_deg : float
        Rows whose relative heading is less sure are marked.
    window_s : float
        Length of the windows of windows.parquet.
    placement : str or None
        Where the sensors are worn, e.g. ``"t12_s2"``; None takes what the recording says.
    own_range_deg : mapping
        How far this person goes, from a range-of-motion test, by ``plane.side``: ``{"lateral_bend.right": 24.0}``.
    age_years : float or None
        Age of the wearer, for published ranges of motion.
    exercises : mapping
        Templates of exercises by name, besides those that come with the package (docs/metrics.md, Exercises).
    baseline : mapping
        Figures of earlier sessions by ``metric.plane.side``: ``{"lumbar_share.flexion.forward": [51.0, 49.5, 52.1]}``.
    metrics : tuple of str or None
        Names of metric plug-ins; None for those built in.
    thresholds : tuple of str
        Threshold sets of this package under which the classes of exposure are counted, by their ids.
    feedback : str or None
        Feedback rules as TOML (docs/metrics.md, "Feedback"); None for those of the package. A configuration file may
        name a file instead, ``feedback_file``, whose text is then kept here and in the manifest.
    heading : HeadingSettings

    Raises
    ------
    ConfigError
        If a value makes no sense.
    """

    parameters: str = "default"
    smoothed: bool = False
    clocks: Literal["causal", "fit"] = "causal"
    shaken_s: tuple[float, float] | None = None
    magnetometer: bool = False
    gap_limit_s: float = 0.1
    calibration_search_s: float = 1800.0
    smoothing_hz: float = 3.0
    tilt_sd_deg: float = 0.3
    soft_tissue_sd_deg: float = 2.0
    heading_unknown_deg: float = 20.0
    window_s: float = 60.0
    placement: str | None = None
    own_range_deg: Mapping[str, float] = field(default_factory=dict)
    age_years: float | None = None
    exercises: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    baseline: Mapping[str, Sequence[float]] = field(default_factory=dict)
    metrics: tuple[str, ...] | None = None
    thresholds: tuple[str, ...] = THRESHOLDS
    feedback: str | None = None
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
        if self.clocks not in ("causal", "fit"):
            raise ConfigError(f"clocks must be 'causal' or 'fit', got {self.clocks!r}")
        if self.shaken_s is not None and not _is_span(self.shaken_s):
            raise ConfigError(f"shaken_s must be [begin, end] in seconds, the end later, got {self.shaken_s!r}")
        for name in ("smoothed", "magnetometer"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if not isinstance(self.placement, str | None):
            raise ConfigError(f"placement must be a text, got {self.placement!r}")
        self._require_wearer()
        self._require_metrics()

    def _require_metrics(self) -> None:
        """Refuse sets in files too: their content may change while the hash of the configuration does not."""
        names = () if self.metrics is None else self.metrics
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"metrics must be a tuple of names, got {self.metrics!r}")
        if not isinstance(self.feedback, str | None):
            raise ConfigError(f"feedback must be a text, got {self.feedback!r}")
        if self.feedback is not None:
            rules_of(self.feedback)
        known = known_sets()
        if not isinstance(self.thresholds, tuple) or not set(self.thresholds) <= set(known):
            raise ConfigError(
                f"thresholds must be a tuple of ids out of {', '.join(known)}, got {self.thresholds!r}; "
                "sessions are scored by other sets afterwards: imuposture score"
            )

    def _require_wearer(self) -> None:
        """Refuse what cannot be known of a person."""
        if self.age_years is not None and not (_is_number(self.age_years) and 0 <= self.age_years <= 130):
            raise ConfigError(f"age_years must lie between 0 and 130, got {self.age_years!r}")
        for name in ("exercises", "baseline"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(f"{name} must be a table by name, got {getattr(self, name)!r}")
        if not isinstance(self.own_range_deg, Mapping) or not all(map(_is_number, self.own_range_deg.values())):
            raise ConfigError(f"own_range_deg must be a table of numbers, got {self.own_range_deg!r}")

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
            for name in ("metrics", "shaken_s", "thresholds"):
                if settings.get(name) is not None:
                    settings[name] = tuple(settings[name])
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
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
            if "feedback_file" in values:
                rules = Path(path).parent / str(values.pop("feedback_file"))
                values["feedback"] = rules.read_text(encoding="utf-8")
            return cls.from_mapping(values)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: not a configuration file in TOML ({error})") from error

    def asdict(self) -> dict[str, Any]:
        """Return plain values, fit for the manifest and for `from_mapping`."""
        return asdict(self)

    def hash(self) -> str:
        """Return the SHA-256 of the values; equal hashes give equal rows from equal input."""
        return hashlib.sha256(json.dumps(self.asdict(), sort_keys=True).encode()).hexdigest()


def _is_span(value: object) -> bool:
    if not isinstance(value, tuple) or len(value) != 2 or not all(map(_is_number, value)):
        return False
    return bool(-np.inf < value[0] < value[1] < np.inf)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
