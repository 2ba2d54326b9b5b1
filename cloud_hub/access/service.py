"""Tokens: made once, shown once, kept as SHA-256. A secret has 256 random bits, so no slow hash."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import cast

from cloud_hub.access.roles import Caller, Role
from cloud_hub.access.rows import TokenRow
from cloud_hub.db.engine import Database
from cloud_hub.errors import NotFoundError, UnauthenticatedError
from cloud_hub.workspaces.rows import WorkspaceRow

TOKEN_PREFIX = "hlp_"  # noqa: S105  only the prefix, by which a leaked token is recognised


class Access:
    """Makes tokens and tells whose they are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_token(
        self, principal: str, role: Role, workspace: str | None, lifetime: timedelta | None
    ) -> str:
        """Return a new token's secret, which is not kept."""
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            if workspace is not None and session.get(WorkspaceRow, workspace) is None:
                raise NotFoundError("no such workspace", where=workspace)
            session.add(
                TokenRow(
                    secret_sha256=secret_digest(secret),
                    principal=principal,
                    role=role,
                    workspace=workspace,
                    created_at=now,
                    expires_at=now + lifetime if lifetime else None,
                )
            )
        return secret

    def authenticate(self, secret: str) -> Caller:
        """Return whose token it is; raises `UnauthenticatedError`."""
        with self._database.reading() as session:
            row = session.get(TokenRow, secret_digest(secret))
        if row is None or (row.expires_at is not None and row.expires_at <= datetime.now(UTC)):
            raise UnauthenticatedError(
                "the token is not known or its time is over", fix="Ask an Owner for a new one."
            )
        return Caller(row.principal, cast(Role, row.role), row.workspace)


def secret_digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
