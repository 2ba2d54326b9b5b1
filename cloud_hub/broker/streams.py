"""What the server keeps on disk: telemetry that waits for the hub, and, bounded, what nobody needs."""

from typing import Final

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from contract.topics import TELEMETRY_SUBJECTS

TELEMETRY: Final = "TELEMETRY"
CONSUMER: Final = "ingest"
RETAINED: Final = "$MQTT_rmsgs"
# A worker that has not acknowledged by then is taken as dead, and another one gets the message.
ACK_WAIT_S: Final = 30.0
MAX_ACK_PENDING: Final = 4096
_RETAINED_MAX_BYTES: Final = 16 * 1024 * 1024


async def ensure_telemetry(jetstream: JetStreamContext, *, max_bytes: int) -> None:
    """Make the telemetry stream and the consumer all workers share, or bring them to these settings.

    A message leaves the stream when the hub acknowledges it (work queue). When the stream is full
    new messages are turned away, not old ones thrown out: a batch counts on the ones before it, so
    the oldest are those the hub can store, and what was turned away is sent again because the
    device keeps it until the hub's own acknowledgement.
    """
    stream = StreamConfig(
        name=TELEMETRY,
        subjects=[TELEMETRY_SUBJECTS],
        storage=StorageType.FILE,
        retention=RetentionPolicy.WORK_QUEUE,
        discard=DiscardPolicy.NEW,
        max_bytes=max_bytes,
    )
    await _ensure(jetstream, stream)
    await jetstream.add_consumer(
        TELEMETRY,
        ConsumerConfig(
            durable_name=CONSUMER,
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=MAX_ACK_PENDING,
        ),
    )


async def bound_retained(jetstream: JetStreamContext) -> None:
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
    )
    await _ensure(jetstream, stream)


async def _ensure(jetstream: JetStreamContext, stream: StreamConfig) -> None:
    try:
        await jetstream.stream_info(str(stream.name))
    except NotFoundError:
        await jetstream.add_stream(stream)
    else:
        await jetstream.update_stream(stream)
