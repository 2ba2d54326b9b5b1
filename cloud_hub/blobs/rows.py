"""Rows that say who may see which blob."""

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class BlobLinkRow(Base):
    """A blob belongs to a workspace's uploads (``uploads/ws``) or to a repository (``ws/image``).

    Bytes are stored once however many links there are; without a link they cannot be read.
    """

    __tablename__ = "blob_links"

    owner: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
