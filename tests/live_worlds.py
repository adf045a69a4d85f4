"""The whole of live recording on a virtual world, in simulated time: what came of it, with the truth beside it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import simulated_time
from fake_bleak import clock

from imuposture._blocks import ROLES, FloatArray, Role
from imuposture.acquisition.ble import Address, Transport
from imuposture.acquisition.simulation import SensorModel
from imuposture.acquisition.simulation.actions import bend, during, side_bend, stand, twist
from imuposture.acquisition.virtual import Fate, Faults, Incident, SensorSetup, VirtualWorld
from imuposture.acquisition.virtual.counting import Ledger
from imuposture.output import Memory, Result, manifest, read_entries
from imuposture.pipeline import Rows
from imuposture.pipeline.commands import Calibrate
from imuposture.recording import Outcome, Recorder, Wishes, record_async
from imuposture.recording.radio_source import RadioSource

OWN = "own_firmware_template"
LEAD_IN_S = 1.5  # until the sensors stream
SIDES = ("right", "left")
CALIBRATION = [
    stand(4, neutral=True),
    during("flexion", [bend(60, reps=3, seconds=2.5, rest=0.2)]),
    during("lateral", [side_bend(25, side, seconds=2.5, rest=0.2) for side in SIDES]),
    during("rotation", [twist(35, side, seconds=2.5, rest=0.2) for side in SIDES]),
    stand(3, neutral=True),
]
WORK = [bend(45, seconds=3.0), side_bend(20, "left", seconds=2.5), twist(25, "right", seconds=2.5), stand(3)]
POSTURE_ANGLES = ("flexion_deg", "lateral_bend_deg", "axial_rotation_deg")


class Timed(Ledger):
    """Knows when each stream began, too, s of the host's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.begun_at_s: list[float] = []

    def begin(self, clock_s: float = 0.0) -> None:
        super().begin(clock_s)
        self.begun_at_s.append(asyncio.get_running_loop().time())


class Air:
    """A world that a test made, as an air."""

    def __init__(self, world: VirtualWorld) -> None:
        self._world = world

    async def enter(self) -> dict[Role, tuple[Transport, Address]]:
        await self._world.__aenter__()
        given = self._world.transport
        transport = Transport("virtual", given.scanner_kwargs, given.client_kwargs)
        return {role: (transport, Address(self._world.address(role))) for role in ROLES}

    async def leave(self) -> None:
        await self._world.__aexit__(None, None, None)


@dataclass
class Take:
    """One recording."""

    world: VirtualWorld
    outcome: Outcome
    rows: list[Rows]

    @property
    def session(self) -> Result:
        assert self.outcome.result is not None, self.outcome.message()
        return self.outcome.result

    @property
    def origin_s(self) -> float:
        """Host time of the session's 0."""
        assert self.outcome.folder is not None
        return next(iter(read_entries(self.outcome.folder))).arrival_ns * 1e-9

    def live(self) -> Result:
        """Return the tables that the live rows make."""
        assert self.outcome.folder is not None
        memory = Memory(manifest.load(self.outcome.folder))
        for rows in self.rows:
            memory.write(rows.posture, rows.metrics)
        return memory.close(None, {})

    def fates(self, role: Role) -> np.ndarray:
        return np.frombuffer(self.world.sensors[role].ledger.fates(), np.uint8)

    def heard_s(self, role: Role, rate_hz: float) -> FloatArray:
        """Return when the samples that arrived whole were measured, s of the host's clock."""
        ledger, heard = self.world.sensors[role].ledger, np.flatnonzero(self.fates(role) == Fate.DELIVERED)
        assert isinstance(ledger, Timed)
        stream = np.searchsorted(ledger.streams, heard, side="right") - 1
        begun, first = np.array(ledger.begun_at_s)[stream], np.array(ledger.streams)[stream]
        return begun + (heard - first + 1) / rate_hz

    def counts(self, role: Role) -> dict[str, int]:
        """Return what the session says of a sensor's samples."""
        return dict(self.session.manifest["alignment"]["sensors"][role])

    def errors(self, angle: str, after_s: float) -> FloatArray:
        """Return an angle's errors in rows after a moment of the script, degrees; NaN in gaps."""
        posture = self.session.posture
        times = posture["time_s"].to_numpy() + self.origin_s
        after = times > self.world.motion_s + after_s
        told = posture[angle].to_numpy(zero_copy_only=False).astype(np.float64)[after]
        return told - getattr(self.world.truth(times[after], from_stance=True), angle)


def end_of_calibration(world: VirtualWorld) -> float:
    """Return the last second of the guided steps, of the script's time."""
    return max(end for spans in world.simulation.windows.values() for _, end in spans)


def guide(recorder: Recorder, world: VirtualWorld) -> None:
    """Say the steps of the calibration as they come."""
    loop = asyncio.get_running_loop()
    steps = [(start, end, step) for step, spans in world.simulation.windows.items() for start, end in spans]
    for start, end, step in steps:
        loop.call_at(world.motion_s + start + 0.05, recorder.command, Calibrate("begin", step))
        loop.call_at(world.motion_s + end - 0.05, recorder.command, Calibrate("end", step))
    loop.call_at(world.motion_s + end_of_calibration(world) + 0.1, recorder.command, Calibrate("end"))


def recorded(
    out: Path,
    seconds: float,
    *,
    kind: str = OWN,
    faults: Faults | None = None,
    upper: Sequence[Incident] = (),
    lower: Sequence[Incident] = (),
    script: Sequence[Any] | str = (*CALIBRATION, *WORK),
    guided: bool = False,
    seed: int = 1,
    rate_hz: float | None = None,
    **more: Any,
) -> Take:
    """Record two sensors in a world; standing faults are the upper one's, and only its clock is fast."""
    rows: list[Rows] = []
    setups = {
        "upper": SensorSetup(kind, SensorModel.movella_dot(), faults=faults or Faults(clock_ppm=40.0), timeline=upper),
        "lower": SensorSetup(kind, SensorModel.movella_dot(), faults=Faults(clock_ppm=-30.0), timeline=lower),
    }
    world = VirtualWorld(script, seed=seed, lead_in_s=LEAD_IN_S, **setups)

    async def work() -> Outcome:
        def began(recorder: Recorder) -> None:
            if guided:
                # The script's moments are known once the world was made, which opening the source does.
                asyncio.get_running_loop().call_later(0.5, guide, recorder, world)

        source = RadioSource(Air(world), Wishes(rate_hz=rate_hz), clock())
        return await record_async(
            out=out, seconds=seconds, source=source, takers=[rows.append], clock=clock(), began=began, **more
        )

    with mock.patch("imuposture.acquisition.virtual.sensor.Ledger", Timed):
        return Take(world, simulated_time.run(work()), rows)


def bits(result: Result) -> dict[str, bytes]:
    """Return every column of the posture table as bytes, missing values included."""
    found = {}
    for name, column in zip(result.posture.column_names, result.posture.columns, strict=True):
        flat = column.combine_chunks()
        while hasattr(flat, "flatten") and hasattr(flat.type, "value_type"):
            flat = flat.flatten()
        values = flat.to_numpy(zero_copy_only=False)
        found[name] = values.tobytes() if values.dtype != object else repr(values.tolist()).encode()
    return found
