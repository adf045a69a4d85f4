"""Clocks: two sides in turns and the median of their ratios; the stages of one side, each without the others."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from statistics import median
from typing import Any

__all__ = ["STAGES", "Pairs", "Times", "paired", "stage_times", "timed"]

OTHER_THREADS = "other threads"


@dataclass(frozen=True, slots=True)
class Times:
    """What one run took: CPU time of all threads, and time on the wall, s."""

    cpu: float
    wall: float


Pairs = list[tuple[Times, Times]]  # ours and theirs, round by round


def timed(work: Callable[[], object]) -> Times:
    """Run ``work`` once."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Times(time.process_time() - cpu, time.perf_counter() - wall)


def paired(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> Pairs:
    """Run both in turns, A B A B.

    Absolute times move by 30 % with what else the machine does; ratios of runs that follow one another hardly do.
    """
    return [(timed(ours), timed(theirs)) for _ in range(rounds)]


def ratio(pairs: Pairs, clock: str) -> float:
    """Return the median over the rounds of their time divided by ours."""
    return median(getattr(theirs, clock) / getattr(ours, clock) for ours, theirs in pairs)


# (stage, module, what is called there); a class and its method with a dot. A stage that calls another one is not
# charged for it. What is named here and does not exist is an error: the table must follow the code.
STAGES = (
    ("open and judge the file", "imuposture.processing", "_opened"),
    ("reader", "imuposture.acquisition.readers.recording", "Recording.blocks"),
    ("checksums of the input", "imuposture.processing", "_facts"),
    ("alignment", "imuposture.alignment", "Alignment.push"),
    ("calibration: find", "imuposture.processing", "calibrate"),
    ("calibration: apply", "imuposture.calibration", "Calibration.apply"),
    ("filtering", "imuposture.filtering", "LowPass.push"),
    ("fusion", "imuposture.pipeline.walk", "fuse"),
    ("heading", "imuposture.heading", "Heading.push"),
    ("kinematics", "imuposture.kinematics", "Kinematics.push"),
    ("metrics: movements", "imuposture.metrics.segmentation.movements", "Movements.push"),
    ("metrics: repetitions", "imuposture.metrics.repetitions", "Repetitions.push"),
    ("metrics: range of motion", "imuposture.metrics.range_of_motion", "RangeOfMotion.push"),
    ("metrics: asymmetry", "imuposture.metrics.asymmetry", "Asymmetry.push"),
    ("metrics: exposure", "imuposture.metrics.exposure", "Exposure.push"),
    ("metrics: changes", "imuposture.metrics.changes", "Changes.push"),
    ("metrics: sorting", "imuposture.metrics", "MetricSet.push"),
    ("metrics: last figures", "imuposture.metrics", "MetricSet.finish"),
    ("output: rows to Arrow", "imuposture.output.session", "SessionFolder.write"),
    ("output: close", "imuposture.output.files", "TableFiles.close"),
    ("output: read back", "imuposture.output.parquet", "_check_written"),
)


class _Ledger:
    """CPU time of the main thread by stage, each stage without the stages it called."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._open: list[list[float]] = []

    @contextmanager
    def entry(self, stage: str) -> Iterator[None]:
        start = time.thread_time()
        self._open.append([0.0])
        try:
            yield
        finally:
            lasted = time.thread_time() - start
            self.spent[stage] += lasted - self._open.pop()[0]
            if self._open:
                self._open[-1][0] += lasted

    def watched(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``call`` with its time, and that of what it yields, on the ledger."""

        def wrapped(*args: Any, **options: Any) -> Any:
            with self.entry(stage):
                result = call(*args, **options)
            return self._drawn(stage, result) if isinstance(result, Iterator) else result

        return wrapped

    def _drawn(self, stage: str, items: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while True:
            with self.entry(stage):
                item = next(items, end)
            if item is end:
                return
            yield item


@contextmanager
def _watch(ledger: _Ledger) -> Iterator[None]:
    replaced = []
    try:
        for stage, module, name in STAGES:
            owner: Any = import_module(module)
            *path, last = name.split(".")
            for part in path:
                owner = getattr(owner, part)
            replaced.append((owner, last, getattr(owner, last)))
            setattr(owner, last, ledger.watched(stage, getattr(owner, last)))
        yield
    finally:
        for owner, last, call in reversed(replaced):
            setattr(owner, last, call)


def stage_times(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Run ``work`` and return the median CPU time of every stage in the main thread, s.

    ``everything else`` is what no stage of `STAGES` holds; ``other threads`` is CPU time beside the main thread, of
    Arrow's parser and of the writer.
    """
    runs = []
    for _ in range(rounds):
        ledger = _Ledger()
        with _watch(ledger):
            cpu, main = time.process_time(), time.thread_time()
            with ledger.entry("everything else"):
                work()
            cpu, main = time.process_time() - cpu, time.thread_time() - main
        runs.append({**ledger.spent, OTHER_THREADS: max(cpu - main, 0.0)})
    order = [*(stage for stage, _, _ in STAGES), "everything else", OTHER_THREADS]
    return {stage: median(run.get(stage, 0.0) for run in runs) for stage in order}
