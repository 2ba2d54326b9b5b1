"""What a workspace has, and where each of its stores is."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import DeclarativeBase, Session

from cloud_hub.access.rows import MembershipRow
from cloud_hub.datastores.rows import DatastoreRow
from cloud_hub.db.engine import Database
from cloud_hub.devices.rows import DeviceRow
from cloud_hub.experiments.rows import RunRow
from cloud_hub.images.rows import ImageRow
from cloud_hub.models.rows import ModelRow
from cloud_hub.rollouts.rows import RolloutRow
from cloud_hub.secrets.rows import SecretVersionRow
from cloud_hub.telemetry.state import TelemetryState
from cloud_hub.workspaces.rows import WorkspaceRow
from cloud_hub.workspaces.service import no_such_workspace

COUNTED: dict[str, type[DeclarativeBase]] = {
    "members": MembershipRow,
    "datastores": DatastoreRow,
    "runs": RunRow,
    "models": ModelRow,
    "images": ImageRow,
    "devices": DeviceRow,
    "rollouts": RolloutRow,
}
"""Versions are counted one by one."""


@dataclass(frozen=True)
class Overview:
    """A workspace; ``counts`` has the rows of each of `COUNTED`, and the secrets that are not destroyed."""

    name: str
    created_at: datetime
    default_datastore: DatastoreRow
    telemetry: TelemetryState
    counts: dict[str, int]


def overview_of(database: Database, telemetry: TelemetryState, workspace: str) -> Overview:
    """Return what the database says, with the state of telemetry as it was just before.

    Raises `NotFoundError`.
    """
    with database.reading() as session:
        row = session.get(WorkspaceRow, workspace)
        if row is None:
            raise no_such_workspace(workspace)
        default = select(DatastoreRow).where(DatastoreRow.workspace == workspace, DatastoreRow.is_default)
        return Overview(
            name=row.name,
            created_at=row.created_at,
            default_datastore=session.scalars(default).one(),
            telemetry=telemetry,
            counts=_counts(session, workspace),
        )


def _counts(session: Session, workspace: str) -> dict[str, int]:
    counts = {}
    for name, kind in COUNTED.items():
        table = kind.__table__
        counted = select(func.count()).select_from(table).where(table.c.workspace == workspace)
        counts[name] = session.scalar(counted) or 0
    alive = select(func.count(SecretVersionRow.name.distinct())).where(
        SecretVersionRow.workspace == workspace, SecretVersionRow.key_id.is_not(None)
    )
    return counts | {"secrets": session.scalar(alive) or 0}
