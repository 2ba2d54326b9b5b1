"""Rows of the registry: manifests, what they name, tags, uploads under way, and what each device pulled."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base, Wide


class ManifestRow(Base):
    """An image manifest or index of a repository; its bytes are a blob that the repository links.

    ``subject`` is what it refers to (a referrer), which need not be there. ``read`` is whether
    `ReachRow` has what it names: manifests of a database before 0100 are read when that is first needed.
    """

    __tablename__ = "registry_manifests"
    __table_args__ = (Index("ix_registry_manifests_subject", "repository", "subject"),)

    repository: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    media_type: Mapped[str]
    artifact_type: Mapped[str | None]
    subject: Mapped[str | None]
    annotations: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    read: Mapped[bool]
    created_at: Mapped[datetime]


class ReachRow(Base):
    """A manifest names a blob or another manifest, so that one stays."""

    __tablename__ = "registry_reaches"
    __table_args__ = (Index("ix_registry_reaches_target", "repository", "target"),)

    repository: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    target: Mapped[str] = mapped_column(primary_key=True)


class TagRow(Base):
    """A tag of a repository, and the manifest that it stands for now."""

    __tablename__ = "registry_tags"
    __table_args__ = (Index("ix_registry_tags_digest", "repository", "digest"),)

    repository: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    updated_at: Mapped[datetime]


class PushRow(Base):
    """An upload session: ``offset_bytes`` of a blob are durable in its part; its digest comes at the end.

    ``verified`` is that digest once all bytes are there and have it: what is left is to move and link them.
    """

    __tablename__ = "registry_uploads"

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    repository: Mapped[str] = mapped_column(index=True)
    principal: Mapped[str]
    offset_bytes: Mapped[int] = mapped_column(BigInteger)
    verified: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(index=True)


class UnreachedRow(Base):
    """A blob of a repository that no manifest names, and since when nobody asked for it either."""

    __tablename__ = "registry_unreached"

    repository: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(index=True)


class PullRow(Base):
    """One answer to a device: how many bytes of which blob left the hub."""

    __tablename__ = "pulls"

    id: Mapped[int] = mapped_column(Wide, primary_key=True, autoincrement=True)
    device: Mapped[str] = mapped_column(index=True)
    repository: Mapped[str]
    digest: Mapped[str]
    sent_bytes: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime]
