"""From the release before: logs move, what had not ended has failed, and the schema is that of the rows."""

from datetime import UTC, datetime

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from cloud_hub.activities.service import Activities
from cloud_hub.db.engine import MIGRATIONS, Database
from cloud_hub.db.schema import METADATA

OLD = (
    "INSERT INTO activities (id, workspace, kind, state, progress, log, created_by, created_at) "
    "VALUES (:id, 'shop', 'image-build', :state, 0.5, :log, 'ana', :at)"
)
LOG = (
    '[{"at": "2026-11-23T21:00:54.573022+00:00", "text": "one"},'
    ' {"at": "2026-11-23T21:00:55+00:00", "text": "two"}]'
)


def test_activities_of_the_release_before_are_kept(url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    command.upgrade(config, "0002")
    engine = create_engine(url)
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(sep=" ")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO workspaces (name, created_at) VALUES ('shop', :at)"), {"at": now}
        )
        for state in ("completed", "running", "queued"):
            connection.execute(text(OLD), {"id": state, "state": state, "log": LOG, "at": now})
    engine.dispose()
    database = Database(url)
    database.migrate()
    activities = Activities(database, at_once=1)
    for activity, state in (("completed", "completed"), ("running", "failed"), ("queued", "failed")):
        row, lines = activities.log("shop", activity)
        assert (row.state, row.lines, [line.text for line in lines]) == (state, 2, ["one", "two"])
    assert (activities.get("shop", "running").error or {})["code"] == "interrupted"
    database.close()


def test_the_schema_is_that_of_the_rows(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()
    engine = create_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()
    assert found == []
