"""Parquet files from stored batches; a file counts once its row is committed, and not before.

Layout: ``telemetry/{workspace}/{stream}/{date}/{random}.parquet``, date in UTC of the first receipt.
A name is never used twice, so no file is ever written over. It is noted before it is written and no more
once it counts: what a crash in between leaves is found by its note, and its batches are still there.
"""

import io
import logging
import threading
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.port import ObjectStore
from cloud_hub.db.engine import Database
from cloud_hub.telemetry.rows import FileRow, IntentRow, PendingRow, RejectRow
from contract.encoding import decode
from contract.errors import HeadlandError
from contract.messages import Batch

log = logging.getLogger(__name__)

PREFIX = "telemetry"
MAX_BATCHES_AT_ONCE = 200
SWEPT_AFTER = timedelta(hours=1)
TIMESTAMP = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("device", pa.string()),
        ("epoch", pa.string()),
        ("seq", pa.int64()),
        ("sampled_at", TIMESTAMP),
        ("received_at", TIMESTAMP),
        ("body", pa.string()),
    ]
)


class Files:
    """Makes files of pending batches, one flush at a time."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._lock = threading.Lock()

    def sweep(self, now: datetime | None = None) -> int:
        """Delete files that were begun long ago and never came to count; return how many."""
        cutoff = (now or datetime.now(UTC)) - SWEPT_AFTER
        with self._database.reading() as session:
            stale = session.scalars(select(IntentRow.key).where(IntentRow.created_at < cutoff)).all()
        for key in stale:
            with self._database.transaction() as session:
                # In one turn: who wrote so long finds the note gone, and lets the file not count.
                if _end_intents(session, [key]) == 1:
                    self._store.delete(key)
        return len(stale)

    def flush(self) -> int:
        """Move all pending batches into files; return how many batches were moved."""
        moved = 0
        with self._lock:
            while (count := self._flush_some()) is not None:
                moved += count
        return moved

    def _flush_some(self) -> int | None:
        """Return how many batches were moved, or none where there is nothing left to move."""
        query = select(PendingRow).order_by(PendingRow.id).limit(MAX_BATCHES_AT_ONCE)
        with self._database.reading() as session:
            pending = list(session.scalars(query).all())
        if not pending:
            return None
        groups: dict[tuple[str, str], list[PendingRow]] = defaultdict(list)
        for row in pending:
            groups[row.workspace, row.stream].append(row)
        aside: list[RejectRow] = []
        planned: list[tuple[str, list[PendingRow]]] = []
        for (workspace, stream), rows in groups.items():
            good = [row for row in rows if not self._put_aside(row, aside)]
            if good:
                day = good[0].received_at.date().isoformat()
                planned.append((f"{PREFIX}/{workspace}/{stream}/{day}/{uuid.uuid4().hex}.parquet", good))
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            session.add_all(IntentRow(key=key, created_at=now) for key, _ in planned)
        files = [self._write(key, rows) for key, rows in planned]
        return len(pending) if self._commit(pending, files, aside) else 0

    def _commit(self, pending: list[PendingRow], files: list[FileRow], aside: list[RejectRow]) -> bool:
        """Let the files count and the batches go, if no other flush did so meanwhile."""
        ids = [row.id for row in pending]
        with self._database.transaction() as session:
            left = session.scalar(select(func.count()).where(PendingRow.id.in_(ids)))
            mine = left == len(ids) and _end_intents(session, [file.key for file in files]) == len(files)
            if mine:
                session.add_all([*files, *aside])
                session.execute(delete(PendingRow).where(PendingRow.id.in_(ids)))
        if not mine:
            log.info("another flush moved these batches; its files count")
            for file in files:
                self._store.delete(file.key)
            with self._database.transaction() as session:
                _end_intents(session, [file.key for file in files])
        return mine

    def _put_aside(self, row: PendingRow, aside: list[RejectRow]) -> bool:
        """A batch that makes no table goes to the side with the reason, not in the way of all others."""
        try:
            to_table([row])
        except (ValueError, OverflowError, pa.ArrowException, HeadlandError) as error:
            log.warning("a stored batch of %s makes no table: %s", row.device, error)
            aside.append(
                RejectRow(
                    subject=f"{row.device}/{row.stream}",
                    reason=str(error),
                    payload=row.payload,
                    received_at=row.received_at,
                )
            )
            return True
        return False

    def _write(self, key: str, rows: list[PendingRow]) -> FileRow:
        table = to_table(rows)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self._store.put_bytes(key, buffer.getvalue())
        return FileRow(
            key=key,
            workspace=rows[0].workspace,
            stream=rows[0].stream,
            rows=table.num_rows,
            size_bytes=buffer.tell(),
            created_at=datetime.now(UTC),
        )


def _end_intents(session: Session, keys: list[str]) -> int:
    """Take the notes of files back; return how many were still there."""
    ended = session.execute(delete(IntentRow).where(IntentRow.key.in_(keys)).returning(IntentRow.key))
    return len(ended.all())


def to_table(rows: list[PendingRow]) -> pa.Table:
    """Return the samples of stored batches as columns, in their order."""
    columns: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    for row in rows:
        batch = decode(row.payload, Batch, what="stored batch")
        count = len(batch.bodies)
        columns["device"] += [row.device] * count
        columns["epoch"] += [batch.epoch] * count
        columns["seq"] += range(batch.first, batch.first + count)
        columns["sampled_at"] += batch.sampled_at_us
        columns["received_at"] += [row.received_at] * count
        columns["body"] += [bytes(body).decode() for body in batch.bodies]
    return pa.table(
        {name: pa.array(values, type=SCHEMA.field(name).type) for name, values in columns.items()}
    )
