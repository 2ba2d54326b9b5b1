"""Makes room in the outbox's tables, inside a transaction of `agent.outbox.sqlite`, and counts what went.

What was dropped is counted by stream and reason in the transaction that drops it:

- ``expired``: older than the stream's time to live;
- ``evicted``: was stored, and made room for other samples;
- ``incoming``: came while the outbox was full, and was never stored (it has sequences all the same,
  so that the hub sees the hole);
- ``refused``: not dropped: the module was told, and still has it.
"""

import sqlite3
from collections.abc import Callable
from typing import Final

from agent.outbox.policy import Head, Policies, victim

ROW_BYTES: Final = 64
DROPPED_AT_ONCE: Final = 500
EXPIRED: Final = "expired"
EVICTED: Final = "evicted"
INCOMING: Final = "incoming"
REFUSED: Final = "refused"
REASONS: Final = frozenset({EXPIRED, EVICTED, INCOMING, REFUSED})
AgeUs = Callable[[int], int]
"""How many microseconds ago was a sample taken that says this time?"""
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS drops (stream TEXT NOT NULL, reason TEXT NOT NULL, samples INTEGER NOT NULL,
    PRIMARY KEY (stream, reason)) WITHOUT ROWID;
"""


def make_room(db: sqlite3.Connection, over_bytes: int, stream: str, policies: Policies, age_us: AgeUs) -> int:
    """Free ``over_bytes`` for ``stream`` as far as its policy lets; return how many are still missing.

    What has expired goes first, and nothing goes beyond what is needed.
    """
    while over_bytes > 0:
        freed = _drop_expired(db, over_bytes, policies, age_us)
        if not freed:
            break
        over_bytes -= freed
    while over_bytes > 0:
        found = victim(_heads(db), stream, policies)
        if found is None:
            return over_bytes
        over_bytes -= _drop(db, found.stream, over_bytes, newest=found.newest)
    return 0


def expire(db: sqlite3.Connection, policies: Policies, age_us: AgeUs) -> bool:
    """Drop some of what has expired; return whether there may be more."""
    return _drop_expired(db, None, policies, age_us) > 0


def forget(db: sqlite3.Connection, stream: str, first: int, last: int) -> tuple[int, int]:
    """Delete the sequences ``first`` to ``last``; return how many there were, and their bytes."""
    span = (stream, first, last)
    count, size = db.execute(
        f"SELECT COUNT(*), COALESCE(SUM(LENGTH(body) + {ROW_BYTES}), 0) FROM samples"  # noqa: S608  a constant
        " WHERE stream = ? AND seq BETWEEN ? AND ?",
        span,
    ).fetchone()
    if count:
        db.execute("DELETE FROM samples WHERE stream = ? AND seq BETWEEN ? AND ?", span)
        db.execute(
            "UPDATE outbox SET pending = pending - ?, pending_bytes = pending_bytes - ?", (count, size)
        )
    return count, size


def count_drops(db: sqlite3.Connection, stream: str, reason: str, samples: int) -> None:
    """Add to a stream's counter; only what was refused is not in the total of dropped samples."""
    db.execute(
        "INSERT INTO drops VALUES (?, ?, ?)"
        " ON CONFLICT (stream, reason) DO UPDATE SET samples = samples + excluded.samples",
        (stream, reason, samples),
    )
    if reason != REFUSED:
        db.execute("UPDATE outbox SET dropped = dropped + ?", (samples,))


def _heads(db: sqlite3.Connection) -> list[Head]:
    return [
        Head(stream, at_us)
        for (stream,) in db.execute("SELECT stream FROM streams").fetchall()
        for (at_us,) in db.execute(
            "SELECT at_us FROM samples WHERE stream = ? ORDER BY seq LIMIT 1", (stream,)
        )
    ]


def _drop(db: sqlite3.Connection, stream: str, over_bytes: int, *, newest: bool) -> int:
    order = "DESC" if newest else "ASC"
    ends, freed = [], 0
    for seq, size in db.execute(
        f"SELECT seq, LENGTH(body) FROM samples WHERE stream = ? ORDER BY seq {order} LIMIT ?",  # noqa: S608  one of two words
        (stream, DROPPED_AT_ONCE),
    ):
        ends.append(seq)
        freed += size + ROW_BYTES
        if freed >= over_bytes:
            break
    return _drop_span(db, stream, min(ends), max(ends), EVICTED)


def _drop_expired(db: sqlite3.Connection, over_bytes: int | None, policies: Policies, age_us: AgeUs) -> int:
    """Drop a run of expired samples from the head of one stream; return its bytes."""
    for (stream,) in db.execute("SELECT stream FROM streams").fetchall():
        ttl_s = policies.of(stream).ttl_s
        if not ttl_s:
            continue
        ends, freed = [], 0
        for seq, at_us, size in db.execute(
            "SELECT seq, at_us, LENGTH(body) FROM samples WHERE stream = ? ORDER BY seq LIMIT ?",
            (stream, DROPPED_AT_ONCE),
        ):
            if age_us(at_us) <= ttl_s * 1e6 or (over_bytes is not None and freed >= over_bytes):
                break
            ends.append(seq)
            freed += size + ROW_BYTES
        if ends:
            return _drop_span(db, stream, ends[0], ends[-1], EXPIRED)
    return 0


def _drop_span(db: sqlite3.Connection, stream: str, first: int, last: int, reason: str) -> int:
    count, size = forget(db, stream, first, last)
    count_drops(db, stream, reason, count)
    return size
