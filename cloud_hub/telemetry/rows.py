"""Rows of telemetry: marks, batches not yet in a file, files being written, and the files that count."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base, Wide


class MarkRow(Base):
    """How far a device's stream is stored, in one epoch of its outbox."""

    __tablename__ = "telemetry_marks"

    device: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    mark: Mapped[int] = mapped_column(BigInteger)


class PendingRow(Base):
    """A stored batch that is in no file yet; ``payload`` is its `contract.messages.Batch`.

    An id never comes again, so a flush that lost a race can be told by its ids.
    """

    __tablename__ = "telemetry_pending"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(Wide, primary_key=True, autoincrement=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    device: Mapped[str]
    stream: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]


class FileRow(Base):
    """A Parquet file that counts.

    ``datastore`` is the workspace's datastore that holds it; none stands for the hub's own store.
    """

    __tablename__ = "telemetry_files"
    __table_args__ = (
        Index("ix_telemetry_files_stream", "workspace", "stream"),
        ForeignKeyConstraint(
            ["workspace", "datastore"],
            ["datastores.workspace", "datastores.name"],
            name="fk_telemetry_files_workspace_datastores",
        ),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"))
    stream: Mapped[str]
    datastore: Mapped[str | None]
    rows: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class IntentRow(Base):
    """A file that is being written, or that a crash left behind: it does not count."""

    __tablename__ = "telemetry_intents"

    key: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]


class RejectRow(Base):
    """A message that could not be read: kept aside with the reason, so that nothing hits the floor."""

    __tablename__ = "telemetry_rejects"

    id: Mapped[int] = mapped_column(Wide, primary_key=True, autoincrement=True)
    subject: Mapped[str]
    reason: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]
