"""Rows of what bases were found to be."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class BaseFindingRow(Base):
    """A base that a workspace fetched: its layers and its Python, as JSON.

    By workspace: who knows the digest of another's private base has not shown that they may read it.
    """

    __tablename__ = "base_findings"

    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    found: Mapped[str]
    created_at: Mapped[datetime]
