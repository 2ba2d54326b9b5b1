"""Rows of rollouts and of desired documents."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class RolloutRow(Base):
    """A rollout as applied; applying the same name again makes the next revision.

    ``content`` is what it gives (`documents.Content`), ``rules`` how it goes over its devices
    (`waves.Rules`), ``state`` to ``reason`` where it stands (`waves.Standing`). One that was applied before
    there were waves has neither content nor rules.
    """

    __tablename__ = "rollouts"
    __table_args__ = (UniqueConstraint("workspace", "name", "revision"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    revision: Mapped[int]
    manifest: Mapped[str]
    images: Mapped[dict[str, Any]]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    rules: Mapped[dict[str, Any] | None]
    state: Mapped[str] = mapped_column(index=True)
    wave: Mapped[int]
    settled_at: Mapped[datetime | None]
    approved: Mapped[int]
    passed: Mapped[int] = mapped_column(default=-1)
    reason: Mapped[str]


class RolloutDeviceRow(Base):
    """A device of a rollout (`waves.Member`): the generation that it was given, and the one that it had."""

    __tablename__ = "rollout_devices"

    rollout: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True, index=True)
    wave: Mapped[int]
    place: Mapped[int]
    phase: Mapped[str]
    generation: Mapped[int | None]
    before: Mapped[int | None]
    moved_at: Mapped[datetime | None]
    ran_at: Mapped[datetime | None]
    unsettled_at: Mapped[datetime | None]
    excused: Mapped[bool]


class RolloutEventRow(Base):
    """Something that became of a rollout, and who did it where it was a person."""

    __tablename__ = "rollout_events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    rollout: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), index=True)
    at: Mapped[datetime]
    state: Mapped[str]
    wave: Mapped[int]
    by: Mapped[str | None]
    words: Mapped[str]


class DesiredRow(Base):
    """The desired document of a device in one generation, signed at ``created_at``, the last time."""

    __tablename__ = "desired"

    device: Mapped[str] = mapped_column(ForeignKey("devices.id"), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    rollout: Mapped[int] = mapped_column(ForeignKey("rollouts.id"), index=True)
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
