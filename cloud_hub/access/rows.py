"""Rows of who may do what. Secrets and passwords are never stored, only hashes of them."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class PrincipalRow(Base):
    """A person, or a service (``name@workspace``) that belongs to one workspace.

    ``password_hash`` is Argon2id in PHC form; without one nobody can log in by password.
    """

    __tablename__ = "principals"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    admin: Mapped[bool]
    password_hash: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class MembershipRow(Base):
    """What a principal is in a workspace."""

    __tablename__ = "memberships"

    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), primary_key=True)
    principal: Mapped[str] = mapped_column(ForeignKey("principals.name"), primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime]


class TokenRow(Base):
    """A token: whose it is, the most it may do, the workspace it is for (none: all of theirs).

    ``id`` names it in lists; ``purpose`` is ``access`` (made by hand), ``session`` (by password)
    or ``invitation`` (good for setting a password, once).
    """

    __tablename__ = "tokens"

    secret_sha256: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    purpose: Mapped[str]
    label: Mapped[str]
    principal: Mapped[str] = mapped_column(ForeignKey("principals.name"), index=True)
    role: Mapped[str]
    workspace: Mapped[str | None] = mapped_column(ForeignKey("workspaces.name"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AttemptRow(Base):
    """Failed credential checks of one key (a name or an address, hashed) in the running window."""

    __tablename__ = "attempts"

    key: Mapped[str] = mapped_column(primary_key=True)
    window_started_at: Mapped[datetime]
    failures: Mapped[int]
