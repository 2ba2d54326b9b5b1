"""Waves that a person let go on, whatever their queries say.

Revision ID: 0155
Revises: 0150
"""

import sqlalchemy as sa
from alembic import op

revision = "0155"
down_revision = "0150"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """No rollout had queries."""
    with op.batch_alter_table("rollouts") as rollouts:
        rollouts.add_column(sa.Column("passed", sa.Integer(), nullable=False, server_default="-1"))
    with op.batch_alter_table("rollouts") as rollouts:
        rollouts.alter_column("passed", server_default=None)
