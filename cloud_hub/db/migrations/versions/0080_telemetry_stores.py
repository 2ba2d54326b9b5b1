"""Telemetry files in a workspace's datastore: which one is used, and where each file is.

Revision ID: 0080
Revises: 0070
"""

import sqlalchemy as sa
from alembic import op

revision = "0080"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All files stay in the hub's own store, and new ones go there."""
    with op.batch_alter_table("datastores") as datastores:
        datastores.add_column(
            sa.Column("is_telemetry", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    with op.batch_alter_table("datastores") as datastores:
        datastores.alter_column("is_telemetry", existing_type=sa.Boolean(), server_default=None)
    with op.batch_alter_table("telemetry_files") as files:
        files.add_column(sa.Column("datastore", sa.String(), nullable=True))
        files.create_foreign_key(
            op.f("fk_telemetry_files_workspace_datastores"),
            "datastores",
            ["workspace", "datastore"],
            ["workspace", "name"],
        )
