"""Workspaces: make, list, find."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.access.roles import Caller
from cloud_hub.access.rows import MembershipRow
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.datastores.service import add_default
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError
from cloud_hub.workspaces.rows import WorkspaceRow
from contract.ids import check_name


class Workspaces:
    """The hub's workspaces."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def require_free(self, name: str) -> None:
        """Raise `InvalidNameError` or `ConflictError` where a workspace cannot be called so."""
        check_name(name, where="workspace name")
        with self._database.reading() as session:
            _require_free(session, name)

    def create(self, name: str, by: Actor, furnish: Callable[[Session], None] | None = None) -> WorkspaceRow:
        """Make a workspace, owned by who makes it; raises `ConflictError` where the name is taken.

        ``furnish`` gives it its first datastore in the same transaction; without, it is in the hub's store.
        """
        check_name(name, where="workspace name")
        with self._database.transaction() as session:
            _require_free(session, name)
            now = datetime.now(UTC)
            row = WorkspaceRow(name=name, created_at=now)
            session.add(row)
            session.flush()
            session.add(MembershipRow(workspace=name, principal=by.principal, role="Owner", created_at=now))
            self._audit.record(session, by, "workspace.create", name, workspace=name)
            if furnish is None:
                add_default(session, name, by)
            else:
                furnish(session)
        return row

    def visible_to(self, caller: Caller) -> list[WorkspaceRow]:
        """Return the workspaces that the caller may see, by name."""
        with self._database.reading() as session:
            rows = session.scalars(select(WorkspaceRow).order_by(WorkspaceRow.name)).all()
        return [row for row in rows if caller.role_in(row.name) is not None]

    def exists(self, name: str) -> bool:
        """Is there such a workspace?"""
        with self._database.reading() as session:
            return session.get(WorkspaceRow, name) is not None

    def get(self, name: str) -> WorkspaceRow:
        """Return a workspace; raises `NotFoundError`."""
        with self._database.reading() as session:
            row = session.get(WorkspaceRow, name)
        if row is None:
            raise no_such_workspace(name)
        return row


def no_such_workspace(name: str) -> NotFoundError:
    """Return the error for a workspace that is not there."""
    return NotFoundError(
        "no such workspace", where=name, fix="`headland workspace list` shows those you may see."
    )


def _require_free(session: Session, name: str) -> None:
    if session.get(WorkspaceRow, name) is not None:
        raise ConflictError("the workspace exists already", where=name, fix="Choose another name.")
