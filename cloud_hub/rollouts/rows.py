"""Rows of rollouts and of desired documents."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class RolloutRow(Base):
    """A rollout as applied; applying the same name again makes the next revision."""

    __tablename__ = "rollouts"
    __table_args__ = (UniqueConstraint("workspace", "name", "revision"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    revision: Mapped[int]
    manifest: Mapped[str]
    images: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class DesiredRow(Base):
    """The desired document of a device in one generation, signed."""

    __tablename__ = "desired"

    device: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rollout: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), index=True)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
