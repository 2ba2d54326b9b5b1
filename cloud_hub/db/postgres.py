"""PostgreSQL as the hub's database: writers take turns as SQLite's do, by an advisory lock.

Why one lock and not finer ones: docs/decisions/0008-writers-take-turns.md.
"""

from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from cloud_hub.db.faults import to_json
from cloud_hub.db.pool import MIGRATING, READING, pool_options
from cloud_hub.errors import HubSettingsError

# "headland" as a number; locks are per database, so another program's keys seldom meet it.
WRITERS = int.from_bytes(b"headland")
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_MS = 60_000
LOCK_TIMEOUT_MS = 30_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 60_000
MIGRATION_LOCK_TIMEOUT_MS = 600_000
RECYCLE_S = 1_800
SESSION = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "lock_timeout": LOCK_TIMEOUT_MS,
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_MS,
    "synchronous_commit": "on",  # what a person or a device was told is stored, is
    "timezone": "UTC",
}
# A server that vanished without a word is noticed within a minute, not in the system's two hours.
KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def postgres_engine(url: URL) -> Engine:
    """Return the engine of a URL of `cloud_hub.db.urls`; nothing is connected yet."""
    try:
        engine = create_engine(
            url,
            connect_args=_connect_args(url),
            # Never REPEATABLE READ, whatever the server's default: its snapshot would be from before
            # the turn, as waiting for the turn is the transaction's first statement.
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            json_serializer=to_json,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_S,
            **pool_options(),
        )
    except ModuleNotFoundError as error:
        raise HubSettingsError(
            "PostgreSQL needs the package psycopg",
            where="database",
            fix="Install Headland with its extra: pip install 'headland[hub,postgres]'.",
        ) from error
    event.listen(engine, "begin", _begin)
    return engine


def _connect_args(url: URL) -> dict[str, Any]:
    """Return what libpq is told beside the URL; what the URL says itself goes before it."""
    session = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    own = url.query.get("options", ())
    texts = [own] if isinstance(own, str) else list(own)
    defaults = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "headland-hub", **KEEPALIVE}
    chosen = {name: value for name, value in defaults.items() if name not in url.query}
    return {**chosen, "options": " ".join([session, *texts])}


def _begin(connection: Connection) -> None:
    """Wait for the writer's turn before its first statement: what it reads nobody changes until it ends."""
    options = connection.get_execution_options()
    if options.get(READING, False):
        return
    if options.get(MIGRATING, False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_TIMEOUT_MS}")
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")
