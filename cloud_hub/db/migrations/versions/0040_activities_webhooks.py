"""A durable queue of activities with logs of their own, and webhooks.

Revision ID: 0040
Revises: 0060
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0040"
down_revision = "0060"
branch_labels = None
depends_on = None

UTC_TIME = UtcTime(timezone=True)


def upgrade() -> None:
    """Logs move to their table; what had not ended was a closure of a process that is gone."""
    lines = op.create_table(
        "activity_lines",
        sa.Column("activity", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["activity"], ["activities.id"], name=op.f("fk_activity_lines_activity_activities")),
        sa.PrimaryKeyConstraint("activity", "number", name=op.f("pk_activity_lines")),
    )
    with op.batch_alter_table("activities") as activities:
        activities.add_column(sa.Column("parameters", sa.JSON(), nullable=False, server_default="{}"))
        for name in ("attempt", "released", "lines", "log_bytes"):
            activities.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        activities.add_column(sa.Column("holder", sa.String(), nullable=True))
        for name in ("lease_until", "cancel_requested_at", "started_at"):
            activities.add_column(sa.Column(name, UTC_TIME, nullable=True))
        activities.create_index(op.f("ix_activities_state"), ["state"])
    _move_logs(op.get_bind(), lines)
    with op.batch_alter_table("activities") as activities:
        activities.drop_column("log")
        activities.alter_column("parameters", existing_type=sa.JSON(), server_default=None)
        for name in ("attempt", "released", "lines", "log_bytes"):
            activities.alter_column(name, existing_type=sa.Integer(), server_default=None)
    with op.batch_alter_table("images") as images:
        images.add_column(sa.Column("activity", sa.String(), nullable=True))
        images.create_unique_constraint(op.f("uq_images_activity"), ["activity"])
    _webhooks()


def _move_logs(connection: sa.Connection, lines: sa.Table) -> None:
    activities = sa.table(
        "activities",
        sa.column("id", sa.String()),
        sa.column("state", sa.String()),
        sa.column("log", sa.JSON()),
        sa.column("lines", sa.Integer()),
        sa.column("log_bytes", sa.Integer()),
        sa.column("attempt", sa.Integer()),
        sa.column("error", sa.JSON()),
        sa.column("finished_at", UTC_TIME),
    )
    for row in connection.execute(sa.select(activities.c.id, activities.c.log)).mappings().all():
        kept = row["log"] or []
        for number, line in enumerate(kept, 1):
            connection.execute(
                lines.insert().values(
                    activity=row["id"], number=number, at=datetime.fromisoformat(line["at"]), text=line["text"]
                )
            )
        size = sum(len(line["text"].encode()) + 1 for line in kept)
        connection.execute(
            activities.update()
            .where(activities.c.id == row["id"])
            .values(lines=len(kept), log_bytes=size, attempt=1)
        )
    error = {"code": "interrupted", "detail": "the hub stopped while it ran", "fix": "Start it again."}
    connection.execute(
        activities.update()
        .where(activities.c.state.in_(["queued", "running"]))
        .values(state="failed", error=error, finished_at=datetime.now(UTC))
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("due_at", UTC_TIME, nullable=True),
        sa.Column("holder", sa.String(), nullable=True),
        sa.Column("lease_until", UTC_TIME, nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["workspace"], ["workspaces.name"], name=op.f("fk_webhooks_workspace_workspaces")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index(op.f("ix_webhooks_workspace"), "webhooks", ["workspace"])
    op.create_index(op.f("ix_webhooks_due_at"), "webhooks", ["due_at"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("webhook", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("next_at", UTC_TIME, nullable=True),
        sa.Column("finished_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(["webhook"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_webhooks")),
        sa.PrimaryKeyConstraint("webhook", "sequence", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index(op.f("ix_webhook_deliveries_state"), "webhook_deliveries", ["state"])
