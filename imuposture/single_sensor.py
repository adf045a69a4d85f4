"""Gait of one sensor on the lower back, worn anyhow: a recording in, its steps and what they come to out."""

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from imuposture._blocks import MetricBlock, PairBlock, PostureBlock, SensorRows
from imuposture._checks import floats
from imuposture.fusion import orientation
from imuposture.metrics import MetricContext, MetricSet

__all__ = ["gait"]


def gait(
    gyr: ArrayLike, acc: ArrayLike, *, rate: float, window_s: float = 60.0, bouts: ArrayLike | None = None
) -> MetricBlock:
    """Find the steps in a recording of one sensor on the lower back, and what they say about the gait.

    The sensor may sit any way round: gravity tells up, and the walking itself tells ahead. The same code as in a
    session (metric ``walking``); ranges of spinal angles need two sensors and are left out.

    Parameters
    ----------
    gyr : (n, 3) array_like, rad/s, sensor frame
    acc : (n, 3) array_like, m/s2, sensor frame, +g upwards at rest
    rate : float
        Rate of the rows, Hz; time counts from 0 at the first one.
    window_s : float
        Length of the windows, s.
    bouts : (m, 2) array_like, s, optional
        Starts and ends of spans that are known to be walking, from a protocol or another system. Every foot that comes
        down inside is a step, however short or uneven the walk; outside there is none. Without, walks are found: spans
        of five steps and more that are alike, so that rummaging is no walk, which leaves out some shuffling and turns.

    Returns
    -------
    MetricBlock
        ``events``: every ``step`` with its side and every ``walk``; ``windows`` and ``summary``: the figures.

    Raises
    ------
    SignalError
        If a shape, type or value is wrong.
    ConfigError
        If bouts are out of order or overlap.

    Examples
    --------
    >>> import imuposture as ip
    >>> back = ip.simulate("mixed_work", seed=1, minutes=6)
    >>> found = ip.gait(back.lower.gyr, back.lower.acc, rate=100)
    >>> any(event.kind == "walk" for event in found.events)
    True

    Where walking is known, every step of it counts:

    >>> known = ip.gait(back.lower.gyr, back.lower.acc, rate=100, bouts=[(100.0, 130.0)])
    >>> [event.kind for event in known.events].count("walk")
    1
    """
    quat = orientation(floats("gyr", gyr, (None, 3)), acc, rate=rate)
    n = len(quat)
    time, nothing, flags = np.arange(n) / rate, np.full(n, np.nan), np.zeros(n, np.uint8)
    rows = SensorRows(floats("acc", acc, (n, 3)), floats("gyr", gyr, (n, 3)), None, flags)
    columns: dict[str, Any] = {one.name: nothing for one in fields(PostureBlock)}
    columns |= {"time_s": time, "lower_q": quat, "upper_q": quat, "quality": flags, "heading_state": flags}
    known = None if bouts is None else _spans(bouts)
    metrics = MetricSet(MetricContext(rate, calibrated=False, window_s=window_s, bouts=known), ["walking"])
    pushed = metrics.push(PostureBlock(**columns), PairBlock(time, rows, rows))
    rest = metrics.finish()
    events = sorted((*pushed.events, *rest.events), key=lambda event: (event.start_s, event.end_s, event.kind))
    return MetricBlock(tuple(events), (*pushed.windows, *rest.windows), rest.summary)


def _spans(bouts: ArrayLike) -> tuple[tuple[float, float], ...]:
    spans = floats("bouts", bouts if np.size(bouts) else np.empty((0, 2)), (None, 2))
    return tuple((start, end) for start, end in spans.tolist())
