"""Repairs of bumble's virtual radio: each is shown to be needed on the stock class, and to hold on ours."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import simulated_time
from bumble import hci
from bumble.controller import Controller
from bumble.core import AdvertisingData
from bumble.device import Advertisement, Device, DeviceConfiguration
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

from imuposture.acquisition.virtual.radio import RadioController, RadioLink

CENTRAL, SENSOR = "F0:F0:F0:F0:F0:F0", "D4:22:CD:00:00:01"
OTHER_RANDOM = hci.Address("C1:C2:C3:C4:C5:C6")
NAME = bytes(AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, b"IMU")]))
MORE = bytes(AdvertisingData([(AdvertisingData.MANUFACTURER_SPECIFIC_DATA, b"\xff\xffmore")]))


class Radio:
    """One device on a link, of stock or of mended classes."""

    def __init__(self, link: LocalLink, address: str) -> None:
        if isinstance(link, RadioLink):
            self.controller: Controller = RadioController("test", link, address)
        else:
            self.controller = Controller("test", link=link, public_address=address)
        configuration = DeviceConfiguration(name="IMU", address=hci.Address(address), advertising_interval_min=100.0)
        configuration.le_enabled, configuration.classic_enabled = True, False
        self.device = Device(config=configuration, host=Host(self.controller, AsyncPipeSink(self.controller)))

    async def advertise(self) -> None:
        await self.device.power_on()
        self.device.advertising_data, self.device.scan_response_data = NAME, MORE
        await self.device.start_advertising(auto_restart=True)


Work = Callable[[Radio, Radio], Awaitable[object]]
both = pytest.mark.parametrize("mended", [False, True], ids=["stock", "mended"])


def with_two(mended: bool, work: Work) -> object:
    """Run ``work(central, sensor)``, both powered, the sensor advertising."""

    async def run() -> object:
        link = RadioLink() if mended else LocalLink()
        central, sensor = Radio(link, CENTRAL), Radio(link, SENSOR)
        await central.device.power_on()
        await sensor.advertise()
        return await work(central, sensor)

    return simulated_time.run(run())


async def heard(central: Radio, seconds: float = 1.0) -> list[Advertisement]:
    found: list[Advertisement] = []
    central.device.on("advertisement", found.append)
    await central.device.start_scanning(active=True, filter_duplicates=False)
    await asyncio.sleep(seconds)
    await central.device.stop_scanning()
    return found


async def connect(central: Radio, address: str = SENSOR) -> object:
    async with asyncio.timeout(5.0):
        return await central.device.connect(hci.Address(address), timeout=None)


@both
def test_a_connection_attempt_can_be_cancelled(mended):
    async def work(central: Radio, sensor: Radio) -> bool:
        try:
            async with asyncio.timeout(1.0):
                await central.device.connect(OTHER_RANDOM, timeout=None)
        except TimeoutError:
            await central.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
        try:
            await connect(central)
        except (hci.HCI_Error, TimeoutError):
            return False
        return True

    assert with_two(mended, work) is mended


@both
def test_a_central_with_another_random_address_is_understood(mended):
    async def work(central: Radio, sensor: Radio) -> bool:
        async with asyncio.timeout(5.0):
            connection = await central.device.connect(
                hci.Address(SENSOR), own_address_type=hci.OwnAddressType.PUBLIC, timeout=None
            )
        central.controller.random_address = OTHER_RANDOM  # as BlueZ does for scanning
        try:
            async with asyncio.timeout(5.0):
                return bool(await connection.gatt_client.discover_services())
        except TimeoutError:
            return False

    assert with_two(mended, work) is mended


@both
def test_scan_responses_are_heard(mended):
    async def work(central: Radio, sensor: Radio) -> set[bytes]:
        return {kind_data[1] for one in await heard(central) for kind_data in one.data.ad_structures}

    assert with_two(mended, work) == ({b"IMU", b"\xff\xffmore"} if mended else {b"IMU"})


@both
def test_a_sensor_without_power_is_not_heard(mended):
    async def work(central: Radio, sensor: Radio) -> bool:
        if isinstance(sensor.controller, RadioController):
            sensor.controller.vanish()
        else:
            await sensor.device.power_off()
        await asyncio.sleep(0.5)
        return not await heard(central)

    assert with_two(mended, work) is mended


@both
def test_a_reset_ends_what_an_earlier_host_left(mended):
    async def work(central: Radio, sensor: Radio) -> bool:
        await connect(central)
        central.controller.on_hci_reset_command(hci.HCI_Reset_Command())
        await asyncio.sleep(0.5)
        return not sensor.device.connections

    assert with_two(mended, work) is mended


@both
def test_no_kernel_is_promised_the_enhanced_event(mended):
    async def work(central: Radio, sensor: Radio) -> bool:
        claimed = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        return not central.controller.le_features & claimed

    assert with_two(mended, work) is mended


@both
def test_a_notification_is_one_packet(mended):
    async def work(central: Radio, sensor: Radio) -> bool:
        return sensor.controller.le_acl_data_packet_length >= 247

    assert with_two(mended, work) is mended


@both
def test_the_air_has_an_order(mended):
    # A set of controllers is in the order of their addresses in memory, which no seed decides.
    async def work(central: Radio, sensor: Radio) -> bool:
        return isinstance(sensor.controller.link.controllers, list)

    assert with_two(mended, work) is mended


def test_strength_is_the_sensors_own():
    async def work(central: Radio, sensor: Radio) -> set[int]:
        sensor.controller.advertiser.rssi_dbm = -71
        return {one.rssi for one in await heard(central)}

    assert with_two(True, work) == {-71}


def test_losing_a_link_is_a_timeout_on_both_sides():
    async def work(central: Radio, sensor: Radio) -> list[int]:
        reasons: list[int] = []
        connection = await connect(central)
        for radio in (central, sensor):
            for one in radio.device.connections.values():
                one.on("disconnection", reasons.append)
        sensor.controller.lose_links()
        await asyncio.sleep(0.5)
        assert not central.device.connections
        assert connection
        return reasons

    assert with_two(True, work) == [hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR] * 2


def test_what_is_held_up_comes_later_and_in_order():
    async def work(central: Radio, sensor: Radio) -> list[float]:
        connection = await connect(central)
        loop, link = asyncio.get_running_loop(), sensor.controller.link
        link.hold(sensor.controller)
        loop.call_later(2.0, link.release, sensor.controller)
        began = loop.time()
        await connection.gatt_client.discover_services()
        return [loop.time() - began]

    assert with_two(True, work) == [pytest.approx(2.0, abs=0.01)]


def test_what_was_held_up_does_not_outlive_its_link():
    async def work(central: Radio, sensor: Radio) -> list[bytes]:
        heard: list[bytes] = []
        link = sensor.controller.link
        connection = await connect(central)
        link.hold(sensor.controller)
        asking = asyncio.create_task(connection.gatt_client.discover_services())
        await asyncio.sleep(0.1)
        sensor.controller.lose_links()
        await asyncio.gather(asking, return_exceptions=True)
        await connect(central)
        link.tell(central.controller, heard.append)
        link.release(sensor.controller)
        await asyncio.sleep(0.1)
        return heard

    assert with_two(True, work) == []


def test_two_runs_are_one():
    async def work(central: Radio, sensor: Radio) -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []
        central.device.on("advertisement", lambda _: times.append(loop.time()))
        await heard(central)
        await connect(central)
        return [*times, loop.time()]

    assert with_two(True, work) == with_two(True, work)
