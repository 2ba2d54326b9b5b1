"""Tokens: made once, shown once, kept as SHA-256. A secret has 256 random bits, so no slow hash."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

from sqlalchemy import ColumnElement, Row, Select, select, update
from sqlalchemy.orm import Session

from cloud_hub.access.limits import AttemptLimits
from cloud_hub.access.roles import RANK, Caller, Role, least
from cloud_hub.access.rows import MembershipRow, PrincipalRow, TokenRow
from cloud_hub.audit.actor import Actor
from cloud_hub.audit.service import Audit
from cloud_hub.db.engine import Database
from cloud_hub.errors import (
    ForbiddenError,
    NotFoundError,
    TokenExpiredError,
    TokenUnknownError,
    TokenUsedError,
    UnauthenticatedError,
)
from cloud_hub.workspaces.rows import WorkspaceRow

Purpose = Literal["access", "session", "invitation"]

TOKEN_PREFIX = "hlp_"  # noqa: S105  only the prefix, by which a leaked token is recognised
SESSION = timedelta(hours=12)
INVITATION = timedelta(hours=72)
NOTED_EVERY = timedelta(minutes=10)  # a use is a write: not for every request
INVITE_AGAIN = "Ask the hub's administrator for a new invitation (`headland user invite`)."


class Tokens:
    """Makes tokens, tells whose they are, takes them back."""

    def __init__(self, database: Database, limits: AttemptLimits, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._limits = limits

    def create_for(
        self,
        caller: Caller,
        *,
        role: Role | None,
        workspace: str | None,
        lifetime: timedelta,
        label: str,
        by: Actor,
    ) -> tuple[str, TokenRow]:
        """Make the caller a token of their own that may do no more than the one they show."""
        role = role or least(caller.cap, "Owner")
        workspace = workspace or caller.only
        if RANK[role] > RANK[caller.cap] or (role == "Admin" and not caller.administers):
            raise ForbiddenError("a token cannot make one that may do more than itself", where=f"role {role}")
        if caller.only not in {None, workspace}:
            raise ForbiddenError("this token is for one workspace", where=caller.only or "")
        if workspace is not None and caller.role_in(workspace) is None:
            raise NotFoundError("no such workspace", where=workspace)
        with self._database.transaction() as session:
            # An administrator may be in any workspace, also in one that is not there.
            if workspace is not None and session.get(WorkspaceRow, workspace) is None:
                raise NotFoundError("no such workspace", where=workspace)
            made = make_token(
                session,
                caller.principal,
                "access",
                role=role,
                lifetime=lifetime,
                workspace=workspace,
                label=label,
            )
            details = {"role": role, "days": str(lifetime.days), "label": label}
            self._audit.record(
                session, by, "token.create", made[1].id, workspace=workspace or "", details=details
            )
        return made

    def authenticate(self, secret: str, address: str) -> Caller:
        """Return whose token it is; raises `UnauthenticatedError`, `TooManyAttemptsError`."""
        now = datetime.now(UTC)
        with self._database.reading() as session:
            found = session.execute(_whose(TokenRow.secret_sha256 == secret_digest(secret))).all()
        row, principal = (found[0][0], found[0][1]) if found else (None, None)
        if row is None or principal is None or not _valid(row, principal, now):
            self._limits.failed(("token", address))
            raise UnauthenticatedError(
                "the token is not known or its time is over",
                fix="Log in again (`headland login`), or ask an Owner for a new token.",
            )
        if row.last_used_at is None or row.last_used_at + NOTED_EVERY <= now:
            self._note_use(row.secret_sha256, now)
        return _caller(row, principal, _roles_of(found))

    def caller_by(self, token: str) -> Caller:
        """Return whose token has the id ``token``, as they are now; raises `UnauthenticatedError`.

        For what was signed when the token itself was shown.
        """
        with self._database.reading() as session:
            found = session.execute(_whose(TokenRow.id == token)).all()
        if not found or not _valid(found[0][0], found[0][1], datetime.now(UTC)):
            raise UnauthenticatedError("the token was taken back or its time is over", fix="Log in again.")
        return _caller(found[0][0], found[0][1], _roles_of(found))

    def _note_use(self, digest: str, now: datetime) -> None:
        with self._database.transaction() as session:
            session.execute(update(TokenRow).where(TokenRow.secret_sha256 == digest).values(last_used_at=now))

    def redeem(self, session: Session, secret: str) -> TokenRow:
        """Use up an invitation; exactly one of many at once succeeds. Raises `CredentialError`s."""
        now = datetime.now(UTC)
        digest = secret_digest(secret)
        row = session.get(TokenRow, digest)
        if row is None or row.purpose != "invitation":
            raise TokenUnknownError("this hub never made that invitation", fix=INVITE_AGAIN)
        if row.expires_at is not None and row.expires_at <= now:
            raise TokenExpiredError("the invitation's time is over", fix=INVITE_AGAIN)
        used = session.execute(
            update(TokenRow)
            .where(TokenRow.secret_sha256 == digest, TokenRow.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(TokenRow.id)
        ).scalar()
        if used is None:
            raise TokenUsedError("the invitation was used before; it works once", fix=INVITE_AGAIN)
        return row

    def of(self, principal: str) -> list[TokenRow]:
        """Return a principal's tokens that are not revoked, newest first."""
        query = select(TokenRow).where(TokenRow.principal == principal, TokenRow.revoked_at.is_(None))
        with self._database.reading() as session:
            return list(session.scalars(query.order_by(TokenRow.created_at.desc())).all())

    def revoke(self, principal: str, token: str, by: Actor) -> None:
        """Take a principal's token back; it is refused from the next request on."""
        with self._database.transaction() as session:
            row = session.scalars(
                select(TokenRow).where(TokenRow.principal == principal, TokenRow.id == token)
            ).first()
            if row is None:
                raise NotFoundError("no such token", where=token, fix="`headland token list` shows them.")
            row.revoked_at = row.revoked_at or datetime.now(UTC)
            self._audit.record(session, by, "token.revoke", token, workspace=row.workspace or "")


def make_token(
    session: Session,
    principal: str,
    purpose: Purpose,
    *,
    role: Role,
    lifetime: timedelta | None,
    workspace: str | None = None,
    label: str = "",
) -> tuple[str, TokenRow]:
    """Add a token; return its secret, which is not kept, and its row."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    row = TokenRow(
        secret_sha256=secret_digest(secret),
        id=secrets.token_hex(6),
        purpose=purpose,
        label=label,
        principal=principal,
        role=role,
        workspace=workspace,
        created_at=now,
        expires_at=now + lifetime if lifetime else None,
        last_used_at=None,
        revoked_at=None,
    )
    session.add(row)
    return secret, row


def revoke_all(session: Session, principal: str) -> None:
    """Take every token of a principal back."""
    session.execute(
        update(TokenRow)
        .where(TokenRow.principal == principal, TokenRow.revoked_at.is_(None))
        .values(revoked_at=datetime.now(UTC))
    )


def secret_digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _valid(row: TokenRow, principal: PrincipalRow, now: datetime) -> bool:
    in_time = row.expires_at is None or row.expires_at > now
    usable = row.purpose != "invitation" and row.revoked_at is None
    return usable and in_time and principal.disabled_at is None


def _whose(which: ColumnElement[bool]) -> Select[TokenRow, PrincipalRow, MembershipRow | None]:
    """Return one query, as every request asks it: a token, its principal, each of their memberships."""
    return (
        select(TokenRow, PrincipalRow, MembershipRow)
        .join(PrincipalRow, PrincipalRow.name == TokenRow.principal)
        .outerjoin(MembershipRow, MembershipRow.principal == PrincipalRow.name)
        .where(which)
    )


def _roles_of(found: Sequence[Row[TokenRow, PrincipalRow, MembershipRow | None]]) -> dict[str, Role]:
    return {one.workspace: cast(Role, one.role) for _, _, one in found if one is not None}


def _caller(row: TokenRow, principal: PrincipalRow, memberships: Mapping[str, Role]) -> Caller:
    return Caller(
        principal=principal.name,
        token=row.id,
        cap=cast(Role, row.role),
        only=row.workspace,
        admin=principal.admin,
        memberships=memberships,
    )
