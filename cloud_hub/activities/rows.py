"""Rows of activities."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class ActivityRow(Base):
    """A long operation; ``progress`` goes from 0 to 1, ``log`` holds its lines."""

    __tablename__ = "activities"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), index=True)
    kind: Mapped[str]
    state: Mapped[str]
    progress: Mapped[float]
    log: Mapped[list[Any]]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
