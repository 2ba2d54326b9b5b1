"""The outbox in SQLite: WAL and ``synchronous=FULL``, each commit synced.

Bounded in bytes, a row's own cost included; beyond it `agent.outbox.policy` says what goes, counted. A small
``wal_autocheckpoint`` keeps the log short, and ``max_page_count`` keeps the file under the bound
so that a full disk cannot dead-lock the database.
"""

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from agent.outbox import room
from agent.outbox.policy import Policies
from agent.outbox.port import MAX_BATCH_BYTES, OutboxError, OutboxFullError
from agent.outbox.room import INCOMING, REASONS, REFUSED, ROW_BYTES, count_drops, expire, forget, make_room
from contract.messages import Batch, OutboxReport, StreamDrops

log = logging.getLogger(__name__)

PAGE_BYTES = 4096
# SQLite would keep 2 MiB of pages from the longest backlog on, of samples that are sent once. It writes no
# less with more of them.
CACHE_KIB = 128
REPORTED_STREAMS = 32
KEPT_PRODUCERS = 256
SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (one INTEGER PRIMARY KEY CHECK (one = 1), epoch TEXT NOT NULL,
    pending INTEGER NOT NULL, pending_bytes INTEGER NOT NULL, dropped INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS streams (stream TEXT PRIMARY KEY, last INTEGER NOT NULL, mark INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS samples (stream TEXT NOT NULL, seq INTEGER NOT NULL, at_us INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (stream, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS producers (producer TEXT PRIMARY KEY, number INTEGER NOT NULL,
    used INTEGER NOT NULL);
"""


class _Refused(Exception):
    """A stream that refuses has no room."""


class SqliteOutbox:
    """`Outbox` in one file."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        policies: Policies | None = None,
        age_us: Callable[[int], int] = lambda at_us: time.time_ns() // 1000 - at_us,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._policies = policies or Policies()
        self._age_us = age_us
        self._refused: dict[str, int] = {}
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._epoch = ""
        try:
            with self._reading():
                pass
        except OutboxError as error:
            # A full disk takes no new file. That is no reason for the modules to stand still too.
            log.warning("%s; samples are not taken, and it is tried again with each", error)

    @property
    def epoch(self) -> str:
        """Random name made with the file; empty as long as that cannot be opened."""
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
        try:
            with self._transaction() as db:
                known = db.execute("SELECT number FROM producers WHERE producer = ?", (producer,)).fetchone()
                if known is not None and number <= known[0]:
                    return 0
                self._remember(db, producer, number)
                return self._store(db, stream, sampled_at_us, bodies)
        except _Refused:
            self._count_refused(stream, producer, number, len(bodies))
            raise OutboxFullError(
                "the outbox is full, and this stream does not give up what it holds",
                where=stream,
                fix="Hand the same samples over again later.",
            ) from None

    def streams(self) -> tuple[str, ...]:
        """Streams in order of their names."""
        with self._reading() as db:
            return tuple(row[0] for row in db.execute("SELECT stream FROM streams ORDER BY stream"))

    def batch(self, stream: str, after: int, most: int, most_bytes: int = MAX_BATCH_BYTES) -> Batch | None:
        """Return the next run of consecutive samples."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, at_us, body FROM samples WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?",
                (stream, after, most),
            ).fetchall()
        if not rows:
            return None
        first = rows[0][0]
        run = _run_from(first, rows, most_bytes)
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
            forget(db, stream, 0, mark)
            db.execute("UPDATE streams SET mark = max(mark, ?) WHERE stream = ?", (mark, stream))
            return max(mark, int(row[1]))

    def report(self) -> OutboxReport:
        """Return the counters, which are kept in the same transactions as the samples."""
        with self._reading() as db:
            pending, dropped = db.execute("SELECT pending, dropped FROM outbox").fetchone()
            rows = db.execute(
                "SELECT stream, reason, samples FROM drops WHERE stream IN (SELECT stream FROM drops"
                " GROUP BY stream ORDER BY SUM(samples) DESC, stream LIMIT ?) ORDER BY stream",
                (REPORTED_STREAMS,),
            ).fetchall()
        counts: dict[str, dict[str, int]] = {}
        for stream, reason, samples in rows:
            if reason in REASONS:
                counts.setdefault(stream, {})[reason] = samples
        drops = tuple(StreamDrops(stream=stream, **reasons) for stream, reasons in counts.items())
        return OutboxReport(pending=pending, dropped=dropped, streams=drops or msgspec.UNSET)

    def expire(self) -> None:
        """Drop what has expired, some at a time: the log of a large transaction would be as large."""
        if all(not policy.ttl_s for policy in (self._policies.default, *self._policies.streams.values())):
            return
        more = True
        while more:
            with self._transaction() as db:
                more = expire(db, self._policies, self._age_us)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            db.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=64;"
                f"PRAGMA cache_size=-{CACHE_KIB};"
                # Bodies, their rows and indexes: three times the bound is never reached.
                f"PRAGMA max_page_count={max(256, 3 * self._max_bytes // PAGE_BYTES)};" + SCHEMA + room.SCHEMA
                # A file of an earlier release gets the tables that it lacks, and keeps the others.
            )
            db.execute("INSERT OR IGNORE INTO outbox VALUES (1, ?, 0, 0, 0)", (uuid.uuid4().hex,))
            self._epoch = db.execute("SELECT epoch FROM outbox").fetchone()[0]
        except BaseException:
            db.close()
            raise
        return db

    def _store(
        self,
        db: sqlite3.Connection,
        stream: str,
        sampled_at_us: tuple[int, ...],
        bodies: tuple[msgspec.Raw, ...],
    ) -> int:
        """Store what the stream's policy lets in; return how many samples that is.

        Raises `_Refused`, which undoes the transaction.
        """
        row = db.execute("SELECT last FROM streams WHERE stream = ?", (stream,)).fetchone()
        last: int = row[0] if row else 0
        db.execute(
            "INSERT INTO streams VALUES (?, ?, 0) ON CONFLICT (stream) DO UPDATE SET last = excluded.last",
            (stream, last + len(bodies)),
        )
        sizes = [len(bytes(body)) + ROW_BYTES for body in bodies]
        kept = len(bodies)
        if self._policies.of(stream).on_full != "oldest":
            # What is stored stays, so room is made before anything more is; else after, also from these.
            missing = self._make_room(db, stream, sum(sizes))
            if missing > 0 and self._policies.of(stream).on_full == "refuse":
                raise _Refused
            while missing > 0 and kept:
                kept -= 1
                missing -= sizes[kept]
        db.executemany(
            "INSERT INTO samples VALUES (?, ?, ?, ?)",
            (
                (stream, last + position, sampled_at_us[position - 1], bytes(bodies[position - 1]))
                for position in range(1, kept + 1)
            ),
        )
        db.execute(
            "UPDATE outbox SET pending = pending + ?, pending_bytes = pending_bytes + ?",
            (kept, sum(sizes[:kept])),
        )
        if kept < len(bodies):
            count_drops(db, stream, INCOMING, len(bodies) - kept)
        self._make_room(db, stream, 0)
        return kept

    def _make_room(self, db: sqlite3.Connection, stream: str, incoming_bytes: int) -> int:
        (pending_bytes,) = db.execute("SELECT pending_bytes FROM outbox").fetchone()
        over = pending_bytes + incoming_bytes - self._max_bytes
        return make_room(db, over, stream, self._policies, self._age_us)

    def _count_refused(self, stream: str, producer: str, number: int, samples: int) -> None:
        """Count a refused hand-over once, however often it comes again."""
        if self._refused.get(producer) == number:
            return
        with self._transaction() as db:
            count_drops(db, stream, REFUSED, samples)
        if len(self._refused) >= KEPT_PRODUCERS:
            self._refused.clear()
        self._refused[producer] = number

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
                self._db = self._db or self._opened()
                yield self._db
            except sqlite3.Error as error:
                if self._db is None:
                    raise OutboxError(
                        f"cannot open the outbox ({error})",
                        where=str(self._path),
                        fix="Check the disk and the file.",
                    ) from error
                with suppress(sqlite3.Error):
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                raise OutboxError(
                    f"the outbox failed ({error})", fix="Check the disk's free space."
                ) from error


def _run_from(
    first: int, rows: list[tuple[int, int, bytes]], most_bytes: int
) -> list[tuple[int, int, bytes]]:
    """Return the rows that follow each other without a hole and fit into one message."""
    run: list[tuple[int, int, bytes]] = []
    size = 0
    for position, row in enumerate(rows):
        size += len(row[2])
        if row[0] != first + position or (run and size > most_bytes):
            break
        run.append(row)
    return run
