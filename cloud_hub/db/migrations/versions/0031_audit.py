"""the audit log"""

import sqlalchemy as sa
from alembic import op

revision = '0031'
down_revision = '0030'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'audit_entries',
        sa.Column('workspace', sa.String(), nullable=False),
        sa.Column('sequence', sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column('at', sa.String(), nullable=False),
        sa.Column('principal', sa.String(), nullable=False),
        sa.Column('action', sa.String(), nullable=False),
        sa.Column('target', sa.String(), nullable=False),
        sa.Column('address', sa.String(), nullable=False),
        sa.Column('request_id', sa.String(), nullable=False),
        sa.Column('details', sa.String(), nullable=False),
        sa.Column('mac', sa.String(), nullable=False),
        sa.PrimaryKeyConstraint('workspace', 'sequence', name=op.f('pk_audit_entries')),
    )
    with op.batch_alter_table('audit_entries', schema=None) as batch_op:
        batch_op.create_index('ix_audit_entries_at', ['workspace', 'at'], unique=False)
        batch_op.create_index('ix_audit_entries_principal', ['workspace', 'principal'], unique=False)
    op.create_table(
        'audit_heads',
        sa.Column('workspace', sa.String(), nullable=False),
        sa.Column('count', sa.BigInteger(), nullable=False),
        sa.Column('last', sa.String(), nullable=False),
        sa.Column('mac', sa.String(), nullable=False),
        sa.PrimaryKeyConstraint('workspace', name=op.f('pk_audit_heads')),
    )


def downgrade() -> None:
    op.drop_table('audit_heads')
    op.drop_table('audit_entries')
