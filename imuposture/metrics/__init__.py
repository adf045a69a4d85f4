"""Metrics: posture rows in, events, windows and figures out.

One segmentation of the movements serves all metrics. A metric is a small class that sees every block of rows and
every finished movement once; add one here, or in any package through the entry-point group ``imuposture.metrics``.
"""

from collections.abc import Sequence, Set
from importlib.metadata import entry_points
from typing import cast

import numpy as np

from imuposture._blocks import Event, Figure, FloatArray, MetricBlock, PairBlock, PostureBlock
from imuposture._checks import posture_of
from imuposture._errors import PluginError, SignalError
from imuposture.metrics._context import THRESHOLDS, Metric, MetricContext, MetricFactory
from imuposture.metrics._thresholds import known_sets
from imuposture.metrics.activity import Activity
from imuposture.metrics.asymmetry import Asymmetry
from imuposture.metrics.changes import Changes
from imuposture.metrics.classes import Classes
from imuposture.metrics.compensation import Wear, since_baseline
from imuposture.metrics.durations import Durations
from imuposture.metrics.evenness import Evenness
from imuposture.metrics.exercises import Exercises
from imuposture.metrics.exposure import Exposure
from imuposture.metrics.feedback import Feedback
from imuposture.metrics.ledger import Ledger
from imuposture.metrics.quality import RepetitionQuality
from imuposture.metrics.range_of_motion import RangeOfMotion
from imuposture.metrics.range_test import RangeTest
from imuposture.metrics.repetitions import Repetitions
from imuposture.metrics.rhythm import Rhythm
from imuposture.metrics.segmentation import NEEDS, Observed, Segmentation
from imuposture.metrics.slouch import Slouch
from imuposture.metrics.variety import Variety
from imuposture.metrics.walking import Walking

__all__ = ["BUILT_IN", "THRESHOLDS", "Metric", "MetricContext", "MetricSet", "Observed", "known_sets"]

LONGEST_STEP_S = 86_400.0
GROUP = "imuposture.metrics"
# The order of the figures in the tables. Named here too, so that they work from a source tree without metadata.
BUILT_IN: dict[str, MetricFactory] = {
    "repetitions": Repetitions,
    "quality": RepetitionQuality,
    "range_of_motion": RangeOfMotion,
    "range_test": RangeTest,
    "rhythm": Rhythm,
    "exercises": Exercises,
    "asymmetry": Asymmetry,
    "ledger": Ledger,
    "wear": Wear,
    "exposure": Exposure,
    "durations": Durations,
    "classes": Classes,
    "variety": Variety,
    "evenness": Evenness,
    "changes": Changes,
    "walking": Walking,
    "activity": Activity,
    "slouch": Slouch,
    "feedback": Feedback,
}


class MetricSet:
    """All metrics of a session, fed together.

    Parameters
    ----------
    context : MetricContext
        What the rows cannot say about themselves: rate, placement, how sure the calibration is.
    names : sequence of str, optional
        Metrics to compute; the built-in ones when None. Names that are not built in are looked up in the
        entry-point group ``imuposture.metrics``; nothing is loaded that was not named.

    Raises
    ------
    PluginError
        If a named metric does not exist, cannot be imported, lacks ``push`` or ``finish``, or has odd ``needs``.

    Notes
    -----
    Rows may be cut into blocks in any way: the figures and events are the same, bit for bit. Inside one returned
    block, events are sorted by start and windows by start; a table of a whole session is sorted the same way.
    """

    def __init__(self, context: MetricContext, names: Sequence[str] | None = None) -> None:
        self._last_s = -np.inf
        self._context = context
        self._metrics = {name: _construct(name, context) for name in (BUILT_IN if names is None else names)}
        needs = frozenset[str]().union(*(_needs(name, metric) for name, metric in self._metrics.items()))
        self._segmentation = Segmentation(
            context.rate_hz, calibrated=context.calibrated, bouts=context.bouts, needs=needs
        )

    def push(self, posture: PostureBlock, segments: PairBlock | None = None) -> MetricBlock:
        """Feed the next rows to the segmentation and to every metric.

        Parameters
        ----------
        posture : PostureBlock of any number of rows, times increasing over all blocks
        segments : PairBlock of the same rows, optional
            Acceleration and angular rate in segment frames; metrics of walking say nothing without them.

        Returns
        -------
        MetricBlock
            What became certain with these rows.

        Raises
        ------
        PluginError
            If a metric returns anything but a `MetricBlock`.
        SignalError
            If the columns do not fit each other, or time does not increase, or by more than a day, or if ``segments``
            holds another number of rows.
        """
        posture = posture_of(posture)
        if segments is not None and len(segments) != len(posture):
            raise SignalError(f"segments holds {len(segments)} rows and posture {len(posture)}; give the same rows")
        self._require_order(posture.time_s)
        if not self._metrics:
            return MetricBlock()
        seen = self._segmentation.push(posture, segments)
        return _join([_checked(name, metric.push(seen)) for name, metric in self._metrics.items()])

    def _require_order(self, time_s: FloatArray) -> None:
        """Windows are counted from row to row, also those that a jump leaves out."""
        if not len(time_s):
            return
        before = time_s[0] - 1.0 if self._last_s == -np.inf else self._last_s
        steps = np.diff(time_s, prepend=before)
        if not 0 < steps.min() <= steps.max() <= LONGEST_STEP_S:
            raise SignalError(
                f"time_s must increase from row to row, by {LONGEST_STEP_S:g} s at most; sort or split it"
            )
        self._last_s = float(time_s[-1])

    def finish(self) -> MetricBlock:
        """Close what is still open and give the figures of the whole session.

        Returns
        -------
        MetricBlock
            The last events and windows, and the summary.
        """
        seen = self._segmentation.finish()
        found = _join([_checked(name, metric.finish(seen)) for name, metric in self._metrics.items()])
        changes = tuple(since_baseline(self._context, found.summary))
        return MetricBlock(found.events, found.windows, found.summary + changes)


def _construct(name: str, context: MetricContext) -> Metric:
    factory = BUILT_IN.get(name) or _load(name)
    try:
        metric = factory(context)
    except Exception as error:
        raise PluginError(f"metric '{name}' cannot be started: {error}; leave it out or repair its package") from error
    if not (callable(getattr(metric, "push", None)) and callable(getattr(metric, "finish", None))):
        raise PluginError(f"metric '{name}' must have push(seen) and finish(seen); see docs/add_a_metric.md")
    return metric


def _needs(name: str, metric: Metric) -> frozenset[str]:
    """Return what a metric asks the segmentation for: all, unless it says so."""
    needs = getattr(metric, "needs", NEEDS)
    if not (isinstance(needs, Set) and needs <= NEEDS):
        raise PluginError(f"metric '{name}' needs {needs!r}; it must be a set of some of {', '.join(sorted(NEEDS))}")
    return frozenset(needs)


def _load(name: str) -> MetricFactory:
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise PluginError(
            f"there is no metric '{name}': choose from {', '.join(BUILT_IN)}, or install the package that offers it"
        )
    try:
        return cast(MetricFactory, next(iter(found)).load())
    except Exception as error:
        raise PluginError(f"metric '{name}' cannot be loaded: {error}; reinstall the package that offers it") from error


def _checked(name: str, block: object) -> MetricBlock:
    if not isinstance(block, MetricBlock):
        raise PluginError(f"metric '{name}' returned {type(block).__name__}; it must return a MetricBlock")
    return block


def _join(blocks: Sequence[MetricBlock]) -> MetricBlock:
    events = sorted((event for block in blocks for event in block.events), key=_event_order)
    windows = sorted((figure for block in blocks for figure in block.windows), key=_window_order)
    return MetricBlock(tuple(events), tuple(windows), tuple(figure for block in blocks for figure in block.summary))


def _event_order(event: Event) -> tuple[float, float, str, str]:
    return event.start_s, event.end_s, event.kind, event.plane or ""


def _window_order(figure: Figure) -> float:
    return figure.start_s or 0.0
