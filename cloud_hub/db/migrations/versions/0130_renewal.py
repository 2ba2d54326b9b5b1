"""The certificate that a device was given for the one it has, until it is used.

Revision ID: 0130
Revises: 0120
"""

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0130"
down_revision = "0120"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add its serial and its end."""
    op.add_column("devices", sa.Column("next_serial", sa.String(), nullable=True))
    op.add_column("devices", sa.Column("next_not_after", UtcTime(timezone=True), nullable=True))
