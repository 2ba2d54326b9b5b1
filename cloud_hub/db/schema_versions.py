"""Brings a database's schema to this release's: all of it or nothing, one hub at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import InterfaceError, OperationalError

from cloud_hub.db.engine import Database, engine_of, unavailable
from cloud_hub.db.errors import SchemaNewerError

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(database: Database, revision: str = "head") -> None:
    """Upgrade to ``revision``; on a new database that makes the schema.

    Of several hubs that start at once the first migrates and the others wait. Raises
    `SchemaNewerError`, `DatabaseUnavailableError`.
    """
    engine = engine_of(database.url, foreign_keys=False)
    try:
        with engine.begin() as connection:
            if database.is_postgresql:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            _upgrade(connection, revision)
            _require_foreign_keys(connection)
    except (OperationalError, InterfaceError) as error:
        raise unavailable(database.url, error) from error
    finally:
        engine.dispose()


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    newer = next((name for name in (present, revision) if name not in {None, "head", *known}), None)
    if newer is not None:
        raise SchemaNewerError(
            f"the rows have schema {newer}, which this release does not know",
            fix="Run the newer release again, or restore a backup of this release's.",
        )
    command.upgrade(config, revision)


def _require_foreign_keys(connection: Connection) -> None:
    """SQLite does not look at foreign keys while tables are rebuilt: look at them all at the end."""
    if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
        raise RuntimeError("a migration broke a foreign key")
