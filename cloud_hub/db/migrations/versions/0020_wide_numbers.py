"""wide numbers: ids of what grows without end have 64 bits, and those of batches never come again

SQLite's whole numbers have 64 bits anyway; there only `telemetry_pending` is made anew, with AUTOINCREMENT.
"""

import sqlalchemy as sa
from alembic import op

import cloud_hub.db.base

revision = '0020'
down_revision = '0002'
branch_labels = None
depends_on = None

WIDE_IDS = ('metrics', 'pulls', 'telemetry_pending', 'telemetry_rejects')


def upgrade() -> None:
    op.create_table('hub',
    sa.Column('ca_sha256', sa.String(), nullable=False),
    sa.Column('created_at', cloud_hub.db.base.UtcTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('ca_sha256', name=op.f('pk_hub'))
    )
    if op.get_bind().dialect.name == 'sqlite':
        with op.batch_alter_table(
            'telemetry_pending', recreate='always', table_kwargs={'sqlite_autoincrement': True}
        ):
            pass
        return
    for table in WIDE_IDS:
        op.alter_column(table, 'id', type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)
        op.execute(f'ALTER SEQUENCE {table}_id_seq AS BIGINT')
    op.alter_column(
        'metrics', 'step', type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False
    )
