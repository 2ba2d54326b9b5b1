"""Rows of image stores, and of what they have been given."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class ImageStoreRow(Base):
    """An external registry that images of a workspace are in; new ones go to the one that ``is_current``.

    ``host`` is ``host[:port]``, ``path`` what stands before the name of an image there; ``secret``
    names its credential. ``problem_*`` is the last failure of a try to store something, until one succeeds.
    """

    __tablename__ = "image_stores"
    __table_args__ = (UniqueConstraint("workspace", "host", "path"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    host: Mapped[str]
    path: Mapped[str]
    secret: Mapped[str | None]
    is_current: Mapped[bool]
    problem_code: Mapped[str | None]
    problem_what: Mapped[str | None]
    problem_since: Mapped[datetime | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class StoredRow(Base):
    """A manifest by digest, or a tag, that a registry has at ``place`` (its store and repository)."""

    __tablename__ = "image_store_references"

    repository: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    place: Mapped[str]
