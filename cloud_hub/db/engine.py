"""The database: transactions as context managers, with one promise on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cloud_hub.db import faults, migrate
from cloud_hub.db.pool import MIGRATING, READING
from cloud_hub.db.postgres import postgres_engine
from cloud_hub.db.sqlite import check_references, sqlite_engine
from cloud_hub.db.urls import postgresql_url

TURN_TIMEOUT_S = 30.0


class Database:
    """One database: a file for SQLite, or a PostgreSQL URL (see `cloud_hub.db.urls`).

    What every service builds on, whichever it is: a `transaction` sees what all earlier ones
    committed, and nothing changes under it until it ends. So "read, decide, write" needs no lock of its
    own. Failures of the moment leave as `DatabaseUnavailableError`.
    """

    def __init__(self, place: Path | str) -> None:
        if isinstance(place, Path):
            self._engine = sqlite_engine(place)
            self._reading = self._engine.execution_options(**{READING: True})
        else:
            self._engine = postgres_engine(postgresql_url(place))
            self._reading = self._engine.execution_options(
                **{READING: True}, postgresql_readonly=True, isolation_level="REPEATABLE READ"
            )
        self._turn = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Is it a file of this machine, which one process works on?"""
        return self._engine.dialect.name == "sqlite"

    @property
    def engine(self) -> Engine:
        """The engine, for what looks at the schema."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit when the block ends, roll back when it raises; durable once it returns.

        Writers take turns: among this process's threads by a lock, which keeps those that wait
        from holding a connection each, and among processes by SQLite's write lock or PostgreSQL's
        advisory lock. Not to be opened within another one.
        """
        with (
            faults.named(),
            self._in_turn(),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Read one snapshot, without waiting for writers; to write here is an error."""
        with faults.named(), Session(self._reading, expire_on_commit=False) as session, session.begin():
            yield session

    def migrate(self, revision: str = "head") -> None:
        """Bring the schema to this release's (or to ``revision``); on a new database that makes it.

        Raises `DatabaseUnavailableError` with the reason, and `SchemaNewerError`.
        """
        migrating = self._engine.execution_options(**{MIGRATING: True})
        with faults.named(starting=True), migrating.begin() as connection:
            migrate.upgrade(connection, revision)
            if connection.dialect.name == "sqlite":
                check_references(connection)
        self._engine.dispose()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_TIMEOUT_S):
            raise faults.busy()
        try:
            yield
        finally:
            self._turn.release()
