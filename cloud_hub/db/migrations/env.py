"""Alembic's environment: on the connection, and in the transaction, that `cloud_hub.db.migrate` gives."""

from alembic import context

from cloud_hub.db.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
