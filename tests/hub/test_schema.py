"""Migrations: from every released schema, on both databases, with the rows as they were.

``schemas/REVISION.KIND.sql`` is a database as that release left it (`sqlite3 .dump`, `pg_dump --inserts`),
with rows in every table; such a file is added with each release and never changed.
"""

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from cloud_hub.db.engine import Database
from cloud_hub.db.schema import METADATA
from cloud_hub.errors import SchemaNewerError
from cloud_hub.telemetry.rows import PendingRow
from tests.hub.databases import Place

SCHEMAS = Path(__file__).parent / "schemas"
RELEASED = sorted({path.name.partition(".")[0] for path in SCHEMAS.glob("*.sql")})
VERSION = "alembic_version"
Rows = dict[str, list[dict[str, Any]]]


def load(place: Place, revision: str) -> Database:
    """Fill an empty database with what a release left."""
    dump = (SCHEMAS / f"{revision}.{place.kind}.sql").read_text()
    database = place.open()
    if isinstance(place.where, Path):
        with contextlib.closing(sqlite3.connect(place.where)) as file:
            file.executescript(dump)
        return database
    with database.engine.begin() as connection:
        assert connection.connection.cursor().execute(
            dump
        )  # the driver takes many statements, SQLAlchemy one
    database.engine.dispose()  # the dump says `set_config` for its session
    return database


def rows_of(database: Database) -> Rows:
    """Return every table's rows as the database gives them, without our models."""
    tables = sa.MetaData()
    tables.reflect(database.engine)
    with database.engine.connect() as connection:
        return {
            table.name: [
                dict(row._mapping)
                for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            ]
            for table in tables.sorted_tables
            if table.name != VERSION
        }


MOVED = {
    "activities": {"log"},  # tests/activities/test_migration.py
    "models": {"tags"},  # tests/hub/test_model_migration.py
    "images": {"layers", "model"},  # tests/hub/test_image_migration.py
    "blob_links": {"owner", "digest", "size_bytes", "media_type"},  # there too
}
"""Columns that migrations since have put elsewhere, and the tests that follow them."""


def lost(before: Rows, after: Rows) -> list[str]:
    """Return the tables whose old columns do not hold what they held."""
    return [name for name, rows in before.items() if not _kept(name, rows, after.get(name, []))]


def _kept(name: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> bool:
    stay = {key for row in before for key in row} - MOVED.get(name, set())
    old = [{key: row[key] for key in stay} for row in before]
    return [{key: row.get(key) for key in stay} for row in after[: len(old)]] == old


def differences(database: Database) -> list[Any]:
    """Return what Alembic would change so that the schema is the models'."""
    with database.engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))


@pytest.mark.parametrize("revision", RELEASED)
def test_a_released_schema_comes_to_this_one_with_its_rows(empty_place: Place, revision: str) -> None:
    database = load(empty_place, revision)
    before = rows_of(database)
    assert all(before.values()), "a table without rows proves nothing"
    database.migrate()
    assert lost(before, rows_of(database)) == []
    assert differences(database) == []


def test_negative_control_rows_that_are_gone_or_changed_are_seen(empty_place: Place) -> None:
    database = load(empty_place, "0001")
    before = rows_of(database)
    database.migrate()
    with database.transaction() as session:
        session.execute(sa.text("DELETE FROM metrics WHERE step = 4"))
        session.execute(sa.text("UPDATE telemetry_marks SET mark = mark + 1"))
    assert sorted(lost(before, rows_of(database))) == ["metrics", "telemetry_marks"]


def test_new_rows_after_migrating_get_ids_of_their_own(empty_place: Place) -> None:
    database = load(empty_place, "0001")
    database.migrate()
    values = {
        "workspace": "shop",
        "device": "cam-1",
        "stream": "s",
        "payload": b"",
        "received_at": datetime.now(UTC),
    }
    ids = []
    for _ in range(2):
        with database.transaction() as session:
            row = PendingRow(**values)
            session.add(row)
            session.flush()
            ids.append(row.id)
            session.execute(sa.delete(PendingRow))
    assert ids == [2, 3], "an id came again"


def test_the_migrated_schema_is_the_models_schema(place: Place) -> None:
    assert differences(place.open()) == []


def test_negative_control_a_column_that_no_migration_made_is_seen(place: Place) -> None:
    database = place.open()
    with database.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE telemetry_files DROP COLUMN size_bytes"))
    (found,) = differences(database)
    assert found[0] == "add_column"


def test_numbers_are_wide(database: Database) -> None:
    """PostgreSQL's `integer` ends at 2**31; what grows without end may not."""
    with database.engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO pulls VALUES (:id, 'cam-1', 'shop/i', 'd', 1, :at)"),
            {"id": 2**40, "at": datetime.now(UTC).isoformat()},
        )


def test_migrating_again_changes_nothing(place: Place) -> None:
    database = place.open()
    before = rows_of(database)
    database.migrate()
    assert rows_of(database) == before


def test_hubs_that_start_at_once_migrate_once(empty_place: Place) -> None:
    load(empty_place, "0001")
    hubs = [empty_place.open() for _ in range(6)]
    with ThreadPoolExecutor(len(hubs)) as pool:
        list(pool.map(Database.migrate, hubs))
    assert differences(hubs[0]) == []


def test_a_migration_that_fails_leaves_the_schema_as_it_was(empty_place: Place) -> None:
    """A table is in the way of the last step: nothing of the steps before it may stay."""
    database = load(empty_place, "0001")
    with database.engine.begin() as connection:
        connection.execute(sa.text("CREATE VIEW blocker AS SELECT id FROM telemetry_rejects"))
        connection.execute(sa.text("CREATE TABLE _alembic_tmp_telemetry_pending (id INTEGER)"))
    before = rows_of(database)
    with pytest.raises(sa.exc.DBAPIError):
        database.migrate()
    assert rows_of(database) == before


def test_an_older_hub_refuses_a_newer_schema(place: Place) -> None:
    database = place.open()
    with database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    before = rows_of(database)
    with pytest.raises(SchemaNewerError, match="9999"):
        database.migrate()
    assert rows_of(database) == before


def test_a_broken_reference_stops_migrating_on_sqlite(tmp_path: Path) -> None:
    place = Place("sqlite", tmp_path / "hub.db")
    database = load(place, "0001")
    with sqlite3.connect(tmp_path / "hub.db") as connection:
        connection.execute("DELETE FROM workspaces WHERE name = 'shop'")
    connection.close()
    with pytest.raises(RuntimeError, match="telemetry_pending"):
        database.migrate()
    place.close()
