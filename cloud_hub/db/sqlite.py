"""SQLite as the hub's database: WAL, every commit on disk, writers queue before they read."""

from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from cloud_hub.db.faults import to_json
from cloud_hub.db.pool import MIGRATING, READING, pool_options

BUSY_TIMEOUT_MS = 30_000


def sqlite_engine(path: Path) -> Engine:
    """Return the engine of the file ``path``."""
    engine = create_engine(
        f"sqlite:///{path}", hide_parameters=True, json_serializer=to_json, **pool_options()
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event opens transactions, not the driver
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Take the write lock at once, but for reading: two writers queue instead of failing half way."""
    options = connection.get_execution_options()
    reading = options.get(READING, False)
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reading else 'OFF'}")
    if options.get(MIGRATING, False):
        # A table that is made anew is dropped once: rows that refer to it must not go along.
        # Only outside a transaction can this be said; the pool is emptied after migrating.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.exec_driver_sql("BEGIN DEFERRED" if reading else "BEGIN IMMEDIATE")


def check_references(connection: Connection) -> None:
    """After migrating: raise `RuntimeError` where a row refers to one that is not there."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"migrating broke references of {sorted({row[0] for row in broken})}")
