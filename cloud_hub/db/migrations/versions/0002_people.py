"""People, memberships, and tokens that can be listed and revoked.

Revision ID: 0002
Revises: 0001
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Every name that has a token becomes a person with the roles of their tokens."""
    principals = op.create_table(
        "principals",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(timezone=True), nullable=False),
        sa.Column("disabled_at", UtcTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_principals")),
    )
    memberships = op.create_table(
        "memberships",
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["principal"], ["principals.name"], name=op.f("fk_memberships_principal_principals")),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_memberships_workspace_workspaces")),
        sa.PrimaryKeyConstraint("workspace", "principal", name=op.f("pk_memberships")),
    )
    op.create_table(
        "attempts",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("window_started_at", UtcTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_attempts")),
    )
    with op.batch_alter_table("tokens") as tokens:
        tokens.add_column(sa.Column("id", sa.String(), nullable=True))
        tokens.add_column(sa.Column("purpose", sa.String(), nullable=False, server_default="access"))
        tokens.add_column(sa.Column("label", sa.String(), nullable=False, server_default=""))
        tokens.add_column(sa.Column("last_used_at", UtcTime(timezone=True), nullable=True))
        tokens.add_column(sa.Column("revoked_at", UtcTime(timezone=True), nullable=True))
    _people_of_tokens(op.get_bind(), principals, memberships)
    with op.batch_alter_table("tokens") as tokens:
        tokens.alter_column("id", existing_type=sa.String(), nullable=False)
        tokens.alter_column("purpose", existing_type=sa.String(), server_default=None)
        tokens.alter_column("label", existing_type=sa.String(), server_default=None)
        tokens.create_unique_constraint(op.f("uq_tokens_id"), ["id"])
        tokens.create_index(op.f("ix_tokens_principal"), ["principal"])
        tokens.create_foreign_key(op.f("fk_tokens_principal_principals"), "principals", ["principal"], ["name"])


def _people_of_tokens(connection: sa.Connection, principals: sa.Table, memberships: sa.Table) -> None:
    names = ("secret_sha256", "id", "principal", "role", "workspace")
    tokens = sa.table("tokens", *(sa.column(name, sa.String()) for name in names))
    now = datetime.now(UTC)
    rank = ("Reader", "Contributor", "Owner", "Admin")
    admins: dict[str, bool] = {}
    roles: dict[tuple[str, str], str] = {}
    for row in connection.execute(sa.select(tokens)).mappings().all():
        admins[row["principal"]] = admins.get(row["principal"], False) or row["role"] == "Admin"
        if row["workspace"] is not None:
            key = (row["workspace"], row["principal"])
            roles[key] = max(roles.get(key, "Reader"), row["role"], key=rank.index)
        # Part of a hash of 256 random bits: it names the token and opens nothing.
        connection.execute(
            tokens.update()
            .where(tokens.c.secret_sha256 == row["secret_sha256"])
            .values(id=row["secret_sha256"][:12])
        )
    for name, admin in admins.items():
        connection.execute(
            principals.insert().values(
                name=name, kind="person", admin=admin, created_by=name, created_at=now
            )
        )
    for (workspace, principal), role in roles.items():
        connection.execute(
            memberships.insert().values(
                workspace=workspace, principal=principal, role=role, created_at=now
            )
        )
