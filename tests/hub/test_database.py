"""What `Database` promises on SQLite and PostgreSQL alike, and what becomes of their failures."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from cloud_hub import settings
from cloud_hub.api.problems import status_of
from cloud_hub.blobs.folder import FolderStore
from cloud_hub.blobs.service import Blobs
from cloud_hub.db.engine import Database
from cloud_hub.db.pool import POOL_OVERFLOW, POOL_SIZE
from cloud_hub.db.urls import postgresql_url
from cloud_hub.errors import DatabaseUnavailableError, HubSettingsError, InvalidInputError
from cloud_hub.experiments.service import Experiments, MetricValue
from cloud_hub.workspaces.rows import WorkspaceRow
from simulators.demo.stage import free_port
from tests.hub.acting import add_workspace, workspaces
from tests.hub.databases import Place, Servers
from tests.postgres import running_server, why_not

SECRET = "s3cret-canary"
WAIT_S = 30


def names(session: sa.orm.Session) -> list[str]:
    return list(session.scalars(sa.select(WorkspaceRow.name).order_by(WorkspaceRow.name)).all())


def test_reading_does_not_wait_for_a_writer_and_sees_what_is_committed(database: Database) -> None:
    with database.transaction() as writing:
        writing.execute(sa.text("DELETE FROM devices"))
        writing.execute(sa.text("DELETE FROM workspaces"))
        with database.reading() as session:
            assert names(session) == ["lab", "shop"]
    with database.reading() as session:
        assert names(session) == []


def test_reading_is_one_snapshot(database: Database) -> None:
    with database.reading() as session:
        before = names(session)
        add_workspace(database, "new")
        assert names(session) == before
    assert [row.name for row in _all(database)] == ["lab", "new", "shop"]


def _all(database: Database) -> list[WorkspaceRow]:
    with database.reading() as session:
        return list(session.scalars(sa.select(WorkspaceRow).order_by(WorkspaceRow.name)).all())


def test_who_reads_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match=r"read-?only"), database.reading() as session:
        session.execute(sa.text("DELETE FROM devices"))
    add_workspace(database, "new")  # the same connection writes again


def test_writers_that_wait_do_not_take_the_readers_connections(database: Database) -> None:
    waiting = POOL_SIZE + POOL_OVERFLOW + 5
    with ThreadPoolExecutor(waiting) as pool:
        with database.transaction() as session:
            session.execute(sa.text("DELETE FROM devices"))
            writers = [pool.submit(add_workspace, database, f"w{n}") for n in range(waiting)]
            with database.reading() as other:
                assert names(other) == ["lab", "shop"]
        for writer in writers:
            writer.result(WAIT_S)


def test_what_failed_half_way_left_nothing(database: Database) -> None:
    class PlannedError(Exception):
        pass

    def fail() -> None:
        with database.transaction() as session:
            session.execute(sa.text("DELETE FROM devices"))
            raise PlannedError

    with pytest.raises(PlannedError):
        fail()
    with database.reading() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM devices")) == 2


def test_json_without_an_end_is_refused_alike(database: Database, tmp_path: Path) -> None:
    experiments = Experiments(database, Blobs(database, FolderStore(tmp_path), tmp_path / "work"))
    run = experiments.start("shop", "e", "ana").id
    with pytest.raises(InvalidInputError, match="cannot be stored"):
        experiments.log_parameters("shop", run, {"x": float("nan")})
    experiments.log_parameters("shop", run, {"x": "nul \0 in JSON is a text like any other"})
    experiments.log_metrics("shop", run, [MetricValue("samples", 1.0, 2**40)])
    assert experiments.get("shop", run)[1][0].step == 2**40


# --- PostgreSQL alone


@pytest.mark.system
def test_a_text_with_nul_is_the_callers_fault(servers: Servers) -> None:
    database = Database(servers.server.url(servers.migrated()))
    with pytest.raises(InvalidInputError, match="cannot be stored"), database.transaction() as session:
        session.scalar(sa.text("SELECT :x"), {"x": "a\0b"})
    database.close()


@pytest.mark.system
def test_a_session_is_set_up_whatever_the_servers_defaults_are(servers: Servers) -> None:
    """REPEATABLE READ would take its snapshot before the writer's turn, and lose updates."""
    name = servers.migrated()
    database = Database(servers.server.url(name))
    with database.engine.begin() as connection:
        for setting in ("default_transaction_isolation = 'repeatable read'", "synchronous_commit = off"):
            connection.execute(sa.text(f"ALTER DATABASE {name} SET {setting}"))
    database.close()
    with database.transaction() as session:
        shown = {
            key: session.scalar(sa.text(f"SHOW {key}"))
            for key in ("transaction_isolation", "synchronous_commit", "lock_timeout", "statement_timeout",
                        "idle_in_transaction_session_timeout", "timezone")
        }  # fmt: skip
    database.close()
    assert shown == {
        "transaction_isolation": "read committed",
        "synchronous_commit": "on",
        "lock_timeout": "30s",
        "statement_timeout": "1min",
        "idle_in_transaction_session_timeout": "1min",
        "timezone": "UTC",
    }


@pytest.mark.system
def test_a_writer_whose_turn_does_not_come_says_busy(servers: Servers) -> None:
    url = servers.server.url(servers.migrated())
    first, second = Database(url), Database(f"{url}&options=-c%20lock_timeout%3D50")
    with first.transaction() as session:
        session.execute(sa.text("SELECT 1"))
        with pytest.raises(DatabaseUnavailableError, match="busy"):
            add_workspace(second, "new")
    assert add_workspace(second, "new").name == "new"
    first.close()
    second.close()


@pytest.mark.system
def test_through_a_restart_of_the_server_the_hub_says_so_and_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    with running_server() as server:
        database = Database(server.url(server.create()))
        database.migrate()
        add_workspace(database, "shop")
        server.stop()
        with caplog.at_level(logging.WARNING), pytest.raises(DatabaseUnavailableError) as caught:
            add_workspace(database, "lab")
        with pytest.raises(DatabaseUnavailableError):
            workspaces(database).get("shop")
        server.start()
        assert workspaces(database).get("shop").name == "shop"
        assert add_workspace(database, "lab").name == "lab"
        database.close()
    assert caught.value.retriable
    assert caught.value.fix
    assert str(server.port) not in str(caught.value), "callers need not know where the database is"
    assert str(server.port) in caplog.text
    assert status_of(caught.value) is HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.system
def test_a_server_that_stops_in_the_middle_of_a_transaction(servers: Servers) -> None:
    database = Database(servers.server.url(servers.migrated()))
    with pytest.raises(DatabaseUnavailableError), database.transaction() as session:
        session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert add_workspace(database, "shop").name == "shop"
    database.close()


def test_a_database_that_is_not_there_is_one_clear_error_at_the_start() -> None:
    database = Database(f"postgresql://hub@127.0.0.1:{free_port()}/hub")
    with pytest.raises(DatabaseUnavailableError, match="refused") as caught:
        database.migrate()
    assert "hub.toml" in caught.value.fix


# --- SQLite alone


def test_a_writer_of_another_process_that_does_not_end_is_waited_for(tmp_path: Path) -> None:
    place = Place("sqlite", tmp_path / "hub.db")
    first, second = place.open(), place.open()
    first.migrate()
    started = threading.Event()

    def hold() -> None:
        with first.transaction() as session:
            session.add(WorkspaceRow(name="shop", created_at=sa.func.now()))
            session.flush()
            started.set()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert started.wait(WAIT_S)
        add_workspace(second, "lab")
        holding.result(WAIT_S)
    assert [row.name for row in _all(second)] == ["lab", "shop"]
    place.close()


def test_a_file_that_is_no_database_is_not_called_a_passing_failure(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"no database at all, by its first bytes" * 100)
    database = Database(tmp_path / "hub.db")
    with pytest.raises(DBAPIError):
        database.migrate()
    (tmp_path / "empty").mkdir()
    nothing = Database(tmp_path / "empty" / "hub.db")
    with pytest.raises(DBAPIError, match="no such table"):
        workspaces(nothing).get("shop")
    nothing.close()
    database.close()


def test_a_folder_that_cannot_be_opened_is_a_passing_failure(tmp_path: Path) -> None:
    database = Database(tmp_path / "gone" / "hub.db")
    with pytest.raises(DatabaseUnavailableError, match="unable to open"):
        database.migrate()


# --- the setting


@pytest.mark.parametrize(
    "url",
    [f"postgresql://hub:{SECRET}@db/hub", f"postgresql://db/hub?password={SECRET}", "postgresql://hub:@db/hub",
     f"postgresql://db/hub?sslpassword={SECRET}"],
)  # fmt: skip
def test_a_url_with_a_password_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(f'database = "{url}"\n')
    with pytest.raises(HubSettingsError, match="carries a password") as caught:
        settings.load(path)
    assert "pgpass" in caught.value.fix
    assert SECRET not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "hub",
        "mysql://db/hub",
        "sqlite:///hub.db",
        "postgresql+asyncpg://db/hub",
        f"postgresql://h:{SECRET}/x",
    ],
)
def test_what_is_no_postgresql_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(HubSettingsError) as caught:
        settings.Settings(database=url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://hub@db.example.org/hub",
        "postgres:///hub?host=/run/postgresql",
        "postgresql:///?service=hub",
    ],
)
def test_the_usual_forms_are_taken(url: str) -> None:
    assert settings.Settings(database=url).database == url
    assert postgresql_url(url).drivername == "postgresql+psycopg"
