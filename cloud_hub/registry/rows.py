"""Rows of the registry: what each device pulled."""

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base, Wide


class PullRow(Base):
    """One answer to a device: how many bytes of which blob left the hub."""

    __tablename__ = "pulls"

    id: Mapped[int] = mapped_column(Wide, primary_key=True, autoincrement=True)
    device: Mapped[str] = mapped_column(index=True)
    repository: Mapped[str]
    digest: Mapped[str]
    sent_bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
