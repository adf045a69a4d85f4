"""What happens in the guest: a virtual spine on the kernel's own Bluetooth, found, recorded and interrupted.

python scene.py FOLDER            BlueZ and bleak's own backend; needs /dev/vhci
python scene.py FOLDER --inside   the same story on the radio inside this process, to see that the story is right

Nothing is judged here: sessions, rows and figures are left in FOLDER for ``test_fullstack.py``.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bleak import BleakClient, BleakScanner
from virtual_sensors import Listener, listen

from imuposture._blocks import Entry, PostureBlock, Role
from imuposture.acquisition.ble import NATIVE, Transport, scan
from imuposture.acquisition.virtual import Incident, SensorSetup, VirtualWorld
from imuposture.acquisition.virtual.counting import Fate
from imuposture.acquisition.virtual.serve import serve_vhci
from imuposture.pipeline import Config, Rows
from imuposture.recording import Outcome, Recorder, Wishes, record_async

RATE_HZ = 10.0  # what an emulated processor carries of two sensors
CALM_S = 6.0  # between two incidents
PATIENCE_S = 90.0  # for anything that has to happen
ROLES: tuple[Role, Role] = ("upper", "lower")


class StartNotifyClient(BleakClient):
    """Notifies by BlueZ's other way, whatever is asked for: the one that doubles (bleak issue 2002)."""

    async def start_notify(self, characteristic: Any, callback: Any, **_: Any) -> None:
        await super().start_notify(characteristic, callback, bluez={"use_start_notify": True})


class StartNotify(Transport):
    """BlueZ with such clients."""

    def client(self, device: Any, lost: Callable[[BleakClient], None], timeout_s: float) -> BleakClient:
        return StartNotifyClient(device, lost, timeout=timeout_s, **self.client_kwargs)


@dataclass
class Diary:
    """What a recording's links told, and how to wait for it."""

    entries: list[tuple[float, Role, str]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self, entry: Entry) -> None:
        if entry.role is not None:
            payload = json.loads(entry.payload)
            print(f"{entry.arrival_ns * 1e-9:.2f} {entry.role} {entry.payload.decode()}", flush=True)
            self.entries.append((entry.arrival_ns * 1e-9, entry.role, payload["event"]))
            self.news.set()

    def times(self, role: Role, event: str) -> list[float]:
        return [at_s for at_s, whose, what in self.entries if (whose, what) == (role, event)]

    async def until(self, role: Role, event: str, count: int) -> None:
        """Wait until something was told so often."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.times(role, event)) < count:
                self.news.clear()
                await self.news.wait()


@dataclass
class Take:
    """One recording with its interruptions, and what is kept of it."""

    world: VirtualWorld
    folder: Path
    transport: Transport
    interruptions: list[tuple[Role, Incident]]
    diary: Diary = field(default_factory=Diary)
    rows: list[PostureBlock] = field(default_factory=list)
    struck_s: list[float] = field(default_factory=list)

    async def record(self) -> dict[str, Any]:
        """Record, interrupt, stop; return the figures."""
        before = {role: self.world.sensors[role].ledger.count(Fate.DELIVERED) for role in ROLES}
        playing: list[asyncio.Task[None]] = []

        def began(recorder: Recorder) -> None:
            playing.append(asyncio.create_task(self._play(recorder)))

        outcome = await record_async(
            f"ble:{self.world.address('upper')}",
            f"ble:{self.world.address('lower')}",
            self.folder,
            config=Config(gap_limit_s=2.5 / RATE_HZ),
            wishes=Wishes(rate_hz=RATE_HZ, find_s=60.0),
            takers=[self._take],
            told=self.diary.told,
            began=began,
            transport=self.transport,
        )
        await playing[0]
        self._keep()
        print(outcome.message(), flush=True)
        return self._figures(outcome, before)

    def _take(self, rows: Rows) -> None:
        self.rows.append(rows.posture)

    async def _play(self, recorder: Recorder) -> None:
        """Let the story happen once both sensors stream; end the recording whatever becomes of it."""
        try:
            for role in ROLES:
                await self.diary.until(role, "streaming", 1)
            for role, incident in self.interruptions:
                await asyncio.sleep(CALM_S)
                lost = len(self.diary.times(role, "streaming"))
                self.struck_s.append(time.monotonic())
                await self.world.sensors[role].undergo(incident)
                await self.diary.until(role, "streaming", lost + 1)
            await asyncio.sleep(CALM_S)
        finally:
            recorder.stop()

    def _keep(self) -> None:
        names = PostureBlock.__dataclass_fields__
        live = {name: np.concatenate([getattr(rows, name) for rows in self.rows]) for name in names}
        np.savez(self.folder.with_suffix(".live.npz"), **live)

    def _figures(self, outcome: Outcome, before: dict[Role, int]) -> dict[str, Any]:
        ledgers = {role: self.world.sensors[role].ledger for role in ROLES}
        return {
            "ending": outcome.ending,
            "exit_code": outcome.exit_code,
            "seconds": outcome.seconds,
            "rows": outcome.rows,
            "notes": outcome.notes,
            "interruptions": [
                {
                    "role": role,
                    "kind": incident.kind,
                    "noticed_s": self._after(at_s, role, "down"),
                    "streaming_again_s": self._after(at_s, role, "streaming"),
                }
                for at_s, (role, incident) in zip(self.struck_s, self.interruptions, strict=True)
            ],
            "sensors": {
                role: {
                    "payloads": tally.payloads,
                    "connections": tally.connections,
                    "losses": tally.losses,
                    "stale": tally.stale,
                    "samples_delivered": ledgers[role].count(Fate.DELIVERED) - before[role],
                }
                for role, tally in outcome.sensors.items()
            },
        }

    def _after(self, struck_s: float, role: Role, event: str) -> float | None:
        return next((at_s - struck_s for at_s in self.diary.times(role, event) if at_s > struck_s), None)


async def seen(world: VirtualWorld, transport: Transport) -> dict[str, Any]:
    """Scan until both sensors are there: the adapter may still be waking up."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            begun_s = time.monotonic()
            with contextlib.suppress(Exception):
                found = await scan(transport, 3.0)
                drivers = {one.advertisement.address: one.driver.name for one in found if one.driver}
                if {world.address(role) for role in ROLES} <= set(drivers):
                    return {"drivers": drivers, "seconds": time.monotonic() - begun_s}
            await asyncio.sleep(0.5)


async def doubled(world: VirtualWorld, transport: Transport) -> dict[str, int]:
    """Let plain bleak lose a link while it listens, and listen again: how often does each payload come?"""
    sensor = world.sensors["upper"]
    device = await BleakScanner.find_device_by_address(sensor.address, PATIENCE_S, **transport.scanner_kwargs)
    gone = asyncio.Event()
    client = BleakClient(device, lambda _: gone.set(), **transport.client_kwargs)
    await client.connect()
    listener = Listener(client)
    await listen(listener)
    await asyncio.sleep(3.0)
    await sensor.undergo(Incident(0.0, "lose_link"))
    await asyncio.wait_for(gone.wait(), PATIENCE_S)
    before = len(listener.payloads)
    await reached(world, client, transport)
    await listen(listener)
    await asyncio.sleep(3.0)
    await client.disconnect()
    again = Counter(listener.payloads[before:])
    return {"payloads": len(again), "callbacks": again.total()}


async def reached(world: VirtualWorld, client: BleakClient, transport: Transport) -> None:
    """Connect again; BlueZ wants to have seen the sensor since."""
    await BleakScanner.find_device_by_address(world.address("upper"), PATIENCE_S, **transport.scanner_kwargs)
    await client.connect()


@contextlib.asynccontextmanager
async def air(world: VirtualWorld, *, inside: bool) -> AsyncIterator[tuple[Transport, Transport]]:
    """Return the ways to the sensors: as imuposture goes, and by BlueZ's StartNotify."""
    if inside:
        given = world.transport
        yield (Transport("virtual", given.scanner_kwargs, given.client_kwargs),) * 2
        return
    async with serve_vhci(world):
        yield NATIVE, StartNotify(NATIVE.name, NATIVE.scanner_kwargs, NATIVE.client_kwargs)


async def play(folder: Path, *, inside: bool) -> dict[str, Any]:
    """Play everything; return the figures."""
    setup = SensorSetup(rate_hz=RATE_HZ)
    figures: dict[str, Any] = {}
    async with (
        VirtualWorld("demo", upper=setup, lower=setup, central=inside) as world,
        air(world, inside=inside) as (usual, doubling),
    ):
        figures["scan"] = await seen(world, usual)
        print(figures, flush=True)
        lost: tuple[Role, Incident] = ("upper", Incident(0.0, "lose_link"))
        hung_up: tuple[Role, Incident] = ("lower", Incident(0.0, "drop_link"))
        figures["recorded"] = await Take(world, folder / "recorded", usual, [lost, hung_up, lost]).record()
        figures["start_notify"] = await Take(world, folder / "start_notify", doubling, [lost]).record()
        figures["plain_bleak"] = await doubled(world, usual)
    return figures


def main() -> int:
    """Play the scene; leave what was found in the folder."""
    folder, begun_s = Path(sys.argv[1]), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    figures = asyncio.run(play(folder, inside="--inside" in sys.argv))
    figures["seconds"] = time.monotonic() - begun_s
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(json.dumps(figures, indent=1), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
