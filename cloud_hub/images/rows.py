"""Rows of images, and of layers that need not be built again."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cloud_hub.db.base import Base

ContentKind = Literal["platform", "digest", "layer", "package"]


class ImageNameRow(Base):
    """A name of images: the newest version ever registered, so that none is given twice.

    Whoever registers or deletes a version holds this row's lock while they do.
    """

    __tablename__ = "image_names"

    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    newest: Mapped[int]


class ImageTagRow(Base):
    """A tag of an image."""

    __tablename__ = "image_tags"
    __table_args__ = (Index("ix_image_tags_value", "key", "value"),)

    image: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class ImageModelRow(Base):
    """A model inside an image; without ``ondelete``: the database keeps a model that an image holds."""

    __tablename__ = "image_models"
    __table_args__ = (Index("ix_image_models_model", "model"),)

    image: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    model: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)


class ImageContentRow(Base):
    """What an image is found by: a platform, a digest of anything in it, a layer's title, a package.

    Digests are those of index, manifests, configurations, layers, and layers unpacked (diff ids). It
    repeats what ``platforms`` and the SBOM of the image say, for the index. A platform without a name is
    not known yet (`cloud_hub.images.earlier`). A package is ``name==version``.
    """

    __tablename__ = "image_contents"
    __table_args__ = (Index("ix_image_contents_value", "kind", "value"),)

    image: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[ContentKind] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)


class ImageRow(Base):
    """One version of an image; ``digest`` is its index's, or its manifest's where it has no index.

    ``platforms`` is what `cloud_hub.images.platforms.as_document` writes. ``size_bytes`` is all that a
    registry keeps for it, each blob once. ``activity`` built it: a build that is done again after a cut
    leads to the same row. Whoever deletes a version or rolls it out holds this row's lock while they do.
    """

    __tablename__ = "images"
    __table_args__ = (
        UniqueConstraint("workspace", "name", "version"),
        Index("ix_images_created", "workspace", "created_at", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    version: Mapped[int]
    description: Mapped[str] = mapped_column(default="")
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    platforms: Mapped[list[Any]]
    base: Mapped[str] = mapped_column(default="")
    compression: Mapped[str] = mapped_column(default="")
    kind: Mapped[str] = mapped_column(default="cpu")
    activity: Mapped[str | None] = mapped_column(unique=True)
    created_by: Mapped[str]
    created_at: Mapped[datetime]

    labels: Mapped[list[ImageTagRow]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True, order_by=ImageTagRow.key
    )
    inside: Mapped[list[ImageModelRow]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True, order_by=ImageModelRow.model
    )
    contents: Mapped[list[ImageContentRow]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True
    )

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags by key."""
        return {label.key: label.value for label in self.labels}


class LayerRow(Base):
    """A layer by the digest of what it was built from."""

    __tablename__ = "layers"

    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    diff_id: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    title: Mapped[str]
