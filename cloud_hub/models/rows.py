"""Rows of models."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cloud_hub.db.base import Base

LabelKind = Literal["tag", "property"]


class ModelNameRow(Base):
    """A name of models: the newest version ever registered, so that none is given twice.

    Whoever registers a version holds this row's lock while they do.
    """

    __tablename__ = "model_names"

    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    newest: Mapped[int]


class ModelLabelRow(Base):
    """A tag, which may change, or a property, which never does."""

    __tablename__ = "model_labels"
    __table_args__ = (Index("ix_model_labels_value", "kind", "key", "value"),)

    model: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[LabelKind] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str]


class ModelFileRow(Base):
    """One file of a model: its path inside the model, and its bytes by digest."""

    __tablename__ = "model_files"
    __table_args__ = (Index("ix_model_files_digest", "digest"),)

    model: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class ModelBaselineRow(Base):
    """Statistics of the data that a model was trained on (`contract.baseline`)."""

    __tablename__ = "model_baselines"

    model: Mapped[int] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    document: Mapped[dict[str, Any]]


class ModelRow(Base):
    """One version of a model; ``signature`` holds inputs and outputs as read from the file.

    ``pickled``: a file of it is a pickle, which runs code when it is loaded. ``digest`` is the file's,
    or of a folder the digest of its listing. Whoever deletes a version or registers an image of it
    holds this row's lock while they do.
    """

    __tablename__ = "models"
    __table_args__ = (
        UniqueConstraint("workspace", "name", "version"),
        Index("ix_models_created", "workspace", "created_at", "id"),
        Index("ix_models_run", "run"),
        Index("ix_models_framework", "workspace", "framework"),
    )

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    name: Mapped[str]
    version: Mapped[int]
    description: Mapped[str]
    folder: Mapped[bool]
    digest: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    framework: Mapped[str]
    signature: Mapped[dict[str, Any]]
    pickled: Mapped[bool] = mapped_column(default=False)
    run: Mapped[str | None] = mapped_column(ForeignKey("runs.id"))
    created_by: Mapped[str]
    created_at: Mapped[datetime]

    labels: Mapped[list[ModelLabelRow]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True, order_by=ModelLabelRow.key
    )
    files: Mapped[list[ModelFileRow]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True, order_by=ModelFileRow.path
    )

    @property
    def tags(self) -> dict[str, str]:
        """Return the tags by key."""
        return {label.key: label.value for label in self.labels if label.kind == "tag"}

    @property
    def properties(self) -> dict[str, str]:
        """Return the properties by key."""
        return {label.key: label.value for label in self.labels if label.kind == "property"}
