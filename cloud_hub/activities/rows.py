"""Rows of activities and of their logs."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base

ENDED = ("completed", "failed", "cancelled")
STATES = ("queued", "running", *ENDED)


class ActivityRow(Base):
    """A long operation: of ``kind``, done by that kind's handler with ``parameters``.

    ``attempt`` counts how often it was taken up and fences writes: only the newest attempt counts.
    ``released`` are those of them that ended because a hub was stopped in good order. ``holder`` works
    on it until ``lease_until``. ``lines`` and ``log_bytes`` are what its log holds, ``progress`` goes
    from 0 to 1.
    """

    __tablename__ = "activities"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), index=True)
    kind: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(index=True)
    progress: Mapped[float]
    attempt: Mapped[int]
    released: Mapped[int]
    holder: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]
    lines: Mapped[int]
    log_bytes: Mapped[int]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ActivityLineRow(Base):
    """One line of an activity's log; ``number`` goes up from 1 without a gap."""

    __tablename__ = "activity_lines"

    activity: Mapped[str] = mapped_column(ForeignKey("activities.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    text: Mapped[str]
