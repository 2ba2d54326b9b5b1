"""Three real servers as one broker: what one hub is asked, another may answer; one dies, nothing is lost."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from cloud_hub.broker.broker import Broker
from cloud_hub.broker.cluster import Cluster, split_address
from cloud_hub.broker.errors import BrokerUnavailableError
from cloud_hub.broker.settings import BrokerSettings
from cloud_hub.pki.authority import CLUSTER_CA, Authority
from contract import topics
from simulators.demo.stage import free_port
from tests.broker.conftest import HOST, Connect, Fleet, eventually

PARTITIONS = 3
DEVICES = [f"cam-{number}" for number in range(12)]


def members(fleet: Fleet) -> list[BrokerSettings]:
    """Return the settings of three hubs on this machine, with the same keys."""
    authority = Authority.create(fleet.folder, stem=CLUSTER_CA)
    addresses = tuple(f"{HOST}:{free_port()}" for _ in range(3))
    settings = []
    for number, address in enumerate(addresses):
        key_pem, cert_pem = authority.issue_member(HOST)
        cert, key = fleet.folder / f"member-{number}.pem", fleet.folder / f"member-{number}-key.pem"
        cert.write_bytes(cert_pem)
        key.write_bytes(key_pem)
        cluster = Cluster(
            address=address,
            members=addresses,
            cert_file=cert,
            key_file=key,
            ca_file=fleet.folder / f"{CLUSTER_CA}.pem",
        )
        folder = fleet.folder / f"broker-{number}"
        settings.append(fleet.settings(folder=folder, cluster=cluster, partitions=PARTITIONS))
    return settings


async def start_all(fleet: Fleet, settings: list[BrokerSettings], stack: AsyncExitStack) -> list[Broker]:
    brokers = await asyncio.gather(*(Broker.start(each, fleet.lookup) for each in settings))
    for broker in brokers:
        stack.push_async_callback(broker.stop)
    return brokers


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def brokers(fleet: Fleet, stack: AsyncExitStack) -> list[Broker]:
    return await start_all(fleet, members(fleet), stack)


async def take_all(brokers: list[Broker], count: int) -> dict[str, list[bytes]]:
    """Let each hub take one part until ``count`` messages came; return them by device, in their order."""
    taken: dict[str, list[bytes]] = {device: [] for device in DEVICES}
    parts: list[set[str]] = [set() for _ in range(PARTITIONS)]
    total = 0

    async def take(broker: Broker, partition: int) -> None:
        nonlocal total
        while total < count:
            try:
                deliveries = await broker.bus.fetch_telemetry(50, 0.5, partition)
            except BrokerUnavailableError:  # the others agree who leads now
                await asyncio.sleep(0.5)
                continue
            for delivery in deliveries:
                device, _, _ = topics.parse_subject(delivery.subject)
                taken[device].append(delivery.payload)
                parts[partition].add(device)
                total += 1
                await delivery.ack()

    async with asyncio.timeout(30):
        await asyncio.gather(*(take(brokers[n % len(brokers)], n) for n in range(PARTITIONS)))
    assert sum(len(part) for part in parts) == len(set.union(*parts)), "a device is in two parts"
    return taken


async def test_devices_of_any_server_are_judged_stored_pushed_to_and_kicked_by_any_hub(
    fleet: Fleet, brokers: list[Broker], connect: Connect
) -> None:
    devices = []
    for number, name in enumerate(DEVICES):
        devices.append(await connect(brokers[number % 3], fleet.enrol(name)))
        assert devices[-1].connected
    for number in range(10):
        for name, device in zip(DEVICES, devices, strict=True):
            payload = f"{name} {number}".encode()
            await asyncio.to_thread(device.publish, topics.telemetry(name, "inference"), payload)
    taken = await take_all(brokers, 120)
    assert taken == {name: [f"{name} {n}".encode() for n in range(10)] for name in DEVICES}

    for broker in brokers:
        assert await broker.bus.connected_devices() == set(DEVICES)

    away = devices[1]  # on the second server; the first hub pushes and kicks
    await asyncio.to_thread(away.subscribe, topics.desired("cam-1"))
    await brokers[0].bus.publish(topics.desired("cam-1"), b"from another hub")
    await eventually(lambda: away.received == [(topics.desired("cam-1"), b"from another hub")])
    assert await brokers[0].bus.kick("cam-1") == 1
    await eventually(lambda: away.disconnects == 1)
    assert [device.disconnects for device in devices] == [int(name == "cam-1") for name in DEVICES]


async def test_a_dead_server_takes_nothing_with_it(
    fleet: Fleet, brokers: list[Broker], connect: Connect
) -> None:
    device = await connect(brokers[0], fleet.enrol("cam-0"))
    sent = [f"batch {number}".encode() for number in range(50)]
    for payload in sent:
        await asyncio.to_thread(device.publish, topics.telemetry("cam-0", "inference"), payload)
    killed = brokers[0].server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await brokers[0].stop()  # its hub is gone too, and does not start it again
    taken = await take_all(brokers[1:], 50)
    assert taken["cam-0"] == sent
    elsewhere = await connect(brokers[1], fleet.enrol("cam-1"))
    # Refused while the others agree who leads now; a device tries again, as the agent does.
    await eventually(lambda: elsewhere.connected, timeout_s=30)
    # Not acknowledged while the stream has no leader; a device says it again, as the agent does.
    for _ in range(6):
        elsewhere.send(topics.telemetry("cam-1", "inference"), b"still here", qos=1)
        await asyncio.sleep(2)
    assert (await take_all(brokers[1:], 1))["cam-1"][:1] == [b"still here"]


async def test_one_alone_of_three_waits_for_the_others(fleet: Fleet, stack: AsyncExitStack) -> None:
    settings = members(fleet)
    alone = asyncio.create_task(Broker.start(settings[0], fleet.lookup))
    await asyncio.sleep(3)
    assert not alone.done()
    await start_all(fleet, settings[1:], stack)
    stack.push_async_callback((await asyncio.wait_for(alone, 60)).stop)


async def test_nobody_without_a_members_certificate_gets_in_between_the_servers(
    fleet: Fleet, brokers: list[Broker]
) -> None:
    cluster = brokers[0].server.settings.cluster
    assert cluster is not None

    def greeted(certificate: object, key: object) -> bool:
        """Does the server say who it is? TLS 1.3 refuses a client only after the handshake."""
        context = ssl.create_default_context(cafile=str(cluster.ca_file))
        if certificate:
            context.load_cert_chain(str(certificate), str(key))
        with socket.create_connection(split_address(cluster.address), timeout=5) as plain:
            try:
                with context.wrap_socket(plain, server_hostname=HOST) as tls:
                    return tls.recv(4096).startswith(b"INFO")
            except (ssl.SSLError, ConnectionError):
                return False

    device = fleet.enrol("cam-0")
    assert await asyncio.to_thread(greeted, cluster.cert_file, cluster.key_file)
    assert not await asyncio.to_thread(greeted, device.cert, device.key)
    assert not await asyncio.to_thread(greeted, None, None)


def test_addresses() -> None:
    assert split_address("[::1]:6222") == ("::1", 6222)
    for wrong in ("host", "host:", ":1", "host:0", "host:70000", "host:x"):
        with pytest.raises(ValueError, match="host:port"):
            split_address(wrong)
    one = Cluster(address="a:1", members=("a:1",), cert_file=None, key_file=None, ca_file=None)  # type: ignore[arg-type]
    assert (one.host, one.port, replace(one, address="b:2").port) == ("a", 1, 2)
