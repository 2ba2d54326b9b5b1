"""Workspaces: make, list, find."""

from datetime import UTC, datetime

from sqlalchemy import select

from cloud_hub.access.roles import Caller
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError
from cloud_hub.workspaces.rows import WorkspaceRow
from contract.ids import check_name


class Workspaces:
    """The hub's workspaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str) -> WorkspaceRow:
        """Make a workspace; raises `ConflictError` where the name is taken."""
        check_name(name, where="workspace name")
        with self._database.transaction() as session:
            if session.get(WorkspaceRow, name) is not None:
                raise ConflictError("the workspace exists already", where=name, fix="Choose another name.")
            row = WorkspaceRow(name=name, created_at=datetime.now(UTC))
            session.add(row)
        return row

    def visible_to(self, caller: Caller) -> list[WorkspaceRow]:
        """Return the workspaces that the caller may see, by name."""
        with self._database.reading() as session:
            rows = session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.name)).all()
        return [row for row in rows if caller.sees(row.name)]

    def get(self, name: str) -> WorkspaceRow:
        """Return a workspace; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = session.get(WorkspaceRow, name)
        if row is None:
            raise NotFoundError(
                "no such workspace", where=name, fix="`headland workspace list` shows those you may see."
            )
        return row
