"""What a decoder makes of bytes: samples, answers to what was asked, and what the sensor says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from imuposture._blocks import ImuBlock

__all__ = ["Message", "Reply", "Status"]


@dataclass(frozen=True, slots=True)
class Reply:
    """The sensor's answer to something that was asked of it.

    ``what`` names the answer, unique within the driver; ``values`` holds its fields in plain types.
    """

    what: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """Something the sensor says unasked.

    ``what`` is ``"battery"`` (``percent``: float, ``charging``: bool where known), ``"button"``, ``"power_off"``,
    ``"temperature"`` (``celsius``), ``"error"`` (``text``), or a name of the driver's own.
    """

    what: str
    values: Mapping[str, object] = field(default_factory=dict)


Message = ImuBlock | Reply | Status
