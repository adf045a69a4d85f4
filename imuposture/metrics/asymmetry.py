"""Being written."""

from imuposture._blocks import Event, MetricBlock, PostureBlock
from imuposture.metrics._context import MetricContext


class Asymmetry:
    """Being written."""

    def __init__(self, context: MetricContext) -> None:
        self._context = context

    def push(self, posture: PostureBlock, movements: tuple[Event, ...]) -> MetricBlock:
        """Take rows."""
        return MetricBlock()

    def finish(self, movements: tuple[Event, ...]) -> MetricBlock:
        """Give what is held."""
        return MetricBlock()
