"""Rollouts in waves: where each stands, its devices, and what became of it.

What was rolled out before was given at once: it is done, and nothing says what its devices had before it.

Revision ID: 0140
Revises: 0130
"""

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0140"
down_revision = "0130"
branch_labels = None
depends_on = None

TIME = UtcTime(timezone=True)
TEXT = sa.String()


def upgrade() -> None:
    """Add where rollouts stand, and the tables of their devices and events."""
    with op.batch_alter_table("rollouts") as rollouts:
        rollouts.add_column(sa.Column("content", sa.LargeBinary(), nullable=True))
        rollouts.add_column(sa.Column("rules", sa.JSON(), nullable=True))
        rollouts.add_column(sa.Column("state", TEXT, nullable=False, server_default="done"))
        rollouts.add_column(sa.Column("wave", sa.Integer(), nullable=False, server_default="0"))
        rollouts.add_column(sa.Column("settled_at", TIME, nullable=True))
        rollouts.add_column(sa.Column("approved", sa.Integer(), nullable=False, server_default="-1"))
        rollouts.add_column(sa.Column("reason", TEXT, nullable=False, server_default=""))
    with op.batch_alter_table("rollouts") as rollouts:
        for column in ("state", "wave", "approved", "reason"):
            rollouts.alter_column(column, server_default=None)
        rollouts.create_index(op.f("ix_rollouts_state"), ["state"])
    op.create_table(
        "rollout_devices",
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("device", TEXT, nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("phase", TEXT, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=True),
        sa.Column("before", sa.Integer(), nullable=True),
        sa.Column("moved_at", TIME, nullable=True),
        sa.Column("ran_at", TIME, nullable=True),
        sa.Column("unsettled_at", TIME, nullable=True),
        sa.Column("excused", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name=op.f("fk_rollout_devices_rollout_rollouts")),
        sa.ForeignKeyConstraint(["device"], ["devices.id"], name=op.f("fk_rollout_devices_device_devices")),
        sa.PrimaryKeyConstraint("rollout", "device", name=op.f("pk_rollout_devices")),
    )
    op.create_index(op.f("ix_rollout_devices_device"), "rollout_devices", ["device"])
    op.create_table(
        "rollout_events",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("rollout", sa.Integer(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("by", TEXT, nullable=True),
        sa.Column("words", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name=op.f("fk_rollout_events_rollout_rollouts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_events")),
    )
    op.create_index(op.f("ix_rollout_events_rollout"), "rollout_events", ["rollout"])
    op.execute(
        "INSERT INTO rollout_devices (rollout, device, wave, place, phase, generation, moved_at, excused)"
        " SELECT rollout, device, 0, 0, 'moved', max(generation), max(created_at), false"
        " FROM desired GROUP BY rollout, device"
    )
