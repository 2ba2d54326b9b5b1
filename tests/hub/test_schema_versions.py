"""Migrations: from every released schema, on both engines, whole or not at all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, String, Table, text

from cloud_hub.access.rows import MembershipRow, PrincipalRow, TokenRow
from cloud_hub.db.engine import Database, engine_of
from cloud_hub.db.errors import DatabaseUnavailableError, SchemaNewerError
from cloud_hub.db.schema import METADATA
from cloud_hub.db.schema_versions import MIGRATIONS, migrate

RELEASED = sorted((Path(__file__).parent / "schemas").glob("*.sql"))


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    engine = engine_of(database.url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def differences(database: Database, metadata: MetaData) -> list[object]:
    """Return in what the schema of a database is not that of ``metadata``."""
    with connected(database) as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def fill(database: Database, statements: str) -> None:
    with database.transaction() as session:
        for statement in filter(None, (part.strip() for part in statements.split(";\n"))):
            session.execute(text(statement.replace(":", r"\:")))


def counts(database: Database, tables: list[str]) -> dict[str, int]:
    with database.reading() as session:
        return {name: session.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in tables}


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def test_migrating_makes_the_schema_of_the_rows(empty: Database) -> None:
    migrate(empty)
    assert differences(empty, METADATA) == []


def test_a_table_that_no_migration_makes_is_seen(empty: Database) -> None:
    migrate(empty)
    planted = MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(planted)
    Table("forgotten", planted, Column("name", String, primary_key=True))
    assert len(differences(empty, planted)) == 1


def test_there_is_one_line_of_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_released_schemas_are_kept() -> None:
    assert [path.stem for path in RELEASED] == ["0001"]


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_a_database_of_a_released_schema_comes_up_to_date_with_its_rows(
    empty: Database, released: Path
) -> None:
    migrate(empty, released.stem)
    fill(empty, released.read_text())
    with connected(empty) as connection:
        before = MetaData()
        before.reflect(connection)
    tables = sorted(before.tables)
    filled = counts(empty, tables)
    assert all(filled.values()), "every table of the released schema has a row"
    migrate(empty)
    assert counts(empty, tables) == filled
    assert differences(empty, METADATA) == []


def test_who_had_a_token_is_a_person_with_its_role(empty: Database) -> None:
    migrate(empty, "0001")
    fill(empty, RELEASED[0].read_text())
    migrate(empty)
    with empty.reading() as session:
        assert session.get_one(PrincipalRow, "root").admin
        ana = session.get_one(MembershipRow, ("shop", "ana"))
        assert ana.role == "Contributor"
        assert {row.purpose for row in session.query(TokenRow).all()} == {"access"}


def test_a_migration_that_fails_leaves_the_schema_as_it_was(empty: Database) -> None:
    migrate(empty, "0001")
    fill(empty, "CREATE TABLE memberships (x integer)")  # in the way of what the next revision makes
    with pytest.raises(Exception, match="memberships"):
        migrate(empty)
    with connected(empty) as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0001"
        found = MetaData()
        found.reflect(connection)
    assert "principals" not in found.tables
    fill(empty, "DROP TABLE memberships")
    migrate(empty)


def test_a_newer_schema_is_refused_and_not_touched(empty: Database) -> None:
    migrate(empty)
    fill(empty, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaNewerError, match="9999"):
        migrate(empty)


def test_hubs_that_start_at_once_migrate_once(empty: Database) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            migrate(empty)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert differences(empty, METADATA) == []


def test_a_database_that_is_not_there_is_one_clear_error() -> None:
    with pytest.raises(DatabaseUnavailableError, match="cannot be used") as caught:
        migrate(Database("postgresql://hub@127.0.0.1:1/headland"))
    assert "127.0.0.1" in caught.value.where
