"""Rows: SQLAlchemy 2 on SQLite (WAL, synchronous=FULL) or PostgreSQL, migrated by Alembic.

On both, writers take turns for the length of a transaction, and readers see one snapshot and wait for nobody.
"""
