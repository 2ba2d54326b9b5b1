"""Rows of datastores."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from cloud_hub.db.base import Base


class DatastoreRow(Base):
    """A datastore: ``url`` is ``hub:`` for the hub's own store; ``secret`` names its credentials.

    ``is_telemetry``: new telemetry files of the workspace go there; where none says so, to the hub's own
    store.
    """

    __tablename__ = "datastores"

    workspace: Mapped[str] = mapped_column(ForeignKey("workspaces.name"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    secret: Mapped[str | None]
    is_default: Mapped[bool]
    is_telemetry: Mapped[bool] = mapped_column(default=False)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
