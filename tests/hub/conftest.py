"""A database and a device for tests of the hub's services, without a server.

Every test that asks for a database runs twice, on SQLite and on a real PostgreSQL.
"""

from datetime import UTC, datetime

import pytest

from cloud_hub.access.people import new_principal
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.workspaces.rows import WorkspaceRow
from tests.hub.databases import Place


@pytest.fixture
def database(place: Place) -> Database:
    """A migrated database with workspaces shop and lab, and the devices cam-1 (shop) and mill-1 (lab)."""
    database = place.open()
    with database.transaction() as session:
        session.add(new_principal("admin", "person", admin=True, by="admin"))
    for workspace, device in (("shop", "cam-1"), ("lab", "mill-1")):
        with database.transaction() as session:
            session.add(WorkspaceRow(name=workspace, created_at=datetime.now(UTC)))
        add_device(database, workspace, device)
    return database


def add_device(database: Database, workspace: str, device: str) -> None:
    """Add a device as if it had enrolled."""
    with database.transaction() as session:
        session.add(
            DeviceRow(
                id=device,
                workspace=workspace,
                created_at=datetime.now(UTC),
                certificate_serial="1",
                certificate_not_after=None,
                revoked_at=None,
                last_seen_at=None,
                hello=None,
                reported=None,
            )
        )
