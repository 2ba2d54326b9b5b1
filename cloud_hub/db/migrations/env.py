"""Alembic's environment: online only, on the database that the hub names."""

from alembic import context
from sqlalchemy import create_engine

from cloud_hub.db.schema import METADATA

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
