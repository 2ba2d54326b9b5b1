"""What the server keeps on disk: telemetry that waits for the hub, and, bounded, what nobody needs."""

import logging
from dataclasses import dataclass
from typing import Final

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from contract.topics import TELEMETRY_SUBJECTS

log = logging.getLogger(__name__)

TELEMETRY: Final = "TELEMETRY"
_PARTITIONED: Final = "part"
RETAINED: Final = "$MQTT_rmsgs"
# A worker that has not acknowledged by then is taken as dead, and another one gets the message.
ACK_WAIT_S: Final = 30.0
MAX_ACK_PENDING: Final = 4096
_RETAINED_MAX_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True)
class Plan:
    """How telemetry waits: at most ``max_bytes``, on so many servers, in so many parts by device."""

    max_bytes: int
    replicas: int = 1
    partitions: int = 1


def consumer_of(plan: Plan, partition: int) -> str:
    """Return the name of the consumer of a part."""
    return "ingest" if plan.partitions == 1 else f"ingest-{partition}"


def original(subject: str) -> str:
    """Return the subject that a message was published on."""
    return subject.split(".", 2)[2] if subject.startswith(f"{_PARTITIONED}.") else subject


async def ensure_telemetry(jetstream: JetStreamContext, plan: Plan) -> None:
    """Make the telemetry stream and a consumer for each part, or bring them to these settings.

    A device's messages are all of one part, in their order: two hubs that took them in turns would
    find gaps where there are none. A message leaves the stream when the hub acknowledges it (work
    queue). When the stream is full new messages are turned away, not old ones thrown out: a batch counts
    on the ones before it, so the oldest are those the hub can store, and what was turned away is sent
    again because the
    device keeps it until the hub's own acknowledgement.
    """
    stream = StreamConfig(
        name=TELEMETRY,
        subjects=[TELEMETRY_SUBJECTS],
        storage=StorageType.FILE,
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        max_bytes=plan.max_bytes,
        num_replicas=plan.replicas,
        subject_transform=_by_part(plan) if plan.partitions > 1 else None,
    )
    await _ensure(jetstream, stream)
    for partition in range(plan.partitions):
        await _ensure_consumer(jetstream, plan, partition)


async def _ensure_consumer(jetstream: JetStreamContext, plan: Plan, partition: int) -> None:
    """Make a consumer; one that believes it has had messages that are still to come is made anew.

    A power cut can empty the file that says what a consumer is, and take the stream's last messages. The
    server then forgets the consumer, and the next one of its name finds its old position: ahead of the
    stream, it would be given nothing until the stream gets there.
    """
    name = consumer_of(plan, partition)
    config = ConsumerConfig(
        durable_name=name,
        filter_subject=f"{_PARTITIONED}.{partition}.>" if plan.partitions > 1 else None,
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_ack_pending=MAX_ACK_PENDING,
    )
    made = await jetstream.add_consumer(TELEMETRY, config)
    last = (await jetstream.stream_info(TELEMETRY)).state.last_seq
    if made.delivered is not None and made.delivered.stream_seq > last:
        log.warning("the broker lost messages it had: %s begins anew, devices send them again", name)
        await jetstream.delete_consumer(TELEMETRY, name)
        await jetstream.add_consumer(TELEMETRY, config)


def _by_part(plan: Plan) -> SubjectTransform:
    """Put the part before the subject (NATS documentation, "Deterministic subject token partitioning")."""
    before, _, after = TELEMETRY_SUBJECTS.partition("*")
    part = f"{_PARTITIONED}.{{{{partition({plan.partitions},1)}}}}"
    return SubjectTransform(TELEMETRY_SUBJECTS, f"{part}.{before}{{{{wildcard(1)}}}}{after}")


async def bound_retained(jetstream: JetStreamContext, plan: Plan) -> None:
    """Make, or bound, the server's own stream of retained messages before a device comes in.

    Our protocol retains nothing, but a device may set the flag, on as many streams' topics as it
    likes. The server makes this stream without a bound, and uses the one it finds.
    """
    stream = StreamConfig(
        name=RETAINED,
        subjects=["$MQTT.rmsgs.>"],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_msgs_per_subject=1,
        max_bytes=_RETAINED_MAX_BYTES,
        num_replicas=plan.replicas,
    )
    await _ensure(jetstream, stream)


async def _ensure(jetstream: JetStreamContext, stream: StreamConfig) -> None:
    try:
        await jetstream.stream_info(str(stream.name))
    except NotFoundError:
        await jetstream.add_stream(stream)
    else:
        await jetstream.update_stream(stream)
