"""The outbox in SQLite: WAL and ``synchronous=FULL``, each commit synced.

Bounded in bytes, a row's own cost included; beyond the bound the oldest samples go first, counted. A small
``wal_autocheckpoint`` keeps the log short, and ``max_page_count`` keeps the file under the bound
so that a full disk cannot dead-lock the database.
"""

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.outbox.port import OutboxError
from contract.messages import Batch, OutboxReport

PAGE_BYTES = 4096
ROW_BYTES = 64
DROPPED_AT_ONCE = 500
KEPT_PRODUCERS = 256
# Half of what the broker takes: a message that it refuses would come back for ever.
MAX_BATCH_BYTES = 512 * 1024
SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,
    pending INTEGER NOT NULL, pending_bytes INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS streams (stream TEXT PRIMARY KEY, last INTEGER NOT NULL, mark INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS samples (stream TEXT NOT NULL, seq INTEGER NOT NULL, at_us INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producers (producer TEXT PRIMARY KEY, number INTEGER NOT NULL,
    used INTEGER NOT NULL);
"""


class SqliteOutbox:
    """`Outbox` in one file."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=64;"
                # Bodies, their rows and indexes: three times the bound is never reached.
                f"PRAGMA max_page_count={max(256, 3 * max_bytes // PAGE_BYTES)};" + SCHEMA
            )
            self._db.execute("INSERT OR IGNORE INTO outbox VALUES (1, ?, 0, 0, 0)", (uuid.uuid4().hex,))
            self._epoch: str = self._db.execute("SELECT epoch FROM outbox").fetchone()[0]
        except sqlite3.Error as error:
            raise OutboxError(
                f"cannot open the outbox ({error})", where=str(path), fix="Check the disk and the file."
            ) from error

    @property
    def epoch(self) -> str:
        """Random name made with the file."""
        return self._epoch

    def put(
        self,
        stream: str,
        producer: str,
        number: int,
        sampled_at_us: tuple[int, ...],
        bodies: tuple[msgspec.Raw, ...],
    ) -> int:
        """Store a hand-over in one transaction, synced before this returns."""
        if len(sampled_at_us) != len(bodies):
            raise ValueError("one time for each body")
        with self._transaction() as db:
            known = db.execute("SELECT number FROM producers WHERE producer = ?", (producer,)).fetchone()
            if known is not None and number <= known[0]:
                return 0
            self._remember(db, producer, number)
            row = db.execute("SELECT last FROM streams WHERE stream = ?", (stream,)).fetchone()
            last: int = row[0] if row else 0
            db.executemany(
                "INSERT INTO samples VALUES (?, ?, ?, ?)",
                (
                    (stream, last + position, at_us, bytes(body))
                    for position, (at_us, body) in enumerate(zip(sampled_at_us, bodies, strict=True), start=1)
                ),
            )
            db.execute(
                "INSERT INTO streams VALUES (?, ?, 0)"
                " ON CONFLICT (stream) DO UPDATE SET last = excluded.last",
                (stream, last + len(bodies)),
            )
            db.execute(
                "UPDATE outbox SET pending = pending + ?, pending_bytes = pending_bytes + ?",
                (len(bodies), sum(len(bytes(body)) + ROW_BYTES for body in bodies)),
            )
            self._drop_oldest(db)
        return len(bodies)

    def streams(self) -> tuple[str, ...]:
        """Streams in order of their names."""
        with self._reading() as db:
            return tuple(row[0] for row in db.execute("SELECT stream FROM streams ORDER BY stream"))

    def batch(self, stream: str, after: int, most: int) -> Batch | None:
        """Return the next run of consecutive samples."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, at_us, body FROM samples WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?",
                (stream, after, most),
            ).fetchall()
        if not rows:
            return None
        first = rows[0][0]
        run = _run_from(first, rows)
        return Batch(
            epoch=self._epoch,
            after=after,
            first=first,
            sampled_at_us=tuple(row[1] for row in run),
            bodies=tuple(msgspec.Raw(row[2]) for row in run),
        )

    def mark(self, stream: str) -> int:
        """Return the persisted mark."""
        with self._reading() as db:
            row = db.execute("SELECT mark FROM streams WHERE stream = ?", (stream,)).fetchone()
        return int(row[0]) if row else 0

    def acknowledge(self, stream: str, mark: int) -> int:
        """Delete up to ``mark``; begin a new epoch where the hub knows more than was ever stored here."""
        with self._transaction() as db:
            row = db.execute("SELECT last, mark FROM streams WHERE stream = ?", (stream,)).fetchone()
            if row is None or mark > row[0]:
                # An older copy of this file is back: its next sequences would be taken for known ones.
                self._epoch = uuid.uuid4().hex
                db.execute("UPDATE outbox SET epoch = ?", (self._epoch,))
                db.execute("UPDATE streams SET mark = 0")
                return 0
            self._forget(db, stream, mark)
            db.execute("UPDATE streams SET mark = max(mark, ?) WHERE stream = ?", (mark, stream))
            return max(mark, int(row[1]))

    def report(self) -> OutboxReport:
        """Return the counters, which are kept in the same transactions as the samples."""
        with self._reading() as db:
            pending, dropped = db.execute("SELECT pending, dropped FROM outbox").fetchone()
        return OutboxReport(pending=pending, dropped=dropped)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _drop_oldest(self, db: sqlite3.Connection) -> None:
        over: int = db.execute("SELECT pending_bytes FROM outbox").fetchone()[0] - self._max_bytes
        while over > 0:
            # The stream whose head is oldest gives first.
            heads = [
                head
                for (stream,) in db.execute("SELECT stream FROM streams").fetchall()
                for head in db.execute(
                    "SELECT at_us, stream FROM samples WHERE stream = ? ORDER BY seq LIMIT 1", (stream,)
                )
            ]
            if not heads:
                return
            _, stream = min(heads)
            upto, freed = 0, 0
            for seq, size in db.execute(
                "SELECT seq, LENGTH(body) FROM samples WHERE stream = ? ORDER BY seq LIMIT ?",
                (stream, DROPPED_AT_ONCE),
            ):
                upto, freed = seq, freed + size + ROW_BYTES
                if freed >= over:
                    break
            gone, size = self._forget(db, stream, upto)
            db.execute("UPDATE outbox SET dropped = dropped + ?", (gone,))
            over -= size

    def _forget(self, db: sqlite3.Connection, stream: str, upto: int) -> tuple[int, int]:
        count, size = db.execute(
            "SELECT COUNT(*), COALESCE(SUM(LENGTH(body) + ?), 0) FROM samples WHERE stream = ? AND seq <= ?",
            (ROW_BYTES, stream, upto),
        ).fetchone()
        db.execute("DELETE FROM samples WHERE stream = ? AND seq <= ?", (stream, upto))
        db.execute(
            "UPDATE outbox SET pending = pending - ?, pending_bytes = pending_bytes - ?", (count, size)
        )
        return count, size

    def _remember(self, db: sqlite3.Connection, producer: str, number: int) -> None:
        db.execute(
            "INSERT INTO producers VALUES (?, ?, (SELECT COALESCE(MAX(used), 0) + 1 FROM producers))"
            " ON CONFLICT (producer) DO UPDATE SET number = excluded.number, used = excluded.used",
            (producer, number),
        )
        db.execute(
            "DELETE FROM producers WHERE used <= (SELECT MAX(used) FROM producers) - ?", (KEPT_PRODUCERS,)
        )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                if db.in_transaction:  # a full disk has rolled it back already
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise OutboxError(
                    f"the outbox failed ({error})", fix="Check the disk's free space."
                ) from error


def _run_from(first: int, rows: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return the rows that follow each other without a hole and fit into one message."""
    run: list[tuple[int, int, bytes]] = []
    size = 0
    for position, row in enumerate(rows):
        size += len(row[2])
        if row[0] != first + position or (run and size > MAX_BATCH_BYTES):
            break
        run.append(row)
    return run
