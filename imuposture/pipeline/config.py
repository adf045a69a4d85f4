"""Everything that decides a row besides the recording and its calibration."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from imuposture._errors import ConfigError
from imuposture.heading import HeadingSettings
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
        for name in ("smoothed", "magnetometer"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, got {getattr(self, name)!r}")
        if not isinstance(self.placement, str | None):
            raise ConfigError(f"placement must be a text, got {self.placement!r}")
        if not isinstance(self.feedback, str | None):
            raise ConfigError(f"feedback must be a text, got {self.feedback!r}")
        if self.feedback is not None:
            rules_of(self.feedback)
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
