"""Services as the tests of races and of the database call them: somebody acts, an audit log is kept."""

from datetime import UTC, datetime

from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.workspaces.rows import WorkspaceRow
from cloud_hub.workspaces.service import Workspaces

BY = Actor("admin")


def audit(database: Database) -> Audit:
    """Return the audit log of a database, under a key of the tests."""
    return Audit(database, bytes(32))


def workspaces(database: Database) -> Workspaces:
    """Return the workspaces of a database."""
    return Workspaces(database, audit(database))


def add_workspace(database: Database, name: str) -> WorkspaceRow:
    """Write a row, in a transaction of its own."""
    with database.transaction() as session:
        row = WorkspaceRow(name=name, created_at=datetime.now(UTC))
        session.add(row)
    return row
