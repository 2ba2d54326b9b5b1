"""Whether a file of a model is a pickle.

Revision ID: 0070
Revises: 0050
"""

import sqlalchemy as sa
from alembic import op

revision = "0070"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of models that were not looked into, the worse is taken to be so.

    Until now one ONNX file was looked at, but not what lay beside it, nor any file of another framework.
    """
    with op.batch_alter_table("models") as models:
        models.add_column(sa.Column("pickled", sa.Boolean(), nullable=False, server_default=sa.true()))
    models_then = sa.table(
        "models",
        sa.column("framework", sa.String()),
        sa.column("folder", sa.Boolean()),
        sa.column("pickled", sa.Boolean()),
    )
    looked_into = sa.and_(models_then.c.framework == "onnx", models_then.c.folder.is_(sa.false()))
    op.get_bind().execute(models_then.update().where(looked_into).values(pickled=False))
    with op.batch_alter_table("models") as models:
        models.alter_column("pickled", existing_type=sa.Boolean(), server_default=None)
