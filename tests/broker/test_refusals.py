"""Connections that must not come in, each beside one that does."""

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from cloud_hub.broker.broker import Broker
from cloud_hub.broker.connection import connect as connect_with_key
from cloud_hub.broker.errors import BrokerUnavailableError
from cloud_hub.broker.keys import NatsKey
from cloud_hub.pki.authority import Authority
from tests.broker.conftest import Connect, Credentials, Fleet, StartBroker, eventually

NOT_AUTHORIZED = 135  # paho's number for CONNACK 5, "not authorized", of MQTT 3.1.1


async def is_let_in(connect: Connect, broker: Broker, credentials: Credentials | None) -> bool:
    """Whether the broker lets a client with these credentials in."""
    try:
        device = await connect(broker, credentials, reconnect_on_failure=False)
    except (ssl.SSLError, ConnectionError):
        return False
    return device.connected


async def test_known_device_is_let_in(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    assert await is_let_in(connect, broker, fleet.enrol("cam-1"))


async def test_no_certificate(broker: Broker, connect: Connect) -> None:
    assert not await is_let_in(connect, broker, None)


async def test_certificate_of_another_authority(
    fleet: Fleet, broker: Broker, connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "foreign").mkdir()
    foreign = Authority.create(tmp_path / "foreign")
    assert not await is_let_in(connect, broker, fleet.enrol("cam-1", authority=foreign))


async def test_expired_certificate(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    assert not await is_let_in(connect, broker, fleet.enrol("cam-1", lifetime=timedelta(seconds=-5)))


async def test_live_connection_ends_with_its_certificate(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    lasting = await connect(broker, fleet.enrol("cam-1"))
    ending = await connect(
        broker, fleet.enrol("cam-2", lifetime=timedelta(seconds=3)), reconnect_on_failure=False
    )
    assert ending.connected
    await eventually(lambda: ending.disconnects > 0)
    assert lasting.connected
    assert lasting.disconnects == 0


async def test_revoked_serial_while_the_renewed_one_is_fine(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    old, new = fleet.enrol("cam-1"), fleet.enrol("cam-1")
    fleet.revoke(old)
    refused = await connect(broker, old, reconnect_on_failure=False)
    assert refused.connacks == [NOT_AUTHORIZED]
    assert await is_let_in(connect, broker, new)


async def test_server_certificate_is_no_device(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    folder = fleet.folder
    as_server = Credentials("cam-1", "", folder / "server.pem", folder / "server-key.pem", fleet.ca)
    assert not await is_let_in(connect, broker, as_server)


async def test_failing_lookup_refuses_until_it_works_again(
    fleet: Fleet, start_broker: StartBroker, connect: Connect
) -> None:
    broken = True

    def lookup(device: str, serial: str) -> bool:
        if broken:
            raise RuntimeError("the database is away")
        return fleet.lookup(device, serial)

    broker = await start_broker(lookup=lookup)
    credentials = fleet.enrol("cam-1")
    refused = await connect(broker, credentials, reconnect_on_failure=False)
    assert refused.connacks == [NOT_AUTHORIZED]
    broken = False
    assert await is_let_in(connect, broker, credentials)


async def test_asynchronous_lookup(fleet: Fleet, start_broker: StartBroker, connect: Connect) -> None:
    async def lookup(device: str, serial: str) -> bool:
        await asyncio.sleep(0)
        return fleet.lookup(device, serial)

    broker = await start_broker(lookup=lookup)
    known, revoked = fleet.enrol("cam-1"), fleet.enrol("cam-2")
    fleet.revoke(revoked)
    assert await is_let_in(connect, broker, known)
    assert not await is_let_in(connect, broker, revoked)


async def test_mqtt_without_tls_gets_nowhere(broker: Broker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.mqtt_port)
    writer.write(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x1e\x00\x05cam-1")
    answer = await asyncio.wait_for(reader.read(100), 15)
    writer.close()
    assert not answer.startswith(b"\x20")


@pytest.mark.parametrize("login", [{}, {"user": "hub", "password": "hub"}, {"token": "hub"}], ids=str)
async def test_nats_client_without_a_key_of_the_hub(broker: Broker, login: dict[str, Any]) -> None:
    url = f"nats://127.0.0.1:{broker.server.ports.client}"

    async def silent(_error: Exception) -> None:
        return

    client = Client()
    with pytest.raises(NatsError, match="Authorization"):
        await client.connect(url, allow_reconnect=False, error_cb=silent, **login)
    await client.close()


async def test_nats_client_with_a_foreign_key(broker: Broker, tmp_path: Path) -> None:
    foreign = NatsKey.at(tmp_path / "foreign.nk")
    port = broker.server.ports.client
    with pytest.raises(BrokerUnavailableError):
        await connect_with_key(port, foreign, name="foreign", timeout_s=1.0)
    own = await connect_with_key(port, broker.server.keys.hub, name="control", timeout_s=1.0)
    await own.close()
