"""Self-test: look at one sensor for a while, and keep what it sent."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from imuposture._blocks import Entry
from imuposture.acquisition.ble import NATIVE, Clock, EntryQueue, Transport
from imuposture.pipeline import LiveSensor
from imuposture.pipeline.remembered import driver_of
from imuposture.recording.capture import Capture, read_capture, write_capture
from imuposture.recording.examination import Check, decoded, examine
from imuposture.recording.sources import source_of
from imuposture.recording.wishes import Wishes

__all__ = ["SelfTest", "again", "selftest"]

USUAL_S = 30.0
CONNECT_S = 30.0


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What was found.

    Attributes
    ----------
    sensor : LiveSensor
    checks : tuple of Check
    capture : Path or None
        Where what the sensor sent was kept.
    """

    sensor: LiveSensor
    checks: tuple[Check, ...]
    capture: Path | None = None

    @property
    def passed(self) -> bool:
        """Tell whether nothing is wrong and everything that can be shown was."""
        return all(check.verdict == "ok" for check in self.checks if check.name != "losses" or check.value is not None)


async def selftest(
    uri: str,
    seconds: float = USUAL_S,
    *,
    capture: Path | None = None,
    wishes: Wishes | None = None,
    transport: Transport = NATIVE,
    clock: Clock | None = None,
) -> SelfTest:
    """Stream from one sensor and look at what it sends.

    Parameters
    ----------
    uri : str
        Of any kind that `imuposture.recording.record` takes.
    seconds : float
        From the first payload on. The sensor should lie still at first, and then be turned slowly about all axes.
    capture : path, optional
        Where to keep what it sent, as JSON lines: a new file.
    wishes : Wishes, optional
    transport : Transport
    clock : Clock, optional

    Raises
    ------
    AcquisitionError
        If it is not there, or there is no Bluetooth.
    RecordingError
        If the capture cannot be written.
    """
    clock = clock or Clock()
    source = source_of(uri, None, wishes, transport=transport, clock=clock)
    queue, entries = EntryQueue(), list[Entry]()
    try:
        await source.open(queue)
        source.start()
        await _collect(queue, entries, seconds)
    finally:
        await source.close()
    entries += queue.drain()
    sensor = next(iter(source.sensors.values()))
    own = [entry for entry in entries if entry.role == sensor.settings.role]
    kept = None if capture is None else write_capture(capture, sensor, own)
    stream = sensor.driver.stream(sensor.settings)
    return SelfTest(sensor, tuple(examine(stream, decoded(sensor, own))), kept)


def again(path: Path) -> SelfTest:
    """Examine a capture once more, with the drivers of today.

    Raises
    ------
    RecordingError
        If it is no capture.
    ConfigError
        If its driver is not there.
    """
    found: Capture = read_capture(path)
    sensor = LiveSensor(driver_of({**found.about, "driver": found.driver}), found.settings)
    stream = sensor.driver.stream(sensor.settings)
    return SelfTest(sensor, tuple(examine(stream, decoded(sensor, found.entries))), path)


async def _collect(queue: EntryQueue, entries: list[Entry], seconds: float) -> None:
    """Take what comes, until ``seconds`` after the first payload, or until it is clear that none comes."""
    loop = asyncio.get_running_loop()
    until, began = loop.time() + CONNECT_S, False
    while (left := until - loop.time()) > 0:
        try:
            async with asyncio.timeout(left):
                some = await queue.get()
        except TimeoutError:
            return
        entries += some
        if not began and any(entry.kind == "notification" for entry in some):
            began, until = True, loop.time() + seconds
