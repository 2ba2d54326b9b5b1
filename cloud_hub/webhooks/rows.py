"""Rows of webhooks and of what is to be delivered."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class WebhookRow(Base):
    """An address and which events it is told.

    ``sequence`` numbers its deliveries; raising it locks the row, so the order is that of commits.
    ``due_at`` is when the next attempt is to be made, None where nothing waits. ``holder`` delivers until
    ``lease_until``; ``fence`` goes up with each that takes it up. ``state`` is active or gone (410).
    """

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), index=True)
    url: Mapped[str]
    events: Mapped[list[Any]]
    sealed_secret: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str]
    sequence: Mapped[int]
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class DeliveryRow(Base):
    """One event for one webhook; ``body`` is what is sent, byte for byte; ``attempts`` were made.

    ``state`` is waiting, delivered or given-up; ``status`` the last answer's, ``reason`` why the last
    attempt was none.
    """

    __tablename__ = "webhook_deliveries"

    webhook: Mapped[str] = mapped_column(ForeignKey("webhooks.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    event: Mapped[str]
    body: Mapped[str]
    state: Mapped[str] = mapped_column(index=True)
    attempts: Mapped[int]
    status: Mapped[int | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    next_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
