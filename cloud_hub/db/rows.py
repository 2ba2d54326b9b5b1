"""Whose database it is."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class HubRow(Base):
    """The hub that the database belongs to, by its CA's fingerprint; there is one row."""

    __tablename__ = "hub"

    ca_sha256: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]
