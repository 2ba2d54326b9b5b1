"""secrets and their versions"""

import sqlalchemy as sa
from alembic import op

import cloud_hub.db.base

revision = '0030'
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'secrets',
        sa.Column('workspace', sa.String(), nullable=False),
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('newest', sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ['workspace'], ['workspaces.name'], name=op.f('fk_secrets_workspace_workspaces')
        ),
        sa.PrimaryKeyConstraint('workspace', 'name', name=op.f('pk_secrets')),
    )
    op.create_table(
        'secret_versions',
        sa.Column('workspace', sa.String(), nullable=False),
        sa.Column('name', sa.String(), nullable=False),
        sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('key_id', sa.String(), nullable=True),
        sa.Column('wrapped_key', sa.LargeBinary(), nullable=True),
        sa.Column('sealed', sa.LargeBinary(), nullable=True),
        sa.Column('created_by', sa.String(), nullable=False),
        sa.Column('created_at', cloud_hub.db.base.UtcTime(timezone=True), nullable=False),
        sa.Column('destroyed_by', sa.String(), nullable=True),
        sa.Column('destroyed_at', cloud_hub.db.base.UtcTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ['workspace', 'name'],
            ['secrets.workspace', 'secrets.name'],
            name=op.f('fk_secret_versions_workspace_secrets'),
        ),
        sa.PrimaryKeyConstraint('workspace', 'name', 'version', name=op.f('pk_secret_versions')),
    )
    with op.batch_alter_table('secret_versions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_secret_versions_key_id'), ['key_id'], unique=False)


def downgrade() -> None:
    op.drop_table('secret_versions')
    op.drop_table('secrets')
