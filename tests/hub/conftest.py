"""A database and a device for tests of the hub's services, without a server."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cloud_hub.access.people import new_principal
from cloud_hub.db.engine import Database
from cloud_hub.db.schema_versions import migrate
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.workspaces.rows import WorkspaceRow


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database with workspaces shop and lab, and the devices cam-1 (shop) and mill-1 (lab)."""
    database = Database(database_url)
    migrate(database)
    with database.transaction() as session:
        session.add(new_principal("admin", "person", admin=True, by="admin"))
    for workspace, device in (("shop", "cam-1"), ("lab", "mill-1")):
        with database.transaction() as session:
            session.add(WorkspaceRow(name=workspace, created_at=datetime.now(UTC)))
        add_device(database, workspace, device)
    yield database
    database.close()


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
