"""What closing asks of a walk; `imuposture.pipeline.LivePipeline` is one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from imuposture._blocks import Entry, MetricBlock, PostureBlock
from imuposture.output.files import Samples

__all__ = ["Walk", "WalkRows"]


class WalkRows(Protocol):
    """What the walk gives for entries; `imuposture.pipeline.Rows` is one."""

    @property
    def samples(self) -> Samples:
        """Samples of both sensors."""
        ...

    @property
    def posture(self) -> PostureBlock:
        """Rows of the grid."""
        ...

    @property
    def metrics(self) -> MetricBlock:
        """What the metrics found."""
        ...


class Walk(Protocol):
    """What turns entries into rows. The same entries give the same rows."""

    def push_all(self, entries: Iterable[Entry], /) -> Iterator[WalkRows]:
        """Take entries that are all there; they are asked for as rows are."""
        ...

    def finish(self) -> WalkRows:
        """Return what still waited."""
        ...

    def findings(self) -> Mapping[str, Any]:
        """Return what is known only at the end, for the manifest."""
        ...
