"""Tags of devices.

Revision ID: 0150
Revises: 0140
"""

import sqlalchemy as sa
from alembic import op

revision = "0150"
down_revision = "0140"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No device has a tag yet."""
    with op.batch_alter_table("devices") as devices:
        devices.add_column(sa.Column("tags", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("devices") as devices:
        devices.alter_column("tags", server_default=None)
