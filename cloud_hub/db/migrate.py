"""The schema, brought to this release's in one transaction; never back."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from cloud_hub.errors import SchemaNewerError

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Apply what lies between the database's revision and ``revision``; an empty database gets all of it.

    The caller's transaction, which writers wait for, holds it all: of two hubs that start at
    once the second finds nothing left to do, and one that is cut off has changed nothing.
    Raises `SchemaNewerError`.
    """
    config = Config()
    # A `%` is the configuration format's own sign; a folder's name may have one.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_heads()
    if unknown := sorted(set(current) - known):
        raise SchemaNewerError(
            f"the database has schema {', '.join(unknown)}, which this release does not know",
            where="database",
            fix="Run the newer release again, or restore a backup from before it: a schema never goes back.",
        )
    command.upgrade(config, revision)
