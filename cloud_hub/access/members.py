"""Who shares a workspace: people by invitation of an Owner, and services that belong to it."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_hub.access.people import find_person, new_principal
from cloud_hub.access.roles import WorkspaceRole
from cloud_hub.access.rows import MembershipRow, PrincipalRow, TokenRow
from cloud_hub.access.tokens import make_token, revoke_all
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import ConflictError, NotFoundError
from contract.ids import check_name


def service_name(name: str, workspace: str) -> str:
    """Return a service's principal: no person is called so, nor a service of another workspace."""
    return f"{name}@{workspace}"


class Members:
    """Members of all workspaces."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    def share(self, workspace: str, person: str, role: WorkspaceRole, by: Actor) -> MembershipRow:
        """Make a person a member, or change their role."""
        with self._database.transaction() as session:
            find_person(session, person)
            before = session.get(MembershipRow, (workspace, person))
            demoted = before is not None and before.role == "Owner" and role != "Owner"
            row = _set(session, workspace, person, role)
            if demoted:
                _require_an_owner(session, workspace, lost=person)
            details: dict[str, str] = {"role": role}
            self._audit.record(session, by, "member.share", person, workspace=workspace, details=details)
        return row

    def unshare(self, workspace: str, person: str, by: Actor) -> None:
        """End a membership; it counts from the next request on."""
        with self._database.transaction() as session:
            row = session.get(MembershipRow, (workspace, person))
            if row is None:
                raise NotFoundError(
                    "not a member", where=person, fix="`headland workspace members` shows them."
                )
            session.delete(row)
            session.flush()
            if row.role == "Owner":
                _require_an_owner(session, workspace, lost=person)
            self._audit.record(session, by, "member.unshare", person, workspace=workspace)

    def all_in(self, workspace: str) -> list[tuple[MembershipRow, PrincipalRow]]:
        """Return the members, people before services."""
        query = (
            select(MembershipRow, PrincipalRow)
            .join(PrincipalRow, PrincipalRow.name == MembershipRow.principal)
            .where(MembershipRow.workspace == workspace, PrincipalRow.disabled_at.is_(None))
            .order_by(PrincipalRow.kind, PrincipalRow.name)
        )
        with self._database.reading() as session:
            return [(member, principal) for member, principal in session.execute(query).all()]

    def create_service(self, workspace: str, name: str, role: WorkspaceRole, by: Actor) -> MembershipRow:
        """Add a service; it acts by the tokens that Owners make for it."""
        check_name(name, where="service name")
        full = service_name(name, workspace)
        with self._database.transaction() as session:
            known = session.get(PrincipalRow, full)
            if known is not None and known.disabled_at is None:
                raise ConflictError("the service exists already", where=full, fix="Choose another name.")
            if known is None:
                session.add(new_principal(full, "service", admin=False, by=by.principal))
            else:
                known.disabled_at = None
            session.flush()
            row = _set(session, workspace, full, role)
            details: dict[str, str] = {"role": role}
            self._audit.record(session, by, "service.create", name, workspace=workspace, details=details)
        return row

    def delete_service(self, workspace: str, name: str, by: Actor) -> None:
        """End a service: its tokens are refused from the next request on. Its name stays in what it made."""
        with self._database.transaction() as session:
            row = self._service(session, workspace, name)
            row.disabled_at = datetime.now(UTC)
            revoke_all(session, row.name)
            session.delete(session.get_one(MembershipRow, (workspace, row.name)))
            self._audit.record(session, by, "service.delete", name, workspace=workspace)

    def create_service_token(
        self, workspace: str, name: str, *, lifetime: timedelta, label: str, by: Actor
    ) -> tuple[str, TokenRow]:
        """Return a new token of a service, for its own role."""
        with self._database.transaction() as session:
            row = self._service(session, workspace, name)
            made = make_token(
                session,
                row.name,
                "access",
                role="Owner",  # the membership says what it may do
                lifetime=lifetime,
                workspace=workspace,
                label=label,
            )
            details = {"service": name, "days": str(lifetime.days), "label": label}
            self._audit.record(session, by, "token.create", made[1].id, workspace=workspace, details=details)
        return made

    def service(self, workspace: str, name: str) -> str:
        """Return the principal of a service; raises `NotFoundError`."""
        with self._database.reading() as session:
            return self._service(session, workspace, name).name

    def _service(self, session: Session, workspace: str, name: str) -> PrincipalRow:
        row = session.get(PrincipalRow, service_name(name, workspace))
        if row is None or row.disabled_at is not None:
            raise NotFoundError("no such service in this workspace", where=name)
        return row


def _set(session: Session, workspace: str, principal: str, role: WorkspaceRole) -> MembershipRow:
    row = session.get(MembershipRow, (workspace, principal))
    if row is None:
        row = MembershipRow(workspace=workspace, principal=principal, role=role, created_at=datetime.now(UTC))
        session.add(row)
    row.role = role
    session.flush()
    return row


def _require_an_owner(session: Session, workspace: str, *, lost: str) -> None:
    query = (
        select(MembershipRow.principal)
        .join(PrincipalRow, PrincipalRow.name == MembershipRow.principal)
        .where(MembershipRow.workspace == workspace, MembershipRow.role == "Owner")
        .where(PrincipalRow.kind == "person", PrincipalRow.disabled_at.is_(None))
    )
    if session.scalars(query.limit(1)).first() is None:
        raise ConflictError(
            "the workspace would have no Owner any more",
            where=lost,
            fix="Make another member its Owner first.",
        )
