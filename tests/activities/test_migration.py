"""From the release before: logs move, and what had not ended has failed."""

from datetime import UTC, datetime

from sqlalchemy import text

from cloud_hub.activities.service import Activities
from tests.hub.acting import audit
from tests.hub.databases import Place

BEFORE = "0060"
OLD = (
    "INSERT INTO activities (id, workspace, kind, state, progress, log, created_by, created_at) "
    "VALUES (:id, 'shop', 'image-build', :state, 0.5, :log, 'ana', :at)"
)
LOG = (
    '[{"at": "2026-11-23T21:00:54.573022+00:00", "text": "one"},'
    ' {"at": "2026-11-23T21:00:55+00:00", "text": "two"}]'
)


def test_activities_of_the_release_before_are_kept(empty_place: Place) -> None:
    database = empty_place.open()
    database.migrate(BEFORE)
    now = datetime.now(UTC).isoformat(sep=" ")
    with database.transaction() as session:
        session.execute(text("INSERT INTO workspaces (name, created_at) VALUES ('shop', :at)"), {"at": now})
        for state in ("completed", "running", "queued"):
            session.execute(text(OLD), {"id": state, "state": state, "log": LOG, "at": now})
    database.migrate()
    activities = Activities(database, audit(database), at_once=1)
    for activity, state in (("completed", "completed"), ("running", "failed"), ("queued", "failed")):
        row, lines = activities.log("shop", activity)
        assert (row.state, row.lines, [line.text for line in lines]) == (state, 2, ["one", "two"])
    assert (activities.get("shop", "running").error or {})["code"] == "interrupted"
