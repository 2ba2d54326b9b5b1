"""Rows of access tokens. A token's secret is never stored, only its SHA-256."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class TokenRow(Base):
    """A token: whose it is, its role, and the workspace it is for (none: the whole hub)."""

    __tablename__ = "tokens"

    secret_sha256: Mapped[str] = mapped_column(primary_key=True)
    principal: Mapped[str]
    role: Mapped[str]
    workspace: Mapped[str | None] = mapped_column(ForeignKey("workspaces.name"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
