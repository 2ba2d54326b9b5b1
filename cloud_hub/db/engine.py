"""The database: SQLite or PostgreSQL, set up for durability, with the same promise on both.

A `transaction` is alone: SQLite has one writer, and on PostgreSQL a transaction takes the writers'
lock first. What it reads stays true until it commits, so a next version, a mark or a generation can
be read and then written (docs/decisions/0008). `reading` waits for nobody.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from cloud_hub.db.errors import DatabaseUnavailableError, DatabaseUrlError

BUSY_TIMEOUT_MS: Final = 30_000
CONNECT_TIMEOUT_S: Final = 10
WRITERS_LOCK: Final = 0x4865_6164  # one number in PostgreSQL's space of advisory locks
POSTGRESQL_OPTIONS: Final = " ".join(
    (
        "-c statement_timeout=60000",
        "-c lock_timeout=30000",
        "-c idle_in_transaction_session_timeout=120000",
        "-c timezone=UTC",
    )
)
READ: Final = "reads"
"""Key of a session's ``info``: the transaction changes nothing."""


class Database:
    """One database by URL, ``sqlite:///FILE`` or ``postgresql://...``; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self._engine = engine_of(self.url)

    @property
    def is_postgresql(self) -> bool:
        """Is it a server that several hubs may share?"""
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit when the block ends, roll back when it raises; durable once it returns.

        No other `transaction` runs at the same time, in any process of the hub: keep it short. Raises
        `DatabaseUnavailableError`.
        """
        with self._session(self._engine) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read one state of the database without waiting for writers; nothing may be changed."""
        with self._session(self._engine.execution_options(**{READ: True})) as session:
            yield session

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        with _told(self.url), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def parse_url(url: str) -> URL:
    """Read a database's URL; raises `DatabaseUrlError`, which never shows what it was."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError("not a database URL", where="database", fix=_URL_FIX) from None
    if parsed.drivername not in {"sqlite", "postgresql"}:
        raise DatabaseUrlError("SQLite and PostgreSQL are supported", where="database", fix=_URL_FIX)
    if parsed.password is not None or "password" in parsed.query:
        raise DatabaseUrlError(
            "a password does not belong into the settings",
            where="database",
            fix="Put it into ~/.pgpass (mode 0600), or the environment's PGPASSFILE or PGPASSWORD.",
        )
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


_URL_FIX: Final = "Write postgresql://USER@HOST:PORT/NAME, or leave it out for SQLite."


def engine_of(url: URL, *, foreign_keys: bool = True) -> Engine:
    """Return an engine whose connections are set up; ``foreign_keys`` off is for migrations on SQLite."""
    if url.get_backend_name() == "postgresql":
        _require_driver()
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=10,
            pool_timeout=CONNECT_TIMEOUT_S,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "options": POSTGRESQL_OPTIONS},
        )
        event.listen(engine, "begin", _begin_postgresql)
        return engine
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up_sqlite if foreign_keys else _set_up_sqlite_for_migrations)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _require_driver() -> None:
    if importlib.util.find_spec("psycopg") is None:
        raise DatabaseUrlError(
            "PostgreSQL's driver is not installed", where="database", fix="pip install 'headland[postgres]'"
        )


@contextmanager
def _told(url: URL) -> Iterator[None]:
    """Turn what the driver says of a database that cannot be used into one error."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise unavailable(url, error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise unavailable(url, error) from error
        raise


def unavailable(url: URL, error: DBAPIError) -> DatabaseUnavailableError:
    """Return the error for a database that does not answer; no value of a statement is in it."""
    reason = str(error.orig).strip().partition("\n")[0] or type(error.orig).__name__
    where = url.database if url.get_backend_name() == "sqlite" else f"{url.host or 'socket'}/{url.database}"
    return DatabaseUnavailableError(
        f"the database cannot be used ({reason})",
        where=str(where),
        fix="Is it running, is its disk full, and may this user connect to it?",
    )


def _set_up_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, "foreign_keys=ON")


def _set_up_sqlite_for_migrations(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _pragmas(connection, "foreign_keys=OFF")


def _pragmas(connection: DBAPIConnection, *more: str) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event opens transactions, not the driver
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_TIMEOUT_MS}", *more):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(READ)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(READ):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
