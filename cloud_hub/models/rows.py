"""Rows of models."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class ModelRow(Base):
    """One version of a model; ``signature`` holds inputs and outputs as read from the file."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("workspace", "name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    version: Mapped[int]
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    framework: Mapped[str]
    signature: Mapped[dict[str, Any]]
    tags: Mapped[dict[str, Any]]
    run: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    created_by: Mapped[str]
    created_at: Mapped[datetime]
