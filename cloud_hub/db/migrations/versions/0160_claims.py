"""Claims, the devices that wait by them, and keys that were registered.

Revision ID: 0160
Revises: 0155
"""

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0160"
down_revision = "0155"
branch_labels = None
depends_on = None

TIME = UtcTime(timezone=True)
TEXT = sa.String()


def upgrade() -> None:
    """There is no claim yet, and no device has a registered key."""
    op.add_column("devices", sa.Column("registered_key", TEXT, nullable=True))
    op.create_table(
        "claims",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_claims_workspace_workspaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claims")),
        sa.UniqueConstraint("workspace", "name", name=op.f("uq_claims_workspace")),
    )
    op.create_table(
        "pending_devices",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("claim", TEXT, nullable=False),
        sa.Column("device", TEXT, nullable=False),
        sa.Column("key_sha256", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["claim"], ["claims.id"], name=op.f("fk_pending_devices_claim_claims")),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_pending_devices_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_devices")),
        sa.UniqueConstraint("workspace", "device", "key_sha256", name=op.f("uq_pending_devices_workspace")),
    )
    op.create_index(op.f("ix_pending_devices_claim"), "pending_devices", ["claim"])
