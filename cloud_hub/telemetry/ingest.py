"""From the broker into the hub's storage, exactly once.

One transaction per fetch: for each batch the mark of ``(device, epoch, stream)`` is compared, new
samples are kept, the mark moves. Only after the commit does the device hear of it and the broker
get its acknowledgement; whatever is cut off in between comes again and is found to be known.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from sqlalchemy.orm import Session

from cloud_hub.broker.errors import BrokerError
from cloud_hub.broker.port import Bus, Delivery
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.errors import DatabaseUnavailableError
from cloud_hub.telemetry.batches import unpack
from cloud_hub.telemetry.rows import MarkRow, PendingRow, RejectRow
from contract import topics
from contract.batches import ENCODINGS
from contract.encoding import encode
from contract.errors import ContractError
from contract.ids import InvalidNameError, check_stream
from contract.messages import MAX_SEQUENCE, Ack, Batch, sample_fault

log = logging.getLogger(__name__)

FETCH_MESSAGES = 256
FETCH_WAIT_S = 1.0
LOOK_AGAIN_S = 0.5
RETRY_AFTER_S = 1.0
MAX_ASIDE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Arrived:
    """A telemetry message as it came."""

    subject: str
    payload: bytes


class Ingest:
    """Stores what arrives."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def store(self, messages: Sequence[Arrived]) -> list[tuple[str, Ack]]:
        """Commit ``messages`` in their order; return what to tell which device, last word only."""
        acks: dict[tuple[str, str, str], Ack] = {}
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            for message in messages:
                try:
                    device, stream, batch = _read(message)
                except (ContractError, InvalidNameError, ValueError) as error:
                    session.add(_reject(message, str(error), now))
                    continue
                row = session.get(DeviceRow, device)
                if row is None:
                    session.add(_reject(message, "no such device", now))
                    continue
                ack = _store_batch(session, message, row, stream, batch, now)
                acks[device, batch.epoch, stream] = ack
        return [(device, ack) for (device, _, _), ack in acks.items()]

    async def run(self, bus: Bus, partition: int = 0, mine: Callable[[], bool] = lambda: True) -> None:
        """Take in a part of the telemetry until cancelled, while it is ``mine``.

        Two at once store nothing twice: they would only find gaps where there are none.
        """
        while True:
            if not mine():
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            try:
                deliveries = await bus.fetch_telemetry(FETCH_MESSAGES, FETCH_WAIT_S, partition)
                if deliveries:
                    await self._take(bus, deliveries)
            except (BrokerError, DatabaseUnavailableError) as error:
                log.warning("ingest waits; the same messages come again: %s", error)
                await asyncio.sleep(RETRY_AFTER_S)
            except Exception:
                log.exception("ingest failed; the same messages come again")
                await asyncio.sleep(RETRY_AFTER_S)

    async def _take(self, bus: Bus, deliveries: list[Delivery]) -> None:
        arrived = [Arrived(delivery.subject, delivery.payload) for delivery in deliveries]
        for device, ack in await asyncio.to_thread(self.store, arrived):
            told = msgspec.structs.replace(ack, encodings=ENCODINGS)
            await bus.publish(topics.ack(device), encode(told))
        for delivery in deliveries:
            await delivery.ack()


def _read(message: Arrived) -> tuple[str, str, Batch]:
    device, kind, stream = topics.parse_subject(message.subject)
    if kind != "telemetry":
        raise ContractError("not a telemetry subject")
    batch = unpack(message.payload)
    in_range = 0 <= batch.after < batch.first and batch.last <= MAX_SEQUENCE
    if not in_range or not 1 <= len(batch.epoch) <= 64:
        raise ContractError("sequences or epoch out of range", where="telemetry batch")
    return device, check_stream(stream), batch


def _store_batch(
    session: Session, arrived: Arrived, device: DeviceRow, stream: str, batch: Batch, now: datetime
) -> Ack:
    row = session.get(MarkRow, (device.id, batch.epoch, stream))
    if row is None:
        row = MarkRow(device=device.id, epoch=batch.epoch, stream=stream, mark=0)
        session.add(row)
    if batch.after > row.mark:
        return Ack(epoch=batch.epoch, stream=stream, mark=row.mark, gap=True)
    if batch.last <= row.mark:
        return Ack(epoch=batch.epoch, stream=stream, mark=row.mark)
    if fault := sample_fault(batch.sampled_at_us, batch.bodies):
        # Put aside and acknowledged: else the device would send it again for ever.
        session.add(_reject(arrived, fault, now))
        row.mark = batch.last
        return Ack(epoch=batch.epoch, stream=stream, mark=row.mark)
    fresh = beyond(batch, row.mark)
    if fresh.bodies:
        session.add(
            PendingRow(
                workspace=device.workspace,
                device=device.id,
                stream=stream,
                payload=encode(fresh),
                received_at=now,
            )
        )
        row.mark = fresh.last
    return Ack(epoch=batch.epoch, stream=stream, mark=row.mark)


def beyond(batch: Batch, mark: int) -> Batch:
    """Return the part of a batch whose sequences are above ``mark``."""
    known = max(0, mark + 1 - batch.first)
    return msgspec.structs.replace(
        batch,
        first=batch.first + known,
        sampled_at_us=batch.sampled_at_us[known:],
        bodies=batch.bodies[known:],
    )


def _reject(message: Arrived, reason: str, now: datetime) -> RejectRow:
    log.warning("telemetry on %s put aside: %s", message.subject, reason)
    return RejectRow(
        subject=message.subject, reason=reason, payload=message.payload[:MAX_ASIDE_BYTES], received_at=now
    )
