"""Posture rows of which the truth is known, for the tests of the metrics."""

from itertools import pairwise

import numpy as np

from imuposture._blocks import FloatArray, MetricBlock, PostureBlock
from imuposture.pipeline.rows import cut_posture

COLUMNS = ("flexion", "lateral_bend", "axial_rotation")


def posture(
    angles: FloatArray,
    rate: float = 50.0,
    *,
    sd: float = 0.0,
    inclination: FloatArray | None = None,
    start: float = 0.0,
    quality: FloatArray | None = None,
) -> PostureBlock:
    """Rows of (n, 3) spinal angles; NaN rows are gaps unless ``quality`` is given."""
    n = len(angles)
    lean = angles[:, 0] if inclination is None else inclination
    spread = np.full(n, sd)
    flags = np.where(np.isnan(lean), 1, 0) if quality is None else quality
    nothing = np.full(n, np.nan)
    return PostureBlock(
        start + np.arange(n) / rate,
        np.full((n, 4), np.nan),
        np.full((n, 4), np.nan),
        *(np.ascontiguousarray(angles[:, k], dtype=np.float64) for k in range(3)),
        spread,
        spread,
        spread,
        *(nothing for _ in range(8)),
        np.ascontiguousarray(lean, dtype=np.float64),
        flags.astype(np.uint8),
        np.zeros(n, np.uint8),
    )


def rows_of(block: PostureBlock, begin: int, end: int) -> PostureBlock:
    return cut_posture(block, slice(begin, end))


def cut(stage, block: PostureBlock, at: list[int]) -> MetricBlock:
    """Push ``block`` in pieces and finish; the result as a table of the session would hold it."""
    edges = [0, *sorted(at), len(block)]
    parts = [stage.push(rows_of(block, a, b)) for a, b in pairwise(edges)]
    parts.append(stage.finish())
    events = sorted((e for p in parts for e in p.events), key=lambda e: (e.start_s, e.end_s, e.kind, e.plane or ""))
    windows = sorted(
        (w for p in parts for w in p.windows), key=lambda w: (w.start_s, w.metric, w.plane or "", w.side or "")
    )
    return MetricBlock(tuple(events), tuple(windows), parts[-1].summary)


def minimum_jerk(rate: float, seconds: float) -> FloatArray:
    """From 0 to 1 in ``seconds``, as people move."""
    n = max(1, round(seconds * rate))
    s = np.arange(1, n + 1) / n
    return s**3 * (10 - 15 * s + 6 * s * s)


def bend(rate: float, seconds: float, amplitude: float, hold: float = 0.0) -> FloatArray:
    """Out and back."""
    way = minimum_jerk(rate, seconds / 2)
    return amplitude * np.concatenate([way, np.ones(round(hold * rate)), 1 - way])


def train(
    rate: float,
    bends: list[tuple[float, float]],
    *,
    plane: int = 1,
    pause: float = 1.0,
    hold: float = 0.0,
    rest: tuple[float, float, float] = (0.0, 0.0, 0.0),
    coupling: tuple[float, float] = (0.0, 0.0),
    noise: float = 0.0,
    before: float = 3.0,
    after: float = 3.0,
    seed: int = 0,
) -> FloatArray:
    """(n, 3) angles: ``bends`` (signed amplitude, seconds) one after the other from the level ``rest``."""
    still = np.zeros(round(pause * rate))
    pieces = [np.zeros(round(before * rate))]
    for amplitude, seconds in bends:
        pieces += [bend(rate, seconds, amplitude, hold), still]
    pieces.append(np.zeros(round(after * rate)))
    main = np.concatenate(pieces)
    angles = np.zeros((len(main), 3))
    angles[:, plane] = main
    angles[:, (plane + 1) % 3] = coupling[0] * main
    angles[:, (plane + 2) % 3] = coupling[1] * main
    angles += np.array(rest) + noise * np.random.default_rng(seed).standard_normal(angles.shape)
    return angles
