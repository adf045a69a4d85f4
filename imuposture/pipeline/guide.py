"""What commands do to a live walk: a guided calibration is gathered, a pause leaves a gap."""

import numpy as np
from numpy.typing import NDArray

from imuposture._blocks import Event, FloatArray, PairBlock, Quality, SensorRows
from imuposture.calibration import Calibration, calibrate
from imuposture.calibration.mounting import Window
from imuposture.pipeline.commands import Calibrate, Pause, Step
from imuposture.pipeline.rows import join_pairs

__all__ = ["Guide", "Pauses"]

LONGEST_S = 600.0  # rows of a guided calibration that are held; what came before is forgotten


class Guide:
    """The rows and windows of a guided calibration, from its first step until it ends."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._begin()

    def _begin(self) -> None:
        self._held: list[PairBlock] | None = None
        self._windows: dict[str, list[Window]] = {}
        self._open: dict[Step, float] = {}
        self._end_s: float | None = None

    def change(self, command: Calibrate, now: float) -> None:
        """Follow a command: begin or end a step, end or cancel the whole."""
        if command.at == "cancelled":
            self._begin()
        elif command.at == "begin":
            if self._held is None or self._end_s is not None:
                self._begin()
                self._held = []
            if command.step is not None:
                self._open[command.step] = now
        elif command.step is None:
            self._end_s = now if self._held is not None else None
        elif command.step in self._open:
            self._windows.setdefault(command.step, []).append((self._open.pop(command.step), now))

    def hold(self, pair: PairBlock) -> None:
        """Keep aligned rows while a calibration goes on."""
        if self._held is None or not len(pair):
            return
        self._held.append(pair)
        while float(pair.time_s[-1] - self._held[0].time_s[0]) > LONGEST_S:
            self._held.pop(0)

    @property
    def end_s(self) -> float | None:
        """When the last step ended, once the whole did; None while there is nothing to be found."""
        if self._held is None or self._end_s is None:
            return None
        return max((end for spans in self._windows.values() for _, end in spans), default=self._end_s)

    def result(self) -> tuple[Calibration, PairBlock] | None:
        """Return the calibration and the rows it was made of, and begin anew; None without rows."""
        if self._held is None or self._end_s is None:
            return None
        held = join_pairs(self._held) if self._held else None
        windows = {name: spans for name, spans in self._windows.items() if name in ("neutral", "flexion", "lateral")}
        self._begin()
        return None if held is None else (calibrate(held, self._rate_hz, windows), held)


class Pauses:
    """Stretches whose rows are gaps, because the wearer asked for it."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._done: list[Window] = []

    def change(self, command: Pause, now: float) -> list[Event]:
        """Begin or end a pause; one that ended is an event."""
        if command.at == "begin":
            self._since = now if self._since is None else self._since
            return []
        if self._since is None:
            return []
        since, self._since = self._since, None
        self._done.append((since, now))
        return [Event("pause", since, now)]

    def without(self, pair: PairBlock) -> PairBlock:
        """Return the rows, those of a pause as gaps."""
        if not len(pair) or (self._since is None and not self._done):
            return pair
        hidden = np.zeros(len(pair), np.bool_)
        if self._since is not None:
            hidden |= pair.time_s >= self._since
        for start, end in self._done:
            hidden |= (pair.time_s >= start) & (pair.time_s < end)
        self._done = [span for span in self._done if span[1] > pair.time_s[0]]
        if not hidden.any():
            return pair
        return PairBlock(pair.time_s, _blanked(pair.upper, hidden), _blanked(pair.lower, hidden))


def _blanked(rows: SensorRows, hidden: NDArray[np.bool_]) -> SensorRows:
    def blank(values: FloatArray) -> FloatArray:
        return np.where(hidden[:, None], np.nan, values)

    flags = np.where(hidden, np.uint8(Quality.GAP.value), rows.flags)
    mag, quat = rows.mag, rows.quat
    return SensorRows(
        blank(rows.acc),
        blank(rows.gyr),
        None if mag is None else blank(mag),
        flags,
        None if quat is None else blank(quat),
    )
