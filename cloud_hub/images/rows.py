"""Rows of images, and of layers that need not be built again."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class ImageRow(Base):
    """One version of an image; ``digest`` is its index's; ``layers`` lists title, digest and size.

    ``activity`` built it: a build that is done again after a cut leads to the same row.
    """

    __tablename__ = "images"
    __table_args__ = (UniqueConstraint("workspace", "name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    version: Mapped[int]
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    layers: Mapped[list[Any]]
    model: Mapped[int] = mapped_column(ForeignKey("models.id"))
    activity: Mapped[str | None] = mapped_column(unique=True)
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class LayerRow(Base):
    """A layer by the digest of what it was built from."""

    __tablename__ = "layers"

    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    diff_id: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    title: Mapped[str]
