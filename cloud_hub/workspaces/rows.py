"""Rows of workspaces."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class WorkspaceRow(Base):
    """A workspace; its name is unique in the hub."""

    __tablename__ = "workspaces"

    name: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
