"""A world: one spine, the sensors on it, and a central for bleak; everything on one virtual radio link."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from imuposture._blocks import ROLES, FloatArray, Role
from imuposture._errors import AcquisitionError, ConfigError
from imuposture.acquisition.simulation import SensorModel, Simulation, Truth, simulate
from imuposture.acquisition.virtual import wire
from imuposture.acquisition.virtual.backend import Central, backend_types
from imuposture.acquisition.virtual.faults import Faults, Incident
from imuposture.acquisition.virtual.radio import RadioLink
from imuposture.acquisition.virtual.samples import Sampler
from imuposture.acquisition.virtual.sensor import VirtualSensor

__all__ = ["SensorSetup", "Transport", "VirtualWorld"]

log = logging.getLogger(__name__)
ADDRESSES: dict[Role, str] = {"upper": "D4:22:CD:00:00:01", "lower": "D4:22:CD:00:00:02"}
STANCE_RATE_HZ = 50.0  # at which the neutral stance is averaged


@dataclass(frozen=True, slots=True)
class SensorSetup:
    """One sensor of a world.

    Attributes
    ----------
    format : str
        Name of the driver whose wire format it speaks.
    model : SensorModel
        Its chip and mounting.
    rate_hz : float or None
        The rate it was left at; None: as it leaves the factory.
    faults : Faults
    timeline : sequence of Incident
    address : str or None
    """

    format: str = "movella_dot"
    model: SensorModel = field(default_factory=SensorModel)
    rate_hz: float | None = None
    faults: Faults = field(default_factory=Faults)
    timeline: Sequence[Incident] = ()
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Transport:
    """What makes bleak use a radio: keyword arguments for `bleak.BleakScanner` and `bleak.BleakClient`."""

    scanner_kwargs: Mapping[str, Any] = field(default_factory=dict)
    client_kwargs: Mapping[str, Any] = field(default_factory=dict)


class VirtualWorld:
    """A spine with virtual sensors on it, to be entered with ``async with``.

    Parameters
    ----------
    script : str or sequence of actions
        What the wearer does (see `imuposture.acquisition.simulation.simulate`).
    upper, lower : SensorSetup
    seed : int
        Everything random follows from it.
    minutes : float, optional
        Length of the scripts "still", "mixed_work" and "one_sided"; after its end the last pose is held.
    lead_in_s : float
        Seconds after entering at which the script begins; before, its first pose is held.
    central : bool
        Put a central for bleak on the link, too; without one, `transport` is not there.

    Attributes
    ----------
    simulation : Simulation
        The spine's script in its own time, from 0.
    sensors : dict of role to VirtualSensor
        Made on entering.
    start_s : float
        Time of the event loop's clock at which the world was entered.
    motion_s : float
        Likewise, at which the script begins.

    Raises
    ------
    ConfigError
        If the script, a wire format or its rate does not exist, or both sensors have one address.
    """

    def __init__(
        self,
        script: str | Sequence[Any] = "demo",
        *,
        upper: SensorSetup | None = None,
        lower: SensorSetup | None = None,
        seed: int = 0,
        minutes: float | None = None,
        lead_in_s: float = 0.0,
        central: bool = True,
    ) -> None:
        self.setups: dict[Role, SensorSetup] = {"upper": upper or SensorSetup(), "lower": lower or SensorSetup()}
        models = (self.setups["upper"].model, self.setups["lower"].model)
        self.simulation: Simulation = simulate(script, seed=seed, minutes=minutes, upper=models[0], lower=models[1])
        self.sensors: dict[Role, VirtualSensor] = {}
        self.start_s = self.motion_s = 0.0
        self._seed, self._lead_in_s, self._with_central = seed, lead_in_s, central
        self._kinds = {role: wire.find(setup.format) for role, setup in self.setups.items()}
        if self.address("upper") == self.address("lower"):
            raise ConfigError(f"both sensors have the address {self.address('upper')}; give one of them another")
        self._link: RadioLink | None = None
        self._central: Central | None = None
        self._transport: Transport | None = None
        self._timelines: list[asyncio.Task[None]] = []

    def address(self, role: Role) -> str:
        """Return the Bluetooth address of a role's sensor."""
        return self.setups[role].address or ADDRESSES[role]

    @property
    def link(self) -> RadioLink:
        """The air, for further controllers.

        Raises
        ------
        AcquisitionError
            If the world has not been entered.
        """
        if self._link is None:
            raise AcquisitionError("the virtual world does not exist yet; enter it with 'async with VirtualWorld(...)'")
        return self._link

    @property
    def transport(self) -> Transport:
        """What bleak needs to use this world's radio.

        Raises
        ------
        AcquisitionError
            If the world has not been entered, or has no central.
        """
        if self._transport is None:
            raise AcquisitionError("no central in this virtual world; enter it with 'async with VirtualWorld(...)'")
        return self._transport

    async def __aenter__(self) -> "VirtualWorld":
        loop = asyncio.get_running_loop()
        self.start_s = loop.time()
        self.motion_s = self.start_s + self._lead_in_s
        self._link = RadioLink()
        self.sensors = {role: self._make_sensor(role, self._link) for role in ROLES}
        by_address = {sensor.address: sensor for sensor in self.sensors.values()}
        for sensor in self.sensors.values():
            sensor.others = by_address
            await sensor.power_on()
        if self._with_central:
            self._central = await Central.on_link(self._link)
            self._transport = transport_of(self._central)
        self._timelines = [
            loop.create_task(self._play(role, setup.timeline)) for role, setup in self.setups.items() if setup.timeline
        ]
        return self

    def _make_sensor(self, role: Role, link: RadioLink) -> VirtualSensor:
        worn = self.simulation.upper if role == "upper" else self.simulation.lower
        setup = self.setups[role]
        firmware = self._kinds[role](wire.Identity(self.address(role)))
        if setup.rate_hz is not None:
            firmware.preset(setup.rate_hz)
        sampler = Sampler(worn, self.motion_s)
        return VirtualSensor(link, firmware, sampler, faults=setup.faults, seed=f"{self._seed} {role}")

    async def _play(self, role: Role, timeline: Sequence[Incident]) -> None:
        loop = asyncio.get_running_loop()
        for incident in sorted(timeline, key=lambda one: one.at_s):
            await asyncio.sleep(max(0.0, self.start_s + incident.at_s - loop.time()))
            await self.sensors[role].undergo(incident)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._timelines:
            task.cancel()
        await asyncio.gather(*self._timelines, return_exceptions=True)
        if self._central:
            await self._central.close()
        for sensor in self.sensors.values():
            await sensor.close()
        self._transport = self._link = self._central = None

    def truth(self, time_s: ArrayLike, *, from_stance: bool = False) -> Truth:
        """Return what is true of the spine at instants of the event loop's clock (in real time: `time.monotonic`).

        Parameters
        ----------
        time_s : (n,) array_like, s
        from_stance : bool
            Counted from the script's neutral stance, as a calibrated pipeline counts.

        Raises
        ------
        ConfigError
            If the script has no neutral stance to count from.
        """
        times = np.asarray(time_s, dtype=np.float64) - self.motion_s
        if not from_stance:
            return self._truth(times)
        stance = self._stance_times()
        both = self._truth(np.concatenate([stance, times])).counted_from(slice(0, len(stance)))
        return Truth(both.lower_q[len(stance) :], both.upper_q[len(stance) :])

    def begin_script(self, after_s: float = 0.0) -> None:
        """Let the script begin anew, ``after_s`` seconds from now; until then its first pose is held.

        What the sensors have not sent yet follows; `truth` knows the new beginning only.

        Raises
        ------
        AcquisitionError
            If the world has not been entered.
        """
        if self._link is None:
            raise AcquisitionError("the virtual world does not exist yet; enter it with 'async with VirtualWorld(...)'")
        self.motion_s = asyncio.get_running_loop().time() + after_s
        for sensor in self.sensors.values():
            sensor.begin_script(self.motion_s)

    def _truth(self, times: FloatArray) -> Truth:
        state = self.simulation.spine.state(times)
        return Truth(state.lower_q, state.upper_q)

    def _stance_times(self) -> FloatArray:
        spans = self.simulation.windows.get("neutral")
        if not spans:
            raise ConfigError("no neutral stance in this script; add stand(6, neutral=True)")
        return np.concatenate([np.arange(first, last, 1.0 / STANCE_RATE_HZ) for first, last in spans])


def transport_of(central: Central) -> Transport:
    """Return what makes bleak use a central."""
    scanner, client = backend_types(central)
    return Transport({"backend": scanner}, {"backend": client})
