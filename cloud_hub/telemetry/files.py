"""Parquet files from stored batches; a file counts once its row is committed, and not before.

Layout: ``telemetry/{workspace}/{stream}/{date}/{random}.parquet``, date in UTC of the first receipt.
A name is never used twice, so no file is ever written over. It is noted before it is written and no more
once it counts: what a crash in between leaves is found by its note, and its batches are still there.

A workspace may have chosen one of its datastores instead (`Places`): keys are the same there, and its
files are not noted or swept, as that may be away. While it is away the batches of that
workspace wait in the database, and nobody else's.
"""

import io
import logging
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from cloud_hub.blobs.errors import StoreError
from cloud_hub.blobs.port import ObjectStore
from cloud_hub.blobs.turns import Turns
from cloud_hub.db.engine import Database
from cloud_hub.errors import DatabaseUnavailableError
from cloud_hub.telemetry.places import NoPlaces, Place, Places
from cloud_hub.telemetry.rows import FileRow, IntentRow, PendingRow, RejectRow
from cloud_hub.telemetry.waits import Waits
from contract.encoding import decode
from contract.errors import HeadlandError
from contract.messages import Batch

log = logging.getLogger(__name__)

PREFIX = "telemetry"
MAX_BATCHES_AT_ONCE = 200
SWEPT_AFTER = timedelta(hours=1)
DATASTORES_AT_ONCE = 4
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
    """Makes files of pending batches, one flush at a time for each place. ``store`` is the hub's own."""

    def __init__(self, database: Database, store: ObjectStore, places: Places | None = None) -> None:
        self._database = database
        self._store = store
        self._places: Places = places or NoPlaces()
        self._lock = threading.Lock()
        self._turns = Turns()
        self.waits = Waits()

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

    def chosen(self, workspace: str) -> str | None:
        """Return the datastore that a workspace's new files go to; none for the hub's own store."""
        return self._places.chosen().get(workspace)

    def flush(self, workspace: str = "") -> int:
        """Move pending batches into files, a workspace's or all; return how many batches were moved.

        What keeps one workspace's batches waiting is raised; for all, see `flush_attached`.
        """
        if not workspace:
            return self.flush_own() + self.flush_attached()
        return self._flush_to_datastore(workspace) if workspace in self._places.chosen() else self.flush_own()

    def flush_own(self) -> int:
        """Move what goes into the hub's own store; raises `StoreError`."""
        moved = 0
        with self._lock:
            others = PendingRow.workspace.not_in(self._places.chosen())
            while (count := self._flush_some(others, None)) is not None:
                moved += count
        return moved

    def flush_attached(self) -> int:
        """Move what goes into datastores, a few side by side; what cannot be moved now is in ``waits``."""
        waiting = [name for name in self._waiting(self._places.chosen()) if self.waits.is_due(name)]
        with ThreadPoolExecutor(DATASTORES_AT_ONCE, thread_name_prefix="telemetry") as pool:
            return sum(pool.map(self._try_datastore, waiting))

    def _waiting(self, workspaces: Iterable[str]) -> list[str]:
        """Return those of ``workspaces`` that have pending batches."""
        query = select(PendingRow.workspace).where(PendingRow.workspace.in_(list(workspaces))).distinct()
        with self._database.reading() as session:
            return list(session.scalars(query))

    def _try_datastore(self, workspace: str) -> int:
        try:
            return self._flush_to_datastore(workspace)
        except DatabaseUnavailableError:
            raise
        except HeadlandError as error:
            log.warning("telemetry of %s waits for its datastore: %s", workspace, error)
            return 0

    def _flush_to_datastore(self, workspace: str) -> int:
        with self._turns.of(workspace):
            if workspace not in self._waiting([workspace]):
                return 0
            self.waits.require_due(workspace)
            return self._flush_in_turn(workspace)

    def _flush_in_turn(self, workspace: str) -> int:
        moved = 0
        try:
            place = self._places.place_of(workspace)
            while (count := self._flush_some(PendingRow.workspace == workspace, place)) is not None:
                moved += count
        except DatabaseUnavailableError:
            raise
        except OSError as error:
            failure = StoreError(
                f"the datastore did not take a file ({error.strerror})",
                where=workspace,
                fix="Check the share, its space and its rights.",
            )
            self.waits.failed(workspace, failure)
            raise failure from error
        except HeadlandError as error:
            self.waits.failed(workspace, error)
            raise
        self.waits.worked(workspace)
        return moved

    def _flush_some(self, which: ColumnElement[bool], place: Place | None) -> int | None:
        """Return how many batches were moved, or none where there is nothing left to move."""
        query = select(PendingRow).where(which).order_by(PendingRow.id).limit(MAX_BATCHES_AT_ONCE)
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
        if place is None:
            self._note([key for key, _ in planned])
        files: list[FileRow] = []
        for key, rows in planned:
            try:
                files.append(self._write(key, rows, place))
            except BaseException:
                self._take_back(files, place)
                raise
        return len(pending) if self._commit(pending, files, aside, place) else 0

    def _note(self, keys: list[str]) -> None:
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            session.add_all(IntentRow(key=key, created_at=now) for key in keys)

    def _commit(
        self,
        pending: list[PendingRow],
        files: list[FileRow],
        aside: list[RejectRow],
        place: Place | None = None,
    ) -> bool:
        """Let the files count and the batches go, if no other flush did so meanwhile.

        Nor may the place have been detached meanwhile: nobody would find the files again.
        """
        ids = [row.id for row in pending]
        with self._database.transaction() as session:
            left = session.scalar(select(func.count()).where(PendingRow.id.in_(ids)))
            attached = place is None or self._places.is_there(session, pending[0].workspace, place)
            mine = attached and left == len(ids)
            if mine and place is None:  # else somebody took the file for left behind, and swept it
                mine = _end_intents(session, [file.key for file in files]) == len(files)
            if mine:
                session.add_all([*files, *aside])
                session.execute(delete(PendingRow).where(PendingRow.id.in_(ids)))
        if not mine:
            log.info("another flush moved these batches, or their datastore was detached")
            self._take_back(files, place)
        if not attached:
            raise StoreError("the datastore was detached", where=pending[0].workspace, fix="Try again.")
        return mine

    def _take_back(self, files: list[FileRow], place: Place | None) -> None:
        """Delete files that do not count. One that stays in a datastore all the same is never read."""
        for file in files:
            if place is None:
                self._store.delete(file.key)
            else:
                with suppress(StoreError, OSError):
                    place.store.delete(file.key)
        if place is None and files:
            with self._database.transaction() as session:
                _end_intents(session, [file.key for file in files])

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

    def _write(self, key: str, rows: list[PendingRow], place: Place | None) -> FileRow:
        table = to_table(rows)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        (place.store if place else self._store).put_bytes(key, buffer.getvalue())
        return FileRow(
            key=key,
            workspace=rows[0].workspace,
            stream=rows[0].stream,
            datastore=place.datastore if place else None,
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
