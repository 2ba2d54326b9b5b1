"""What `Database` promises on both engines: a transaction is alone, reading waits for nobody."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.db.errors import DatabaseUrlError
from cloud_hub.devices.rows import InvitationRow
from cloud_hub.experiments.rows import RunRow
from cloud_hub.workspaces.rows import WorkspaceRow
from cloud_hub.workspaces.service import Workspaces

AT_ONCE, EACH = 8, 10


def in_parallel(work: Callable[[int], object]) -> list[object]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, range(AT_ONCE * EACH)))


def read_and_write(session: Session) -> None:
    """Take the next number as services do: read the highest, write one more."""
    newest = session.scalar(select(func.max(InvitationRow.token_sha256)))
    number = int(newest or "0") + 1
    session.add(
        InvitationRow(
            token_sha256=f"{number:06d}",
            device="cam-1",
            replaces=False,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
            used_at=None,
        )
    )


def test_what_a_transaction_read_is_true_when_it_writes(database: Database) -> None:
    def take_next(_: int) -> None:
        with database.transaction() as session:
            read_and_write(session)

    in_parallel(take_next)
    with database.reading() as session:
        numbers = session.scalars(select(InvitationRow.token_sha256)).all()
    assert sorted(numbers) == [f"{number:06d}" for number in range(1, AT_ONCE * EACH + 1)]


@pytest.mark.system
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_without_the_writers_lock_it_would_not_be(database: Database) -> None:
    """The same work in transactions of PostgreSQL as they come: two read the same highest number."""
    where = f"host={database.url.query['host']} dbname={database.url.database} user={database.url.username}"
    meet = threading.Barrier(2, timeout=30)

    def take_next(_: int) -> str:
        with psycopg.connect(where) as connection:
            found = connection.execute("SELECT coalesce(max(token_sha256), '0') FROM invitations").fetchone()
            meet.wait()
            insert = "INSERT INTO invitations VALUES (%s, 'cam-1', false, now(), NULL)"
            try:
                connection.execute(insert, [f"{int(found[0]) + 1:06d}" if found else ""])
            except psycopg.errors.UniqueViolation:
                connection.rollback()
                return "lost"
        return "taken"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(take_next, range(2))) == ["lost", "taken"]


def test_reading_sees_one_state_and_does_not_wait_for_a_writer(database: Database) -> None:
    with database.transaction() as writer:
        writer.add(WorkspaceRow(name="new", created_at=datetime.now(UTC)))
        writer.flush()
        with database.reading() as reader:
            assert reader.get(WorkspaceRow, "new") is None
    with database.reading() as reader:
        assert reader.get(WorkspaceRow, "new") is not None
        with database.transaction() as writer:
            writer.delete(writer.get_one(WorkspaceRow, "new"))
        reader.expire_all()
        assert reader.get(WorkspaceRow, "new") is not None


@pytest.mark.system
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match="read-only"), database.reading() as session:
        session.execute(text("DELETE FROM runs"))


def test_a_name_is_given_once_of_many_at_once(database: Database) -> None:
    workspaces = Workspaces(database, Audit(database, bytes(32)))

    def create(_: int) -> str:
        try:
            workspaces.create("third", Actor("admin"))
        except Exception as error:
            return type(error).__name__
        return "made"

    outcomes = in_parallel(create)
    assert outcomes.count("made") == 1
    assert set(outcomes) == {"made", "ConflictError"}


def test_changes_of_one_document_are_not_lost(database: Database) -> None:
    with database.transaction() as session:
        session.add(
            RunRow(
                id="r", workspace="shop", experiment="e", status="running", parameters={}, outputs={},
                created_by="ana", started_at=datetime.now(UTC), finished_at=None,
            )
        )  # fmt: skip

    def add(number: int) -> None:
        with database.transaction() as session:
            row = session.get_one(RunRow, "r")
            row.parameters = row.parameters | {str(number): number}

    in_parallel(add)
    with database.reading() as session:
        assert len(session.get_one(RunRow, "r").parameters) == AT_ONCE * EACH


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://hub:s3cret@localhost/headland", "password"),
        ("postgresql://localhost/headland?password=s3cret", "password"),
        ("mysql://localhost/s3cret", "SQLite and PostgreSQL"),
        ("s3cret", "not a database URL"),
    ],
)
def test_a_url_that_is_not_wanted_is_refused_and_not_shown(url: str, reason: str) -> None:
    with pytest.raises(DatabaseUrlError, match=reason) as caught:
        Database(url)
    assert "s3cret" not in str(caught.value)


def test_sqlite_is_durable(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'hub.db'}")
    with database.transaction() as session:
        pragmas = [
            session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]
    database.close()
