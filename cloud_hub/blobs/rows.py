"""Rows that say which bytes there are, who may see them, and what is on its way in."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class BlobRow(Base):
    """Bytes in the object store; ``unlinked_at`` is since when nobody links them (None: somebody does).

    Whoever links or deletes bytes holds this row's lock while they do.
    """

    __tablename__ = "blobs"

    digest: Mapped[str] = mapped_column(primary_key=True)
    unlinked_at: Mapped[datetime | None] = mapped_column(index=True)


class BlobLinkRow(Base):
    """A blob belongs to a repository (``ws/image``) or to one of the owners in `cloud_hub.blobs.owners`.

    Bytes are stored once however many links there are; without a link they cannot be read. With a
    ``place`` they are in another registry (`cloud_hub.image_stores`), and this link keeps none here.
    """

    __tablename__ = "blob_links"
    __table_args__ = (Index("ix_blob_links_digest", "digest"),)

    owner: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    place: Mapped[str | None] = mapped_column(default=None)
    created_at: Mapped[datetime]


class UploadRow(Base):
    """An upload that is not finished: ``offset_bytes`` of the file are durable in its part file.

    ``verified_at``: all bytes are there and have the digest; what is left is to move and link them.
    """

    __tablename__ = "uploads"
    __table_args__ = (UniqueConstraint("workspace", "principal", "digest"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    principal: Mapped[str]
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    offset_bytes: Mapped[int] = mapped_column(BigInteger)
    verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime] = mapped_column(index=True)
