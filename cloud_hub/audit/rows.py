"""Rows of the audit log.

Every column that the MAC covers holds the very text that it covers: no conversion stands between what is
stored and what is checked. ``at`` is UTC with microseconds, always as wide, so it sorts as text.
"""

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class AuditRow(Base):
    """One change. No foreign key: the log of a workspace outlives it; "" is the hub's own chain."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_at", "workspace", "at"),
        Index("ix_audit_entries_principal", "workspace", "principal"),
    )

    workspace: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[str]
    principal: Mapped[str]
    action: Mapped[str]
    target: Mapped[str]
    address: Mapped[str]
    request_id: Mapped[str]
    details: Mapped[str]
    mac: Mapped[str]


class AuditHeadRow(Base):
    """Where a chain ends: how many rows, the last one's MAC, and a MAC over both."""

    __tablename__ = "audit_heads"

    workspace: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[str]
    mac: Mapped[str]
