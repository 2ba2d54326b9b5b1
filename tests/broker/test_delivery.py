"""Messages both ways through a real server, and through its death."""

import asyncio
import os
import shutil
import signal
from pathlib import Path

from nats.js.api import StreamState

from cloud_hub.broker.broker import Broker
from cloud_hub.broker.connection import connect as nats_connect
from cloud_hub.broker.port import Bus, Message
from contract import topics
from tests.broker.conftest import Connect, Fleet, StartBroker, eventually


async def drain(bus: Bus, count: int) -> list[bytes]:
    """Fetch and acknowledge until ``count`` messages came or nothing more does."""
    payloads: list[bytes] = []
    while len(payloads) < count:
        deliveries = await bus.fetch_telemetry(100, 1.0)
        if not deliveries:
            break
        for delivery in deliveries:
            payloads.append(delivery.payload)
            await delivery.ack()
    return payloads


async def test_telemetry_waits_for_its_consumer_through_a_kill(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    device = await connect(broker, fleet.enrol("cam-1"))
    sent = [f"batch {number}".encode() for number in range(200)]
    for payload in sent:
        await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), payload)
    killed = broker.server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: broker.server.pid not in {None, killed} and device.connected)
    await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), b"after")
    assert await drain(broker.bus, 201) == [*sent, b"after"]
    assert broker.server.restarts == 1


async def test_telemetry_survives_a_restart_of_the_hub(
    fleet: Fleet, start_broker: StartBroker, connect: Connect
) -> None:
    first = await start_broker()
    device = await connect(first, fleet.enrol("cam-1"))
    await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), b"one")
    await first.stop()
    second = await start_broker()
    (delivery,) = await second.bus.fetch_telemetry(10, 2.0)
    assert topics.parse_subject(delivery.subject) == ("cam-1", "telemetry", "inference")
    assert delivery.payload == b"one"


async def test_a_consumer_that_a_power_cut_left_ahead_of_its_stream_begins_anew(
    fleet: Fleet, start_broker: StartBroker, connect: Connect, tmp_path: Path
) -> None:
    """Found by sixty power cuts: the messages as they were, the consumer's position as it became."""
    first = await start_broker()
    cam, topic = fleet.enrol("cam-1"), topics.telemetry("cam-1", "inference")
    device = await connect(first, cam)
    await asyncio.to_thread(device.publish, topic, b"one")
    assert await drain(first.bus, 1) == [b"one"]
    await until_acknowledged(first)
    await first.stop()
    (stream,) = tmp_path.rglob("streams/TELEMETRY")
    shutil.copytree(stream / "msgs", tmp_path / "before")
    second = await start_broker()
    device = await connect(second, cam)
    for number in range(20):
        await asyncio.to_thread(device.publish, topic, b"%d" % number)
    assert len(await drain(second.bus, 20)) == 20
    await second.stop()
    shutil.rmtree(stream / "msgs")
    shutil.copytree(tmp_path / "before", stream / "msgs")
    for name in ("meta.inf", "meta.sum"):
        (stream / "obs/ingest" / name).write_bytes(b"")
    third = await start_broker()
    device = await connect(third, cam)
    await asyncio.to_thread(device.publish, topic, b"after")
    assert await drain(third.bus, 2) == [b"after"]


async def test_acknowledged_telemetry_is_gone_and_the_rest_is_not(
    fleet: Fleet, start_broker: StartBroker, connect: Connect
) -> None:
    first = await start_broker()
    device = await connect(first, fleet.enrol("cam-1"))
    for payload in (b"one", b"two"):
        await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), payload)
    one, two = await first.bus.fetch_telemetry(2, 2.0)
    await one.ack()
    assert await first.bus.fetch_telemetry(1, 0.2) == []
    assert (await stream_state(first, "TELEMETRY")).messages == 1
    assert two.payload == b"two"


async def test_a_full_stream_keeps_the_oldest(
    fleet: Fleet, start_broker: StartBroker, connect: Connect
) -> None:
    broker = await start_broker(settings=fleet.settings(telemetry_max_bytes=100_000))
    device = await connect(broker, fleet.enrol("cam-1"))
    for number in range(20):
        payload = b"%02d" % number + b"x" * 10_000
        await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), payload)
    kept = [payload[:2] for payload in await drain(broker.bus, 20)]
    assert kept == [b"%02d" % number for number in range(len(kept))]
    assert 5 <= len(kept) < 20
    # Room again, so new telemetry is taken again.
    await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "inference"), b"again")
    assert await drain(broker.bus, 1) == [b"again"]


async def test_the_bound_of_telemetry_can_be_lowered_and_raised(
    fleet: Fleet, start_broker: StartBroker
) -> None:
    for bound in (4 << 30, 1 << 20, 8 << 30):
        broker = await start_broker(settings=fleet.settings(telemetry_max_bytes=bound))
        client = await nats_connect(broker.server.ports.client, broker.server.keys.hub, name="test")
        assert (await client.jetstream().stream_info("TELEMETRY")).config.max_bytes == bound
        await client.close()
        await broker.stop()


async def test_desired_reaches_its_device_only(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    first = await connect(broker, fleet.enrol("cam-1"))
    second = await connect(broker, fleet.enrol("cam-2"))
    for device, name in ((first, "cam-1"), (second, "cam-2")):
        assert await asyncio.to_thread(device.subscribe, topics.desired(name)) == 0
        assert await asyncio.to_thread(device.subscribe, topics.ack(name)) == 0
    await broker.bus.publish(topics.desired("cam-1"), b"envelope")
    await broker.bus.publish(topics.ack("cam-2"), b"mark")
    await eventually(lambda: bool(first.received) and bool(second.received))
    assert first.received == [("hl/1/cam-1/desired", b"envelope")]
    assert second.received == [("hl/1/cam-2/ack", b"mark")]


async def test_hello_goes_to_one_of_the_queue_and_comes_back_after_a_kill(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    heard: list[Message] = []

    async def hear(message: Message) -> None:
        heard.append(message)

    for _ in range(2):
        await broker.bus.subscribe(topics.hello("+"), hear, queue="hub")
    device = await connect(broker, fleet.enrol("cam-1"))
    await asyncio.to_thread(device.publish, topics.hello("cam-1"), b"one")
    await eventually(lambda: bool(heard))
    killed = broker.server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    await eventually(lambda: broker.server.pid not in {None, killed} and device.connected)
    await eventually_heard(broker, heard)
    await asyncio.to_thread(device.publish, topics.hello("cam-1"), b"two")
    await eventually(lambda: len(heard) > 1)
    assert [message.payload for message in heard] == [b"one", b"two"]
    assert {message.subject for message in heard} == {"hl.1.cam-1.hello"}


async def test_a_failing_handler_does_not_stop_the_next_message(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    heard: list[bytes] = []

    async def stumble(message: Message) -> None:
        heard.append(message.payload)
        if len(heard) == 1:
            raise ValueError("the first one is too much")

    unsubscribe = await broker.bus.subscribe(topics.hello("+"), stumble)
    device = await connect(broker, fleet.enrol("cam-1"))
    for payload in (b"one", b"two"):
        await asyncio.to_thread(device.publish, topics.hello("cam-1"), payload)
    await eventually(lambda: heard == [b"one", b"two"])
    await unsubscribe()
    await asyncio.to_thread(device.publish, topics.hello("cam-1"), b"three")
    await asyncio.to_thread(device.publish, topics.telemetry("cam-1", "x"), b"later")
    assert await drain(broker.bus, 1) == [b"later"]
    assert heard == [b"one", b"two"]


async def test_retained_messages_stay_bounded(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    device = await connect(broker, fleet.enrol("cam-1"))
    for number in range(24):
        topic = topics.telemetry("cam-1", f"s{number}")
        await asyncio.to_thread(device.publish, topic, b"x" * 1_000_000, retain=True)
    state = await stream_state(broker, "$MQTT_rmsgs")
    assert 0 < state.bytes <= 16 * 1024 * 1024


async def eventually_heard(broker: Broker, heard: list[Message]) -> None:
    """Wait until the hub's own connection is back: what it sends itself arrives again."""
    echoes: list[Message] = []

    async def echo(message: Message) -> None:
        echoes.append(message)

    await broker.bus.subscribe("test/echo", echo)
    before = len(heard)
    await broker.bus.publish("test/echo", b"")
    await eventually(lambda: bool(echoes))
    assert len(heard) == before


async def until_acknowledged(broker: Broker) -> None:
    """Wait until the stream itself has taken each acknowledgement: a consumer sends them and goes on."""
    for _ in range(200):
        if (await stream_state(broker, "TELEMETRY")).messages == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("messages that were acknowledged are still in the stream")


async def stream_state(broker: Broker, stream: str) -> StreamState:
    client = await nats_connect(broker.server.ports.client, broker.server.keys.hub, name="test")
    try:
        return (await client.jetstream().stream_info(stream)).state
    finally:
        await client.close()
