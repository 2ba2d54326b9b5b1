"""Rows of the hub's processes, and of the work that they share."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class HubMemberRow(Base):
    """A hub process by the address at which the others reach it; ``life`` is new at each start."""

    __tablename__ = "hub_members"

    address: Mapped[str] = mapped_column(primary_key=True)
    life: Mapped[str]
    release: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class HubLeaseRow(Base):
    """Who does a share of the work, and until when unless they say so again."""

    __tablename__ = "hub_leases"

    work: Mapped[str] = mapped_column(primary_key=True)
    life: Mapped[str]
    until: Mapped[datetime]
