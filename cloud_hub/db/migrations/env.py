"""Alembic's environment: online only, in the connection and transaction that the hub has opened."""

from alembic import context

from cloud_hub.db.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
