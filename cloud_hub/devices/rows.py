"""Rows of devices and their invitations."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class DeviceRow(Base):
    """A device: its certificate's serial and end, and what it last said (`contract.messages`).

    ``next_serial`` and ``next_not_after`` are of the certificate that it was given for that one, and has not
    yet used. ``tags`` are its owners' words for it, texts by name.
    """

    __tablename__ = "devices"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), index=True)
    created_at: Mapped[datetime]
    certificate_serial: Mapped[str | None]
    certificate_not_after: Mapped[datetime | None]
    next_serial: Mapped[str | None]
    next_not_after: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    hello: Mapped[dict[str, Any] | None]
    reported: Mapped[dict[str, Any] | None]
    tags: Mapped[dict[str, Any]] = mapped_column(default=dict)


class InvitationRow(Base):
    """A one-time token: only its SHA-256, when it was used, and whether it may replace an identity."""

    __tablename__ = "invitations"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    replaces: Mapped[bool]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
