"""A database and a device for tests of the hub's services, without a server.

Every test that asks for a database runs twice, on SQLite and on a real PostgreSQL.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud_hub.access.people import new_principal
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.workspaces.rows import WorkspaceRow
from tests.hub.databases import Place, Servers
from tests.postgres import running_server, why_not


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """A PostgreSQL server for all tests of the session."""
    if reason := why_not():
        pytest.skip(reason)
    with running_server() as server:
        yield Servers(server)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.system)])
def kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def empty_place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A database without a schema."""
    yield from _place(kind, tmp_path, request, migrated=False)


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A migrated database without rows."""
    yield from _place(kind, tmp_path, request, migrated=True)


def _place(kind: str, folder: Path, request: pytest.FixtureRequest, *, migrated: bool) -> Iterator[Place]:
    if kind == "sqlite":
        place = Place(kind, folder / "hub.db")
        if migrated:
            place.open().migrate()
        yield place
        place.close()
        return
    servers: Servers = request.getfixturevalue("servers")
    name = servers.migrated() if migrated else servers.empty()
    place = Place(kind, servers.server.url(name))
    yield place
    place.close()
    servers.server.drop(name)


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
