"""Rows of secrets. No value is here but sealed."""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class SecretRow(Base):
    """A secret's name and its newest version. The row outlives deletion: a number is never given twice."""

    __tablename__ = "secrets"

    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    newest: Mapped[int]


class SecretVersionRow(Base):
    """One version: its sealed value, or, once destroyed, who did that and when."""

    __tablename__ = "secret_versions"
    __table_args__ = (ForeignKeyConstraint(["workspace", "name"], ["secrets.workspace", "secrets.name"]),)

    workspace: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[str | None] = mapped_column(index=True)
    wrapped_key: Mapped[bytes | None]
    sealed: Mapped[bytes | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    destroyed_by: Mapped[str | None]
    destroyed_at: Mapped[datetime | None]
