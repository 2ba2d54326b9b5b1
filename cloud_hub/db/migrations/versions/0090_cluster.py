"""Hub processes, the work that they share, and files that are being written.

Revision ID: 0090
Revises: 0080
"""

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0090"
down_revision = "0080"
branch_labels = None
depends_on = None

TIME = UtcTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hub_members",
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("life", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_hub_members")),
    )
    op.create_table(
        "hub_leases",
        sa.Column("work", sa.String(), nullable=False),
        sa.Column("life", sa.String(), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.PrimaryKeyConstraint("work", name=op.f("pk_hub_leases")),
    )
    op.create_table(
        "telemetry_intents",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_telemetry_intents")),
    )
