"""One sensor's connections: payloads in, blocks out, and what became of the rest."""

import json
from dataclasses import dataclass, replace
from typing import Any

from imuposture._blocks import Entry, Event, ImuBlock
from imuposture._errors import DecodeError
from imuposture.acquisition.drivers import Decoder, Driver, Settings, Status

__all__ = ["ENDING", "Link", "LiveSensor", "event_of"]

ENDING = "ending"  # the link event with which a recording was told to end; rows end there


@dataclass(frozen=True, slots=True)
class LiveSensor:
    """A sensor that is streamed from: its driver, and what was asked of it."""

    driver: Driver
    settings: Settings


class Link:
    """One sensor's connections: the decoder of the present one, and what came of all."""

    def __init__(self, sensor: LiveSensor) -> None:
        self._sensor = sensor
        self._decoder: Decoder = sensor.driver.decoder(sensor.settings)
        self._generation = 0
        self._down_s: float | None = None
        self._counts = {"payloads": 0, "rejected": 0, "stale": 0, "connections": 0, "losses": 0}
        self.statuses: dict[str, dict[str, object]] = {}

    def is_new(self, entry: Entry) -> bool:
        """Say whether an entry is the first of a connection."""
        return entry.generation > self._generation

    def taken(self, entry: Entry, now: float) -> tuple[list[Event], list[ImuBlock]]:
        """Follow a link event, or decode a payload: return what happened, and the blocks that are complete."""
        if self.is_new(entry):  # a new connection has a decoder of its own
            self._generation = entry.generation
            self._decoder = self._sensor.driver.decoder(self._sensor.settings)
        if entry.kind == "link":
            return self._changed(entry, now), []
        return [], self._decoded(entry, now)

    def _changed(self, entry: Entry, now: float) -> list[Event]:
        """Count connections; a lost one is an event once the sensor is back."""
        told = event_of(entry)
        if told == "up":
            self._counts["connections"] += 1
        if told in ("down", "stalled") and self._down_s is None:
            self._down_s = now
            self._counts["losses"] += 1
        elif told in ("up", "resumed") and self._down_s is not None:
            since, self._down_s = self._down_s, None
            return [Event("link_loss", since, now)]
        return []

    def _decoded(self, entry: Entry, now: float) -> list[ImuBlock]:
        self._counts["payloads"] += 1
        if entry.generation < self._generation:
            self._counts["stale"] += 1
            return []
        try:
            messages = self._decoder.push(entry.payload, entry.channel)
        except DecodeError:
            self._counts["rejected"] += 1
            return []
        for message in messages:
            if isinstance(message, Status):
                self.statuses[message.what] = dict(message.values)
        return [replace(message, arrival_s=now) for message in messages if isinstance(message, ImuBlock)]

    def asdict(self) -> dict[str, Any]:
        """Return counts and driver, for the manifest."""
        return {**self._counts, "driver": self._sensor.driver.name, "verified": self._sensor.driver.verified}


def event_of(entry: Entry) -> str | None:
    """Return what a link event says happened; one that cannot be read says nothing."""
    try:
        told = json.loads(entry.payload)
    except (ValueError, RecursionError):
        return None
    event = told.get("event") if isinstance(told, dict) else None
    return event if isinstance(event, str) else None
