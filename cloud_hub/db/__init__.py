"""Rows: SQLAlchemy 2 on SQLite (WAL, synchronous=FULL), migrated by Alembic."""
