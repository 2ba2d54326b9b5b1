"""Rows of devices, their invitations, claims, and who waits by a claim."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class DeviceRow(Base):
    """A device: its certificate's serial and end, and what it last said (`contract.messages`).

    ``next_serial`` and ``next_not_after`` are of the certificate that it was given for that one, and has not
    yet used. ``tags`` are its owners' words for it, texts by name. ``registered_key`` is the SHA-256 of
    the one public key that may get the device's first certificate by a claim.
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
    registered_key: Mapped[str | None]


class InvitationRow(Base):
    """A one-time token: only its SHA-256, when it was used, and whether it may replace an identity."""

    __tablename__ = "invitations"

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    replaces: Mapped[bool]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class ClaimRow(Base):
    """What many devices may ask by: only the SHA-256 of its token, and the tags that it gives.

    ``most`` bounds how many devices wait by it or were accepted.
    """

    __tablename__ = "claims"
    __table_args__ = (UniqueConstraint("workspace", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    token_sha256: Mapped[str]
    tags: Mapped[dict[str, Any]]
    most: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class PendingRow(Base):
    """A key that asked for a device's name by a claim; ``state`` is waiting, accepted or rejected."""

    __tablename__ = "pending_devices"
    __table_args__ = (UniqueConstraint("workspace", "device", "key_sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    claim: Mapped[str] = mapped_column(ForeignKey("claims.id"), index=True)
    device: Mapped[str]
    key_sha256: Mapped[str]
    state: Mapped[str]
    address: Mapped[str]
    asked_at: Mapped[datetime]
