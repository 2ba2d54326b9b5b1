"""Datastores; every workspace gets one in the hub's own store.

Revision ID: 0060
Revises: 0031
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0060"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and the default of each workspace."""
    datastores = op.create_table(
        "datastores",
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UtcTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_datastores_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace", "name", name=op.f("pk_datastores")),
    )
    workspaces = sa.table("workspaces", sa.column("name", sa.String()))
    for (name,) in op.get_bind().execute(sa.select(workspaces.c.name)).all():
        op.get_bind().execute(
            datastores.insert().values(
                workspace=name,
                name="default",
                url="hub:",
                is_default=True,
                created_by="headland",
                created_at=datetime.now(UTC),
            )
        )
