"""External registries as image stores, and what bases were found to be.

Revision ID: 0120
Revises: 0110
"""

import sqlalchemy as sa
from alembic import op

from cloud_hub.db.base import UtcTime

revision = "0120"
down_revision = "0110"
branch_labels = None
depends_on = None

TIME = UtcTime(timezone=True)
TEXT = sa.String()


def upgrade() -> None:
    """Make the tables, and the place of a link."""
    op.add_column("blob_links", sa.Column("place", TEXT, nullable=True))
    op.create_table(
        "image_stores",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("host", TEXT, nullable=False),
        sa.Column("path", TEXT, nullable=False),
        sa.Column("secret", TEXT, nullable=True),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("problem_code", TEXT, nullable=True),
        sa.Column("problem_what", TEXT, nullable=True),
        sa.Column("problem_since", TIME, nullable=True),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_image_stores_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_stores")),
        sa.UniqueConstraint("workspace", "host", "path", name=op.f("uq_image_stores_workspace")),
    )
    op.create_table(
        "image_store_references",
        sa.Column("repository", TEXT, nullable=False),
        sa.Column("reference", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("place", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("repository", "reference", name=op.f("pk_image_store_references")),
    )
    op.create_table(
        "base_findings",
        sa.Column("workspace", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("found", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.name"], name=op.f("fk_base_findings_workspace_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace", "key", name=op.f("pk_base_findings")),
    )
