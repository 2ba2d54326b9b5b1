"""What one device can do to another: judged at the receiver, never by what the sender was told."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from cloud_hub.broker.access import Identity, grant_for
from cloud_hub.broker.broker import Broker
from cloud_hub.broker.claims import Grant
from cloud_hub.broker.port import Message
from contract import topics
from tests.broker.conftest import Connect, Fleet, MqttDevice, StartBroker, eventually

VICTIM, INTRUDER = "cam-1", "cam-2"

# Topics that are not the intruder's to write, as MQTT names them.
FOREIGN_WRITES = [
    topics.hello(VICTIM),
    topics.reported(VICTIM),
    topics.desired(VICTIM),
    topics.ack(VICTIM),
    topics.telemetry(VICTIM, "inference"),
    topics.desired(INTRUDER),
    topics.ack(INTRUDER),
    f"hl/1/{INTRUDER}/command",
    f"hl/1/{INTRUDER}/telemetry",
    f"hl/1/{INTRUDER}/telemetry/a/b",
    f"hl/1/{INTRUDER}/hello/more",
    f"hl/2/{INTRUDER}/hello",
    f"hl//1/{INTRUDER}/hello",
    "hl/1//hello",
    "hl.1.cam-1.hello",
    f"/hl/1/{VICTIM}/hello",
    "$SYS/REQ/USER/AUTH",
    "$SYS/REQ/SERVER/PING/CONNZ",
    "$SYS/ACCOUNT/HL/CONNECT",
    "$JS/API/STREAM/DELETE/TELEMETRY",
    "$JS/API/CONSUMER/DELETE/TELEMETRY/ingest",
    "$MQTT/msgs/hl/1/cam-1/desired",
    "$MQTT/rmsgs/hl/1/cam-1/desired",
    "$MQTT/sess/x",
    "_INBOX/x",
    "free",
]
FOREIGN_READS = [
    "#",
    "+/#",
    "hl/#",
    "hl/1/+/desired",
    f"hl/1/{VICTIM}/#",
    f"hl/1/{INTRUDER}/#",
    topics.desired(VICTIM),
    topics.ack(VICTIM),
    topics.telemetry(VICTIM, "inference"),
    topics.hello(INTRUDER),
    "$SYS/#",
    "$JS/#",
    "$MQTT/#",
    "_INBOX/#",
]


class Watch:
    """All that arrives: at the hub, which sees everything, and at the victim."""

    def __init__(self) -> None:
        self.at_hub: list[Message] = []

    async def hear(self, message: Message) -> None:
        self.at_hub.append(message)


async def crossings(fleet: Fleet, broker: Broker, connect: Connect) -> tuple[set[str], set[str]]:
    """Let the intruder try everything; return the topics it wrote and the filters it read through."""
    watch = Watch()
    await broker.bus.subscribe(">", watch.hear)
    victim = await connect(broker, fleet.enrol(VICTIM))
    intruder = await connect(broker, fleet.enrol(INTRUDER))
    for topic in topics.device_reads(VICTIM):
        await asyncio.to_thread(victim.subscribe, topic)
    written = await _written(intruder, victim, watch)
    read = set()
    for topic_filter in FOREIGN_READS:
        reader = await connect(broker, fleet.enrol(INTRUDER))
        with contextlib.suppress(TimeoutError):
            await asyncio.to_thread(reader.subscribe, topic_filter)
        if await _reads_something(broker, reader, victim):
            read.add(topic_filter)
        reader.close()
    return written, read


async def _written(intruder: MqttDevice, victim: MqttDevice, watch: Watch) -> set[str]:
    for number, topic in enumerate(FOREIGN_WRITES):
        for qos in (0, 1):
            await asyncio.to_thread(intruder.publish, topic, b"evil %d" % number, qos=qos)
    # On the same connection, so nothing sent before it is still on its way when it arrives.
    await asyncio.to_thread(intruder.publish, topics.hello(INTRUDER), b"end")
    await eventually(lambda: any(message.payload == b"end" for message in watch.at_hub))
    payloads = [message.payload for message in watch.at_hub] + [payload for _, payload in victim.received]
    return {FOREIGN_WRITES[int(payload.split()[1])] for payload in payloads if payload.startswith(b"evil ")}


async def _reads_something(broker: Broker, reader: MqttDevice, victim: MqttDevice) -> bool:
    if not reader.connected:
        return False
    seen = len(victim.received)
    await asyncio.to_thread(reader.subscribe, topics.ack(INTRUDER))
    for topic in topics.device_reads(VICTIM):
        await broker.bus.publish(topic, b"for the victim")
    await asyncio.to_thread(victim.publish, topics.telemetry(VICTIM, "inference"), b"from the victim")
    await broker.bus.publish(topics.ack(INTRUDER), b"marker")
    await eventually(lambda: (topics.ack(INTRUDER), b"marker") in reader.received)
    await eventually(lambda: len(victim.received) == seen + 2)
    return any(b"victim" in payload for _, payload in reader.received)


def wide_open(identity: Identity) -> Grant:
    return replace(grant_for(identity), publish=[">"], subscribe=[">"])


async def test_no_message_crosses_between_devices(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    assert await crossings(fleet, broker, connect) == (set(), set())


async def test_control_the_same_harness_sees_messages_cross(
    fleet: Fleet, start_broker: StartBroker, connect: Connect
) -> None:
    broker = await start_broker(grants=wide_open)
    written, read = await crossings(fleet, broker, connect)
    assert {topics.hello(VICTIM), topics.desired(VICTIM), topics.telemetry(VICTIM, "inference")} <= written
    assert {"#", "hl/#", "hl/1/+/desired", topics.desired(VICTIM)} <= read


async def test_forbidden_subscription_is_told_so(fleet: Fleet, broker: Broker, connect: Connect) -> None:
    intruder = await connect(broker, fleet.enrol(INTRUDER))
    assert await asyncio.to_thread(intruder.subscribe, topics.desired(VICTIM)) == 0x80
    assert await asyncio.to_thread(intruder.subscribe, "#") == 0x80
    assert await asyncio.to_thread(intruder.subscribe, topics.desired(INTRUDER)) == 0


@pytest.mark.parametrize("open_wide", [False, True], ids=["guarded", "control"])
async def test_last_will_on_a_foreign_topic(
    fleet: Fleet, start_broker: StartBroker, connect: Connect, open_wide: bool
) -> None:
    broker = await start_broker(**({"grants": wide_open} if open_wide else {}))
    watch = Watch()
    await broker.bus.subscribe("hl/1/+/hello", watch.hear)
    credentials = fleet.enrol(INTRUDER)
    intruder = await connect(broker, credentials, will=(topics.hello(VICTIM), b"evil will"))
    await asyncio.to_thread(intruder.vanish)
    with contextlib.suppress(AssertionError):
        await eventually(lambda: bool(watch.at_hub), timeout_s=5.0 if open_wide else 1.0)
    assert bool(watch.at_hub) is open_wide


async def test_client_id_of_another_device_is_refused_and_its_session_unhurt(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    victim = await connect(broker, fleet.enrol(VICTIM))
    await asyncio.to_thread(victim.subscribe, topics.desired(VICTIM))
    credentials = fleet.enrol(INTRUDER)
    for client_id in (VICTIM, "", "cam-2x", "CAM-2", "$SYS"):
        intruder = await connect(broker, credentials, client_id=client_id, reconnect_on_failure=False)
        assert not intruder.connected
        assert 0 not in intruder.connacks
        intruder.close()
    await broker.bus.publish(topics.desired(VICTIM), b"still here")
    await eventually(lambda: victim.received == [(topics.desired(VICTIM), b"still here")])
    assert victim.disconnects == 0


async def test_same_device_again_takes_over_its_own_session(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    credentials = fleet.enrol(VICTIM)
    first = await connect(broker, credentials)
    second = await connect(broker, credentials)
    assert second.connected
    await eventually(lambda: first.disconnects > 0)
    first.close()


async def test_qos_2_is_refused_so_that_nothing_is_parked(
    fleet: Fleet, broker: Broker, connect: Connect
) -> None:
    device = await connect(broker, fleet.enrol(VICTIM))
    device.send(topics.hello(VICTIM), b"x", qos=2)
    await eventually(lambda: device.disconnects > 0)
