"""Kicking a device, and who is connected."""

import asyncio
import time

from cloud_hub.broker.broker import Broker
from cloud_hub.broker.port import Presence
from contract import topics
from tests.broker.conftest import Connect, Fleet, StartBroker, eventually


async def test_revoke_and_kick_closes_the_device_and_no_other(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    gone = fleet.enrol("cam-1")
    device = await connect(broker, gone)
    others = [await connect(broker, fleet.enrol(f"cam-{number}")) for number in range(2, 6)]
    assert await broker.bus.connected_devices() == {f"cam-{number}" for number in range(1, 6)}
    fleet.revoke(gone)
    since = time.monotonic()
    assert await broker.bus.kick("cam-1") == 1
    await eventually(lambda: device.disconnects > 0, timeout_s=5.0)
    assert time.monotonic() - since < 5.0
    # It tries again by itself, and stays out.
    await eventually(lambda: len(device.connacks) > 1)
    assert not device.connected
    assert await broker.bus.connected_devices() == {f"cam-{number}" for number in range(2, 6)}
    assert [other.disconnects for other in others] == [0, 0, 0, 0]


async def test_kick_without_revocation_lets_the_device_come_back(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    device = await connect(broker, fleet.enrol("cam-1"))
    assert await broker.bus.kick("cam-1") == 1
    await eventually(lambda: device.connacks == [0, 0] and device.connected)


async def test_kick_of_an_absent_device_is_no_error(broker: Broker) -> None:
    assert await broker.bus.kick("cam-1") == 0


async def test_device_revoked_while_it_is_being_let_in_stays_out(
    fleet: Fleet, start_broker: StartBroker, connect: Connect
) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def outdated(device: str, serial: str) -> bool:
        known = fleet.lookup(device, serial)
        asked.set()
        await answer.wait()
        return known

    broker = await start_broker(lookup=outdated)
    credentials = fleet.enrol("cam-1")
    connecting = asyncio.create_task(connect(broker, credentials, reconnect_on_failure=False))
    await asked.wait()
    fleet.revoke(credentials)
    await broker.bus.kick("cam-1")
    answer.set()
    device = await connecting
    assert not device.connected
    assert 0 not in device.connacks


async def test_presence(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    seen: list[Presence] = []

    async def see(presence: Presence) -> None:
        seen.append(presence)

    unsubscribe = await broker.bus.watch_presence(see)
    device = await connect(broker, fleet.enrol("cam-1"))
    await eventually(lambda: seen == [Presence("cam-1", connected=True)])
    device.close()
    await eventually(lambda: seen[1:] == [Presence("cam-1", connected=False)])
    await unsubscribe()
    await connect(broker, fleet.enrol("cam-2"))
    assert await broker.bus.connected_devices() == {"cam-2"}
    assert len(seen) == 2


async def test_new_server_certificate_is_served_and_devices_come_back(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    device = await connect(broker, fleet.enrol("cam-1"))
    renewed = fleet.renew_server()
    assert await served_certificate(fleet, broker) != renewed
    broker.reload_certificate()
    for _ in range(100):
        if await served_certificate(fleet, broker) == renewed:
            break
        await asyncio.sleep(0.05)
    assert await served_certificate(fleet, broker) == renewed
    await eventually(lambda: device.connacks == [0, 0] and device.connected)
    await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), b"back")
    assert [each.payload for each in await broker.bus.fetch_telemetry(1, 2.0)] == [b"back"]
    assert broker.server.restarts == 0
    assert broker.bus.connected


async def served_certificate(fleet: Fleet, broker: Broker) -> bytes:
    context = fleet.tls_context()
    _, writer = await asyncio.open_connection("127.0.0.1", broker.mqtt_port, ssl=context)
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate
